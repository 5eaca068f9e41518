//! The optional probe for IPv4 addresses before they are used (RFC 5227): key `conflictProbe` of rooknet's entry.
//!
//! The probe needs a link that is up, and addresses are to come before that, so that the kernel announces them. So the
//! link is set up for the probe and down again. An ipvlan has no ears of its own for answers: its master is asked.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Site;
use super::carrier;
use super::ipam::Answer;
use super::keys::mac;
use crate::cni::{Code, Error};
use crate::kernel::arp::{self, Conflict, Timing};
use crate::kernel::netlink::{Link, LinkChange, Netlink};
use crate::kernel::netns::Netns;

/// How long a link may take until it carries packets.
const CARRIER: Duration = Duration::from_secs(2);

/// Probes on the pod's own link, which is down before and after.
///
/// # Errors
/// Code 11 for an address that another host has, and without carrier; the kernel's.
pub(super) async fn probe_on(site: &Site<'_>, link: &Link, answer: &Answer) -> Result<(), Error> {
    let addresses = wanted(site, answer);
    if addresses.is_empty() {
        return Ok(());
    }
    site.pod.change_link(link.index, &LinkChange::up()).await?;
    probe(site, link, site.netns, site.pod, &addresses).await?;
    let down = LinkChange { up: Some(false), ..LinkChange::default() };
    Ok(site.pod.change_link(link.index, &down).await?)
}

/// Probes on a master, which is up.
///
/// # Errors
/// As [`probe_on`].
pub(super) async fn probe_on_master(
    site: &Site<'_>,
    master: &Link,
    in_container: bool,
    answer: &Answer,
) -> Result<(), Error> {
    let addresses = wanted(site, answer);
    if addresses.is_empty() {
        return Ok(());
    }
    if in_container {
        return probe(site, master, site.netns, site.pod, &addresses).await;
    }
    probe(site, master, &Netns::own()?, site.node, &addresses).await
}

fn wanted(site: &Site<'_>, answer: &Answer) -> Vec<Ipv4Addr> {
    let ipv4 = |address: IpAddr| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    if site.conflict_probe {
        answer.addresses.iter().filter_map(|ip| ipv4(ip.address.ip())).collect()
    } else {
        Vec::new()
    }
}

async fn probe(
    site: &Site<'_>,
    link: &Link,
    netns: &Netns,
    netlink: &Netlink,
    addresses: &[Ipv4Addr],
) -> Result<(), Error> {
    let probed: Result<Option<Conflict>, Error> = site
        .deadline
        .within(async {
            wait_for_carrier(netlink, link).await?;
            let own = mac(&link.mac)
                .ok_or_else(|| Error::config("\"conflictProbe\" needs interfaces with a MAC of six bytes"))?;
            Ok(arp::probe(netns, link.index, own, addresses, &Timing::default()).await?)
        })
        .await
        .map_err(|reason| Error::new(Code::INTERRUPTED, format!("{reason} during the probe for addresses")))?;
    match probed? {
        None => Ok(()),
        Some(conflict) => Err(Error::new(
            Code::TRY_AGAIN_LATER,
            format!(
                "{conflict}, which interface {} was to get: take it away there, or give the network other addresses",
                site.ifname
            ),
        )),
    }
}

/// Silence on a link without carrier says nothing.
async fn wait_for_carrier(netlink: &Netlink, link: &Link) -> Result<(), Error> {
    match carrier::wait(netlink, link.index, CARRIER).await? {
        Some(details) if details.operational => Ok(()),
        _ => Err(Error::new(
            Code::TRY_AGAIN_LATER,
            format!(
                "addresses cannot be probed for on interface {}, which has no carrier: is the master up, and its cable \
                 plugged in?",
                link.name
            ),
        )),
    }
}

#[cfg(test)]
#[path = "conflict_tests.rs"]
mod tests;
