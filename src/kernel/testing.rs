//! For the tests of this room: a network namespace of its own for each, made by a thread that is thrown away.

use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use super::netlink::{Kind, MacvlanMode, Netlink, NewLink};
use super::netns::Netns;

/// Runs `test` on a thread in a new network namespace, within a tokio runtime. Needs root.
pub(crate) fn in_new_netns<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace: the tests need root");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(test());
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// What `work` gives on each of two threads of this namespace that run it at once, each within a tokio runtime.
pub(crate) fn twice_at_once<T: Send, F: Future<Output = T>>(work: impl Fn() -> F + Sync) -> [T; 2] {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work())
    };
    std::thread::scope(|scope| [scope.spawn(run), scope.spawn(run)].map(|thread| thread.join().unwrap()))
}

/// Runs `ip` with the words of `arguments`, in the namespace of the calling thread; its output.
pub(crate) fn ip(arguments: &str) -> String {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output = Command::new("ip").args(&words).output().expect("ip of iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// As [`ip`], in another namespace.
pub(crate) fn ip_inside(netns: &Netns, arguments: &str) -> String {
    netns.inside(|| ip(arguments)).unwrap()
}

/// The objects that `ip -d -j` or `bridge -d -j` print, in the namespace of the calling thread.
pub(crate) fn objects(program: &str, arguments: &str) -> Vec<Value> {
    let words = ["-d", "-j"].into_iter().chain(arguments.split_whitespace());
    let output = Command::new(program).args(words).output().expect("ip and bridge of iproute2");
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `ip -d -j link` says about one link of a namespace.
pub(crate) fn link_shown(netns: &Netns, name: &str) -> Value {
    netns.inside(|| objects("ip", &format!("link show dev {name}")).remove(0)).unwrap()
}

/// A new network namespace, which lasts as long as the answer: a pod's.
pub(crate) fn new_netns() -> Netns {
    let made = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace: the tests need root");
                Netns::own().unwrap()
            })
            .join()
    });
    made.unwrap()
}

/// A path by which another program finds the namespace, for as long as `netns` lasts.
pub(crate) fn path_of(netns: &Netns) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd())
}

/// A bridge that is up, for macvlans to stand on; its ifindex. (A bridge is the one kind of parent that every kernel
/// has.)
pub(crate) async fn parent(netlink: &Netlink) -> u32 {
    let up = NewLink { up: true, ..NewLink::new("parent0", Kind::Bridge { vlan_filtering: false }) };
    netlink.create_link(&up).await.unwrap().index
}

/// A macvlan of mode bridge over `parent`.
pub(crate) fn macvlan(name: &str, parent: u32) -> NewLink<'_> {
    NewLink::new(name, Kind::Macvlan { parent, mode: MacvlanMode::Bridge, bc_queue_len: None })
}

/// How many requests these sockets have sent in all.
pub(crate) fn requests(sockets: &[&Netlink]) -> u64 {
    sockets.iter().map(|socket| socket.requests()).sum()
}
