//! The bridge itself: it is made by the first ADD that needs it, and stays.
//!
//! One that is there, up, and promiscuous where that is asked for costs a look-up and nothing else. So it is set up
//! last, when its variables are written: a bridge that a killed ADD left half-made is down, and the next one completes
//! it.

use super::{Config, random};
use crate::cni::Error;
use crate::cni::text::quoted;
use crate::kernel;
use crate::kernel::netlink::{Kind, KindDetails, LinkChange, LinkDetails, Netlink, NewLink, mac_text};
use crate::kernel::netns::Netns;
use crate::kernel::sysctl::{self, Family, Key};

/// What the kernel gives a bridge without ports, unless its MAC was set.
const NO_MAC: &str = "00:00:00:00:00:00";

/// The bridge of the configuration, made and changed as far as it has to be. As in the reference, MTU and VLAN
/// filtering are those of its making: one that is there keeps its own.
///
/// # Errors
/// Code 7, when a link of this name is no bridge; the kernel's.
pub(super) async fn ensure(node: &Netlink, config: &Config) -> Result<LinkDetails, Error> {
    let mut found = match node.link_details_by_any_name(&config.bridge).await? {
        Some(found) => found,
        None => make(node, config).await?,
    };
    if !matches!(found.kind, KindDetails::Bridge { .. }) {
        let kind = if found.link.kind.is_empty() { "a network card" } else { &found.link.kind };
        return Err(Error::config(format!(
            "key \"bridge\" is {}, which is no bridge on this node but {kind}: name another, or delete that link",
            quoted(&config.bridge)
        )));
    }
    // A bridge whose last port is gone has no MAC, which could not be set to itself: there the reference fails.
    let mac = (config.has_gateway_on_bridge() && found.link.mac == NO_MAC).then(random::mac);
    let change = LinkChange {
        mac,
        up: (!found.up).then_some(true),
        promiscuous: (config.promiscuous && !found.promiscuous).then_some(true),
        ..LinkChange::default()
    };
    if !found.up {
        own_routes(&found.link.name)?;
    }
    if change != LinkChange::default() {
        node.change_link(found.link.index, &change).await?;
    }
    if let Some(mac) = mac {
        found.link.mac = mac_text(&mac);
    }
    Ok(found)
}

async fn make(node: &Netlink, config: &Config) -> Result<LinkDetails, Error> {
    let kind = Kind::Bridge { vlan_filtering: config.vlan_filtering };
    let new = NewLink {
        mtu: config.mtu,
        // A gateway's MAC must not follow those of the ports. It is given now, so that no kill can come before.
        mac: config.has_gateway_on_bridge().then(random::mac),
        ..NewLink::new(&config.bridge, kind)
    };
    let taken = match node.create_link(&new).await {
        Ok(_) => None,
        // Another ADD was faster.
        Err(error @ kernel::Error::NameTaken { .. }) => Some(error),
        Err(error) => return Err(error.into()),
    };
    let made = node.link_details_by_any_name(&config.bridge).await?;
    made.ok_or_else(|| match taken {
        Some(error) => error.into(),
        None => Error::config(format!("the bridge {} was made, and is gone already", quoted(&config.bridge))),
    })
}

/// Keeps the kernel from making routes of what routers announce over one of the node's links, where it has IPv6. As in
/// the reference, that it cannot be done is no obstacle.
///
/// # Errors
/// When the node's namespace cannot be entered.
pub(super) fn own_routes(name: &str) -> Result<(), Error> {
    let Ok(key) = Key::of_interface(Family::Ipv6, name, "accept_ra") else { return Ok(()) };
    Ok(sysctl::write_where_possible(&Netns::own()?, &[(&key, "0")])?)
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
