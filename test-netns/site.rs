//! Nodes on their storage switches, with rooknet, the networks `public` and `cluster`, and Ceph's kinds of pods.
//!
//! Tests differ in what they do; what they do it with is a [`Setup`]. So one test serves every kind of link, and the
//! kinds that this kernel lacks run the same test in the virtual machine.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kinds::{Beyond, CLUSTER, ETH0, Ip, Kind, Net, PUBLIC, host_part};
use crate::support::{CniTool, Namespace, Node, Outcome, PluginCall, RunningCall, Switch};

/// Where a node has its network definitions (`networksDir`).
const NETWORKS: &str = "/etc/cni/rooknet/networks";
/// The namespace of the pods and of the networks that they select.
pub(crate) const NAMESPACE: &str = "rook-ceph";
/// What an OSD selects.
pub(crate) const OSD: &str = r#"[{"name":"public","interface":"public"},{"name":"cluster","interface":"cluster"}]"#;
/// What a mon selects.
pub(crate) const MON: &str = "public@public";
/// The gateway of [`broken_network`], which plugins name when they fail.
pub(crate) const UNREACHABLE_GATEWAY: &str = "192.0.2.1";
/// The name of the conflist, and so of the runtime's network.
pub(crate) const CONFLIST: &str = "pods";
/// All versions of the specification that libcni takes in a conflist of several plugins.
pub(crate) const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Where rooknet stands in the node's conflist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Behind the bridge plugin.
    Chained,
    /// Alone; it calls the bridge plugin.
    Delegating,
}

/// Who runs the plugins that rooknet can run itself; the primary of a chain is always a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// rooknet.
    Native,
    /// The reference's programs: `"native": false`.
    Executed,
}

/// What a test runs with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) runner: Runner,
    pub(crate) families: &'static [Ip],
    /// `cniVersion` of the conflist and of the definitions.
    pub(crate) version: &'static str,
}

impl Setup {
    /// IPv4, the newest version and native plugins, which is what most tests take.
    pub(crate) fn new(kind: Kind, mode: Mode) -> Self {
        Setup { kind, mode, runner: Runner::Native, families: &[Ip::V4], version: "1.1.0" }
    }

    pub(crate) fn executed(self) -> Self {
        Setup { runner: Runner::Executed, ..self }
    }

    pub(crate) fn families(self, families: &'static [Ip]) -> Self {
        Setup { families, ..self }
    }

    pub(crate) fn version(self, version: &'static str) -> Self {
        Setup { version, ..self }
    }

    /// What an ADD says when host-local has no address left.
    pub(crate) fn says_full(self) -> &'static str {
        match self.runner {
            Runner::Native if self.kind != Kind::Vlan => "all addresses of the range set",
            _ => "no IP addresses available in range set",
        }
    }
}

/// Nodes and what joins them. Node number `n` is `nodes[n - 1]`.
pub(crate) struct Site {
    pub(crate) setup: Setup,
    pub(crate) nodes: Vec<Node>,
    public: Switch,
    cluster: Switch,
    underlay: Switch,
}

impl Site {
    /// Nodes with rooknet, its conflist, and the definitions of `public` and `cluster`.
    pub(crate) fn start(setup: Setup, nodes: u8) -> Self {
        let mut site = Site {
            setup,
            nodes: Vec::new(),
            public: Switch::start("public", 9000),
            cluster: Switch::start("cluster", 9000),
            underlay: Switch::start("underlay", 1500),
        };
        for number in 1..=nodes {
            site.nodes.push(Node::start(&format!("node {number}")));
            site.plug_in(number, nodes);
            let node = site.node(number);
            node.install("rooknet", Path::new(env!("CARGO_BIN_EXE_rooknet")));
            let conflist = conflist(CONFLIST, setup, &bridge(setup, number, "cni0", ETH0));
            node.write("/etc/cni/net.d/10-rooknet.conflist", conflist.to_string());
            for net in [PUBLIC, CLUSTER] {
                site.define(number, NAMESPACE, net.name, &network(setup, net, number));
            }
        }
        site
    }

    pub(crate) fn node(&self, number: u8) -> &Node {
        &self.nodes[usize::from(number) - 1]
    }

    /// Interfaces and routes that an administrator would have made.
    fn plug_in(&self, number: u8, nodes: u8) {
        let node = self.node(number);
        for (switch, net) in [(&self.public, PUBLIC), (&self.cluster, CLUSTER)] {
            switch.join(node, net.port);
            self.setup.kind.prepare(node, net, number, nodes);
        }
        self.underlay.join(node, "pods0");
        // With an address of its own: otherwise the bridge takes those of its first ports, and what the bridge plugin
        // told the first of two pods that come at once is wrong by the time of their CHECK.
        node.ok(&["ip", "link", "add", "cni0", "address", "02:00:00:00:00:01", "type", "bridge"]);
        for ip in self.setup.families {
            ip.assign(&node.host(), "pods0", &format!("{}/{}", ip.underlay(number), ip.part_length()));
            for other in (1..=nodes).filter(|other| *other != number) {
                node.ok(&["ip", "route", "add", &ip.subnet(ETH0, other), "via", &ip.underlay(other)]);
            }
        }
    }

    /// A router on `public` with its gateway's addresses. Beyond it, and beyond the nodes, are addresses to which only
    /// a default route leads.
    pub(crate) fn add_router(&self) -> Node {
        let router = Node::start("router");
        self.public.join(&router, "lan0");
        for ip in self.setup.families {
            let network = ip.network(PUBLIC.number);
            let (_, length) = network.split_once('/').expect("a network has a prefix length");
            ip.assign(&router.host(), "lan0", &format!("{}/{length}", ip.gateway(PUBLIC.number)));
            ip.assign(&router.host(), "lo", ip.beyond(Beyond::Router));
            for node in &self.nodes {
                ip.assign(&node.host(), "lo", ip.beyond(Beyond::Node));
            }
        }
        router
    }

    /// Writes a network definition.
    pub(crate) fn define(&self, number: u8, namespace: &str, name: &str, config: &Value) {
        let definition = json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"config": config.to_string()},
        });
        self.node(number).write(&format!("{NETWORKS}/{namespace}/{name}.json"), definition.to_string());
    }

    /// A pod of [`NAMESPACE`] with an empty network namespace; nothing is attached yet.
    pub(crate) fn pod(&self, number: u8, name: &str, selection: &str) -> Pod<'_> {
        self.pod_of(number, NAMESPACE, name, selection)
    }

    /// The same in another namespace of Kubernetes.
    pub(crate) fn pod_of(&self, number: u8, namespace: &str, name: &str, selection: &str) -> Pod<'_> {
        let netns = self.node(number).add_netns(name);
        let tool = CniTool::new(&netns, CONFLIST)
            .pod(namespace, name, &format!("uid-of-{name}"))
            .annotations(&json!({"k8s.v1.cni.cncf.io/networks": selection}));
        Pod { netns, tool }
    }

    /// Calls rooknet's GC on a node, as CRI-O does for one conflist. `valid` are the containers that the runtime knows
    /// with `eth0`; `None` is no list at all. (`cnitool gc` passes none.)
    pub(crate) fn gc(&self, number: u8, conflist: &Value, valid: Option<&[&Pod<'_>]>) -> Outcome {
        Self::gc_call(conflist, valid).run(self.node(number))
    }

    /// The call for it.
    pub(crate) fn gc_call(conflist: &Value, valid: Option<&[&Pod<'_>]>) -> PluginCall {
        let mut config = rooknet_entry(conflist);
        if let Some(valid) = valid {
            let list = valid.iter().map(|pod| json!({"containerID": pod.id(), "ifname": "eth0"}));
            config["cni.dev/valid-attachments"] = list.collect();
        }
        PluginCall::new(Path::new("/opt/cni/bin/rooknet"), "GC", &config.to_string())
    }

    /// The conflist that [`Site::start`] gave to a node.
    pub(crate) fn conflist(&self, number: u8) -> Value {
        conflist(CONFLIST, self.setup, &bridge(self.setup, number, "cni0", ETH0))
    }

    /// The same after a pod's namespace was removed: the kernel ends it, and with it the host's end of eth0, some time
    /// after its last user has gone.
    #[track_caller]
    pub(crate) fn wait_until_clean(&self) {
        let is_clean = || self.nodes.iter().all(|node| node.left_overs().is_empty());
        // What is left is better said by the assertions below.
        let start = Instant::now();
        while !is_clean() && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(10));
        }
        self.assert_clean();
    }

    /// Nothing of any pod is left on any node.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        for node in &self.nodes {
            assert_clean(node);
        }
    }
}

/// No link, address, journal, lock, lock file, mark or process of any pod is left on the node.
#[track_caller]
pub(crate) fn assert_clean(node: &Node) {
    assert_eq!(node.left_overs(), Vec::<String>::new(), "left on {}", node.name());
    assert_eq!(node.entries("/run/rooknet/locks"), Vec::<String>::new(), "lock files on {}", node.name());
    assert_eq!(node.entries("/var/lib/rooknet/failed"), Vec::<String>::new(), "marks on {}", node.name());
}

/// The configuration of a storage network on one node, without the key `name`, as Rook's documentation has it.
pub(crate) fn network(setup: Setup, net: Net, number: u8) -> Value {
    let mut config = setup.kind.plugin(net);
    config["cniVersion"] = json!(setup.version);
    let ranges: Vec<Value> = setup.families.iter().map(|ip| json!([setup.kind.range(*ip, net, number)])).collect();
    config["ipam"] = json!({"type": "host-local", "ranges": ranges, "routes": setup.kind.routes(setup.families, net)});
    config
}

/// The same with a route that the kernel refuses: the plugin fails as late as it can, with link and address made.
pub(crate) fn broken_network(setup: Setup, net: Net, number: u8) -> Value {
    let mut config = network(setup, net, number);
    config["ipam"]["routes"] = json!([{"dst": "203.0.113.0/24", "gw": UNREACHABLE_GATEWAY}]);
    config
}

/// The bridge plugin's configuration for eth0: the node's part of 10.`number`.0.0/16, and the default routes.
pub(crate) fn bridge(setup: Setup, node: u8, bridge: &str, number: u8) -> Value {
    let ranges: Vec<Value> = setup.families.iter().map(|ip| json!([{"subnet": ip.subnet(number, node)}])).collect();
    let routes: Vec<Value> = setup.families.iter().map(|ip| json!({"dst": ip.everywhere()})).collect();
    json!({
        "type": "bridge", "bridge": bridge, "isGateway": true,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
    })
}

/// A conflist with rooknet and, before it or inside it, the primary plugin.
pub(crate) fn conflist(name: &str, setup: Setup, primary: &Value) -> Value {
    let mut rooknet = json!({
        "type": "rooknet",
        "capabilities": {"io.kubernetes.cri.pod-annotations": true},
        "networksDir": NETWORKS,
    });
    if setup.runner == Runner::Executed {
        rooknet["native"] = json!(false);
    }
    let plugins = match setup.mode {
        Mode::Chained => json!([primary, rooknet]),
        Mode::Delegating => {
            let mut primary = primary.clone();
            primary["cniVersion"] = json!(setup.version);
            primary["name"] = json!(name);
            rooknet["delegates"] = json!([primary]);
            json!([rooknet])
        }
    };
    json!({"cniVersion": setup.version, "name": name, "plugins": plugins})
}

/// rooknet's configuration as a runtime makes it of a conflist.
pub(crate) fn rooknet_entry(conflist: &Value) -> Value {
    let mut entry = conflist["plugins"].as_array().expect("plugins").last().expect("rooknet is the last").clone();
    for key in ["cniVersion", "name"] {
        entry[key] = conflist[key].clone();
    }
    entry
}

/// A pod: its network namespace, and cnitool with what a runtime says of it.
#[derive(Clone)]
pub(crate) struct Pod<'a> {
    pub(crate) netns: Namespace<'a>,
    pub(crate) tool: CniTool<'a>,
}

impl Pod<'_> {
    /// CNI_CONTAINERID.
    pub(crate) fn id(&self) -> String {
        self.tool.container_id()
    }

    /// `cnitool add`, which must succeed; the result.
    #[track_caller]
    pub(crate) fn add(&self) -> Value {
        let added = self.tool.run("add");
        added.expect_success("cnitool add");
        added.json()
    }

    /// `cnitool check`, which must succeed.
    #[track_caller]
    pub(crate) fn check(&self) {
        self.tool.run("check").expect_success("cnitool check");
    }

    /// `cnitool del`, which must succeed.
    #[track_caller]
    pub(crate) fn del(&self) {
        self.tool.run("del").expect_success("cnitool del");
    }

    /// An operation that must fail; all that cnitool said.
    #[track_caller]
    pub(crate) fn refused(&self, operation: &str) -> String {
        let outcome = self.tool.run(operation);
        assert!(!outcome.success(), "cnitool {operation} must fail: {outcome}");
        outcome.to_string()
    }

    /// The address of one family, without its prefix length.
    #[track_caller]
    pub(crate) fn address(&self, interface: &str, ip: Ip) -> String {
        let addresses = self.netns.addresses(interface);
        let found = addresses.iter().find(|address| ip.is_of(address));
        host_part(found.unwrap_or_else(|| panic!("{interface} has no {ip:?} among {addresses:?}"))).to_owned()
    }

    /// Whether `other` answers on its `interface`, asked through the interface of the same name, in each family.
    #[track_caller]
    pub(crate) fn assert_reaches(&self, other: &Pod<'_>, interface: &str, families: &[Ip]) {
        for ip in families {
            let address = other.address(interface, *ip);
            assert!(self.netns.reaches(&address, Some(interface)), "no answer from {address} over {interface}");
        }
    }
}

/// Runs one operation for several pods at once; all must succeed.
#[track_caller]
pub(crate) fn at_once(pods: &[&Pod<'_>], operation: &str) -> Vec<String> {
    let calls: Vec<RunningCall> = pods.iter().map(|pod| pod.tool.start(operation)).collect();
    calls.into_iter().map(|call| call.wait().expect_success(&format!("cnitool {operation}"))).collect()
}
