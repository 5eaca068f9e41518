//! What containers that are gone have left: journals, lock files, addresses.
//!
//! A runtime may never call again for a sandbox that it has lost, and most never call for a GC. So the agent collects,
//! and since nobody asked for it, it wants more proof than a DEL does. **Each condition alone keeps what it is about**:
//! a journal stays while the runtime lists the container, while the namespace is there or somebody is in it, while a call
//! holds the container's lock, and when it was written after the list was asked for. An address without a journal stays
//! while anybody at all knows its container, and for some minutes in any case; and all of them stay when one of those who
//! may know cannot be asked.

mod addresses;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::finding::Finding;
use crate::engine::collect::{self, Collector, Outcome};
use crate::multinet::definition::Definition;
use crate::state::deadline::Deadline;
use crate::state::journal::{Journals, Key, Read};
use crate::state::lock::ContainerLock;

/// How long an address is left alone after it was taken, however little is known of its container.
pub const YOUNGEST_ADDRESS: Duration = Duration::from_secs(600);

/// How long before the runtime was asked a journal must have been written: the time that a file gets is a few
/// milliseconds behind the clock.
const MARGIN: Duration = Duration::from_secs(1);

/// What the runtime said.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The ids of all its sandboxes, whatever their state.
    pub containers: &'a BTreeSet<String>,
    /// When it was asked, by the node's clock: **before** the request was sent.
    pub asked: SystemTime,
}

impl Listed<'_> {
    /// Whether what was written at this time was there when the runtime was asked.
    fn is_older(&self, modified: SystemTime) -> bool {
        modified.checked_add(MARGIN).is_some_and(|modified| modified <= self.asked)
    }
}

/// What a round works on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The journals, and how they are undone.
    pub collector: &'a Collector,
    /// The runtime's list.
    pub listed: Listed<'a>,
    /// The definitions that are known: their networks' stores are looked through, beside those that journals name.
    pub definitions: &'a [Definition],
    /// Where rooknet keeps its locks.
    pub run_dir: &'a Path,
    /// Where the runtime keeps results (`/var/lib/cni/results`).
    pub results_dir: &'a Path,
    /// When to end the round; the next one goes on.
    pub deadline: &'a Deadline,
}

/// What a round did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Journals, by what became of them.
    pub journals: Counts,
    /// Journals that were undone.
    pub undone: Vec<Undone>,
    /// Lock files of containers that nobody knows, removed.
    pub locks: usize,
    /// Addresses that were released.
    pub released: Vec<Released>,
    /// Addresses without a journal whose container somebody knows, or that are too young.
    pub addresses_kept: usize,
    /// What could not be done.
    pub findings: Vec<Finding>,
}

/// How many journals there were, each in the first that fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// The runtime knows the container.
    pub listed: usize,
    /// Written after the runtime was asked.
    pub young: usize,
    /// The namespace is there, or a process is in it.
    pub alive: usize,
    /// A call is at work on the container.
    pub busy: usize,
    /// It cannot be read.
    pub corrupt: usize,
    /// It was undone.
    pub undone: usize,
    /// It could not be undone, or the time was up.
    pub failed: usize,
}

/// A journal that was undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Undone {
    /// CNI_CONTAINERID.
    pub container_id: String,
    /// CNI_IFNAME.
    pub ifname: String,
    /// `namespace/name` of the pod; empty without one.
    pub pod: String,
}

/// An address that was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// The name of the network whose store had it.
    pub network: String,
    /// The address.
    pub address: std::net::IpAddr,
    /// The container that had held it.
    pub container_id: String,
}

/// One round. Safe to be killed at any point, and to be run again at once.
pub async fn round(inputs: &Inputs<'_>) -> Report {
    let mut report = Report::default();
    let journals = Journals::new(&inputs.collector.config().state_dir);
    match journals.keys() {
        Ok(keys) => collect_journals(inputs, &journals, &keys, &mut report).await,
        // What is not known of journals is not known of locks and addresses either.
        Err(error) => {
            report.findings.push(Finding::fault("journals", error));
            return report;
        }
    }
    if let Err(error) = remove_locks(inputs, &journals, &mut report) {
        report.findings.push(Finding::fault("lock files", format!("{error:#}")));
    }
    if let Err(error) = addresses::collect(inputs, &journals, &mut report).await {
        report.findings.push(Finding::fault("addresses without a journal", format!("none was released: {error:#}")));
    }
    report
}

/// What a journal is found to be.
enum Found {
    Listed,
    Young,
    Alive,
    Busy,
    Corrupt(String),
    /// It is gone meanwhile: a DEL came.
    Missing,
    Undone(String),
}

async fn collect_journals(inputs: &Inputs<'_>, journals: &Journals, keys: &[Key], report: &mut Report) {
    for key in keys {
        let counts = &mut report.journals;
        let count = match collect_journal(inputs, journals, key).await {
            Ok(Found::Missing) => continue,
            Ok(Found::Listed) => &mut counts.listed,
            Ok(Found::Young) => &mut counts.young,
            Ok(Found::Alive) => &mut counts.alive,
            Ok(Found::Busy) => &mut counts.busy,
            Ok(Found::Corrupt(reason)) => {
                report.findings.push(Finding::advice(
                    &key.container_id,
                    format!(
                        "its journal is left alone, because {reason}: rooknetctl attachments undo {}",
                        key.container_id
                    ),
                ));
                &mut counts.corrupt
            }
            Ok(Found::Undone(pod)) => {
                let (container_id, ifname) = (key.container_id.clone(), key.ifname.clone());
                report.undone.push(Undone { container_id, ifname, pod });
                &mut counts.undone
            }
            Err(error) => {
                report.findings.push(Finding::fault(&key.container_id, format!("{error:#}")));
                &mut counts.failed
            }
        };
        *count = count.saturating_add(1);
    }
}

async fn collect_journal(inputs: &Inputs<'_>, journals: &Journals, key: &Key) -> Result<Found> {
    let listed = inputs.listed;
    if listed.containers.contains(&key.container_id) {
        return Ok(Found::Listed);
    }
    match journals.modified(key)? {
        None => return Ok(Found::Missing),
        Some(modified) if !listed.is_older(modified) => return Ok(Found::Young),
        Some(_) => {}
    }
    // A look first: nearly all of them live, and the lock is a file.
    let pod = match inputs.collector.read(key)? {
        Read::Missing => return Ok(Found::Missing),
        Read::Corrupt(reason) => return Ok(Found::Corrupt(reason)),
        Read::Whole(journal) if !collect::is_gone(&journal)? => return Ok(Found::Alive),
        Read::Whole(journal) => journal.pod,
    };
    // An ADD may have begun since under the same id, so that all is looked at again under its lock.
    let is_due = |journal: &_| {
        let is_old = journals.modified(key)?.is_some_and(|modified| listed.is_older(modified));
        Ok(is_old && collect::is_gone(journal)?)
    };
    Ok(match inputs.collector.undo(key, inputs.deadline, is_due).await? {
        Outcome::Done => Found::Undone(pod),
        Outcome::Busy => Found::Busy,
        Outcome::Missing => Found::Missing,
        Outcome::NotDue => Found::Young,
        Outcome::Corrupt(reason) => Found::Corrupt(reason),
    })
}

/// Removes the lock files of killed calls that have left nothing else: with a journal, its undoing removes the file.
fn remove_locks(inputs: &Inputs<'_>, journals: &Journals, report: &mut Report) -> Result<()> {
    let has_journal = |container_id: &str| -> Result<bool> {
        Ok(journals.keys()?.iter().any(|key| key.container_id == container_id))
    };
    for container_id in ContainerLock::files(inputs.run_dir)? {
        if inputs.listed.containers.contains(&container_id) || has_journal(&container_id)? {
            continue;
        }
        // Somebody's who holds it: a call that runs.
        let Some(lock) = ContainerLock::try_acquire_left(inputs.run_dir, &container_id)? else { continue };
        // It may have written its journal before it let go.
        if !has_journal(&container_id)? {
            lock.discard()?;
            report.locks = report.locks.saturating_add(1);
        }
    }
    Ok(())
}
