//! What differs between kinds of links, and the plan of addresses.
//!
//! A storage network number N has 10.N.0.0/16 and fdNN::/48, of which node n hands out 10.N.n.10 to .99 and
//! fdNN:0:0:n::10 to ::99: host-local knows only its own node.

use serde_json::{Value, json};

use crate::support::{Namespace, Node, kernel_has};

/// A storage network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Net {
    pub(crate) name: &'static str,
    /// The node's interface on that network's switch.
    pub(crate) port: &'static str,
    /// Its number in the plan of addresses.
    pub(crate) number: u8,
}

pub(crate) const PUBLIC: Net = Net { name: "public", port: "stor0", number: 10 };
pub(crate) const CLUSTER: Net = Net { name: "cluster", port: "stor1", number: 20 };

/// The number of the network of the pods' eth0.
pub(crate) const ETH0: u8 = 44;

/// The VLAN of each storage network, where the kind of link has one.
const VLAN: u16 = 77;

/// A kind of link in the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Macvlan,
    /// A macvlan on the node's VLAN interface.
    MacvlanOnVlan,
    IpvlanL2,
    /// Routed by the node instead of switched: each node has a subnet of its own.
    IpvlanL3,
    /// A VLAN interface in the pod. A VLAN exists once on a node's interface, so one pod of a node has it.
    Vlan,
}

impl Kind {
    /// The kind that the kernel shows in the pod.
    pub(crate) fn of_link(self) -> &'static str {
        match self {
            Kind::Macvlan | Kind::MacvlanOnVlan => "macvlan",
            Kind::IpvlanL2 | Kind::IpvlanL3 => "ipvlan",
            Kind::Vlan => "vlan",
        }
    }

    /// Whether several pods of a node can have a link on one network.
    pub(crate) fn is_shared(self) -> bool {
        self != Kind::Vlan
    }

    /// The plugin's configuration without version and IPAM.
    pub(crate) fn plugin(self, net: Net) -> Value {
        let master = net.port;
        match self {
            Kind::Macvlan => json!({"type": "macvlan", "master": master, "mode": "bridge"}),
            Kind::MacvlanOnVlan => json!({"type": "macvlan", "master": vlan_port(net), "mode": "bridge"}),
            Kind::IpvlanL2 => json!({"type": "ipvlan", "master": master, "mode": "l2"}),
            Kind::IpvlanL3 => json!({"type": "ipvlan", "master": master, "mode": "l3"}),
            Kind::Vlan => json!({"type": "vlan", "master": master, "vlanId": VLAN}),
        }
    }

    /// host-local's range for a node.
    pub(crate) fn range(self, ip: Ip, net: Net, node: u8) -> Value {
        let subnet = match self {
            Kind::IpvlanL3 => ip.subnet(net.number, node),
            _ => ip.network(net.number),
        };
        json!({
            "subnet": subnet,
            "rangeStart": ip.host(net.number, node, 10),
            "rangeEnd": ip.host(net.number, node, 99),
        })
    }

    /// Routes that a pod needs besides that to its interface's subnet.
    pub(crate) fn routes(self, families: &[Ip], net: Net) -> Vec<Value> {
        match self {
            Kind::IpvlanL3 => families.iter().map(|ip| json!({"dst": ip.network(net.number)})).collect(),
            _ => Vec::new(),
        }
    }

    /// Makes what this kind needs on a node whose port is plugged in already.
    pub(crate) fn prepare(self, node: &Node, net: Net, number: u8, nodes: u8) {
        let name = self.of_link();
        assert!(name == "macvlan" || kernel_has(name), "this kernel has no {name}: make test-vm");
        match self {
            Kind::Macvlan | Kind::IpvlanL2 | Kind::Vlan => {}
            Kind::MacvlanOnVlan => {
                let port = vlan_port(net);
                let id = VLAN.to_string();
                node.ok(&["ip", "link", "add", "link", net.port, "name", &port, "type", "vlan", "id", &id]);
                node.ok(&["ip", "link", "set", &port, "up"]);
                node.keep_link(&port);
            }
            Kind::IpvlanL3 => {
                // The addresses between the nodes: of the same network, and of no node's part.
                for ip in [Ip::V4, Ip::V6] {
                    let own = format!("{}/{}", ip.host(net.number, 0, number), ip.part_length());
                    ip.assign(&node.host(), net.port, &own);
                    for other in (1..=nodes).filter(|other| *other != number) {
                        let via = ip.host(net.number, 0, other);
                        node.ok(&["ip", "route", "add", &ip.subnet(net.number, other), "via", &via]);
                    }
                }
            }
        }
    }
}

fn vlan_port(net: Net) -> String {
    format!("{}.{VLAN}", net.port)
}

/// Where a default route can lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// To the node: the primary's default route.
    Node,
    /// To the router on `public`.
    Router,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    V4,
    V6,
}

/// Both families, IPv4 first.
pub(crate) const DUAL: &[Ip] = &[Ip::V4, Ip::V6];

impl Ip {
    /// Whether an address, with or without its prefix length, is of this family.
    pub(crate) fn is_of(self, address: &str) -> bool {
        address.contains(':') == (self == Ip::V6)
    }

    /// All of network `number`.
    pub(crate) fn network(self, number: u8) -> String {
        match self {
            Ip::V4 => format!("10.{number}.0.0/16"),
            Ip::V6 => format!("fd{number:02}::/48"),
        }
    }

    /// A node's part of network `number`.
    pub(crate) fn subnet(self, number: u8, node: u8) -> String {
        match self {
            Ip::V4 => format!("10.{number}.{node}.0/24"),
            Ip::V6 => format!("fd{number:02}:0:0:{node}::/64"),
        }
    }

    /// A host in a node's part of network `number`. The number of an IPv6 host is written in decimal.
    pub(crate) fn host(self, number: u8, node: u8, host: u8) -> String {
        match self {
            Ip::V4 => format!("10.{number}.{node}.{host}"),
            // As the kernel prints it: the longest run of zeros is what `::` stands for.
            Ip::V6 if node == 0 => format!("fd{number:02}::{host}"),
            Ip::V6 => format!("fd{number:02}:0:0:{node}::{host}"),
        }
    }

    /// The prefix length of a node's part.
    pub(crate) fn part_length(self) -> u8 {
        match self {
            Ip::V4 => 24,
            Ip::V6 => 64,
        }
    }

    /// A node's address on the network that carries the pods' eth0 from node to node.
    pub(crate) fn underlay(self, node: u8) -> String {
        self.host(0, 0, node)
    }

    /// The router on a network: the gateway that host-local writes into its results.
    pub(crate) fn gateway(self, number: u8) -> String {
        match self {
            Ip::V4 => format!("10.{number}.0.1"),
            Ip::V6 => format!("fd{number:02}::1"),
        }
    }

    /// An address to which only one default route leads.
    pub(crate) fn beyond(self, place: Beyond) -> &'static str {
        match (self, place) {
            (Ip::V4, Beyond::Node) => "198.51.100.1",
            (Ip::V4, Beyond::Router) => "203.0.113.1",
            (Ip::V6, Beyond::Node) => "2001:db8:a::1",
            (Ip::V6, Beyond::Router) => "2001:db8:b::1",
        }
    }

    /// The destination of a default route.
    pub(crate) fn everywhere(self) -> &'static str {
        match self {
            Ip::V4 => "0.0.0.0/0",
            Ip::V6 => "::/0",
        }
    }

    /// Gives an interface an address that can be used at once.
    pub(crate) fn assign(self, netns: &Namespace<'_>, interface: &str, address: &str) {
        let words = ["ip", "address", "add", address, "dev", interface, "nodad"];
        netns.ok(if self == Ip::V6 { &words } else { &words[..6] });
    }

    /// What `ping -s` takes to fill a packet of `mtu` bytes.
    pub(crate) fn ping_size(self, mtu: u32) -> u32 {
        match self {
            Ip::V4 => mtu - 28,
            Ip::V6 => mtu - 48,
        }
    }
}

/// An address without its prefix length.
pub(crate) fn host_part(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}
