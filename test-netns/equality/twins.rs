//! Twin nodes: made alike, each on a switch of its own (they have the same MACs and addresses), so that what differs
//! between them afterwards is the plugins' doing.
//!
//! A pair serves many cases, since to make one takes as long as a case. After each, everything is taken away that a
//! plugin may have left, and the nodes must look as they did at first; a pair that does not is not used again.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::compare::{Difference, differences};
use crate::observe::observe;
use crate::support::{CniTool, Namespace, Node, Switch, run};

/// The link that cases name as their master.
pub(crate) const MASTER: &str = "stor0";
/// A name that a case may give it beside, and that is taken away afterwards.
pub(crate) const OTHER_NAME: &str = "the-storage-interface";
/// An IPAM plugin that rooknet knows nothing of: the reference's static by another name.
pub(crate) const OTHER_IPAM: &str = "another-ipam";
/// The pod's namespace. The same on both nodes, so that the container's id is the same too.
const POD: &str = "pod";
const ROOKNET: &str = env!("CARGO_BIN_EXE_rooknet");
/// Starts the plugin by whose name it is called, and notes it in [`RAN`].
const RECORDER: &str = "/run/recorder";
const RECORD: &str = "#!/bin/sh\necho \"${0##*/}\" >>/run/ran\nexec \"/opt/cni/bin/${0##*/}\"\n";
const RAN: &str = "/run/ran";

/// One thing that a case, or a test of this harness, does to a node.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A shell command on the host.
    Host(String),
    /// A shell command in the pod's network namespace.
    Pod(String),
    /// A file with its content.
    File(&'static str, String),
}

/// One of two nodes.
pub(crate) struct Side {
    pub(crate) node: Node,
    _switch: Switch,
}

impl Side {
    fn start(name: &str) -> Self {
        let (node, switch) = (Node::start(name), Switch::start(name, 9000));
        switch.join(&node, MASTER);
        let script = format!(
            "ip link set {MASTER} down && ip link set {MASTER} address 02:00:00:00:00:01 up && \
             ip address add 192.0.2.10/24 dev {MASTER} && ip route add default via 192.0.2.1"
        );
        node.ok(&["sh", "-ec", &script]);
        node.install("rooknet", Path::new(ROOKNET));
        node.install(OTHER_IPAM, Path::new("/opt/cni/bin/static"));
        let script = format!("cat >{RECORDER} && chmod 755 {RECORDER}");
        let mut command = node.command("sh");
        command.args(["-ec", &script]);
        // Written by another process: a program that this one has open for writing cannot be started, and every process
        // that it is about to start has it open for a moment.
        run(command, RECORD.as_bytes()).expect_success("write the recorder");
        Self { node, _switch: switch }
    }

    /// The pod's namespace.
    pub(crate) fn pod(&self) -> Namespace<'_> {
        self.node.netns(POD)
    }

    /// The same, unless the case took it away.
    pub(crate) fn living_pod(&self) -> Option<Namespace<'_>> {
        self.node.netns_names().iter().any(|name| name == POD).then(|| self.pod())
    }

    /// Makes the pod's namespace.
    pub(crate) fn add_pod(&self) -> Namespace<'_> {
        self.node.add_netns(POD)
    }

    /// cnitool for the pod, with the network of that name.
    pub(crate) fn tool(&self, network: &str) -> CniTool<'_> {
        CniTool::new(&self.pod(), network)
    }

    /// Makes a directory of plugins with rooknet and these programs of the node, each of which notes that it ran.
    pub(crate) fn provide(&self, directory: &str, programs: &BTreeSet<String>) {
        for gone in [directory, RAN] {
            let path = self.node.path(gone);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            assert!(removed.is_ok() || !path.exists(), "{gone}: {removed:?}");
        }
        let directory = self.node.path(directory);
        fs::create_dir(&directory).expect("make a directory of plugins");
        symlink(ROOKNET, directory.join("rooknet")).expect("show rooknet");
        let installed = self.node.entries("/opt/cni/bin");
        for program in programs.iter().filter(|program| installed.contains(program)) {
            symlink(RECORDER, directory.join(program)).expect("show a plugin");
        }
    }

    /// The programs that ran since they were provided.
    pub(crate) fn ran(&self) -> BTreeSet<String> {
        let notes = self.node.read(RAN).unwrap_or_default();
        String::from_utf8_lossy(&notes).lines().map(str::to_owned).collect()
    }

    /// Does a step.
    pub(crate) fn take(&self, step: &Step) {
        match step {
            Step::Host(script) => drop(self.node.ok(&["sh", "-ec", script])),
            Step::Pod(script) => drop(self.pod().ok(&["sh", "-ec", script])),
            Step::File(path, content) => self.node.write(path, content),
        }
    }

    /// Takes away what the plugins may leave on the host (bridges, rules, forwarding) and what a failed case left.
    fn clean(&self) {
        if let Some(pod) = self.living_pod() {
            for interface in pod.interfaces() {
                // It may have gone with its peer.
                let _ = self.node.run(&["ip", "-n", POD, "link", "delete", &interface]);
            }
            pod.delete();
        }
        for other in self.node.netns_names() {
            self.node.netns(&other).delete();
        }
        for interface in self.node.host().interfaces() {
            if interface != MASTER {
                let _ = self.node.run(&["ip", "link", "delete", &interface]);
            }
        }
        for directory in ["/var/lib/cni", "/var/lib/rooknet", "/etc/cni/net.d"] {
            for name in self.node.entries(directory) {
                let path = self.node.path(&format!("{directory}/{name}"));
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                removed.expect("remove what a case left");
            }
        }
        let script = format!(
            "nft flush ruleset; echo 0 >/proc/sys/net/ipv4/ip_forward; \
             echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; \
             if ip link show dev {MASTER} | grep -q altname; then \
                 ip link property del dev {MASTER} altname {OTHER_NAME}; fi; \
             ip link set {MASTER} up; ip -6 address flush dev {MASTER} scope global; \
             ip -6 route flush dev {MASTER} proto boot; \
             ip route replace default via 192.0.2.1"
        );
        self.node.ok(&["sh", "-ec", &script]);
    }
}

/// Two nodes that were made alike.
pub(crate) struct Twins {
    pub(crate) reference: Side,
    pub(crate) ours: Side,
    /// How each looks without any pod.
    fresh: Value,
}

impl Twins {
    /// Starts both.
    pub(crate) fn start() -> Self {
        let [reference, ours] = ["of the reference", "of rooknet"].map(Side::start);
        for side in [&reference, &ours] {
            side.clean();
        }
        let fresh = observe(&reference.node, None).state;
        let twins = Self { reference, ours, fresh };
        let unequal = twins.differences_to_fresh();
        assert!(unequal.is_empty(), "the nodes are not alike from the start: {unequal:#?}");
        twins
    }

    /// The reference's node and rooknet's.
    pub(crate) fn sides(&self) -> [&Side; 2] {
        [&self.reference, &self.ours]
    }

    /// Makes both as they were at first; what cannot be made so is the error.
    pub(crate) fn clean(&self) -> Result<(), Vec<Difference>> {
        for side in self.sides() {
            side.clean();
        }
        let unequal = self.differences_to_fresh();
        if unequal.is_empty() { Ok(()) } else { Err(unequal) }
    }

    /// Links and namespaces go some time after they were removed.
    fn differences_to_fresh(&self) -> Vec<Difference> {
        let start = Instant::now();
        loop {
            let look = |side: &Side| differences("fresh", &self.fresh, &observe(&side.node, None).state);
            let found: Vec<Difference> = self.sides().into_iter().flat_map(look).collect();
            if found.is_empty() || start.elapsed() > Duration::from_secs(10) {
                return found;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}
