//! The journal: what an ADD is about to do, on disk before it is done.
//!
//! One file for each ADD, so that ADDs of different containers never wait for each other, and so that a damaged one
//! damages nothing else. It holds the exact inputs of every attachment: a DEL repeats them from here, whatever the
//! configuration, the API server or the node have become since. Only who holds the container's lock writes or removes
//! it.
//!
//! ```text
//! <stateDir>/attachments/<containerID>@<ifname>.json   the journals
//! <stateDir>/failed/<containerID>@<ifname>             those whose undoing failed (empty files)
//! <stateDir>/corrupt/                                  set aside, for a person to look at
//! ```

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fault;
use super::files::{self, Durability};
use crate::cni::text::printable_path;

pub use super::error::Error;

/// The format that this program writes.
pub const FORMAT: u32 = 1;

/// The largest journal that is written or read, in bytes.
pub const SIZE_LIMIT: u64 = 16 * 1024 * 1024;

const SUFFIX: &str = ".json";

/// Key of a journal: the runtime's container id and interface name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// CNI_CONTAINERID.
    pub container_id: String,
    /// CNI_IFNAME.
    pub ifname: String,
}

impl Key {
    /// A key as a file name. A container id has no `@` (an interface name may), so the first one divides them.
    pub(super) fn name(&self) -> Result<String, Error> {
        check_container_id(&self.container_id)?;
        check("interface name", &self.ifname, !self.ifname.contains(['/', '\0']))?;
        Ok(format!("{}@{}", self.container_id, self.ifname))
    }

    fn parse(name: &str) -> Option<Key> {
        let (container_id, ifname) = name.split_once('@')?;
        let key = Key { container_id: container_id.to_owned(), ifname: ifname.to_owned() };
        key.name().is_ok().then_some(key)
    }
}

/// A container id becomes a file name: the protocol's rules are checked when a call is read, this is the last door.
pub(super) fn check_container_id(container_id: &str) -> Result<(), Error> {
    check("container id", container_id, !container_id.starts_with('.') && !container_id.contains(['/', '\0', '@']))
}

fn check(kind: &'static str, name: &str, fits: bool) -> Result<(), Error> {
    if fits && !name.is_empty() { Ok(()) } else { Err(Error::Name { kind, name: name.to_owned() }) }
}

/// One ADD.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// [`FORMAT`].
    pub format: u32,
    /// CNI_CONTAINERID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME.
    pub ifname: String,
    /// `name` of the runtime's configuration.
    pub network_name: String,
    /// CNI_NETNS.
    pub netns: String,
    /// Its identity: cookie and inode, see `kernel::netns`.
    pub netns_identity: NetnsIdentity,
    /// The boot in which the namespace was made ([`boot_id`]): cookies and paths mean nothing after another.
    pub boot_id: String,
    /// namespace/name of the pod, empty without one.
    #[serde(default)]
    pub pod: String,
    /// Set when every attachment succeeded.
    pub complete: bool,
    /// In the order of ADD.
    pub attachments: Vec<Attachment>,
}

impl Journal {
    /// The key under which it is kept.
    pub fn key(&self) -> Key {
        Key { container_id: self.container_id.clone(), ifname: self.ifname.clone() }
    }
}

/// A copy of `kernel::netns::Identity`'s data (state and kernel do not know each other).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsIdentity {
    /// SO_NETNS_COOKIE; None on an old kernel.
    pub cookie: Option<u64>,
    /// Inode of the nsfs file.
    pub inode: u64,
}

/// One attachment of an ADD.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// What to call it: `namespace/name`, or the configuration's name.
    pub network: String,
    /// Interface name.
    pub ifname: String,
    /// The exact configuration list, after cni-args were merged in.
    pub config: Box<RawValue>,
    /// CNI_ARGS of this attachment.
    pub args: String,
    /// runtimeConfig of this attachment.
    pub runtime_config: Box<RawValue>,
    /// Gateways of the pod's default routes that the selection puts on this interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_route: Vec<IpAddr>,
    /// Whether the selection puts the pod's default routes on this interface, be it without a gateway: then they are
    /// those of the network's own plugins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_default_route: bool,
    /// The result, once there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// ifindex and kind, once there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkIdentity>,
}

/// A link by what a pod cannot change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkIdentity {
    /// ifindex.
    pub index: u32,
    /// Kind, as `ip -d link` names it.
    pub kind: String,
}

/// The id of the node's present boot (`/proc/sys/kernel/random/boot_id`).
///
/// # Errors
/// When the file cannot be read: then nothing can be told about namespaces of journals.
pub fn boot_id() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(Error::io("read", path))
}

/// What a read found.
#[derive(Debug)]
pub enum Read {
    /// None.
    Missing,
    /// Whole.
    Whole(Box<Journal>),
    /// Unreadable: why, in a sentence that names the file. Nothing that was written by a later format: that is
    /// [`Error::NewerFormat`].
    Corrupt(String),
}

/// The journals of a node: `<stateDir>/attachments`.
#[derive(Clone, Debug)]
pub struct Journals {
    directory: PathBuf,
    failed: PathBuf,
    corrupt: PathBuf,
}

impl Journals {
    /// Of a stateDir. Nothing is created before the first write.
    pub fn new(state_dir: &Path) -> Self {
        Journals {
            directory: state_dir.join("attachments"),
            failed: state_dir.join("failed"),
            corrupt: state_dir.join("corrupt"),
        }
    }

    /// Where the journal of this key is, for messages.
    ///
    /// # Errors
    /// [`Error::Name`] for a key that cannot be a file name; so in every function that takes a key.
    pub fn path(&self, key: &Key) -> Result<PathBuf, Error> {
        Ok(self.directory.join(key.name()? + SUFFIX))
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the disk fails, or a newer rooknet wrote it.
    pub fn read(&self, key: &Key) -> Result<Read, Error> {
        let path = self.path(key)?;
        match files::read_bounded(&path, SIZE_LIMIT) {
            Ok(None) => Ok(Read::Missing),
            Ok(Some(content)) => parse(&path, key, &content),
            // We never write one of that size.
            Err(error @ Error::TooLarge { .. }) => Ok(Read::Corrupt(format!("the journal {error}"))),
            Err(error) => Err(error),
        }
    }

    /// Before anything is touched: file and directory synchronised.
    ///
    /// # Errors
    /// When it cannot be written, or is larger than [`SIZE_LIMIT`].
    pub fn write_plan(&self, journal: &Journal) -> Result<(), Error> {
        self.write(journal, Durability::Entry, "journal-plan")
    }

    /// With results: content synchronised. (If the rename is lost, the plan is there, and DEL looks the links up.)
    ///
    /// # Errors
    /// As [`Self::write_plan`]; the plan is untouched then.
    pub fn write_results(&self, journal: &Journal) -> Result<(), Error> {
        self.write(journal, Durability::Content, "journal-results")
    }

    fn write(&self, journal: &Journal, durability: Durability, fault: &str) -> Result<(), Error> {
        let path = self.path(&journal.key())?;
        let mut content = serde_json::to_vec(journal).map_err(|source| Error::Encode { path: path.clone(), source })?;
        content.push(b'\n');
        if u64::try_from(content.len()).is_ok_and(|length| length > SIZE_LIMIT) {
            return Err(Error::TooLarge { path, limit: SIZE_LIMIT });
        }
        files::replace(&path, &content, durability, fault)
    }

    /// Durable removal of journal, failed mark, and what a killed writer of this key left; Ok when absent. The journal
    /// goes first: a mark without a journal says nothing, a journal without its mark would be forgotten.
    ///
    /// # Errors
    /// When one of them cannot be removed.
    pub fn remove(&self, key: &Key) -> Result<(), Error> {
        let name = key.name()?;
        files::remove_durably(&self.path(key)?, "journal-remove")?;
        files::remove(&self.failed.join(&name))?;
        files::collect_temporaries(&self.directory, Some(&(name + SUFFIX)))?;
        Ok(())
    }

    /// Keys of all journals, sorted; foreign file names are passed over; temporary files left by a kill are removed
    /// when old.
    ///
    /// # Errors
    /// When the directory cannot be listed, or an old temporary file not be removed.
    pub fn keys(&self) -> Result<Vec<Key>, Error> {
        files::collect_temporaries(&self.directory, None)?;
        let names = files::names(&self.directory)?;
        let mut keys: Vec<Key> =
            names.iter().filter_map(|name| name.strip_suffix(SUFFIX).and_then(Key::parse)).collect();
        keys.sort();
        Ok(keys)
    }

    /// Moves a corrupt journal to `<stateDir>/corrupt/`, beside those that were set aside before; where it is now.
    ///
    /// # Errors
    /// When it cannot be moved: then it is where it was.
    pub fn set_aside(&self, key: &Key) -> Result<PathBuf, Error> {
        let (name, path) = (key.name()?, self.path(key)?);
        files::create_directory(&self.corrupt, Durability::Entry)?;
        let target = (0_u32..)
            .map(|number| if number == 0 { name.clone() + SUFFIX } else { format!("{name}.{number}{SUFFIX}") })
            .map(|name| self.corrupt.join(name))
            .find(|target| std::fs::symlink_metadata(target).is_err())
            .unwrap_or_else(|| self.corrupt.join(&name));
        fault::point("journal-aside.begin");
        std::fs::rename(&path, &target).map_err(Error::io("set aside", &path))?;
        fault::point("journal-aside.renamed");
        files::sync_directory(&self.corrupt)?;
        files::sync_directory(&self.directory)?;
        files::remove(&self.failed.join(&name))?;
        files::collect_temporaries(&self.directory, Some(&(name + SUFFIX)))?;
        Ok(target)
    }

    /// Marks a journal whose undoing failed (`<stateDir>/failed/<key>`, empty file), durably: a runtime may never call
    /// again for it. Marking it again makes it the last to be tried.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn mark_failed(&self, key: &Key) -> Result<(), Error> {
        files::replace(&self.failed.join(key.name()?), &[], Durability::Entry, "failed-mark")
    }

    /// When one was written last; `None` when there is none, or the file system does not say.
    ///
    /// # Errors
    /// [`Error::Name`] for a key that cannot be a file name.
    pub fn modified(&self, key: &Key) -> Result<Option<SystemTime>, Error> {
        let metadata = std::fs::symlink_metadata(self.path(key)?);
        Ok(metadata.and_then(|metadata| metadata.modified()).ok())
    }

    /// Marked ones, the longest untried first; cheap when there is none. Marks without a journal are removed.
    ///
    /// # Errors
    /// When the marks cannot be listed, or one not be removed.
    pub fn failed(&self) -> Result<Vec<Key>, Error> {
        files::collect_temporaries(&self.failed, None)?;
        let mut marked: Vec<(SystemTime, Key)> = Vec::new();
        for name in files::names(&self.failed)? {
            let Some(key) = Key::parse(&name) else { continue };
            let mark = self.failed.join(&name);
            if self.path(&key)?.exists() {
                let modified = std::fs::symlink_metadata(&mark).and_then(|metadata| metadata.modified());
                marked.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), key));
            } else {
                files::remove(&mark)?;
            }
        }
        marked.sort();
        Ok(marked.into_iter().map(|(_, key)| key).collect())
    }

    /// Tries the directory out: writes and removes a file (for STATUS). Nothing is synchronised: a runtime may ask
    /// twice a second.
    ///
    /// # Errors
    /// When it cannot be written there; what would help is in the text.
    pub fn probe(&self) -> Result<(), Error> {
        let path = self.directory.join(".probe");
        files::replace(&path, b"rooknet\n", Durability::None, "journal-probe")?;
        files::remove(&path)
    }
}

fn parse(path: &Path, key: &Key, content: &[u8]) -> Result<Read, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u64,
    }
    let corrupt = |reason: String| Ok(Read::Corrupt(format!("the journal {} {reason}", printable_path(path))));
    // The format first: a later one may have other keys.
    let format = match serde_json::from_slice::<Format>(content) {
        Ok(Format { format }) => format,
        Err(error) => return corrupt(format!("is no journal: {error}")),
    };
    if format > u64::from(FORMAT) {
        return Err(Error::NewerFormat { path: path.to_owned(), found: format, known: FORMAT });
    }
    if format == 0 {
        return corrupt("has format 0".to_owned());
    }
    match serde_json::from_slice::<Journal>(content) {
        Err(error) => corrupt(format!("is no journal: {error}")),
        Ok(journal) if journal.key() != *key => corrupt(format!(
            "contradicts its name: it is of container {:?} and interface {:?}",
            journal.container_id, journal.ifname
        )),
        Ok(journal) => Ok(Read::Whole(Box::new(journal))),
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
