//! What every main plugin's CHECK compares (specification, section 3, "CHECK"): the ADD's result with the kernel.

use ipnetwork::IpNetwork;

use super::Site;
use crate::cni::result::{CniResult, Interface};
use crate::cni::{Code, Error};
use crate::kernel::netlink::{LinkDetails, Route};

/// A difference.
pub(super) fn failed(what: impl Into<String>) -> Error {
    Error::new(Code::CHECK_FAILED, what)
}

/// The pod's interface as the result has it. Whether the namespace is the one of the ADD, the caller has seen by its
/// identity: the runtime may name it by another path by now.
///
/// # Errors
/// Code 102, when the result has none of this name in a sandbox.
pub(super) fn interface_of(site: &Site<'_>, previous: &CniResult) -> Result<Interface, Error> {
    let is_ours = |found: &Interface| found.name == site.ifname && !found.sandbox.is_empty();
    previous.interfaces().into_iter().find(is_ours).ok_or_else(|| {
        failed(format!("prevResult has no interface {} in a sandbox: it is of another ADD", site.ifname))
    })
}

/// The pod's link with its details, whose MAC must be the result's.
///
/// # Errors
/// Code 102, when it is missing or its MAC differs; the kernel's.
pub(super) async fn link(site: &Site<'_>, previous: &CniResult) -> Result<LinkDetails, Error> {
    let expected = interface_of(site, previous)?;
    let missing = || failed(format!("interface {} is missing in the pod", site.ifname));
    let details = site.pod.link_details_by_any_name(site.ifname).await?;
    let details = details.filter(|details| details.link.name == site.ifname).ok_or_else(missing)?;
    if !expected.mac.is_empty() && !expected.mac.eq_ignore_ascii_case(&details.link.mac) {
        return Err(failed(format!(
            "interface {} has the MAC {}, and the ADD's result {}",
            site.ifname, details.link.mac, expected.mac
        )));
    }
    Ok(details)
}

/// Whether the link is of this kind, and in the configuration's mode: `has_same_mode` is `None` for another kind.
///
/// # Errors
/// Code 102, saying which of the two differs.
pub(super) fn kind(site: &Site<'_>, link: &LinkDetails, kind: &str, has_same_mode: Option<bool>) -> Result<(), Error> {
    match has_same_mode {
        Some(true) => Ok(()),
        Some(false) => Err(failed(format!("the {kind} {} has another mode than the configuration", site.ifname))),
        None => Err(failed(format!("interface {} is no {kind} but of kind {:?}", site.ifname, link.link.kind))),
    }
}

/// Whether every address of the result is on the link, with a route to its network, and every route of the result is
/// there; in any table for a route of this link, in any way for a default route, which may have moved since.
///
/// # Errors
/// Code 102, naming what is missing; the kernel's.
pub(super) async fn addresses_and_routes(
    site: &Site<'_>,
    link: &LinkDetails,
    previous: &CniResult,
) -> Result<(), Error> {
    let present = site.pod.addresses(link.link.index).await?;
    let routes = site.pod.routes_of_link(link.link.index).await?;
    let leads_to = |network: IpNetwork| {
        let same = |route: &&Route| {
            route.destination.network() == network.network() && route.destination.prefix() == network.prefix()
        };
        routes.iter().filter(same).collect::<Vec<_>>()
    };
    for address in previous.addresses_of(site.ifname) {
        let (address, ifname) = (address.address, site.ifname);
        if !present.contains(&address) {
            return Err(failed(format!("address {address} is missing on interface {ifname}")));
        }
        let is_host = address.prefix() == if address.is_ipv4() { 32 } else { 128 };
        if !is_host && leads_to(address).is_empty() {
            return Err(failed(format!(
                "the route to the network of address {address} is missing on interface {ifname}"
            )));
        }
    }
    for route in previous.routes() {
        let found = leads_to(route.destination);
        let is_right = found.iter().any(|found| route.gateway.is_none_or(|gateway| found.gateway == Some(gateway)));
        if !is_right {
            let by = route.gateway.map(|gateway| format!(" by {gateway}")).unwrap_or_default();
            return Err(failed(format!(
                "the route to {}{by} is missing on interface {}",
                route.destination, site.ifname
            )));
        }
    }
    Ok(())
}
