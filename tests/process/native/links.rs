//! One request deletes all of a container's links, by a number that a pod can give to any of its own: whatever the pod
//! has done with it, ours go and nothing else does.

use serde_json::json;

use super::{ALL, Cost, INTERFACES, logging};
use crate::faults::{assert_killed, journal_file};
use crate::fixture::{Fixture, Pod};
use crate::support::Namespace;

/// A DEL that leaves `own` in the pod, and nothing of ours on the node.
#[track_caller]
fn assert_del_leaves(fixture: &Fixture, pod: &Pod<'_>, own: &[&str], what: &str) {
    fixture.run("DEL", &fixture.chained(), pod).expect_success(what);
    assert_eq!(pod.netns.interfaces(), own, "{what}");
    assert_eq!(fixture.leases(), Vec::<String>::new(), "{what}");
    assert_eq!(fixture.node.journals(), Vec::<String>::new(), "{what}");
    assert_eq!(ports(fixture), 0, "ports of the bridge: {what}");
}

/// How many veths the node itself has.
fn ports(fixture: &Fixture) -> usize {
    fixture.node.host().links().iter().filter(|link| link.kind == "veth").count()
}

/// The group of the links that rooknet made for this pod.
fn group(pod: &Pod<'_>) -> String {
    let group = pod.netns.link("public").group;
    assert!(pod.netns.links().iter().filter(|link| link.name != "lo").all(|link| link.group == group));
    group
}

fn sh(netns: &Namespace<'_>, script: &str) {
    netns.ok(&["sh", "-ec", script]);
}

#[test]
fn all_links_of_a_container_are_in_a_group_of_its_own_and_go_together() {
    let fixture = Fixture::without_programs();
    let (first, second) = (fixture.attached("osd"), fixture.attached("mon"));
    assert_ne!(group(&first), group(&second));
    assert_eq!(ports(&fixture), 2);
    fixture.run("DEL", &fixture.chained(), &first).expect_success("DEL");
    assert_eq!(second.netns.interfaces(), INTERFACES);
    assert_del_leaves(&fixture, &second, &[], "the second");
}

#[test]
fn a_del_finds_its_links_whatever_the_pod_did_and_leaves_the_pods_own() {
    let fixture = Fixture::without_programs();
    let nested = fixture.node.add_netns("nested");
    for (what, script, own) in [
        ("one link has left the group", "ip link set public group 0", &[][..]),
        ("another number", "ip link set public group 7; ip link set bridged group 8", &[]),
        ("all have left it", "for name in public cluster bridged; do ip link set $name group 0; done", &[]),
        ("a bridge of the pod's own in it", "ip link add own0 group $GROUP type bridge", &["own0"]),
        ("a pair of the pod's own in it", "ip link add own0 group $GROUP type veth peer name own1", &["own0", "own1"]),
        ("a macvlan of the pod's own in it", "ip link add own0 link public group $GROUP type macvlan", &["own0"]),
        ("the loopback in it, which nobody can delete", "ip link set lo group $GROUP", &[]),
        ("the loopback in it, and one of ours not", "ip link set lo group $GROUP; ip link set public group 0", &[]),
        ("renamed", "ip link set public down name mine; ip link set bridged down name cluster2", &[]),
        (
            "names exchanged",
            "for name in public cluster; do ip link set $name down; done; ip link set public name aside; \
             ip link set cluster name public; ip link set aside name cluster",
            &[],
        ),
        ("deleted", "ip link delete public; ip link delete bridged", &[]),
        ("all deleted", "for name in public cluster bridged; do ip link delete $name; done", &[]),
        (
            "deleted, and one of the pod's own of that name and kind",
            "ip link delete public; ip link add public link cluster type macvlan",
            &["public"],
        ),
        (
            "deleted, and one of the pod's own of that name and kind in the group",
            "ip link delete public; ip link add public link cluster group $GROUP type macvlan",
            &["public"],
        ),
        (
            "deleted, and one of another kind of that name in the group",
            "ip link delete bridged; ip link add bridged group $GROUP type bridge",
            &["bridged"],
        ),
    ] {
        let pod = fixture.attached("osd");
        sh(&pod.netns, &format!("GROUP={}; {script}", group(&pod)));
        assert_del_leaves(&fixture, &pod, own, what);
        pod.netns.delete();
    }
    // Nobody else's namespace is looked into, so what the pod moved there stays until that goes.
    let pod = fixture.attached("osd");
    pod.netns.ok(&["ip", "link", "set", "public", "netns", "nested"]);
    assert_del_leaves(&fixture, &pod, &[], "one link is in another namespace");
    assert_eq!(nested.interfaces(), ["public"]);
}

#[test]
fn a_group_stays_as_long_as_a_pods_own_link_is_in_it_and_the_others_go() {
    let fixture = Fixture::without_programs();
    let pod = fixture.attached("osd");
    let group = group(&pod);
    sh(&pod.netns, &format!("ip link add own0 group {group} type bridge; ip link set cluster group 0"));
    assert_del_leaves(&fixture, &pod, &["own0"], "both at once");
    assert_eq!(pod.netns.link("own0").group, group, "left as it was");
}

#[test]
fn a_del_of_one_interface_of_a_container_leaves_the_others_links_and_addresses() {
    let fixture = Fixture::without_programs();
    let config = fixture.chained();
    let first = fixture.attached("osd");
    let mut second = fixture.pod("osd", Some("public@second-public, cluster@second-cluster"));
    second.netns = first.netns.clone();
    second.id.clone_from(&first.id);
    let of_second = |operation: &str| fixture.call(operation, &config, &second).env("CNI_IFNAME", "eth1");
    of_second("ADD").run(&fixture.node).expect_success("ADD");
    assert_ne!(first.netns.link("second-public").group, first.netns.link("public").group);

    of_second("DEL").run(&fixture.node).expect_success("DEL");
    assert_eq!(first.netns.interfaces(), INTERFACES);
    assert_eq!(fixture.leases(), ["bridged bridged", "cluster cluster", "public public"]);
    fixture.check(&config, &first, &config["prevResult"]).expect_success("CHECK of the first");
    of_second("ADD").run(&fixture.node).expect_success("ADD");
    fixture.run("DEL", &config, &first).expect_success("DEL");
    assert_eq!(first.netns.interfaces(), ["second-cluster", "second-public"]);
    of_second("DEL").run(&fixture.node).expect_success("DEL");
    assert_del_leaves(&fixture, &first, &[], "again");
}

#[test]
fn links_of_the_same_names_and_group_under_a_reused_path_or_on_the_node_stay() {
    for operation in ["DEL", "DEL with the node's namespace", "GC", "GC without a list"] {
        let fixture = Fixture::without_programs();
        let pod = fixture.attached("osd");
        let group = group(&pod);
        pod.netns.clone().delete();
        // As alike as they can be: names, kinds, group.
        let script = format!(
            "ip link add public group {group} type veth peer name cluster; ip link set cluster group {group}; \
             ip link add bridged group {group} type bridge"
        );
        let next = fixture.node.add_netns(&pod.id);
        for netns in [&next, &fixture.node.host()] {
            sh(netns, &script);
        }
        let before = (next.interfaces(), fixture.node.host().interfaces());
        let config = fixture.chained();
        let host = fixture.node.host().path();
        match operation {
            "DEL" => fixture.run("DEL", &config, &pod),
            "GC" => fixture.collect(&config, Some(&[])),
            "GC without a list" => fixture.collect(&config, None),
            _ => fixture.call("DEL", &config, &pod).env("CNI_NETNS", host).run(&fixture.node),
        }
        .expect_success(operation);
        let after = (next.interfaces(), fixture.node.host().interfaces());
        assert_eq!(after.0, before.0, "{operation}");
        // The host's end of the dead pod's pair may still be on its way out.
        for name in INTERFACES {
            assert!(after.1.contains(&name.to_owned()), "{operation}: {name} among {after:?}");
        }
        assert_eq!((fixture.leases(), fixture.node.journals()), (Vec::new(), Vec::new()), "{operation}");
    }
}

#[test]
fn a_del_with_the_nodes_own_namespace_deletes_in_the_pods() {
    let fixture = Fixture::without_programs();
    let pod = fixture.attached("osd");
    let host = fixture.node.host().path();
    let del = fixture.call("DEL", &fixture.chained(), &pod).env("CNI_NETNS", host);
    del.run(&fixture.node).expect_success("DEL");
    assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
    fixture.assert_clean();
}

/// A kill leaves a link without an identity: it is told by name and kind, and by the group.
#[test]
fn links_of_a_killed_add_go_and_the_pods_own_stay() {
    let fixture = Fixture::without_programs();
    let config = fixture.chained();
    for (script, own) in [
        ("true", &[][..]),
        ("ip link set public group 0", &[]),
        ("ip link set public down name mine", &[]),
        ("ip link add own0 group $GROUP type bridge", &["own0"]),
        ("ip link add own0 link public type macvlan", &["own0"]),
        ("ip link set lo group $GROUP", &[]),
    ] {
        let pod = fixture.pod("osd", Some(ALL));
        // The third network's link is made, and no result is in the journal.
        let killed = fixture.call("ADD", &config, &pod).env("ROOKNET_FAULT", "kill:native.addressed@3");
        assert_killed(&killed.run(&fixture.node), script);
        assert_eq!(pod.netns.interfaces(), INTERFACES);
        sh(&pod.netns, &format!("GROUP={}; {script}", group(&pod)));
        assert_del_leaves(&fixture, &pod, own, script);
        pod.netns.delete();
    }
}

#[test]
fn a_corrupt_journal_ends_both_kinds_of_links_and_frees_their_addresses() {
    let fixture = Fixture::start();
    fixture.define_native_networks();
    fixture.define_stub("other", &json!({"link": "veth", "store": "/run/stub.other"}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some(&format!("{}, other@other", ALL)));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    assert_ne!(pod.netns.link("other").group, pod.netns.link("public").group, "programs' links are left to them");
    fixture.node.write(&journal_file(&pod), "{");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
    assert_eq!(fixture.leases(), Vec::<String>::new());
}

#[test]
fn an_address_without_a_journal_is_freed_by_no_gc_and_a_gc_needs_no_program() {
    let fixture = Fixture::without_programs();
    let config = logging(fixture.chained(), "debug");
    let pod = fixture.attached("osd");
    fixture.node.write("/var/lib/cni/networks/public/10.1.0.77", "stranger\r\neth0");
    for (what, list) in [("listed", Some(&[&pod][..])), ("no list", None), ("an empty list", Some(&[]))] {
        let gc = fixture.collect(&config, list);
        gc.expect_success(what);
        assert_eq!(Cost::of(&gc).programs, 0);
        let strangers = fixture.node.host_local_addresses().into_iter().filter(|lease| lease.container == "stranger");
        assert_eq!(strangers.count(), 1, "{what}");
    }
    assert_eq!(fixture.leases(), ["public eth0"], "the pod's own are free");
    assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
}
