//! A node that takes no further pods with networks of their own: the file `<stateDir>/draining`.
//!
//! Its presence decides, so that an administrator's `touch` does it too; what it says is for people. It lies beside the
//! journals and not below /run: a node that was being drained is still to be drained after a reboot.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::files::{self, Durability};
use crate::cni::text::{printable_path, shortened_to};

/// Bytes of the file, at most.
const SIZE_LIMIT: u64 = 4096;
/// Characters of a reason, at most.
const LONGEST_REASON: usize = 200;

/// That a node is drained, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draining {
    /// Since when, as RFC 3339 says it in seconds; empty when nobody knows.
    pub since: String,
    /// In the words of whoever began it, printable and bounded; empty when none were given.
    pub reason: String,
    /// The file whose removal ends it.
    pub path: PathBuf,
}

/// The file's content: one line of JSON.
#[derive(Serialize, Deserialize)]
struct Content {
    reason: String,
    since: String,
}

/// Whether the node of this stateDir is drained; one open where it is not. A file that cannot be read or understood
/// counts: whoever put it there wants no pods.
pub fn read(state_dir: &Path) -> Option<Draining> {
    let path = path(state_dir);
    let content = match files::read_bounded(&path, SIZE_LIMIT) {
        Ok(None) => return None,
        Ok(Some(content)) => serde_json::from_slice::<Content>(&content).ok(),
        Err(error) => {
            log::warn!("taking the node for drained: {error}");
            None
        }
    };
    let said = content.filter(|content| humantime::parse_rfc3339(&content.since).is_ok());
    let Content { reason, since } = said.unwrap_or_else(|| {
        let modified = std::fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
        Content { reason: String::new(), since: modified.map(in_seconds).unwrap_or_default() }
    });
    Some(Draining { since, reason: shortened_to(LONGEST_REASON, reason.trim()), path })
}

/// Begins to drain, durably. Where it has begun already it goes on since then, for the reason now given.
///
/// # Errors
/// When the file cannot be written.
pub fn begin(state_dir: &Path, reason: &str) -> Result<Draining, Error> {
    let path = path(state_dir);
    let since = read(state_dir).map(|former| former.since).filter(|since| !since.is_empty());
    let since = since.unwrap_or_else(|| in_seconds(SystemTime::now()));
    let reason = shortened_to(LONGEST_REASON, reason.trim());
    let content = Content { reason: reason.clone(), since: since.clone() };
    let mut line = serde_json::to_vec(&content).map_err(|source| Error::Encode { path: path.clone(), source })?;
    line.push(b'\n');
    files::collect_temporaries(state_dir, None)?;
    files::replace(&path, &line, Durability::Entry, "draining")?;
    Ok(Draining { since, reason, path })
}

/// Ends it, durably; false when the node was not drained.
///
/// # Errors
/// When the file cannot be removed.
pub fn end(state_dir: &Path) -> Result<bool, Error> {
    let was_there = read(state_dir).is_some();
    files::remove_durably(&path(state_dir), "draining-end")?;
    files::collect_temporaries(state_dir, None)?;
    Ok(was_there)
}

impl std::fmt::Display for Draining {
    /// `drained since 2026-01-01T00:00:00Z (replacing a disk)`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = if self.since.is_empty() { "an unknown time" } else { &self.since };
        let reason = if self.reason.is_empty() { "no reason is given" } else { &self.reason };
        write!(formatter, "drained since {since} ({reason}), as {} says", printable_path(&self.path))
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("draining")
}

fn in_seconds(time: SystemTime) -> String {
    // humantime takes no time before 1970, and a file may have one.
    humantime::format_rfc3339_seconds(time.max(SystemTime::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::Directory;

    #[test]
    fn what_is_begun_is_read_until_it_is_ended() {
        let directory = Directory::new();
        assert_eq!(read(directory.path()), None);
        assert!(!end(directory.path()).unwrap());
        let begun = begin(directory.path(), "replacing\na disk ").unwrap();
        assert_eq!(begun.reason, "replacing\\na disk");
        assert_eq!(read(directory.path()), Some(begun));
        assert!(end(directory.path()).unwrap());
        assert_eq!(read(directory.path()), None);
        assert!(directory.names("").is_empty());
    }

    #[test]
    fn who_begins_again_changes_the_reason_and_not_since_when() {
        let directory = Directory::new();
        let line = br#"{"reason":"first","since":"2001-02-03T04:05:06Z"}"#;
        std::fs::write(directory.path().join("draining"), line).unwrap();
        begin(directory.path(), "second").unwrap();
        let read = read(directory.path()).unwrap();
        assert_eq!((read.since.as_str(), read.reason.as_str()), ("2001-02-03T04:05:06Z", "second"));
    }

    #[test]
    fn whatever_has_the_name_counts_and_its_age_says_since_when() {
        for content in [&b""[..], b"{", b"\xff", b"{\"reason\":1}", br#"{"reason":"x","since":"soon"}"#, &[b' '; 9999]]
        {
            let directory = Directory::new();
            let path = directory.path().join("draining");
            std::fs::write(&path, content).unwrap();
            let read = read(directory.path()).expect("a malformed file counts");
            assert!(humantime::parse_rfc3339(&read.since).is_ok() && read.reason.is_empty(), "{read:?}");
            let text = read.to_string();
            assert!(text.contains("no reason is given") && text.contains(&*path.to_string_lossy()), "{text}");
        }
        let directory = Directory::new();
        std::fs::create_dir(directory.path().join("draining")).unwrap();
        assert!(read(directory.path()).is_some(), "a directory of that name");
    }
}
