//! A node of the cluster: commands in its namespaces, its daemons, and what it holds of pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Outcome, run};

/// What a node holds of pods, by kind: names of links, addresses, journals and so on.
pub(crate) type Holdings = BTreeMap<String, Vec<String>>;

/// Lists, on a node, everything that a pod may leave there: a kind and a name in each line. host-local's own notes are no
/// addresses.
const HOLDINGS: &str = r#"
list() { [ ! -d "$2" ] || (cd "$2" && find . -type f | sed "s:^\./:$1 :"); }
ls /sys/class/net >/dev/null
ip -o link show | sed -E 's/^[0-9]+: ([^:@]+).*/link \1/' | grep -vE '^link (veth|lo|eth0|stor0|stor1|cni0)' || true
ip -o link show type veth | sed -E 's/^[0-9]+: ([^:@]+).*/veth \1/' | grep -vE '^veth (eth0|stor0|stor1)$' || true
list address /var/lib/cni/networks | grep -vE '/(lock|last_reserved_ip\..*)$' || true
list journal /var/lib/rooknet/attachments
list failed /var/lib/rooknet/failed
list corrupt /var/lib/rooknet/corrupt
list result /var/lib/cni/results
list lock /run/rooknet/locks
ls /run/netns 2>/dev/null | sed 's/^/netns /'
"#;

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// As Kubernetes calls it.
    pub(crate) name: &'static str,
    cluster: PathBuf,
}

impl Node {
    /// The node of this name in the cluster whose state is in `cluster`.
    pub(super) fn new(name: &'static str, cluster: &Path) -> Self {
        Self { name, cluster: cluster.to_owned() }
    }

    /// Runs `test-cluster/cluster.sh` with the cluster's directory.
    pub(super) fn script(cluster: &Path, arguments: &[&str]) -> Outcome {
        Self::script_with(cluster, arguments, b"")
    }

    fn script_with(cluster: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("test-cluster/cluster.sh"));
        command.env("CLUSTER_DIR", cluster).args(arguments);
        run(command, input)
    }

    /// A command in the node's network and mount namespaces.
    pub(crate) fn enter(&self, command: &[&str]) -> Outcome {
        self.enter_with(command, b"")
    }

    /// The same with `input` as its stdin.
    pub(crate) fn enter_with(&self, command: &[&str], input: &[u8]) -> Outcome {
        Self::script_with(&self.cluster, &[&["enter", self.name], command].concat(), input)
    }

    /// A shell's lines there, which must succeed: what they print.
    #[track_caller]
    pub(crate) fn shell(&self, lines: &str) -> String {
        self.enter(&["sh", "-euc", lines]).expect_success(&format!("on {}: {lines}", self.name))
    }

    /// A file there; `None` when there is none.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let outcome = self.enter(&["cat", path]);
        outcome.success().then(|| String::from_utf8_lossy(&outcome.stdout).into_owned())
    }

    /// Starts, stops or restarts a part of the node: see `cluster.sh`.
    #[track_caller]
    pub(crate) fn control(&self, action: &str, part: &str) {
        let arguments: Vec<&str> = [action, self.name, part].into_iter().filter(|word| !word.is_empty()).collect();
        Self::script(&self.cluster, &arguments).expect_success(&arguments.join(" "));
    }

    /// The network interface `name` vanishes, or comes back.
    #[track_caller]
    pub(crate) fn nic(&self, name: &str, action: &str) {
        Self::script(&self.cluster, &["nic", self.name, name, action]).expect_success("nic");
    }

    /// What it holds of pods.
    #[track_caller]
    pub(crate) fn holdings(&self) -> Holdings {
        let mut holdings = Holdings::new();
        for line in self.shell(HOLDINGS).lines() {
            let (kind, name) = line.split_once(' ').unwrap_or((line, ""));
            holdings.entry(kind.to_owned()).or_default().push(name.to_owned());
        }
        holdings.values_mut().for_each(|names| names.sort());
        holdings
    }
}
