//! What is to be seen of rooknet on a node, and what of it is wrong: for `rooknetctl status`, `rooknetctl doctor` and
//! the agent.
//!
//! Nothing here changes anything but `upkeep`, and nothing is taken for granted: each part is looked at by itself (the plugin's file,
//! the configuration, the runtime's own word, journals, the kernel, host-local's stores, the API server), because a node
//! in trouble is one on which some of these do not answer. What could not be looked at is said ([`Report::not_checked`])
//! and is no fault: silence must not look like health.
//!
//! A finding is a row of [`table::TABLE`], which has cause and cure once, and a sentence about this node. The
//! troubleshooting table in `docs/operations.md` is made of the same rows.

mod addresses;
mod attachments;
pub mod cluster;
mod configuration;
mod credentials;
mod definitions;
mod links;
mod log_tail;
mod program;
mod runtime_side;
pub mod table;
pub mod upkeep;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cni::text::shortened_to;
use crate::engine::collect::Listed;
use crate::state::deadline::Deadline;
use crate::state::{definitions as snapshot, draining, files};

pub use addresses::Pool;
pub use configuration::{Configuration, Primary};
pub use credentials::Token;
pub use runtime_side::Runtime;
pub use table::{Row, Severity};

/// Characters of what a finding says, at most.
const LONGEST: usize = 600;

/// How long everything together may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where to look.
#[derive(Clone, Debug)]
pub struct Place {
    /// The CNI configurations' directory; `None`: as the installation's record says, or the usual one.
    pub conf_dir: Option<PathBuf>,
    /// Where the plugin is; `None`: likewise.
    pub bin_dir: Option<PathBuf>,
    /// rooknet's static directory: `install.json`, credentials.
    pub config_dir: PathBuf,
    /// `stateDir`; `None`: what the configuration says.
    pub state_dir: Option<PathBuf>,
    /// The volatile directory.
    pub run_dir: PathBuf,
    /// The runtime's socket; `None`: the first of the usual ones that is there.
    pub runtime_socket: Option<PathBuf>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The row's name; it stays.
    pub id: &'static str,
    /// Whether something does not work now.
    pub severity: Severity,
    /// What was seen on this node: one sentence.
    pub what: String,
    /// What follows from it.
    pub consequence: &'static str,
    /// What it comes from.
    pub cause: &'static str,
    /// What to do.
    pub cure: &'static str,
}

impl Finding {
    /// What was seen, as a row of the table.
    fn of(row: &'static Row, what: impl std::fmt::Display) -> Self {
        Finding {
            id: row.id,
            severity: row.severity,
            what: shortened_to(LONGEST, &what.to_string()),
            consequence: row.consequence,
            cause: row.cause,
            cure: row.cure,
        }
    }
}

/// The plugin's program.
#[derive(Clone, Debug, Serialize)]
pub struct Plugin {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// What it says of itself; `None` when it does not answer.
    pub version: Option<String>,
}

/// The agent's copy of the network definitions.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Whether the plugin trusts it now.
    pub fresh: bool,
    /// Definitions in it.
    pub definitions: usize,
    /// How long ago the agent last said that it is right, in whole seconds.
    pub age_seconds: Option<u64>,
}

/// That the node takes no further pods with networks of their own.
#[derive(Clone, Debug, Serialize)]
pub struct Drain {
    /// Since when (RFC 3339).
    pub since: String,
    /// Why.
    pub reason: String,
}

/// What is to be seen on a node. As JSON its keys stay: they are in `docs/operations.md`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The node's name, as the plugin uses it.
    pub node: String,
    /// This program's version.
    pub rooknetctl: &'static str,
    /// The plugin.
    pub plugin: Plugin,
    /// rooknet's entry; `None` when no conflist has one.
    pub configuration: Option<Configuration>,
    /// The primary network; `None` when it is not known.
    pub primary: Option<Primary>,
    /// What the container runtime says; `None` when it was not asked or did not answer.
    pub runtime: Option<Runtime>,
    /// Set while the node is drained.
    pub draining: Option<Drain>,
    /// The plugin's token; `None` without one.
    pub token: Option<Token>,
    /// The agent's copy of the definitions; `None` when there is none.
    pub snapshot: Option<Snapshot>,
    /// What is attached, by journal.
    pub attachments: Vec<Listed>,
    /// host-local's pools that networks on this node use.
    pub pools: Vec<Pool>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why: none of it was judged.
    pub not_checked: Vec<String>,
}

impl Report {
    /// Whether something does not work.
    pub fn is_faulty(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Fault)
    }
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What lies on the node and what the runtime says: nothing is sent to the API server.
    Status,
    /// Also the API server, by the plugin's own credentials, and the log.
    Doctor,
}

/// What one look collects.
struct Examination<'a> {
    place: &'a Place,
    deadline: Deadline,
    configuration: configuration::Known,
    findings: Vec<Finding>,
    not_checked: Vec<String>,
}

impl Examination<'_> {
    fn found(&mut self, row: &'static Row, what: impl std::fmt::Display) {
        self.findings.push(Finding::of(row, what));
    }

    fn skipped(&mut self, what: impl std::fmt::Display) {
        self.not_checked.push(shortened_to(LONGEST, &what.to_string()));
    }
}

/// Looks at the node.
///
/// # Errors
/// When the node cannot be looked at at all: not as root, or without /proc. Everything else is a finding, or among what
/// was not checked.
pub async fn examine(place: &Place, depth: Depth) -> Result<Report> {
    let deadline = Deadline::with_signals(PATIENCE)?;
    let (configuration, findings) = configuration::read(place)?;
    let mut seen = Examination { place, deadline, configuration, findings, not_checked: Vec::new() };

    let plugin = program::look_at(&mut seen).await;
    // Before the journals: what the runtime lists has its journal by then.
    let (runtime, asked) = runtime_side::look_at(&mut seen).await;
    let sandboxes = asked.as_ref().map(|asked| asked.sandboxes.as_slice());
    let attached = attachments::look_at(&mut seen, sandboxes)?;
    if let Some(asked) = &asked {
        runtime_side::lacking(&mut seen, asked, &attached).await;
    }
    links::look_at(&mut seen, &attached).await;
    let networks = definitions::look_at(&mut seen).await;
    let pools = addresses::look_at(&mut seen, &attached, &networks, sandboxes);
    let token = credentials::token(&mut seen);
    let snapshot = snapshot_of(&mut seen);
    let draining = drain_of(&mut seen);
    if depth == Depth::Doctor {
        credentials::ask(&mut seen).await;
        log_tail::look_at(&mut seen);
    }

    let Examination { configuration, mut findings, not_checked, .. } = seen;
    findings.sort_by_key(|finding| finding.severity);
    Ok(Report {
        node: configuration.node.clone(),
        rooknetctl: env!("CARGO_PKG_VERSION"),
        plugin,
        primary: configuration.primary,
        configuration: configuration.shown,
        runtime,
        draining,
        token,
        snapshot,
        attachments: attached.listed,
        pools,
        findings,
        not_checked,
    })
}

fn snapshot_of(seen: &mut Examination<'_>) -> Option<Snapshot> {
    let directory = snapshot::directory(&seen.place.run_dir);
    if !directory.is_dir() {
        return None;
    }
    let fresh = snapshot::is_fresh(&seen.place.run_dir);
    let heartbeat = std::fs::metadata(directory.join(".heartbeat")).and_then(|metadata| metadata.modified()).ok();
    let age = heartbeat.and_then(|modified| modified.elapsed().ok()).map(|age| age.as_secs());
    let definitions = crate::state::networks::FileNetworks::new(&directory).references().map_or(0, |known| known.len());
    if !fresh {
        let age = age.map_or("has no heartbeat".to_owned(), |age| format!("had its last heartbeat {age} s ago"));
        seen.found(&table::AGENT_SILENT, format_args!("{} {age}", files::described(&directory)));
    }
    Some(Snapshot { fresh, definitions, age_seconds: age })
}

fn drain_of(seen: &mut Examination<'_>) -> Option<Drain> {
    let found = draining::read(&seen.configuration.state_dir)?;
    seen.found(&table::DRAINING, format_args!("this node is {found}"));
    Some(Drain { since: found.since, reason: found.reason })
}

impl Default for Place {
    /// The usual places.
    fn default() -> Self {
        Place {
            conf_dir: None,
            bin_dir: None,
            config_dir: PathBuf::from(crate::state::installation::DEFAULT_CONFIG_DIR),
            state_dir: None,
            run_dir: PathBuf::from(crate::state::RUN_DIR),
            runtime_socket: None,
        }
    }
}
