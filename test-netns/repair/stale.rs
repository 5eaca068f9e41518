//! What containers that are gone have left: each condition alone keeps it, and without any it goes.

use serde_json::{Value, json};

use crate::stage::{Pod, Stage, macvlan};
use crate::support::{Lease, Node, RunningCall, wait_until};

const SELECTION: &str = "public@net1";
const JOURNALS: &str = "/var/lib/rooknet/attachments";
const STORE: &str = "/var/lib/cni/networks/public";
/// The address of a container that nobody knows, with its file's content.
const GHOST: (&str, &str) = ("10.77.1.50", "ghost-container\r\nnet1");

/// What the runtime lists.
fn round(stage: &Stage, containers: &[&str]) -> Value {
    stage.repair(1, "stale", &input(containers))
}

fn input(containers: &[&str]) -> Value {
    json!({"entry": {"cniVersion": "1.1.0", "name": "pods", "type": "rooknet"}, "containers": containers,
        "definitions": [macvlan()]})
}

/// A pod whose ADD is an hour ago.
fn old_pod<'a>(stage: &'a Stage, name: &str) -> Pod<'a> {
    let pod = stage.attached(1, name, SELECTION);
    age(stage.node(1), &journal_of(&pod));
    pod
}

fn journal_of(pod: &Pod<'_>) -> String {
    format!("{JOURNALS}/{}@eth0.json", pod.tool.container_id())
}

fn age(node: &Node, file: &str) {
    node.ok(&["touch", "--no-create", "--date", "1 hour ago", file]);
}

/// How many journals the report counts under `name`; all others are 0.
#[track_caller]
fn assert_counted(report: &Value, name: &str, findings: usize) {
    for (key, count) in report["journals"].as_object().unwrap() {
        assert_eq!(count, u64::from(key == name), "{key}: {report}");
    }
    assert_eq!(report["findings"].as_array().unwrap().len(), findings, "{report}");
}

fn addresses_of_public(node: &Node) -> Vec<Lease> {
    node.host_local_addresses().into_iter().filter(|lease| lease.network == "public").collect()
}

#[test]
fn a_journal_of_a_container_that_is_gone_in_every_respect_is_undone() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let node = stage.node(1);
    let pod = old_pod(&stage, "osd-0");
    let id = pod.tool.container_id();
    assert_eq!(addresses_of_public(node).len(), 2);
    node.ok(&["ip", "netns", "delete", "osd-0"]);
    let report = round(&stage, &["another"]);
    assert_counted(&report, "undone", 0);
    assert_eq!(report["undone"], json!([{"containerId": id, "ifname": "eth0", "pod": "rook-ceph/osd-0"}]));
    assert_eq!(node.journals(), [""; 0]);
    assert_eq!(addresses_of_public(node), []);
    assert_eq!(node.entries("/run/rooknet/locks"), [""; 0]);
    assert_eq!(node.host_local_addresses().len(), 1, "the primary network's is the runtime's to release");
    assert_counted(&round(&stage, &[]), "", 0);
}

#[test]
fn each_condition_alone_keeps_a_journal() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let node = stage.node(1);
    let pod = old_pod(&stage, "osd-0");
    let id = pod.tool.container_id();
    let journal = journal_of(&pod);
    let before = node.read(&journal).unwrap();
    let assert_kept = |report: &Value, reason: &str, findings: usize| {
        assert_counted(report, reason, findings);
        assert_eq!(node.read(&journal).as_ref(), Some(&before), "{reason}");
        assert_eq!(addresses_of_public(node).len(), 2, "{reason}");
    };
    assert_kept(&round(&stage, &[]), "alive", 0);
    // A process in it is enough, with no path to it.
    let mut inhabitant = RunningCall::start(
        {
            let mut command = pod.netns.command("sleep");
            command.arg("1000");
            command
        },
        b"",
    );
    wait_until("the process in the pod", std::time::Duration::from_secs(10), || {
        node.processes().iter().any(|process| process.command_line == "sleep 1000")
    });
    node.ok(&["ip", "netns", "delete", "osd-0"]);
    assert_kept(&round(&stage, &[]), "alive", 0);
    for process in node.processes_with("sleep 1000") {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    wait_until("the end of the process in the pod", std::time::Duration::from_secs(10), || inhabitant.has_ended());

    assert_kept(&round(&stage, &[&id]), "listed", 0);
    node.ok(&["touch", &journal]);
    assert_kept(&round(&stage, &[]), "young", 0);
    node.ok(&["touch", "--date", "1 hour", &journal]);
    assert_kept(&round(&stage, &[]), "young", 0);
    age(node, &journal);

    let lock = format!("/run/rooknet/locks/{id}");
    node.write(&lock, "");
    let mut command = node.command("flock");
    command.args(["--no-fork", &lock, "sleep", "2000"]);
    let mut holder = RunningCall::start(command, b"");
    wait_until("the lock", std::time::Duration::from_secs(10), || !node.held_locks().is_empty());
    assert_kept(&round(&stage, &[]), "busy", 0);
    holder.kill();
    wait_until("the end of the lock's holder", std::time::Duration::from_secs(10), || holder.has_ended());

    node.write(&journal, "{");
    age(node, &journal);
    let report = round(&stage, &[]);
    assert_counted(&report, "corrupt", 1);
    assert_eq!(addresses_of_public(node).len(), 2, "its addresses may be alive");
    node.write(&journal, &before);
    age(node, &journal);
    assert_counted(&round(&stage, &[]), "undone", 0);
}

#[test]
fn a_round_that_was_killed_is_finished_by_the_next() {
    let stage = Stage::start(1);
    stage.define(&macvlan());
    let node = stage.node(1);
    for (number, point) in
        ["lock-acquired", "undo.attachment", "host-local-release.removed", "journal-remove.begin", "lock-discard"]
            .into_iter()
            .enumerate()
    {
        let name = format!("osd-{number}");
        old_pod(&stage, &name);
        node.ok(&["ip", "netns", "delete", &name]);
        let killed = stage.try_repair(1, "stale", &input(&[]), &format!("kill:{point}"));
        assert!(!killed.success(), "{point} was not passed");
        let report = round(&stage, &[]);
        assert_eq!(report["findings"], json!([]), "{point}");
        assert_eq!(node.journals(), [""; 0], "{point}");
        assert_eq!(addresses_of_public(node), [], "{point}");
        assert_eq!(node.entries("/run/rooknet/locks"), [""; 0], "{point}: {report}");
    }
}

#[test]
fn a_lock_file_of_a_killed_call_goes_and_one_of_a_known_container_stays() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    node.write("/run/rooknet/locks/killed", "");
    node.write("/run/rooknet/locks/listed", "");
    node.ok(&["mkdir", "-p", "/var/lib/cni/results"]);
    assert_eq!(round(&stage, &["listed"])["locks"], 1);
    assert_eq!(node.entries("/run/rooknet/locks"), ["listed"]);
}

#[test]
fn a_new_node_has_no_results_of_its_runtime_yet_and_that_is_no_fault() {
    let stage = Stage::start(1);
    assert_eq!(round(&stage, &[])["findings"], json!([]));
}

/// A node with an address of nobody, an hour old.
fn with_ghost() -> Stage {
    let stage = Stage::start(1);
    let node = stage.node(1);
    node.write(&format!("{STORE}/{}", GHOST.0), GHOST.1);
    age(node, &format!("{STORE}/{}", GHOST.0));
    node.ok(&["mkdir", "-p", "/var/lib/cni/results"]);
    stage
}

#[test]
fn an_address_of_nobody_is_released() {
    let stage = with_ghost();
    let node = stage.node(1);
    for point in ["host-local-release.begin", "host-local-release.removed"] {
        assert!(
            !stage.try_repair(1, "stale", &input(&[]), &format!("kill:{point}")).success(),
            "{point} was not passed"
        );
        assert_eq!(addresses_of_public(node).len(), usize::from(point.ends_with("begin")), "{point}");
    }
    node.write(&format!("{STORE}/{}", GHOST.0), GHOST.1);
    age(node, &format!("{STORE}/{}", GHOST.0));
    let report = round(&stage, &["another"]);
    let released = json!([{"network": "public", "address": GHOST.0, "containerId": "ghost-container"}]);
    assert_eq!((&report["released"], &report["addressesKept"]), (&released, &json!(0)), "{report}");
    assert_eq!(report["findings"], json!([]));
    assert_eq!(addresses_of_public(node), []);
}

#[test]
fn each_condition_alone_keeps_an_address() {
    let stage = with_ghost();
    let node = stage.node(1);
    let file = format!("{STORE}/{}", GHOST.0);
    let assert_kept = |report: &Value, why: &str| {
        assert_eq!(report["released"], json!([]), "{why}");
        assert_eq!(addresses_of_public(node).len(), 1, "{why}");
    };
    let report = round(&stage, &["ghost-container"]);
    assert_kept(&report, "the runtime lists it");
    assert_eq!(report["addressesKept"], 1);
    for known in [
        "/var/lib/cni/multus/ghost-container",
        "/var/lib/cni/multus/results/public-ghost-container-net1",
        "/var/lib/cni/results/public-ghost-container-net1",
        "/var/lib/rooknet/attachments/ghost-container@eth0.json",
    ] {
        node.write(known, "");
        assert_kept(&round(&stage, &[]), known);
        node.ok(&["rm", known]);
    }
    for young in ["now", "9 minutes ago", "1 hour"] {
        node.ok(&["touch", "--date", young, &file]);
        assert_kept(&round(&stage, &[]), young);
    }
    age(node, &file);
    let mut elsewhere = input(&[]);
    elsewhere["definitions"] = json!([]);
    assert_kept(&stage.repair(1, "stale", &elsewhere), "nothing names its network");

    node.ok(&["rmdir", "/var/lib/cni/results"]);
    let report = round(&stage, &[]);
    assert_kept(&report, "the runtime's results are not there");
    assert!(report["findings"][0]["text"].as_str().unwrap().contains("/var/lib/cni/results"), "{report}");
    node.ok(&["mkdir", "/var/lib/cni/results"]);
    node.ok(&["rm", "-rf", "/var/lib/rooknet/attachments"]);
    assert_eq!(round(&stage, &[])["released"].as_array().unwrap().len(), 1, "without any of them it goes");
}
