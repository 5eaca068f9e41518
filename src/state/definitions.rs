//! The agent's snapshot of network definitions, so that an ADD asks no API server for what a watch has brought already.
//!
//! ```text
//! /run/rooknet/definitions/<namespace>/<name>.json   whole objects, as in networksDir
//! /run/rooknet/definitions/.heartbeat                while the watch is live: when it was written, how long it is valid
//! ```
//!
//! It is a shortcut and never an authority: what is missing, unreadable or not to be trusted is passed over, and the API
//! server is asked. An agent that dies stops beating, and its snapshot with it ends. Nothing is synchronised: a
//! heartbeat of another boot is not valid.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::files::{self, Durability, read_text};
use super::journal;
use super::networks::whole;
use crate::cni;
use crate::cni::text::printable_path;
use crate::multinet::definition::{self, MAX_BYTES_OF_A_POD, MAX_DEFINITION_BYTES};
use crate::multinet::object_names::{is_label, is_subdomain};
use crate::multinet::source::{Found, NetworkSource};

#[cfg(test)]
#[path = "definitions_tests.rs"]
mod tests;

const HEARTBEAT: &str = ".heartbeat";
/// Bytes of a heartbeat, at most.
const HEARTBEAT_LIMIT: u64 = 1024;
/// The longest validity that is believed: a mistaken one must not outlast a watch that died by hours.
const LONGEST_VALIDITY: Duration = Duration::from_secs(600);
/// Bytes of a name of which a file is made: with what a temporary file's name has before it, it stays below Linux's 255.
const LONGEST_NAME: usize = 200;

/// The snapshot's directory below [`super::RUN_DIR`] (or below what a test has in its place).
pub fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("definitions")
}

/// The writer's side: for the one agent of a node. Each file is whole or absent whenever the agent is killed; the order of
/// its steps is the caller's: first the objects of a list, then [`retain`](Self::retain), then [`beat`](Self::beat).
#[derive(Clone, Debug)]
pub struct Snapshot {
    directory: PathBuf,
}

impl Snapshot {
    /// Below `run_dir`; nothing is created before the first write.
    pub fn new(run_dir: &Path) -> Self {
        Snapshot { directory: directory(run_dir) }
    }

    /// Puts a whole object (JSON, annotations included) in place of the former; true when it is there now. What the plugin
    /// would not take from here (an object beyond its limit, a name longer than a file's may be) is left out, and a
    /// former one removed: the plugin asks the API server then.
    ///
    /// # Errors
    /// [`Error::Name`] for names that Kubernetes does not have; [`Error::Io`] when the file cannot be written: the
    /// former object is still there then, so the caller must [`stop`](Self::stop) or try again.
    pub fn put(&self, namespace: &str, name: &str, object: &str) -> Result<bool, Error> {
        let path = self.path(namespace, name)?;
        if name.len() > LONGEST_NAME || object.len() > MAX_DEFINITION_BYTES {
            return self.remove(namespace, name).map(|()| false);
        }
        files::replace(&path, object.as_bytes(), Durability::None, "definition-put").map(|()| true)
    }

    /// Removes an object; Ok when it is not there.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let path = self.path(namespace, name)?;
        if name.len() > LONGEST_NAME { Ok(()) } else { files::remove(&path) }
    }

    /// After a list of all objects: removes every other one (`namespace`, `name`), whatever else lies in the namespaces'
    /// directories, and what killed writers left. Returns how many objects it removed.
    ///
    /// # Errors
    /// When a directory cannot be listed, or a file not be removed.
    pub fn retain(&self, known: &BTreeSet<(String, String)>) -> Result<usize, Error> {
        let mut removed = 0_usize;
        files::collect_temporaries(&self.directory, None)?;
        for namespace in files::names(&self.directory)? {
            let directory = self.directory.join(&namespace);
            if !directory.is_dir() {
                continue;
            }
            files::collect_temporaries(&directory, None)?;
            for file in files::names(&directory)? {
                let name = file.strip_suffix(".json").unwrap_or_default();
                if !known.contains(&(namespace.clone(), name.to_owned())) {
                    files::remove(&directory.join(&file))?;
                    removed = removed.saturating_add(1);
                }
            }
        }
        Ok(removed)
    }

    /// Says that the snapshot is what the API server has, and believes it to be so for `valid_for` from now (ten minutes
    /// at most): only while the watch is live. `is_complete` says that no object was left out.
    ///
    /// # Errors
    /// When it cannot be written: the former heartbeat runs out.
    pub fn beat(&self, valid_for: Duration, is_complete: bool) -> Result<(), Error> {
        let path = self.directory.join(HEARTBEAT);
        let heartbeat = Heartbeat {
            boot: journal::boot_id()?,
            at: milliseconds(now(&path)?),
            valid: milliseconds(valid_for),
            complete: is_complete,
        };
        let mut line = serde_json::to_vec(&heartbeat).map_err(|source| Error::Encode { path: path.clone(), source })?;
        line.push(b'\n');
        files::replace(&path, &line, Durability::None, "definitions-heartbeat")
    }

    /// Ends the snapshot at once: the watch has ended, or an object could not be written.
    ///
    /// # Errors
    /// When the heartbeat cannot be removed: it runs out by itself.
    pub fn stop(&self) -> Result<(), Error> {
        files::remove(&self.directory.join(HEARTBEAT))
    }

    fn path(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        for (kind, text, fits) in
            [("namespace", namespace, is_label(namespace)), ("network name", name, is_subdomain(name))]
        {
            if !fits {
                return Err(Error::Name { kind, name: text.to_owned() });
            }
        }
        Ok(self.directory.join(namespace).join(format!("{name}.json")))
    }
}

/// That the agent's watch is live.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Heartbeat {
    /// The boot in which it was written.
    boot: String,
    /// CLOCK_BOOTTIME at that time, in milliseconds: no change of the date moves it, and it runs on through a suspend.
    at: u64,
    /// For how many milliseconds it holds.
    valid: u64,
    /// Whether every object of the API server is there.
    #[serde(default)]
    complete: bool,
}

impl Heartbeat {
    fn is_valid(&self, boot: &str, now: u64) -> bool {
        let valid = self.valid.min(milliseconds(LONGEST_VALIDITY));
        self.boot == boot && now.checked_sub(self.at).is_some_and(|age| age < valid)
    }
}

/// Whether the agent is alive and its snapshot what the API server has. Files of others than root, or that others may
/// write, count for nothing, with a line in the log.
pub fn is_fresh(run_dir: &Path) -> bool {
    fresh(run_dir).is_some()
}

/// Whether the snapshot is fresh, and what is missing from it does not exist.
pub fn is_complete(run_dir: &Path) -> bool {
    fresh(run_dir).is_some_and(|fresh| fresh.is_complete)
}

/// The snapshot for a reader, where it is fresh as [`is_fresh`] says.
pub fn fresh(run_dir: &Path) -> Option<FreshNetworks> {
    fresh_of(run_dir, ROOT)
}

/// Who alone may write what is believed.
const ROOT: u32 = 0;

fn fresh_of(run_dir: &Path, owner: u32) -> Option<FreshNetworks> {
    let directory = directory(run_dir);
    let path = directory.join(HEARTBEAT);
    // First, because without an agent this is all that is looked at.
    let content = match files::read_bounded(&path, HEARTBEAT_LIMIT) {
        Ok(content) => content?,
        Err(error) => {
            log::warn!("passing over the agent's snapshot: {error}");
            return None;
        }
    };
    if ![run_dir, &directory, &path].into_iter().all(|path| is_trusted(path, owner)) {
        return None;
    }
    let heartbeat: Heartbeat = match serde_json::from_slice(&content) {
        Ok(heartbeat) => heartbeat,
        Err(error) => {
            log::warn!("passing over the agent's snapshot: {} is no heartbeat: {error}", printable_path(&path));
            return None;
        }
    };
    let is_valid = heartbeat.is_valid(&journal::boot_id().ok()?, milliseconds(now(&path).ok()?));
    let is_complete = heartbeat.complete;
    is_valid.then(|| FreshNetworks { directory, owner, is_complete, room: Cell::new(MAX_BYTES_OF_A_POD) })
}

/// A fresh snapshot as a source of networks; for one call, which is short beside a heartbeat.
#[derive(Clone, Debug)]
pub struct FreshNetworks {
    directory: PathBuf,
    owner: u32,
    is_complete: bool,
    /// What is left of [`MAX_BYTES_OF_A_POD`].
    room: Cell<usize>,
}

impl FreshNetworks {
    fn read(&self, path: &Path, namespace: &str, name: &str) -> Result<Option<Found>, cni::Error> {
        let Some(text) = read_text(path, MAX_DEFINITION_BYTES as u64)? else { return Ok(None) };
        // After the read: where this is missing, the two are not looked at.
        if ![path.parent().unwrap_or(path), path].into_iter().all(|path| is_trusted(path, self.owner)) {
            return Ok(None);
        }
        let origin = format!("{} of the agent's snapshot", files::described(path));
        let room = self.room.get().checked_sub(text.len());
        self.room.set(room.ok_or_else(|| definition::too_many(&origin))?);
        Ok(Some(Found { definition: whole(&origin, &text, namespace, name)?, origin }))
    }
}

impl NetworkSource for FreshNetworks {
    /// The object of `namespace/name`; `None` also for one that cannot be read or used, which the log says: the API server
    /// has the last word.
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, cni::Error> {
        if !is_label(namespace) || !is_subdomain(name) || name.len() > LONGEST_NAME {
            return Ok(None);
        }
        let path = self.directory.join(namespace).join(format!("{name}.json"));
        Ok(self.read(&path, namespace, name).unwrap_or_else(|error| {
            log::warn!("passed over in the agent's snapshot: {error}");
            None
        }))
    }

    fn described(&self) -> String {
        format!("in the agent's snapshot {}", printable_path(&self.directory))
    }
}

/// Whether nobody but `owner` can have written what is at `path`; says in the log why not.
fn is_trusted(path: &Path, owner: u32) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.uid() == owner && metadata.mode() & 0o022 == 0 => true,
        Ok(metadata) => {
            log::warn!(
                "passing over the agent's snapshot: {} belongs to user {} with mode {:o}, and must be root's and writable \
                 by root alone: remove it, the agent makes it anew",
                printable_path(path),
                metadata.uid(),
                metadata.mode() & 0o7777
            );
            false
        }
        // It has just gone: then it is not there.
        Err(_) => false,
    }
}

fn now(path: &Path) -> Result<Duration, Error> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|errno| Error::io("date", path)(errno.into()))?;
    Ok(time.into())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
