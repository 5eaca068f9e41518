//! Keeps the installation as it was asked for: at the start, whenever a directory changes in which a part of it lies, and
//! each half minute, since a runtime loads a configuration without telling anybody.
//!
//! What is wrong is said when it changes, and not in every round.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::Shared;
use super::identity;
use super::rounds::Rounds;
use crate::install::watch::Watch;
use crate::install::{self, Caller, Finding, Options, Outcome, Report, Severity};

const ROUNDS: Rounds =
    Rounds { name: "installation", period: Duration::from_secs(30), limit: Duration::from_secs(120) };
/// Between a change and a look at it: an installer writes several files one after another.
const SETTLING: Duration = Duration::from_millis(200);

/// The loop; an agent that was given no installation to keep has none.
pub(super) async fn run(shared: Rc<Shared>) {
    let Some(options) = &shared.options.install else { return };
    let said = RefCell::new(Vec::new());
    let watch = RefCell::new(None);
    let round = async || {
        if watch.borrow().is_none() {
            // From here on no change is missed: before the first look.
            let made = Watch::new(&[options.bin_dir.clone(), options.conf_dir.clone()]);
            *watch.borrow_mut() = Some(made.context("the directories of CNI cannot be watched")?);
        }
        let caller = Caller::Agent(deployment(&shared, options).await?);
        let outcome = install::ensure(&Options { caller, ..options.clone() }).await;
        let is_installed = outcome.as_ref().is_ok_and(Report::is_installed);
        shared.installed.send_if_modified(|known| known.replace(is_installed) != Some(is_installed));
        shared.metrics.install_verified.set(i64::from(is_installed));
        told(&outcome?, &mut said.borrow_mut())
    };
    let early = async || {
        // Lent for the wait; a wait that ends otherwise drops it, and the next round makes another.
        let Some(mut lent) = watch.take() else { return std::future::pending().await };
        if lent.changed().await.is_ok() {
            *watch.borrow_mut() = Some(lent);
            sleep(SETTLING).await;
        }
    };
    ROUNDS.run(&shared, round, early).await;
}

/// Which deployment this is. One that does not know takes itself for the one that the record names: it then undoes no
/// uninstall.
async fn deployment(shared: &Shared, options: &Options) -> Result<String> {
    if let Some(known) = shared.deployment.borrow().clone() {
        return Ok(known);
    }
    if let Some(found) = identity::of(&shared.connection).await {
        shared.deployment.replace(Some(found.clone()));
        return Ok(found);
    }
    let recorded = install::recorded(&options.config_dir)?.and_then(|record| record.deployment);
    Ok(recorded.unwrap_or_default())
}

/// Logs what is new; an error when the node does not work with rooknet.
fn told(report: &Report, said: &mut Vec<Finding>) -> Result<()> {
    for change in &report.changes {
        log::info!("installation: {change}");
    }
    for finding in report.findings.iter().filter(|finding| !said.contains(finding)) {
        let Finding { text, cure, .. } = finding;
        match finding.severity {
            Severity::Notice => log::info!("installation: {text}: {cure}"),
            Severity::Warning | Severity::Error => log::warn!("installation: {text}: {cure}"),
        }
    }
    said.clone_from(&report.findings);
    let worst = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let reasons: Vec<&str> = worst.map(|finding| finding.text.as_str()).collect();
    match report.outcome {
        Outcome::Installed => Ok(()),
        Outcome::Waiting if reasons.is_empty() => bail!("the installation is not verified yet"),
        Outcome::Waiting => bail!("the installation is not complete: {}", reasons.join("; ")),
        Outcome::Uninstalling => bail!("rooknet is being uninstalled from this node, or has been"),
    }
}
