//! rtnetlink: links, addresses, routes, bridge ports.
//!
//! One socket for each namespace, made inside and used from outside. Links are named by ifindex wherever one is known,
//! since a pod can rename its interfaces; a single link is asked for, not searched in a list. What belongs together
//! goes into one request: each one is a wait for the kernel's network lock, which all pods of a node share.

mod address;
mod bridge;
mod change;
mod create;
mod details;
mod group;
mod route;
mod routes;
mod socket;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use netlink_packet_core::{DefaultNla, Emitable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkHeader, LinkMessage};

use super::netns::{Error, Netns};
use socket::{Question, Socket, attribute, each_attribute, number, text};

pub use address::{DuplicateDetection, LinkAddress};
pub use bridge::{PortChange, Vlans};
pub use change::{LinkChange, cut_alias};
pub use create::{IpvlanFlag, IpvlanMode, Kind, MacvlanMode, NewLink, Peer};
pub use details::{KindDetails, LinkDetails};
pub use group::GroupDeletion;
pub use route::DefaultRoute;
pub use routes::Route;

/// The kernel's limit for an interface name, without its NUL.
const NAME_LIMIT: usize = 15;
/// The kernel's limit for an alternative name, without its NUL.
const ALTERNATIVE_NAME_LIMIT: usize = 127;
/// `include/uapi/linux/if_link.h`; rtnetlink's crate knows it in lists of properties only.
const IFLA_ALT_IFNAME: u16 = 53;

/// How many requests this process has sent, on whatever socket: what a call costs, whatever machine it runs on.
pub fn requests_of_process() -> u64 {
    socket::sent()
}

/// A netlink socket in one network namespace.
///
/// The kernel answers within the request itself, which its own lock may hold up; an answer that is lost is an error after
/// ten seconds.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its ifindex.
    pub index: u32,
    /// Its name; bytes that are not UTF-8 appear as U+FFFD.
    pub name: String,
    /// Its kind, as `ip -d link` names it (`macvlan`, `veth`); empty for a physical one.
    pub kind: String,
    /// IFLA_GROUP.
    pub group: u32,
    /// MAC as text in lower case (`0a:58:0a:f4:00:05`); empty without one.
    pub mac: String,
    /// MTU in bytes.
    pub mtu: u32,
}

impl Netlink {
    /// In the netns given.
    ///
    /// # Errors
    /// When the netns cannot be entered, or no socket can be made.
    pub fn inside(netns: &Netns) -> Result<Self, Error> {
        let socket = netns.inside(Socket::open)?.map_err(|source| Error::Namespace {
            operation: "open a netlink socket in",
            path: netns.path().to_owned(),
            source,
        })?;
        Ok(Netlink { socket })
    }

    /// In the process's own netns.
    ///
    /// # Errors
    /// When no socket can be made.
    pub fn own() -> Result<Self, Error> {
        let socket = Socket::open().map_err(|source| Error::Netlink {
            operation: "open",
            object: "a netlink socket".to_owned(),
            source,
            explanation: None,
        })?;
        Ok(Netlink { socket })
    }

    /// How many requests were sent on this socket so far: what an operation costs, whatever machine it runs on. A list
    /// that was read again, because it had changed meanwhile, counts each time.
    pub fn requests(&self) -> u64 {
        self.socket.requests()
    }

    /// The link of this name; None when there is none. An alternative name is not a name here: a pod can give any
    /// number of them to any of its links.
    ///
    /// # Errors
    /// When the socket fails, or the kernel's answer is not understood.
    pub async fn link_by_name(&self, name: &str) -> Result<Option<Link>, Error> {
        Ok(self.link_by_any_name(name).await?.filter(|link| link.name == name))
    }

    /// The link that the kernel finds under this name, be it an alternative one; None when there is none.
    ///
    /// # Errors
    /// As [`Self::link_by_name`].
    pub async fn link_by_any_name(&self, name: &str) -> Result<Option<Link>, Error> {
        match named_message(name) {
            Some(message) => self.link(&format!("the link \"{name}\""), message).await,
            None => Ok(None),
        }
    }

    /// Whether the kernel would find a link under this name: also one that has it as an alternative name.
    ///
    /// # Errors
    /// When the kernel refuses, or its answer is not understood.
    pub async fn is_name_taken(&self, name: &str) -> Result<bool, Error> {
        Ok(self.link_by_any_name(name).await?.is_some())
    }

    /// Every name by which the kernel would find a link, alternative ones included.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn names(&self) -> Result<BTreeSet<String>, Error> {
        let question = Question { operation: "list", object: "the names of links" };
        let mut message = LinkMessage::default();
        message.attributes.push(without_statistics());
        let mut names = BTreeSet::new();
        for answer in self.socket.list(question, RouteNetlinkMessage::GetLink(message)).await? {
            let header = LinkHeader::parse(&answer).map_err(|error| question.not_understood(error))?;
            let attributes = answer.get(header.buffer_len()..).unwrap_or_default();
            names.extend(attribute(attributes, libc::IFLA_IFNAME).map(text));
            let properties = attribute(attributes, libc::IFLA_PROP_LIST).unwrap_or_default();
            let alternative = each_attribute(properties).filter(|(kind, _)| *kind == libc::IFLA_ALT_IFNAME);
            names.extend(alternative.map(|(_, name)| text(name)));
        }
        Ok(names)
    }

    /// The link of this ifindex; None when there is none.
    ///
    /// # Errors
    /// As [`Self::link_by_name`].
    pub async fn link_by_index(&self, index: u32) -> Result<Option<Link>, Error> {
        // 0 is the kernel's "none given"; and it keeps an ifindex in an int.
        if index == 0 || i32::try_from(index).is_err() {
            return Ok(None);
        }
        self.link(&link_object(index), link_message(index)).await
    }

    async fn link(&self, object: &str, mut message: LinkMessage) -> Result<Option<Link>, Error> {
        let question = Question { operation: "look up", object };
        message.attributes.push(without_statistics());
        match self.socket.look_up(question, RouteNetlinkMessage::GetLink(message)).await {
            Ok(answer) => parse_link(&answer).map(Some).ok_or_else(|| question.not_understood("it is cut short")),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links of some interface groups (IFLA_GROUP), in the order of their ifindex. Reads all links of the netns.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn links_of_groups(&self, groups: &[u32]) -> Result<Vec<Link>, Error> {
        let mut links = self.links().await?;
        links.retain(|link| groups.contains(&link.group));
        Ok(links)
    }

    /// All links of the netns, in the order of their ifindex.
    ///
    /// # Errors
    /// As [`Self::link_by_name`]; and when the list changes during each of eight readings.
    pub async fn links(&self) -> Result<Vec<Link>, Error> {
        let question = Question { operation: "list", object: "the links" };
        let mut message = LinkMessage::default();
        message.attributes.push(without_statistics());
        let answers = self.socket.list(question, RouteNetlinkMessage::GetLink(message)).await?;
        let links: Option<Vec<Link>> = answers.iter().map(|answer| parse_link(answer)).collect();
        let mut links = links.ok_or_else(|| question.not_understood("a link in it is cut short"))?;
        links.sort_by_key(|link| link.index);
        Ok(links)
    }

    /// Sets IFLA_GROUP of one link.
    ///
    /// # Errors
    /// When the kernel refuses: ENODEV when the link is gone.
    pub async fn set_group(&self, index: u32, group: u32) -> Result<(), Error> {
        let mut message = link_message(index);
        message.attributes.push(LinkAttribute::Group(group));
        let object = link_object(index);
        let question = Question { operation: "set the group of", object: &object };
        self.socket.ask(question, RouteNetlinkMessage::SetLink(message), 0).await.map(drop)
    }

    /// Sets a link down and gives it another name: older kernels rename no link that is up.
    ///
    /// # Errors
    /// When the kernel refuses; the link may be down then.
    pub async fn rename_link(&self, index: u32, name: &str) -> Result<(), Error> {
        let object = link_object(index);
        let mut down = link_message(index);
        down.header.change_mask = LinkFlags::Up;
        let question = Question { operation: "set down", object: &object };
        self.socket.ask(question, RouteNetlinkMessage::SetLink(down), 0).await?;
        let mut message = link_message(index);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let question = Question { operation: "rename", object: &object };
        self.socket.ask(question, RouteNetlinkMessage::SetLink(message), 0).await.map(drop)
    }

    /// Deletes a link; Ok when it is gone already.
    ///
    /// # Errors
    /// When the kernel refuses: EOPNOTSUPP for a physical one.
    pub async fn delete_link(&self, index: u32) -> Result<(), Error> {
        let object = link_object(index);
        let question = Question { operation: "delete", object: &object };
        match self.socket.ask(question, RouteNetlinkMessage::DelLink(link_message(index)), 0).await {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn link_object(index: u32) -> String {
    format!("the link with ifindex {index}")
}

/// What selects the link that the kernel finds under this name; None for a name that no link can have.
fn named_message(name: &str) -> Option<LinkMessage> {
    if name.is_empty() || name.len() > ALTERNATIVE_NAME_LIMIT || name.bytes().any(|byte| byte == 0) {
        return None;
    }
    let mut message = LinkMessage::default();
    message.attributes.push(if name.len() > NAME_LIMIT {
        LinkAttribute::Other(DefaultNla::new(IFLA_ALT_IFNAME, [name.as_bytes(), b"\0"].concat()))
    } else {
        LinkAttribute::IfName(name.to_owned())
    });
    Some(message)
}

fn link_message(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// Keeps the counters out of the answer: they are most of it, and the kernel collects them from every CPU.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn parse_link(answer: &[u8]) -> Option<Link> {
    let header = LinkHeader::parse(answer).ok()?;
    let mut link =
        Link { index: header.index, name: String::new(), kind: String::new(), group: 0, mac: String::new(), mtu: 0 };
    for (kind, value) in each_attribute(answer.get(header.buffer_len()..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.mac = mac_text(value),
            libc::IFLA_MTU => link.mtu = number(value)?,
            libc::IFLA_GROUP => link.group = number(value)?,
            libc::IFLA_LINKINFO => link.kind = attribute(value, libc::IFLA_INFO_KIND).map(text).unwrap_or_default(),
            _ => {}
        }
    }
    Some(link)
}

/// As an administrator writes it: `0a:58:0a:f4:00:05`.
pub fn mac_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(3));
    for (position, byte) in bytes.iter().enumerate() {
        let separator = if position == 0 { "" } else { ":" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{byte:02x}");
    }
    text
}

#[cfg(test)]
#[path = "netlink_tests.rs"]
mod tests;
