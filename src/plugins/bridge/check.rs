//! CHECK: bridge, pair and addresses with the ADD's result.

use super::Config;
use crate::cni::Error;
use crate::cni::result::{CniResult, Interface};
use crate::cni::text::{printable, quoted};
use crate::kernel::netlink::{KindDetails, Link, LinkDetails};
use crate::plugins::Site;
use crate::plugins::check::{self, failed};

/// Whether everything is as the ADD's result says.
///
/// # Errors
/// Code 102, naming what differs; the kernel's.
pub(super) async fn check(config: &Config, site: &Site<'_>, previous: &CniResult) -> Result<(), Error> {
    let interfaces = previous.interfaces();
    let on_node: Vec<&Interface> = interfaces.iter().filter(|interface| interface.sandbox.is_empty()).collect();
    let bridge = bridge(config, site, &on_node).await?;
    let pod = check::link(site, previous).await?;
    if pod.link.kind != "veth" {
        return Err(failed(format!("interface {} is no veth but of kind {:?}", site.ifname, pod.link.kind)));
    }
    port(site, &on_node, &bridge, &pod).await?;
    check::addresses_and_routes(site, &pod, previous).await
}

async fn bridge(config: &Config, site: &Site<'_>, on_node: &[&Interface]) -> Result<LinkDetails, Error> {
    let name = printable(&config.bridge);
    let found = site.node.link_details_by_any_name(&config.bridge).await?;
    let found = found.ok_or_else(|| failed(format!("the bridge {name} is missing on this node")))?;
    if !matches!(found.kind, KindDetails::Bridge { .. }) {
        return Err(failed(format!("{name} is no bridge but of kind {:?}", found.link.kind)));
    }
    // The result has its proper name, also where the configuration has an alternative one.
    let expected = on_node.iter().find(|interface| interface.name == found.link.name);
    let expected = expected.ok_or_else(|| failed(format!("prevResult has no bridge {name}: it is of another ADD")))?;
    same_mac(expected, &found.link)?;
    if found.promiscuous != config.promiscuous {
        let is = if found.promiscuous { "promiscuous" } else { "not promiscuous" };
        return Err(failed(format!("the bridge {name} is {is}, and key \"promiscMode\" is {}", config.promiscuous)));
    }
    Ok(found)
}

/// The other end of the pod's interface is a port of the bridge, and in the result.
async fn port(site: &Site<'_>, on_node: &[&Interface], bridge: &LinkDetails, pod: &LinkDetails) -> Result<(), Error> {
    let other_end = match pod.parent {
        Some(index) => site.node.link_details(index).await?,
        None => None,
    };
    let is_other_end = |port: &LinkDetails| port.link.kind == "veth" && port.parent == Some(pod.link.index);
    let port = other_end.filter(is_other_end).ok_or_else(|| {
        failed(format!("the other end of the pod's interface {} is missing on this node", site.ifname))
    })?;
    let name = printable(&port.link.name);
    if port.master != Some(bridge.link.index) {
        return Err(failed(format!("{name} is no port of the bridge {}", printable(&bridge.link.name))));
    }
    let expected = on_node.iter().find(|interface| interface.name == port.link.name);
    let missing = || {
        let other_end = format!("the other end of the pod's interface {} is {name}", site.ifname);
        failed(format!("{other_end}, which prevResult does not have"))
    };
    same_mac(expected.ok_or_else(missing)?, &port.link)
}

fn same_mac(expected: &Interface, found: &Link) -> Result<(), Error> {
    if expected.mac.is_empty() || expected.mac.eq_ignore_ascii_case(&found.mac) {
        return Ok(());
    }
    let expected = quoted(&expected.mac);
    Err(failed(format!("{} has the MAC {}, and the ADD's result {expected}", printable(&found.name), found.mac)))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
