//! A pod's interface after its creation: variables, addresses, up, routes; and the result that says so.
//!
//! Addresses come before the link is up, so that the kernel itself announces them (`arp_notify`, `ndisc_notify`).
//!
//! Faults of the reference that are not copied (`pkg/ipam/ipam_linux.go`):
//! - It awaits duplicate address detection only where an IPv6 address has a gateway, and goes on with addresses that are
//!   still tentative on a link without carrier. Here no address is reported that cannot be used ([`settle`]).
//! - It passes over `mtu` and `advmss` of routes.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;

use super::Site;
use super::ipam::Answer;
use crate::cni::json::to_raw;
use crate::cni::result::CniResult;
use crate::cni::{Code, Error, Version};
use crate::kernel::netlink::{DuplicateDetection, Link, LinkChange, Netlink, Route};
use crate::kernel::sysctl::{self, Family, Key};
use crate::state::deadline::Deadline;

/// How long duplicate address detection is waited for, as in the reference.
const SETTLE: Duration = Duration::from_secs(5);

/// An element of a result's `interfaces`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Interface {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) mac: String,
    /// Empty for one of the node's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) sandbox: String,
}

impl Interface {
    /// The pod's.
    pub(super) fn in_pod(site: &Site<'_>, link: &Link) -> Self {
        Interface { name: link.name.clone(), mac: link.mac.clone(), sandbox: site.sandbox.to_owned() }
    }

    /// One of the node's.
    pub(super) fn on_node(link: &Link) -> Self {
        Interface { name: link.name.clone(), mac: link.mac.clone(), sandbox: String::new() }
    }
}

/// Writes variables of the pod's interface that only make it better (announcements), as far as that is possible.
///
/// # Errors
/// When the pod's namespace cannot be entered.
pub(super) fn improve(site: &Site<'_>, variables: &[(Family, &'static str, &str)]) -> Result<(), Error> {
    let keys = variables
        .iter()
        .map(|(family, variable, value)| Ok((Key::of_interface(*family, site.ifname, variable)?, *value)))
        .collect::<Result<Vec<_>, Error>>()?;
    let values: Vec<(&Key, &str)> = keys.iter().map(|(key, value)| (key, *value)).collect();
    Ok(sysctl::write_where_possible(site.netns, &values)?)
}

/// Gives the link its addresses and routes, and sets it up. IPv6 addresses are tentative then ([`settle`]).
///
/// # Errors
/// Code 7 without an address, or for 0.0.0.0; the kernel's.
pub(super) async fn configure(site: &Site<'_>, link: &Link, answer: &Answer) -> Result<(), Error> {
    if answer.addresses.is_empty() {
        return Err(Error::config("the IPAM plugin gave no address, and a network with \"ipam\" needs one"));
    }
    // The kernel takes it, and gives the link no address.
    if let Some(nobody) = answer.addresses.iter().find(|ip| ip.address.ip().is_unspecified()) {
        return Err(Error::config(format!(
            "the IPAM plugin gave the address {}, which is nobody's: a network with \"ipam\" needs one of an interface",
            nobody.address
        )));
    }
    let has_ipv6 = answer.addresses.iter().any(|ip| ip.address.is_ipv6());
    if has_ipv6 {
        enable_ipv6(site)?;
    }
    for (position, ip) in answer.addresses.iter().enumerate() {
        let added = site.pod.add_address(link.index, ip.address, DuplicateDetection::Usual).await;
        added.map_err(|error| Error::from(error).within(&format!("addresses[{position}] of ipam's answer")))?;
    }
    site.pod.change_link(link.index, &LinkChange::up()).await?;
    add_routes(site, link, answer).await
}

/// The addresses of an IPv6 interface need the loopback's, too.
fn enable_ipv6(site: &Site<'_>) -> Result<(), Error> {
    for interface in ["lo", site.ifname] {
        let key = Key::of_interface(Family::Ipv6, interface, "disable_ipv6")?;
        match sysctl::read(site.netns, &key) {
            Ok(value) if value == "0" => {}
            Ok(_) => sysctl::write(site.netns, &[(&key, "0")])?,
            // As in the reference: where there is no IPv6, adding the address says so.
            Err(error) => log::debug!("{error}"),
        }
    }
    // The kernel removes IPv6 addresses when a link goes down, unless it is told not to. As far as possible: the agent may
    // have a /proc/sys that it cannot write to, and an interface without this serves its pod all the same.
    let keep = Key::of_interface(Family::Ipv6, site.ifname, "keep_addr_on_down")?;
    Ok(sysctl::write_where_possible(site.netns, &[(&keep, "1")])?)
}

/// Waits until every address of a pod's link can be used.
///
/// A step of its own, which comes after the ADDs of all of a pod's networks: duplicate address detection takes a second
/// or two on each link, and goes on side by side.
///
/// # Errors
/// Code 11 when another host has an address, or when one stays tentative; 103 when `deadline` ends the wait; the
/// kernel's.
pub async fn settle(pod: &Netlink, link: &Link, deadline: &Deadline) -> Result<(), Error> {
    // Without regard to the deadline: which of the two ended the wait is told by the error.
    let now = Instant::now();
    let until = now.checked_add(SETTLE).unwrap_or(now);
    let settled = deadline.within(pod.settle_addresses(link.index, until)).await;
    let tentative = match settled {
        Ok(settled) => settled?,
        Err(reason) => {
            return Err(Error::new(Code::INTERRUPTED, format!("{reason} during duplicate address detection")));
        }
    };
    let Some(first) = tentative.first() else { return Ok(()) };
    let details = pod.link_details(link.index).await?;
    let why = match details {
        Some(details) if !details.operational => {
            "the interface has no carrier: is the master up, and its cable plugged in?"
        }
        _ => "duplicate address detection does not end (RFC 4862, section 5.4)",
    };
    Err(Error::new(
        Code::TRY_AGAIN_LATER,
        format!("the address {first} of interface {} cannot be used after {} s: {why}", link.name, SETTLE.as_secs()),
    ))
}

async fn add_routes(site: &Site<'_>, link: &Link, answer: &Answer) -> Result<(), Error> {
    let first_gateway = |ipv6: bool| {
        let gateways = answer.addresses.iter().filter_map(|ip| ip.gateway);
        gateways.into_iter().find(|gateway: &IpAddr| gateway.is_ipv6() == ipv6)
    };
    for (position, route) in answer.routes.iter().enumerate() {
        let gateway = route.gateway.or_else(|| first_gateway(route.destination.is_ipv6()));
        let given = |number: u32| (number != 0).then_some(number);
        let wanted = Route {
            table: route.table.and_then(given).unwrap_or(Route::MAIN_TABLE),
            scope: route.scope.unwrap_or_default(),
            priority: given(route.priority),
            mtu: given(route.mtu),
            advmss: given(route.advmss),
            ..Route::new(route.destination, link.index, gateway)
        };
        let added = site.pod.add_route(&wanted).await;
        added.map_err(|error| Error::from(error).within(&format!("routes[{position}] of ipam's answer")))?;
    }
    Ok(())
}

/// The result of an ADD, of version 1.1.0: the addresses are on the interface of index `own`.
///
/// # Errors
/// None in practice: what is written here is read back.
pub(super) fn result(
    interfaces: &[Interface],
    own: usize,
    answer: &Answer,
    dns: Option<&RawValue>,
) -> Result<CniResult, Error> {
    let mut object = answer.to_object_of(Some(own))?;
    object.remove("dns");
    object.set_first("interfaces", to_raw(&interfaces)?);
    object.set_first("cniVersion", to_raw(&Version::V1_1_0.as_str())?);
    if let Some(dns) = dns {
        object.set("dns", dns.to_owned());
    }
    CniResult::parse("the result", object.to_raw()?.get(), Version::V1_1_0)
}
