//! The life of a pod's attachments, in both modes and whoever runs the plugins: what CHECK misses, and how DEL goes on
//! whatever has happened.

use std::path::Path;

use serde_json::{Value, json};

use crate::kinds::{CLUSTER, Ip, Kind, Net, PUBLIC};
use crate::site::{
    CONFLIST, MON, Mode, NAMESPACE, OSD, Pod, Setup, Site, UNREACHABLE_GATEWAY, broken_network, network, rooknet_entry,
};
use crate::support::{Outcome, PluginCall};

/// Of an OSD.
const INTERFACES: [&str; 3] = ["eth0", "public", "cluster"];

/// Native plugins in both modes, and executed ones in one: each node costs time.
fn setups() -> [Setup; 3] {
    let of = |mode| Setup::new(Kind::Macvlan, mode);
    [of(Mode::Chained), of(Mode::Delegating), of(Mode::Delegating).executed()]
}

/// CHECK finds what has become of each of these attachments, and nothing wrong before.
fn check_misses_what_is_gone(setup: Setup, interfaces: &[&str]) {
    let site = Site::start(setup, 1);
    for &interface in interfaces {
        let pod = site.pod(1, &format!("osd-{interface}"), OSD);
        pod.add();
        pod.check();

        let address = pod.netns.addresses(interface).remove(0);
        pod.netns.ok(&["ip", "address", "delete", &address, "dev", interface]);
        let said = pod.refused("check");
        assert!(said.contains(interface), "{interface} lost its address: {said}");
        // In chained mode eth0 is the bridge plugin's to check, and that says less.
        if interface != "eth0" {
            assert!(said.contains(&address), "{interface} lost {address}: {said}");
            pod.netns.ok(&["ip", "address", "add", &address, "dev", interface]);
            pod.check();
        }

        rename(&pod, interface, "moved");
        let said = pod.refused("check");
        assert!(said.contains(interface), "{interface} has another name: {said}");

        pod.netns.ok(&["ip", "link", "delete", "moved"]);
        let said = pod.refused("check");
        assert!(said.contains(interface), "{interface} is gone: {said}");
        pod.del();
    }
    site.assert_clean();
}

fn rename(pod: &Pod<'_>, from: &str, to: &str) {
    pod.netns.ok(&["ip", "link", "set", from, "down"]);
    pod.netns.ok(&["ip", "link", "set", from, "name", to]);
    pod.netns.ok(&["ip", "link", "set", to, "up"]);
}

/// DEL of a pod that has renamed its interfaces, and of one that has exchanged two names.
fn del_finds_renamed_interfaces(setup: Setup) {
    let site = Site::start(setup, 1);
    let renamed = site.pod(1, "renamed", OSD);
    renamed.add();
    for interface in INTERFACES {
        rename(&renamed, interface, &format!("{interface}-own"));
    }
    renamed.del();
    if setup.mode == Mode::Chained {
        // The bridge plugin's DEL goes by the name, and eth0 is not rooknet's in this mode.
        assert_eq!(renamed.netns.interfaces(), ["eth0-own"]);
        renamed.netns.ok(&["ip", "link", "delete", "eth0-own"]);
    }
    site.assert_clean();

    let exchanged = site.pod(1, "exchanged", OSD);
    exchanged.add();
    rename(&exchanged, "public", "aside");
    rename(&exchanged, "cluster", "public");
    rename(&exchanged, "aside", "cluster");
    exchanged.del();
    site.assert_clean();
}

/// DEL again after a DEL, and after the pod's network namespace is gone.
fn del_goes_on(setup: Setup) {
    let site = Site::start(setup, 1);
    let twice = site.pod(1, "twice", OSD);
    twice.add();
    twice.del();
    twice.del();
    site.assert_clean();

    let gone = site.pod(1, "gone", OSD);
    gone.add();
    gone.netns.clone().delete();
    gone.del();
    gone.del();
    site.wait_until_clean();
}

/// rooknet called by itself, as a runtime does that chooses container ids: cnitool makes the id of the path.
struct Container<'a> {
    site: &'a Site,
    pod: &'a Pod<'a>,
    id: &'static str,
}

impl Container<'_> {
    #[track_caller]
    fn run(&self, operation: &str, previous: Option<&Value>) -> Outcome {
        let mut config = rooknet_entry(&self.site.conflist(1));
        config["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": OSD}});
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        let outcome = PluginCall::new(Path::new("/opt/cni/bin/rooknet"), operation, &config.to_string())
            .container(self.id, &self.pod.netns, "eth0")
            .env("CNI_ARGS", format!("K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={};IgnoreUnknown=1", self.id))
            .run(self.site.node(1));
        outcome.expect_success(operation);
        outcome
    }
}

/// The path of a dead pod's network namespace leads to another pod's now: the dead one's DEL leaves that alone.
fn del_spares_the_next_pod_at_the_same_path(setup: Setup) {
    let site = Site::start(setup, 1);
    let first = site.pod(1, "pod", OSD);
    let old = Container { site: &site, pod: &first, id: "old" };
    let old_result = old.run("ADD", None).json();
    first.netns.clone().delete();

    let second = site.pod(1, "pod", OSD);
    let new = Container { site: &site, pod: &second, id: "new" };
    let result = new.run("ADD", None).json();
    old.run("DEL", Some(&old_result));

    assert_eq!(second.netns.interfaces(), ["cluster", "eth0", "public"]);
    let owners: Vec<String> = site.node(1).host_local_addresses().into_iter().map(|lease| lease.container).collect();
    assert_eq!(owners, ["new", "new", "new"]);
    new.run("CHECK", Some(&result));
    new.run("DEL", Some(&result));
    site.wait_until_clean();
}

/// A range of two addresses: the third pod gets nothing at all, until one of them is free.
fn a_pod_without_an_address_gets_nothing(setup: Setup) {
    let site = Site::start(setup, 1);
    let mut narrow = network(setup, CLUSTER, 1);
    narrow["ipam"]["ranges"][0][0]["rangeEnd"] = json!(Ip::V4.host(CLUSTER.number, 1, 11));
    site.define(1, NAMESPACE, "cluster", &narrow);
    let pods = [site.pod(1, "osd-0", OSD), site.pod(1, "osd-1", OSD), site.pod(1, "osd-2", OSD)];
    pods[0].add();
    pods[1].add();

    let said = pods[2].refused("add");
    for named in ["rook-ceph/cluster", setup.kind.of_link(), setup.says_full()] {
        assert!(said.contains(named), "the message must say {named:?}: {said}");
    }
    has_only_what_the_primary_made(&site, &pods[2]);

    // The runtime calls DEL after a failed ADD.
    pods[2].del();
    pods[0].check();
    pods[0].del();
    pods[2].add();
    pods[2].assert_reaches(&pods[1], "cluster", setup.families);
    pods[1].del();
    pods[2].del();
    site.assert_clean();
}

/// The third of three networks fails: the first two are gone, with the address files and the bridge's port.
fn a_failing_network_takes_the_others_along(setup: Setup) {
    let site = Site::start(setup, 1);
    let broken = Net { name: "broken", number: 30, ..PUBLIC };
    site.define(1, NAMESPACE, "broken", &broken_network(setup, broken, 1));
    let pod = site.pod(1, "pod", "public@public,cluster@cluster,broken@broken");

    let said = pod.refused("add");
    for named in ["rook-ceph/broken", "interface broken", setup.kind.of_link(), UNREACHABLE_GATEWAY] {
        assert!(said.contains(named), "the message must say {named:?}: {said}");
    }
    has_only_what_the_primary_made(&site, &pod);
    pod.del();
    site.assert_clean();

    site.define(1, NAMESPACE, "broken", &network(setup, broken, 1));
    pod.add();
    pod.check();
    pod.del();
    site.assert_clean();
}

/// After a failed ADD: nothing, or in chained mode what the runtime must still DEL.
#[track_caller]
fn has_only_what_the_primary_made(site: &Site, pod: &Pod<'_>) {
    let node = site.node(1);
    let expected: &[&str] = if site.setup.mode == Mode::Chained { &["eth0"] } else { &[] };
    assert_eq!(pod.netns.interfaces(), expected);
    let leases = node.host_local_addresses().into_iter().filter(|lease| lease.container == pod.id());
    assert_eq!(leases.map(|lease| lease.interface).collect::<Vec<_>>(), expected);
    let id = pod.id();
    assert_eq!(node.journals().into_iter().find(|name| name.contains(&id)), None);
    let attached = node.host_local_addresses().into_iter().filter(|lease| lease.network == CONFLIST).count();
    let ports = node.host().links().into_iter().filter(|link| link.kind == "veth" && link.all["master"] == "cni0");
    assert_eq!(ports.count(), attached, "ports of the bridge");
}

#[test]
fn check_misses_what_is_gone_chained() {
    check_misses_what_is_gone(Setup::new(Kind::Macvlan, Mode::Chained), &INTERFACES);
}

#[test]
fn check_misses_what_is_gone_delegating() {
    check_misses_what_is_gone(Setup::new(Kind::Macvlan, Mode::Delegating), &INTERFACES);
}

#[test]
fn check_misses_what_is_gone_of_executed_plugins() {
    check_misses_what_is_gone(Setup::new(Kind::Macvlan, Mode::Delegating).executed(), &INTERFACES);
}

#[test]
fn del_finds_the_interfaces_that_the_pod_has_renamed() {
    for setup in setups() {
        del_finds_renamed_interfaces(setup);
    }
}

#[test]
fn del_goes_on_a_second_time_and_without_a_namespace() {
    for setup in setups() {
        del_goes_on(setup);
    }
}

#[test]
fn del_spares_the_next_pod_at_the_path_of_a_dead_one() {
    for setup in [Setup::new(Kind::Macvlan, Mode::Delegating), Setup::new(Kind::Macvlan, Mode::Delegating).executed()] {
        del_spares_the_next_pod_at_the_same_path(setup);
    }
}

#[test]
fn a_pod_without_an_address_on_one_network_gets_nothing() {
    for setup in setups() {
        a_pod_without_an_address_gets_nothing(setup);
    }
}

#[test]
fn a_failing_third_network_takes_the_first_two_along() {
    for setup in setups() {
        a_failing_network_takes_the_others_along(setup);
    }
}

#[test]
fn a_failed_add_leaves_the_default_route_where_it_was() {
    let site = Site::start(Setup::new(Kind::Macvlan, Mode::Chained), 1);
    let selection = json!([
        {"name": "public", "interface": "public", "default-route": ["10.10.0.1"]},
        {"name": "cluster", "interface": "cluster", "default-route": ["fd20::1"]},
    ]);
    let pod = site.pod(1, "pod", &selection.to_string());
    let said = pod.refused("add");
    assert!(said.contains("interface cluster") && said.contains("fd20::1"), "{said}");
    assert_eq!(pod.netns.default_interface(false).as_deref(), Some("eth0"));
    has_only_what_the_primary_made(&site, &pod);
    pod.del();
    site.assert_clean();
}

#[test]
fn a_pod_that_selects_nothing_is_left_to_the_primary() {
    let site = Site::start(Setup::new(Kind::Macvlan, Mode::Chained), 1);
    let (pod, mon) = (site.pod(1, "pod", ""), site.pod(1, "mon-a", MON));
    pod.add();
    mon.add();
    assert_eq!(pod.netns.interfaces(), ["eth0"]);
    assert_eq!(site.node(1).journals(), [format!("{}@eth0.json", mon.id())]);
    pod.check();
    pod.del();
    mon.check();
    mon.del();
    site.assert_clean();
}

mod vm {
    //! See the front page of `main.rs`.
    use super::{
        Mode, Setup, a_failing_network_takes_the_others_along, check_misses_what_is_gone, del_finds_renamed_interfaces,
        del_goes_on,
    };
    use crate::kinds::Kind;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn check_misses_what_is_gone_of_ipvlan() {
        check_misses_what_is_gone(Setup::new(Kind::IpvlanL2, Mode::Delegating), &["public"]);
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn del_of_ipvlan_finds_the_interfaces_that_the_pod_has_renamed() {
        del_finds_renamed_interfaces(Setup::new(Kind::IpvlanL2, Mode::Delegating));
    }

    #[test]
    #[ignore = "needs 8021q: make test-vm"]
    fn del_of_vlan_finds_the_interfaces_that_the_pod_has_renamed() {
        del_finds_renamed_interfaces(Setup::new(Kind::Vlan, Mode::Chained));
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn del_of_ipvlan_goes_on_a_second_time_and_without_a_namespace() {
        del_goes_on(Setup::new(Kind::IpvlanL3, Mode::Chained));
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn a_failing_third_ipvlan_takes_the_first_two_along() {
        a_failing_network_takes_the_others_along(Setup::new(Kind::IpvlanL2, Mode::Chained));
    }
}
