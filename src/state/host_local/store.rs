//! host-local's store, written: byte for byte what the reference plugin (v1.9.1, `backend/disk`) writes, under its lock.
//!
//! Both programs use one store at the same time, so its format is not ours to change. What is ours is how a file comes
//! into being. The reference creates an address's file and then writes the owner into it: a kill between the two leaves
//! an empty file that nobody owns, and the address is lost for ever. Here the file is written under another name and
//! appears by link(2), whole. An empty file that is met **under the lock** is what a killed writer left, because every
//! writer holds the lock: it is taken over.
//!
//! Nothing is synchronised to the disk. A power loss ends every container of the node, so an address whose file it
//! takes away belongs to nobody; and one whose content it takes away is an empty file, which is reclaimed as above.
//! `last_reserved_ip.*` only says where to go on: without it the search begins at the start of the range.
//!
//! There is one temporary file a store, of a fixed name: the lock admits one writer, which removes what a killed one
//! left. So nothing has to list the directory, which may hold tens of thousands of addresses.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::{DEFAULT_ROOT, lock, owner};
use crate::cni::text::printable_path;
use crate::state::deadline::Deadline;
use crate::state::error::Error;
use crate::state::{fault, files};

/// The temporary file. Its prefix is that of all temporary files of rooknet, so that listings leave it out.
const TEMPORARY: &str = ".rooknet-tmp-host-local";

/// Bytes of a `last_reserved_ip` file, at most: an address.
const MAX_LAST_BYTES: u64 = 64;

/// Who holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// CNI_CONTAINERID.
    pub container_id: &'a str,
    /// CNI_IFNAME.
    pub ifname: &'a str,
}

/// How a file's owner relates to the one that is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Container and interface are the same.
    Exactly,
    /// The same container, in a file of an old store, which does not say which interface.
    WithoutInterface,
    No,
}

/// The store of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The store of `network` below `data_dir`, by default [`DEFAULT_ROOT`]. Touches nothing.
    pub fn new(data_dir: Option<&Path>, network: &str) -> Self {
        Store { directory: data_dir.unwrap_or(Path::new(DEFAULT_ROOT)).join(network) }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes its lock, for which it waits until `deadline`. The directory is created with mode 0755, its parents too.
    ///
    /// # Errors
    /// [`Error::Locked`] when the lock cannot be had in time; [`Error::Io`] when directory or lock cannot be made.
    pub async fn lock(&self, deadline: &Deadline) -> Result<LockedStore, Error> {
        let directory = &self.directory;
        let path = directory.join("lock");
        let file = match lock(&path, deadline).await {
            // Only the first call of a network finds no directory.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let created = DirBuilder::new().recursive(true).mode(0o755).create(directory);
                created.map_err(Error::io("create the directory", directory))?;
                fault::point("host-local-directory");
                lock(&path, deadline).await?
            }
            other => other?,
        };
        fault::point("host-local-locked");
        Ok(LockedStore { directory: directory.clone(), _file: file })
    }

    /// The same for a store that must be there already; `None` when it is not, and nothing is created.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub async fn lock_existing(&self, deadline: &Deadline) -> Result<Option<LockedStore>, Error> {
        if self.directory.is_dir() { self.lock(deadline).await.map(Some) } else { Ok(None) }
    }

    /// Whether `owner` holds `ip`: opens that file alone, without the lock, because an owner's file does not change.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_held(&self, owner: Owner<'_>, ip: IpAddr) -> Result<bool, Error> {
        Ok(holds(&self.file(ip), owner)? != Holds::No)
    }

    /// Whether there is no trace of `owner`: no address, and no temporary file that may be its own. Reads every file,
    /// without the lock: `owner` must be writing nothing now, and what others write is not its own.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub fn has_nothing_of(&self, owner: Owner<'_>) -> Result<bool, Error> {
        if !self.directory.is_dir() {
            return Ok(true);
        }
        Ok(!self.directory.join(TEMPORARY).exists() && scan(&self.directory, owner)?.is_empty())
    }

    /// The addresses that are taken, in no order: names only, no file is opened.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn taken(&self) -> Result<Vec<IpAddr>, Error> {
        addresses(&self.directory)
    }

    /// Whether the file of a taken address is empty: left by a kill, the next allocation may have the address.
    pub fn is_abandoned(&self, ip: IpAddr) -> bool {
        is_abandoned(&self.file(ip))
    }

    /// Whether an allocation could write here: the directory, or as long as it is missing the nearest one above it, is
    /// one and can be written.
    ///
    /// # Errors
    /// [`Error::Io`], naming the directory, when not.
    pub fn is_usable(&self) -> Result<(), Error> {
        let existing = self.directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        if !existing.is_dir() {
            return Err(Error::io("use as a directory", existing)(ErrorKind::NotADirectory.into()));
        }
        access(existing, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|errno| Error::io("write to the directory", existing)(errno.into()))
    }

    fn file(&self, ip: IpAddr) -> PathBuf {
        self.directory.join(ip.to_string())
    }
}

/// A store whose lock is held. Dropping releases it.
#[derive(Debug)]
pub struct LockedStore {
    directory: PathBuf,
    /// Closing it releases the lock; it is not inherited.
    _file: File,
}

impl LockedStore {
    /// Reserves an address for `owner`, unless it is taken; whether it did. An empty file that a kill left counts as
    /// free.
    ///
    /// Fault points: `host-local-address`, with `.begin`, `.created`, `.written`, `.linked`, `.done`.
    ///
    /// # Errors
    /// When the system refuses; the address is then not reserved.
    pub fn reserve(&self, owner: Owner<'_>, ip: IpAddr) -> Result<bool, Error> {
        let path = self.file(ip);
        // A look first: in a pool that is nearly full most candidates are taken, and a look costs least.
        let abandoned = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io("look at", &path)(error)),
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => true,
            Ok(_) => return Ok(false),
        };
        fault::step("host-local-address", "begin");
        let content = format!("{}\r\n{}", owner.container_id.trim(), owner.ifname);
        let temporary = self.write_temporary(content.as_bytes(), &path, "host-local-address")?;
        let linked = if abandoned {
            log::info!("{} was left empty by a call that was killed: taking it over", printable_path(&path));
            std::fs::rename(&temporary, &path)
        } else {
            std::fs::hard_link(&temporary, &path)
        };
        fault::step("host-local-address", "linked");
        // After a rename there is nothing to remove. One that stays is removed by its owner's DEL or the next writer, and
        // is no address.
        let _ = std::fs::remove_file(&temporary);
        fault::step("host-local-address", "done");
        match linked {
            Ok(()) => Ok(true),
            // Somebody wrote without the lock: the address is his.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("write", &path)(error)),
        }
    }

    /// Notes `ip` as the last address that was handed out of a range set.
    ///
    /// Fault points: `host-local-last`, with `.begin`, `.created`, `.written`, `.renamed`.
    ///
    /// # Errors
    /// When the system refuses; the former note is untouched.
    pub fn note_last(&self, range_set: usize, ip: IpAddr) -> Result<(), Error> {
        fault::step("host-local-last", "begin");
        let path = self.last_file(range_set);
        let temporary = self.write_temporary(ip.to_string().as_bytes(), &path, "host-local-last")?;
        std::fs::rename(&temporary, &path).map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            Error::io("replace", &path)(error)
        })?;
        fault::step("host-local-last", "renamed");
        Ok(())
    }

    /// The last address that was handed out of a range set; `None` when that is not known. What cannot be read is
    /// logged and not known: an allocation does not fail for it.
    pub fn last(&self, range_set: usize) -> Option<IpAddr> {
        match files::read_bounded(&self.last_file(range_set), MAX_LAST_BYTES) {
            Ok(content) => String::from_utf8(content?).ok()?.parse().ok(),
            Err(error) => {
                log::warn!("the next address is searched from the beginning of its range: {error}");
                None
            }
        }
    }

    /// The addresses that `owner` holds, those of its container in an old store included. Reads every file.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub fn held_by(&self, owner: Owner<'_>) -> Result<Vec<IpAddr>, Error> {
        Ok(scan(&self.directory, owner)?.into_iter().map(|(ip, _)| ip).collect())
    }

    /// Releases addresses of `owner`, and gives those that it had: of `known` where there are any, which opens just
    /// these files, else all that bear its name, which reads every file. Among all, files that name the container
    /// alone are released when none names the interface too, as the reference does. What is free already, or another
    /// owner's, is passed over.
    ///
    /// Fault points: `host-local-release`, with `.begin` and `.removed`.
    ///
    /// # Errors
    /// The first, when a file cannot be read or removed; the others are released all the same.
    pub fn release(&self, owner: Owner<'_>, known: &[IpAddr]) -> Result<Vec<IpAddr>, Error> {
        let mut first_error = None;
        let mut mine = Vec::new();
        for ip in known {
            match holds(&self.file(*ip), owner) {
                Ok(Holds::No) => {}
                Ok(_) => mine.push(*ip),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if known.is_empty() {
            // What is released after a kill may have been killed while it wrote: the lock says that nobody writes now.
            let _ = files::remove(&self.directory.join(TEMPORARY));
            let found = scan(&self.directory, owner)?;
            let which = if found.iter().any(|(_, holds)| *holds == Holds::Exactly) {
                Holds::Exactly
            } else {
                Holds::WithoutInterface
            };
            mine = found.into_iter().filter(|(_, holds)| *holds == which).map(|(ip, _)| ip).collect();
        }
        let mut released = Vec::new();
        for ip in mine {
            fault::step("host-local-release", "begin");
            match files::remove(&self.file(ip)) {
                Ok(()) => released.push(ip),
                Err(error) => first_error = first_error.or(Some(error)),
            }
            fault::step("host-local-release", "removed");
        }
        first_error.map_or(Ok(released), Err)
    }

    /// Writes the temporary file, which is meant for `target`, and gives its path.
    fn write_temporary(&self, content: &[u8], target: &Path, fault: &str) -> Result<PathBuf, Error> {
        let path = self.directory.join(TEMPORARY);
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // Removed and not overwritten: its killed writer may have linked it to an address already.
                files::remove(&path)?;
                open()
            }
            other => other,
        };
        let written = file.and_then(|mut file| {
            fault::step(fault, "created");
            fault::write(fault)?;
            file.write_all(content)
        });
        if let Err(error) = written {
            let _ = std::fs::remove_file(&path);
            return Err(Error::io("write", target)(error));
        }
        fault::step(fault, "written");
        Ok(path)
    }

    /// Its directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn file(&self, ip: IpAddr) -> PathBuf {
        self.directory.join(ip.to_string())
    }

    fn last_file(&self, range_set: usize) -> PathBuf {
        self.directory.join(format!("last_reserved_ip.{range_set}"))
    }
}

/// The addresses that have a file.
fn addresses(directory: &Path) -> Result<Vec<IpAddr>, Error> {
    Ok(files::names(directory)?.into_iter().filter_map(|name| name.parse().ok()).collect())
}

/// The addresses of `owner` with how it holds each, in order.
fn scan(directory: &Path, owner: Owner<'_>) -> Result<Vec<(IpAddr, Holds)>, Error> {
    let mut found = Vec::new();
    for ip in addresses(directory)? {
        match holds(&directory.join(ip.to_string()), owner)? {
            Holds::No => {}
            holds => found.push((ip, holds)),
        }
    }
    found.sort_by_key(|(ip, _)| *ip);
    Ok(found)
}

fn holds(path: &Path, asked: Owner<'_>) -> Result<Holds, Error> {
    Ok(match owner(path)? {
        Some((id, _)) if id != asked.container_id => Holds::No,
        Some((_, Some(ifname))) if ifname == asked.ifname => Holds::Exactly,
        Some((_, None)) => Holds::WithoutInterface,
        _ => Holds::No,
    })
}

fn is_abandoned(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
