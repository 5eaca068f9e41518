//! Changes of a link that exists: several in one request.
//!
//! The kernel applies them one by one and stops at the first that it refuses, without taking back the others. So an
//! error lists all that was asked, and a caller that must know what was done looks at the link.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};

use super::socket::Question;
use super::{Netlink, link_message, link_object, mac_text};
use crate::kernel::Error;

/// What to change of a link. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Administratively up, or down.
    pub up: Option<bool>,
    /// Promiscuous, as `ip link set promisc` says it.
    pub promiscuous: Option<bool>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// MAC. Many drivers refuse it while the link is up.
    pub mac: Option<[u8; 6]>,
    /// ifindex of the bridge whose port it becomes; 0 releases it.
    pub master: Option<u32>,
}

impl LinkChange {
    /// Up, and nothing else.
    pub fn up() -> LinkChange {
        LinkChange { up: Some(true), ..LinkChange::default() }
    }

    fn describe(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.mac.map(|mac| format!("MAC {}", mac_text(&mac))));
        parts.extend(self.mtu.map(|mtu| format!("MTU {mtu}")));
        parts.extend(self.master.map(|master| match master {
            0 => "no master".to_owned(),
            master => format!("the link with ifindex {master} as master"),
        }));
        parts.extend(self.promiscuous.map(|on| if on { "promiscuous" } else { "not promiscuous" }.to_owned()));
        parts.extend(self.up.map(|up| if up { "up" } else { "down" }.to_owned()));
        parts.join(", ")
    }
}

impl Netlink {
    /// Changes a link, in one request.
    ///
    /// # Errors
    /// When the kernel refuses one of the changes: errno ENODEV when the link is gone, EINVAL when there is no such
    /// master, or an MTU is out of the device's range. Changes before the refused one stay.
    pub async fn change_link(&self, index: u32, change: &LinkChange) -> Result<(), Error> {
        let mut message = link_message(index);
        for (flag, wanted) in [(LinkFlags::Up, change.up), (LinkFlags::Promisc, change.promiscuous)] {
            if let Some(on) = wanted {
                message.header.change_mask |= flag;
                message.header.flags.set(flag, on);
            }
        }
        message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
        message.attributes.extend(change.master.map(LinkAttribute::Controller));
        let object = format!("{} ({})", link_object(index), change.describe());
        let question = Question { operation: "change", object: &object };
        self.socket.ask(question, RouteNetlinkMessage::SetLink(message), 0).await.map(drop)
    }

    /// Puts words to a link (`ip link set alias`), in place of those that it had. Of a longer text the kernel would take
    /// nothing, so it is cut to the 255 bytes that it takes.
    ///
    /// # Errors
    /// When the kernel refuses: errno ENODEV when the link is gone.
    pub async fn set_alias(&self, index: u32, words: &str) -> Result<(), Error> {
        let mut message = link_message(index);
        message.attributes.push(LinkAttribute::IfAlias(cut_alias(words).to_owned()));
        let object = format!("{} (alias)", link_object(index));
        let question = Question { operation: "change", object: &object };
        self.socket.ask(question, RouteNetlinkMessage::SetLink(message), 0).await.map(drop)
    }
}

/// As much of an alias as the kernel takes (IFALIASZ, without its NUL), in whole characters.
pub fn cut_alias(words: &str) -> &str {
    const LIMIT: usize = 255;
    let ends = words.char_indices().map(|(start, letter)| start.saturating_add(letter.len_utf8()));
    let end = ends.take_while(|end| *end <= LIMIT).last().unwrap_or_default();
    words.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
