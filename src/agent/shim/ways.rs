//! The node's other ways, none of which may lead by the link of a network: whoever writes a definition could else take the
//! node from its cluster, and an agent that has lost the API server would not see that the definition is gone.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::wanted::{OtherWays, Wanted};
use crate::kernel::netlink::{Link, Netlink, Route};

/// Refuses a network of which a route would take the place of one of the node's other ways.
///
/// # Errors
/// Code 7, naming the address or the route; the kernel's.
pub(super) async fn check(wanted: &Wanted, master: &Link, needed: &[IpAddr], node: &Netlink) -> anyhow::Result<()> {
    let own = node.link_by_name(&wanted.name.link).await?.map(|link| link.index);
    let mut ways = OtherWays { needed: needed.to_vec(), ..OtherWays::default() };
    for (index, address) in node.all_addresses().await? {
        if own == Some(index) {
            continue;
        }
        ways.elsewhere.push(address);
        // Only those that the check is about are looked up.
        if wanted.pods.iter().any(|pods| pods.contains(address.ip()))
            && let Some(link) = node.link_by_index(index).await?
        {
            ways.addresses.push((link.name, address));
        }
    }
    let in_main = |route: &Route| route.table == Route::MAIN_TABLE && own != Some(route.device);
    for route in node.routes().await?.into_iter().filter(in_main) {
        ways.gateways.extend(route.gateway);
        let is_touched =
            route.destination.prefix() > 0 && wanted.pods.iter().any(|pods| contains(route.destination, *pods));
        if is_touched && let Some(link) = other_link(route.device, master, node).await? {
            ways.routes.push((link, route.destination));
        }
    }
    Ok(wanted.check_node(&ways)?)
}

/// The name of a link that is neither the network's master nor stands on it: by those, a node may have a way to the very
/// hosts of the network.
async fn other_link(index: u32, master: &Link, node: &Netlink) -> anyhow::Result<Option<String>> {
    let Some(found) = node.link_details(index).await? else { return Ok(None) };
    let stands_on_master = found.parent == Some(master.index) && !found.parent_elsewhere;
    Ok((index != master.index && !stands_on_master).then_some(found.link.name))
}

/// Whether all of `inner` is in `outer`.
fn contains(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.network())
}
