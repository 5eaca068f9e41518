//! The rounds of [`super::stale`]: what containers that are gone have left is collected.
//!
//! Without an installation there is no configuration to undo anything with, and without a runtime nobody knows which
//! containers live: then nothing is collected, which is said once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::finding::{Finding, tell};
use super::known;
use super::metrics::KindLabels;
use super::rounds::Rounds;
use super::stale::{self, Inputs, Listed, Report};
use super::{RUNTIME_LIMIT, Shared};
use crate::engine::collect::Collector;
use crate::install;
use crate::runtime::{Cri, RESULTS_DIR};
use crate::state::deadline::Deadline;

const ROUNDS: Rounds = Rounds { name: "stale", period: Duration::from_secs(60), limit: Duration::from_secs(120) };
/// How long a round may work; what is left over is the next one's.
const WORK: Duration = Duration::from_secs(60);

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let said = RefCell::new(Vec::new());
    let round = async || {
        let findings = round(&shared).await?;
        tell(ROUNDS.name, &findings, &mut said.borrow_mut(), &shared.metrics);
        Ok(())
    };
    let installed = RefCell::new(shared.installed.subscribe());
    let early = async || {
        // Lent for the wait: a clone has seen what the original has.
        let mut receiver = installed.borrow().clone();
        let _ = receiver.changed().await;
        installed.borrow_mut().mark_unchanged();
    };
    ROUNDS.run(&shared, round, early).await;
}

async fn round(shared: &Shared) -> Result<Vec<Finding>> {
    let options = &shared.options;
    let Some(record) = install::recorded(&options.credentials)? else { return Ok(Vec::new()) };
    // An installation that has just begun, or has just ended.
    let Some(entry) = install::entry(&record)? else { return Ok(Vec::new()) };
    let collector = Collector::new(&entry).context("rooknet's entry in the node's conflist")?;
    let Some(runtime) = Cri::at(options.runtime_socket.as_deref()) else {
        let text = "no container runtime listens at a usual place: nothing is collected (name its socket by \
                    --runtime-socket)";
        return Ok(vec![Finding::fault("the node", text)]);
    };
    let known = known::read(&options.run_dir).await?;
    let asked = SystemTime::now();
    let sandboxes = runtime.sandboxes(&Deadline::without_signals(RUNTIME_LIMIT)).await?;
    let containers: BTreeSet<String> = sandboxes.into_iter().map(|sandbox| sandbox.id).collect();
    let report = stale::round(&Inputs {
        collector: &collector,
        listed: Listed { containers: &containers, asked },
        definitions: &known.definitions,
        run_dir: &options.run_dir,
        results_dir: Path::new(RESULTS_DIR),
        deadline: &Deadline::without_signals(WORK),
    })
    .await;
    told(shared, &report);
    Ok(report.findings)
}

/// Logs and counts what was collected.
fn told(shared: &Shared, report: &Report) {
    for undone in &report.undone {
        let stale::Undone { container_id, ifname, pod } = undone;
        let pod = if pod.is_empty() { "no pod" } else { pod };
        log::info!("stale: what container {container_id}, interface {ifname}, of {pod} had left was collected");
    }
    for released in &report.released {
        let stale::Released { network, address, container_id } = released;
        log::info!("stale: address {address} of network {network} was released: nobody knows container {container_id}");
    }
    let count = report.undone.len().saturating_add(report.released.len());
    let repairs = shared.metrics.repairs.get_or_create(&KindLabels { kind: "stale" });
    repairs.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
}
