//! Pods as Rook's operator makes them: its labels, its annotation, and the canary's way to read what came of it.

use serde_json::{Value, json};

use super::{NAMESPACE, Stage};

/// The annotation in which pods select networks.
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The annotation in which they are told what they got.
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// The image of the pods: see `test-cluster/images.sh`.
const IMAGE: &str = "rooknet-test/busybox:1";

/// An init container's script: waits for the status in a volume of the downward API, as Rook's canary does, prints it,
/// then the interfaces' addresses.
const CANARY: &str = r#"
until [ -s /podinfo/network-status ]; do sleep 0.1; done
cat /podinfo/network-status
echo
echo ---
ip -o addr
"#;

/// What a pod is to be.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: String,
    /// The node on which it runs.
    pub(crate) node: &'static str,
    labels: Value,
    /// Names of definitions in the pod's own namespace.
    networks: Vec<&'static str>,
    reads_status: bool,
}

/// An OSD: public and cluster.
pub(crate) fn osd(id: u32, node: &'static str) -> Pod {
    let labels = json!({"app": "rook-ceph-osd", "rook_cluster": NAMESPACE, "ceph_daemon_type": "osd",
        "ceph_daemon_id": id.to_string(), "ceph-osd-id": id.to_string()});
    Pod { name: format!("rook-ceph-osd-{id}"), node, labels, networks: vec!["public", "cluster"], reads_status: false }
}

/// A mon: public.
pub(crate) fn mon(id: &str, node: &'static str) -> Pod {
    let labels = json!({"app": "rook-ceph-mon", "rook_cluster": NAMESPACE, "ceph_daemon_type": "mon",
        "ceph_daemon_id": id, "mon": id});
    Pod { name: format!("rook-ceph-mon-{id}"), node, labels, networks: vec!["public"], reads_status: false }
}

/// One of Rook's that selects nothing: a crash collector.
pub(crate) fn plain(id: &str, node: &'static str) -> Pod {
    let labels = json!({"app": "rook-ceph-crashcollector", "rook_cluster": NAMESPACE});
    Pod { name: format!("rook-ceph-crashcollector-{id}"), node, labels, networks: Vec::new(), reads_status: false }
}

impl Pod {
    /// The same with an init container that waits for its network-status.
    pub(crate) fn with_canary(mut self) -> Self {
        self.reads_status = true;
        self
    }

    /// The interfaces that it must have, eth0 among them.
    pub(crate) fn interfaces(&self) -> Vec<String> {
        let of_networks = (1..=self.networks.len()).map(|number| format!("net{number}"));
        std::iter::once("eth0".to_owned()).chain(of_networks).collect()
    }

    /// The interface that belongs to a network.
    #[track_caller]
    pub(crate) fn interface(&self, network: &str) -> String {
        let position = self.networks.iter().position(|name| *name == network).expect("the pod selects the network");
        format!("net{}", position + 1)
    }

    /// The path of the pod at the API server.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", self.name)
    }

    fn manifest(&self) -> Value {
        // Compact JSON, public before cluster, interfaces numbered: as Rook writes it.
        let elements: Vec<Value> = (1..)
            .zip(&self.networks)
            .map(|(number, name)| json!({"name": name, "namespace": NAMESPACE, "interface": format!("net{number}")}))
            .collect();
        let annotations = if elements.is_empty() { json!({}) } else { json!({NETWORKS: json!(elements).to_string()}) };
        let container = |name: &str, script: &str| {
            json!({
                "name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", script],
                "volumeMounts": [{"name": "podinfo", "mountPath": "/podinfo"}],
            })
        };
        let init: Vec<Value> = self.reads_status.then(|| container("canary", CANARY)).into_iter().collect();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": self.labels, "annotations": annotations},
            "spec": {
                "nodeName": self.node,
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 1,
                "tolerations": [{"operator": "Exists"}],
                "initContainers": init,
                "containers": [container("main", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")],
                "volumes": [{"name": "podinfo", "downwardAPI": {"items": [{
                    "path": "network-status",
                    "fieldRef": {"fieldPath": format!("metadata.annotations['{STATUS}']")},
                }]}}],
            },
        })
    }
}

impl Stage {
    /// Creates pods and returns at once.
    #[track_caller]
    pub(crate) fn create(&self, pods: &[Pod]) {
        for pod in pods {
            self.api.post(&format!("/api/v1/namespaces/{NAMESPACE}/pods"), &pod.manifest());
        }
    }

    /// Creates pods and waits until all run, each with every network that it asked for.
    #[track_caller]
    pub(crate) fn start(&self, pods: &[Pod]) {
        self.create(pods);
        self.await_running(pods);
    }

    /// Waits until all run, each with every network that it asked for.
    #[track_caller]
    pub(crate) fn await_running(&self, pods: &[Pod]) {
        for pod in pods {
            self.wait_for(&format!("{} runs", pod.name), || {
                self.api.find(&pod.path()).is_some_and(|found| found["status"]["phase"] == "Running")
            });
        }
        self.assert_attached(pods);
    }

    /// Every pod that runs has every network that it asked for: in its status, and in its namespace.
    #[track_caller]
    pub(crate) fn assert_attached(&self, pods: &[Pod]) {
        for pod in pods {
            let told: Vec<String> = match self.network_status(pod) {
                Value::Array(entries) => {
                    entries.iter().map(|entry| entry["interface"].as_str().unwrap_or_default().to_owned()).collect()
                }
                _ => vec!["eth0".to_owned()],
            };
            assert_eq!(told, pod.interfaces(), "network-status of {}", pod.name);
            let lines = self.exec(pod, "ip -o link");
            for interface in pod.interfaces() {
                let is_there = |line: &str| line.contains(&format!(": {interface}@")) && line.contains("LOWER_UP");
                assert!(lines.lines().any(is_there), "{} has no {interface}: {lines}", pod.name);
            }
        }
    }

    /// What the pod was told; `null` when nothing.
    #[track_caller]
    pub(crate) fn network_status(&self, pod: &Pod) -> Value {
        let found = self.api.get(&pod.path());
        let Some(text) = found["metadata"]["annotations"][STATUS].as_str() else { return Value::Null };
        serde_json::from_str(text).unwrap_or_else(|error| panic!("network-status of {}: {error}: {text}", pod.name))
    }

    /// The pod's address on a network, by its status.
    #[track_caller]
    pub(crate) fn address(&self, pod: &Pod, network: &str) -> String {
        let status = self.network_status(pod);
        let interface = if network == "pods" { "eth0".to_owned() } else { pod.interface(network) };
        let entry = status.as_array().and_then(|entries| entries.iter().find(|entry| entry["interface"] == interface));
        let entry = entry.unwrap_or_else(|| panic!("{interface} in network-status of {}: {status}", pod.name));
        entry["ips"][0].as_str().unwrap_or_else(|| panic!("an address of {interface}: {status}")).to_owned()
    }

    /// A shell's line in the pod, which must succeed: what it prints.
    #[track_caller]
    pub(crate) fn exec(&self, pod: &Pod, line: &str) -> String {
        self.kubectl(&["exec", "--namespace", NAMESPACE, &pod.name, "--container", "main", "--", "sh", "-c", line])
    }

    /// One pod reaches another's address on a network, by its own interface there.
    #[track_caller]
    pub(crate) fn assert_reaches(&self, from: &Pod, to: &Pod, network: &str) {
        let address = self.address(to, network);
        let interface = if network == "pods" { "eth0".to_owned() } else { from.interface(network) };
        self.exec(from, &format!("ping -c 1 -W 5 -I {interface} {address}"));
    }

    /// Deletes pods and waits until they are gone.
    #[track_caller]
    pub(crate) fn delete(&self, pods: &[Pod]) {
        for pod in pods {
            self.api.delete(&pod.path());
        }
        self.await_gone(pods);
    }

    /// Waits until pods are gone.
    #[track_caller]
    pub(crate) fn await_gone(&self, pods: &[Pod]) {
        for pod in pods {
            self.wait_for(&format!("{} is gone", pod.name), || self.api.find(&pod.path()).is_none());
        }
    }
}
