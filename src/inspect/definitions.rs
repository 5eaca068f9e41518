//! The network definitions that lie on this node (`networksDir`, the agent's snapshot): whether each can be used here.

use super::{Examination, table};
use crate::cni::network::Network;
use crate::cni::text::printable;
use crate::cni::{Error, Object};
use crate::delegate;
use crate::kernel::netlink::Netlink;
use crate::multinet::definition::Definition;
use crate::multinet::node_ranges::NodeRanges;
use crate::multinet::source::{NetworkSource, NodeNetworks};
use crate::state::definitions as snapshot;
use crate::state::networks::{ConfDir, FileNetworks};

/// Plugins whose master must not be a port of a bridge.
const NEED_FREE_MASTER: [&str; 2] = ["macvlan", "ipvlan"];

/// A network as an ADD on this node would use it.
pub(super) struct Usable {
    /// `namespace/name`.
    pub(super) display: String,
    pub(super) network: Network,
    pub(super) runtime_config: Object,
}

/// Judges every definition; those that parse.
pub(super) async fn look_at(seen: &mut Examination<'_>) -> Vec<Usable> {
    let node = match Netlink::own() {
        Ok(node) => node,
        Err(error) => {
            seen.skipped(format_args!("the network definitions: {error}"));
            return Vec::new();
        }
    };
    let mut directories = Vec::new();
    if let Some(settings) = &seen.configuration.settings {
        directories.extend(settings.networks_dir.clone());
    }
    if snapshot::is_fresh(&seen.place.run_dir) {
        directories.push(snapshot::directory(&seen.place.run_dir));
    } else if seen.configuration.settings.as_ref().is_some_and(|settings| settings.kubeconfig.is_some()) {
        seen.skipped("definitions of the API server: the plugin may not list them, and there is no fresh snapshot");
    }
    let mut usable = Vec::new();
    for directory in directories {
        let source = FileNetworks::new(&directory);
        let references = match source.references() {
            Ok(references) => references,
            Err(error) => {
                seen.skipped(error);
                continue;
            }
        };
        for (namespace, name) in references {
            match source.find(&namespace, &name).await {
                Ok(Some(found)) => usable.extend(judge(seen, &node, found.definition, &found.origin).await),
                Ok(None) => {}
                Err(error) => seen.found(&table::DEFINITION_INVALID, error.message),
            }
        }
    }
    usable
}

/// The steps of an ADD's plan, each with the row that its failure is.
async fn judge(seen: &mut Examination<'_>, node: &Netlink, definition: Definition, origin: &str) -> Option<Usable> {
    let display = definition.reference();
    let about = format!("network {display} ({origin})");
    let mut network = match parse(seen, &definition, &about) {
        Ok(network) => network,
        Err(error) => {
            seen.found(&table::DEFINITION_INVALID, error.message);
            return None;
        }
    };
    let mut runtime_config = Object::new();
    if let Some(text) = &definition.node_ranges {
        let ranges = match NodeRanges::parse(text) {
            Ok(ranges) => ranges,
            Err(error) => {
                seen.found(&table::DEFINITION_INVALID, error.within(&about).message);
                return None;
            }
        };
        let share = match ranges.share_of(&seen.configuration.node) {
            Ok(share) => share,
            Err(error) => {
                seen.found(&table::DEFINITION_WITHOUT_RANGE, error.within(&about).message);
                return None;
            }
        };
        if let Err(error) = delegate::give_ranges(&share, &mut network, &mut runtime_config) {
            seen.found(&table::DEFINITION_INVALID, error.within(&about).message);
            return None;
        }
    }
    if let Err(error) = delegate::resolve_masters(&mut network, node).await {
        seen.found(&table::MASTER_NOT_FOUND, format_args!("{about}: {error:#}"));
    } else {
        needs(seen, node, &network, &runtime_config, &about).await;
    }
    Some(Usable { display, network, runtime_config })
}

fn parse(seen: &Examination<'_>, definition: &Definition, about: &str) -> Result<Network, Error> {
    if !definition.config.trim().is_empty() {
        return Network::parse(about, &definition.config, Some(&definition.name));
    }
    let Some(settings) = &seen.configuration.settings else {
        return Err(Error::config(format!("{about} has no spec.config, and rooknet's entry cannot be read")));
    };
    ConfDir::new(&settings.conf_dir).by_name(&definition.name)?.ok_or_else(|| {
        let directory = crate::cni::text::printable_path(&settings.conf_dir);
        Error::config(format!("{about} has no spec.config, and confDir {directory} has no configuration of that name"))
    })
}

/// What a network needs of the node: programs, and masters that can be built on.
async fn needs(seen: &mut Examination<'_>, node: &Netlink, network: &Network, runtime_config: &Object, about: &str) {
    let config = seen.configuration.collector.config();
    let path = [config.bin_dir.clone(), seen.configuration.bin_dir.clone()];
    let runners =
        if config.native { delegate::choose(network, "", runtime_config) } else { Ok(delegate::Runners::default()) };
    let mut runners = match runners {
        Ok(runners) => runners,
        Err(error) => {
            seen.found(&table::DEFINITION_INVALID, error.within(about).message);
            return;
        }
    };
    if let Err(error) = delegate::find_executables(network, &runners, &path) {
        seen.found(&table::PROGRAM_MISSING, error.within(about).message);
    }
    if let Err(error) = delegate::check_masters(network, &mut runners, node).await {
        seen.found(&table::MASTER_NOT_FOUND, format_args!("{about}: {error:#}"));
        return;
    }
    let builders = network.plugins.iter().filter(|plugin| NEED_FREE_MASTER.contains(&plugin.type_name.as_str()));
    for plugin in builders {
        let Ok(master) = plugin.object.text("master") else { continue };
        if !master.is_empty()
            && let Some(bridge) = bridge_of(node, &master).await
        {
            let (master, bridge) = (printable(&master), printable(&bridge));
            seen.found(&table::MASTER_IS_BRIDGE_PORT, format_args!("{about}: {master} is a port of bridge {bridge}"));
        }
    }
}

/// The bridge whose port a link is.
async fn bridge_of(node: &Netlink, name: &str) -> Option<String> {
    let details = node.link_details_by_any_name(name).await.ok()??;
    let above = node.link_by_index(details.master?).await.ok()??;
    (above.kind == "bridge").then_some(above.name)
}
