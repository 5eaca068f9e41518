//! What is attached: the journals, what is wrong with them, and whose containers are gone.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Examination, table};
use crate::cni::text::{printable, printable_path};
use crate::engine::collect::{Listed, is_gone};
use crate::runtime::Sandbox;
use crate::state;
use crate::state::files;
use crate::state::journal::{Journal, Key, Read};
use crate::state::lock::ContainerLock;

/// What the journals say.
pub(super) struct Attached {
    /// For people.
    pub(super) listed: Vec<Listed>,
    /// Those that can be read.
    pub(super) journals: Vec<Known>,
    /// Keys of all, also of those that cannot be read.
    pub(super) keys: BTreeSet<Key>,
}

/// A journal that can be read.
pub(super) struct Known {
    pub(super) journal: Journal,
    /// Its container lives, and nobody is working on it.
    pub(super) is_settled: bool,
}

impl Attached {
    /// Whether a container has a journal.
    pub(super) fn has(&self, container_id: &str) -> bool {
        self.keys.iter().any(|key| key.container_id == container_id)
    }
}

/// Reads the journals.
///
/// # Errors
/// When they cannot be listed.
pub(super) fn look_at(seen: &mut Examination<'_>, sandboxes: Option<&[Sandbox]>) -> Result<Attached> {
    let listed = seen.configuration.collector.list()?;
    let mut attached = Attached { keys: listed.iter().map(Listed::key).collect(), journals: Vec::new(), listed };
    for entry in &attached.listed {
        let key = entry.key();
        let named = format!("attachment {}", shown(&key));
        if entry.failed {
            seen.found(&table::UNDO_FAILED, format_args!("{named} could not be undone"));
        }
        match seen.configuration.collector.read(&key) {
            Ok(Read::Missing) => {}
            Ok(Read::Corrupt(reason)) => seen.found(&table::JOURNAL_CORRUPT, reason),
            Ok(Read::Whole(journal)) => {
                let is_settled = judge(seen, &journal, sandboxes);
                attached.journals.push(Known { journal: *journal, is_settled });
            }
            Err(error) => match error.downcast_ref::<state::Error>() {
                Some(state::Error::NewerFormat { .. }) => seen.found(&table::JOURNAL_OF_NEWER, error),
                _ => seen.found(&table::JOURNAL_CORRUPT, format_args!("{named}: {error:#}")),
            },
        }
    }
    let aside = seen.configuration.state_dir.join("corrupt");
    for name in files::names(&aside)? {
        seen.found(&table::JOURNAL_SET_ASIDE, printable_path(&aside.join(name)));
    }
    Ok(attached)
}

/// An attachment as messages name it, and as `rooknetctl attachments` takes it.
pub(super) fn shown(key: &Key) -> String {
    printable(&format!("{} (interface {})", key.container_id, key.ifname))
}

/// A journal as messages name it.
pub(super) fn described(journal: &Journal) -> String {
    let pod = if journal.pod.is_empty() { String::new() } else { format!(" of pod {}", printable(&journal.pod)) };
    format!("attachment {}{pod}", shown(&journal.key()))
}

/// Whether a journal's container lives and its attachments are complete; what is wrong with it otherwise.
fn judge(seen: &mut Examination<'_>, journal: &Journal, sandboxes: Option<&[Sandbox]>) -> bool {
    let about = described(journal);
    if is_at_work(seen, &journal.container_id) {
        return false;
    }
    if !journal.complete {
        // A call that ended meanwhile has completed or removed it.
        let now = seen.configuration.collector.read(&journal.key());
        if matches!(now, Ok(Read::Whole(now)) if !now.complete) {
            seen.found(&table::UNFINISHED, format_args!("the ADD of {about} has no end, and nobody works on it"));
        }
        return false;
    }
    match is_gone(journal) {
        Ok(false) => true,
        Ok(true) => {
            let is_known = sandboxes.is_some_and(|known| known.iter().any(|one| one.id == journal.container_id));
            // While the runtime knows the container, its DEL is to come.
            if !is_known {
                seen.found(&table::STALE, format_args!("the network namespace of {about} is gone"));
            }
            false
        }
        Err(error) => {
            seen.skipped(format_args!("whether {about} lives: {error:#}"));
            false
        }
    }
}

/// Whether a call holds the container's lock. To ask takes it for a moment, where a lock file is there at all.
fn is_at_work(seen: &Examination<'_>, container_id: &str) -> bool {
    let run_dir = &seen.place.run_dir;
    let has_file = ContainerLock::files(run_dir).unwrap_or_default().iter().any(|name| name == container_id);
    // Dropped and not discarded: a file that nobody holds says that a call was killed.
    has_file && matches!(ContainerLock::try_acquire_left(run_dir, container_id), Ok(None))
}
