//! A node on which the shell blocks of the documents are run as they are written, in their order, against a cluster in
//! which nothing is applied.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{ADMIN, Cluster, Kubeconfig, control_plane};
use crate::fixture::NETWORKS_ANNOTATION;
use crate::reader::blocks;
use crate::support::{CniTool, Namespace, Node, Outcome, Switch, run, wait_until};

/// The document of the installation.
pub(crate) const KUBERNETES: &str = "docs/kubernetes.md";
/// Variables that the blocks before have set.
const STATE: &str = "/run/document.env";
/// The longest that the server may take to know what was applied.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The primary network's conflist.
pub(crate) const CONFLIST: &str = "/etc/cni/net.d/10-pods.conflist";
/// The namespace of pods and networks.
pub(crate) const NAMESPACE: &str = "rook-ceph";
/// Where a block may write: what is private on a node of the tests, and the log, which [`Installation::start`] makes so.
const PRIVATE: [&str; 5] =
    ["/etc/cni/", "/opt/cni/bin/", "/var/log/rooknet.log", "/var/lib/cni/multus", "/var/lib/rooknet/attachments"];
/// What looks like a path and is none: a text, and an operator of jq.
const TEXTS: [&str; 2] = ["/host", "//"];

/// A node, its cluster, and the blocks that were not run yet.
pub(crate) struct Installation {
    pub(crate) cluster: Cluster,
    pub(crate) node: Node,
    /// The name of the Node object.
    pub(crate) name: String,
    /// The name of the runtime's network.
    pub(crate) network: &'static str,
    _storage: Switch,
    /// The document that is followed.
    document: &'static str,
    /// Its blocks that were not run yet, each with its line.
    pub(crate) blocks: VecDeque<(usize, String)>,
}

impl Installation {
    /// A node as kubeadm leaves it: a primary network, the programs, and an administrator's kubeconfig.
    pub(crate) fn start() -> Self {
        let cluster = Cluster::empty();
        let node = Node::start("node");
        cluster.join(&node);
        let storage = Switch::start("stor0", 1500);
        storage.join(&node, "stor0");
        node.install("rooknet", Path::new(env!("CARGO_BIN_EXE_rooknet")));
        node.ok(&["mount", "-t", "tmpfs", "tmpfs", "/var/log"]);
        let primary = json!({
            "cniVersion": "1.1.0", "name": "pods",
            "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]},
            }],
        });
        node.write(CONFLIST, primary.to_string());
        node.write("/run/admin.kubeconfig", Kubeconfig::new(&cluster, &cluster.server().url()).to_string());
        let name = cluster.unique_name("node");
        cluster.create_node(&name);
        cluster.create_namespace(NAMESPACE);
        let mut blocks: VecDeque<_> = blocks(KUBERNETES, "sh").into();
        // The first block says what is different everywhere: this is what it is here.
        let (line, variables) = blocks.pop_front().expect("the document has no blocks");
        let here = [
            ("KUBECONFIG", "/run/admin.kubeconfig"),
            ("NODE", name.as_str()),
            ("CONFLIST", CONFLIST),
            ("NAMESPACE", NAMESPACE),
        ];
        let named: BTreeSet<&str> = variables
            .lines()
            .map(|variable| variable.strip_prefix("export ").and_then(|rest| rest.split('=').next()))
            .map(|name| name.unwrap_or_else(|| panic!("{KUBERNETES}:{line}: something else than variables")))
            .collect();
        assert_eq!(named, here.map(|(name, _)| name).into(), "{KUBERNETES}:{line}");
        let state: String = here.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
        node.write(STATE, state);
        Self { cluster, node, name, network: "pods", _storage: storage, document: KUBERNETES, blocks }
    }

    /// Runs the blocks up to the first that contains `text`, and gives what that one printed.
    #[track_caller]
    pub(crate) fn run_through(&mut self, text: &str) -> String {
        loop {
            let (line, block) =
                self.blocks.pop_front().unwrap_or_else(|| panic!("no further block has {text:?} in it"));
            let printed = self.run(&block).expect_success(&format!("{}:{line}", self.document));
            if block.contains(text) {
                return printed;
            }
        }
    }

    /// Runs a block on the node, as somebody would paste it: in this repository, with the variables of those before.
    pub(crate) fn run(&self, block: &str) -> Outcome {
        assert_private(block);
        let mut command = self.node.command("bash");
        let programs = format!("{}:{}", control_plane().display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", programs).env("HOME", "/run");
        let repository = env!("CARGO_MANIFEST_DIR");
        let script = format!("set -aeuo pipefail\ncd {repository}\n. {STATE}\n{block}\nexport -p >{STATE}\n");
        command.args(["-c", &script]);
        run(command, b"")
    }

    /// The pod in the API server, attached on the node as containerd does it.
    pub(crate) fn attach(&self, pod: &str, netns: &Namespace<'_>) -> Outcome {
        self.runtime(pod, netns).run("add")
    }

    pub(crate) fn runtime<'a>(&self, pod: &str, netns: &Namespace<'a>) -> CniTool<'a> {
        let metadata = self.cluster.pod(NAMESPACE, pod)["metadata"].clone();
        let selection = json!({NETWORKS_ANNOTATION: metadata["annotations"][NETWORKS_ANNOTATION]});
        CniTool::new(netns, self.network).pod(NAMESPACE, pod, metadata["uid"].as_str().unwrap()).annotations(&selection)
    }

    /// A pod of the test's own on the node.
    pub(crate) fn create_pod(&self, name: &str) -> Namespace<'_> {
        self.cluster.create_pod(NAMESPACE, name, &self.name, &json!({NETWORKS_ANNOTATION: "public@public"}));
        self.node.add_netns(name)
    }

    /// Goes on with the blocks of another document.
    pub(crate) fn follow(&mut self, document: &'static str) {
        self.document = document;
        self.blocks = blocks(document, "sh").into();
    }

    /// Runs the blocks up to the one that looks whether the server knows the node; what that one printed.
    pub(crate) fn install_credentials(&mut self) -> String {
        self.run_through("deploy/kustomize/base/rbac.yaml");
        // What the server does some time after it was told: to know a kind, and rights.
        let networks = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions?limit=1";
        wait_until("the kind of networks", PATIENCE, || {
            self.cluster.request("GET", networks, ADMIN, "", None).is_success()
        });
        self.run_through("kubectl create token");
        let (line, check) = self.blocks.pop_front().unwrap();
        assert!(check.contains("auth whoami") && check.contains("auth can-i"), "{KUBERNETES}:{line}: {check}");
        let mut said = String::new();
        wait_until("the node's rights", PATIENCE, || {
            let outcome = self.run(&check);
            said = outcome.to_string();
            outcome.success()
        });
        said
    }

    /// A configuration on the node.
    pub(crate) fn config(&self, path: &str) -> Value {
        serde_json::from_str(&self.text_of(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A file of the node.
    pub(crate) fn text_of(&self, path: &str) -> String {
        String::from_utf8(self.node.read(path).unwrap_or_else(|| panic!("{path} was not written"))).unwrap()
    }
}

/// What a block names by an absolute path must be the node's own: on it, the machine's other files are the machine's.
#[track_caller]
fn assert_private(block: &str) {
    let words =
        block.split(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '>' | '=' | '(' | ')'));
    for word in words.filter(|word| word.starts_with('/') && !TEXTS.contains(word)) {
        assert!(PRIVATE.iter().any(|place| word.starts_with(place)), "{word} is not private on a node of the tests");
    }
}
