//! GC: end the attachments whose containers the runtime no longer knows.
//!
//! Two dangers shape it. A runtime's list covers one network name, so only journals under that name are judged by it
//! (two conflists side by side do not end each other's pods); and no list at all, or `null`, says nothing, so then only
//! a journal whose namespace is gone is undone. And a plugin's own GC frees whatever is not in the list that we give
//! it, so that list has every attachment of every journal on the node whose configuration has that name, what Multus
//! attached before us, and, for the network that the runtime itself keeps book of, the runtime's list.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::call::Call;
use super::collect::{Outcome, undo_due};
use super::config::ValidAttachment;
use super::failures::{Failures, sentence};
use super::find::Sources;
use super::identity::is_gone;
use super::settings::Settings;
use crate::cni::network::Network;
use crate::cni::{Code, Error, Object};
use crate::delegate::{self, Attached};
use crate::state::deadline::{Deadline, Reason};
use crate::state::journal::{Journal, Key, Read};
use crate::state::lock::CollectLock;
use crate::state::multus_cache;

/// How long a GC may take: CRI-O allows 30 s.
const DEADLINE: Duration = Duration::from_secs(25);

/// Collects.
pub(super) async fn gc(call: &Call) -> Result<()> {
    let deadline = Deadline::with_signals(DEADLINE)?;
    let mut failures = Failures::default();
    for key in call.journals.keys()? {
        if let Err(error) = in_time(&deadline) {
            failures.push(error);
            break;
        }
        if let Err(error) = collect_journal(call, &key, &deadline).await {
            failures.push(error.context(format!("container {} interface {}", key.container_id, key.ifname)));
        }
    }
    if let Err(error) = collect_in_plugins(call, &deadline, &mut failures).await {
        failures.push(error);
    }
    failures.into_result().map_err(|failures| failures.into_error("not everything could be collected"))
}

/// Undoes one journal if it is stale. A container whose lock is held is at work, and passed over.
async fn collect_journal(call: &Call, key: &Key, deadline: &Deadline) -> Result<()> {
    if is_listed(call, key) {
        return Ok(());
    }
    let is_due = |journal: &Journal| {
        let is_ours = journal.network_name == call.config.name;
        Ok(is_ours && (call.config.valid_attachments.is_some() || is_gone(journal)?))
    };
    if let Outcome::Corrupt(reason) = undo_due(call, key, deadline, is_due).await? {
        // Under which name it stands is unknown, and so whether it is ours to judge.
        log::warn!("leaving the unreadable journal of container {}: {reason}", key.container_id);
    }
    Ok(())
}

/// Whether the runtime says that the attachment is alive.
fn is_listed(call: &Call, key: &Key) -> bool {
    call.config.valid_attachments.as_ref().is_some_and(|valid| {
        valid.iter().any(|attachment| attachment.container_id == key.container_id && attachment.ifname == key.ifname)
    })
}

/// A network as far as its plugins' GC can tell it from another: the configuration's name and its programs.
type NetworkKey = (String, Vec<String>);

/// Calls the GC of every network that journals or the configuration name.
async fn collect_in_plugins(call: &Call, deadline: &Deadline, failures: &mut Failures) -> Result<()> {
    // From here on no ADD may begin: its attachment would be missing from the lists below.
    let collect = CollectLock::exclusive(call.run_dir(), deadline).await?;
    let mut valid: BTreeMap<String, Vec<Attached>> = BTreeMap::new();
    let mut networks: BTreeMap<NetworkKey, Network> = BTreeMap::new();
    let configured = configured_networks(call).await;
    let booked = networks_of_the_runtime(call, &configured);
    for network in configured {
        networks.insert(network_key(&network), network);
    }
    for key in call.journals.keys()? {
        match call.journals.read(&key)? {
            Read::Whole(journal) => add_attachments(&journal, &mut valid, &mut networks)?,
            Read::Missing => {}
            // Whatever it holds would be collected as unknown.
            Read::Corrupt(reason) => {
                return Err(Error::new(
                    Code::IO,
                    format!(
                        "the plugins' own GC was not called, because the journal of container {} cannot be read ({reason}): \
                         its DEL will set it aside",
                        key.container_id
                    ),
                )
                .into());
            }
        }
    }
    // Pods that Multus attached before the node moved to rooknet live on.
    let of_multus = multus_cache::all_attachments(&call.config.cni_dir)
        .context("the plugins' own GC was not called, because it would collect what Multus attached")?;
    for (name, container_id, ifname) in of_multus {
        valid.entry(name).or_default().push(Attached { container_id, ifname });
    }
    // Whatever becomes of this process, the lock lasts as long as its plugins.
    let context = delegate::Context { lock: Some(&collect), ..call.node_context(deadline) };
    for network in networks.into_values() {
        in_time(deadline)?;
        let mut list = valid.get(&network.name).cloned().unwrap_or_default();
        if booked.contains(&network.name) {
            let Some(given) = &call.config.valid_attachments else {
                log::info!(
                    "no GC of network {}: without the runtime's list it is unknown who lives there",
                    network.name
                );
                continue;
            };
            add_given(given, &mut list);
        }
        let runners = call.choose_again(&network, "", Object::EMPTY);
        let context = delegate::Context { runners: &runners, ..context.clone() };
        if let Err(failure) = delegate::gc(&network, &context, &list).await {
            failures.push(anyhow::Error::from(failure).context(format!("GC of network {}", network.name)));
        }
    }
    Ok(())
}

/// The names of the networks whose attachments the runtime's list means: its own network's, and the default network's
/// in delegating mode. Pods that it attached there before rooknet came have no journal, and are alive.
fn networks_of_the_runtime(call: &Call, configured: &[Network]) -> Vec<String> {
    configured.first().map(|default| default.name.clone()).into_iter().chain([call.config.name.clone()]).collect()
}

/// Adds what the runtime says is alive.
fn add_given(given: &[ValidAttachment], list: &mut Vec<Attached>) {
    for ValidAttachment { container_id, ifname } in given {
        let given = Attached { container_id: container_id.clone(), ifname: ifname.clone() };
        if !list.contains(&given) {
            list.push(given);
        }
    }
}

fn add_attachments(
    journal: &Journal,
    valid: &mut BTreeMap<String, Vec<Attached>>,
    networks: &mut BTreeMap<NetworkKey, Network>,
) -> Result<()> {
    for attachment in &journal.attachments {
        let network = Network::parse("the journaled configuration", attachment.config.get(), None)
            .with_context(|| format!("journal of container {}", journal.container_id))?;
        valid
            .entry(network.name.clone())
            .or_default()
            .push(Attached { container_id: journal.container_id.clone(), ifname: attachment.ifname.clone() });
        networks.insert(network_key(&network), network);
    }
    Ok(())
}

fn network_key(network: &Network) -> NetworkKey {
    let programs = network
        .plugins
        .iter()
        .flat_map(|plugin| [Some(plugin.type_name.clone()), plugin.ipam_type.clone()])
        .flatten()
        .collect();
    (network.name.clone(), programs)
}

/// The networks that the configuration names for every pod; what cannot be found now is logged, not an error: its
/// attachments are in journals.
async fn configured_networks(call: &Call) -> Vec<Network> {
    let found = async {
        let settings = Settings::parse(&call.config)?;
        let Some(default) = &settings.default_network else { return Ok(Vec::new()) };
        Ok(Sources::on_node(&settings).default_networks_on_node(default).await?.unwrap_or_default())
    };
    match found.await {
        Ok(found) => found.into_iter().map(|found| found.network).collect(),
        Err(error) => {
            log::warn!("GC without the configured networks: {}", sentence(&error));
            Vec::new()
        }
    }
}

fn in_time(deadline: &Deadline) -> Result<()> {
    let text = match deadline.passed() {
        None => return Ok(()),
        Some(Reason::Deadline) => "GC did not finish within 25 s: the next one goes on",
        Some(Reason::Signal) => "a signal from the runtime ended the GC: the next one goes on",
    };
    Err(Error::new(Code::INTERRUPTED, text).into())
}
