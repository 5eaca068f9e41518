//! The storage networks: one definition each for both nodes, with ranges of its own for each node and a host address
//! outside all of them.

use serde_json::{Value, json};

use super::{NAMESPACE, NODES, Stage};

/// Where a network's addresses begin: the first three numbers.
fn prefix(network: &str) -> &'static str {
    match network {
        "public" => "192.168.10",
        "cluster" => "192.168.20",
        other => panic!("there is no network {other}"),
    }
}

/// The first address of a node's range in a network is this many tens of it.
fn tens(node: &str) -> usize {
    let position = NODES.iter().position(|name| *name == node).expect("one of NODES");
    (position + 1) * 50
}

/// Whether an address is one that a node may give to pods in a network.
pub(crate) fn address_in(network: &str, node: &str, address: &str) -> bool {
    let last = address.strip_prefix(prefix(network)).and_then(|rest| rest.strip_prefix('.'));
    last.and_then(|last| last.parse::<usize>().ok()).is_some_and(|last| (tens(node)..tens(node) + 50).contains(&last))
}

/// The node's own address in a network.
pub(crate) fn host_address(network: &str, node: &str) -> String {
    format!("{}.{}", prefix(network), 1 + tens(node) / 50)
}

impl Stage {
    /// Defines both networks, or puts them back to what they were.
    #[track_caller]
    pub(super) fn define_networks(&self) {
        for (name, master) in [("public", "stor0"), ("cluster", "stor1")] {
            self.define_network(name, &definition(name, master));
        }
    }

    /// Makes the kind of object that describes a network, where it is missing: it belongs to the cluster and not to
    /// rooknet, so that it is none of what comes and goes with that.
    #[track_caller]
    pub(super) fn define_kind(&self) {
        if self.api.request("GET", "/apis/k8s.cni.cncf.io/v1", "", None).status == 404 {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kustomize/crd/network-attachment-definition.yaml");
            self.kubectl(&["apply", "--filename", file]);
            self.wait_for("the kind of networks", || {
                self.api.request("GET", "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions", "", None).status
                    == 200
            });
        }
    }

    /// Defines a network in the storage cluster's namespace, or changes its definition.
    #[track_caller]
    pub(crate) fn define_network(&self, name: &str, definition: &Value) {
        let all = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{NAMESPACE}/network-attachment-definitions");
        let one = format!("{all}/{name}");
        if self.api.find(&one).is_some() {
            self.api.delete(&one);
            self.wait_for("the former definition is gone", || self.api.find(&one).is_none());
        }
        self.api.post(&all, definition);
    }
}

/// A network by macvlan with ranges for both nodes.
fn definition(name: &str, master: &str) -> Value {
    let prefix = prefix(name);
    let ranges: serde_json::Map<String, Value> = NODES
        .iter()
        .map(|node| {
            let (first, last) = (tens(node), tens(node) + 49);
            let range = json!({
                "subnet": format!("{prefix}.0/24"),
                "rangeStart": format!("{prefix}.{first}"),
                "rangeEnd": format!("{prefix}.{last}"),
            });
            let host = format!("{}/24", host_address(name, node));
            ((*node).to_owned(), json!({"ranges": [[range]], "host": host}))
        })
        .collect();
    let config = json!({"cniVersion": "1.1.0", "name": format!("rook-{name}"), "type": "macvlan", "master": master,
        "mode": "bridge", "ipam": {"type": "host-local"}});
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "annotations": {"rooknet.io/node-ranges": Value::Object(ranges).to_string()}},
        "spec": {"config": config.to_string()},
    })
}
