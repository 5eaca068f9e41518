//! The nodes themselves, proven with the reference plugins alone: when one of these fails, look here first and not
//! into rooknet.

use std::fs;
use std::time::Duration;

use crate::support::{CniTool, Namespace, Node, Switch, wait_until};

/// A node with `stor0` on the switch and one network `storage`: macvlan on stor0, and addresses of its own out of
/// 10.77.0.0/16.
fn storage_node(name: &str, switch: &Switch, number: u8) -> Node {
    let node = Node::start(name);
    switch.join(&node, "stor0");
    node.write(
        "/etc/cni/net.d/storage.conflist",
        format!(
            r#"{{"cniVersion": "1.0.0", "name": "storage", "plugins": [{{
                "type": "macvlan", "master": "stor0", "mode": "bridge",
                "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "10.77.0.0/16",
                    "rangeStart": "10.77.{number}.10", "rangeEnd": "10.77.{number}.99"}}]]}}}}]}}"#
        ),
    );
    node
}

fn attach(netns: &Namespace<'_>) -> String {
    CniTool::new(netns, "storage").interface("net1").run("add").expect_success("cnitool add");
    netns.address("net1")
}

fn detach(netns: &Namespace<'_>) {
    CniTool::new(netns, "storage").interface("net1").run("del").expect_success("cnitool del");
}

#[test]
fn macvlan_pods_of_two_nodes_meet() {
    let switch = Switch::start("storage", 9000);
    let (a, b) = (storage_node("a", &switch, 1), storage_node("b", &switch, 2));
    let (pod_a, pod_b) = (a.add_netns("pod"), b.add_netns("pod"));
    let (address_a, address_b) = (attach(&pod_a), attach(&pod_b));

    assert_eq!((address_a.as_str(), address_b.as_str()), ("10.77.1.10", "10.77.2.10"));
    assert_eq!((pod_a.link("net1").kind.as_str(), pod_a.link("net1").mtu), ("macvlan", 9000));
    assert!(pod_a.reaches(&address_b, Some("net1")), "no answer from {address_b}");
    assert!(pod_b.reaches(&address_a, Some("net1")), "no answer from {address_a}");
    assert!(!pod_a.ping("10.77.2.11", None), "an answer from an address that nobody has");
    assert_eq!(a.host_local_addresses().len(), 1);
    assert!(!a.left_overs().is_empty());

    detach(&pod_a);
    detach(&pod_b);
    assert_eq!(a.left_overs(), Vec::<String>::new());
    assert_eq!(b.left_overs(), Vec::<String>::new());
}

#[test]
fn a_node_shows_nothing_of_the_machine_and_the_machine_nothing_of_it() {
    let node = Node::start("a");
    assert_eq!(node.host().interfaces(), Vec::<String>::new());
    let pod = node.add_netns("rooknet-surroundings");
    assert_eq!(node.netns_names(), ["rooknet-surroundings"]);
    assert!(!fs::exists("/run/netns/rooknet-surroundings").unwrap());
    node.write("/var/lib/cni/rooknet-surroundings", "here");
    assert!(!fs::exists("/var/lib/cni/rooknet-surroundings").unwrap());
    assert_ne!(pod.inode(), node.host().inode());
    pod.delete();
    assert_eq!(node.netns_names(), Vec::<String>::new());
}

#[test]
fn a_held_lock_and_a_left_over_process_are_seen() {
    let node = Node::start("a");
    node.write("/run/rooknet/locks/some", "");
    assert_eq!(node.held_locks(), []);
    let mut command = node.command("flock");
    command.args(["/run/rooknet/locks/some", "sleep", "1000"]).env("MARKER", "surroundings-marker");
    let mut holder = crate::support::RunningCall::start(command, b"");
    wait_until("the lock", Duration::from_secs(10), || {
        node.held_locks().iter().any(|lock| lock.file == "/run/rooknet/locks/some" && lock.taken_by == holder.pid())
    });
    wait_until("flock's child", Duration::from_secs(10), || node.processes_with("surroundings-marker").len() == 2);

    // The child inherited the descriptor: with flock killed alone, the lock is still held.
    holder.kill();
    wait_until("the end of flock", Duration::from_secs(10), || holder.has_ended());
    assert_eq!(node.held_locks().len(), 1);
    assert_eq!(node.left_overs().len(), 2, "{:?}", node.left_overs());
    let sleep = node.processes_with("surroundings-marker").remove(0);
    assert_eq!(sleep.command_line, "sleep 1000");
    drop(node);
    wait_until("the end of the node's processes", Duration::from_secs(10), || {
        !fs::exists(format!("/proc/{}/cwd", sleep.pid)).unwrap()
    });
}
