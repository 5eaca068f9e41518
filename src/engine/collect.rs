//! One journal's end where no runtime asks for it: a GC, the agent, an administrator.
//!
//! Whoever wants it names a journal and says why; what decides is looked at again under the container's lock, because an
//! ADD or a DEL may have come meanwhile. Undoing is the plugin's own, with the very configuration of the ADD, so what an
//! agent collects is what a DEL would have.
//!
//! Whoever works here must be in the node's namespaces of mounts, networks and processes (a pod with `hostPID` and
//! `hostNetwork`, and the runtime's paths): a lock's note names its holder by process id, and [`is_gone`] asks all
//! processes of the node.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;

use super::call::{Call, release};
use super::config::Config;
use super::corrupt;
use super::failures::sentence;
use super::undo::Undo;
use crate::cni::Version;
use crate::cni::args::Args;
use crate::cni::names::OWN_TYPE;
use crate::cni::network::Network;
use crate::cni::request::Environment;
use crate::cni::result::CniResult;
use crate::cni::text;
use crate::state::deadline::Deadline;
use crate::state::journal::{self, Journal, Key, Read};
use crate::state::lock::ContainerLock;
use crate::state::log as node_log;

/// Whether a journal's network namespace is gone for certain: none of this boot has its identity under the journaled
/// path, and no process is in it. Where this is asked must see the node's processes.
///
/// # Errors
/// When the path or the node's boot cannot be looked at.
pub fn is_gone(journal: &Journal) -> Result<bool> {
    super::identity::is_gone(journal)
}

/// The interface groups (IFLA_GROUP) in which the links of a journal are: those that this program makes, those of executed
/// plugins. Both have the highest two bits `01`.
pub fn interface_groups(key: &Key) -> [u32; 2] {
    let groups = super::identity::interface_groups(key);
    [groups.native, groups.executed]
}

/// The journals of a node, as rooknet's entry in the node's conflist places them.
#[derive(Clone, Debug)]
pub struct Collector {
    config: Config,
}

/// What became of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is undone and removed.
    Done,
    /// Its container's lock is held: a call is at work.
    Busy,
    /// There is none (any more).
    Missing,
    /// It is not due.
    NotDue,
    /// It cannot be read, for this reason; it was left alone.
    Corrupt(String),
}

/// A journal for people to read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// CNI_CONTAINERID.
    pub container: String,
    /// CNI_IFNAME.
    pub interface: String,
    /// Whether an undoing of it failed; the next DEL or the agent tries again.
    pub failed: bool,
    /// How long ago it was written, in whole seconds.
    #[serde(rename = "ageSeconds", serialize_with = "in_seconds")]
    pub age: Option<Duration>,
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
}

impl Listed {
    /// The key under which it is kept.
    pub fn key(&self) -> Key {
        Key { container_id: self.container.clone(), ifname: self.interface.clone() }
    }
}

/// What a journal says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// It cannot be read: why.
    Unreadable(String),
    /// It can.
    #[serde(untagged)]
    Readable(Essentials),
}

/// What people want to know of a journal.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Essentials {
    /// `namespace/name` of the pod, empty without one.
    pub pod: String,
    /// `name` of the runtime's configuration.
    pub network_name: String,
    /// CNI_NETNS of the ADD.
    pub netns: String,
    /// Whether every attachment succeeded; else an ADD is under way or was killed.
    pub complete: bool,
    /// Whether it was written in this boot.
    pub this_boot: bool,
    /// In the order of the ADD.
    pub attachments: Vec<ListedAttachment>,
}

/// An attachment of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedAttachment {
    /// `namespace/name` of the network, or its configuration's name.
    pub network: String,
    /// The interface in the pod.
    pub interface: String,
    /// Its addresses with their prefix lengths; empty before the ADD has ended.
    pub addresses: Vec<String>,
}

impl Collector {
    /// By the text of rooknet's entry as the runtime would hand it to the plugin on stdin: with `cniVersion` and `name`
    /// of the conflist. Plugins that must be executed are searched in its `binDir`.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn new(entry: &str) -> Result<Self> {
        Ok(Collector { config: Config::parse(entry)? })
    }

    /// For the journals of a node without an entry of rooknet's, with the defaults for all that it could say. `name` is
    /// that of the runtime's network.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn without_entry(name: &str, state_dir: &Path, bin_dir: &Path) -> Result<Self> {
        let entry = serde_json::json!({
            "cniVersion": Version::NEWEST.as_str(),
            "name": name,
            "type": OWN_TYPE,
            "stateDir": state_dir,
            "binDir": bin_dir,
        });
        Self::new(&entry.to_string())
    }

    /// The entry's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All journals, sorted by container and interface.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let call = self.call(String::new());
        let boot = journal::boot_id()?;
        let failed = call.journals.failed()?;
        let mut listed = Vec::new();
        for key in call.journals.keys()? {
            let content = match call.journals.read(&key) {
                Ok(Read::Whole(journal)) => Content::Readable(essentials(*journal, &boot)),
                Ok(Read::Missing) => continue,
                Ok(Read::Corrupt(reason)) => Content::Unreadable(reason),
                Err(error) => Content::Unreadable(error.to_string()),
            };
            let modified = call.journals.modified(&key)?;
            // A clock that was set back makes it no age at all.
            let age = modified.map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
            let failed = failed.contains(&key);
            listed.push(Listed { container: key.container_id, interface: key.ifname, failed, age, content });
        }
        Ok(listed)
    }

    /// The journal under `key`, without its container's lock: for who decides later again.
    ///
    /// # Errors
    /// When the disk fails, or a newer rooknet wrote it.
    pub fn read(&self, key: &Key) -> Result<Read> {
        Ok(self.call(String::new()).journals.read(key)?)
    }

    /// Undoes the journal under `key` as a DEL would, if `is_due` says so of what is there under the container's lock, and
    /// removes it. A container whose lock is held is passed over.
    ///
    /// # Errors
    /// What could not be undone: the journal is kept and marked then; an error of `is_due`.
    pub async fn undo(
        &self,
        key: &Key,
        deadline: &Deadline,
        is_due: impl FnOnce(&Journal) -> Result<bool>,
    ) -> Result<Outcome> {
        undo_due(&self.call(String::new()), key, deadline, is_due).await
    }

    /// Undoes what can be seen of an unreadable journal, as a DEL would, and sets its file aside. `netns` is the pod's
    /// namespace, empty when it is gone. A readable one is left alone ([`Outcome::NotDue`]).
    ///
    /// # Errors
    /// A link or an address that could not be removed; the file stays where it is then.
    pub async fn undo_corrupt(&self, key: &Key, netns: &str, deadline: &Deadline) -> Result<Outcome> {
        let call = self.call_for(key, netns.to_owned());
        let Some(lock) = ContainerLock::try_acquire(call.run_dir(), &key.container_id)? else {
            return Ok(Outcome::Busy);
        };
        let signature = Signature::of(key, "");
        let undone = match call.journals.read(key) {
            Ok(Read::Corrupt(reason)) => corrupt::undo(&call, key, &reason, deadline).await.map(|()| Outcome::Done),
            Ok(Read::Missing) => Ok(Outcome::Missing),
            Ok(Read::Whole(_)) => Ok(Outcome::NotDue),
            Err(error) => Err(error.into()),
        };
        drop(signature);
        release(lock);
        undone
    }

    /// Removes the journal under `key` and undoes nothing: for attachments of which everything is gone, and which cannot
    /// be undone any more. `reason` says in the log who wants it, and why.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, key: &Key, reason: &str) -> Result<Outcome> {
        let call = self.call(String::new());
        let Some(lock) = ContainerLock::try_acquire(call.run_dir(), &key.container_id)? else {
            return Ok(Outcome::Busy);
        };
        let forgotten = (|| {
            if call.journals.modified(key)?.is_none() {
                return Ok(Outcome::Missing);
            }
            let pod = match call.journals.read(key) {
                Ok(Read::Whole(journal)) => journal.pod,
                _ => String::new(),
            };
            let signature = Signature::of(key, &pod);
            log::warn!(
                interface = key.ifname.as_str();
                "forgetting what is attached, without undoing it: {}", text::shortened_to(MAX_REASON, reason)
            );
            let removed = call.journals.remove(key).context("the journal was not forgotten");
            drop(signature);
            removed.map(|()| Outcome::Done)
        })();
        release(lock);
        forgotten
    }

    fn call(&self, netns: String) -> Call {
        let key = Key { container_id: String::new(), ifname: String::new() };
        self.call_for(&key, netns)
    }

    /// The call that a runtime could have made.
    fn call_for(&self, key: &Key, netns: String) -> Call {
        let environment = Environment {
            container_id: key.container_id.clone(),
            netns,
            ifname: key.ifname.clone(),
            args: Args::default(),
            path: vec![self.config.bin_dir.clone()],
            trace: Vec::new(),
        };
        Call::new(environment, self.config.clone(), Instant::now())
    }
}

/// Characters of a reason in the log, at most.
const MAX_REASON: usize = 300;

/// Undoes the journal under `key`, if `is_due` says so of what is there under the container's lock.
pub(super) async fn undo_due(
    call: &Call,
    key: &Key,
    deadline: &Deadline,
    is_due: impl FnOnce(&Journal) -> Result<bool>,
) -> Result<Outcome> {
    let Some(lock) = ContainerLock::try_acquire(call.run_dir(), &key.container_id)? else {
        return Ok(Outcome::Busy);
    };
    let undone = undo_locked(call, key, &lock, deadline, is_due).await;
    release(lock);
    undone
}

async fn undo_locked(
    call: &Call,
    key: &Key,
    lock: &ContainerLock,
    deadline: &Deadline,
    is_due: impl FnOnce(&Journal) -> Result<bool>,
) -> Result<Outcome> {
    let journal = match call.journals.read(key)? {
        Read::Whole(journal) => journal,
        Read::Missing => return Ok(Outcome::Missing),
        Read::Corrupt(reason) => return Ok(Outcome::Corrupt(reason)),
    };
    if !is_due(&journal)? {
        return Ok(Outcome::NotDue);
    }
    let _signature = Signature::of(key, &journal.pod);
    log::info!(interface = key.ifname.as_str(); "collecting what the runtime no longer knows");
    let undone = (Undo { call, lock, deadline }).journal(&journal, "").await;
    undone.map(|()| Outcome::Done).map_err(|failures| failures.into_error("it could not be undone"))
}

/// The log's lines are about another container than the call's, until this is dropped.
struct Signature;

impl Signature {
    fn of(key: &Key, pod: &str) -> Self {
        node_log::set_call(&key.container_id, pod);
        Signature
    }
}

impl Drop for Signature {
    fn drop(&mut self) {
        node_log::set_call("", "");
    }
}

fn essentials(journal: Journal, boot: &str) -> Essentials {
    let attachments = journal.attachments.iter().map(|attachment| ListedAttachment {
        network: attachment.network.clone(),
        interface: attachment.ifname.clone(),
        addresses: addresses(attachment).unwrap_or_else(|error| {
            log::warn!("journal of container {}: {}", journal.container_id, sentence(&error));
            Vec::new()
        }),
    });
    Essentials {
        attachments: attachments.collect(),
        this_boot: journal.boot_id == boot,
        pod: journal.pod,
        network_name: journal.network_name,
        netns: journal.netns,
        complete: journal.complete,
    }
}

fn addresses(attachment: &journal::Attachment) -> Result<Vec<String>> {
    let Some(result) = &attachment.result else { return Ok(Vec::new()) };
    let network = Network::parse("the journaled configuration", attachment.config.get(), None)?;
    let result = CniResult::parse("the journaled result", result.get(), network.version)?;
    Ok(texts(&result, &attachment.ifname))
}

/// The addresses of an interface as texts.
pub(super) fn texts(result: &CniResult, ifname: &str) -> Vec<String> {
    result.addresses_of(ifname).iter().map(|address| address.address.to_string()).collect()
}

fn in_seconds<S: serde::Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs()).serialize(serializer)
}
