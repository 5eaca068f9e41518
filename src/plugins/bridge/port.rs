//! The cable between the pod and the bridge: a veth pair, whose end on the node is a port.
//!
//! One request makes both ends where they belong, under their names, the node's as a port that is up. It carries nothing
//! as long as the pod's end is down, so what is set on the port afterwards comes before any packet.
//!
//! Unlike a macvlan's, the pod's name is looked for nowhere but in the pod by every kernel: it is the name of a peer.

use std::time::Duration;

use super::device::own_routes;
use super::{Config, random};
use crate::cni::{Code, Error};
use crate::kernel;
use crate::kernel::netlink::{Kind, KindDetails, Link, LinkDetails, Netlink, NewLink, Peer, PortChange, Vlans};
use crate::plugins::{Site, carrier, creation};

/// How many names are tried for the node's end, as in the reference.
const NAMES: usize = 10;

/// How long a port may take until it carries packets, as in the reference.
const PATIENCE: Duration = Duration::from_millis(2550);

/// The two ends of a pair.
pub(super) struct Pair {
    /// In the pod, down.
    pub(super) pod: Link,
    /// On the node, a port of the bridge, up.
    pub(super) host: Link,
}

/// Makes the pair of one pod, with all that the configuration says of the port.
///
/// # Errors
/// Code 101 when the pod has a link of the name; the kernel's. What was made stays.
pub(super) async fn connect(site: &Site<'_>, bridge: &LinkDetails, config: &Config) -> Result<Pair, Error> {
    let peer =
        Peer { name: site.ifname, inside: Some(site.netns), mtu: config.mtu, mac: config.mac, group: site.group };
    let host = plug(site.node, bridge.link.index, peer, random::port_name).await.map_err(creation::refused)?;
    let gone = || {
        let name = site.ifname;
        Error::new(Code::IO, format!("the pod's interface {name} was made, and is gone already: who deleted it?"))
    };
    let pod = site.pod.link_by_name(site.ifname).await?.ok_or_else(gone)?;
    own_routes(&host.name)?;
    let change = PortChange { hairpin: config.hairpin.then_some(true), isolated: config.isolated.then_some(true) };
    if change != PortChange::default() {
        site.node.change_port(host.index, &change).await?;
    }
    put_into_vlans(site.node, host.index, bridge, &config.vlans, config.preserve_default_vlan).await?;
    Ok(Pair { pod, host })
}

/// Makes a pair whose end here is a port of the bridge, up, under one of `names`.
///
/// # Errors
/// As [`Netlink::create_link`]: a name that is taken is the peer's.
pub(super) async fn plug(
    node: &Netlink,
    bridge: u32,
    peer: Peer<'_>,
    mut names: impl FnMut() -> String,
) -> Result<Link, kernel::Error> {
    let mut tried: usize = 0;
    loop {
        let name = names();
        let kind = Kind::Veth { peer };
        let made = node
            .create_link(&NewLink { mtu: peer.mtu, master: Some(bridge), up: true, ..NewLink::new(&name, kind) })
            .await;
        tried = tried.saturating_add(1);
        match made {
            Err(kernel::Error::NameTaken { .. }) if tried < NAMES && node.is_name_taken(&name).await? => {}
            made => return made,
        }
    }
}

/// Gives a port its VLANs, in place of the one that every new port is put into.
///
/// # Errors
/// The kernel's.
pub(super) async fn put_into_vlans(
    node: &Netlink,
    port: u32,
    bridge: &LinkDetails,
    vlans: &[Vlans],
    preserve_default: bool,
) -> Result<(), Error> {
    if vlans.is_empty() {
        return Ok(());
    }
    match bridge.kind {
        KindDetails::Bridge { default_vlan, .. } if default_vlan != 0 && !preserve_default => {
            node.delete_port_vlans(port, &[Vlans::one(default_vlan)]).await?;
        }
        _ => {}
    }
    Ok(node.add_port_vlans(port, vlans).await?)
}

/// Waits until a port carries packets: the kernel says so a moment after the pod's end came up.
///
/// # Errors
/// Code 5 when it does not; code 103 when the deadline or a signal ends the wait; the kernel's.
pub(super) async fn operational(site: &Site<'_>, host: &Link) -> Result<Link, Error> {
    let waited = site.deadline.within(carrier::wait(site.node, host.index, PATIENCE)).await;
    let seen = waited.map_err(|reason| {
        let what = format!("{reason} before the bridge port {} carried packets", host.name);
        Error::new(Code::INTERRUPTED, what)
    })??;
    match seen {
        Some(details) if details.operational => Ok(details.link),
        Some(_) => Err(Error::new(
            Code::IO,
            format!(
                "the bridge port {} of the pod's interface {} carries no packets after {} ms: who set one of them down?",
                host.name,
                site.ifname,
                PATIENCE.as_millis()
            ),
        )),
        None => Err(Error::new(Code::IO, format!("the bridge port {} is gone: who deleted it?", host.name))),
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
