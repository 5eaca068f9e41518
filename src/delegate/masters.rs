//! Masters: the interfaces of the node on which macvlan, ipvlan and vlan build.
//!
//! A definition serves nodes whose interfaces have different names, so it may say by `masterCIDR` on which network the
//! master is instead of what it is called. No plugin knows that key, so it never reaches one: [`resolve`] puts the name
//! in its place. That belongs here, since it is what a plugin needs to run, be it executed or not; but the *plan* calls
//! it, before anything is touched, because the journal keeps the configuration with the name: a DEL must undo what the
//! ADD did, whatever address the interface has by then, and it must not need one.

use anyhow::Result;
use ipnetwork::IpNetwork;

use super::Runners;
use crate::cni::network::{Network, Plugin};
use crate::cni::text::{printable, quoted, shortened};
use crate::cni::{Error, Object, json};
use crate::kernel::netlink::{Link, Netlink};

/// Plugins that build on an interface of the node, named by the key `master`.
const WITH_MASTER: [&str; 3] = ["macvlan", "ipvlan", "vlan"];
/// Kinds of links that are themselves built on a master: the node's own way into such a network, whose address is on it,
/// too. (Their tap variants are the same drivers.)
const NEVER_MASTERS: [&str; 4] = ["macvlan", "ipvlan", "macvtap", "ipvtap"];
/// The loopback interface of every network namespace (LOOPBACK_IFINDEX), on which nothing can be built: a routed node
/// may have its address on it as well as on the network's own interface.
const LOOPBACK: u32 = 1;
/// Networks in `masterCIDR`, at most.
pub const MAX_CIDRS: usize = 64;
/// Interfaces that an error names.
const NAMED: usize = 8;

/// The key.
const KEY: &str = "masterCIDR";

/// Puts the name of the one interface that has an address in `masterCIDR` into `master`, in every plugin that builds on
/// a master. `node` is a socket in the node's namespace; it is asked only where there is such a key.
///
/// # Errors
/// Code 7, naming plugin and key, for a wrong value, for `master` or `linkInContainer` beside it, and, with the
/// interfaces, when none or several have an address there; the kernel's, when it cannot be asked.
pub async fn resolve(network: &mut Network, node: &Netlink) -> Result<()> {
    for plugin in network.plugins.iter_mut().filter(|plugin| builds_on_master(plugin)) {
        let about = format!("plugin {}", plugin.type_name);
        let Some(networks) = networks(&plugin.object).map_err(|error| error.within(&about))? else { continue };
        let master = master_in(&networks, node).await?.map_err(|error| error.within(&about))?;
        plugin.object.replace(&[KEY], vec![("master", serde_json::value::to_raw_value(&master)?)]);
    }
    Ok(())
}

/// Checks that every `master` exists on the node; what this process looks up for that, its own plugin keeps.
///
/// # Errors
/// Code 7, naming plugin and master; the kernel's, when it cannot be asked.
pub async fn check(network: &Network, runners: &mut Runners, node: &Netlink) -> Result<()> {
    runners.prepare(network, node).await?;
    let executed = network.plugins.iter().enumerate().filter(|(position, _)| runners.at(*position).is_none());
    for plugin in executed.map(|(_, plugin)| plugin).filter(|plugin| builds_on_master(plugin)) {
        let master = plugin.object.text("master")?;
        if master.is_empty() || plugin.object.flag("linkInContainer")? {
            continue;
        }
        // Under an alternative name, too: plugins find it, and so does the kernel.
        if !node.is_name_taken(&master).await? {
            return Err(Error::config(format!(
                "the master {master:?} of plugin {} does not exist on this node: create it, or correct the key \"master\"",
                plugin.type_name
            ))
            .into());
        }
    }
    Ok(())
}

fn builds_on_master(plugin: &Plugin) -> bool {
    WITH_MASTER.contains(&plugin.type_name.as_str())
}

/// The networks of `masterCIDR`; `None` without the key.
fn networks(plugin: &Object) -> Result<Option<Vec<IpNetwork>>, Error> {
    let Some(value) = plugin.get(KEY) else { return Ok(None) };
    if !plugin.text("master")?.is_empty() {
        return Err(Error::config(format!(
            "keys \"master\" and {KEY:?} are both set: keep {KEY:?} where the interface has another name on each node"
        )));
    }
    if plugin.flag("linkInContainer")? {
        return Err(Error::config(format!(
            "key {KEY:?} finds an interface of the node, and with \"linkInContainer\" the master is one of the pod's: \
             name it by the key \"master\""
        )));
    }
    let wrong = |value: &str, why: &str| {
        Error::config(format!(
            "key {KEY:?} has {value}{why}: write a network such as \"192.168.10.0/24\", or a list of 1 to {MAX_CIDRS} of \
             which the interface is in one"
        ))
    };
    let elements = if value.get().starts_with('[') {
        json::elements(value, MAX_CIDRS).map_err(|_| wrong(&shortened(value.get()), ""))?
    } else {
        vec![value.to_owned()]
    };
    if elements.is_empty() {
        return Err(wrong("[]", ""));
    }
    let mut networks = Vec::new();
    for element in &elements {
        let text = serde_json::from_str::<String>(element.get()).map_err(|_| wrong(&shortened(element.get()), ""))?;
        let network = text.contains('/').then(|| text.parse::<IpNetwork>().ok()).flatten();
        let network = network.ok_or_else(|| wrong(&quoted(&text), ""))?;
        if network.ip() != network.network() {
            let right = format!(", which has host bits (the network is {}/{})", network.network(), network.prefix());
            return Err(wrong(&quoted(&text), &right));
        }
        networks.push(network);
    }
    Ok(Some(networks))
}

/// The name of the one interface with an address in one of the networks. Only interfaces that have one are looked up: a
/// node has hundreds of others, the ends of its pods' links.
async fn master_in(networks: &[IpNetwork], node: &Netlink) -> Result<Result<String, Error>> {
    let mut addresses = node.all_addresses().await?;
    addresses.retain(|(_, address)| networks.iter().any(|network| network.contains(address.ip())));
    addresses.sort_unstable();
    let mut indexes: Vec<u32> = addresses.iter().map(|(index, _)| *index).collect();
    indexes.dedup();
    let mut links = Vec::new();
    for index in indexes.into_iter().filter(|index| *index != LOOPBACK) {
        links.extend(node.link_by_index(index).await?);
    }
    Ok(choose(networks, &addresses, links))
}

/// Of the links with an address there the one that can be a master.
fn choose(networks: &[IpNetwork], addresses: &[(u32, IpNetwork)], links: Vec<Link>) -> Result<String, Error> {
    let shown = |links: &[Link]| {
        let named = links.iter().take(NAMED).map(|link| {
            let own = addresses.iter().filter(|(index, _)| *index == link.index);
            let own = own.take(NAMED).map(|(_, address)| address.to_string()).collect::<Vec<_>>().join(" ");
            format!("{} ({own})", printable(&link.name))
        });
        let more = if links.len() > NAMED { ", …" } else { "" };
        named.collect::<Vec<_>>().join(", ") + more
    };
    let what = networks.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let what = if networks.len() > NAMED { format!("{what}, …") } else { what };
    let (passed_over, mut candidates): (Vec<Link>, Vec<Link>) =
        links.into_iter().partition(|link| NEVER_MASTERS.contains(&link.kind.as_str()));
    match candidates.len() {
        0 if passed_over.is_empty() => Err(Error::config(format!(
            "key {KEY:?}: no interface of this node has an address in {what}: give the network's interface one, or \
             correct the key"
        ))),
        0 => Err(Error::config(format!(
            "key {KEY:?}: of this node's interfaces only {} has an address in {what}, which is built on a master itself: \
             give the network's own interface an address, or name it by the key \"master\"",
            shown(&passed_over)
        ))),
        1 => Ok(candidates.pop().map(|link| link.name).unwrap_or_default()),
        _ => Err(Error::config(format!(
            "key {KEY:?}: several interfaces of this node have an address in {what}, {}: write a smaller network, or \
             name one by the key \"master\"",
            shown(&candidates)
        ))),
    }
}

#[cfg(test)]
#[path = "masters_tests.rs"]
mod tests;
