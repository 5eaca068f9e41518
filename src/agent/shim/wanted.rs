//! What a marked network wants on this node: its link, its addresses, its routes. Everything is checked here, before
//! anything is touched.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::cover;
use crate::cni::network::{Network, Plugin};
use crate::cni::text::{printable, quoted};
use crate::cni::{Error, Object, names};
use crate::delegate;
use crate::kernel::netlink::{Netlink, Route, cut_alias};
use crate::multinet::definition::{Definition, HOST_ACCESS_ANNOTATION};
use crate::multinet::node_ranges::{ANNOTATION, NodeRanges, NodeShare};
use crate::multinet::source::NodeNetworks;
use crate::plugins::{Choice, Ipam, OnNode};
use crate::state::networks::ConfDir;

/// Networks as which all ranges of a network are written, at most: each is a route on every node.
const MAX_ROUTES: usize = 4096;

/// What the link of a network is called, and by what it is known as ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// `shim-` and eight digits of a number made of the network's name: the same on every node and after every boot.
    pub(super) link: String,
    /// IFLA_GROUP, set by the very request that makes the link.
    pub(super) group: u32,
    /// For people; and for a link whose record was lost.
    pub(super) alias: String,
}

impl Name {
    pub(super) fn of(network: &str) -> Name {
        Name {
            link: format!("shim-{:08x}", names::stable_hash(network.bytes())),
            group: names::interface_group(network.bytes()),
            alias: cut_alias(&format!("rooknet: host access to {network}")).to_owned(),
        }
    }
}

/// A checked wish.
pub(super) struct Wanted {
    pub(super) network: String,
    pub(super) name: Name,
    pub(super) link: OnNode,
    /// Each for itself (/32, /128): the way to the others is in the routes.
    pub(super) addresses: Vec<IpNetwork>,
    /// The networks in which the addresses lie, as the annotation says.
    pub(super) subnets: Vec<IpNetwork>,
    /// What all pods of the network may have.
    pub(super) pods: Vec<IpNetwork>,
}

/// Whether a definition bears the mark.
///
/// # Errors
/// Code 7 for a value that is neither yes nor no.
pub(super) fn is_marked(definition: &Definition) -> Result<bool, Error> {
    match definition.host_access.as_deref() {
        None | Some("" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Error::config(format!(
            "annotation {HOST_ACCESS_ANNOTATION} is {}: write \"true\" or \"false\"",
            quoted(other)
        ))),
    }
}

impl Wanted {
    /// Reads the definition of a marked network. `node` is a socket in the node's namespace, for `masterCIDR`.
    ///
    /// # Errors
    /// Code 7, saying what is wrong in the definition, or why this network cannot have a link of the node's.
    pub(super) async fn read(
        definition: &Definition,
        conf_dir: &ConfDir,
        node_name: &str,
        node: &Netlink,
    ) -> anyhow::Result<Wanted> {
        let network_name = definition.reference();
        let share = share(definition, node_name)?;
        let mut network = configuration(definition, conf_dir)?;
        delegate::resolve_masters(&mut network, node).await?;
        let mut runtime_config = Object::new();
        delegate::give_ranges(&share, &mut network, &mut runtime_config)?;
        let plugin = main_plugin(&network)?;
        let input = plugin.stdin(&network.name, network.version, None, &runtime_config)?;
        let about = || format!("plugin {}", plugin.type_name);
        let link = match OnNode::parse(&plugin.type_name, &input).map_err(|error| error.within(&about()))? {
            Choice::Native(link) => link,
            Choice::Executed(reason) => {
                return Err(Error::config(format!(
                    "plugin {}: {reason}, so that it is not known what link of the node's would reach its pods: make \
                     one by hand (docs/host-access.md), and remove the mark",
                    plugin.type_name
                ))
                .into());
            }
        };
        let hosts = &share.own().hosts;
        check_store(&link, hosts)?;
        let pods = cover::networks(share.ranges_of_all());
        if pods.len() > MAX_ROUTES {
            return Err(Error::config(format!(
                "its ranges are {} networks, each of which would be a route on every node: {MAX_ROUTES} are the most; \
                 let ranges begin and end where networks do",
                pods.len()
            ))
            .into());
        }
        Ok(Wanted {
            name: Name::of(&network_name),
            network: network_name,
            link,
            addresses: hosts.iter().map(|host| IpNetwork::from(host.ip())).collect(),
            subnets: hosts.iter().filter_map(|host| IpNetwork::new(host.network(), host.prefix()).ok()).collect(),
            pods,
        })
    }

    /// The routes of a link of this ifindex. `elsewhere` are the addresses of the node's other links: where the node has
    /// one of its own in the subnet, its way to the subnet's other hosts stays as it is.
    pub(super) fn routes(&self, index: u32, elsewhere: &[IpNetwork]) -> Vec<Route> {
        let is_alone = |subnet: &&IpNetwork| !elsewhere.iter().any(|other| subnet.contains(other.ip()));
        let mut destinations: Vec<IpNetwork> = self.subnets.iter().filter(is_alone).copied().collect();
        destinations.extend(&self.pods);
        destinations.sort_unstable();
        destinations.dedup();
        destinations.iter().filter_map(|destination| self.route(*destination, index)).collect()
    }

    /// `None` without an address of that family: nobody there would know whom to answer.
    fn route(&self, destination: IpNetwork, index: u32) -> Option<Route> {
        let source = self.addresses.iter().find(|address| address.is_ipv4() == destination.is_ipv4())?;
        let new = Route::new(destination, index, None);
        Some(if destination.is_ipv4() {
            // As `ip route add DESTINATION dev LINK src ADDRESS`: 253 is the scope of what is on the link.
            Route { scope: 253, source: Some(source.ip()), ..new }
        } else {
            // The kernel prefers an address of the link by itself (RFC 6724, rule 5); and it takes none as a route's
            // source that is still tentative.
            new
        })
    }

    /// Refuses ranges in which the node has an address or a gateway, or to which it has another way: pods could be given
    /// them, and what the node sends there would go to the pods' network. What the node needs is in none of the routes.
    ///
    /// # Errors
    /// Code 7, naming the address or the route.
    pub(super) fn check_node(&self, ways: &OtherWays) -> Result<(), Error> {
        let takes = |address: IpAddr| self.pods.iter().any(|pods| pods.contains(address));
        if let Some((link, address)) = ways.addresses.iter().find(|(_, address)| takes(address.ip())) {
            return Err(Error::config(format!(
                "this node has the address {} on {}, which lies in the ranges of annotation {ANNOTATION}: a pod could be \
                 given it; shorten the range",
                address.ip(),
                printable(link)
            )));
        }
        if let Some(gateway) = ways.gateways.iter().find(|gateway| takes(**gateway)) {
            return Err(Error::config(format!(
                "{gateway} is the gateway of a route of this node and lies in the ranges of annotation {ANNOTATION}: a pod \
                 could be given it; shorten the range"
            )));
        }
        let routes = self.routes(0, &ways.elsewhere);
        let leads = |address: &IpAddr| routes.iter().find(|route| route.destination.contains(*address));
        if let Some((needed, route)) = ways.needed.iter().find_map(|needed| Some((needed, leads(needed)?))) {
            return Err(Error::config(format!(
                "the route to {} that this network asks for leads to the API server's address {needed}: the node would lose \
                 its cluster; correct annotation {ANNOTATION}",
                route.destination
            )));
        }
        if let Some((link, destination)) = ways.routes.first() {
            return Err(Error::config(format!(
                "this node has a route to {destination} by {}, which is not the network's master, and ranges of annotation \
                 {ANNOTATION} lie in it: what the node sends there would go to the pods' network; correct the ranges",
                printable(link)
            )));
        }
        Ok(())
    }
}

/// What the node reaches without the link of a network.
#[derive(Clone, Debug, Default)]
pub(super) struct OtherWays {
    /// Addresses of the node's other links in ranges of the network, with the link's name.
    pub(super) addresses: Vec<(String, IpNetwork)>,
    /// All addresses of the node's other links.
    pub(super) elsewhere: Vec<IpNetwork>,
    /// Gateways of the node's routes.
    pub(super) gateways: Vec<IpAddr>,
    /// What must be reached as it is.
    pub(super) needed: Vec<IpAddr>,
    /// Destinations in which ranges of the network lie, with the name of a link that has nothing to do with the network.
    pub(super) routes: Vec<(String, IpNetwork)>,
}

/// This node's part of the network's addresses, which has the node's own.
fn share(definition: &Definition, node_name: &str) -> Result<NodeShare, Error> {
    let Some(text) = &definition.node_ranges else {
        return Err(Error::config(format!(
            "it has no annotation {ANNOTATION}, which says what address this node has on it (\"host\") and which ones \
             all pods have: add it"
        )));
    };
    let share = NodeRanges::parse(text)?.share_of(node_name)?;
    if share.own().hosts.is_empty() {
        return Err(Error::config(format!(
            "annotation {ANNOTATION} has no address for this node itself: write its entry as {{\"ranges\": [[…]], \
             \"host\": \"192.168.10.2/24\"}}, with an address outside of all ranges"
        )));
    }
    Ok(share)
}

fn configuration(definition: &Definition, conf_dir: &ConfDir) -> Result<Network, Error> {
    if !definition.config.is_empty() {
        return Network::parse("spec.config", &definition.config, Some(&definition.name));
    }
    conf_dir.by_name(&definition.name)?.ok_or_else(|| {
        Error::config(
            "it has no spec.config, and this node's confDir has no configuration of that name: write one of them",
        )
    })
}

/// The plugin that makes the pods' interface.
fn main_plugin(network: &Network) -> Result<&Plugin, Error> {
    let mut makers =
        network.plugins.iter().filter(|plugin| crate::plugins::MAIN_TYPES.contains(&plugin.type_name.as_str()));
    match (makers.next(), makers.next()) {
        (Some(plugin), None) => Ok(plugin),
        (Some(_), Some(_)) => {
            Err(Error::config("two of its plugins make an interface: it is not known which one pods use"))
        }
        (None, _) => {
            let types = network.plugins.iter().map(|plugin| plugin.type_name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Error::config(format!(
                "its plugins ({}) make neither macvlans nor ipvlans: a link of the node's on such a network is made by \
                 hand; remove the mark",
                printable(&types)
            )))
        }
    }
}

/// Refuses an address that a pod of this node has got, by former ranges.
fn check_store(link: &OnNode, hosts: &[IpNetwork]) -> anyhow::Result<()> {
    let Ipam::HostLocal(config) = link.ipam() else { return Ok(()) };
    let taken = config.store().taken()?;
    if let Some(host) = hosts.iter().find(|host| taken.contains(&host.ip())) {
        return Err(Error::config(format!(
            "the host address {} of annotation {ANNOTATION} is that of a pod, by former ranges ({}): delete the pod, or \
             choose another address",
            host.ip(),
            printable(&config.store().directory().join(host.ip().to_string()).to_string_lossy())
        ))
        .into());
    }
    Ok(())
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;
