//! What the plugin's calls tell the agent: a line of JSON for each, in `/run/rooknet/calls.jsonl`.
//!
//! The plugin has no time for metrics and events, and the agent has; but a node without an agent must not fill up, and no
//! call may fail or wait for it. So a call appends one line by one write, and none when the file is full; the agent
//! takes the file away by a rename. A shared lock of the writer for the moment of its write, and the taker's exclusive
//! one, keep a line from being written into a file that has just been read.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::fault;
use super::files::{self, Durability};
use crate::cni::text::shortened_to;

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;

/// Bytes of the file beyond which nothing is written: what a node without an agent may lose of its memory.
pub const SIZE_LIMIT: u64 = 4 * 1024 * 1024;
/// Bytes of a line, at most.
pub const LINE_LIMIT: usize = 64 * 1024;
/// Characters of an error's text, at most: those of an event's message.
pub const ERROR_LIMIT: usize = 900;

/// One call of a runtime.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// When it began: milliseconds of Unix time.
    pub time: u64,
    /// CNI_COMMAND.
    pub command: String,
    /// CNI_CONTAINERID; empty for a GC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// CNI_IFNAME; empty for a GC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// K8S_POD_NAMESPACE.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// K8S_POD_NAME.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The pod's UID, as events have it; empty where it is unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// How long it took, in milliseconds.
    pub duration: f64,
    /// The code of the error that it answered; 0 for success.
    pub code: u32,
    /// Of what kind the error is.
    #[serde(skip_serializing_if = "Cause::is_none")]
    pub cause: Cause,
    /// The error's text; at most [`ERROR_LIMIT`] characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What was attached (ADD; of one that failed, what had been attached until then) or was to be detached (DEL).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// What was asked of the API server.
    #[serde(skip_serializing_if = "Api::is_none")]
    pub api: Api,
    /// Whether the agent is to tell the pod's events what happened, see [`Record::events`]: the plugin has not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub events: bool,
}

/// A network of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    /// As the pod's network-status names it.
    pub network: String,
    /// The interface in the pod.
    pub interface: String,
    /// How long attaching it took, in milliseconds; `None` where this call did not attach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// Its addresses with their prefix lengths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// Requests to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Api {
    /// How many were sent, further tries included.
    pub requests: u32,
    /// How long they took, one after the other, in milliseconds; several at once add up.
    pub ms: f64,
}

impl Api {
    fn is_none(&self) -> bool {
        self.requests == 0
    }
}

/// Why a call failed, in as few words as a metric's label may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It did not.
    #[default]
    None,
    /// The runtime's call itself: its environment, its version, stdin.
    Call,
    /// A configuration, an annotation or a definition.
    Configuration,
    /// A policy of the node's administrator.
    Policy,
    /// The node is drained.
    Draining,
    /// A lock, the default network, or a pod that is gone: another try may help.
    Busy,
    /// The API server.
    Api,
    /// An executed plugin.
    Plugin,
    /// The kernel, or the disk.
    System,
    /// A deadline or a signal.
    Interrupted,
    /// CHECK found a difference, or an ADD what is there already.
    State,
    /// Anything else; also what a later rooknet writes.
    #[serde(other)]
    Other,
}

impl Cause {
    fn is_none(&self) -> bool {
        *self == Cause::None
    }

    /// As the record has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::None => "none",
            Cause::Call => "call",
            Cause::Configuration => "configuration",
            Cause::Policy => "policy",
            Cause::Draining => "draining",
            Cause::Busy => "busy",
            Cause::Api => "api",
            Cause::Plugin => "plugin",
            Cause::System => "system",
            Cause::Interrupted => "interrupted",
            Cause::State => "state",
            Cause::Other => "other",
        }
    }
}

/// An event of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `Warning`, or else `Normal`.
    pub is_warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Event {
    /// An attachment that was made.
    pub fn added(interface: &str, addresses: &[String], network: &str) -> Self {
        let message = format!("Add {interface} [{}] from {network}", addresses.join(" "));
        Event { is_warning: false, reason: "AddedInterface", message }
    }

    /// An ADD that failed.
    pub fn failed(cause: String) -> Self {
        Event { is_warning: true, reason: "FailedToAttachNetworks", message: cause }
    }
}

impl Record {
    /// The events that are to be told of it, none unless the plugin left them to the agent.
    pub fn events(&self) -> Vec<Event> {
        if !self.events {
            return Vec::new();
        }
        if self.code != 0 {
            return vec![Event::failed(self.error.clone())];
        }
        let of = |network: &Network| Event::added(&network.interface, &network.addresses, &network.network);
        self.networks.iter().map(of).collect()
    }

    /// As a line, whose last networks are left out where it would be longer than [`LINE_LIMIT`].
    fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut shown = Record { error: shortened_to(ERROR_LIMIT, &self.error), ..self.clone() };
        loop {
            let mut line = serde_json::to_vec(&shown)?;
            line.push(b'\n');
            if line.len() <= LINE_LIMIT || shown.networks.is_empty() {
                return Ok(line);
            }
            shown.networks.truncate(shown.networks.len().checked_div(2).unwrap_or_default());
        }
    }
}

fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("calls.jsonl")
}

fn taken_path(run_dir: &Path) -> PathBuf {
    run_dir.join("calls.jsonl.taken")
}

/// Appends a record, nothing when the file is full. Made with mode 0600. Never waits.
///
/// # Errors
/// When it cannot be written. No call may fail for that.
pub fn append(run_dir: &Path, record: &Record) -> Result<(), Error> {
    // Who was overtaken by a taker between opening and locking opens the next file, and is not overtaken twice in a row.
    const TRIES: u32 = 3;
    let path = path(run_dir);
    let line = record.to_line().map_err(|source| Error::Encode { path: path.clone(), source })?;
    for _ in 0..TRIES {
        let mut file = open(&path)?;
        if file.try_lock_shared().is_err() {
            continue;
        }
        let metadata = file.metadata().map_err(Error::io("write", &path))?;
        if metadata.nlink() == 0 {
            continue;
        }
        if metadata.len() >= SIZE_LIMIT {
            return Ok(());
        }
        fault::point("calls.begin");
        fault::write("calls").and_then(|()| file.write_all(&line)).map_err(Error::io("write", &path))?;
        fault::point("calls.written");
        return Ok(());
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Error> {
    let open = || {
        let mut options = OpenOptions::new();
        // O_NONBLOCK: whatever has the name, nobody waits for it.
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        options.open(path)
    };
    let opened = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::create_directory(path.parent().unwrap_or(path), Durability::None)?;
            open()
        }
        other => other,
    };
    opened.map_err(Error::io("write", path))
}

/// The records that were taken. Dropping it leaves them for the next [`take`].
#[derive(Debug)]
pub struct Taken {
    /// In the order in which the calls ended.
    pub records: Vec<Record>,
    /// How many lines were none and passed over.
    pub skipped: usize,
    path: PathBuf,
    /// Its lock keeps writers away that have opened the file by its former name.
    _file: File,
}

impl Taken {
    /// Ends it: the records have become what they were for.
    ///
    /// # Errors
    /// When the file cannot be removed: it will be taken again.
    pub fn done(self) -> Result<(), Error> {
        files::remove(&self.path)
    }
}

/// Takes the records since the last one; `None` when there are none, or a call is just writing its own.
///
/// What a former taker did not end is taken first, once more. So an agent that is killed between making events and
/// [`Taken::done`] makes those of one batch twice; none is lost. (Its metrics begin anew in any case.)
///
/// # Errors
/// When a file cannot be renamed or read.
pub fn take(run_dir: &Path) -> Result<Option<Taken>, Error> {
    let mut records = Vec::new();
    let taken = take_each(run_dir, |record| records.push(record))?;
    Ok(taken.map(|taken| Taken { records, ..taken }))
}

/// The same for who has little memory: each record goes to `each` as it is read, and [`Taken::records`] stays empty.
///
/// # Errors
/// As [`take`]; some records may have gone to `each` before, and will again.
pub fn take_each(run_dir: &Path, mut each: impl FnMut(Record)) -> Result<Option<Taken>, Error> {
    let (path, taken) = (path(run_dir), taken_path(run_dir));
    let file = match open_taken(&taken)? {
        Some(file) => file,
        None => {
            match std::fs::rename(&path, &taken) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::io("take", &path)(error)),
            }
            fault::point("calls.taken");
            let Some(file) = open_taken(&taken)? else { return Ok(None) };
            file
        }
    };
    if file.try_lock().is_err() {
        return Ok(None);
    }
    // Writers that came at once may have gone beyond the limit together; not by as much again.
    let bound = SIZE_LIMIT.saturating_mul(2);
    let mut reader = BufReader::new((&file).take(bound));
    let (mut line, mut skipped) = (Vec::new(), 0_usize);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(Error::io("read", &taken))? == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if text.is_empty() {
            continue;
        }
        let record = (text.len() < LINE_LIMIT).then(|| serde_json::from_slice::<Record>(text).ok()).flatten();
        match record.filter(|record| !record.command.is_empty()) {
            Some(record) => each(record),
            None => skipped = skipped.saturating_add(1),
        }
    }
    Ok(Some(Taken { records: Vec::new(), skipped, path: taken, _file: file }))
}

fn open_taken(path: &Path) -> Result<Option<File>, Error> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
