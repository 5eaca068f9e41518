//! The floor under rooknet: a program that makes the kernel's state of one pod by netlink messages, and does nothing
//! else.
//!
//! No configuration, no journal, no address management, no answer to a runtime, no look at what is there already, and
//! no error that an administrator could use. It is told everything as arguments: which ifindex each link gets, so that
//! it need not look one up, and each address. What it takes is what the kernel takes, and the start of one static
//! program; what rooknet takes beyond is rooknet's own.
//!
//! ```text
//! rooknet-floor add NETNS GROUP WORD…    the words of `plan.rs`
//! rooknet-floor del NETNS GROUP          one request for all links of the group
//! ```
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a program of the benchmark: it stops at what it did not expect, and the benchmark with it"
)]

mod netlink;
mod plan;

use std::env;
use std::fs::{self, File};

use nix::sched::{CloneFlags, setns};

use netlink::Netlink;
use plan::{Kind, Link};

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [command, netns, group, plan @ ..] = words.as_slice() else {
        panic!("rooknet-floor add|del NETNS GROUP WORD…");
    };
    let netns = File::open(netns).expect("the pod's network namespace");
    let group = group.parse().expect("GROUP is a number");
    match command.as_str() {
        "add" => add(&netns, group, &Link::read(plan)),
        "del" => {
            setns(&netns, CloneFlags::CLONE_NEWNET).expect("enter the pod's network namespace");
            Netlink::open().delete_group(group);
        }
        other => panic!("no command {other:?}"),
    }
}

fn add(netns: &File, group: u32, links: &[Link<'_>]) {
    let mut node = Netlink::open();
    for link in links {
        node.create(link, group, netns);
        if let Kind::Veth { peer, .. } = link.kind {
            set("ipv6", peer, "accept_ra", "0");
        }
    }
    setns(netns, CloneFlags::CLONE_NEWNET).expect("enter the pod's network namespace");
    let mut pod = Netlink::open();
    for link in links {
        set_variables(link);
        for address in &link.addresses {
            pod.add_address(link.index, address);
        }
        pod.set_up(link.index);
        for gateway in &link.gateways {
            pod.add_default_route(*gateway);
        }
    }
    let with_ipv6 = links.iter().filter(|link| link.addresses.iter().any(|address| address.is_ipv6()));
    for link in with_ipv6 {
        pod.wait_until_usable(link.index);
    }
}

/// The variables that the reference plugins set of an interface that gets addresses.
fn set_variables(link: &Link<'_>) {
    if link.addresses.is_empty() {
        return;
    }
    set("ipv4", link.name, "arp_notify", "1");
    match link.kind {
        Kind::Veth { .. } => set("ipv6", link.name, "accept_dad", "0"),
        Kind::Macvlan { .. } => set("ipv6", link.name, "ndisc_notify", "1"),
    }
    if link.addresses.iter().any(|address| address.is_ipv6()) {
        for interface in ["lo", link.name] {
            set("ipv6", interface, "disable_ipv6", "0");
        }
        set("ipv6", link.name, "keep_addr_on_down", "1");
    }
}

fn set(family: &str, interface: &str, variable: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{family}/conf/{interface}/{variable}"), value).expect("set a variable");
}
