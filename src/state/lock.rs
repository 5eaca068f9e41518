//! One lock a container, inherited by delegates; one lock between the journals of ADDs and a GC.
//!
//! **The container's lock** is a flock on `<run_dir>/locks/<containerID>`. Its descriptor is inherited by delegates (it
//! has no close-on-exec), and a flock belongs to the open file and not to a process: so when a runtime kills rooknet
//! alone, the lock lasts until its delegate, and that one's IPAM child, have ended. A DEL that follows does not work
//! against a plugin that is still adding.
//!
//! A delegate that hangs would keep the lock for ever. So the holder notes in the file who it is and which process
//! group its delegate leads, and a waiter that finds the holder dead gives that group a grace, then kills it. There is
//! no window in which a delegate acts without being noted: a CNI plugin reads its whole configuration before it acts,
//! and `delegate/` spawns it, calls [`ContainerLock::note_delegate`], and only then feeds its stdin. One that is not
//! noted when rooknet dies reads the end of an empty file.
//!
//! flock rather than a file that exists or not: the kernel releases it, whatever happened.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::deadline::Deadline;
use super::error::Error;
use super::files::{Durability, create_directory, names};
use super::{fault, journal};

pub use super::process::Process;

mod watch;

use watch::{FIRST_PAUSE, Watch, wait};

/// How long a delegate whose rooknet was killed may go on before its process group is killed.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// The note in a lock file always has this length, padded with blanks, so that it is replaced by one write.
const NOTE_LENGTH: usize = 256;

/// What the holder of a lock says of itself, in the lock file: who, and which process group its delegate runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// The rooknet process.
    pub rooknet: Option<Process>,
    /// Leader of the running delegate's process group.
    pub delegate: Option<Process>,
}

/// How long a waiter respects the work of a holder that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// To the end: whoever holds the lock finishes what it does. For ADD and CHECK (a GC passes a held lock over).
    Unlimited,
    /// For two thirds of the time: then the holder's delegate is killed, once, so that the holder fails, undoes its
    /// work and gives the lock up. For DEL: the pod is going away.
    TwoThirds,
}

/// The lock of one container, held; its descriptor is inherited by delegates (no close-on-exec). Dropping releases it.
#[derive(Debug)]
pub struct ContainerLock {
    file: File,
    path: PathBuf,
    own: Option<Process>,
}

impl ContainerLock {
    /// Waits for it until `deadline`. The directory is created.
    ///
    /// While it waits: when the holder's rooknet is dead and its delegate still runs [`ORPHAN_GRACE`] later, that
    /// process group is killed; what `patience` says is done to a holder that is alive.
    ///
    /// # Errors
    /// [`Error::Locked`], naming file and holder, when the time is up or a signal came; [`Error::Io`] when the file
    /// cannot be made.
    pub async fn acquire(
        run_dir: &Path,
        container_id: &str,
        patience: Patience,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        acquire_with(run_dir, container_id, patience, deadline, ORPHAN_GRACE).await
    }

    /// Without waiting: None when it is held.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn try_acquire(run_dir: &Path, container_id: &str) -> Result<Option<Self>, Error> {
        match attempt(&path_of(run_dir, container_id)?)? {
            Attempt::Acquired(lock) => Ok(Some(lock)),
            Attempt::Held(_) => Ok(None),
        }
    }

    /// Takes the lock of a call that was killed, by the file that it left. None when there is no such file, or somebody
    /// holds it: no file is made, because one that nobody holds says that a call was killed.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn try_acquire_left(run_dir: &Path, container_id: &str) -> Result<Option<Self>, Error> {
        let path = path_of(run_dir, container_id)?;
        let file = match options().open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open the lock", &path)(error)),
        };
        match attempt_on(file, &path)? {
            Some(Attempt::Acquired(lock)) => Ok(Some(lock)),
            Some(Attempt::Held(_)) | None => Ok(None),
        }
    }

    /// The containers of which there is a lock file: calls that run, and calls that were killed before they could remove
    /// it. Those have nobody who holds it.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn files(run_dir: &Path) -> Result<Vec<String>, Error> {
        names(&run_dir.join("locks"))
    }

    /// Notes the delegate's group leader (or None when it ended) in the lock file. Not synchronised: /run does not
    /// outlive a boot.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_delegate(&self, delegate: Option<Process>) -> Result<(), Error> {
        self.note(Holder { rooknet: self.own, delegate })?;
        fault::point("lock-noted");
        Ok(())
    }

    /// Removes the lock file and releases, so that none is left of a container that is gone. Who waits for it makes a
    /// new one.
    ///
    /// # Errors
    /// When the file cannot be removed; the lock is released all the same.
    pub fn discard(self) -> Result<(), Error> {
        fault::point("lock-discard");
        // Somebody may have removed it by hand, and another may have made a new one.
        if is_still_at(&self.file, &self.path) {
            super::files::remove(&self.path)?;
        }
        Ok(())
    }

    fn note(&self, holder: Holder) -> Result<(), Error> {
        let failed = Error::io("write", &self.path);
        let mut note =
            serde_json::to_vec(&holder).map_err(|source| Error::Encode { path: self.path.clone(), source })?;
        note.resize(NOTE_LENGTH.max(note.len()), b' ');
        fault::write("lock-note").and_then(|()| self.file.write_all_at(&note, 0)).map_err(failed)
    }
}

impl Drop for ContainerLock {
    fn drop(&mut self) {
        // Explicitly, and not by closing alone: a process that a delegate left behind still has the file open.
        // Nothing can be done about an error, and closing releases it for all others.
        let _ = self.note(Holder::default());
        let _ = self.file.unlock();
    }
}

/// The lock between the journals of ADDs and a GC: shared by an ADD while it writes its journal, exclusive for a GC
/// while it reads all journals and runs its plugins' GC, which must know every attachment that is alive. Dropping
/// releases it.
#[derive(Debug)]
pub struct CollectLock {
    /// Closing it releases the lock.
    _file: File,
}

impl CollectLock {
    /// Waits, until `deadline`, for the end of a GC that runs, its plugins' included; those of a rooknet that was killed
    /// are ended as [`ContainerLock::acquire`] says. Others may share it; it is not inherited.
    ///
    /// # Errors
    /// As [`ContainerLock::acquire`].
    pub async fn shared(run_dir: &Path, deadline: &Deadline) -> Result<Self, Error> {
        let path = Self::path(run_dir);
        let file = open(&path)?;
        let mut watch = Watch::new(Patience::Unlimited, ORPHAN_GRACE, deadline);
        let mut pause = FIRST_PAUSE;
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(CollectLock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            watch.wait(&file, &path, &mut pause, deadline).await?;
        }
    }

    /// Waits, until `deadline`, until nobody else has it. Like a container's lock it is inherited by delegates and
    /// notes them: a plugin's GC that outlives its rooknet frees what an ADD after it has allocated, since that was not
    /// in its list.
    ///
    /// # Errors
    /// As [`ContainerLock::acquire`].
    pub async fn exclusive(run_dir: &Path, deadline: &Deadline) -> Result<ContainerLock, Error> {
        acquire_at(&Self::path(run_dir), Patience::Unlimited, deadline, ORPHAN_GRACE).await
    }

    fn path(run_dir: &Path) -> PathBuf {
        run_dir.join("collect.lock")
    }
}

/// Tries to lock an open file until `deadline`; `holder` says in the error who may have the lock.
pub(super) async fn wait_for(
    file: &File,
    path: &Path,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    holder: &str,
    deadline: &Deadline,
) -> Result<(), Error> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match try_lock(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
        if let Some(reason) = deadline.passed() {
            let (path, holder) = (path.to_owned(), holder.to_owned());
            return Err(Error::Locked { path, holder, waited: started.elapsed(), reason });
        }
        wait(&mut pause, deadline).await;
    }
}

/// One try.
enum Attempt {
    Acquired(ContainerLock),
    Held(File),
}

fn path_of(run_dir: &Path, container_id: &str) -> Result<PathBuf, Error> {
    journal::check_container_id(container_id)?;
    Ok(run_dir.join("locks").join(container_id))
}

/// How lock files are opened.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Opens a lock file, which is made when there is none.
fn open(path: &Path) -> Result<File, Error> {
    let open = || options().create(true).open(path);
    let opened = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directory(path.parent().unwrap_or(path), Durability::None)?;
            open()
        }
        other => other,
    };
    opened.map_err(Error::io("open the lock", path))
}

fn attempt(path: &Path) -> Result<Attempt, Error> {
    loop {
        if let Some(attempt) = attempt_on(open(path)?, path)? {
            return Ok(attempt);
        }
    }
}

/// Tries an open lock file; `None` when it is the lock of nothing any more.
fn attempt_on(file: File, path: &Path) -> Result<Option<Attempt>, Error> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Some(Attempt::Held(file))),
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
    }
    // The former holder may have discarded the file after we opened it. Each further round needs another holder
    // that came and went, so there is an end.
    if is_still_at(&file, path) { take(file, path).map(Attempt::Acquired).map(Some) } else { Ok(None) }
}

fn take(file: File, path: &Path) -> Result<ContainerLock, Error> {
    // The note first: from the moment in which a delegate can inherit the lock, it says whose it is. std sets
    // close-on-exec on every file, so nobody who only waits hands the file on.
    let lock = ContainerLock { file, path: path.to_owned(), own: Process::own().ok() };
    if let Err(error) = lock.note(Holder { rooknet: lock.own, delegate: None }) {
        // A full /run keeps no pod from being deleted: the lock holds without the note.
        log::warn!("{error}");
    }
    fcntl(&lock.file, FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(|errno| Error::io("share the lock", path)(errno.into()))?;
    fault::point("lock-acquired");
    Ok(lock)
}

fn is_still_at(file: &File, path: &Path) -> bool {
    let same = |ours: Metadata, there: Metadata| ours.dev() == there.dev() && ours.ino() == there.ino();
    file.metadata().is_ok_and(|ours| std::fs::symlink_metadata(path).is_ok_and(|there| same(ours, there)))
}

async fn acquire_with(
    run_dir: &Path,
    container_id: &str,
    patience: Patience,
    deadline: &Deadline,
    grace: Duration,
) -> Result<ContainerLock, Error> {
    acquire_at(&path_of(run_dir, container_id)?, patience, deadline, grace).await
}

async fn acquire_at(
    path: &Path,
    patience: Patience,
    deadline: &Deadline,
    grace: Duration,
) -> Result<ContainerLock, Error> {
    let mut watch = Watch::new(patience, grace, deadline);
    let mut pause = FIRST_PAUSE;
    loop {
        let file = match attempt(path)? {
            Attempt::Acquired(lock) => return Ok(lock),
            Attempt::Held(file) => file,
        };
        watch.wait(&file, path, &mut pause, deadline).await?;
    }
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
