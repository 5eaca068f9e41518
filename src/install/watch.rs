//! Directories that are watched for changes, by inotify.
//!
//! A directory that is not there yet is awaited at the nearest one above it that is; watches are set anew after each
//! change, so that one that was removed and made again is not lost.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

/// Directories whose entries are watched.
#[derive(Debug)]
pub struct Watch {
    directories: Vec<PathBuf>,
    inotify: AsyncFd<Events>,
}

/// nix gives no [`AsRawFd`], by which tokio registers it.
#[derive(Debug)]
struct Events(Inotify);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Begins to watch: a change after this call is not missed. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel has no watches left (`fs.inotify.max_user_instances`, `max_user_watches`).
    pub fn new(directories: &[PathBuf]) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let watch = Watch { directories: directories.to_vec(), inotify: AsyncFd::new(Events(inotify))? };
        watch.set()?;
        Ok(watch)
    }

    /// Waits until something in the directories has changed: an entry that appeared, was written, renamed or removed.
    /// Dropping it loses nothing, so it can be a branch of a `select`.
    ///
    /// # Errors
    /// As [`Watch::new`].
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.get_inner().0.read_events() {
                Ok(_) => {
                    drop(ready);
                    return self.set();
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn set(&self) -> io::Result<()> {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        for directory in &self.directories {
            for place in directory.ancestors() {
                if self.add(place, flags)? {
                    if place != directory {
                        // What appeared between the failure and the watch above it would be missed.
                        self.add(directory, flags)?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether there is such a directory.
    fn add(&self, place: &Path, flags: AddWatchFlags) -> io::Result<bool> {
        match self.inotify.get_ref().0.add_watch(place, flags) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
