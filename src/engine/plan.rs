//! The plan of an ADD: every network that the pod gets, settled and checked before anything is touched.
//!
//! A failure here costs nothing; a failure after the first attachment costs a rollback. So whatever can be known
//! beforehand is asked beforehand: names, policy, capabilities, programs, masters, and whether the names are free.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::call::Call;
use super::devices::{self, Device};
use super::find::{FoundNetwork, Sources};
use super::netns::PodNetns;
use super::pod::Pod;
use super::settings::{DefaultNetwork, Settings};
use crate::cni::args::Args;
use crate::cni::network::Network;
use crate::cni::{Code, Error, Object};
use crate::delegate::{self, Runners};
use crate::multinet::interface_names;
use crate::multinet::selection::{self, Selection};
use crate::state::deadline::Deadline;
use crate::state::journal::Key;

/// What a plan starts from.
pub(super) struct Inputs<'a> {
    /// The configuration's part on attaching.
    pub(super) settings: &'a Settings,
    /// Where networks are looked up.
    pub(super) sources: &'a Sources<'a>,
    /// The pod.
    pub(super) pod: &'a Pod,
    /// CNI_CONTAINERID.
    pub(super) container_id: &'a str,
    /// CNI_IFNAME.
    pub(super) ifname: &'a str,
    /// CNI_ARGS.
    pub(super) args: &'a Args,
    /// `runtimeConfig` as the runtime gave it: for the default network only (standard v1.3, 7.5).
    pub(super) runtime_config: &'a Object,
    /// The call itself.
    pub(super) call: &'a Call,
    /// The pod's network namespace.
    pub(super) netns: &'a PodNetns,
    /// When to give up.
    pub(super) deadline: &'a Deadline,
}

/// One network to attach.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    /// What to call it.
    pub(super) display: String,
    /// What network-status calls it: the default network, unless the pod chose it, by its configuration's name.
    pub(super) status_name: String,
    /// Its configuration, the pod's `cni-args` merged in.
    pub(super) network: Network,
    /// Whether it is the default network.
    pub(super) is_default: bool,
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
    /// Its device of the kubelet.
    pub(super) device: Option<Device>,
    /// Who runs its plugins.
    pub(super) runners: Runners,
}

impl Attachment {
    /// Gives it its device, if it needs one, and a place for what plugins have to say of devices.
    fn take_device(&mut self, container_id: &str, device: Option<Device>) -> Result<(), Error> {
        if let Some(device) = &device {
            devices::grant(device, &mut self.network, &mut self.runtime_config)?;
        }
        self.device = device;
        let key = Key { container_id: container_id.to_owned(), ifname: self.ifname.clone() };
        devices::name_information(&self.network, &key, &mut self.runtime_config)
    }
}

/// The plan: attachments in order. In delegating mode the first is the default network.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// In the order of ADD.
    pub(super) attachments: Vec<Attachment>,
    /// Whether the pod's annotations chose any of them.
    pub(super) is_selected: bool,
}

/// Makes the plan.
///
/// # Errors
/// Whatever is wrong with the pod's selection, a network, or the node; nothing has been touched then.
pub(super) async fn make(inputs: &Inputs<'_>) -> Result<Plan> {
    let wanted = wanted_networks(inputs).await?;
    let names = settle_names(inputs, &wanted)?;
    let is_selected = wanted.iter().any(|wanted| wanted.selection.is_some());
    let mut attachments = Vec::with_capacity(wanted.len());
    let needs: Vec<_> = wanted.iter().map(Wanted::need).collect();
    for (Wanted { found, selection, is_default }, ifname) in wanted.into_iter().zip(names) {
        let display = found.display.clone();
        let attachment =
            settle(inputs, found, selection, is_default, ifname).with_context(|| format!("network {display}"))?;
        attachments.push(attachment);
    }
    let devices = devices::settle(&needs, inputs.pod, inputs.deadline).await?;
    for (attachment, device) in attachments.iter_mut().zip(devices) {
        attachment.take_device(inputs.container_id, device)?;
    }
    settle_node(inputs, &mut attachments).await?;
    Ok(Plan { attachments, is_selected })
}

/// A network and who wants it.
struct Wanted {
    found: FoundNetwork,
    /// The pod's element, when the pod named it.
    selection: Option<Selection>,
    is_default: bool,
}

impl Wanted {
    /// What it needs of the kubelet.
    fn need(&self) -> devices::Need {
        devices::Need {
            display: self.found.display.clone(),
            resource: self.found.resource_name.clone(),
            asked: self.selection.as_ref().and_then(|selection| selection.device_id.clone()),
        }
    }
}

/// The default network, the cluster-wide ones, and the pod's selection, in this order.
async fn wanted_networks(inputs: &Inputs<'_>) -> Result<Vec<Wanted>> {
    let Inputs { settings, sources, .. } = *inputs;
    let asked = asked_for(inputs)?;
    sources.look_up_together(definitions_meant(inputs, &asked)).await;
    let mut wanted = Vec::new();
    if let Some(default) = &settings.default_network {
        for found in sources.default_networks(default).await? {
            let is_default = wanted.is_empty();
            wanted.push(Wanted { found, selection: None, is_default });
        }
        if let (Some(selection), Some(first)) = (asked.replacement, wanted.first_mut()) {
            let annotation = selection::DEFAULT_NETWORK_ANNOTATION;
            let found = sources.selected(&selection.namespace, &selection.name, annotation).await?;
            *first = Wanted { found, selection: Some(selection), is_default: true };
        }
    }
    for reference in cluster_wide(inputs) {
        let found = sources.reference(reference).await.context("key \"defaultNetworks\"")?;
        wanted.push(Wanted { found, selection: None, is_default: false });
    }
    for selection in asked.selections {
        let found = sources.selected(&selection.namespace, &selection.name, selection::ANNOTATION).await?;
        wanted.push(Wanted { found, selection: Some(selection), is_default: false });
    }
    check_default_routes(&wanted)?;
    Ok(wanted)
}

/// What the pod's annotations ask for.
struct Asked {
    /// In place of the default network.
    replacement: Option<Selection>,
    selections: Vec<Selection>,
}

/// Reads the pod's annotations and checks whether it may name what it names: before anything is looked up, so that a
/// refusal does not tell whether the network exists.
fn asked_for(inputs: &Inputs<'_>) -> Result<Asked> {
    let Inputs { settings, pod, .. } = *inputs;
    let policy = &settings.policy;
    let replacement = pod.default_network_override(&policy.multus_namespace)?;
    if let Some(selection) = &replacement {
        check_replacement(inputs, selection)?;
    }
    let selections = pod.selections()?;
    for selection in &selections {
        policy.check_namespace(&pod.namespace, &selection.namespace, selection::ANNOTATION)?;
        if !selection.unknown_keys.is_empty() {
            log::warn!(network = selection.reference().as_str(); "keys of the annotation that mean nothing: {}", selection.unknown_keys.join(", "));
        }
    }
    Ok(Asked { replacement, selections })
}

/// The network by which the pod replaces the default one: it is the pod's word, so the pod's rules hold.
fn check_replacement(inputs: &Inputs<'_>, selection: &Selection) -> Result<()> {
    let annotation = selection::DEFAULT_NETWORK_ANNOTATION;
    if inputs.settings.default_network.is_none() {
        return Err(Error::config(format!(
            "annotation {annotation} cannot be honoured: rooknet runs in chained mode here, where the default network is the \
             primary plugin's (set clusterNetwork or delegates for delegating mode)"
        ))
        .into());
    }
    inputs.settings.policy.check_namespace(&inputs.pod.namespace, &selection.namespace, annotation)?;
    if let Some(interface) = selection.interface.as_deref().filter(|interface| *interface != inputs.ifname) {
        return Err(Error::config(format!(
            "annotation {annotation} asks for interface {interface:?}: the default network's interface is the \
             runtime's, {:?}",
            inputs.ifname
        ))
        .into());
    }
    Ok(())
}

/// The networks that every pod outside the system namespaces gets.
fn cluster_wide<'a>(inputs: &Inputs<'a>) -> &'a [String] {
    let Inputs { settings, pod, .. } = *inputs;
    if settings.policy.system_namespaces.contains(&pod.namespace) { &[] } else { &settings.default_networks }
}

/// Every definition that the plan will look up.
fn definitions_meant(inputs: &Inputs<'_>, asked: &Asked) -> Vec<(String, String)> {
    let default = match &inputs.settings.default_network {
        Some(DefaultNetwork::ClusterNetwork(reference)) => Some(reference),
        _ => None,
    };
    let by_node = default.into_iter().chain(cluster_wide(inputs));
    let by_pod = asked.replacement.iter().chain(&asked.selections);
    by_node
        .filter_map(|reference| inputs.sources.definition_meant(reference))
        .chain(by_pod.map(|selection| (selection.namespace.clone(), selection.name.clone())))
        .collect()
}

/// The two annotations are parsed apart, and each may put a default route somewhere: together too they must name one
/// owner for each family, or the second would fail in the kernel, with the pod half attached.
fn check_default_routes(wanted: &[Wanted]) -> Result<(), Error> {
    let selections: Vec<Selection> = wanted.iter().filter_map(|wanted| wanted.selection.clone()).collect();
    let annotations = format!("{} together with {}", selection::DEFAULT_NETWORK_ANNOTATION, selection::ANNOTATION);
    selection::check_default_routes(&annotations, &selections)
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
    mut found: FoundNetwork,
    selection: Option<Selection>,
    is_default: bool,
    ifname: String,
) -> Result<Attachment> {
    let is_chosen = selection.is_some();
    inputs.settings.policy.check_network(&found.network, found.named)?;
    let mut runtime_config = if is_default { inputs.runtime_config.clone() } else { Object::new() };
    let (mut takes_default_route, mut default_route) = (false, Vec::new());
    if let Some(selection) = selection {
        inputs.settings.policy.check_requests(&selection, &found.network)?;
        for (capability, value) in selection.runtime_config {
            runtime_config.set(capability, value);
        }
        let mut pairs = selection.cni_args.unwrap_or_default();
        if let Some(reference) = &selection.ipam_claim_reference {
            pairs.set_value("ipam-claim-reference", reference)?;
        }
        if !pairs.is_empty() {
            for plugin in &mut found.network.plugins {
                plugin.merge_cni_args(&pairs)?;
            }
        }
        takes_default_route = selection.takes_default_route;
        default_route = selection.default_route;
    }
    found.take_share(&mut runtime_config)?;
    let FoundNetwork { display, network, .. } = found;
    let status_name = if is_default && !is_chosen { network.name.clone() } else { display.clone() };
    let args = if is_default { inputs.args.to_string() } else { inputs.args.for_secondary().to_string() };
    Ok(Attachment {
        display,
        status_name,
        network,
        is_default,
        ifname,
        args,
        runtime_config,
        takes_default_route,
        default_route,
        device: None,
        runners: Runners::default(),
    })
}

/// Finds and checks what the node must have for the plan: programs, masters, and free names in the pod.
async fn settle_node(inputs: &Inputs<'_>, attachments: &mut [Attachment]) -> Result<()> {
    if attachments.is_empty() {
        return Ok(());
    }
    let pod = inputs.netns.netlink()?;
    let node = inputs.call.node()?;
    let taken = pod.names().await?;
    for attachment in attachments {
        let Attachment { display, network, args, runtime_config, .. } = attachment;
        let about = || format!("network {display}");
        delegate::resolve_masters(network, node).await.with_context(about)?;
        let mut runners = inputs.call.choose(network, args, runtime_config).with_context(about)?;
        if let Some(reason) = runners.reason() {
            log::info!(network = display.as_str(); "executed: {reason}");
        }
        delegate::find_executables(network, &runners, &inputs.call.path).with_context(about)?;
        delegate::check_masters(network, &mut runners, node).await.with_context(about)?;
        attachment.runners = runners;
        // The delegate's own DEL, in a rollback, would delete by name what was there before, and to the kernel an
        // alternative name is one: so look first.
        if taken.contains(&attachment.ifname) {
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
