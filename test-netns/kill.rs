//! rooknet killed at every point of an ADD, of a rollback, of a DEL and of a GC of eth0, public and cluster, by native
//! plugins and by the reference's: the DEL that follows at once leaves nothing.

use std::fs::File;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::kinds::{CLUSTER, Kind};
use crate::site::{Mode, NAMESPACE, OSD, Pod, Runner, Setup, Site, broken_network};
use crate::support::{Node, Outcome, Process, wait_until};

/// Where rooknet writes the points that it passes.
const TRACE: &str = "/run/rooknet-trace";
/// The storage networks' interfaces, which are native where plugins are.
const STORAGE: [&str; 2] = ["public", "cluster"];

/// Points of an ADD by native plugins.
const NATIVE_ADD: [&str; 12] = [
    "native.created",
    "host-local-directory",
    "host-local-locked",
    "host-local-address.begin",
    "host-local-address.created",
    "host-local-address.written",
    "host-local-address.linked",
    "host-local-address.done",
    "host-local-last.written",
    "host-local-last.renamed",
    "native.addressed",
    "native.configured",
];
/// Points of whatever ends attachments of native plugins.
const NATIVE_END: [&str; 5] =
    ["undo.group", "undo.group-deleted", "undo.link-deleted", "host-local-release.begin", "host-local-release.removed"];
/// Points of any call of programs.
const EXECUTED: [&str; 4] = ["delegate.spawned", "delegate.noted", "delegate.fed", "delegate.ended"];

/// What is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    /// An ADD whose last network fails.
    FailingAdd,
    Del,
    /// A GC whose list is empty.
    Gc,
}

impl Operation {
    /// Runs it for `pod`, the only one of the node.
    fn run(self, site: &Site, pod: &Pod<'_>, environment: &[(&str, &str)]) -> Outcome {
        if self == Operation::Gc {
            let gc = Site::gc_call(&site.conflist(1), Some(&[]));
            let gc = environment.iter().fold(gc, |gc, (name, value)| gc.env(name, value));
            return gc.run(site.node(1));
        }
        let tool = environment.iter().fold(pod.tool.clone(), |tool, (name, value)| tool.env(name, value));
        tool.run(if self == Operation::Del { "del" } else { "add" })
    }

    /// Makes what it ends. Stores of addresses are as on a new node: their making has points, too.
    fn prepare(self, pod: &Pod<'_>) {
        pod.netns.node().ok(&["rm", "-rf", "/var/lib/cni/networks"]);
        if !self.begins() {
            pod.add();
        }
    }

    fn begins(self) -> bool {
        matches!(self, Operation::Add | Operation::FailingAdd)
    }

    /// Points that it must pass, so that a matrix that lost them fails.
    fn points(self, runner: Runner) -> Vec<&'static str> {
        let (add, end) = match runner {
            Runner::Native => (&NATIVE_ADD[..], &NATIVE_END[..]),
            Runner::Executed => (&EXECUTED[..], &EXECUTED[..]),
        };
        match self {
            Operation::Add => add.to_vec(),
            Operation::Del | Operation::Gc => end.to_vec(),
            Operation::FailingAdd => [add, end, &["rollback.begin"]].concat(),
        }
    }
}

/// What becomes of the pod's network namespace between the killed call and the DEL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Kept,
    Gone,
}

/// Kills `operation` at its points: at each, or only at every so-manieth.
fn killed(setup: Setup, operation: Operation, then: Then, every: usize) {
    let site = Site::start(setup, 1);
    if operation == Operation::FailingAdd {
        site.define(1, NAMESPACE, "cluster", &broken_network(setup, CLUSTER, 1));
    }
    let points = points(&site, operation);
    for (number, point) in points.iter().enumerate().step_by(every) {
        // Shown when the test fails.
        println!("killed at {point}");
        let pod = site.pod(1, &format!("pod-{number}"), OSD);
        operation.prepare(&pod);
        let environment = [("ROOKNET_FAULT", point.as_str()), ("ROOKNET_FAULT_TRACE", TRACE)];
        let killed = operation.run(&site, &pod, &environment);
        assert_eq!(trace(site.node(1)).last(), Some(point), "it must end at {point}: {killed}");
        assert!(!killed.success(), "at {point}: {killed}");
        if setup.runner == Runner::Native && !operation.begins() {
            what_answers_has_its_address(&pod);
        }
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

/// The points that an operation passes, as `ROOKNET_FAULT` takes them.
fn points(site: &Site, operation: Operation) -> Vec<String> {
    let pod = site.pod(1, "traced", OSD);
    operation.prepare(&pod);
    // Its outcome is the test's matter: an ADD that is rolled back fails.
    operation.run(site, &pod, &[("ROOKNET_FAULT_TRACE", TRACE)]);
    pod.del();
    pod.netns.delete();
    let points = trace(site.node(1));
    for expected in operation.points(site.setup.runner) {
        assert!(points.contains(&format!("kill:{expected}")), "{expected} is not passed any more: {points:?}");
    }
    points
}

/// The points that were passed since it was last asked.
fn trace(node: &Node) -> Vec<String> {
    let text = node.read(TRACE).expect("rooknet wrote the points that it passed");
    node.write(TRACE, "");
    let text = String::from_utf8(text).expect("the points are text");
    text.lines().filter(|line| line.starts_with("kill:")).map(str::to_owned).collect()
}

/// Links go before addresses: an interface that is still there still has its address in the store.
#[track_caller]
fn what_answers_has_its_address(pod: &Pod<'_>) {
    let (interfaces, leased) = (pod.netns.interfaces(), leased(pod));
    for interface in interfaces.iter().filter(|name| STORAGE.contains(&name.as_str())) {
        assert!(leased.contains(interface), "{interface} is there, and its address is free: only {leased:?}");
    }
}

/// The pod's interfaces that have an address in a store.
fn leased(pod: &Pod<'_>) -> Vec<String> {
    let id = pod.id();
    let leases = pod.netns.node().host_local_addresses().into_iter();
    leases.filter(|lease| lease.container == id).map(|lease| lease.interface).collect()
}

/// Holds the lock of a network's store, for which host-local waits.
fn lock_store(node: &Node, network: &str) -> Flock<File> {
    let file = format!("/var/lib/cni/networks/{network}/lock");
    if node.read(&file).is_none() {
        node.write(&file, "");
    }
    let store = File::open(node.path(&file)).expect("the store's lock");
    Flock::lock(store, FlockArg::LockExclusive).expect("lock the store")
}

/// A DEL that waits for a store: the interfaces are gone, and no address is free yet.
fn addresses_outlive_links(setup: Setup) {
    let site = Site::start(setup, 1);
    let pod = site.pod(1, "pod", OSD);
    pod.add();
    let stores = STORAGE.map(|network| lock_store(site.node(1), network));
    let del = pod.tool.start("del");
    wait_until("the end of the storage interfaces", Duration::from_secs(60), || {
        !pod.netns.interfaces().iter().any(|name| STORAGE.contains(&name.as_str()))
    });
    let leased = leased(&pod);
    assert!(STORAGE.iter().all(|interface| leased.iter().any(|leased| leased == interface)), "only {leased:?}");
    drop(stores);
    del.wait().expect_success("DEL");
    site.assert_clean();
}

/// rooknet killed while a program and its IPAM program are at work: they go on, and the DEL waits for their end.
fn killed_while_ipam_works(setup: Setup) {
    let site = Site::start(setup.executed(), 1);
    let node = site.node(1);
    let store = lock_store(node, "cluster");

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

fn macvlan(mode: Mode) -> Setup {
    Setup::new(Kind::Macvlan, mode)
}

#[test]
fn killed_at_every_point_of_an_add_chained() {
    killed(macvlan(Mode::Chained), Operation::Add, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_an_add_delegating() {
    killed(macvlan(Mode::Delegating), Operation::Add, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_an_add_and_the_namespace_gone() {
    killed(macvlan(Mode::Delegating), Operation::Add, Then::Gone, 1);
}

#[test]
fn killed_at_every_point_of_an_add_by_executed_plugins() {
    killed(macvlan(Mode::Delegating).executed(), Operation::Add, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_a_del_chained() {
    killed(macvlan(Mode::Chained), Operation::Del, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_a_del_delegating() {
    killed(macvlan(Mode::Delegating), Operation::Del, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_a_del_and_the_namespace_gone() {
    killed(macvlan(Mode::Delegating), Operation::Del, Then::Gone, 1);
}

#[test]
fn killed_at_every_point_of_a_del_by_executed_plugins() {
    killed(macvlan(Mode::Chained).executed(), Operation::Del, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_a_gc() {
    killed(macvlan(Mode::Delegating), Operation::Gc, Then::Kept, 1);
}

#[test]
fn killed_at_every_point_of_an_add_that_is_rolled_back() {
    killed(macvlan(Mode::Delegating), Operation::FailingAdd, Then::Kept, 1);
}

#[test]
fn killed_while_macvlan_and_host_local_work() {
    killed_while_ipam_works(macvlan(Mode::Delegating));
}

#[test]
fn addresses_are_taken_as_long_as_there_are_links() {
    for mode in [Mode::Chained, Mode::Delegating] {
        addresses_outlive_links(macvlan(mode));
    }
}

mod vm {
    //! See the front page of `main.rs`. The machine is slow, and the points are those of every kind of link: some of
    //! them do.
    use super::{Mode, Operation, Then, killed, killed_while_ipam_works};
    use crate::kinds::Kind;
    use crate::site::Setup;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn killed_at_points_of_an_add_of_ipvlan() {
        killed(Setup::new(Kind::IpvlanL2, Mode::Delegating), Operation::Add, Then::Kept, 12);
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn killed_at_points_of_a_del_of_ipvlan() {
        killed(Setup::new(Kind::IpvlanL3, Mode::Chained), Operation::Del, Then::Kept, 12);
    }

    #[test]
    #[ignore = "needs 8021q: make test-vm"]
    fn killed_at_points_of_an_add_of_vlan_that_is_rolled_back() {
        killed(Setup::new(Kind::Vlan, Mode::Delegating).executed(), Operation::FailingAdd, Then::Kept, 20);
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn killed_while_ipvlan_and_host_local_work() {
        killed_while_ipam_works(Setup::new(Kind::IpvlanL2, Mode::Chained));
    }
}
