//! The networks of a storage pod: eth0 by bridge, `public` and `cluster` by macvlan, in the forms that the cases take.

use serde_json::{Value, json};

/// The Kubernetes namespace of pods and definitions that are files.
pub(crate) const NAMESPACE: &str = "rook-ceph";
/// What a storage pod selects.
pub(crate) const SELECTION: &str =
    r#"[{"name":"public","interface":"public"},{"name":"cluster","interface":"cluster"}]"#;
/// The interfaces of a storage pod, sorted.
pub(crate) const INTERFACES: [&str; 3] = ["cluster", "eth0", "public"];

/// How its interfaces get addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Not at all.
    None,
    /// IPv4 by host-local.
    Ipv4,
    /// IPv6 by host-local.
    Ipv6,
}

/// One network of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Its name, which is its interface's, but `pods` for eth0.
    pub(crate) name: &'static str,
    pub(crate) interface: &'static str,
    /// The link of the node that it stands on: a bridge or a master.
    pub(crate) below: &'static str,
    /// Its number in its addresses.
    number: u8,
}

/// All of them, eth0 first.
pub(crate) const NETWORKS: [Network; 3] = [
    Network { name: "pods", interface: "eth0", below: "cni0", number: 1 },
    Network { name: "public", interface: "public", below: "stor0", number: 10 },
    Network { name: "cluster", interface: "cluster", below: "stor1", number: 20 },
];

impl Network {
    pub(crate) fn is_eth0(&self) -> bool {
        self.interface == "eth0"
    }

    /// The configuration of the plugin.
    pub(crate) fn config(&self, addresses: Addresses) -> Value {
        let mut config = json!({"cniVersion": "1.1.0", "name": self.name});
        let own = if self.is_eth0() {
            json!({"type": "bridge", "bridge": self.below, "isGateway": addresses != Addresses::None})
        } else {
            json!({"type": "macvlan", "master": self.below, "mode": "bridge"})
        };
        config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let (subnet, everywhere) = match addresses {
            Addresses::None => return config,
            Addresses::Ipv4 => (format!("{}0.0/16", self.ipv4()), "0.0.0.0/0"),
            Addresses::Ipv6 => (format!("{}/64", self.ipv6()), "::/0"),
        };
        config["ipam"] = json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
        if self.is_eth0() {
            config["ipam"]["routes"] = json!([{"dst": everywhere}]);
        }
        config
    }

    /// The same network as words for the floor: `number` makes name and address of each pod different.
    pub(crate) fn plan(&self, addresses: Addresses, below: u64, index: usize, number: usize) -> Vec<String> {
        let (name, below, index) = (self.interface.to_owned(), below.to_string(), index.to_string());
        let mut words = if self.is_eth0() {
            vec!["veth".to_owned(), name, index, format!("floor{number}"), below]
        } else {
            vec!["macvlan".to_owned(), name, index, below]
        };
        // Beyond what host-local hands out in a run.
        let (address, gateway) = match addresses {
            Addresses::None => return words,
            Addresses::Ipv4 => {
                let (high, low) = (128 + number / 250, 1 + number % 250);
                (format!("{}{high}.{low}/16", self.ipv4()), format!("{}0.1", self.ipv4()))
            }
            Addresses::Ipv6 => (format!("{}f:{number:x}/64", self.ipv6()), format!("{}1", self.ipv6())),
        };
        words.extend(["address".to_owned(), address]);
        if self.is_eth0() {
            words.extend(["gateway".to_owned(), gateway]);
        }
        words
    }

    fn ipv4(&self) -> String {
        format!("10.{}.", 100 + self.number)
    }

    fn ipv6(&self) -> String {
        format!("fd00:{}::", self.number)
    }
}

/// A definition as a file of `networksDir`.
pub(crate) fn definition(network: &Network, addresses: Addresses) -> Value {
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": NAMESPACE, "name": network.name},
        "spec": {"config": network.config(addresses).to_string()},
    })
}
