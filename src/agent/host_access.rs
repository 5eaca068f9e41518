//! The rounds of the host shim ([`super::shim`]): links of the node's own on the networks that are marked for it.
//!
//! It goes by the snapshot, also by one that nobody vouches for: then nothing is removed. What is wrong with a network is
//! said and counted, and does not make the agent unhealthy, because whoever writes a definition could do so.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Shared;
use super::finding::{Finding, tell};
use super::known;
use super::metrics::KindLabels;
use super::rounds::Rounds;
use super::shim::{self, Change, Inputs, Report};
use crate::install;

const ROUNDS: Rounds = Rounds { name: "host-access", period: Duration::from_secs(30), limit: Duration::from_secs(60) };
/// Between a changed definition and a look at it: they come together.
const SETTLING: Duration = Duration::from_secs(1);

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let said = RefCell::new(Vec::new());
    let round = async || {
        let report = round(&shared).await?;
        told(&shared, &report, &mut said.borrow_mut());
        Ok(())
    };
    let early = async || {
        shared.defined.notified().await;
        sleep(SETTLING).await;
    };
    ROUNDS.run(&shared, round, early).await;
}

async fn round(shared: &Shared) -> Result<Report> {
    let options = &shared.options;
    let record = install::recorded(&options.credentials)?;
    if record.is_some_and(|record| record.state == install::State::Uninstalled) {
        // The agent of an uninstalled node may live on: what went with the uninstall stays away.
        let removed = shim::remove_all(&options.state_dir).await?;
        return Ok(Report { removed, ..Report::default() });
    }
    let known = known::read(&options.run_dir).await?;
    let needed = shared.connection.addresses().await;
    Ok(shim::round(&Inputs {
        definitions: &known.definitions,
        unreadable: &known.unreadable,
        is_complete: known.is_complete,
        marked: &options.host_access,
        trusted_namespaces: options.host_access_namespaces.as_deref(),
        needed: &needed,
        node_name: &options.node_name,
        state_dir: &options.state_dir,
        conf_dir: &options.multus_conf_dir,
    })
    .await)
}

/// Logs and counts what was done, and what is new of what was found.
fn told(shared: &Shared, report: &Report, said: &mut Vec<Finding>) {
    for shim in &report.shims {
        for change in &shim.changes {
            let what = match change {
                Change::Created => "was made".to_owned(),
                Change::CreatedAgain => "was made again".to_owned(),
                Change::Restored(what) => format!("has its {what} again"),
            };
            log::info!("host-access: the link {} of network {} {what}", shim.link, shim.network);
            if *change != Change::Created {
                shared.metrics.repairs.get_or_create(&KindLabels { kind: "shim" }).inc();
            }
        }
    }
    for network in &report.removed {
        log::info!(
            "host-access: the link of network {network} was removed: the network is no longer marked, or rooknet has left \
             the node"
        );
    }
    tell(ROUNDS.name, &report.findings, said, &shared.metrics);
}
