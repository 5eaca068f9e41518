//! Masters that vanish under running pods and come back.

use serde_json::{Value, json};

use crate::stage::{NAMESPACE, Pod, Stage, definition, macvlan};
use crate::support::{Node, wait_until};

const SELECTION: &str = "public@net1";

fn round(stage: &Stage, definition: &Value) -> Value {
    stage.repair(1, "masters", &json!({"definitions": [definition]}))
}

/// What a round made again, when it found nothing wrong.
#[track_caller]
fn remade(report: &Value) -> Vec<Value> {
    assert_eq!(report["findings"], json!([]), "{report}");
    report["remade"].as_array().unwrap().clone()
}

#[track_caller]
fn finding(report: &Value) -> String {
    assert_eq!(report["remade"], json!([]), "{report}");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{report}");
    report["findings"][0]["text"].as_str().unwrap().to_owned()
}

fn vanish(node: &Node, pod: &Pod<'_>) {
    node.ok(&["ip", "link", "delete", "stor0"]);
    assert!(!pod.netns.interfaces().contains(&"net1".to_owned()), "the kernel removes it with its master");
}

fn come_back(stage: &Stage) {
    stage.switch.join(stage.node(1), "stor0");
}

/// The journal of the one pod.
fn journal(node: &Node) -> Value {
    let name = node.journals().remove(0);
    serde_json::from_slice(&node.read(&format!("/var/lib/rooknet/attachments/{name}")).unwrap()).unwrap()
}

/// IPv6 addresses and their routes settle after a second or two.
#[track_caller]
fn settled(pod: &Pod<'_>) -> Value {
    let is_tentative = || pod.netns.ok(&["ip", "-6", "address", "show"]).contains("tentative");
    wait_until("the end of duplicate address detection", std::time::Duration::from_secs(30), || !is_tentative());
    pod.shown()
}

/// Pods of two nodes talk, the master of one vanishes and comes back, and they talk again, all as it was.
#[track_caller]
fn survives(stage: &Stage, definition: &Value, selection: &str) {
    stage.define(definition);
    let (pod, other) = (stage.attached(1, "osd-0", selection), stage.attached(2, "osd-1", SELECTION));
    let node = stage.node(1);
    let talk = || {
        for address in other.netns.addresses("net1") {
            let address = address.split('/').next().unwrap();
            assert!(pod.netns.reaches(address, Some("net1")), "no answer from {address}");
        }
        for address in pod.netns.addresses("net1") {
            let address = address.split('/').next().unwrap();
            assert!(other.netns.reaches(address, Some("net1")), "no answer from {address}");
        }
    };
    talk();
    let mut before = settled(&pod);
    // Links of programs are in the odd group next to that of rooknet's own, and what is made again is rooknet's own.
    let group: u32 = before["link"]["group"].as_str().unwrap().parse().unwrap();
    before["link"]["group"] = json!((group & !1).to_string());
    let identity = journal(node)["attachments"][0]["link"].clone();
    assert_eq!(remade(&round(stage, definition)), [Value::Null; 0], "nothing is gone");

    vanish(node, &pod);
    let said = finding(&round(stage, definition));
    assert!(said.contains("net1") && said.contains("stor0"), "{said}");
    come_back(stage);
    let made = remade(&round(stage, definition));
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["pod"], format!("{NAMESPACE}/osd-0"));
    assert_eq!(made[0]["interface"], "net1");
    talk();
    assert_eq!(settled(&pod), before);
    let now = journal(node)["attachments"][0]["link"].clone();
    assert_eq!(now["kind"], identity["kind"]);
    assert_ne!(now["index"], identity["index"]);
    assert_eq!(remade(&round(stage, definition)), [Value::Null; 0], "a second round has nothing to do");
    for pod in [&pod, &other] {
        pod.ok("check");
        pod.ok("del");
    }
    for node in &stage.nodes {
        wait_until("what belonged to the pods to go", std::time::Duration::from_secs(60), || {
            node.left_overs().is_empty()
        });
        assert_eq!(node.entries("/run/rooknet/locks"), [""; 0]);
    }
}

fn with_routes() -> Value {
    definition(json!({"type": "macvlan", "master": "stor0", "mtu": 8000, "ipam": {"routes": [
        {"dst": "10.99.0.0/16", "mtu": 1400, "priority": 7}, {"dst": "fd99::/64"}]}}))
}

#[test]
fn a_pods_link_is_as_it_was_and_talks_again() {
    survives(&Stage::start(2), &with_routes(), SELECTION);
}

#[test]
fn what_a_program_made_is_made_again_too() {
    // The program passes over the MTU of a route.
    let config = json!({"type": "macvlan", "master": "stor0", "mtu": 8000, "ipam": {"routes": [
        {"dst": "10.99.0.0/16", "priority": 7}, {"dst": "fd99::/64"}]}});
    survives(&Stage::with_entry(2, &json!({"native": false})), &definition(config), SELECTION);
}

#[test]
fn an_old_version_whose_results_say_less_loses_nothing() {
    let config = json!({"cniVersion": "0.3.1", "type": "macvlan", "master": "stor0", "ipam": {"routes": [
        {"dst": "10.99.0.0/16", "mtu": 1400, "priority": 7}]}});
    survives(&Stage::start(2), &definition(config), SELECTION);
}

#[test]
fn the_default_route_that_the_selection_moved_comes_back_with_its_gateway() {
    let selection = r#"[{"name": "public", "interface": "net1", "default-route": ["10.77.255.254"]}]"#;
    survives(&Stage::start(2), &with_routes(), selection);
}

#[test]
fn the_default_route_of_the_networks_own_comes_back_where_the_selection_moved_it() {
    let config = json!({"type": "macvlan", "master": "stor0", "ipam": {"routes": [{"dst": "0.0.0.0/0"}]}});
    let selection = r#"[{"name": "public", "interface": "net1", "default-route": []}]"#;
    survives(&Stage::start(2), &definition(config), selection);
}

#[test]
fn a_default_route_that_went_elsewhere_stays_there() {
    let stage = Stage::start(1);
    let config = json!({"type": "macvlan", "master": "stor0", "ipam": {"routes": [{"dst": "0.0.0.0/0"}]}});
    let definition = definition(config);
    stage.define(&definition);
    let node = stage.node(1);
    stage.switch.join(node, "stor1");
    // net1 lost its default route to net2, whose master stays.
    let second = definition_on("stor1", "cluster", 88);
    stage.define(&second);
    let pod = stage.attached(
        1,
        "osd-0",
        r#"[{"name": "public", "interface": "net1"}, {"name": "cluster", "interface": "net2", "default-route": ["10.88.0.1"]}]"#,
    );
    let before = settled(&pod);
    vanish(node, &pod);
    come_back(&stage);
    assert_eq!(remade(&round(&stage, &definition)).len(), 1);
    assert_eq!(settled(&pod), before);
    assert_eq!(pod.netns.default_interface(false).as_deref(), Some("net2"));
}

/// A macvlan network of static addresses.
fn definition_on(master: &str, name: &str, number: u8) -> Value {
    let config = json!({"cniVersion": "1.1.0", "type": "macvlan", "master": master,
        "ipam": {"type": "static", "addresses": [{"address": format!("10.{number}.0.5/24")}]}});
    json!({"metadata": {"namespace": NAMESPACE, "name": name}, "spec": {"config": config.to_string()}})
}

#[test]
fn what_further_plugins_had_done_is_named() {
    let stage = Stage::start(1);
    let config = json!({"plugins": [{"type": "macvlan", "master": "stor0"},
        {"type": "tuning", "mac": "02:00:00:00:77:01", "sysctl": {"net.ipv4.conf.IFNAME.log_martians": "1"}}]});
    let definition = definition(config);
    stage.define(&definition);
    let pod = stage.attached(1, "osd-0", SELECTION);
    vanish(stage.node(1), &pod);
    come_back(&stage);
    let made = remade(&round(&stage, &definition));
    assert_eq!(made[0]["not_run"], json!(["tuning"]));
    let link = pod.netns.ok(&["ip", "link", "show", "net1"]);
    assert!(link.contains("02:00:00:00:77:01"), "the result has the MAC that tuning gave: {link}");
    pod.ok("del");
}

#[test]
fn a_card_that_only_has_the_name_is_not_the_master_of_an_address() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    let address = ["ip", "address", "add", "10.77.200.1/16", "dev", "stor0"];
    node.ok(&address);
    let definition = definition(json!({"type": "macvlan", "masterCIDR": "10.77.0.0/16"}));
    stage.define(&definition);
    let pod = stage.attached(1, "osd-0", SELECTION);
    vanish(node, &pod);
    come_back(&stage);
    let said = finding(&round(&stage, &definition));
    assert!(said.contains("masterCIDR") && said.contains("no interface"), "{said}");
    stage.switch.join(node, "stor9");
    node.ok(&["ip", "address", "add", "10.77.200.1/16", "dev", "stor9"]);
    let said = finding(&round(&stage, &definition));
    assert!(said.contains("stor0, on which it stood, is not the interface"), "{said}");
    node.ok(&["ip", "address", "flush", "dev", "stor9"]);
    node.ok(&address);
    assert_eq!(remade(&round(&stage, &definition)).len(), 1);
    pod.ok("del");
}

#[test]
fn an_interface_of_the_pods_own_is_not_touched() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let pod = stage.attached(1, "osd-0", SELECTION);
    vanish(stage.node(1), &pod);
    come_back(&stage);
    pod.netns.ok(&["ip", "link", "add", "net1", "type", "bridge"]);
    let said = finding(&round(&stage, &macvlan()));
    assert!(said.contains("\"net1\" that is not rooknet's"), "{said}");
    assert_eq!(pod.netns.link("net1").kind, "bridge");
    pod.netns.ok(&["ip", "link", "delete", "net1"]);
    assert_eq!(remade(&round(&stage, &macvlan())).len(), 1);
    pod.ok("check");
}

#[test]
fn a_link_that_the_pod_has_hidden_elsewhere_is_not_made_twice() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let pod = stage.attached(1, "osd-0", SELECTION);
    let elsewhere = stage.node(1).add_netns("elsewhere");
    pod.netns.ok(&["ip", "link", "set", "net1", "netns", "elsewhere"]);
    elsewhere.ok(&["ip", "link", "set", "net1", "up"]);
    let said = finding(&round(&stage, &macvlan()));
    assert!(said.contains("could not be made again"), "{said}");
    assert!(!pod.netns.interfaces().contains(&"net1".to_owned()), "what could not be finished is not left");
    assert!(elsewhere.interfaces().contains(&"net1".to_owned()));
}

#[test]
fn a_pod_that_is_being_deleted_wins() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let pod = stage.attached(1, "osd-0", SELECTION);
    let node = stage.node(1);
    vanish(node, &pod);
    come_back(&stage);
    let lock = format!("/run/rooknet/locks/{}", pod.tool.container_id());
    node.write(&lock, "");
    let mut command = node.command("flock");
    command.args([lock.as_str(), "sleep", "1000"]);
    let mut holder = crate::support::RunningCall::start(command, b"");
    wait_until("the lock", std::time::Duration::from_secs(10), || !node.held_locks().is_empty());
    let report = round(&stage, &macvlan());
    assert_eq!((&report["busy"], &report["remade"]), (&json!(1), &json!([])), "{report}");
    for process in node.processes_with("sleep 1000") {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    wait_until("the end of the lock's holder", std::time::Duration::from_secs(10), || holder.has_ended());
    pod.ok("del");
    assert_eq!(remade(&round(&stage, &macvlan())), [Value::Null; 0]);
    wait_until("what belonged to the pod to go", std::time::Duration::from_secs(60), || node.left_overs().is_empty());
}

/// Killed at every point, the next round finishes; and a DEL in its place leaves nothing.
#[test]
fn a_round_that_was_killed_anywhere_is_finished_by_the_next_or_undone_by_a_del() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let node = stage.node(1);
    let input = json!({"definitions": [macvlan()]});
    let points = [
        "journal-results.begin",
        "journal-results.renamed",
        "remake.forgotten",
        "remake.created",
        "remake.configured",
        "journal-results.written@2",
        "remake.journaled",
        "lock-discard",
    ];
    let pod = stage.attached(1, "osd-0", SELECTION);
    let before = settled(&pod);
    for point in points {
        vanish(node, &pod);
        come_back(&stage);
        assert!(!stage.try_repair(1, "masters", &input, &format!("kill:{point}")).success(), "{point} was not passed");
        remade(&round(&stage, &macvlan()));
        assert_eq!(settled(&pod), before, "{point}");
        pod.ok("check");
    }
    // What a killed round left is deleted; killed then, too, the next one begins anew.
    vanish(node, &pod);
    come_back(&stage);
    for point in ["remake.created", "remake.cleared"] {
        assert!(!stage.try_repair(1, "masters", &input, &format!("kill:{point}")).success(), "{point} was not passed");
    }
    assert_eq!(remade(&round(&stage, &macvlan())).len(), 1);
    assert_eq!(settled(&pod), before);
    pod.ok("del");
    for (number, point) in points.into_iter().enumerate() {
        let pod = stage.attached(1, &format!("mon-{number}"), SELECTION);
        vanish(node, &pod);
        come_back(&stage);
        assert!(!stage.try_repair(1, "masters", &input, &format!("kill:{point}")).success(), "{point} was not passed");
        pod.ok("del");
        wait_until(&format!("everything to go, {point}"), std::time::Duration::from_secs(60), || {
            node.left_overs().is_empty()
        });
    }
}

mod vm {
    use super::*;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn a_pods_ipvlan_talks_again_with_its_masters_new_mac() {
        let stage = Stage::start(2);
        let definition = definition(json!({"type": "ipvlan", "master": "stor0", "mode": "l2"}));
        stage.define(&definition);
        let (pod, other) = (stage.attached(1, "osd-0", SELECTION), stage.attached(2, "osd-1", SELECTION));
        let address = other.netns.address("net1");
        assert!(pod.netns.reaches(&address, Some("net1")));
        let addresses = pod.netns.addresses("net1");
        vanish(stage.node(1), &pod);
        come_back(&stage);
        assert_eq!(remade(&round(&stage, &definition)).len(), 1);
        assert_eq!(pod.netns.addresses("net1"), addresses);
        assert!(pod.netns.reaches(&address, Some("net1")));
        // CHECK compares the MAC with the journal's.
        let mac = pod.shown()["link"]["address"].clone();
        let result = journal(stage.node(1))["attachments"][0]["result"].clone();
        assert_eq!(result["interfaces"][0]["mac"], mac);
        pod.ok("check");
        pod.ok("del");
    }
}
