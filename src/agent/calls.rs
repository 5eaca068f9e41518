//! The plugin's records of its calls become metrics and events.
//!
//! A refusal of the plugin's token that is found in them is answered by a new token at once.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Shared;
use super::events::Item;
use super::metrics::{CallLabels, CauseLabels, CommandLabels, CommandNetworkLabels, Metrics};
use super::rounds::Rounds;
use crate::state::calls::{self, Cause, Record};

const ROUNDS: Rounds = Rounds { name: "calls", period: Duration::from_secs(1), limit: Duration::from_secs(30) };
/// What the plugin's errors have in them when the API server did not accept its token.
const UNAUTHORIZED: &str = ": 401 ";
/// Commands that have series of their own; the record of anything else is an error that somebody made by hand.
const COMMANDS: [&str; 6] = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"];

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let round = async || {
        while take(&shared)? {}
        Ok(())
    };
    ROUNDS.run(&shared, round, std::future::pending).await;
}

/// Takes what there is; whether there may be more.
fn take(shared: &Shared) -> Result<bool> {
    let about = "the records of calls";
    let taken = calls::take_each(&shared.options.run_dir, |record| note(shared, &record)).context(about)?;
    let Some(taken) = taken else { return Ok(false) };
    let skipped = u64::try_from(taken.skipped).unwrap_or(u64::MAX);
    if skipped > 0 {
        shared.metrics.unreadable_records.inc_by(skipped);
        log::warn!("{skipped} lines among the records of calls could not be read: is the plugin of another version?");
    }
    taken.done().context(about)?;
    Ok(true)
}

/// What becomes of a record.
fn note(shared: &Shared, record: &Record) {
    count(&shared.metrics, record);
    if record.cause == Cause::Api && record.error.contains(UNAUTHORIZED) {
        shared.refused.notify_one();
    }
    for event in record.events() {
        shared.events.add(Item {
            pod: (record.namespace.clone(), record.pod.clone()),
            uid: record.uid.clone(),
            is_warning: event.is_warning,
            reason: event.reason,
            message: event.message,
        });
    }
}

fn count(metrics: &Metrics, record: &Record) {
    const MILLISECONDS: f64 = 1000.0;
    let known = COMMANDS.contains(&record.command.as_str());
    let command = if known { record.command.clone() } else { "other".to_owned() };
    metrics.calls.get_or_create(&CallLabels { command: command.clone(), code: record.code }).inc();
    if record.code != 0 {
        let cause = record.cause.as_str().to_owned();
        metrics.errors.get_or_create(&CauseLabels { command: command.clone(), cause }).inc();
    }
    metrics
        .durations
        .get_or_create(&CommandLabels { command: command.clone() })
        .observe(record.duration / MILLISECONDS);
    for network in &record.networks {
        let Some(duration) = network.ms else { continue };
        let labels = CommandNetworkLabels { command: command.clone(), network: metrics.network(&network.network) };
        metrics.network_durations.get_or_create(&labels).observe(duration / MILLISECONDS);
    }
    if record.api.requests > 0 {
        metrics.api_requests.inc_by(u64::from(record.api.requests));
        metrics.api_durations.observe(record.api.ms / MILLISECONDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::calls::{Api, Network};

    #[test]
    fn a_call_is_counted_by_command_and_code_with_its_networks_and_requests() {
        let metrics = Metrics::new();
        let network = |name: &str, ms| Network { network: name.to_owned(), ms, ..Network::default() };
        let record = Record {
            command: "ADD".to_owned(),
            duration: 60.0,
            networks: vec![network("a/public", Some(20.0)), network("a/cluster", None)],
            api: Api { requests: 2, ms: 8.0 },
            ..Record::default()
        };
        count(&metrics, &record);
        count(&metrics, &Record { code: 11, cause: Cause::Busy, networks: Vec::new(), ..record });
        count(&metrics, &Record { command: "rm -rf".to_owned(), ..Record::default() });
        let text = metrics.text().unwrap();
        for line in [
            "rooknet_calls_total{command=\"ADD\",code=\"0\"} 1",
            "rooknet_calls_total{command=\"ADD\",code=\"11\"} 1",
            "rooknet_calls_total{command=\"other\",code=\"0\"} 1",
            "rooknet_call_errors_total{command=\"ADD\",cause=\"busy\"} 1",
            "rooknet_call_duration_seconds_count{command=\"ADD\"} 2",
            "rooknet_network_duration_seconds_count{command=\"ADD\",network=\"a/public\"} 1",
            "rooknet_api_requests_total 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(!text.contains("a/cluster"), "{text}");
    }
}
