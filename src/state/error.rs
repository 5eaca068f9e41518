//! What went wrong on the node's disk, in words that name the file and what would help.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::deadline::Reason;
use crate::cni::text::printable_path;
use crate::cni::{self, Code};

/// A failed operation of this room. One sentence: operation, path, cause, and what would help where that is known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot {operation} {}: {source}{}", printable_path(.path), advice(.path, .source))]
    Io {
        /// A verb, as in "cannot write".
        operation: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than anything that rooknet expects there.
    #[error("{} is larger than {limit} bytes", printable_path(.path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A container id or interface name that cannot be part of a file name. The protocol's own rules forbid it too, so
    /// a caller that checked them never meets this.
    #[error("the {kind} {name:?} cannot be part of a file name")]
    Name {
        /// `container id` or `interface name`.
        kind: &'static str,
        /// The text.
        name: String,
    },
    /// A journal that a later rooknet wrote: neither readable nor corrupt. It stays where it is.
    #[error(
        "the journal {} has format {found}, and this rooknet knows formats up to {known}: \
         it was written by a newer one, install that again", printable_path(.path)
    )]
    NewerFormat {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that this program reads.
        known: u32,
    },
    /// A value that cannot be written as JSON.
    #[error("cannot write {} as JSON: {source}", printable_path(.path))]
    Encode {
        /// The file it was meant for.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A lock was not released in time.
    #[error(
        "{} for the lock {} after {:.1} s: it is held by {holder}",
        ended(*.reason), printable_path(.path), .waited.as_secs_f64()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// By whom, and what to do about it.
        holder: String,
        /// How long this call has waited.
        waited: Duration,
        /// What ended the waiting.
        reason: Reason,
    },
}

impl Error {
    /// Wraps an error of the system: `.map_err(Error::io("write", path))`.
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { operation, path: path.to_owned(), source }
    }
}

/// For a runtime: code 11 for a lock that another try may get, else 5, reading or writing failed.
impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        let code = if let Error::Locked { .. } = error { Code::TRY_AGAIN_LATER } else { Code::IO };
        cni::Error::new(code, error.to_string())
    }
}

fn ended(reason: Reason) -> &'static str {
    match reason {
        Reason::Deadline => "the time is up for waiting",
        Reason::Signal => "a signal ended the waiting",
    }
}

/// What an administrator can do about it, as the end of the sentence.
fn advice(path: &Path, source: &io::Error) -> String {
    let directory = printable_path(path.parent().unwrap_or(path));
    match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => format!("; free space in the file system of {directory}"),
        Some(libc::EROFS) => format!("; the file system of {directory} must be writable"),
        Some(libc::EACCES | libc::EPERM) => "; rooknet must run as root".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_names_the_directory_to_free() {
        let source = io::Error::from_raw_os_error(libc::ENOSPC);
        let error = Error::io("write", Path::new("/var/lib/rooknet/attachments/a@eth0.json"))(source);
        assert_eq!(
            error.to_string(),
            "cannot write /var/lib/rooknet/attachments/a@eth0.json: No space left on device (os error 28); \
             free space in the file system of /var/lib/rooknet/attachments"
        );
    }

    #[test]
    fn a_lock_that_is_not_released_names_file_and_holder() {
        let error = Error::Locked {
            path: "/run/rooknet/locks/a".into(),
            holder: "rooknet, process 7".into(),
            waited: Duration::from_millis(45_040),
            reason: Reason::Deadline,
        };
        assert_eq!(
            error.to_string(),
            "the time is up for waiting for the lock /run/rooknet/locks/a after 45.0 s: it is held by rooknet, process 7"
        );
    }
}
