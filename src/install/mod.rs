//! The installation on a node: the plugin's program, its conflist beside the primary's, and how both go again.
//!
//! [`ensure`] is the one way in: `rooknetctl install` calls it once, the agent in every round. It looks first and
//! changes only what differs, in an order in which a kill at any point leaves a node that works: the record, the plugin,
//! our conflist, and only then whatever stood before it is renamed.

mod apply;
mod choice;
mod conflist;
mod holders;
mod keys;
pub mod manifests;
mod plan;
mod preset;
mod remarks;
pub mod stay;
mod survey;
pub mod uninstall;
mod verify;
pub mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::state::deadline::Deadline;
use crate::state::installation::{self, Lock};

pub use conflist::{KEYS, entry_of};
pub use preset::{Places, Preset};

pub use crate::engine::config::{DEFAULT_BIN_DIR, DEFAULT_STATE_DIR};
pub use crate::state::installation::{
    DEFAULT_CONF_DIR, DEFAULT_CONFIG_DIR, DEFAULT_LOG_FILE, Mode, Primary, Record, State,
};

/// How long another install or uninstall is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// What to install, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// How our conflist uses the primary network.
    pub mode: Mode,
    /// The primary network: its name, or its file's name in the configuration directory. `None`: the pinned one, or
    /// what the runtime would load without us.
    pub primary: Option<String>,
    /// The plugin to install; `None`: `rooknet` beside the running program.
    pub plugin: Option<PathBuf>,
    /// The CNI plugins' directory.
    pub bin_dir: PathBuf,
    /// The CNI configurations' directory.
    pub conf_dir: PathBuf,
    /// Our own static directory: record, credentials, `options.json`.
    pub config_dir: PathBuf,
    /// `stateDir` of our entry.
    pub state_dir: PathBuf,
    /// Our volatile directory.
    pub run_dir: PathBuf,
    /// `logFile` of our entry.
    pub log_file: PathBuf,
    /// `kubeconfig` of our entry; `None` where no API server is used.
    pub kubeconfig: Option<PathBuf>,
    /// `nodeName` of our entry; `None`: the host name.
    pub node_name: Option<String>,
    /// Further keys of our entry. They win over those in `options.json`.
    pub keys: Vec<(String, Box<RawValue>)>,
    /// A Multus configuration that comes first is renamed, and renamed back by an uninstall.
    pub replace_multus: bool,
    /// How the runtime is asked what it has loaded.
    pub runtime: Runtime,
    /// How long the runtime may take to load our conflist.
    pub patience: Duration,
    /// Who asks.
    pub caller: Caller,
    /// Nothing is written: the report says what would be.
    pub dry_run: bool,
}

/// How the runtime is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// At the first of the usual sockets that is there.
    Usual,
    /// At this socket.
    Socket(PathBuf),
    /// Not at all.
    NotAsked,
}

/// Who asks for an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person: also ends an uninstall that was begun.
    Person,
    /// An agent, with the identity of its deployment (the DaemonSet's uid and the generation of its template): it never undoes an uninstall of the
    /// installation that it kept.
    Agent(String),
}

/// What [`ensure`] found and did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How the node is now.
    pub outcome: Outcome,
    /// The plugin's version, by its answer; `None` when it is not in place.
    pub plugin: Option<String>,
    /// The primary network, once known.
    pub primary: Option<Primary>,
    /// How our conflist uses it.
    pub mode: Mode,
    /// Our conflist.
    pub conflist: Option<PathBuf>,
    /// What the runtime says; `None` when it was not asked.
    pub runtime: Option<String>,
    /// What was changed (in a dry run: would be), in order; empty when all was as it should be.
    pub changes: Vec<String>,
    /// What the administrator should know.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the node works with rooknet, verified as far as it was asked for.
    pub fn is_installed(&self) -> bool {
        self.outcome == Outcome::Installed
    }
}

/// How the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is in place, and verified as far as was asked for.
    Installed,
    /// Something is awaited, a finding says what: another try may succeed.
    Waiting,
    /// An uninstall is going on, or took place: nothing is done.
    Uninstalling,
}

/// Something that the administrator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind it is, for programs; stays.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, and what follows from it.
    pub text: String,
    /// What to do.
    pub cure: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    Notice,
    /// Works, with a consequence.
    Warning,
    /// Does not work, or not for long.
    Error,
}

/// Kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No primary network is there yet.
    NoPrimary,
    /// A configuration cannot be read.
    Malformed,
    /// The primary network has another name than the pinned one.
    PrimaryChanged,
    /// The mode cannot be changed now.
    ModeChange,
    /// Multus comes first.
    Multus,
    /// Another configuration comes first, whatever name ours has.
    NotFirst,
    /// Cilium removes others' configurations.
    CiliumExclusive,
    /// The runtime loads more than one configuration.
    ManyConfigurations,
    /// The primary's cniVersion is old.
    OldVersion,
    /// The runtime has not loaded our conflist.
    NotLoaded,
    /// The runtime was not asked, or does not tell.
    NotVerified,
    /// An uninstall stands in the way.
    Uninstall,
}

/// Brings the node to what the options say, or finds that it is so already.
///
/// # Errors
/// When something that must be done cannot be done; what is done already stays, and another call goes on from there.
pub async fn ensure(options: &Options) -> Result<Report> {
    let deadline = Deadline::without_signals(LOCK_PATIENCE);
    let _lock = match options.dry_run {
        true => None,
        false => Some(Lock::acquire(&options.run_dir, &deadline).await?),
    };
    let plan = match plan::make(options).await? {
        plan::Decision::Stand(report) => return Ok(*report),
        plan::Decision::Do(plan) => plan,
    };
    apply::run(options, *plan).await
}

/// What is installed on this node, by its record.
///
/// # Errors
/// When the record cannot be read.
pub fn recorded(config_dir: &Path) -> Result<Option<Record>> {
    Ok(installation::read(config_dir)?)
}

/// The text of our entry as a runtime hands it to the plugin, from our conflist; `None` where there is none.
///
/// # Errors
/// When it cannot be read, or is none of ours.
pub fn entry(record: &Record) -> Result<Option<String>> {
    let text = installation::read_conf(&record.conf_dir, &record.conflist)?;
    Ok(text.map(|text| entry_of(&text)).transpose()?)
}
