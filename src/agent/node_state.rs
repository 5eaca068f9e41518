//! What is on the node, as metrics: journals, attachments, address pools.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::Shared;
use super::metrics::{KindLabels, Metrics, NetworkLabels, PoolLabels};
use super::rounds::Rounds;
use crate::cni::network::Network;
use crate::cni::{Error, Object};
use crate::delegate;
use crate::multinet::definition::Definition;
use crate::multinet::node_ranges::NodeRanges;
use crate::multinet::source::NetworkSource as _;
use crate::plugins::ipam::host_local::{Config, RangeSet, Usage};
use crate::state::definitions;
use crate::state::files;
use crate::state::journal::{Journals, Read};
use crate::state::networks::FileNetworks;

const ROUNDS: Rounds = Rounds { name: "state", period: Duration::from_secs(30), limit: Duration::from_secs(60) };

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let round = async || {
        shared.metrics.clear_networks();
        journals(&shared.metrics, &shared.options.state_dir)?;
        pools(&shared.metrics, &shared.options.run_dir, &shared.options.node_name).await
    };
    ROUNDS.run(&shared, round, std::future::pending).await;
}

/// Counts journals and attachments. One journal at a time is in memory.
fn journals(metrics: &Metrics, state_dir: &Path) -> Result<()> {
    let journals = Journals::new(state_dir);
    let (mut all, mut incomplete, mut corrupt) = (0_i64, 0_i64, 0_i64);
    let mut attachments: BTreeMap<String, i64> = BTreeMap::new();
    for key in journals.keys()? {
        match journals.read(&key) {
            Ok(Read::Missing) => continue,
            Ok(Read::Whole(journal)) => {
                incomplete = incomplete.saturating_add(i64::from(!journal.complete));
                for attachment in &journal.attachments {
                    let count = attachments.entry(metrics.network(&attachment.network)).or_default();
                    *count = count.saturating_add(1);
                }
            }
            Ok(Read::Corrupt(_)) | Err(_) => corrupt = corrupt.saturating_add(1),
        }
        all = all.saturating_add(1);
    }
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let failed = count(journals.failed()?.len());
    let aside = count(files::names(&state_dir.join("corrupt"))?.len());
    let numbers =
        [("all", all), ("incomplete", incomplete), ("failed", failed), ("corrupt", corrupt.saturating_add(aside))];
    for (kind, number) in numbers {
        metrics.journals.get_or_create(&KindLabels { kind }).set(number);
    }
    for (network, number) in attachments {
        metrics.attachments.get_or_create(&NetworkLabels { network }).set(number);
    }
    Ok(())
}

/// Counts addresses of the networks in the snapshot. A definition that nobody could use has no pool, and is not the
/// agent's fault.
async fn pools(metrics: &Metrics, run_dir: &Path, node: &str) -> Result<()> {
    let networks = FileNetworks::new(definitions::directory(run_dir));
    for (namespace, name) in networks.references()? {
        let reference = format!("{namespace}/{name}");
        let found = match networks.find(&namespace, &name).await {
            Ok(Some(found)) => pools_of(found.definition, node),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match found {
            Ok(pools) => {
                for pool in pools {
                    let label = |state| PoolLabels { network: metrics.network(&reference), family: pool.family, state };
                    // Two plugins of a network, or two range sets of a family, are one pool.
                    metrics.addresses.get_or_create(&label("used")).inc_by(pool.used);
                    metrics.addresses.get_or_create(&label("free")).inc_by(pool.free);
                }
            }
            Err(error) => log::debug!("network {reference} has no pool that could be counted: {error}"),
        }
    }
    Ok(())
}

/// A set of ranges and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pool {
    family: &'static str,
    used: i64,
    free: i64,
}

/// The pools from which this node gives addresses of a network.
fn pools_of(definition: Definition, node: &str) -> Result<Vec<Pool>, Error> {
    let mut network = Network::parse("it", &definition.config, Some(&definition.name))?;
    let mut runtime_config = Object::new();
    if let Some(ranges) = &definition.node_ranges {
        delegate::give_ranges(&NodeRanges::parse(ranges)?.share_of(node)?, &mut network, &mut runtime_config)?;
    }
    let mut pools = Vec::new();
    for config in Config::all_of(&network, "", &runtime_config)? {
        let taken = config.store().taken()?;
        pools.extend(config.range_sets().iter().map(|set| pool(set, &taken)));
    }
    Ok(pools)
}

fn pool(set: &RangeSet, taken: &[IpAddr]) -> Pool {
    let Usage { used, free, .. } = set.usage(taken);
    Pool {
        family: if set.is_ipv4() { "ipv4" } else { "ipv6" },
        used: i64::try_from(used).unwrap_or(i64::MAX),
        free: i64::try_from(free).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::ipam::host_local;
    use crate::state::testing::{Directory, block_on};

    /// A network `rook-ceph/public` in a snapshot, with host-local's store beside it.
    fn site(ipam: serde_json::Value, annotations: serde_json::Value, taken: &[&str]) -> Directory {
        let directory = Directory::new();
        let mut ipam = ipam;
        ipam["type"] = json!(host_local::TYPE);
        ipam["dataDir"] = json!(directory.path());
        let config = json!({"cniVersion": "1.1.0", "name": "public", "type": "macvlan", "ipam": ipam}).to_string();
        let object = json!({
            "metadata": {"namespace": "rook-ceph", "name": "public", "annotations": annotations},
            "spec": {"config": config},
        });
        let snapshot = directory.path().join("definitions/rook-ceph");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(snapshot.join("public.json"), object.to_string()).unwrap();
        std::fs::write(snapshot.join("broken.json"), "{").unwrap();
        std::fs::create_dir(directory.path().join("public")).unwrap();
        for address in taken {
            std::fs::write(directory.path().join("public").join(address), "c1\r\nnet1").unwrap();
        }
        directory
    }

    fn page(directory: &Directory) -> String {
        let metrics = Metrics::new();
        block_on(pools(&metrics, directory.path(), "node-a")).unwrap();
        metrics.text().unwrap()
    }

    fn assert_addresses(text: &str, family: &str, used: u64, free: u64) {
        for (state, number) in [("used", used), ("free", free)] {
            let line = format!(
                "rooknet_addresses{{network=\"rook-ceph/public\",family=\"{family}\",state=\"{state}\"}} {number}"
            );
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn addresses_of_each_family_are_counted_without_the_gateway_and_foreign_ones() {
        let ranges = json!({"ranges": [[{"subnet": "192.168.20.0/29"}], [{"subnet": "fd00::/125"}]]});
        let directory = site(ranges, json!({}), &["192.168.20.2", "192.168.20.1", "10.0.0.1", "fd00::3", "fd00::4"]);
        let text = page(&directory);
        assert_addresses(&text, "ipv4", 1, 4);
        let capacity: u64 = 6;
        assert_addresses(&text, "ipv6", 2, capacity - 2);
    }

    #[test]
    fn of_ranges_for_each_node_only_this_nodes_count() {
        let ranges = json!({
            "node-a": [[{"subnet": "192.168.20.0/24", "rangeStart": "192.168.20.10", "rangeEnd": "192.168.20.19"}]],
            "node-b": [[{"subnet": "192.168.20.0/24", "rangeStart": "192.168.20.20", "rangeEnd": "192.168.20.99"}]],
        });
        let annotations = json!({"rooknet.io/node-ranges": ranges.to_string()});
        let directory = site(json!({}), annotations, &["192.168.20.10", "192.168.20.20"]);
        assert_addresses(&page(&directory), "ipv4", 1, 9);
    }

    #[test]
    fn journals_are_counted_by_what_is_wrong_with_them() {
        let directory = Directory::new();
        for path in ["attachments", "failed", "corrupt"] {
            std::fs::create_dir(directory.path().join(path)).unwrap();
        }
        for path in ["attachments/c1@eth0.json", "failed/c1@eth0", "corrupt/c2@eth0.json"] {
            std::fs::write(directory.path().join(path), "{").unwrap();
        }
        let metrics = Metrics::new();
        journals(&metrics, directory.path()).unwrap();
        let text = metrics.text().unwrap();
        for (kind, number) in [("all", 1), ("incomplete", 0), ("failed", 1), ("corrupt", 2)] {
            let line = format!("rooknet_journals{{kind=\"{kind}\"}} {number}");
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }
}
