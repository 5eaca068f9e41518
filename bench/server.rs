//! The real API server, the objects in it, and who asks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::cluster::{Account, Cluster, Credential, Kubeconfig};
use crate::contender::{Contender, Who, annotated, delegating};
use crate::networks::{Addresses, NETWORKS, SELECTION};
use crate::stage::{Pod, Stage};

/// Multus's rights: those of its own deployment, without what it does not use here.
const MULTUS_RIGHTS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: multus, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: multus}
rules:
- {apiGroups: ["k8s.cni.cncf.io"], resources: ["*"], verbs: ["*"]}
- {apiGroups: [""], resources: ["pods", "pods/status"], verbs: ["get", "list", "update", "patch", "watch"]}
- {apiGroups: ["", "events.k8s.io"], resources: ["events"], verbs: ["create", "patch", "update"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: multus}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: multus}
subjects:
- {kind: ServiceAccount, name: multus, namespace: kube-system}
"#;

/// The kubeconfigs on the node.
const KUBECONFIG: &str = "/etc/cni/rooknet/kubeconfig";
const MULTUS_KUBECONFIG: &str = "/etc/cni/multus/kubeconfig";

/// An API server that the node reaches, with the definitions of the storage networks.
pub(crate) struct Server {
    cluster: &'static Cluster,
    node_name: String,
    namespace: String,
    /// The pods' uids by their names.
    uids: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Server {
    pub(crate) fn start(stage: &Stage) -> Self {
        let cluster = Cluster::shared();
        cluster.join(&stage.node);
        let (node_name, namespace) = (cluster.unique_name("node"), cluster.unique_name("bench"));
        cluster.create_node(&node_name);
        cluster.create_namespace(&namespace);
        for network in NETWORKS.iter().filter(|network| !network.is_eth0()) {
            cluster.create_network(&namespace, network.name, &network.config(Addresses::Ipv4), &json!({}));
        }
        cluster.apply(MULTUS_RIGHTS);
        let tokens = [
            (KUBECONFIG, cluster.node_token(Account::Plain, &node_name)),
            (MULTUS_KUBECONFIG, cluster.token("kube-system", "multus", None)),
        ];
        for (file, token) in tokens {
            let token_file = format!("{file}.token");
            let kubeconfig = Kubeconfig::new(cluster, &cluster.server().url());
            let kubeconfig = kubeconfig.credential(Credential::TokenFile(token_file.clone()));
            stage.node.write(&token_file, token);
            stage.node.write(file, kubeconfig.to_string());
        }
        Self { cluster, node_name, namespace, uids: Arc::default() }
    }

    /// rooknet, native and executed, and Multus where there is one, with definitions and status by this server.
    pub(crate) fn contenders(&self, stage: &Stage) -> Vec<Contender> {
        let mut contenders = vec![
            self.plugin(stage, Who::Native, "rooknet", &self.rooknet(true)),
            self.plugin(stage, Who::Executed, "rooknet", &self.rooknet(false)),
        ];
        if stage.programs.multus.is_some() {
            contenders.push(self.multus(stage));
        }
        contenders
    }

    fn rooknet(&self, native: bool) -> Value {
        let mut keys = annotated();
        keys["kubeconfig"] = json!(KUBECONFIG);
        keys["nodeName"] = json!(self.node_name);
        keys["native"] = json!(native);
        keys
    }

    fn multus(&self, stage: &Stage) -> Contender {
        self.plugin(stage, Who::Multus, "multus", &json!({"kubeconfig": MULTUS_KUBECONFIG}))
    }

    fn plugin(&self, stage: &Stage, who: Who, kind: &str, keys: &Value) -> Contender {
        let config = delegating(kind, &NETWORKS[0].config(Addresses::Ipv4), keys);
        let (namespace, uids) = (self.namespace.clone(), Arc::clone(&self.uids));
        Contender::plugin(stage, who, &format!("server-{who:?}"), &config, move |pod| {
            let uids = uids.lock().unwrap();
            let uid = uids.get(&pod.name).expect("the pod is in the API server");
            format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={};K8S_POD_UID={uid}", pod.name)
        })
    }

    /// Makes the pod's object.
    pub(crate) fn create_pod(&self, pod: &Pod) {
        let annotations = json!({"k8s.v1.cni.cncf.io/networks": SELECTION});
        let uid = self.cluster.create_pod(&self.namespace, &pod.name, &self.node_name, &annotations);
        self.uids.lock().unwrap().insert(pod.name.clone(), uid);
    }

    /// The networks in the pod's network-status.
    pub(crate) fn networks_in_status(&self, pod: &Pod) -> usize {
        let status = self.cluster.network_status(&self.namespace, &pod.name);
        status.and_then(|status| status.as_array().map(Vec::len)).unwrap_or_default()
    }

    /// How often the contender has asked so far, by the audit log.
    pub(crate) fn requests(&self, who: Who) -> usize {
        let agent = if who == Who::Multus { "multus" } else { "rooknet/" };
        self.cluster.server().requests_by(agent, &self.namespace).len()
    }
}
