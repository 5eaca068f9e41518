//! Directories that are watched for changes, by inotify.
//!
//! A directory that is not there yet is awaited at the nearest one above it that is; watches are set anew after each
//! change, so that one that was removed and made again is not lost.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::net::unix::pipe::Receiver;

/// Bytes of events that are read at once; what they say is of no interest.
const EVENTS: usize = 4096;

/// Directories whose entries are watched.
#[derive(Debug)]
pub struct Watch {
    directories: Vec<PathBuf>,
    inotify: Inotify,
    /// The same descriptor once more: events come out of it as bytes out of a pipe.
    events: Receiver,
}

impl Watch {
    /// Begins to watch: a change after this call is not missed. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the kernel has no watches left (`fs.inotify.max_user_instances`, `max_user_watches`).
    pub fn new(directories: &[PathBuf]) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let events = Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)?;
        let watch = Watch { directories: directories.to_vec(), inotify, events };
        watch.set()?;
        Ok(watch)
    }

    /// Waits until something in the directories has changed: an entry that appeared, was written, renamed or removed.
    /// Dropping it loses nothing, so it can be a branch of a `select`.
    ///
    /// # Errors
    /// As [`Watch::new`].
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut events = [0; EVENTS];
        let mut has_changed = false;
        while !has_changed {
            self.events.readable().await?;
            loop {
                match self.events.try_read(&mut events) {
                    Ok(_) => has_changed = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        self.set()
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
        match self.inotify.add_watch(place, flags) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::state::testing::{Directory, block_on};

    /// Far beyond what it takes: only a test that hangs comes to it.
    const LIMIT: Duration = Duration::from_secs(60);

    async fn expect_change(watch: &mut Watch) {
        tokio::time::timeout(LIMIT, watch.changed()).await.unwrap().unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_awaited_and_then_watched_also_when_it_is_made_again() {
        let parent = Directory::new();
        let watched = parent.path().join("etc/cni/net.d");
        block_on(async {
            let mut watch = Watch::new(std::slice::from_ref(&watched)).unwrap();
            for _ in 0..2 {
                std::fs::create_dir_all(&watched).unwrap();
                expect_change(&mut watch).await;
                let (from, to) = (watched.join("a"), watched.join("b"));
                std::fs::write(&from, "x").unwrap();
                expect_change(&mut watch).await;
                std::fs::rename(from, to).unwrap();
                expect_change(&mut watch).await;
                std::fs::remove_dir_all(&watched).unwrap();
                expect_change(&mut watch).await;
            }
        });
    }
}
