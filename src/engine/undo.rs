//! Undoing a journal: the one way in which attachments end, whoever asks (a DEL, a GC, a rollback, the next ADD).
//!
//! Newest first, past every failure. The journal goes only when nothing failed, so whatever is left can be tried again.
//! It may run twice, after a kill at any point, with the namespace gone: a delegate's DEL is idempotent, and what it
//! leaves in the namespace is removed by identity.

use anyhow::{Context, Result};
use serde_json::value::RawValue;

use super::call::{Call, Subject};
use super::devices;
use super::failures::{Failures, sentence};
use super::identity::live_netns;
use super::netns::{PodNetns, path_or_empty};
use super::traces;
use crate::cni::network::Network;
use crate::cni::result::CniResult;
use crate::cni::{Error, Object};
use crate::delegate::{self, Failure};
use crate::kernel::netlink::{Link, Netlink};
use crate::state::deadline::Deadline;
use crate::state::fault;
use crate::state::journal::{Attachment, Journal};
use crate::state::lock::ContainerLock;

/// What an undoing works with: the container's lock is held for all of it.
pub(super) struct Undo<'a> {
    pub(super) call: &'a Call,
    pub(super) lock: &'a ContainerLock,
    pub(super) deadline: &'a Deadline,
}

impl Undo<'_> {
    /// Undoes every attachment of `journal` and removes it; marks it as failed when something could not be undone.
    /// `runtime_path` is the CNI_NETNS of the present call, empty when there is none.
    ///
    /// # Errors
    /// Everything that failed; the journal is kept then.
    pub(super) async fn journal(&self, journal: &Journal, runtime_path: &str) -> Result<(), Failures> {
        let key = journal.key();
        let undone = match self.attachments(journal, runtime_path).await {
            Ok(()) => self.call.journals.remove(&key).map_err(|error| Failures::from(anyhow::Error::from(error))),
            Err(failures) => Err(failures),
        };
        if undone.is_err()
            && let Err(error) = self.call.journals.mark_failed(&key)
        {
            log::warn!("the journal of container {} could not be marked for a retry: {error}", key.container_id);
        }
        undone
    }

    async fn attachments(&self, journal: &Journal, runtime_path: &str) -> Result<(), Failures> {
        let live = live_netns(journal, runtime_path)?;
        let mut failures = Failures::default();
        for attachment in journal.attachments.iter().rev() {
            fault::point("undo.attachment");
            let undone = self
                .attachment(&journal.container_id, attachment, live.as_ref())
                .await
                .with_context(|| format!("network {} on interface {}", attachment.network, attachment.ifname));
            match undone {
                Ok(()) => log::info!(
                    network = attachment.network.as_str(), interface = attachment.ifname.as_str(); "detached"
                ),
                Err(error) => {
                    log::error!(
                        network = attachment.network.as_str(), interface = attachment.ifname.as_str();
                        "could not be detached: {}", sentence(&error)
                    );
                    failures.push(error);
                }
            }
            fault::point("undo.attachment-done");
        }
        failures.into_result()
    }

    async fn attachment(&self, container_id: &str, attachment: &Attachment, live: Option<&PodNetns>) -> Result<()> {
        let (network, runtime_config) = read_back(&attachment.config, &attachment.runtime_config)?;
        self.detach(container_id, attachment, &network, &runtime_config, live).await?;
        Ok(devices::remove_information(&runtime_config)?)
    }

    async fn detach(
        &self,
        container_id: &str,
        attachment: &Attachment,
        network: &Network,
        runtime_config: &Object,
        live: Option<&PodNetns>,
    ) -> Result<()> {
        let result = attachment
            .result
            .as_ref()
            .map(|raw| CniResult::parse("the journaled result", raw.get(), network.version))
            .transpose()
            // A plugin must manage without, and failing here would keep it from ever being asked.
            .unwrap_or_else(|error| {
                log::warn!(network = attachment.network.as_str(); "DEL goes without prevResult: {error}");
                None
            });
        let subject = Subject {
            container_id,
            netns: path_or_empty(live),
            ifname: &attachment.ifname,
            args: &attachment.args,
            runtime_config,
        };
        if let Some(live) = live
            && let Err(error) = restore_name(live, attachment).await
        {
            log::warn!(interface = attachment.ifname.as_str(); "the name that the pod took from it cannot be restored: {error}");
        }
        let detached = self.delegate(network, subject, result.as_ref()).await;
        match (detached, live) {
            (Ok(()), Some(live)) => remove_left_link(live.netlink()?, attachment, network).await,
            (Ok(()), None) => Ok(()),
            (Err(failure), _) if failure.is_interruption() => Err(failure.into()),
            (Err(failure), Some(live)) if takes_away_own_link(live, attachment, network).await? => {
                log::warn!(
                    network = attachment.network.as_str(), interface = attachment.ifname.as_str();
                    "the plugin's DEL fails on what the pod made of the interface, which rooknet has deleted: \
                     trying it without the namespace: {failure}"
                );
                Ok(self.delegate(network, Subject { netns: "", ..subject }, result.as_ref()).await?)
            }
            (Err(failure), live)
                if attachment.result.is_none()
                    && traces::are_none(network, container_id, &attachment.ifname, live).await? =>
            {
                log::warn!(
                    network = attachment.network.as_str(), interface = attachment.ifname.as_str();
                    "the plugin's ADD did not succeed, its DEL fails too, and there is neither an interface nor an \
                     address of it: nothing is to be detached: {failure}"
                );
                Ok(())
            }
            (Err(failure), _) => Err(failure.into()),
        }
    }

    async fn delegate(
        &self,
        network: &Network,
        subject: Subject<'_>,
        result: Option<&CniResult>,
    ) -> Result<(), Failure> {
        delegate::del(network, &self.call.context(subject, self.lock, self.deadline), result).await
    }
}

/// An attachment's configuration and runtimeConfig as its undoing reads them from the journal.
///
/// # Errors
/// As [`Network::parse`]; code 6 for a runtimeConfig that is not an object.
pub(super) fn read_back(config: &RawValue, runtime_config: &RawValue) -> Result<(Network, Object), Error> {
    let network = Network::parse("the journaled configuration", config.get(), None)?;
    let runtime_config = Object::parse("the journaled runtimeConfig", runtime_config.get())?;
    Ok((network, runtime_config))
}

/// Gives the attachment's link the name back by which its plugin looks for it. Otherwise a device of the node's would
/// not be found, and never come back from a pod that renamed it.
async fn restore_name(live: &PodNetns, attachment: &Attachment) -> Result<()> {
    let Some(identity) = &attachment.link else { return Ok(()) };
    let netlink = live.netlink()?;
    let Some(link) = netlink.link_by_index(identity.index).await? else { return Ok(()) };
    if link.kind != identity.kind || link.name == attachment.ifname || netlink.is_name_taken(&attachment.ifname).await?
    {
        return Ok(());
    }
    log::warn!(interface = attachment.ifname.as_str(); "the pod has renamed it to {}: renaming it back", link.name);
    Ok(netlink.rename_link(link.index, &attachment.ifname).await?)
}

/// After a plugin's DEL has failed: deletes the link that it made, and answers whether the pod stood in its way, with a
/// link under the attachment's name that is another one or that the plugin cannot handle. Then the plugin has nothing
/// left to do in the namespace.
///
/// Plugins go by name, and a pod may give that name to its loopback, which nobody can delete: its DEL would fail for
/// ever and its addresses stay taken. Only for plugins that are known to make their links: others may have brought
/// in one of the node's.
async fn takes_away_own_link(live: &PodNetns, attachment: &Attachment, network: &Network) -> Result<bool> {
    let Some(link) = attachment.link.as_ref().filter(|link| kinds_made_by(network).contains(&link.kind.as_str()))
    else {
        return Ok(false);
    };
    let netlink = live.netlink()?;
    let is_in_the_way = netlink.is_name_taken(&attachment.ifname).await?;
    if let Some(own) = netlink.link_by_index(link.index).await?.filter(|found| found.kind == link.kind) {
        delete_virtual(netlink, &own).await?;
    }
    Ok(is_in_the_way)
}

/// Removes the attachment's link where its plugin's DEL, which goes by name, has left it: the pod renamed it.
async fn remove_left_link(netlink: &Netlink, attachment: &Attachment, network: &Network) -> Result<()> {
    let left = match &attachment.link {
        Some(link) => netlink.link_by_index(link.index).await?.filter(|found| found.kind == link.kind),
        // From a killed ADD: its plan had seen that the name was free, so a link of the kind that the network's plugin
        // makes is ours. Of another kind it may be anybody's, and stays.
        None => netlink
            .link_by_name(&attachment.ifname)
            .await?
            .filter(|found| kinds_made_by(network).contains(&found.kind.as_str())),
    };
    match left {
        Some(link) if is_borrowed(network, &link.kind) => {
            log::warn!(interface = link.name.as_str(); "left in the pod: it is a device of the node's");
            Ok(())
        }
        Some(link) => delete_virtual(netlink, &link).await,
        None => Ok(()),
    }
}

/// Whether a network's link of this kind is one of the node's, brought into the pod for its life: a physical one, and
/// whatever host-device was told to take.
pub(super) fn is_borrowed(network: &Network, kind: &str) -> bool {
    kind.is_empty() || network.plugins.iter().any(|plugin| plugin.type_name == "host-device")
}

/// The kinds of links that a network's plugins make in the pod, as far as their kind is known.
pub(super) fn kinds_made_by(network: &Network) -> Vec<&'static str> {
    let made_by = |plugin_type: &str| match plugin_type {
        "macvlan" => Some("macvlan"),
        "ipvlan" => Some("ipvlan"),
        "bridge" | "ptp" => Some("veth"),
        "vlan" => Some("vlan"),
        "dummy" => Some("dummy"),
        _ => None,
    };
    network.plugins.iter().filter_map(|plugin| made_by(&plugin.type_name)).collect()
}

/// Kinds that exist only for the pod: deleting one loses nothing. A physical interface is never deleted (the kernel
/// returns it to the node when the namespace ends).
const VIRTUAL_KINDS: [&str; 7] = ["macvlan", "macvtap", "ipvlan", "ipvtap", "veth", "vlan", "dummy"];

/// Deletes a link of a pod's namespace if it is of a virtual kind; leaves any other with a warning.
pub(super) async fn delete_virtual(netlink: &Netlink, link: &Link) -> Result<()> {
    if !VIRTUAL_KINDS.contains(&link.kind.as_str()) {
        log::warn!(interface = link.name.as_str(); "left in the pod: its kind {:?} is not one that is deleted", link.kind);
        return Ok(());
    }
    log::warn!(interface = link.name.as_str(); "deleting the {} that its plugin's DEL left", link.kind);
    Ok(netlink.delete_link(link.index).await?)
}
