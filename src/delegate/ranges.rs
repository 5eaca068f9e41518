//! A node's share of addresses, handed to host-local.
//!
//! host-local takes further ranges by `runtimeConfig.ipRanges`, and a plugin is given a key of runtimeConfig only where
//! its configuration declares the capability. The author of a definition with ranges for each node means them, so the
//! capability is declared here, for the one plugin that runs host-local: a definition needs no key beside the
//! annotation.
//!
//! host-local puts these ranges **in front of** its configuration's own, and gives an address of each. Own ranges beside
//! the shares would thus be handed out by every node, which is what the shares are to prevent. They are refused and not
//! replaced: an author who wrote both may mean either, and what the text says shall be what happens.

use serde_json::value::RawValue;

use crate::cni::network::{Network, Plugin};
use crate::cni::{Error, Object, json};
use crate::multinet::node_ranges::{ANNOTATION, NodeShare};
use crate::plugins::ipam::host_local;

/// The capability, and the key of runtimeConfig.
const CAPABILITY: &str = "ipRanges";
/// Keys of host-local's `ipam` that name addresses.
const OWN_RANGES: [&str; 5] = ["ranges", "subnet", "rangeStart", "rangeEnd", "gateway"];
/// Elements of `ips` that are looked at; host-local takes one for each range set.
const MAX_IPS: usize = 128;

/// Hands the node's share to the network's host-local: the capability into the network, the ranges into
/// `runtime_config`, both of which the journal keeps.
///
/// # Errors
/// Code 7, naming the annotation, when no plugin of the network runs host-local, or several, or one within another
/// plugin's delegate, which runtimeConfig does not reach; when host-local has ranges of its own; and when the pod asks,
/// by `ips` in runtimeConfig or in `args.cni`, for an address that is not this node's.
pub fn give(share: &NodeShare, network: &mut Network, runtime_config: &mut Object) -> Result<(), Error> {
    let about = || format!("annotation {ANNOTATION}");
    let plugin = plugin_of(network).map_err(|error| error.within(&about()))?;
    if runtime_config.get(CAPABILITY).is_some() {
        return Err(Error::config(format!(
            "annotation {ANNOTATION}: the runtime passes ranges, too (runtimeConfig.{CAPABILITY}): remove the annotation, \
             or the capability {CAPABILITY:?} from rooknet's entry"
        )));
    }
    let ipam = plugin.object.object("ipam")?.unwrap_or_default();
    for key in OWN_RANGES {
        if ipam.get_all(key).any(|value| value.get() != "[]" && value.get() != "\"\"") {
            return Err(Error::config(format!(
                "annotation {ANNOTATION}: key \"ipam.{key}\" of plugin {} must go, or every node would hand out those \
                 addresses beside its own: move what it says into the annotation",
                plugin.type_name
            )));
        }
    }
    for asked in asked_for(plugin, runtime_config)? {
        share.check_request(&asked)?;
    }
    plugin.declare(CAPABILITY)?;
    runtime_config.set(CAPABILITY, share.ip_ranges()?);
    Ok(())
}

/// The one plugin that runs host-local.
fn plugin_of(network: &mut Network) -> Result<&mut Plugin, Error> {
    for plugin in &network.plugins {
        if plugin.nested_types()?.iter().any(|nested| nested == host_local::TYPE) {
            return Err(Error::config(format!(
                "plugin {} runs host-local within a delegate of its own, which cannot be given this node's ranges: \
                 remove the annotation, or name the delegate's plugin itself",
                plugin.type_name
            )));
        }
    }
    let mut found = network.plugins.iter_mut().filter(|plugin| plugin.ipam_type.as_deref() == Some(host_local::TYPE));
    match (found.next(), found.next()) {
        (Some(plugin), None) => Ok(plugin),
        (None, _) => Err(Error::config(
            "none of the network's plugins has host-local as its IPAM (\"ipam\": {\"type\": \"host-local\"}), which alone \
             takes ranges: remove the annotation, or use host-local",
        )),
        (Some(one), Some(other)) => Err(Error::config(format!(
            "the plugins {} and {} both have host-local as their IPAM, and a network gives an interface its addresses \
             once: keep it in one of them",
            one.type_name, other.type_name
        ))),
    }
}

/// The addresses that a pod asks host-local for, in all the ways by which an annotation gets there.
fn asked_for(plugin: &Plugin, runtime_config: &Object) -> Result<Vec<String>, Error> {
    let cni = plugin.object.object("args")?.unwrap_or_default().object("cni")?.unwrap_or_default();
    let by_capability =
        if plugin.capabilities.iter().any(|declared| declared == "ips") { runtime_config.get("ips") } else { None };
    let mut asked = Vec::new();
    for value in [by_capability, cni.get("ips")].into_iter().flatten() {
        // What is not a list of texts host-local refuses by itself.
        let elements: Vec<Box<RawValue>> = json::elements(value, MAX_IPS).unwrap_or_default();
        asked.extend(elements.iter().filter_map(|element| serde_json::from_str::<String>(element.get()).ok()));
    }
    Ok(asked)
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;
