//! A node of the cluster with rooknet, a kubeconfig and a node-bound token, and pods that the API server knows.
//!
//! The node, the stub plugin's records and what must be left of them are those of the process tests' fixture; here the
//! pods and their networks are objects in the API server, in a Kubernetes namespace of the site's own.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cluster::{Account, ApiServer, Cluster, Credential, Kubeconfig};
use crate::fixture::{self, Fixture, NETWORKS_ANNOTATION, Refusal, merge};
use crate::support::{Namespace, Node, Outcome, PluginCall, Switch};

/// The kubeconfig on the node (the key `kubeconfig`).
pub(crate) const KUBECONFIG: &str = "/etc/cni/rooknet/kubeconfig";
/// The file on the node that the kubeconfig names as `tokenFile`.
pub(crate) const TOKEN: &str = "/etc/cni/rooknet/token";
/// The capability by which a runtime passes annotations.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// A node, the Node object for it, and a Kubernetes namespace: all of this test's own.
pub(crate) struct Site {
    pub(crate) cluster: &'static Cluster,
    pub(crate) fixture: Fixture,
    /// The name of the Node object.
    pub(crate) node_name: String,
    /// The namespace of its pods and networks.
    pub(crate) namespace: String,
    /// What the node's token belongs to.
    pub(crate) account: Account,
    /// Storage networks, by the interfaces that join the node to them.
    storage: Vec<Switch>,
}

/// A pod: an object in the API server, and a network namespace on the node.
pub(crate) struct Pod<'a> {
    pub(crate) netns: Namespace<'a>,
    /// CNI_CONTAINERID.
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// What the runtime passes as K8S_POD_UID; empty: nothing.
    pub(crate) uid: String,
    /// What the runtime passes as annotations; `None`: it passes none at all.
    pub(crate) annotations: Option<Value>,
}

impl Site {
    /// A node that reaches the shared API server by a kubeconfig with a token file, as [`Account::Plain`].
    pub(crate) fn start() -> Self {
        Self::with_account(Account::Plain)
    }

    /// The same as another account.
    pub(crate) fn with_account(account: Account) -> Self {
        let cluster = Cluster::shared();
        let fixture = Fixture::start();
        cluster.join(&fixture.node);
        let (node_name, namespace) = (cluster.unique_name("node"), cluster.unique_name("site"));
        cluster.create_node(&node_name);
        cluster.create_namespace(&namespace);
        let site = Self { cluster, fixture, node_name, namespace, account, storage: Vec::new() };
        site.write_token(&site.token());
        site.use_server(&cluster.server().url());
        site
    }

    /// The node.
    pub(crate) fn node(&self) -> &Node {
        &self.fixture.node
    }

    /// Joins the node to a storage network of the site's own by `interface`, a master for macvlans.
    pub(crate) fn add_storage(&mut self, interface: &str) {
        let switch = Switch::start(interface, 1500);
        switch.join(self.node(), interface);
        self.storage.push(switch);
    }

    /// A fresh token of the site's account that is bound to its Node object.
    pub(crate) fn token(&self) -> String {
        self.cluster.node_token(self.account, &self.node_name)
    }

    /// Puts a token, or what is none, in the place of the one on the node, by a rename as the agent does.
    pub(crate) fn write_token(&self, token: &str) {
        self.node().write(&format!("{TOKEN}.new"), token);
        let (new, file) = (self.node().path(&format!("{TOKEN}.new")), self.node().path(TOKEN));
        std::fs::rename(new, file).expect("rename the token on the node");
    }

    /// The kubeconfig of the node for some URL of an API server, a proxy or a gate.
    pub(crate) fn kubeconfig(&self, server: &str) -> Kubeconfig {
        Kubeconfig::new(self.cluster, server).credential(Credential::TokenFile(TOKEN.to_owned()))
    }

    /// Writes that kubeconfig.
    pub(crate) fn use_server(&self, server: &str) {
        self.write_kubeconfig(&self.kubeconfig(server));
    }

    /// Writes any kubeconfig.
    pub(crate) fn write_kubeconfig(&self, kubeconfig: &Kubeconfig) {
        self.node().write(KUBECONFIG, kubeconfig.to_string());
    }

    /// Makes these names known on the node, by a file of its own over /etc/hosts.
    pub(crate) fn resolve(&self, names: &[(&str, &str)]) {
        let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        for (address, name) in names {
            let _ = writeln!(text, "{address} {name}");
        }
        self.node().write("/run/hosts", text);
        self.node().ok(&["mount", "--bind", "/run/hosts", "/etc/hosts"]);
    }

    /// rooknet's configuration in chained mode, behind a primary plugin that gave eth0 an address.
    pub(crate) fn chained(&self) -> Value {
        self.by_kubeconfig(self.fixture.chained())
    }

    /// rooknet's configuration in delegating mode, the default network by the stub plugin.
    pub(crate) fn delegating(&self) -> Value {
        self.by_kubeconfig(self.fixture.delegating(&json!({"address": "10.244.0.5/24"})))
    }

    fn by_kubeconfig(&self, mut config: Value) -> Value {
        config.as_object_mut().expect("a configuration is an object").remove("networksDir");
        merge(&mut config, &json!({"kubeconfig": KUBECONFIG, "nodeName": self.node_name}));
        config
    }

    /// Makes a network definition in the site's namespace.
    #[track_caller]
    pub(crate) fn define(&self, name: &str, config: &Value) {
        self.cluster.create_network(&self.namespace, name, config, &json!({}));
    }

    /// The same of the stub plugin, with an address.
    #[track_caller]
    pub(crate) fn define_stub(&self, name: &str, stub: &Value) {
        let mut keys = json!({"address": "192.168.10.7/24"});
        merge(&mut keys, stub);
        self.define(name, &self.fixture.stub_config(name, &keys));
    }

    /// A pod on this node that selects `networks` (the annotation's text; `None`: no annotation). The runtime passes
    /// its annotations and its uid.
    #[track_caller]
    pub(crate) fn pod(&self, name: &str, networks: Option<&str>) -> Pod<'_> {
        self.annotated_pod(name, networks.map_or_else(|| json!({}), |text| json!({NETWORKS_ANNOTATION: text})))
    }

    /// The same with any annotations.
    #[track_caller]
    pub(crate) fn annotated_pod(&self, name: &str, annotations: Value) -> Pod<'_> {
        let uid = self.cluster.create_pod(&self.namespace, name, &self.node_name, &annotations);
        let fixture::Pod { netns, id, .. } = self.fixture.annotated_pod(name, json!({}));
        let (namespace, name) = (self.namespace.clone(), name.to_owned());
        Pod { netns, id, namespace, name, uid, annotations: Some(annotations) }
    }

    /// A call of rooknet for `pod`, as containerd makes it.
    pub(crate) fn call(&self, operation: &str, config: &Value, pod: &Pod<'_>) -> PluginCall {
        let mut config = config.clone();
        if let Some(annotations) = &pod.annotations {
            merge(&mut config, &json!({"runtimeConfig": {ANNOTATIONS: annotations}}));
        }
        let Pod { id, namespace, name, uid, .. } = pod;
        let mut arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={id}"
        );
        if !uid.is_empty() {
            let _ = write!(arguments, ";K8S_POD_UID={uid}");
        }
        PluginCall::new(&self.fixture.program(), operation, &config.to_string())
            .container(id, &pod.netns, "eth0")
            .env("CNI_ARGS", arguments)
    }

    /// Runs it.
    pub(crate) fn run(&self, operation: &str, config: &Value, pod: &Pod<'_>) -> Outcome {
        self.call(operation, config, pod).run(self.node())
    }

    /// An ADD that must succeed: its result.
    #[track_caller]
    pub(crate) fn add(&self, config: &Value, pod: &Pod<'_>) -> Value {
        let added = self.run("ADD", config, pod);
        added.expect_success("ADD");
        added.json()
    }

    /// A DEL that must succeed and leave nothing.
    #[track_caller]
    pub(crate) fn del(&self, config: &Value, pod: &Pod<'_>) {
        self.run("DEL", config, pod).expect_success("DEL");
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "links after the DEL");
    }

    /// An ADD that must fail with this code and a message that has all of `words`, and leave nothing on the node.
    #[track_caller]
    pub(crate) fn refused_add(&self, what: &str, config: &Value, pod: &Pod<'_>, code: u64, words: &[&str]) -> Refusal {
        let refusal = Refusal::of(what, &self.run("ADD", config, pod)).expect(what, code, words);
        self.assert_clean();
        refusal
    }

    /// What the pod's network-status says; `None` without it.
    #[track_caller]
    pub(crate) fn status(&self, pod: &Pod<'_>) -> Option<Value> {
        self.cluster.network_status(&pod.namespace, &pod.name)
    }

    /// The plugin's requests to the shared API server about this site's namespace, from the audit log.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests_to(self.cluster.server())
    }

    /// The same to another API server.
    pub(crate) fn requests_to(&self, server: &ApiServer) -> Vec<String> {
        server.requests(&self.namespace).iter().map(|request| request.line()).collect()
    }

    /// Nothing of any pod is left on the node.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        self.fixture.assert_clean();
    }
}

impl Pod<'_> {
    /// The same with a runtime that passes no annotations: the plugin must ask for them.
    pub(crate) fn not_annotated(self) -> Self {
        Self { annotations: None, ..self }
    }

    /// The same with another uid from the runtime; empty: none.
    pub(crate) fn with_uid(self, uid: &str) -> Self {
        Self { uid: uid.to_owned(), ..self }
    }
}
