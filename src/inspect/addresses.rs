//! host-local's pools on this node, and whether what is reserved and what is attached agree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::attachments::{Attached, described};
use super::definitions::Usable;
use super::{Examination, table};
use crate::cni::Object;
use crate::cni::network::Network;
use crate::cni::result::CniResult;
use crate::cni::text::{printable, printable_path};
use crate::engine::config::DEFAULT_CNI_DIR;
use crate::plugins::ipam::host_local::{Config, Usage};
use crate::runtime::{RESULTS_DIR, Sandbox};
use crate::state::host_local::{self, Reservation};
use crate::state::journal::{Attachment, Journal, Read};
use crate::state::{files, multus_cache};

/// A range set of a network on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The network's name: that of its configuration, and of its store.
    pub network: String,
    /// The store.
    pub directory: PathBuf,
    /// The addresses, `start-end`, several with commas.
    pub range: String,
    /// How many there are to hand out.
    pub capacity: u64,
    /// How many of them are taken.
    pub used: u64,
    /// How many are left.
    pub free: u64,
}

/// The store of a network, and its ranges on this node.
struct StoreOf {
    network: String,
    config: Config,
}

/// Counts the pools, and compares stores with journals.
pub(super) fn look_at(
    seen: &mut Examination<'_>,
    attached: &Attached,
    networks: &[Usable],
    sandboxes: Option<&[Sandbox]>,
) -> Vec<Pool> {
    let mut stores: BTreeMap<(PathBuf, String), StoreOf> = BTreeMap::new();
    let own: Vec<StoreOf> = attached
        .journals
        .iter()
        .flat_map(|known| &known.journal.attachments)
        .filter_map(store_of_attachment)
        .chain(networks.iter().filter_map(|usable| store_of(&usable.network, &usable.runtime_config, "")))
        .collect();
    for store in own {
        let sets = store.config.range_sets().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        stores.insert((store.config.store().directory().to_owned(), sets), store);
    }
    let mut pools = Vec::new();
    for store in stores.values() {
        match store.config.store().taken() {
            Ok(taken) => pools.extend(pools_of(seen, store, &taken, networks)),
            Err(error) => seen.skipped(format_args!("the pool of network {}: {error}", printable(&store.network))),
        }
    }
    let directories: BTreeSet<PathBuf> = stores.into_keys().map(|(directory, _)| directory).collect();
    for directory in directories {
        without_journal(seen, attached, sandboxes, &directory);
    }
    for known in attached.journals.iter().filter(|known| known.is_settled) {
        not_reserved(seen, &known.journal);
    }
    pools
}

/// The first plugin of a network that has host-local as its IPAM.
fn store_of(network: &Network, runtime_config: &Object, args: &str) -> Option<StoreOf> {
    // What host-local itself would refuse is a finding elsewhere, or an attachment that failed.
    let config = Config::all_of(network, args, runtime_config).ok()?.into_iter().next()?;
    Some(StoreOf { network: network.name.clone(), config })
}

fn store_of_attachment(attachment: &Attachment) -> Option<StoreOf> {
    let network = Network::parse("the journaled configuration", attachment.config.get(), None).ok()?;
    let runtime_config = Object::parse("runtimeConfig", attachment.runtime_config.get()).ok()?;
    store_of(&network, &runtime_config, &attachment.args)
}

fn pools_of(seen: &mut Examination<'_>, store: &StoreOf, taken: &[IpAddr], networks: &[Usable]) -> Vec<Pool> {
    let mut pools = Vec::new();
    for set in store.config.range_sets() {
        let Usage { capacity, used, free } = set.usage(taken);
        let directory = store.config.store().directory().to_owned();
        if free == 0 {
            let names: Vec<&str> = networks
                .iter()
                .filter(|usable| usable.network.name == store.network)
                .map(|usable| usable.display.as_str())
                .collect();
            let names = if names.is_empty() { String::new() } else { format!(" ({})", printable(&names.join(", "))) };
            seen.found(
                &table::POOL_FULL,
                format_args!(
                    "all {capacity} addresses of {set} of network {}{names} are taken",
                    printable(&store.network)
                ),
            );
        }
        pools.push(Pool { network: store.network.clone(), directory, range: set.to_string(), capacity, used, free });
    }
    pools
}

/// Addresses in a store whose container nobody knows: no journal, the runtime, Multus's cache, the runtime's results.
fn without_journal(seen: &mut Examination<'_>, attached: &Attached, sandboxes: Option<&[Sandbox]>, directory: &Path) {
    let held = match host_local::held(directory) {
        Ok(held) => held,
        Err(error) => {
            seen.skipped(format_args!("addresses without a journal: {error}"));
            return;
        }
    };
    for (container, Reservation { path, ip, .. }) in held {
        if attached.has(&container) || sandboxes.is_some_and(|known| known.iter().any(|one| one.id == container)) {
            continue;
        }
        let config = seen.configuration.collector.config();
        let others = match others_know(&config.cni_dir, &container) {
            Ok(others) => others,
            Err(error) => {
                seen.skipped(format_args!("whether address {ip} is somebody's: {error}"));
                continue;
            }
        };
        // An ADD may have begun after the journals were listed.
        let journals = seen.configuration.collector.list().unwrap_or_default();
        if !others && !journals.iter().any(|listed| listed.container == container) {
            let (path, container) = (printable_path(&path), printable(&container));
            seen.found(&table::ADDRESS_WITHOUT_JOURNAL, format_args!("{path} is held by container {container}"));
        }
    }
}

/// Whether Multus or the runtime has attached a container.
fn others_know(cni_dir: &Path, container: &str) -> Result<bool, crate::cni::Error> {
    let cni_dir = if cni_dir.as_os_str().is_empty() { Path::new(DEFAULT_CNI_DIR) } else { cni_dir };
    if multus_cache::all_attachments(cni_dir)?.iter().any(|(_, id, _)| id == container) {
        return Ok(true);
    }
    let results = files::names(Path::new(RESULTS_DIR))?;
    // NETWORK-CONTAINER-INTERFACE
    Ok(results.iter().any(|name| name.contains(&format!("-{container}-"))))
}

/// Addresses of a living attachment that its store does not hold for it.
fn not_reserved(seen: &mut Examination<'_>, journal: &Journal) {
    for attachment in &journal.attachments {
        let Some(store) = store_of_attachment(attachment) else { continue };
        let Some(addresses) = addresses(attachment) else { continue };
        let owner = host_local::Owner { container_id: &journal.container_id, ifname: &attachment.ifname };
        for ip in addresses {
            let is_of_store = store.config.range_sets().iter().any(|set| set.range_of(ip).is_some());
            if !is_of_store || !matches!(store.config.store().is_held(owner, ip), Ok(false)) {
                continue;
            }
            // A DEL may have come meanwhile.
            if matches!(seen.configuration.collector.read(&journal.key()), Ok(Read::Whole(_))) {
                let (network, about) = (printable(&attachment.network), described(journal));
                seen.found(&table::ADDRESS_NOT_RESERVED, format_args!("address {ip} of network {network}, {about}"));
            }
        }
    }
}

fn addresses(attachment: &Attachment) -> Option<Vec<IpAddr>> {
    let network = Network::parse("the journaled configuration", attachment.config.get(), None).ok()?;
    let result = CniResult::parse("the journaled result", attachment.result.as_ref()?.get(), network.version).ok()?;
    Some(result.addresses_of(&attachment.ifname).iter().map(|address| address.address.ip()).collect())
}
