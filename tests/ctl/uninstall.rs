//! How rooknet goes from a node, and when it does not.

use serde_json::json;

use crate::machine::{LIMIT, Machine, OURS, PLUGIN, PRIMARY};
use crate::support::{RunningCall, run, wait_until};

#[test]
fn an_uninstall_is_refused_with_a_list_while_something_is_attached() {
    let machine = Machine::start();
    machine.install(&[]);
    let netns = machine.node.add_netns("osd");
    machine.storage_pod(&netns).run("add").expect_success("ADD");
    let outcome = machine.ctl("uninstall", &[]);
    assert_eq!(outcome.status.code(), Some(4), "{outcome}");
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(text.contains("rook-ceph/osd-0") && text.contains("rook-ceph/public"), "{outcome}");
    // Nothing was changed: the node takes further pods.
    let other = machine.node.add_netns("mon");
    machine.storage_pod(&other).run("add").expect_success("ADD after the refusal");
    for netns in [&netns, &other] {
        machine.storage_pod(netns).run("del").expect_success("DEL");
    }
    machine.uninstall(&[]);
    machine.assert_gone();
}

#[test]
fn a_draining_node_refuses_new_storage_pods_passes_others_and_is_left_with_the_last_attachment() {
    let machine = Machine::start();
    machine.install(&[]);
    let netns = machine.node.add_netns("osd");
    machine.storage_pod(&netns).run("add").expect_success("ADD");
    let mut uninstall = RunningCall::start(machine.command("uninstall", &["--wait"]), b"");
    wait_until("the node is drained", LIMIT, || machine.node.read("/var/lib/rooknet/draining").is_some());
    let refused = machine.node.add_netns("mon");
    let outcome = machine.storage_pod(&refused).run("add");
    assert!(!outcome.success() && String::from_utf8_lossy(&outcome.stderr).contains("drain"), "{outcome}");
    machine.storage_pod(&refused).run("del").expect_success("DEL of the refused");
    let plain = machine.node.add_netns("plain");
    let plain_pod =
        crate::support::CniTool::new(&plain, "pods").pod("default", "plain", "uid-1").annotations(&json!({}));
    plain_pod.run("add").expect_success("ADD of a pod that selects nothing");
    assert!(!uninstall.has_ended(), "it did not wait");
    machine.storage_pod(&netns).run("del").expect_success("DEL while draining");
    uninstall.wait().expect_success("rooknetctl uninstall --wait");
    machine.assert_gone();
    // Along the primary's own conflist.
    plain_pod.run("del").expect_success("DEL after the uninstall");
    assert_eq!(machine.node.left_overs(), Vec::<String>::new());
}

#[test]
fn when_the_time_is_up_the_node_goes_on_being_drained_and_an_install_ends_that() {
    let machine = Machine::start();
    machine.install(&[]);
    let netns = machine.node.add_netns("osd");
    machine.storage_pod(&netns).run("add").expect_success("ADD");
    let outcome = machine.ctl("uninstall", &["--wait", "--timeout", "0s"]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(machine.node.read("/var/lib/rooknet/draining").is_some() && machine.node.read(OURS).is_some());
    machine.install(&[]);
    assert_eq!(machine.node.read("/var/lib/rooknet/draining"), None);
    machine.storage_pod(&netns).run("del").expect_success("DEL");
}

#[test]
fn force_undoes_what_is_attached_from_the_journals() {
    for mode in ["chained", "delegating"] {
        let machine = Machine::start();
        machine.install(&["--mode", mode]);
        let netns = machine.node.add_netns("osd");
        machine.storage_pod(&netns).run("add").expect_success("ADD");
        machine.uninstall(&["--force"]);
        machine.assert_gone();
        assert!(!netns.interfaces().contains(&"public".to_owned()), "{:?}", netns.interfaces());
        machine.storage_pod(&netns).run("del").expect_success("DEL along the primary's conflist");
        assert_eq!(machine.node.left_overs(), Vec::<String>::new(), "{mode}");
    }
}

#[test]
fn in_delegating_mode_pods_that_select_nothing_hold_nobody_up_and_keep_their_network() {
    let machine = Machine::start();
    machine.install(&["--mode", "delegating"]);
    let plain = machine.node.add_netns("plain");
    let pod = crate::support::CniTool::new(&plain, "pods").pod("default", "plain", "uid-1").annotations(&json!({}));
    pod.run("add").expect_success("ADD");
    machine.uninstall(&[]);
    machine.assert_gone();
    assert!(plain.interfaces().contains(&"eth0".to_owned()));
    pod.run("del").expect_success("DEL along the primary's conflist");
    assert_eq!(machine.node.left_overs(), Vec::<String>::new());
}

#[test]
fn a_node_without_another_network_keeps_rooknet() {
    let machine = Machine::start();
    machine.install(&[]);
    std::fs::remove_file(machine.node.path(PRIMARY)).unwrap();
    let outcome = machine.ctl("uninstall", &[]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("no other network"), "{outcome}");
    assert!(machine.node.read(OURS).is_some() && machine.node.read(PLUGIN).is_some());
}

#[test]
fn the_links_that_the_agent_made_on_the_node_itself_go_with_rooknet() {
    let machine = Machine::start();
    machine.install(&[]);
    machine.node.ok(&["ip", "link", "add", "stor0", "up", "type", "veth", "peer", "name", "wire"]);
    let ranges = json!({"node": {"ranges": [[{"subnet": "192.168.20.0/24", "rangeStart": "192.168.20.64",
        "rangeEnd": "192.168.20.127"}]], "host": "192.168.20.2/24"}});
    let config = json!({"cniVersion": "1.1.0", "name": "public", "type": "macvlan", "master": "stor0",
        "ipam": {"type": "host-local"}});
    let annotations = json!({"rooknet.io/host-access": "true", "rooknet.io/node-ranges": ranges.to_string()});
    let definition = json!({"kind": "NetworkAttachmentDefinition", "metadata": {"namespace": "rook-ceph",
        "name": "public", "annotations": annotations}, "spec": {"config": config.to_string()}});
    let mut round = machine.node.command(env!("CARGO_BIN_EXE_rooknet-repair"));
    round.arg("shim");
    let outcome = run(round, json!({"definitions": [definition], "node": "node"}).to_string().as_bytes());
    outcome.expect_success("the agent's round");
    let links = || machine.node.ok(&["ip", "-o", "link", "show", "type", "macvlan"]);
    assert!(links().contains("shim-"), "{}: {}", outcome.json(), links());
    // What is planned is told, and nothing is done.
    let told = "remove the node's own link on network rook-ceph/public";
    let planned = machine.uninstall(&["--dry-run"]);
    assert!(planned["changes"].to_string().contains(told) && links().contains("shim-"), "{planned}");
    let report = machine.uninstall(&[]);
    assert!(report["changes"].to_string().contains(told), "{report}");
    assert_eq!(links(), "");
    machine.assert_gone();
}

#[test]
fn a_node_whose_primary_goes_during_the_drain_keeps_rooknet() {
    let machine = Machine::start();
    machine.install(&[]);
    let netns = machine.node.add_netns("osd");
    machine.storage_pod(&netns).run("add").expect_success("ADD");
    let uninstall = RunningCall::start(machine.command("uninstall", &["--wait"]), b"");
    wait_until("the node is drained", LIMIT, || machine.node.read("/var/lib/rooknet/draining").is_some());
    let primary = machine.node.read(PRIMARY).unwrap();
    std::fs::remove_file(machine.node.path(PRIMARY)).unwrap();
    machine.storage_pod(&netns).run("del").expect_success("DEL while draining");
    let outcome = uninstall.wait();
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("no other network"), "{outcome}");
    assert!(machine.node.read(OURS).is_some() && machine.node.read(PLUGIN).is_some());
    machine.node.write(PRIMARY, primary);
    machine.uninstall(&[]);
    machine.assert_gone();
}
