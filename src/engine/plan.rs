//! The plan of an ADD: every network that the pod gets, settled and checked before anything is touched.
//!
//! A failure here costs nothing; a failure after the first attachment costs a rollback. So whatever can be known
//! beforehand is asked beforehand: names, policy, capabilities, programs, masters, and whether the names are free.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::find::{FoundNetwork, Sources};
use super::netns::PodNetns;
use super::pod::Pod;
use super::settings::Settings;
use crate::cni::args::Args;
use crate::cni::network::Network;
use crate::cni::{Code, Error, Object};
use crate::delegate;
use crate::kernel::netlink::Netlink;
use crate::multinet::interface_names;
use crate::multinet::selection::{self, Selection};

/// What a plan starts from.
pub(super) struct Inputs<'a> {
    /// The configuration's part on attaching.
    pub(super) settings: &'a Settings,
    /// The pod.
    pub(super) pod: &'a Pod,
    /// CNI_IFNAME.
    pub(super) ifname: &'a str,
    /// CNI_ARGS.
    pub(super) args: &'a Args,
    /// `runtimeConfig` as the runtime gave it: for the default network only (standard v1.3, 7.5).
    pub(super) runtime_config: &'a Object,
    /// Where plugins are searched.
    pub(super) path: &'a [PathBuf],
    /// The pod's network namespace.
    pub(super) netns: &'a PodNetns,
}

/// One network to attach.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    /// What to call it.
    pub(super) display: String,
    /// Its configuration, the pod's `cni-args` merged in.
    pub(super) network: Network,
    /// Its interface in the pod.
    pub(super) ifname: String,
    /// Its CNI_ARGS.
    pub(super) args: String,
    /// Its `runtimeConfig`.
    pub(super) runtime_config: Object,
    /// Whether the pod's default routes go through this attachment.
    pub(super) takes_default_route: bool,
    /// By which gateways; none means those that the network's own plugins choose.
    pub(super) default_route: Vec<IpAddr>,
}

/// The plan: attachments in order. In delegating mode the first is the default network.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// In the order of ADD.
    pub(super) attachments: Vec<Attachment>,
}

/// Makes the plan.
///
/// # Errors
/// Whatever is wrong with the pod's selection, a network, or the node; nothing has been touched then.
pub(super) async fn make(inputs: &Inputs<'_>) -> Result<Plan> {
    let wanted = wanted_networks(inputs, &Sources::of(inputs.settings)).await?;
    let names = settle_names(inputs, &wanted)?;
    let mut attachments = Vec::with_capacity(wanted.len());
    for (Wanted { found, selection, is_default }, ifname) in wanted.into_iter().zip(names) {
        let display = found.display.clone();
        let attachment =
            settle(inputs, found, selection, is_default, ifname).with_context(|| format!("network {display}"))?;
        attachments.push(attachment);
    }
    check_node(inputs, &attachments).await?;
    Ok(Plan { attachments })
}

/// A network and who wants it.
struct Wanted {
    found: FoundNetwork,
    /// The pod's element, when the pod named it.
    selection: Option<Selection>,
    is_default: bool,
}

/// The default network, the cluster-wide ones, and the pod's selection, in this order.
async fn wanted_networks(inputs: &Inputs<'_>, sources: &Sources<'_>) -> Result<Vec<Wanted>> {
    let (settings, pod) = (inputs.settings, inputs.pod);
    let mut wanted = Vec::new();
    let replacement = pod.default_network_override(&settings.policy.multus_namespace)?;
    match (&settings.default_network, replacement) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Error::config(format!(
                "annotation {} cannot be honoured: rooknet runs in chained mode here, where the default network is the \
                 primary plugin's (set clusterNetwork or delegates for delegating mode)",
                selection::DEFAULT_NETWORK_ANNOTATION
            ))
            .into());
        }
        (Some(default), replacement) => {
            for found in sources.default_networks(default).await? {
                let is_default = wanted.is_empty();
                wanted.push(Wanted { found, selection: None, is_default });
            }
            if let (Some(selection), Some(first)) = (replacement, wanted.first_mut()) {
                *first = replaced_default(inputs, sources, selection).await?;
            }
        }
    }
    if !settings.policy.system_namespaces.contains(&pod.namespace) {
        for reference in &settings.default_networks {
            let found = sources.reference(reference).await.context("key \"defaultNetworks\"")?;
            wanted.push(Wanted { found, selection: None, is_default: false });
        }
    }
    for selection in pod.selections()? {
        settings.policy.check_namespace(&pod.namespace, &selection.namespace, selection::ANNOTATION)?;
        if !selection.unknown_keys.is_empty() {
            log::warn!(network = selection.reference().as_str(); "keys of the annotation that mean nothing: {}", selection.unknown_keys.join(", "));
        }
        let found = sources.selected(&selection.namespace, &selection.name, selection::ANNOTATION).await?;
        wanted.push(Wanted { found, selection: Some(selection), is_default: false });
    }
    check_default_routes(&wanted)?;
    Ok(wanted)
}

/// The two annotations are parsed apart, and each may put a default route somewhere: together too they must name one
/// owner for each family, or the second would fail in the kernel, with the pod half attached.
fn check_default_routes(wanted: &[Wanted]) -> Result<(), Error> {
    let selections: Vec<Selection> = wanted.iter().filter_map(|wanted| wanted.selection.clone()).collect();
    let annotations = format!("{} together with {}", selection::DEFAULT_NETWORK_ANNOTATION, selection::ANNOTATION);
    selection::check_default_routes(&annotations, &selections)
}

/// The network by which the pod replaces the default one: it is the pod's word, so the pod's rules hold.
async fn replaced_default(inputs: &Inputs<'_>, sources: &Sources<'_>, selection: Selection) -> Result<Wanted> {
    let annotation = selection::DEFAULT_NETWORK_ANNOTATION;
    inputs.settings.policy.check_namespace(&inputs.pod.namespace, &selection.namespace, annotation)?;
    if let Some(interface) = selection.interface.as_deref().filter(|interface| *interface != inputs.ifname) {
        return Err(Error::config(format!(
            "annotation {annotation} asks for interface {interface:?}: the default network's interface is the \
             runtime's, {:?}",
            inputs.ifname
        ))
        .into());
    }
    let found = sources.selected(&selection.namespace, &selection.name, annotation).await?;
    Ok(Wanted { found, selection: Some(selection), is_default: true })
}

/// The interface name of each wanted network.
fn settle_names(inputs: &Inputs<'_>, wanted: &[Wanted]) -> Result<Vec<String>> {
    let has_default = wanted.first().is_some_and(|first| first.is_default);
    let requested: Vec<Option<String>> = wanted
        .iter()
        .filter(|wanted| !wanted.is_default)
        .map(|wanted| wanted.selection.as_ref().and_then(|selection| selection.interface.clone()))
        .collect();
    let mut names = interface_names::settle(inputs.ifname, &requested)?;
    if has_default {
        names.insert(0, inputs.ifname.to_owned());
    }
    Ok(names)
}

/// Checks one network against policy and the pod's requests, and gives it what its plugins will get.
fn settle(
    inputs: &Inputs<'_>,
    found: FoundNetwork,
    selection: Option<Selection>,
    is_default: bool,
    ifname: String,
) -> Result<Attachment> {
    let FoundNetwork { display, mut network, named } = found;
    inputs.settings.policy.check_network(&network, named)?;
    let mut runtime_config = if is_default { inputs.runtime_config.clone() } else { Object::new() };
    let (mut takes_default_route, mut default_route) = (false, Vec::new());
    if let Some(selection) = selection {
        inputs.settings.policy.check_requests(&selection, &network)?;
        for (capability, value) in selection.runtime_config {
            runtime_config.set(capability, value);
        }
        let mut pairs = selection.cni_args.unwrap_or_default();
        if let Some(reference) = &selection.ipam_claim_reference {
            pairs.set_value("ipam-claim-reference", reference)?;
        }
        if !pairs.is_empty() {
            for plugin in &mut network.plugins {
                plugin.merge_cni_args(&pairs)?;
            }
        }
        takes_default_route = selection.takes_default_route;
        default_route = selection.default_route;
    }
    let args = if is_default { inputs.args.to_string() } else { inputs.args.for_secondary().to_string() };
    Ok(Attachment { display, network, ifname, args, runtime_config, takes_default_route, default_route })
}

/// Checks what the node must have for the plan: programs, masters, and free names in the pod.
async fn check_node(inputs: &Inputs<'_>, attachments: &[Attachment]) -> Result<()> {
    if attachments.is_empty() {
        return Ok(());
    }
    let pod = inputs.netns.netlink()?;
    let node = Netlink::own()?;
    for attachment in attachments {
        let about = || format!("network {}", attachment.display);
        delegate::find_executables(&attachment.network, inputs.path).with_context(about)?;
        check_masters(&node, &attachment.network).await.with_context(about)?;
        // The delegate's own DEL, in a rollback, would delete by name what was there before, and to the kernel an
        // alternative name is one: so look first.
        if pod.is_name_taken(&attachment.ifname).await? {
            return Err(Error::new(
                Code::EXISTS,
                format!(
                    "interface {:?} for network {} exists in the pod already, and not by an attachment of rooknet's: \
                     choose another name in the annotation or delete it",
                    attachment.ifname, attachment.display
                ),
            )
            .into());
        }
    }
    Ok(())
}

/// Plugins that build on an interface of the node, named by the key `master`.
const WITH_MASTER: [&str; 3] = ["macvlan", "ipvlan", "vlan"];

/// Checks that every `master` exists on the node.
///
/// # Errors
/// Code 7, naming plugin and master.
pub(super) async fn check_masters(node: &Netlink, network: &Network) -> Result<()> {
    for plugin in network.plugins.iter().filter(|plugin| WITH_MASTER.contains(&plugin.type_name.as_str())) {
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
