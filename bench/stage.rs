//! Where it happens: a node on two storage networks with the contenders' programs, and fresh pods.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::program;
use crate::support::{Namespace, Node, Switch, run, wait_until};

/// What is measured, and what measures.
pub(crate) struct Programs {
    pub(crate) rooknet: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) meter: PathBuf,
    /// Multus thin; `None` when nobody named one.
    pub(crate) multus: Option<PathBuf>,
}

impl Programs {
    /// Those that `bench.sh` names.
    pub(crate) fn from_environment() -> Self {
        let needed = |variable| {
            program(variable)
                .unwrap_or_else(|| panic!("{variable} names no program: run the benchmark by `make bench`"))
        };
        Self {
            rooknet: needed("ROOKNET"),
            floor: needed("ROOKNET_FLOOR"),
            meter: needed("ROOKNET_METER"),
            multus: program("MULTUS"),
        }
    }
}

/// The node.
pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) programs: Programs,
    _storage: [Switch; 2],
    pods: AtomicUsize,
}

/// A pod: an empty network namespace that nobody has used.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// Its name, on the node and in the API server.
    pub(crate) name: String,
    /// Different for each; counts from 1.
    pub(crate) number: usize,
}

impl Pod {
    /// CNI_NETNS.
    pub(crate) fn netns(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// CNI_CONTAINERID: as long as containerd's.
    pub(crate) fn id(&self) -> String {
        format!("{:064x}", self.number)
    }
}

impl Stage {
    pub(crate) fn start(programs: Programs) -> Self {
        let node = Node::start("bench");
        let storage = ["stor0", "stor1"].map(|interface| {
            let switch = Switch::start(interface, 9000);
            switch.join(&node, interface);
            switch
        });
        // With an address of its own: otherwise the bridge takes one of its ports' and announces each change.
        node.ok(&["ip", "link", "add", "cni0", "address", "02:00:00:00:00:01", "type", "bridge"]);
        node.ok(&["ip", "link", "set", "cni0", "up"]);
        node.install("rooknet", &programs.rooknet);
        if let Some(multus) = &programs.multus {
            node.install("multus", multus);
        }
        Self { node, programs, _storage: storage, pods: AtomicUsize::new(0) }
    }

    /// Fresh pods, all at once: to make one takes longer than some of what is measured.
    pub(crate) fn add_pods(&self, count: usize) -> Vec<Pod> {
        let first = self.pods.fetch_add(count, Ordering::Relaxed) + 1;
        let pods: Vec<Pod> =
            (first..first + count).map(|number| Pod { name: format!("pod-{number}"), number }).collect();
        self.ip_batch(pods.iter().map(|pod| format!("netns add {}\n", pod.name)).collect());
        pods
    }

    /// Removes them and waits until the kernel has: it takes namespaces down later, all that are due in one go, and
    /// meanwhile holds the lock that every request on links needs.
    pub(crate) fn remove_pods(&self, pods: &[Pod]) {
        let Some(last) = pods.last() else { return };
        // It goes with the last namespace.
        let mark = "mark0";
        let words = ["ip", "link", "add", mark, "type", "veth", "peer", "name", "mark1", "netns", &last.name];
        self.node.ok(&words);
        self.ip_batch(pods.iter().map(|pod| format!("netns delete {}\n", pod.name)).collect());
        let is_there = || self.node.run(&["ip", "link", "show", mark]).success();
        wait_until("the kernel to take the pods' namespaces down", Duration::from_secs(120), || !is_there());
    }

    fn ip_batch(&self, lines: String) {
        let mut command = self.node.command("ip");
        command.args(["-batch", "-"]);
        run(command, lines.as_bytes()).expect_success("ip -batch");
    }

    pub(crate) fn netns(&self, pod: &Pod) -> Namespace<'_> {
        self.node.netns(&pod.name)
    }

    /// The node's links by their names.
    pub(crate) fn indexes(&self) -> BTreeMap<String, u64> {
        self.node.host().links().into_iter().map(|link| (link.name, link.index)).collect()
    }
}
