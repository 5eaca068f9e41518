//! Objects that tests make.

use serde_json::{Value, json};

use super::{ADMIN, Answer, Cluster};

impl Cluster {
    /// A Node object; its uid.
    #[track_caller]
    pub(crate) fn create_node(&self, name: &str) -> String {
        uid(&self.post("/api/v1/nodes", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})))
    }

    /// A namespace with the service account `default`, which pods need and which a controller makes elsewhere.
    #[track_caller]
    pub(crate) fn create_namespace(&self, name: &str) {
        self.post("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        self.post(
            &format!("/api/v1/namespaces/{name}/serviceaccounts"),
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}),
        );
    }

    /// A pod that is already placed on a node; its uid. `annotations` is an object.
    #[track_caller]
    pub(crate) fn create_pod(&self, namespace: &str, name: &str, node: &str, annotations: &Value) -> String {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations, "labels": {"app": "test"}},
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none"}],
            },
        });
        uid(&self.post(&format!("/api/v1/namespaces/{namespace}/pods"), &pod))
    }

    /// A network definition with the given configuration: an object, or a string that is taken as it is.
    #[track_caller]
    pub(crate) fn create_network(&self, namespace: &str, name: &str, config: &Value, annotations: &Value) {
        let config = config.as_str().map_or_else(|| config.to_string(), str::to_owned);
        let network = json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"config": config},
        });
        self.post(&format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions"), &network);
    }

    /// The pod; panics when there is none.
    #[track_caller]
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Value {
        self.get(&pod_path(namespace, name)).expect_success("the pod")
    }

    /// What the pod's annotation network-status says; `None` without it.
    #[track_caller]
    pub(crate) fn network_status(&self, namespace: &str, name: &str) -> Option<Value> {
        let pod = self.pod(namespace, name);
        let text = pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"].as_str()?;
        Some(serde_json::from_str(text).unwrap_or_else(|error| panic!("network-status is not JSON ({error}): {text}")))
    }

    /// Removes a pod at once, as after its grace period.
    #[track_caller]
    pub(crate) fn delete_pod(&self, namespace: &str, name: &str) {
        self.delete(&format!("{}?gracePeriodSeconds=0", pod_path(namespace, name))).expect_success("delete the pod");
    }

    /// A DELETE by the administrator.
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, ADMIN, "", None)
    }
}

/// The path of a pod at the API server.
pub(crate) fn pod_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}")
}

#[track_caller]
fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().expect("an object has a uid").to_owned()
}
