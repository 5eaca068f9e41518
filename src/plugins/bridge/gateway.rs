//! The node as the pods' gateway: its address on the bridge, or in the pod's VLAN, and forwarding.
//!
//! What differs from the reference, on purpose: with `isDefaultGateway`, a default route of the IPAM plugin that names no
//! gateway is the default route, which goes by the family's first gateway like every such route. The reference adds the
//! same route a second time, and fails.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::device::own_routes;
use super::{Config, port, random};
use crate::cni::text::printable;
use crate::cni::{Code, Error};
use crate::kernel;
use crate::kernel::netlink::{DuplicateDetection, Link, LinkChange, LinkDetails, Netlink, Peer, Vlans};
use crate::kernel::netns::Netns;
use crate::kernel::sysctl::{self, Key};
use crate::plugins::ipam::{Answer, IpamRoute};
use crate::plugins::keys;

/// Completes the IPAM plugin's answer: an address without a gateway gets the first address of its network, and each
/// family its default route, as far as the configuration asks for it.
///
/// # Errors
/// Code 7 for an address whose network has no first address.
pub(super) fn complete(config: &Config, answer: &mut Answer) -> Result<(), Error> {
    if !config.is_gateway {
        return Ok(());
    }
    for ip in &mut answer.addresses {
        let gateway = match ip.gateway {
            Some(gateway) => gateway,
            None => first_of(ip.address).ok_or_else(|| {
                Error::config(format!(
                    "the network of the address {} has no address for a gateway: give one",
                    ip.address
                ))
            })?,
        };
        ip.gateway = Some(gateway);
        let is_default = |route: &IpamRoute| {
            let to = route.destination;
            to.is_ipv4() == ip.address.is_ipv4() && to.prefix() == 0 && to.ip().is_unspecified()
        };
        if config.is_default_gateway && !answer.routes.iter().any(is_default) {
            answer.routes.push(default_route(gateway)?);
        }
    }
    Ok(())
}

fn first_of(address: IpNetwork) -> Option<IpAddr> {
    match address {
        IpNetwork::V4(v4) => u32::from(v4.network()).checked_add(1).map(|first| IpAddr::V4(first.into())),
        IpNetwork::V6(v6) => u128::from(v6.network()).checked_add(1).map(|first| IpAddr::V6(first.into())),
    }
}

fn default_route(gateway: IpAddr) -> Result<IpamRoute, Error> {
    let everywhere: IpAddr = if gateway.is_ipv4() { [0_u8; 4].into() } else { [0_u8; 16].into() };
    Ok(IpamRoute {
        destination: network(everywhere, 0)?,
        gateway: Some(gateway),
        mtu: 0,
        advmss: 0,
        priority: 0,
        table: None,
        scope: None,
    })
}

fn network(address: IpAddr, prefix: u8) -> Result<IpNetwork, Error> {
    IpNetwork::new(address, prefix)
        .map_err(|error| Error::config(format!("the gateway {address} cannot be an address of its network: {error}")))
}

/// Gives the node the gateways of a completed answer, and lets it forward. The answer is the interface in the pod's VLAN
/// that has them, when it is not the bridge.
///
/// # Errors
/// Code 7 when the bridge has another address in place of a gateway's; the kernel's.
pub(super) async fn ensure(
    node: &Netlink,
    config: &Config,
    bridge: &Link,
    answer: &Answer,
) -> Result<Option<Link>, Error> {
    let mut gateways = Vec::new();
    for ip in &answer.addresses {
        gateways.extend(ip.gateway.map(|gateway| network(gateway, ip.address.prefix())).transpose()?);
    }
    gateways.sort_by_key(IpNetwork::is_ipv6);
    let vlan = match (config.vlan, config.vlan_gateway(&bridge.name)) {
        (Some(vlan), Some(name)) => Some(vlan_interface(node, config, bridge, vlan, &name).await?),
        _ => None,
    };
    let link = vlan.as_ref().unwrap_or(bridge);
    let mut present = node.addresses(link.index).await?;
    for gateway in &gateways {
        ensure_address(node, link, &mut present, *gateway, config.force_address).await?;
    }
    forward(&gateways)?;
    Ok(vlan)
}

/// Gives a link an address that it does not have yet, by the reference's rule of what is in its way: any other of IPv4,
/// and those of IPv6 whose network has it or is in its own. `present` is kept up to date.
async fn ensure_address(
    node: &Netlink,
    link: &Link,
    present: &mut Vec<IpNetwork>,
    wanted: IpNetwork,
    force: bool,
) -> Result<(), Error> {
    let family: Vec<IpNetwork> = present.iter().copied().filter(|other| other.is_ipv4() == wanted.is_ipv4()).collect();
    for other in family {
        if other == wanted {
            return Ok(());
        }
        let is_in_the_way = wanted.is_ipv4() || other.contains(wanted.ip()) || wanted.contains(other.ip());
        if is_in_the_way && !force {
            return Err(Error::config(format!(
                "{} has the address {other}, and the gateway of this network is {wanted}: correct the network, choose \
                 another bridge, or let \"forceAddress\": true replace the address",
                printable(&link.name)
            )));
        }
        if is_in_the_way {
            node.delete_address(link.index, other).await?;
            present.retain(|address| *address != other);
        }
    }
    match node.add_address(link.index, wanted, DuplicateDetection::Usual).await {
        Ok(()) => {}
        // Another ADD was faster, and does what follows.
        Err(error) if error.errno() == Some(libc::EEXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    present.push(wanted);
    // A MAC that was set stays; a bridge would otherwise take over that of a port, and another when it goes.
    let change = LinkChange { mac: keys::mac(&link.mac), ..LinkChange::default() };
    Ok(node.change_link(link.index, &change).await?)
}

/// The interface that has the gateways in the pod's VLAN: one end of a pair whose other end is a port.
///
/// It is set up last. So one that is down was left half-made by a killed ADD, or another ADD is about to complete it;
/// what is left to do can be done twice.
async fn vlan_interface(node: &Netlink, config: &Config, bridge: &Link, vlan: u16, name: &str) -> Result<Link, Error> {
    let found = match node.link_details_by_any_name(name).await? {
        Some(found) => found,
        None => make_vlan_interface(node, bridge, name).await?,
    };
    if !found.up {
        complete_vlan_interface(node, config, bridge, vlan, &found).await?;
    }
    Ok(found.link)
}

async fn make_vlan_interface(node: &Netlink, bridge: &Link, name: &str) -> Result<LinkDetails, Error> {
    let peer = Peer { name, inside: None, mtu: Some(bridge.mtu), mac: None, group: 0 };
    let taken = match port::plug(node, bridge.index, peer, random::port_name).await {
        Ok(_) => None,
        Err(error @ kernel::Error::NameTaken { .. }) => Some(error),
        Err(error) => return Err(error.into()),
    };
    let gone = || format!("the interface {} was made, and is gone already", printable(name));
    let made = node.link_details_by_any_name(name).await?;
    made.ok_or_else(|| taken.map_or_else(|| Error::new(Code::IO, gone()), Error::from))
}

async fn complete_vlan_interface(
    node: &Netlink,
    config: &Config,
    bridge: &Link,
    vlan: u16,
    interface: &LinkDetails,
) -> Result<(), Error> {
    let Some(index) = interface.parent.filter(|_| interface.link.kind == "veth" && !interface.parent_elsewhere) else {
        // Somebody made it as something else: as in the reference, that is taken as it is.
        return Ok(());
    };
    let port = node.link_details(index).await?.filter(|port| port.master == Some(bridge.index));
    let (Some(port), Some(bridge)) = (port, node.link_details(bridge.index).await?) else { return Ok(()) };
    own_routes(&port.link.name)?;
    let vlans = [Vlans { pvid: true, untagged: true, ..Vlans::one(vlan) }];
    port::put_into_vlans(node, index, &bridge, &vlans, config.preserve_default_vlan).await?;
    Ok(node.change_link(interface.link.index, &LinkChange::up()).await?)
}

/// Lets the node forward each family of which it is a gateway.
fn forward(gateways: &[IpNetwork]) -> Result<(), Error> {
    let node = Netns::own()?;
    for (ipv6, key) in [(false, Key::IPV4_FORWARDING), (true, Key::IPV6_FORWARDING)] {
        if gateways.iter().any(|gateway| gateway.is_ipv6() == ipv6) {
            let key = Key::of_namespace(key);
            if !sysctl::read(&node, &key).is_ok_and(|value| value == "1") {
                sysctl::write(&node, &[(&key, "1")])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
