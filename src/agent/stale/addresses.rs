//! Addresses in host-local's stores of which no journal knows: what a Multus that is gone, a node that lost its state, or
//! a journal that was set aside have left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Inputs, Released, Report, YOUNGEST_ADDRESS};
use crate::agent::finding::Finding;
use crate::cni::network::Network;
use crate::plugins::ipam::host_local::TYPE;
use crate::state::files;
use crate::state::host_local::{Lease, Store};
use crate::state::journal::{Journals, Read};
use crate::state::multus_cache;

/// Releases what belongs to nobody.
///
/// # Errors
/// When one of those cannot be asked who may know a container; nothing is released then. What fails at one store is in
/// the report.
pub(super) async fn collect(inputs: &Inputs<'_>, journals: &Journals, report: &mut Report) -> Result<()> {
    let stores = stores(inputs, journals)?;
    // On a new node nobody has run a pod yet, and there are no results that could be read.
    let is_empty = |store: &Store| store.leases().is_ok_and(|leases| leases.is_empty());
    if stores.values().all(|(_, store)| is_empty(store)) {
        return Ok(());
    }
    let known = Known {
        listed: inputs.listed.containers,
        multus: multus_cache::file_names(&inputs.collector.config().cni_dir)
            .context("Multus's cache cannot be read, which may know their containers")?,
        results: files::names_in_existing(inputs.results_dir)
            .context("the runtime's results cannot be read, which may know their containers")?,
    };
    for (directory, network) in stores {
        if let Err(error) = collect_store(inputs, journals, &known, &network, report).await {
            report.findings.push(Finding::fault(directory.to_string_lossy(), format!("{error:#}")));
        }
    }
    Ok(())
}

/// Who may know a container, beside the journals.
struct Known<'a> {
    listed: &'a BTreeSet<String>,
    multus: Vec<String>,
    results: Vec<String>,
}

impl Known<'_> {
    /// Whether anybody knows the container. Of the caches, a name is enough that has the id in it: what is in the file
    /// may be damaged, and an id that is part of another one is only kept too long.
    fn has(&self, container_id: &str) -> bool {
        let is_named = |names: &[String]| names.iter().any(|name| name.contains(container_id));
        self.listed.contains(container_id) || is_named(&self.multus) || is_named(&self.results)
    }
}

/// The stores of networks that definitions and journals name, by directory, each with its network's name.
fn stores(inputs: &Inputs<'_>, journals: &Journals) -> Result<BTreeMap<PathBuf, (String, Store)>> {
    let mut stores = BTreeMap::new();
    let mut add = |network: &Network| {
        for plugin in network.plugins.iter().filter(|plugin| plugin.ipam_type.as_deref() == Some(TYPE)) {
            let ipam = plugin.object.object("ipam").ok().flatten().unwrap_or_default();
            let Ok(data_dir) = ipam.text("dataDir") else { continue };
            let data_dir = (!data_dir.is_empty()).then(|| Path::new(&data_dir));
            let store = Store::new(data_dir, &network.name);
            stores.insert(store.directory().to_owned(), (network.name.clone(), store));
        }
    };
    for definition in inputs.definitions {
        // One that is malformed has no store that could be named.
        if let Ok(network) = Network::parse("spec.config", &definition.config, Some(&definition.name)) {
            add(&network);
        }
    }
    for key in journals.keys()? {
        // A corrupt one counts by its name, which has the container's id.
        if let Read::Whole(journal) = journals.read(&key)? {
            for attachment in &journal.attachments {
                if let Ok(network) = Network::parse("the journaled configuration", attachment.config.get(), None) {
                    add(&network);
                }
            }
        }
    }
    Ok(stores)
}

async fn collect_store(
    inputs: &Inputs<'_>,
    journals: &Journals,
    known: &Known<'_>,
    (network, store): &(String, Store),
    report: &mut Report,
) -> Result<()> {
    let leases = store.leases()?;
    let mut orphans: Vec<Lease> = without_journal(leases, journals)?;
    let all = orphans.len();
    orphans.retain(|lease| {
        // A clock that was set back makes an address older than it is by as much: the list still has its container.
        let age = inputs.listed.asked.duration_since(lease.taken).unwrap_or_default();
        age >= YOUNGEST_ADDRESS && !known.has(&lease.container_id)
    });
    report.addresses_kept = report.addresses_kept.saturating_add(all.saturating_sub(orphans.len()));
    if orphans.is_empty() {
        return Ok(());
    }
    let Some(locked) = store.lock_existing(inputs.deadline).await? else { return Ok(()) };
    // Every ADD of ours writes its journal before it takes the store's lock.
    for lease in without_journal(orphans, journals)? {
        if locked.release_lease(&lease)? {
            log::warn!(
                network = network.as_str();
                "the address {} is released: nobody knows container {}, which had it", lease.ip, lease.container_id
            );
            report.released.push(Released {
                network: network.clone(),
                address: lease.ip,
                container_id: lease.container_id,
            });
        }
    }
    Ok(())
}

fn without_journal(mut leases: Vec<Lease>, journals: &Journals) -> Result<Vec<Lease>> {
    let with: BTreeSet<String> = journals.keys()?.into_iter().map(|key| key.container_id).collect();
    leases.retain(|lease| !with.contains(&lease.container_id));
    Ok(leases)
}
