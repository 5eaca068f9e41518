//! Bridges and their ports: what the kernel tells and takes in messages of the family AF_BRIDGE.
//!
//! An RTM_DELLINK of this family deletes VLANs of a port, never the link.

use netlink_packet_core::{DefaultNla, Emitable};
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, InfoBridge, InfoData, InfoKind, LinkAttribute, LinkExtentMask,
    LinkHeader, LinkInfo, LinkMessage, LinkProtoInfoBridge,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Question, attribute, each_attribute};
use super::{Netlink, link_message, link_object};
use crate::kernel::Error;

/// IFLA_BRPORT_MODE and IFLA_BRPORT_ISOLATED of `linux/if_link.h`, which the library does not have in this place.
const HAIRPIN: u16 = 4;
const ISOLATED: u16 = 33;

/// IFLA_BRIDGE_VLAN_INFO of `linux/if_bridge.h`.
const VLAN_INFO: u16 = 2;

/// What to change of a bridge port. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortChange {
    /// Whether a frame may leave by the port that it came in by.
    pub hairpin: Option<bool>,
    /// Whether it reaches only ports that are not isolated themselves (Linux 4.18).
    pub isolated: Option<bool>,
}

/// A range of VLANs of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlans {
    /// The first VLAN id, 1 to 4094.
    pub first: u16,
    /// The last VLAN id, at least `first`.
    pub last: u16,
    /// Untagged frames that come in belong to it. Only for a single VLAN.
    pub pvid: bool,
    /// Its frames leave without a tag.
    pub untagged: bool,
}

impl Vlans {
    /// One VLAN, tagged in both directions.
    pub fn one(id: u16) -> Vlans {
        Vlans { first: id, last: id, pvid: false, untagged: false }
    }

    fn describe(&self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }

    fn attributes(&self) -> Vec<AfSpecBridge> {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, self.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, self.untagged);
        let info = |flags, vid| AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid });
        if self.first == self.last {
            return vec![info(flags, self.first)];
        }
        vec![
            info(flags | BridgeVlanInfoFlags::RangeBegin, self.first),
            info(flags | BridgeVlanInfoFlags::RangeEnd, self.last),
        ]
    }
}

impl Netlink {
    /// Changes flags of a bridge port, in one request.
    ///
    /// # Errors
    /// When the kernel refuses: errno EOPNOTSUPP when the link is no port of a bridge, ENODEV when it is gone.
    pub async fn change_port(&self, index: u32, change: &PortChange) -> Result<(), Error> {
        let mut parts = Vec::new();
        let mut flags = Vec::new();
        for (wanted, kind, name) in [(change.hairpin, HAIRPIN, "hairpin"), (change.isolated, ISOLATED, "isolated")] {
            if let Some(on) = wanted {
                parts.push(format!("{name} {}", if on { "on" } else { "off" }));
                flags.push(LinkProtoInfoBridge::Other(DefaultNla::new(kind, vec![on.into()])));
            }
        }
        let object = format!("the bridge port of {} ({})", link_object(index), parts.join(", "));
        let question = Question { operation: "change", object: &object };
        let mut message = bridge_message(index);
        message.attributes.push(LinkAttribute::ProtoInfoBridge(flags));
        self.socket.ask(question, RouteNetlinkMessage::SetLink(message), 0).await.map(drop)
    }

    /// Adds VLANs to a bridge port, all in one request; one that the port has takes over the flags given.
    ///
    /// # Errors
    /// When the kernel refuses: errno EINVAL for an id outside 1 to 4094 or a range with a PVID, EOPNOTSUPP when the
    /// link is no port of a bridge, or the kernel was built without VLAN filtering. VLANs before the refused one stay.
    pub async fn add_port_vlans(&self, index: u32, vlans: &[Vlans]) -> Result<(), Error> {
        let object = format!("{} to the bridge port of {}", list(vlans), link_object(index));
        let question = Question { operation: "add", object: &object };
        let request = RouteNetlinkMessage::SetLink(vlan_message(index, vlans));
        self.socket.ask(question, request, 0).await.map(drop)
    }

    /// Removes VLANs from a bridge port, all in one request; one that the port does not have is passed over.
    ///
    /// # Errors
    /// As [`Self::add_port_vlans`].
    pub async fn delete_port_vlans(&self, index: u32, vlans: &[Vlans]) -> Result<(), Error> {
        let object = format!("{} from the bridge port of {}", list(vlans), link_object(index));
        let question = Question { operation: "remove", object: &object };
        let request = RouteNetlinkMessage::DelLink(vlan_message(index, vlans));
        self.socket.ask(question, request, 0).await.map(drop)
    }

    /// The VLANs of a bridge port, each one by itself, in ascending order; none when it is no port. The kernel offers
    /// only a list of all ports.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn port_vlans(&self, index: u32) -> Result<Vec<Vlans>, Error> {
        let question = Question { operation: "list", object: "the VLANs of the bridge ports" };
        let mut message = bridge_message(0);
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
        let answers = self.socket.list(question, RouteNetlinkMessage::GetLink(message)).await?;
        let mut vlans = Vec::new();
        for answer in &answers {
            let header = LinkHeader::parse(answer).map_err(|error| question.not_understood(error))?;
            let attributes = answer.get(header.buffer_len()..).unwrap_or_default();
            if header.index == index {
                let specific = attribute(attributes, libc::IFLA_AF_SPEC).unwrap_or_default();
                for (_, value) in each_attribute(specific).filter(|(kind, _)| *kind == VLAN_INFO) {
                    let info = BridgeVlanInfo::try_from(value).map_err(|error| question.not_understood(error))?;
                    vlans.push(Vlans {
                        pvid: info.flags.contains(BridgeVlanInfoFlags::Pvid),
                        untagged: info.flags.contains(BridgeVlanInfoFlags::Untagged),
                        ..Vlans::one(info.vid)
                    });
                }
            }
        }
        Ok(vlans)
    }

    /// Makes a bridge look at VLAN tags, or not.
    ///
    /// # Errors
    /// [`Error::NoVlanFiltering`] when the kernel was built without; otherwise when it refuses: errno ENODEV when the
    /// bridge is gone, EOPNOTSUPP when the link is of another kind.
    pub async fn set_vlan_filtering(&self, index: u32, on: bool) -> Result<(), Error> {
        let object = format!("VLAN filtering of the bridge with ifindex {index} {}", if on { "on" } else { "off" });
        let question = Question { operation: "switch", object: &object };
        let mut message = link_message(index);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(on)])),
        ]));
        // An RTM_NEWLINK that may not create: only it, and not RTM_SETLINK, takes what belongs to a kind.
        match self.socket.ask(question, RouteNetlinkMessage::NewLink(message), 0).await {
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => match self.link_by_index(index).await? {
                Some(link) if link.kind == "bridge" => Err(Error::NoVlanFiltering { operation: "switch", object }),
                _ => Err(error),
            },
            other => other.map(drop),
        }
    }
}

fn list(vlans: &[Vlans]) -> String {
    let word = if matches!(vlans, [one] if one.first == one.last) { "VLAN" } else { "VLANs" };
    format!("{word} {}", vlans.iter().map(Vlans::describe).collect::<Vec<_>>().join(", "))
}

fn bridge_message(index: u32) -> LinkMessage {
    let mut message = link_message(index);
    message.header.interface_family = AddressFamily::Bridge;
    message
}

fn vlan_message(index: u32, vlans: &[Vlans]) -> LinkMessage {
    let mut message = bridge_message(index);
    message.attributes.push(LinkAttribute::AfSpecBridge(vlans.iter().flat_map(Vlans::attributes).collect()));
    message
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;
