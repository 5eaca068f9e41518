//! What the cases stand on: a running cluster of two nodes (`test-cluster/cluster.sh`), into which rooknet was deployed
//! by its own manifests and image.
//!
//! The cluster is made once and the cases run one after another in it, because to make one takes longer than most of
//! them. Each begins by bringing everything back to where it should be, and ends by counting what is left on the nodes.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Outcome, run};

mod agents;
mod api;
mod audit;
mod deployment;
mod durations;
mod multus;
mod networks;
mod node;
mod pods;
mod uninstall;

pub(crate) use api::Api;
pub(crate) use audit::{Audit, PLUGIN};
pub(crate) use deployment::Deployment;
pub(crate) use durations::Durations;
pub(crate) use multus::{Multus, programs as multus_programs};
pub(crate) use networks::{address_in, host_address};
pub(crate) use node::{Holdings, Node};
pub(crate) use pods::{Pod, mon, osd, plain};

/// The namespace of the storage cluster.
pub(crate) const NAMESPACE: &str = "rook-ceph";
/// The nodes.
pub(crate) const NODES: [&str; 2] = ["node-a", "node-b"];
/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Puts a node's CNI configuration back to what it was before any case: the primary's, and nobody else's but ours.
const CONFIGURATION_AS_IT_WAS: &str = "
cd /etc/cni
[ -e primary.conflist ] || cp net.d/10-primary.conflist primary.conflist
cmp -s primary.conflist net.d/10-primary.conflist || { cp primary.conflist net.d/new; mv net.d/new net.d/10-primary.conflist; }
rm -f net.d/00-multus.conf*
";

/// One case at a time has the cluster.
static CLUSTER: Mutex<()> = Mutex::new(());

/// The cluster, for one case.
pub(crate) struct Stage {
    /// Its API server.
    pub(crate) api: Api,
    directory: PathBuf,
    nodes: [Node; 2],
    before: [Holdings; 2],
    begun: Instant,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// The cluster with rooknet deployed and verified on both nodes, no pods of former cases, and nothing of them left.
    #[track_caller]
    pub(crate) fn deployed() -> Self {
        let mut stage = Self::bare();
        stage.deploy(Deployment::default());
        stage.count();
        stage
    }

    /// The cluster as it is, without pods of former cases.
    #[track_caller]
    pub(crate) fn bare() -> Self {
        // A case that failed leaves the lock poisoned, and the others still have something to say.
        let turn = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = env::var_os("CLUSTER_DIR").map(PathBuf::from).unwrap_or_default();
        assert!(
            directory.join("kubeconfig").is_file(),
            "CLUSTER_DIR ({directory:?}) is not the directory of a running cluster: run the cases by `make test-cluster`"
        );
        let nodes = NODES.map(|name| Node::new(name, &directory));
        let api = Api::new(&directory.join("kubeconfig"));
        let mut stage = Self {
            api,
            directory,
            nodes,
            before: [Holdings::new(), Holdings::new()],
            begun: Instant::now(),
            _turn: turn,
        };
        stage.recover();
        stage.define_kind();
        stage.define_networks();
        stage.count();
        stage
    }

    /// What a former case may have left when it failed: stopped daemons, missing interfaces, another configuration, pods.
    fn recover(&self) {
        Node::script(&self.directory, &["api", "start"]).expect_success("start the API server");
        for node in &self.nodes {
            node.shell(CONFIGURATION_AS_IT_WAS);
            node.nic("stor0", "create");
            node.nic("stor1", "create");
            node.control("start", "containerd");
            node.control("start", "kubelet");
        }
        if self.api.find(&format!("/api/v1/namespaces/{NAMESPACE}")).is_none() {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
            self.api.post("/api/v1/namespaces", &namespace);
        }
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default");
        self.wait_for("the namespace's default account", || self.api.find(&account).is_some());
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        self.api.delete(&pods);
        self.wait_for("the pods of former cases are gone", || self.pods_of(&pods).is_empty());
        self.clear_events(NAMESPACE);
        for node in NODES {
            self.await_ready(node);
        }
    }

    /// Waits until a node is ready, by its own word.
    #[track_caller]
    pub(crate) fn await_ready(&self, node: &str) {
        let path = format!("/api/v1/nodes/{node}");
        self.wait_for(&format!("{node} is ready"), || is_ready(&self.api.get(&path)));
    }

    fn pods_of(&self, path: &str) -> Vec<Value> {
        self.api.get(path)["items"].as_array().cloned().unwrap_or_default()
    }

    /// The node of this name.
    pub(crate) fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("one of NODES")
    }

    /// Both nodes.
    pub(crate) fn nodes(&self) -> &[Node; 2] {
        &self.nodes
    }

    /// Where the cluster keeps its files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The API server is stopped, or started again.
    #[track_caller]
    pub(crate) fn control_api(&self, action: &str) {
        Node::script(&self.directory, &["api", action]).expect_success(&format!("api {action}"));
    }

    /// The audit log from now on.
    pub(crate) fn audit(&self) -> Audit {
        Audit::from_now(self.directory.join("audit.log"))
    }

    /// Notes what the nodes hold now: [`Self::assert_nothing_left`] compares with it.
    #[track_caller]
    pub(crate) fn count(&mut self) {
        self.before = [self.nodes[0].holdings(), self.nodes[1].holdings()];
    }

    /// Nothing is on the nodes that was not there when it was counted last: links, addresses, journals, results,
    /// namespaces. What goes a moment after its pod is waited for.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        for (node, before) in self.nodes.iter().zip(&self.before) {
            let mut left = BTreeSet::new();
            let is_clean = self.is_so_within(PATIENCE, || {
                let held = node.holdings();
                left = held
                    .iter()
                    .flat_map(|(kind, names)| {
                        let known = before.get(kind).cloned().unwrap_or_default();
                        let new = names.iter().filter(move |name| !known.contains(name));
                        new.map(move |name| format!("{kind} {name}")).collect::<Vec<_>>()
                    })
                    .collect();
                left.is_empty()
            });
            assert!(is_clean, "left on {}: {left:#?}\n{}", node.name, self.told());
        }
    }

    /// Runs kubectl, which must succeed: what it prints.
    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, b"").expect_success(&format!("kubectl {arguments:?}"))
    }

    /// Runs kubectl with `input` as its stdin.
    pub(crate) fn try_kubectl(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = Command::new(self.directory.join("tools/kubectl"));
        command.env("KUBECONFIG", self.directory.join("kubeconfig")).args(arguments);
        run(command, input)
    }

    /// An administrator's kubeconfig with an address that a node reaches, for plugins of others: they must be held up by no
    /// right that they lack.
    #[track_caller]
    pub(crate) fn kubeconfig_of_node(&self) -> String {
        let own = self.kubectl(&["config", "view", "--raw", "--output", "json"]);
        let mut kubeconfig: Value = serde_json::from_str(&own).unwrap();
        kubeconfig["clusters"][0]["cluster"]["server"] = json!("https://10.96.0.1:443");
        kubeconfig.to_string()
    }

    /// Waits for what can be observed; panics with what the cluster says of its pods when it does not come.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is_so: impl FnMut() -> bool) {
        assert!(self.is_so_within(PATIENCE, is_so), "{what}: not within {PATIENCE:?}\n{}", self.told());
    }

    /// Whether something comes to be so within a time.
    pub(crate) fn is_so_within(&self, limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        while !is_so() {
            if start.elapsed() > limit {
                return false;
            }
            thread::sleep(Duration::from_millis(100));
        }
        true
    }

    /// What the cluster and the nodes say, for a message.
    fn told(&self) -> String {
        let mut text = String::new();
        for arguments in [
            ["get", "pods", "--all-namespaces", "--output=wide"].as_slice(),
            &["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"],
            &["logs", "--namespace=kube-system", "--selector=app.kubernetes.io/name=rooknet", "--tail=30", "--prefix"],
        ] {
            let outcome = self.try_kubectl(arguments, b"");
            let lines: Vec<String> = outcome.to_string().lines().map(str::to_owned).collect();
            let _ = writeln!(text, "{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        for node in &self.nodes {
            let log = node.enter(&["tail", "-n", "15", "/var/log/rooknet.log"]);
            let _ = writeln!(text, "rooknet's log on {}: {log}", node.name);
        }
        text
    }
}

/// A case is over: how long it took goes into the list that the ring prints at the end.
impl Drop for Stage {
    fn drop(&mut self) {
        let case = thread::current().name().unwrap_or_default().to_owned();
        let path = self.directory.join("case-times");
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
            let _ = writeln!(file, "{:7.1} s  {case}", self.begun.elapsed().as_secs_f64());
        }
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}
