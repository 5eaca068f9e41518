//! What a link says beyond [`Link`]: what stands below and above it, its state, and what its kind adds.
//!
//! Apart from [`Link`], because an ADD needs none of it: it is for CHECK, and for a bridge that was there before.

use netlink_packet_core::Emitable;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkMessage};

use super::socket::{Question, attribute, number, text};
use super::{
    IpvlanMode, Link, MacvlanMode, Netlink, link_message, link_object, named_message, parse_link, without_statistics,
};
use crate::kernel::Error;

/// IF_OPER_UP of `linux/if.h`.
const OPERATIONAL: u8 = 6;

/// A link with all that the plugins' CHECK compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDetails {
    /// What every link says.
    pub link: Link,
    /// The words that an administrator or a program has put to it (`ip link set alias`); empty without any.
    pub alias: String,
    /// IFLA_LINK: the ifindex of a macvlan's or ipvlan's parent, of a veth's other end.
    pub parent: Option<u32>,
    /// The parent is in another namespace, and so is its ifindex.
    pub parent_elsewhere: bool,
    /// ifindex of the bridge whose port it is.
    pub master: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// It can carry packets: up, with carrier (RFC 2863, ifOperStatus).
    pub operational: bool,
    /// Somebody made it promiscuous by flag (not by a packet socket).
    pub promiscuous: bool,
    /// What its kind adds.
    pub kind: KindDetails,
}

/// What a link of a certain kind adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindDetails {
    /// Of a macvlan; None for a mode that no plugin sets (`source`).
    Macvlan(Option<MacvlanMode>),
    /// Of an ipvlan.
    Ipvlan(Option<IpvlanMode>),
    /// Of a bridge.
    Bridge {
        /// Whether it looks at VLAN tags.
        vlan_filtering: bool,
        /// The VLAN that every new port is put into, untagged; 0 for none.
        default_vlan: u16,
    },
    /// Of any other link.
    Other,
}

impl Netlink {
    /// The link of this ifindex with its details; None when there is none.
    ///
    /// # Errors
    /// As [`Self::link_by_name`].
    pub async fn link_details(&self, index: u32) -> Result<Option<LinkDetails>, Error> {
        if index == 0 || i32::try_from(index).is_err() {
            return Ok(None);
        }
        self.details(&link_object(index), link_message(index)).await
    }

    /// The link that the kernel finds under this name, be it an alternative one, with its details; None when there is
    /// none.
    ///
    /// # Errors
    /// As [`Self::link_by_name`].
    pub async fn link_details_by_any_name(&self, name: &str) -> Result<Option<LinkDetails>, Error> {
        match named_message(name) {
            Some(message) => self.details(&format!("the link \"{name}\""), message).await,
            None => Ok(None),
        }
    }

    async fn details(&self, object: &str, mut message: LinkMessage) -> Result<Option<LinkDetails>, Error> {
        let question = Question { operation: "look up", object };
        message.attributes.push(without_statistics());
        match self.socket.look_up(question, RouteNetlinkMessage::GetLink(message)).await {
            Ok(answer) => parse(&answer).map(Some).ok_or_else(|| question.not_understood("it is cut short")),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parse(answer: &[u8]) -> Option<LinkDetails> {
    let header = LinkHeader::parse(answer).ok()?;
    let attributes = answer.get(header.buffer_len()..)?;
    let link = parse_link(answer)?;
    let index_in = |kind| attribute(attributes, kind).and_then(number).filter(|index| *index != 0);
    let data = attribute(attributes, libc::IFLA_LINKINFO).and_then(|info| attribute(info, libc::IFLA_INFO_DATA));
    let kind = kind_details(&link.kind, data.unwrap_or_default());
    Some(LinkDetails {
        alias: attribute(attributes, libc::IFLA_IFALIAS).map(text).unwrap_or_default(),
        parent: index_in(libc::IFLA_LINK),
        parent_elsewhere: attribute(attributes, libc::IFLA_LINK_NETNSID).is_some(),
        master: index_in(libc::IFLA_MASTER),
        up: header.flags.contains(LinkFlags::Up),
        operational: attribute(attributes, libc::IFLA_OPERSTATE) == Some(&[OPERATIONAL]),
        promiscuous: header.flags.contains(LinkFlags::Promisc),
        kind,
        link,
    })
}

/// The numbers are those of `linux/if_link.h`.
fn kind_details(kind: &str, data: &[u8]) -> KindDetails {
    const IFLA_MACVLAN_MODE: u16 = 1;
    const IFLA_IPVLAN_MODE: u16 = 1;
    const IFLA_BR_VLAN_FILTERING: u16 = 7;
    const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;
    match kind {
        "macvlan" => KindDetails::Macvlan(match attribute(data, IFLA_MACVLAN_MODE).and_then(number) {
            Some(1) => Some(MacvlanMode::Private),
            Some(2) => Some(MacvlanMode::Vepa),
            Some(4) => Some(MacvlanMode::Bridge),
            Some(8) => Some(MacvlanMode::Passthru),
            _ => None,
        }),
        "ipvlan" => {
            let mode = attribute(data, IFLA_IPVLAN_MODE).and_then(|value| value.try_into().ok());
            KindDetails::Ipvlan(match mode.map(u16::from_ne_bytes) {
                Some(0) => Some(IpvlanMode::L2),
                Some(1) => Some(IpvlanMode::L3),
                Some(2) => Some(IpvlanMode::L3s),
                _ => None,
            })
        }
        "bridge" => {
            let default_vlan = attribute(data, IFLA_BR_VLAN_DEFAULT_PVID).and_then(|value| value.try_into().ok());
            KindDetails::Bridge {
                vlan_filtering: attribute(data, IFLA_BR_VLAN_FILTERING) == Some(&[1]),
                // A kernel without VLAN filtering does not say it, and has none.
                default_vlan: default_vlan.map(u16::from_ne_bytes).unwrap_or_default(),
            }
        }
        _ => KindDetails::Other,
    }
}

#[cfg(test)]
#[path = "details_tests.rs"]
mod tests;
