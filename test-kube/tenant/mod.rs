//! An unprivileged tenant: whoever may do anything in one namespace of the cluster, and nothing elsewhere.
//!
//! The tenant is a user of the API server, which admits its pods and networks or does not; nothing that it could not
//! send is tried here. Each refusal is asked for twice: of a runtime that passes the pod's annotations as the kubelet
//! has them, and of one that passes none, where the plugin reads the pod. All requests go through a proxy that records
//! them, so that one to a place that nobody thought of is seen too.

mod controls;
mod definitions;
mod hostile;
mod identity;
mod names;
mod node_words;
mod requests;
mod static_pods;

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster};
use crate::fixture::{Fixture, merge};
use crate::proxy::Proxy;
use crate::site::{Pod, Site};
use crate::support::wait_until;

pub(crate) use crate::fixture::NETWORKS_ANNOTATION as NETWORKS;

/// The annotation that replaces the default network.
const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// Where the kubelet has a pod from; it sets this itself on what it hands to the runtime.
const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Our code for what policy forbids.
const FORBIDDEN: u64 = 104;
/// CNI's code for "try again later".
const TRY_AGAIN_LATER: u64 = 11;

/// The tenant, on a node of its own.
struct Tenant {
    /// Whose namespace is the tenant's. It has the network `own`.
    site: Site,
    proxy: Proxy,
    token: String,
    /// Another tenant's namespace, with the network `net`.
    other: String,
    /// A namespace whose networks are for everybody (`globalNamespaces`), with the network `shared`.
    global: String,
    pods: Cell<u32>,
}

impl Tenant {
    fn start() -> Self {
        let site = Site::start();
        let (cluster, own) = (site.cluster, site.namespace.clone());
        let (other, global) = (cluster.unique_name("other"), cluster.unique_name("global"));
        for (namespace, network) in [(&other, "net"), (&global, "shared")] {
            cluster.create_namespace(namespace);
            cluster.create_network(namespace, network, &stub(&site.fixture, network), &json!({}));
        }
        let proxy = Proxy::start(cluster, cluster.server(), site.node());
        site.use_server(&proxy.url());
        grant(cluster, &own);
        let token = cluster.token(&own, "tenant", None);
        let tenant = Self { site, proxy, token, other, global, pods: Cell::new(0) };
        wait_until("the tenant's rights", Duration::from_secs(60), || {
            tenant.create(&tenant.pods_path("?dryRun=All"), &tenant.object("probe", &json!({}))).is_success()
        });
        tenant.define("own", &json!({"config": stub(&tenant.site.fixture, "own").to_string()}));
        tenant
    }

    fn cluster(&self) -> &'static Cluster {
        self.site.cluster
    }

    /// The tenant's namespace.
    fn own(&self) -> &str {
        &self.site.namespace
    }

    fn pods_path(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/pods{rest}", self.own())
    }

    /// A POST by the tenant.
    fn create(&self, path: &str, object: &Value) -> Answer {
        self.cluster().request("POST", path, &self.token, "application/json", Some(object))
    }

    /// A pod that the tenant puts on this node itself.
    fn object(&self, name: &str, annotations: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "nodeName": self.site.node_name,
                "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none"}],
            },
        })
    }

    /// The tenant makes a network in its namespace.
    #[track_caller]
    fn define(&self, name: &str, spec: &Value) {
        self.define_annotated(name, &json!({}), spec);
    }

    #[track_caller]
    fn define_annotated(&self, name: &str, annotations: &Value, spec: &Value) {
        let network = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "annotations": annotations}, "spec": spec,
        });
        self.create(&networks_path(self.own()), &network).expect_success(&format!("the tenant's network {spec}"));
    }

    /// The tenant makes a pod, and the kubelet takes it up. The runtime passes the annotations and the uid.
    #[track_caller]
    fn pod(&self, annotations: &Value) -> Pod<'_> {
        self.pods.set(self.pods.get() + 1);
        self.named_pod(&format!("pod-{}", self.pods.get()), annotations)
    }

    #[track_caller]
    fn named_pod(&self, name: &str, annotations: &Value) -> Pod<'_> {
        let made = self.create(&self.pods_path(""), &self.object(name, annotations));
        let pod = made.expect_success("the tenant's pod");
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let at_runtime = self.site.fixture.annotated_pod(name, json!({}));
        let mut annotations = annotations.clone();
        merge(&mut annotations, &json!({CONFIG_SOURCE: "api"}));
        Pod {
            netns: at_runtime.netns,
            id: at_runtime.id,
            namespace: self.own().to_owned(),
            name: name.to_owned(),
            uid,
            annotations: Some(annotations),
        }
    }

    /// The chained mode under isolation.
    fn chained(&self) -> Value {
        self.isolated(self.site.chained())
    }

    /// The delegating mode under isolation; another tenant's namespace is where the default network's short names are
    /// looked up.
    fn delegating(&self) -> Value {
        self.isolated(self.site.delegating())
    }

    fn isolated(&self, mut config: Value) -> Value {
        let keys = json!({
            "namespaceIsolation": true, "globalNamespaces": format!("default,{}", self.global),
            "multusNamespace": self.other,
        });
        merge(&mut config, &keys);
        config
    }

    /// An ADD of a new pod with these annotations must fail with this code and all of `words`, of either runtime: no
    /// plugin is called, nothing is left, nobody is asked but for the pod.
    #[track_caller]
    fn refused(&self, what: &str, config: &Value, annotations: &Value, code: u64, words: &[&str]) {
        self.refused_after(what, config, annotations, code, words, &[]);
    }

    /// The same after the tenant's own networks of these names were asked for.
    #[track_caller]
    fn refused_after(
        &self,
        what: &str,
        config: &Value,
        annotations: &Value,
        code: u64,
        words: &[&str],
        networks: &[&str],
    ) {
        let pod = self.pod(annotations);
        let mut expected: Vec<String> =
            networks.iter().map(|name| format!("GET {}/{name}", networks_path(self.own()))).collect();
        self.refused_once(&format!("{what}, passed"), config, &pod, code, words, &expected);
        expected.insert(0, format!("GET {}", self.pods_path(&format!("/{}", pod.name))));
        let pod = pod.not_annotated();
        self.refused_once(&format!("{what}, read"), config, &pod, code, words, &expected);
        pod.netns.delete();
    }

    #[track_caller]
    fn refused_once(&self, what: &str, config: &Value, pod: &Pod<'_>, code: u64, words: &[&str], asked: &[String]) {
        let before = self.proxy.exchanges().len();
        self.site.refused_add(what, config, pod, code, words);
        assert_eq!(self.site.fixture.recorded_calls(), Vec::<String>::new(), "{what}: plugins called");
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "{what}: links");
        assert_eq!(self.proxy.lines()[before..], *asked, "{what}: requests");
        assert_eq!(self.site.status(pod), None, "{what}");
    }

    /// An ADD that must succeed of either runtime, and attach as many networks as the status then has entries; the
    /// `name` of each.
    #[track_caller]
    fn attached(&self, config: &Value, annotations: &Value) -> Vec<Value> {
        let pod = self.pod(annotations);
        self.site.add(config, &pod);
        let names = self.names(&pod);
        self.site.del(config, &pod);
        let pod = pod.not_annotated();
        self.site.add(config, &pod);
        assert_eq!(self.names(&pod), names);
        self.site.del(config, &pod);
        self.site.assert_clean();
        pod.netns.delete();
        self.site.fixture.forget_records();
        names
    }

    /// What the pod's network-status calls its networks.
    fn names(&self, pod: &Pod<'_>) -> Vec<Value> {
        let status = self.site.status(pod).expect("a network-status");
        status.as_array().unwrap().iter().map(|entry| entry["name"].clone()).collect()
    }

    /// The audit log has no request of the plugin's about the other tenant's namespace.
    #[track_caller]
    fn assert_other_untouched(&self) {
        assert_eq!(self.cluster().server().requests(&self.other), Vec::new());
    }
}

/// What may be in `annotations` of a pod, with the selection of `networks`.
fn selecting(networks: &str) -> Value {
    json!({NETWORKS: networks})
}

/// A selection of one element as JSON.
fn element(keys: &Value) -> String {
    json!([keys]).to_string()
}

/// The configuration of a network of the stub plugin.
fn stub(fixture: &Fixture, name: &str) -> Value {
    fixture.stub_config(name, &json!({"address": "192.168.10.7/24"}))
}

fn networks_path(namespace: &str) -> String {
    format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions")
}

/// A service account `tenant` with the rights of a namespace's administrator, as far as they concern networks.
fn grant(cluster: &Cluster, namespace: &str) {
    let rbac = "rbac.authorization.k8s.io";
    let metadata = json!({"name": "tenant"});
    cluster.post(
        &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
    );
    cluster.post(
        &format!("/apis/{rbac}/v1/namespaces/{namespace}/roles"),
        &json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]},
                {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": ["*"]},
            ],
        }),
    );
    cluster.post(
        &format!("/apis/{rbac}/v1/namespaces/{namespace}/rolebindings"),
        &json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "tenant"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}],
        }),
    );
}
