//! Waiting for a lock: how often it is tried, and what is done to a holder that does not give it up.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Holder, NOTE_LENGTH, Patience};
use crate::cni::text::printable_path;
use crate::state::deadline::Deadline;
use crate::state::error::Error;
use crate::state::process::{self, Process};

/// Between two tries: from the first to the last, doubling.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(25);

pub(super) async fn wait(pause: &mut Duration, deadline: &Deadline) {
    // Whichever of the two came first: the caller tries once more, then asks the deadline.
    let _ = tokio::time::timeout(*pause, deadline.wait()).await;
    *pause = pause.saturating_mul(2).min(LAST_PAUSE);
}

/// What a waiter has seen of the holder, and done to it.
pub(super) struct Watch {
    patience: Patience,
    grace: Duration,
    started: Instant,
    /// What it had when it started.
    time: Duration,
    /// A delegate whose rooknet is dead, and since when that is known.
    orphan: Option<(Process, Instant)>,
    /// The rooknet whose delegate was killed: once is enough, what it runs next is its rollback.
    evicted: Option<Process>,
}

impl Watch {
    pub(super) fn new(patience: Patience, grace: Duration, deadline: &Deadline) -> Self {
        Watch { patience, grace, started: Instant::now(), time: deadline.remaining(), orphan: None, evicted: None }
    }

    /// Looks at the holder and waits until the next try; an error when the time for tries is over.
    pub(super) async fn wait(
        &mut self,
        file: &File,
        path: &Path,
        pause: &mut Duration,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        if let Some(reason) = deadline.passed() {
            let (path, holder) = (path.to_owned(), describe(file));
            return Err(Error::Locked { path, holder, waited: self.started.elapsed(), reason });
        }
        self.look(file, path);
        wait(pause, deadline).await;
        Ok(())
    }

    fn look(&mut self, file: &File, path: &Path) {
        let Some(Holder { rooknet: Some(rooknet), delegate: Some(delegate) }) = read_note(file) else {
            self.orphan = None;
            return;
        };
        if rooknet.is_alive() {
            self.orphan = None;
            let late = self.started.elapsed() >= self.time.saturating_mul(2).checked_div(3).unwrap_or_default();
            if self.patience == Patience::TwoThirds && late && self.evicted != Some(rooknet) {
                self.evicted = Some(rooknet);
                let why = "which is needed to delete the container";
                end(
                    delegate,
                    file,
                    &format!("its rooknet, process {}, still holds {}, {why}", rooknet.id, printable_path(path)),
                );
            }
            return;
        }
        match self.orphan {
            Some((seen, since)) if seen == delegate => {
                if since.elapsed() >= self.grace {
                    end(
                        delegate,
                        file,
                        &format!("its rooknet was killed, and it still holds {}", printable_path(path)),
                    );
                }
            }
            _ => self.orphan = Some((delegate, Instant::now())),
        }
    }
}

fn end(delegate: Process, lock: &File, why: &str) {
    if lock.metadata().is_ok_and(|lock| process::kill_group(delegate, &lock)) {
        log::warn!(group = delegate.id; "killed the process group of a delegate: {why}");
    }
}

pub(super) fn read_note(file: &File) -> Option<Holder> {
    let mut note = [0; NOTE_LENGTH];
    let length = file.read_at(&mut note, 0).ok()?;
    serde_json::from_slice(note.get(..length)?).ok()
}

/// Who holds a lock and what to do, for the error of who waited in vain.
fn describe(file: &File) -> String {
    let holder = read_note(file).unwrap_or_default();
    if let Some(rooknet) = holder.rooknet.filter(Process::is_alive) {
        return format!("rooknet, process {}; try again when that call has ended, or end it", rooknet.id);
    }
    let others = file.metadata().map(|file| process::inheritors(&file)).unwrap_or_default();
    if others.is_empty() {
        return "a process that cannot be found; try again".to_owned();
    }
    let list: Vec<String> = others.iter().map(ToString::to_string).collect();
    format!("what a plugin left running: process {}; end it and try again", list.join(", "))
}
