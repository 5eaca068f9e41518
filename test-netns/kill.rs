//! rooknet killed at every point of an ADD, of a rollback and of a DEL of eth0, public and cluster by the reference
//! plugins: the DEL that follows at once leaves nothing.

use std::fs::File;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kinds::{CLUSTER, Kind};
use crate::site::{Mode, NAMESPACE, OSD, Pod, Setup, Site, broken_network};
use crate::support::{Node, Process, wait_until};

/// Where rooknet writes the points that it passes.
const TRACE: &str = "/run/rooknet-trace";

/// What becomes of the pod's network namespace between the killed call and the DEL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Kept,
    Gone,
}

/// Kills `operation`, which follows the operations in `before`, at its points: at each, or only at every so-manieth.
fn killed(site: &Site, operation: &str, before: &[&str], then: Then, every: usize) {
    let points = points(site, operation, before);
    assert!(points.len() > 12, "an operation on three networks passes more points than {points:?}");
    let node = site.node(1);
    for (number, point) in points.iter().enumerate().step_by(every) {
        // Shown when the test fails.
        println!("{operation} killed at {point}");
        let pod = site.pod(1, &format!("pod-{number}"), OSD);
        prepare(&pod, before);
        let killed = pod.tool.clone().env("ROOKNET_FAULT", point).env("ROOKNET_FAULT_TRACE", TRACE).run(operation);
        assert_eq!(trace(node).last(), Some(point), "{operation} must end at {point}: {killed}");
        assert!(!killed.success(), "{operation} at {point}: {killed}");
        if then == Then::Gone {
            pod.netns.clone().delete();
        }
        pod.del();
        match then {
            Then::Kept => site.assert_clean(),
            Then::Gone => site.wait_until_clean(),
        }
        if then == Then::Kept {
            pod.netns.delete();
        }
    }
}

/// The points that one operation passes, as `ROOKNET_FAULT` takes them.
fn points(site: &Site, operation: &str, before: &[&str]) -> Vec<String> {
    let pod = site.pod(1, "traced", OSD);
    prepare(&pod, before);
    // Its outcome is the test's matter: an ADD that is rolled back fails.
    pod.tool.clone().env("ROOKNET_FAULT_TRACE", TRACE).run(operation);
    pod.del();
    pod.netns.delete();
    trace(site.node(1))
}

/// The points that were passed since it was last asked.
fn trace(node: &Node) -> Vec<String> {
    let text = node.read(TRACE).expect("rooknet wrote the points that it passed");
    node.write(TRACE, "");
    let text = String::from_utf8(text).expect("the points are text");
    text.lines().filter(|line| line.starts_with("kill:")).map(str::to_owned).collect()
}

fn prepare(pod: &Pod<'_>, before: &[&str]) {
    for operation in before {
        pod.tool.run(operation).expect_success(operation);
    }
}

fn killed_add(setup: Setup, then: Then, every: usize) {
    killed(&Site::start(setup, 1), "add", &[], then, every);
}

fn killed_del(setup: Setup, then: Then, every: usize) {
    killed(&Site::start(setup, 1), "del", &["add"], then, every);
}

/// An ADD whose last network fails, killed wherever it is, its rollback included.
fn killed_rollback(setup: Setup, every: usize) {
    let site = Site::start(setup, 1);
    site.define(1, NAMESPACE, "cluster", &broken_network(setup, CLUSTER, 1));
    killed(&site, "add", &[], Then::Kept, every);
}

/// rooknet killed while a plugin and its IPAM plugin are at work: they go on, and the DEL waits for their end.
fn killed_while_ipam_works(setup: Setup) {
    let site = Site::start(setup, 1);
    let node = site.node(1);
    // host-local waits for its store's lock.
    let file = "/var/lib/cni/networks/cluster/lock";
    node.write(file, "");
    let store = File::open(node.path(file)).expect("the store's lock");
    let store = Flock::lock(store, FlockArg::LockExclusive).expect("lock the store");

    let pod = site.pod(1, "pod", OSD);
    let add = pod.tool.start("add");
    let working = || one_of(&node.processes_with("CNI_IFNAME=cluster"), "host-local");
    wait_until("host-local for cluster", Duration::from_secs(60), || working().is_some());
    let rooknet = one_of(&node.processes(), "rooknet").expect("rooknet waits for its delegate");
    kill(Pid::from_raw(rooknet.pid), Signal::SIGKILL).expect("kill rooknet");
    assert!(!add.wait().success(), "the ADD cannot have succeeded");
    assert!(working().is_some(), "a runtime kills rooknet alone");

    let del = pod.tool.start("del");
    wait_until("the DEL", Duration::from_secs(60), || {
        one_of(&node.processes_with("CNI_COMMAND=DEL"), "rooknet").is_some()
    });
    drop(store);
    del.wait().expect_success("DEL");
    site.assert_clean();
}

/// The first process of a plugin.
fn one_of(processes: &[Process], plugin: &str) -> Option<Process> {
    let program = format!("/opt/cni/bin/{plugin}");
    processes.iter().find(|process| process.command_line == program).cloned()
}

#[test]
fn killed_at_every_point_of_an_add_chained() {
    killed_add(Setup::new(Kind::Macvlan, Mode::Chained), Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_an_add_delegating() {
    killed_add(Setup::new(Kind::Macvlan, Mode::Delegating), Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_an_add_and_the_namespace_gone() {
    killed_add(Setup::new(Kind::Macvlan, Mode::Delegating), Then::Gone, 1);
}

#[test]
fn killed_at_every_point_of_a_del_chained() {
    killed_del(Setup::new(Kind::Macvlan, Mode::Chained), Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_a_del_delegating() {
    killed_del(Setup::new(Kind::Macvlan, Mode::Delegating), Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_a_del_and_the_namespace_gone() {
    killed_del(Setup::new(Kind::Macvlan, Mode::Delegating), Then::Gone, 1);
}

#[test]
fn killed_at_every_point_of_an_add_that_is_rolled_back() {
    killed_rollback(Setup::new(Kind::Macvlan, Mode::Delegating), 1);
}

#[test]
fn killed_while_macvlan_and_host_local_work() {
    killed_while_ipam_works(Setup::new(Kind::Macvlan, Mode::Delegating));
}

mod vm {
    //! See the front page of `main.rs`. The machine is slow, and the points are those of every kind of link: some of
    //! them do.
    use super::{Mode, Then, killed_add, killed_del, killed_rollback, killed_while_ipam_works};
    use crate::kinds::Kind;
    use crate::site::Setup;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn killed_at_points_of_an_add_of_ipvlan() {
        killed_add(Setup::new(Kind::IpvlanL2, Mode::Delegating), Then::Kept, 12);
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn killed_at_points_of_a_del_of_ipvlan() {
        killed_del(Setup::new(Kind::IpvlanL3, Mode::Chained), Then::Kept, 12);
    }

    #[test]
    #[ignore = "needs 8021q: make test-vm"]
    fn killed_at_points_of_an_add_of_vlan_that_is_rolled_back() {
        killed_rollback(Setup::new(Kind::Vlan, Mode::Delegating), 20);
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn killed_while_ipvlan_and_host_local_work() {
        killed_while_ipam_works(Setup::new(Kind::IpvlanL2, Mode::Chained));
    }
}
