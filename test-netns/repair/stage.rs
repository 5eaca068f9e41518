//! Nodes on one storage switch, with rooknet behind the bridge plugin, and a network with ranges for each node.
//!
//! Node number n hands out 10.77.n.10 to .99 and fd77::n:10 to fd77::n:99 of the network, and is 10.77.0.(10 + n) and
//! fd77::a:n there itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{CniTool, Namespace, Node, Outcome, Switch, run};

/// The namespace of pods and networks.
pub(crate) const NAMESPACE: &str = "rook-ceph";
/// Where a node has its network definitions (`networksDir`).
const NETWORKS: &str = "/etc/cni/rooknet/networks";
/// The name of the conflist.
const CONFLIST: &str = "pods";
/// Nodes that the ranges know.
const NODES: u8 = 3;

/// Nodes and what joins them. Node number `n` is `nodes[n - 1]`.
pub(crate) struct Stage {
    pub(crate) nodes: Vec<Node>,
    pub(crate) switch: Switch,
}

impl Stage {
    /// Nodes with `stor0` on the switch, and rooknet.
    pub(crate) fn start(nodes: u8) -> Self {
        Stage::with_entry(nodes, &json!({}))
    }

    /// The same with further keys in rooknet's entry.
    pub(crate) fn with_entry(nodes: u8, keys: &Value) -> Self {
        let mut stage = Stage { nodes: Vec::new(), switch: Switch::start("storage", 9000) };
        for number in 1..=nodes {
            stage.nodes.push(Node::start(&format!("node {number}")));
            let node = stage.node(number);
            stage.switch.join(node, "stor0");
            node.install("rooknet", Path::new(env!("CARGO_BIN_EXE_rooknet")));
            let mut entry = json!({"type": "rooknet", "capabilities": {"io.kubernetes.cri.pod-annotations": true},
                "networksDir": NETWORKS, "nodeName": node_name(number)});
            entry.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            let conflist = json!({"cniVersion": "1.1.0", "name": CONFLIST, "plugins": [
                {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": {"type": "host-local",
                    "ranges": [[{"subnet": format!("10.44.{number}.0/24")}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                entry,
            ]});
            node.write("/etc/cni/net.d/00-rooknet.conflist", conflist.to_string());
        }
        stage
    }

    pub(crate) fn node(&self, number: u8) -> &Node {
        &self.nodes[usize::from(number) - 1]
    }

    /// Writes a definition on every node.
    pub(crate) fn define(&self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap();
        for node in &self.nodes {
            node.write(&format!("{NETWORKS}/{NAMESPACE}/{name}.json"), definition.to_string());
        }
    }

    /// A pod with an empty network namespace.
    pub(crate) fn pod(&self, number: u8, name: &str, selection: &str) -> Pod<'_> {
        let netns = self.node(number).add_netns(name);
        let tool = CniTool::new(&netns, CONFLIST)
            .pod(NAMESPACE, name, &format!("uid-of-{name}"))
            .annotations(&json!({"k8s.v1.cni.cncf.io/networks": selection}));
        Pod { netns, tool }
    }

    /// A pod that is attached.
    #[track_caller]
    pub(crate) fn attached(&self, number: u8, name: &str, selection: &str) -> Pod<'_> {
        let pod = self.pod(number, name, selection);
        pod.tool.run("add").expect_success("cnitool add");
        pod
    }

    /// One round of a repair on a node.
    pub(crate) fn try_repair(&self, number: u8, repair: &str, input: &Value, fault: &str) -> Outcome {
        let mut command = self.node(number).command(env!("CARGO_BIN_EXE_rooknet-repair"));
        command.arg(repair).env("ROOKNET_FAULT", fault);
        let mut input = input.clone();
        input["node"] = json!(node_name(number));
        run(command, input.to_string().as_bytes())
    }

    /// The report of a round.
    #[track_caller]
    pub(crate) fn repair(&self, number: u8, repair: &str, input: &Value) -> Value {
        let outcome = self.try_repair(number, repair, input, "");
        outcome.expect_success(repair);
        outcome.json()
    }
}

pub(crate) fn node_name(number: u8) -> String {
    format!("node-{number}")
}

/// A pod: its network namespace, and cnitool with what a runtime says of it.
pub(crate) struct Pod<'a> {
    pub(crate) netns: Namespace<'a>,
    pub(crate) tool: CniTool<'a>,
}

impl Pod<'_> {
    /// `cnitool` must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, operation: &str) {
        self.tool.run(operation).expect_success(&format!("cnitool {operation}"));
    }
}

impl Pod<'_> {
    /// What `ip -d -j` says of `net1`, without what is another one's each time.
    #[track_caller]
    pub(crate) fn shown(&self) -> Value {
        let listed = |words: &[&str]| -> Vec<Value> {
            let text = self.netns.ok(words);
            let mut found: Vec<Value> =
                if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() };
            // Routes of one prefix stand in the order in which they were made.
            found.sort_by_key(ToString::to_string);
            found
        };
        let mut link = listed(&["ip", "-d", "-j", "address", "show", "dev", "net1"]).remove(0);
        let link_object = link.as_object_mut().unwrap();
        for volatile in ["ifindex", "link_index", "link_netnsid", "addr_info"] {
            link_object.remove(volatile);
        }
        json!({"link": link, "addresses": self.netns.addresses("net1"),
            "routes": [listed(&["ip", "-j", "-4", "route"]), listed(&["ip", "-j", "-6", "route"])]})
    }
}

/// This node's own addresses on the network, IPv4 first.
pub(crate) fn host_addresses(number: u8) -> [String; 2] {
    [format!("10.77.0.{}", 10 + number), format!("fd77::a:{number}")]
}

/// The network `public` of a plugin, or of a list whose first plugin makes the interface; its mark is set. Version and
/// the type of the IPAM plugin need not be said.
pub(crate) fn definition(mut config: Value) -> Value {
    if config["cniVersion"].is_null() {
        config["cniVersion"] = json!("1.1.0");
    }
    let plugin = if config["plugins"].is_null() { &mut config } else { &mut config["plugins"][0] };
    plugin["ipam"]["type"] = json!("host-local");
    let ranges: serde_json::Map<String, Value> = (1..=NODES)
        .map(|number| {
            let ipv4 = json!({"subnet": "10.77.0.0/16", "gateway": "10.77.255.254",
                "rangeStart": format!("10.77.{number}.10"), "rangeEnd": format!("10.77.{number}.99")});
            let ipv6 = json!({"subnet": "fd77::/64", "gateway": "fd77::ffff:fffe",
                "rangeStart": format!("fd77::{number}:10"), "rangeEnd": format!("fd77::{number}:99")});
            let [host4, host6] = host_addresses(number);
            let host = [format!("{host4}/16"), format!("{host6}/64")];
            (node_name(number), json!({"ranges": [[ipv4], [ipv6]], "host": host}))
        })
        .collect();
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": NAMESPACE, "name": "public", "annotations": {
            "rooknet.io/node-ranges": Value::Object(ranges).to_string(), "rooknet.io/host-access": "true"}},
        "spec": {"config": config.to_string()},
    })
}

/// `public` as macvlan on `stor0`.
pub(crate) fn macvlan() -> Value {
    definition(json!({"type": "macvlan", "master": "stor0", "mode": "bridge"}))
}
