//! New links: each in one request, in the namespace and under the name that it keeps.
//!
//! A link that is made in the node's namespace and moved later passes through states that others see: udev and network
//! managers answer to it, its name may be taken there, and a kill in between leaves it where nobody looks for it. The
//! kernel can make it where it belongs. Its answer to the request (NLM_F_ECHO) would come to nobody, or to a socket of
//! the pod, when the new link is in another namespace than the socket; so it is looked up there instead.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, IpVlanFlags, IpVlanMode, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::socket::Question;
use super::{Link, Netlink, parse_link};
use crate::cni::names;
use crate::kernel::Error;
use crate::kernel::netns::Netns;

/// A link to be made. [`NewLink::new`] says the least; every further field may be set then.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    /// Its name: 1 to 15 characters ([`names::interface`]).
    pub name: &'a str,
    /// What it is.
    pub kind: Kind<'a>,
    /// MTU in bytes; None leaves it to the kernel, which takes the parent's.
    pub mtu: Option<u32>,
    /// MAC; None leaves it to the kernel, which takes a random one.
    pub mac: Option<[u8; 6]>,
    /// IFLA_GROUP; 0 is the group of all links that are in no other.
    pub group: u32,
    /// ifindex of the bridge whose port it becomes. Only for a link in the socket's own namespace.
    pub master: Option<u32>,
    /// Administratively up from the beginning.
    pub up: bool,
}

/// Which kind of link, with what belongs to this kind alone. A parent is the ifindex of a link in the namespace of the
/// socket, wherever the new link comes to be.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// A MAC of its own on the parent's wire.
    Macvlan {
        /// ifindex of the link that it stands on.
        parent: u32,
        /// How the macvlans of one parent reach each other.
        mode: MacvlanMode,
        /// Frames that wait for broadcast, at most (IFLA_MACVLAN_BC_QUEUE_LEN); None leaves it to the kernel (1000).
        bc_queue_len: Option<u32>,
    },
    /// An address of its own behind the parent's MAC.
    Ipvlan {
        /// ifindex of the link that it stands on.
        parent: u32,
        /// On which layer the ipvlans of one parent are told apart. All of one parent have the same.
        mode: IpvlanMode,
        /// How the ipvlans of one parent reach each other.
        flag: IpvlanFlag,
    },
    /// One end of a cable.
    Veth {
        /// The other end.
        peer: Peer<'a>,
    },
    /// A switch.
    Bridge {
        /// Whether it looks at VLAN tags.
        vlan_filtering: bool,
    },
    /// A link to nowhere.
    Dummy,
}

/// The other end of a veth pair. It begins down: the kernel makes it first, and no end can be up without its other.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Its name: 1 to 15 characters.
    pub name: &'a str,
    /// Where it is; None for the namespace of the socket.
    pub inside: Option<&'a Netns>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// MAC; None for a random one.
    pub mac: Option<[u8; 6]>,
    /// IFLA_GROUP.
    pub group: u32,
}

/// How the macvlans of one parent reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Directly, inside the parent.
    Bridge,
    /// Not at all.
    Private,
    /// Over the switch that the parent is plugged into (IEEE 802.1Qbg).
    Vepa,
    /// There is only one, which has the parent for itself.
    Passthru,
}

/// On which layer the ipvlans of one parent are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpvlanMode {
    /// As hosts on the parent's wire.
    L2,
    /// By routing.
    L3,
    /// By routing, netfilter's hooks of the node included.
    L3s,
}

/// How the ipvlans of one parent reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpvlanFlag {
    /// Directly, inside the parent; the kernel's default.
    Bridge,
    /// Not at all.
    Private,
    /// Over the switch that the parent is plugged into.
    Vepa,
}

impl<'a> NewLink<'a> {
    /// A link of this name and kind, down, and otherwise as the kernel makes it.
    pub fn new(name: &'a str, kind: Kind<'a>) -> NewLink<'a> {
        NewLink { name, kind, mtu: None, mac: None, group: 0, master: None, up: false }
    }

    /// The whole request.
    fn message(&self, inside: Option<&Netns>) -> LinkMessage {
        let mut message =
            half(&Half { name: self.name, inside, mtu: self.mtu, mac: self.mac, group: self.group, up: self.up });
        let attributes = &mut message.attributes;
        attributes.extend(self.kind.parent().map(LinkAttribute::Link));
        attributes.extend(self.master.map(LinkAttribute::Controller));
        let mut info = vec![LinkInfo::Kind(self.kind.info_kind())];
        info.extend(self.kind.data().map(LinkInfo::Data));
        attributes.push(LinkAttribute::LinkInfo(info));
        message
    }

    fn describe(&self) -> String {
        let name = self.name;
        match self.kind {
            Kind::Macvlan { parent, .. } | Kind::Ipvlan { parent, .. } => {
                format!("the {} \"{name}\" over the link with ifindex {parent}", self.kind.name())
            }
            Kind::Veth { peer } => format!("the veth pair \"{name}\" and \"{}\"", peer.name),
            Kind::Bridge { .. } | Kind::Dummy => format!("the {} \"{name}\"", self.kind.name()),
        }
    }

    fn check_names(&self) -> Result<(), Error> {
        let peer = match self.kind {
            Kind::Veth { peer } => Some(peer.name),
            _ => None,
        };
        for name in [Some(self.name), peer].into_iter().flatten() {
            names::interface(name).map_err(|error| Error::Name { operation: "create", reason: error.message })?;
        }
        Ok(())
    }

    /// What the kernel's refusal means for this link.
    fn refused(&self, error: Error) -> Error {
        let object = self.describe();
        match (error.errno(), self.kind.parent()) {
            (Some(libc::EEXIST), _) => Error::NameTaken { object },
            (Some(libc::ENODEV), Some(parent)) => Error::NoParent { object, parent },
            (Some(libc::EOPNOTSUPP), _) => match self.kind {
                // A bridge without this wish is made; a kernel without bridges says so in words.
                Kind::Bridge { vlan_filtering: true } if !is_unknown_kind(&error) => {
                    Error::NoVlanFiltering { operation: "create", object }
                }
                _ => Error::UnsupportedKind { object, kind: self.kind.name() },
            },
            _ => error,
        }
    }
}

impl Kind<'_> {
    fn parent(&self) -> Option<u32> {
        match *self {
            Kind::Macvlan { parent, .. } | Kind::Ipvlan { parent, .. } => Some(parent),
            Kind::Veth { .. } | Kind::Bridge { .. } | Kind::Dummy => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Kind::Macvlan { .. } => "macvlan",
            Kind::Ipvlan { .. } => "ipvlan",
            Kind::Veth { .. } => "veth",
            Kind::Bridge { .. } => "bridge",
            Kind::Dummy => "dummy",
        }
    }

    fn info_kind(&self) -> InfoKind {
        match self {
            Kind::Macvlan { .. } => InfoKind::MacVlan,
            Kind::Ipvlan { .. } => InfoKind::IpVlan,
            Kind::Veth { .. } => InfoKind::Veth,
            Kind::Bridge { .. } => InfoKind::Bridge,
            Kind::Dummy => InfoKind::Dummy,
        }
    }

    fn data(&self) -> Option<InfoData> {
        match *self {
            Kind::Macvlan { mode, bc_queue_len, .. } => {
                let mode = match mode {
                    MacvlanMode::Bridge => MacVlanMode::Bridge,
                    MacvlanMode::Private => MacVlanMode::Private,
                    MacvlanMode::Vepa => MacVlanMode::Vepa,
                    MacvlanMode::Passthru => MacVlanMode::Passthrough,
                };
                let mut data = vec![InfoMacVlan::Mode(mode)];
                data.extend(bc_queue_len.map(InfoMacVlan::BcQueueLen));
                Some(InfoData::MacVlan(data))
            }
            Kind::Ipvlan { mode, flag, .. } => {
                let mode = match mode {
                    IpvlanMode::L2 => IpVlanMode::L2,
                    IpvlanMode::L3 => IpVlanMode::L3,
                    IpvlanMode::L3s => IpVlanMode::L3S,
                };
                let flags = match flag {
                    IpvlanFlag::Bridge => IpVlanFlags::empty(),
                    IpvlanFlag::Private => IpVlanFlags::Private,
                    IpvlanFlag::Vepa => IpVlanFlags::Vepa,
                };
                Some(InfoData::IpVlan(vec![InfoIpVlan::Mode(mode), InfoIpVlan::Flags(flags)]))
            }
            Kind::Veth { peer } => {
                let Peer { name, inside, mtu, mac, group } = peer;
                let peer = half(&Half { name, inside, mtu, mac, group, up: false });
                Some(InfoData::Veth(InfoVeth::Peer(peer)))
            }
            Kind::Bridge { vlan_filtering } => {
                // A kernel that was built without refuses even to be told that it shall not.
                vlan_filtering.then(|| InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]))
            }
            Kind::Dummy => None,
        }
    }
}

/// Whether the kernel's words (Linux 4.20) blame the kind of link.
fn is_unknown_kind(error: &Error) -> bool {
    let words = "Unknown device type";
    matches!(error, Error::Netlink { explanation: Some(explanation), .. } if explanation.contains(words))
}

/// What both ends of a veth pair, and every other link, have.
struct Half<'a> {
    name: &'a str,
    inside: Option<&'a Netns>,
    mtu: Option<u32>,
    mac: Option<[u8; 6]>,
    group: u32,
    up: bool,
}

fn half(half: &Half<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    if half.up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    let attributes = &mut message.attributes;
    attributes.push(LinkAttribute::IfName(half.name.to_owned()));
    attributes.extend(half.inside.map(|netns| LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd())));
    attributes.extend(half.mtu.map(LinkAttribute::Mtu));
    attributes.extend(half.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    attributes.extend((half.group != 0).then_some(LinkAttribute::Group(half.group)));
    message
}

impl Netlink {
    /// Makes a link in this socket's namespace; the answer is what it became. One request, and a look-up before Linux
    /// 6.2.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::NameTaken`], [`Error::NoParent`], [`Error::UnsupportedKind`],
    /// [`Error::NoVlanFiltering`]; or the kernel's own
    /// reason: errno EINVAL for an MTU above the parent's, EBUSY where a parent takes no further link.
    pub async fn create_link(&self, new: &NewLink<'_>) -> Result<Link, Error> {
        let answers = self.request_link(new, None, NLM_F_ECHO).await?;
        match answers.first().and_then(|answer| parse_link(answer)) {
            Some(link) => Ok(link),
            None => self.made(new).await,
        }
    }

    /// Makes a link in the namespace `netns`, through this socket of the parent's namespace; `inside` is a socket in
    /// `netns`, by which the new link is looked up. Two requests.
    ///
    /// # Errors
    /// As [`Self::create_link`]. When only the look-up fails, the link is there.
    pub async fn create_link_inside(&self, new: &NewLink<'_>, netns: &Netns, inside: &Netlink) -> Result<Link, Error> {
        self.request_link(new, Some(netns), 0).await?;
        inside.made(new).await
    }

    async fn request_link(&self, new: &NewLink<'_>, inside: Option<&Netns>, flags: u16) -> Result<Vec<Vec<u8>>, Error> {
        new.check_names()?;
        let object = new.describe();
        let question = Question { operation: "create", object: &object };
        let request = RouteNetlinkMessage::NewLink(new.message(inside));
        let answer = self.socket.ask(question, request, NLM_F_CREATE | NLM_F_EXCL | flags).await;
        answer.map_err(|error| new.refused(error))
    }

    async fn made(&self, new: &NewLink<'_>) -> Result<Link, Error> {
        let object = new.describe();
        let question = Question { operation: "look up", object: &object };
        // A pod with privileges may rename or delete it at once.
        let gone = || question.not_understood("it was made, and is gone already");
        self.link_by_name(new.name).await?.ok_or_else(gone)
    }
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
