//! Moving a pod's default routes to the attachment that asks for them (standard v1.3, 4.1.2.1.9).
//!
//! For each address family with an owner, every other default route of the pod goes and the owner's gateways come. Two
//! default routes of one metric cannot stand side by side, so the old ones go first; what was done is remembered step by
//! step, and a failed ADD puts the pod back as the primary plugin left it.

use std::net::IpAddr;

use anyhow::{Context, Result};

use crate::cni::{Code, Error};
use crate::kernel::netlink::{DefaultRoute, Netlink};
use crate::state::fault;

/// An attachment that the pod's default routes are to go through.
pub(super) struct Owner<'a> {
    /// Its interface in the pod.
    pub(super) interface: &'a str,
    /// The gateways that the pod's annotation names; none leaves the choice to the network's own plugins, which have
    /// made their routes by now.
    pub(super) gateways: &'a [IpAddr],
}

/// What has been changed, in order.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Whether IPv4's default route has another owner now.
    pub(super) ipv4: bool,
    /// Whether IPv6's has.
    pub(super) ipv6: bool,
    removed: Vec<DefaultRoute>,
    added: Vec<DefaultRoute>,
}

impl Moved {
    /// Puts the former routes back; what cannot be is logged: the failing ADD's own error matters more.
    pub(super) async fn revert(&self, netlink: &Netlink) {
        for route in self.added.iter().rev() {
            if let Err(error) = netlink.delete_default_route(route).await {
                log::warn!("a default route could not be removed again: {error}");
            }
        }
        for route in self.removed.iter().rev() {
            if let Err(error) = netlink.add_default_route(route).await {
                log::warn!("a former default route could not be put back: {error}");
            }
        }
    }

    fn family(&mut self, ipv6: bool) -> &mut bool {
        if ipv6 { &mut self.ipv6 } else { &mut self.ipv4 }
    }
}

/// Makes `owners` the owners of the pod's default routes, noting each step in `moved`.
///
/// # Errors
/// When an owner's interface is missing or has no gateway at all, or the kernel refuses a route, naming the interface.
pub(super) async fn move_to(netlink: &Netlink, owners: &[Owner<'_>], moved: &mut Moved) -> Result<()> {
    if owners.is_empty() {
        return Ok(());
    }
    let mut present = Vec::new();
    for ipv6 in [false, true] {
        // A family that stays as it is may have routes of forms that could not be put back.
        let is_concerned = |owner: &Owner<'_>| {
            owner.gateways.is_empty() || owner.gateways.iter().any(|gateway| gateway.is_ipv6() == ipv6)
        };
        if owners.iter().any(is_concerned) {
            present.extend(netlink.default_routes_of(ipv6).await?);
        }
    }
    let mut wanted = Vec::new();
    let mut kept = Vec::new();
    for Owner { interface, gateways } in owners {
        let link = netlink.link_by_name(interface).await?.ok_or_else(|| {
            let text = format!("interface {interface} is to carry the default route, but does not exist in the pod");
            Error::new(Code::DELEGATE, text)
        })?;
        if gateways.is_empty() {
            kept.extend(own_routes(&present, link.index, interface)?);
        }
        for gateway in *gateways {
            wanted.push((*interface, DefaultRoute::new(gateway.is_ipv6(), Some(*gateway), Some(link.index))));
        }
    }
    for route in kept.iter().copied().chain(wanted.iter().map(|(_, route)| route)) {
        *moved.family(route.ipv6) = true;
    }
    for route in present.iter().filter(|route| !kept.contains(route)) {
        if *moved.family(route.ipv6) {
            netlink.delete_default_route(route).await?;
            moved.removed.push(route.clone());
            fault::point("add.route-removed");
        }
    }
    for (interface, route) in wanted {
        netlink.add_default_route(&route).await.with_context(|| {
            format!(
                "key default-route of interface {interface} (its gateway must be in one of the interface's subnets)"
            )
        })?;
        moved.added.push(route);
    }
    Ok(())
}

/// The default routes that the network's own plugins made on its interface.
fn own_routes<'a>(present: &'a [DefaultRoute], index: u32, interface: &str) -> Result<Vec<&'a DefaultRoute>, Error> {
    let own: Vec<_> = present.iter().filter(|route| route.device == Some(index)).collect();
    if own.is_empty() {
        return Err(Error::config(format!(
            "interface {interface} is to carry the default route (key default-route with an empty list), but its network \
             makes none: name a gateway in the key"
        )));
    }
    Ok(own)
}
