//! A link on the node itself, of the same kind and mode and on the same master as those of a network's pods: the only
//! way by which a node reaches its own macvlan and ipvlan pods (docs/host-access.md).
//!
//! Not a plugin of the reference set, but made by the code of two that are: a link that differs from the pods' would
//! not reach them.

use crate::cni::args::Args;
use crate::cni::text::printable;
use crate::cni::{Error, Object};
use crate::kernel::Error as KernelError;
use crate::kernel::netlink::{Link, LinkDetails, MacvlanMode, Netlink};

use super::native::{self, Choice, Main};
use super::{Ipam, Native, keys};

/// What the link is made from.
#[derive(Clone, Debug)]
pub struct OnNode {
    main: Main,
    ipam: Ipam,
}

impl OnNode {
    /// Reads the configuration of a network's main plugin as it is on stdin. The key `mac` is passed over: it is that of
    /// a pod.
    ///
    /// # Errors
    /// Code 7 for a configuration by which the pods' links are out of a node's reach, saying why and what would be
    /// right; and as [`super::parse`].
    pub fn parse(type_name: &str, config: &Object) -> Result<Choice<Self>, Error> {
        if type_name == "bridge" {
            return Err(Error::config(
                "a bridge needs no host access: the node reaches the pods by the bridge itself, as soon as that has an \
                 address in their subnet (key \"isGateway\", or by hand); remove the mark",
            ));
        }
        let mut config = config.clone();
        config.remove("mac");
        let Native { main, ipam } = match native::parse(type_name, &config, &Args::default())? {
            Choice::Native(native) => native,
            Choice::Executed(reason) => return Ok(Choice::Executed(reason)),
        };
        if main.master_of_node().is_none() {
            return Err(Error::config(
                "with \"linkInContainer\" the master is one of the pod's, on which the node can build nothing: remove \
                 the mark",
            ));
        }
        if let Main::Macvlan(macvlan) = &main {
            refuse_mode(macvlan.mode())?;
        }
        Ok(Choice::Native(OnNode { main, ipam }))
    }

    /// Where the pods' addresses come from.
    pub fn ipam(&self) -> &Ipam {
        &self.ipam
    }

    /// The network's master; `None` when it is not there.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn master(&self, node: &Netlink) -> Result<Option<Link>, Error> {
        match self.main.master_of_node() {
            Some(master) => master.on_node(node).await,
            None => Ok(None),
        }
    }

    /// The name by which the configuration means the master; `None` for the default route's interface.
    pub fn master_name(&self) -> Option<&str> {
        self.main.master_of_node().and_then(|master| master.name.as_deref())
    }

    /// The MTU of a link on `master`, in bytes.
    pub fn mtu(&self, master: &Link) -> u32 {
        let mtu = match &self.main {
            Main::Macvlan(macvlan) => macvlan.mtu(),
            Main::Ipvlan(ipvlan) => ipvlan.mtu(),
            Main::Bridge(_) => None,
        };
        mtu.unwrap_or(master.mtu)
    }

    /// Whether a link stands on `master`, is of the pods' kind, and in their mode.
    pub fn is_like(&self, link: &LinkDetails, master: &Link) -> bool {
        let has_same_mode = match &self.main {
            Main::Macvlan(macvlan) => macvlan.has_same_mode(link),
            Main::Ipvlan(ipvlan) => ipvlan.has_same_mode(link),
            Main::Bridge(_) => None,
        };
        has_same_mode == Some(true) && link.parent == Some(master.index) && !link.parent_elsewhere
    }

    /// Whether frames between the node and its pods leave the master and must come back by the switch.
    pub fn needs_reflective_relay(&self) -> bool {
        matches!(&self.main, Main::Macvlan(macvlan) if macvlan.mode() == MacvlanMode::Vepa)
    }

    /// Makes the link in the namespace of `node`, down. `mac` is the one that it had, as text, empty when that is not
    /// known: whoever has talked to it knows it by that. An ipvlan has its master's.
    ///
    /// # Errors
    /// Code 7 where the master takes no such link, saying why; the kernel's.
    pub async fn create(
        &self,
        node: &Netlink,
        master: &Link,
        name: &str,
        group: u32,
        mac: &str,
    ) -> Result<Link, Error> {
        let new = match &self.main {
            Main::Macvlan(macvlan) => macvlan.remade(keys::mac(mac), None).new_link(master, name, group),
            Main::Ipvlan(ipvlan) => ipvlan.new_link(master, name, group),
            Main::Bridge(_) => return Err(Error::config("a bridge needs no host access")),
        };
        match node.create_link(&new).await {
            Err(error) if error.errno() == Some(libc::EBUSY) => Err(self.is_busy(node, master, &error).await),
            other => other.map_err(|error| Error::from(error).within(&about(master))),
        }
    }

    /// Why a master takes no link of this kind.
    async fn is_busy(&self, node: &Netlink, master: &Link, error: &KernelError) -> Error {
        let shown = printable(&master.name);
        let bridge = async {
            let index = node.link_details(master.index).await.ok().flatten()?.master?;
            node.link_by_index(index).await.ok().flatten().filter(|bridge| bridge.kind == "bridge")
        };
        match bridge.await {
            Some(bridge) => Error::config(format!(
                "the master {shown} is a port of the bridge {0}, and the kernel puts no {1} on a port, neither for the \
                 node nor for a pod: write \"master\": {0:?} in the network's configuration, or take {shown} out of it",
                printable(&bridge.name),
                self.main.link_kind()
            )),
            None => Error::config(format!(
                "the master {shown} is used otherwise, and takes no {0} beside that (an interface carries either macvlans \
                 or ipvlans, or is a port of a bond or bridge, or is one macvlan's own by mode passthru): {error}",
                self.main.link_kind()
            )),
        }
    }
}

fn about(master: &Link) -> String {
    format!("on the master {}", printable(&master.name))
}

/// Macvlans of some modes are not to be reached by any other one.
fn refuse_mode(mode: MacvlanMode) -> Result<(), Error> {
    match mode {
        MacvlanMode::Bridge | MacvlanMode::Vepa => Ok(()),
        MacvlanMode::Private => Err(Error::config(
            "with \"mode\": \"private\" no other macvlan of the master reaches the pods, the node's neither: use \
             \"bridge\", or remove the mark",
        )),
        MacvlanMode::Passthru => Err(Error::config(
            "with \"mode\": \"passthru\" one pod has the master for itself, and nothing else can be put on it: use \
             \"bridge\", or remove the mark",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(type_name: &str, config: &str) -> Result<Choice<OnNode>, Error> {
        let text = format!(r#"{{"cniVersion": "1.1.0", "name": "public", "type": "{type_name}", {config}}}"#);
        OnNode::parse(type_name, &Object::parse("the configuration", &text).unwrap())
    }

    #[test]
    fn what_no_link_of_the_nodes_could_reach_is_refused_with_its_reason() {
        for (type_name, config, reason) in [
            ("bridge", r#""bridge": "br0""#, "isGateway"),
            ("macvlan", r#""master": "eth1", "mode": "private""#, "no other macvlan"),
            ("macvlan", r#""master": "eth1", "mode": "passthru""#, "for itself"),
            ("macvlan", r#""master": "eth1", "linkInContainer": true"#, "linkInContainer"),
        ] {
            let error = parse(type_name, config).unwrap_err();
            assert!(error.code == crate::cni::Code::INVALID_CONFIG && error.message.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_pods_mac_is_not_the_nodes_and_what_is_not_native_says_why() {
        let Choice::Native(on_node) = parse("macvlan", r#""master": "eth1", "mac": "02:00:00:00:00:01""#).unwrap()
        else {
            panic!("macvlan is native")
        };
        let master =
            Link { index: 7, name: "eth1".to_owned(), kind: String::new(), group: 0, mac: String::new(), mtu: 9000 };
        let Main::Macvlan(macvlan) = &on_node.main else { panic!("it is a macvlan") };
        assert_eq!(macvlan.new_link(&master, "shim0", 1).mac, None);
        assert_eq!((on_node.mtu(&master), on_node.master_name()), (9000, Some("eth1")));
        assert!(!on_node.needs_reflective_relay());
        assert!(
            matches!(parse("macvlan", r#""promisc": true"#).unwrap(), Choice::Executed(why) if why.contains("promisc"))
        );
        assert!(matches!(parse("vlan", r#""master": "eth1""#).unwrap(), Choice::Executed(why) if why.contains("vlan")));
    }
}
