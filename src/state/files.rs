//! Files that are whole or absent.
//!
//! A plugin is killed at any instruction and a node loses power at any instruction. So no file is ever changed in
//! place: its new content is written beside it and renamed over it, and how much of that must survive what is said by
//! the caller. A killed writer leaves its temporary file; its name says whose it was, and whoever lists the directory
//! collects it ([`collect_temporaries`]).

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::error::Error;
use super::fault;
use super::process::Process;
use crate::cni;
use crate::cni::text::printable_path;

/// What the name of every temporary file begins with: `.rooknet-tmp-PID.NUMBER-NAME`.
const TEMPORARY: &str = ".rooknet-tmp-";

/// How old a temporary file must be before it counts as left over by whoever its name says, unless the caller holds
/// the lock under which it was written. A process of another PID namespace (a container with the host's directory)
/// would look dead to us.
const TEMPORARY_AGE: Duration = Duration::from_secs(60);

/// Calls of fsync in this process.
static SYNCHRONISED: AtomicU64 = AtomicU64::new(0);

/// What must survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// File and directory are synchronised.
    Entry,
    /// The file's content is synchronised; the rename may be lost: the former content is then there.
    Content,
    /// Nothing is synchronised: for what a reboot may forget.
    None,
}

/// Writes `path` by a temporary file in the same directory and a rename. Mode 0600; missing directories are created
/// with mode 0700, as durably as the file.
///
/// `fault` names the points around it: `.begin`, `.written`, `.renamed`, `.synced`; and the write itself.
///
/// # Errors
/// When the system refuses. Before the rename the former file is untouched and the temporary one gone; after it the new
/// file is there, and only its surviving a power loss is in doubt.
pub fn replace(path: &Path, content: &[u8], durability: Durability, fault: &str) -> Result<(), Error> {
    replace_by(path.file_name().unwrap_or_default(), path, content, durability, fault)
}

/// What the temporary files of [`replace_among_readers`] end with.
const UNREAD: &str = ".new";

/// The same in a directory in which others read every file of a kind, told by the end of its name: the temporary file's
/// name ends otherwise.
///
/// # Errors
/// As [`replace`].
pub fn replace_among_readers(path: &Path, content: &[u8], durability: Durability, fault: &str) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(UNREAD);
    replace_by(&name, path, content, durability, fault)
}

/// `name` is the end of the temporary file's.
fn replace_by(name: &OsStr, path: &Path, content: &[u8], durability: Durability, fault: &str) -> Result<(), Error> {
    fault::step(fault, "begin");
    let (temporary, mut file) = create_temporary(name, path, durability)?;
    let written = (|| {
        fault::write(fault).and_then(|()| file.write_all(content)).map_err(Error::io("write", path))?;
        if durability != Durability::None {
            synchronise(&file).map_err(Error::io("synchronise", path))?;
        }
        fault::step(fault, "written");
        std::fs::rename(&temporary, path).map_err(Error::io("replace", path))
    })();
    if let Err(error) = written {
        // The first error is the one to report; a temporary file that stays is collected later.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    fault::step(fault, "renamed");
    if durability == Durability::Entry {
        sync_directory(directory_of(path))?;
    }
    fault::step(fault, "synced");
    Ok(())
}

/// Renames a file within its file system so that no power loss undoes it; false when it is absent.
///
/// `fault` names the points around it: `.begin`, `.renamed`, `.synced`.
///
/// # Errors
/// When the system refuses.
pub fn rename_durably(from: &Path, to: &Path, fault: &str) -> Result<bool, Error> {
    fault::step(fault, "begin");
    match std::fs::rename(from, to) {
        Ok(()) => {}
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(Error::io("rename", from)(error)),
    }
    fault::step(fault, "renamed");
    sync_directory(directory_of(to))?;
    fault::step(fault, "synced");
    Ok(true)
}

/// Removes a file; Ok when absent. A power loss may bring it back.
///
/// # Errors
/// When the system refuses.
pub fn remove(path: &Path) -> Result<(), Error> {
    unlink(path).map(drop)
}

/// Removes a file so that no power loss brings it back; Ok when absent.
///
/// `fault` names the points around it: `.begin`, `.removed`, `.synced`.
///
/// # Errors
/// When the system refuses; the file may be gone already.
pub fn remove_durably(path: &Path, fault: &str) -> Result<(), Error> {
    fault::step(fault, "begin");
    if unlink(path)? {
        fault::step(fault, "removed");
        sync_directory(directory_of(path))?;
    }
    fault::step(fault, "synced");
    Ok(())
}

/// Whether there was one.
fn unlink(path: &Path) -> Result<bool, Error> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

/// Reads a file of at most `limit` bytes; None when absent. Symbolic links are followed.
///
/// # Errors
/// [`Error::TooLarge`] when it is longer; [`Error::Io`] for anything but a regular file, which is never waited for, and
/// when the system refuses.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some((file, length)) = open_regular(path)? else { return Ok(None) };
    // The file may grow after this, so the size is a hint and not the check.
    let mut content = Vec::with_capacity(usize::try_from(length.min(limit)).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(Error::io("read", path))?;
    if u64::try_from(content.len()).is_ok_and(|length| length > limit) {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(content))
}

/// A regular file, opened for reading, and its length now; `None` when it is absent.
fn open_regular(path: &Path) -> Result<Option<(File, u64)>, Error> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    if !metadata.is_file() {
        let kind = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(Error::io("read", path)(kind));
    }
    Ok(Some((file, metadata.len())))
}

/// The last `limit` bytes of a file, from the beginning of a line on; `None` when it is absent.
///
/// # Errors
/// As [`read_bounded`], but for the size.
pub fn read_tail(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some((mut file, length)) = open_regular(path)? else { return Ok(None) };
    // With the byte before, which tells whether the first line is whole.
    let start = length.saturating_sub(limit.saturating_add(1));
    file.seek(io::SeekFrom::Start(start)).map_err(Error::io("read", path))?;
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(Error::io("read", path))?;
    if length > limit {
        let end = content.iter().position(|byte| *byte == b'\n').map_or(content.len(), |end| end.saturating_add(1));
        content.drain(..end);
    }
    Ok(Some(content))
}

/// The text of a file of at most `limit` bytes; `None` when it is absent.
///
/// # Errors
/// Code 5 when it cannot be read or is longer, code 6 when it is not UTF-8; both name the path.
pub fn read_text(path: &Path, limit: u64) -> Result<Option<String>, cni::Error> {
    let bytes = read_bounded(path, limit)?;
    bytes
        .map(|bytes| {
            String::from_utf8(bytes)
                .map_err(|_| cni::Error::decode(format!("{} is not a text in UTF-8", described(path))))
        })
        .transpose()
}

/// A file as messages name it (`file /etc/…`).
pub fn described(path: &Path) -> String {
    format!("file {}", printable_path(path))
}

/// Creates a directory and its parents with mode 0700; Ok when it exists. With [`Durability::Entry`] the entries of
/// those that are created survive a power loss.
///
/// # Errors
/// When the system refuses, or something else has the name.
pub fn create_directory(path: &Path, durability: Durability) -> Result<(), Error> {
    let create = || DirBuilder::new().mode(0o700).create(path);
    let created = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent().is_some() => {
            create_directory(directory_of(path), durability)?;
            create()
        }
        other => other,
    };
    match created {
        Ok(()) if durability == Durability::Entry => sync_directory(directory_of(path)),
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(Error::io("create the directory", path)(error)),
    }
}

/// Makes the entries of a directory survive a power loss.
///
/// # Errors
/// When the system refuses.
pub fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| synchronise(&directory)).map_err(Error::io("synchronise", path))
}

pub(super) fn synchronise(file: &File) -> io::Result<()> {
    SYNCHRONISED.fetch_add(1, Ordering::Relaxed);
    file.sync_all()
}

/// How often this process has waited for the disk (fsync): what a call costs, whatever machine it runs on.
pub fn synchronisations_of_process() -> u64 {
    SYNCHRONISED.load(Ordering::Relaxed)
}

/// The names in a directory in no order, temporary files left out; none when there is no such directory. Names that
/// are not UTF-8 are not ours and left out too.
///
/// # Errors
/// When it cannot be listed.
pub fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let mut names = all_names(directory)?;
    names.retain(|name| !name.starts_with(TEMPORARY));
    Ok(names)
}

/// As [`names`], of a directory that must be there.
///
/// # Errors
/// When it cannot be listed, also because there is none.
pub fn names_in_existing(directory: &Path) -> Result<Vec<String>, Error> {
    std::fs::read_dir(directory).map_err(Error::io("list", directory))?;
    names(directory)
}

/// The paths of all that lies in a directory, in no order; none when there is no such directory.
///
/// # Errors
/// As [`names`].
pub fn paths(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", directory)(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("list", directory))).collect()
}

/// Removes what killed writers left in a directory: the temporary files of processes that are gone, once they are a
/// minute old; and every one that was meant for `target`, if given: its lock must be held. Returns how many.
///
/// # Errors
/// When the directory cannot be listed, or a file not be removed.
pub fn collect_temporaries(directory: &Path, target: Option<&str>) -> Result<usize, Error> {
    let mut collected = 0_usize;
    for name in all_names(directory)? {
        let Some((owner, meant_for)) = parse_temporary(&name) else { continue };
        let path = directory.join(&name);
        let ours = owner == std::process::id();
        let abandoned = || !is_running(owner) && is_old(&path);
        let is_meant =
            target.is_some_and(|target| meant_for == target || meant_for.strip_suffix(UNREAD) == Some(target));
        if (is_meant && !ours) || abandoned() {
            remove(&path)?;
            collected = collected.saturating_add(1);
        }
    }
    Ok(collected)
}

fn all_names(directory: &Path) -> Result<Vec<String>, Error> {
    let name = |path: PathBuf| path.file_name()?.to_str().map(ToOwned::to_owned);
    Ok(paths(directory)?.into_iter().filter_map(name).collect())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

fn is_running(id: u32) -> bool {
    i32::try_from(id).ok().and_then(Process::find).is_some_and(|process| process.is_alive())
}

fn is_old(path: &Path) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= TEMPORARY_AGE))
}

/// The directory of a file; a bare name is in the current one.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

pub(super) fn create_temporary(name: &OsStr, path: &Path, durability: Durability) -> Result<(PathBuf, File), Error> {
    let directory = directory_of(path);
    match open_temporary(directory, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directory(directory, durability)?;
            open_temporary(directory, name)
        }
        other => other,
    }
    .map_err(Error::io("write", path))
}

fn open_temporary(directory: &Path, name: &OsStr) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // A killed process of the same id may have left a file of this name: the next number is free at some time.
    const TRIES: u32 = 100;
    let mut result = Err(io::Error::from(io::ErrorKind::AlreadyExists));
    for _ in 0..TRIES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(format!("{TEMPORARY}{}.{number}-", std::process::id()));
        temporary.push(name);
        let path = directory.join(temporary);
        let opened =
            OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&path);
        result = opened.map(|file| (path, file));
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    result
}

/// Owner and target of a temporary file, by its name.
fn parse_temporary(name: &str) -> Option<(u32, &str)> {
    let (owner, target) = name.strip_prefix(TEMPORARY)?.split_once('-')?;
    let (id, _) = owner.split_once('.')?;
    Some((id.parse().ok()?, target))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
