//! What several share: a node's conflists, a network's name and with it host-local's store. GC and DEL of one delete
//! nothing of another that is alive.

use serde_json::{Value, json};

use crate::kinds::{Ip, Kind, PUBLIC};
use crate::site::{Mode, NAMESPACE, OSD, Pod, Setup, Site, at_once, bridge, conflist, network};
use crate::support::CniTool;

/// Native plugins in both modes, and executed ones in one: each node costs time.
fn setups() -> [Setup; 3] {
    let of = |mode| Setup::new(Kind::Macvlan, mode);
    [of(Mode::Chained), of(Mode::Delegating), of(Mode::Delegating).executed()]
}

/// GC with a list ends the container that is not in it and no other; without a list only one whose namespace is gone.
fn gc_ends_what_the_list_leaves_out(setup: Setup) {
    let site = Site::start(setup, 1);
    let (node, conflist) = (site.node(1), site.conflist(1));
    let names = ["osd-0", "osd-1", "osd-2", "osd-3"];
    let [a, b, unlisted, gone] = names.map(|name| site.pod(1, name, OSD));
    at_once(&[&a, &b, &unlisted, &gone], "add");
    let (unlisted_id, gone_id) = (unlisted.id(), gone.id());

    let before = node.left_overs();
    site.gc(1, &conflist, None).expect_success("GC without a list");
    assert_eq!(node.left_overs(), before, "all namespaces are there");

    gone.netns.clone().delete();
    site.gc(1, &conflist, None).expect_success("GC without a list");
    assert!(!node.journals().iter().any(|name| name.contains(&gone_id)), "its namespace is gone");
    assert_eq!(node.journals().len(), 3);

    site.gc(1, &conflist, Some(&[&a, &b])).expect_success("GC with a list");
    let expected: &[&str] = if setup.mode == Mode::Chained { &["eth0"] } else { &[] };
    assert_eq!(unlisted.netns.interfaces(), expected, "eth0 is the primary's in chained mode");
    assert!(!node.journals().iter().any(|name| name.contains(&unlisted_id)));
    assert_eq!(addresses_of(&unlisted), expected);
    a.check();
    b.check();
    for interface in ["public", "cluster"] {
        a.assert_reaches(&b, interface, setup.families);
    }

    at_once(&[&a, &b, &unlisted, &gone], "del");
    site.wait_until_clean();
}

/// The interfaces of a pod for which host-local has an address.
fn addresses_of(pod: &Pod<'_>) -> Vec<String> {
    let id = pod.id();
    let leases = pod.netns.node().host_local_addresses().into_iter();
    leases.filter(|lease| lease.container == id).map(|lease| lease.interface).collect()
}

/// A second conflist beside the site's own: another name, another bridge, the same storage networks.
fn second_conflist(site: &Site) -> Value {
    let list = conflist("others", site.setup, &bridge(site.setup, 1, "cni1", 45));
    site.node(1).write("/etc/cni/net.d/20-others.conflist", list.to_string());
    list
}

/// The same pod's or another's attachment by the second conflist.
fn by_the_second<'a>(pod: &Pod<'a>, interface: &str, selection: &str) -> CniTool<'a> {
    CniTool::new(&pod.netns, "others")
        .interface(interface)
        .pod(NAMESPACE, "some", "uid-of-some")
        .annotations(&json!({"k8s.v1.cni.cncf.io/networks": selection}))
}

/// Two conflists of different names: a runtime's list for one says nothing of the other's containers.
fn conflists_side_by_side(setup: Setup) {
    let site = Site::start(setup, 1);
    let others = second_conflist(&site);
    let (first, second) = (site.pod(1, "osd-0", OSD), site.pod(1, "osd-1", OSD));
    let second = Pod { tool: by_the_second(&second, "eth0", OSD), ..second };
    at_once(&[&first, &second], "add");

    site.gc(1, &site.conflist(1), Some(&[&first])).expect_success("GC of the first");
    second.check();
    site.gc(1, &others, Some(&[&second])).expect_success("GC of the second");
    first.check();
    first.assert_reaches(&second, "public", setup.families);

    // Nobody of the second lives on: that ends nobody of the first.
    site.gc(1, &others, Some(&[])).expect_success("GC of the second with an empty list");
    assert!(!second.netns.interfaces().contains(&"public".to_owned()));
    first.check();
    at_once(&[&first, &second], "del");
    site.assert_clean();
}

/// One pod attached by two conflists, at once, as containerd does: each DEL undoes its own.
fn a_pod_of_two_conflists(setup: Setup) {
    let site = Site::start(setup, 1);
    second_conflist(&site);
    let pod = site.pod(1, "osd-0", "public@public");
    let second = Pod { tool: by_the_second(&pod, "eth1", "cluster@cluster"), netns: pod.netns.clone() };
    at_once(&[&pod, &second], "add");
    assert_eq!(pod.netns.interfaces(), ["cluster", "eth0", "eth1", "public"]);
    assert_eq!(site.node(1).journals().len(), 2);

    second.del();
    assert_eq!(pod.netns.interfaces(), ["eth0", "public"]);
    pod.check();
    pod.del();
    site.assert_clean();
}

/// Definitions of two namespaces whose configurations have one name share a store of addresses.
fn one_name_in_two_namespaces(setup: Setup) {
    let site = Site::start(setup, 1);
    let mut config = network(setup, PUBLIC, 1);
    config["name"] = json!("storage");
    // Two addresses: one that was wrongly freed would be given away again.
    config["ipam"]["ranges"][0][0]["rangeEnd"] = json!(Ip::V4.host(PUBLIC.number, 1, 11));
    for namespace in ["ceph-a", "ceph-b"] {
        site.define(1, namespace, "public", &config);
    }
    let pod = |namespace, name| site.pod_of(1, namespace, name, "public@public");
    let (a, b, third) = (pod("ceph-a", "mon-a"), pod("ceph-b", "mon-b"), pod("ceph-b", "mon-c"));
    at_once(&[&a, &b], "add");
    a.assert_reaches(&b, "public", setup.families);
    assert_ne!(a.address("public", Ip::V4), b.address("public", Ip::V4));

    site.gc(1, &site.conflist(1), Some(&[&a, &b])).expect_success("GC that lists both");
    assert!(third.refused("add").contains(setup.says_full()), "both addresses are taken");
    site.gc(1, &site.conflist(1), Some(&[&b])).expect_success("GC that leaves the first out");
    assert_eq!(addresses_of(&a), Vec::<String>::new());
    b.check();

    third.add();
    third.assert_reaches(&b, "public", setup.families);
    third.del();
    b.check();
    at_once(&[&a, &b, &third], "del");
    site.assert_clean();
}

#[test]
fn gc_ends_what_the_list_leaves_out_and_nothing_else() {
    for setup in setups() {
        gc_ends_what_the_list_leaves_out(setup);
    }
}

#[test]
fn gc_of_one_conflist_spares_the_other() {
    for setup in setups() {
        conflists_side_by_side(setup);
    }
}

#[test]
fn a_pod_in_two_conflists_keeps_one_when_the_other_goes() {
    for setup in setups() {
        a_pod_of_two_conflists(setup);
    }
}

#[test]
fn networks_of_one_name_in_two_namespaces_share_a_store_and_keep_what_is_alive() {
    for setup in [Setup::new(Kind::Macvlan, Mode::Delegating), Setup::new(Kind::Macvlan, Mode::Delegating).executed()] {
        one_name_in_two_namespaces(setup);
    }
}

mod vm {
    //! See the front page of `main.rs`.
    use super::{Mode, Setup, gc_ends_what_the_list_leaves_out};
    use crate::kinds::Kind;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn gc_ends_what_the_list_leaves_out_of_ipvlan() {
        gc_ends_what_the_list_leaves_out(Setup::new(Kind::IpvlanL2, Mode::Chained));
    }
}
