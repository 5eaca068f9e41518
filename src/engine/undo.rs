//! Undoing a journal: the one way in which attachments end, whoever asks (a DEL, a GC, a rollback, the next ADD).
//!
//! Newest first, past every failure. The journal goes only when nothing failed, so whatever is left can be tried again.
//! It may run twice, after a kill at any point, with the namespace gone: a delegate's DEL is idempotent, and what it
//! leaves in the namespace is removed by identity.

use anyhow::{Context, Result, anyhow};
use serde_json::value::RawValue;

use super::call::{Call, Subject};
use super::devices;
use super::failures::{Failures, sentence};
use super::identity::{interface_groups, live_netns};
use super::links;
use super::netns::{PodNetns, path_or_empty};
use super::traces;
use crate::cni::network::Network;
use crate::cni::result::CniResult;
use crate::cni::{Code, Error, Object};
use crate::delegate::{self, Failure, Runners};
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

    /// Newest first. Attachments whose interfaces this process made wait for each other, as far as no other one lies
    /// between them: their interfaces go together, and their addresses then, because one that still answers must not be
    /// handed out again.
    async fn attachments(&self, journal: &Journal, runtime_path: &str) -> Result<(), Failures> {
        let live = live_netns(journal, runtime_path)?;
        let scene = Scene { journal, live: live.as_ref() };
        let mut failures = Failures::default();
        let mut together: Vec<Detaching<'_>> = Vec::new();
        for attachment in journal.attachments.iter().rev() {
            fault::point("undo.attachment");
            let detaching = match self.read(attachment) {
                Ok(detaching) => detaching,
                Err(error) => {
                    report(attachment, Err(error), &mut failures);
                    continue;
                }
            };
            if !detaching.runners.is_native() {
                self.detach_together(&scene, std::mem::take(&mut together), &mut failures).await;
                let detached = self.detach(&scene, &detaching).await;
                report(attachment, detached.and_then(|()| detaching.end()), &mut failures);
                continue;
            }
            match self.detach_above_link(&scene, &detaching).await {
                Ok(()) => together.push(detaching),
                Err(error) => report(attachment, Err(error), &mut failures),
            }
        }
        self.detach_together(&scene, together, &mut failures).await;
        failures.into_result()
    }

    /// Reads an attachment back from the journal.
    fn read<'a>(&self, attachment: &'a Attachment) -> Result<Detaching<'a>> {
        let (network, runtime_config) = read_back(&attachment.config, &attachment.runtime_config)?;
        let runners = self.call.choose_again(&network, &attachment.args, &runtime_config);
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
        Ok(Detaching { attachment, network, runtime_config, runners, result })
    }

    /// The executed plugins that stand after the one whose interface this process made.
    async fn detach_above_link(&self, scene: &Scene<'_>, detaching: &Detaching<'_>) -> Result<()> {
        let Detaching { network, runners, result, .. } = detaching;
        if !runners.are_all_native(network) {
            scene.restore_name(detaching.attachment).await;
        }
        let context = self.context(scene, detaching, path_or_empty(scene.live))?;
        Ok(delegate::del_above_link(network, &context, result.as_ref()).await?)
    }

    async fn detach_together(&self, scene: &Scene<'_>, together: Vec<Detaching<'_>>, failures: &mut Failures) {
        let deleted = match scene.live {
            Some(live) if !together.is_empty() => delete_links(scene.journal, live, &together).await,
            _ => together.iter().map(|_| Ok(())).collect(),
        };
        for (detaching, deleted) in together.iter().zip(deleted) {
            let detached = match deleted {
                Ok(()) => self.detach_below_link(scene, detaching).await,
                Err(error) => Err(error),
            };
            report(detaching.attachment, detached.and_then(|()| detaching.end()), failures);
        }
    }

    async fn detach_below_link(&self, scene: &Scene<'_>, detaching: &Detaching<'_>) -> Result<()> {
        let context = self.context(scene, detaching, path_or_empty(scene.live))?;
        Ok(delegate::del_below_link(&detaching.network, &context, detaching.result.as_ref()).await?)
    }

    /// All of a network whose plugins are executed.
    async fn detach(&self, scene: &Scene<'_>, detaching: &Detaching<'_>) -> Result<()> {
        let Detaching { attachment, network, .. } = detaching;
        scene.restore_name(attachment).await;
        let detached = self.execute(scene, detaching, path_or_empty(scene.live)).await?;
        match (detached, scene.live) {
            (Ok(()), Some(live)) => remove_left_link(live.netlink()?, attachment, network).await,
            (Ok(()), None) => Ok(()),
            (Err(failure), _) if failure.is_interruption() => Err(failure.into()),
            (Err(failure), Some(live)) if takes_away_own_link(live, attachment, network).await? => {
                log::warn!(
                    network = attachment.network.as_str(), interface = attachment.ifname.as_str();
                    "the plugin's DEL fails on what the pod made of the interface, which rooknet has deleted: \
                     trying it without the namespace: {failure}"
                );
                Ok(self.execute(scene, detaching, "").await??)
            }
            (Err(failure), live)
                if attachment.result.is_none()
                    && traces::are_none(network, &scene.journal.container_id, &attachment.ifname, live).await? =>
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

    async fn execute(&self, scene: &Scene<'_>, detaching: &Detaching<'_>, netns: &str) -> Result<Result<(), Failure>> {
        let context = self.context(scene, detaching, netns)?;
        Ok(delegate::del(&detaching.network, &context, detaching.result.as_ref()).await)
    }

    fn context<'a>(
        &'a self,
        scene: &Scene<'a>,
        detaching: &'a Detaching<'_>,
        netns: &'a str,
    ) -> Result<delegate::Context<'a>> {
        let subject = Subject {
            container_id: &scene.journal.container_id,
            netns,
            ifname: &detaching.attachment.ifname,
            args: &detaching.attachment.args,
            runtime_config: &detaching.runtime_config,
            runners: &detaching.runners,
            ground: self.call.ground(&scene.journal.key(), scene.live)?,
        };
        Ok(self.call.context(subject, self.lock, self.deadline))
    }
}

/// The journal that is undone, and its pod's namespace as long as it lives.
struct Scene<'a> {
    journal: &'a Journal,
    live: Option<&'a PodNetns>,
}

impl Scene<'_> {
    /// Gives the attachment's link the name back by which executed plugins look for it, as far as that is possible.
    async fn restore_name(&self, attachment: &Attachment) {
        if let Some(live) = self.live
            && let Err(error) = restore_name(live, attachment).await
        {
            log::warn!(interface = attachment.ifname.as_str(); "the name that the pod took from it cannot be restored: {error}");
        }
    }
}

/// An attachment on its way out.
struct Detaching<'a> {
    attachment: &'a Attachment,
    network: Network,
    runtime_config: Object,
    runners: Runners,
    result: Option<CniResult>,
}

impl Detaching<'_> {
    /// What comes when its plugins are done.
    fn end(&self) -> Result<()> {
        Ok(devices::remove_information(&self.runtime_config)?)
    }
}

/// Deletes the interfaces that this process made, together; the outcome of each.
async fn delete_links(journal: &Journal, live: &PodNetns, together: &[Detaching<'_>]) -> Vec<Result<()>> {
    let wanted: Vec<links::Wanted<'_>> = together
        .iter()
        .map(|Detaching { attachment, network, .. }| links::Wanted {
            identity: attachment.link.as_ref(),
            ifname: &attachment.ifname,
            kinds: kinds_made_by(network),
        })
        .collect();
    let group = interface_groups(&journal.key()).native;
    let deleted = async { links::delete_together(live.netlink()?, group, &wanted).await };
    deleted.await.unwrap_or_else(|error| {
        let error = sentence(&error);
        together.iter().map(|_| Err(anyhow!(Error::new(Code::IO, error.clone())))).collect()
    })
}

/// Logs how an attachment ended, and keeps its failure.
fn report(attachment: &Attachment, outcome: Result<()>, failures: &mut Failures) {
    let outcome = outcome.with_context(|| format!("network {} on interface {}", attachment.network, attachment.ifname));
    match outcome {
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
