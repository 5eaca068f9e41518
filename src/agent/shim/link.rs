//! One link of the node's: made, put right, removed.
//!
//! Each step is safe to be the last: the record is written before the link is made, and the link is in its group from its
//! first moment, so the next round knows it whatever came between.

use ipnetwork::IpNetwork;

use super::wanted::{Name, Wanted};
use super::{Change, Steps};
use crate::cni::Error;
use crate::cni::text::{printable, quoted};
use crate::kernel::netlink::{DuplicateDetection, Link, LinkChange, LinkDetails, Netlink, Route};
use crate::kernel::netns::Netns;
use crate::kernel::sysctl::{self, Family, Key};
use crate::state::fault;
use crate::state::shims::{Record, Shims};

/// Kinds of links that are ever made here.
const KINDS: [&str; 2] = ["macvlan", "ipvlan"];

/// Variables of the link: it announces itself when it comes up; it speaks for its own address alone, never for those of
/// the node's other links, with which it shares a wire; it takes answers whose way back is another link; and it takes
/// neither addresses nor routes from routers.
const VARIABLES: [(Family, &str, &str); 7] = [
    (Family::Ipv4, "arp_notify", "1"),
    (Family::Ipv6, "ndisc_notify", "1"),
    (Family::Ipv4, "arp_ignore", "1"),
    (Family::Ipv4, "arp_announce", "2"),
    (Family::Ipv4, "rp_filter", "2"),
    (Family::Ipv6, "accept_ra", "0"),
    (Family::Ipv6, "autoconf", "0"),
];

/// What stands under a link's name.
pub(super) enum Found {
    Nothing,
    Ours(Box<LinkDetails>),
    /// Somebody else's; what it is, for people.
    Foreign(String),
}

/// Looks a link up. It is ours if it is of a kind that is made here, and in the group of this network, and it has the
/// alias or there is a record of it.
pub(super) async fn find(node: &Netlink, name: &Name, is_recorded: bool) -> Result<Found, Error> {
    let Some(found) = node.link_details_by_any_name(&name.link).await? else { return Ok(Found::Nothing) };
    let is_ours = found.link.name == name.link
        && found.link.group == name.group
        && KINDS.contains(&found.link.kind.as_str())
        && (found.alias == name.alias || is_recorded);
    if is_ours {
        return Ok(Found::Ours(Box::new(found)));
    }
    let alias = if found.alias.is_empty() { String::new() } else { format!(", alias {}", quoted(&found.alias)) };
    let kind = if found.link.kind.is_empty() { "a device" } else { &found.link.kind };
    Ok(Found::Foreign(format!("{} of kind {}{alias}", printable(&found.link.name), printable(kind))))
}

/// Puts the link of a network into the state that is wanted; gives its ifindex. What was done goes to `steps`, also
/// when a later step fails.
pub(super) async fn ensure(
    wanted: &Wanted,
    master: &Link,
    node: &Netlink,
    shims: &Shims,
    steps: &mut Steps,
) -> anyhow::Result<u32> {
    let name = &wanted.name;
    let records = shims.all()?;
    let recorded = records.into_iter().find(|record| record.network == wanted.network && record.link == name.link);
    let is_recorded = recorded.is_some();
    let mut record = recorded.unwrap_or_else(|| Record {
        network: wanted.network.clone(),
        link: name.link.clone(),
        mac: String::new(),
    });
    let mut found = match find(node, name, is_recorded).await? {
        Found::Foreign(what) => {
            return Err(Error::config(format!(
                "the name {} is needed for this network's link on the node, and is another one's ({what}): rename or \
                 delete that one",
                name.link
            ))
            .into());
        }
        Found::Ours(found) => Some(*found),
        Found::Nothing => None,
    };
    if let Some(wrong) = found.take_if(|found| !wanted.link.is_like(found, master)) {
        steps.note(Change::Restored("master, kind or mode"));
        node.delete_link(wrong.link.index).await?;
        fault::point("shim.deleted");
    }
    if !is_recorded {
        shims.put(&record)?;
    }
    let link = match found {
        Some(ref found) => found.link.clone(),
        None => {
            let link = wanted.link.create(node, master, &name.link, name.group, &record.mac).await?;
            fault::point("shim.created");
            steps.note(if is_recorded { Change::CreatedAgain } else { Change::Created });
            link
        }
    };
    let index = link.index;
    if record.mac != link.mac {
        record.mac = link.mac;
        shims.put(&record)?;
    }
    if found.as_ref().is_none_or(|found| found.alias != name.alias) {
        node.set_alias(index, &name.alias).await?;
        fault::point("shim.named");
    }
    set_variables(wanted, steps)?;
    let mtu = wanted.link.mtu(master);
    if found.as_ref().is_some_and(|found| found.link.mtu != mtu) {
        node.change_link(index, &LinkChange { mtu: Some(mtu), ..LinkChange::default() }).await?;
        steps.note(Change::Restored("MTU"));
    }
    set_addresses(wanted, index, node, steps).await?;
    fault::point("shim.addressed");
    if found.is_none_or(|found| !found.up) {
        node.change_link(index, &LinkChange::up()).await?;
        steps.note(Change::Restored("up"));
    }
    fault::point("shim.up");
    set_routes(wanted, index, node, steps).await?;
    Ok(index)
}

/// Removes a link that is recorded, if it is there and ours, and its record; whether there was one.
pub(super) async fn remove(record: &Record, node: &Netlink, shims: &Shims) -> anyhow::Result<bool> {
    let name = Name::of(&record.network);
    let mut removed = false;
    if name.link == record.link
        && let Found::Ours(found) = find(node, &name, true).await?
    {
        node.delete_link(found.link.index).await?;
        fault::point("shim.deleted");
        removed = true;
    }
    shims.remove(&record.link)?;
    Ok(removed)
}

/// Where /proc/sys is mounted read-only, or a family is missing, the link works as far as it can; the finding says what
/// is not as it should be.
fn set_variables(wanted: &Wanted, steps: &mut Steps) -> anyhow::Result<()> {
    let own = Netns::own()?;
    let has_ipv6 = wanted.addresses.iter().any(IpNetwork::is_ipv6);
    let ipv6 = has_ipv6.then_some((Family::Ipv6, "disable_ipv6", "0"));
    for (family, variable, value) in VARIABLES.into_iter().chain(ipv6) {
        let key = Key::of_interface(family, &wanted.name.link, variable)?;
        // A family that the kernel does not have needs no variables.
        let Ok(present) = sysctl::read(&own, &key) else { continue };
        if present == value {
            continue;
        }
        match sysctl::write(&own, &[(&key, value)]) {
            Ok(()) => steps.note(Change::Restored("variables")),
            Err(error) => steps
                .advise(format!("{error}: rooknet's agent needs a /proc/sys that can be written, or set it by hand")),
        }
    }
    Ok(())
}

async fn set_addresses(wanted: &Wanted, index: u32, node: &Netlink, steps: &mut Steps) -> anyhow::Result<()> {
    let present = node.link_addresses(index).await?;
    for address in &wanted.addresses {
        match present.iter().find(|found| found.network == *address) {
            Some(found) if found.duplicate => {
                return Err(Error::config(format!(
                    "another host has this node's address {} already: give one of them another one",
                    address.ip()
                ))
                .into());
            }
            Some(_) => {}
            None => {
                node.add_address(index, *address, DuplicateDetection::Usual).await?;
                steps.note(Change::Restored("address"));
            }
        }
    }
    // The link is ours alone: what else is on it is a former wish, or nobody's.
    for found in present.iter().map(|found| found.network) {
        let is_own = wanted.addresses.contains(&found) || is_link_local(found);
        if !is_own {
            node.delete_address(index, found).await?;
            steps.note(Change::Restored("address"));
        }
    }
    Ok(())
}

async fn set_routes(wanted: &Wanted, index: u32, node: &Netlink, steps: &mut Steps) -> anyhow::Result<()> {
    let addresses = node.all_addresses().await?;
    let elsewhere: Vec<IpNetwork> =
        addresses.into_iter().filter(|(of, _)| *of != index).map(|(_, address)| address).collect();
    let routes = wanted.routes(index, &elsewhere);
    let present = node.routes_of_link(index).await?;
    let is_same = |one: &Route, other: &Route| {
        (one.destination, one.gateway, one.table, one.source, one.protocol)
            == (other.destination, other.gateway, other.table, other.source, other.protocol)
    };
    for route in routes.iter().filter(|route| !present.iter().any(|found| is_same(found, route))) {
        node.add_route(route).await?;
        fault::point("shim.route");
        steps.note(Change::Restored("routes"));
    }
    // Those of the kernel's own making stay.
    let left = present.iter().filter(|found| found.protocol == Route::BOOT);
    for route in left.filter(|found| !routes.iter().any(|route| is_same(found, route))) {
        node.delete_route(route).await?;
        steps.note(Change::Restored("routes"));
    }
    Ok(())
}

fn is_link_local(address: IpNetwork) -> bool {
    matches!(address, IpNetwork::V6(address) if address.ip().is_unicast_link_local())
}
