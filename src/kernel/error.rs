//! What the kernel refused, in words that say which object and which operation.

use std::io;
use std::path::PathBuf;

use crate::cni::text::printable_path;

/// A failed operation of this room. One sentence, with the kernel's own reason at its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A network namespace could not be opened, identified, entered or left.
    #[error("cannot {operation} the network namespace {}: {source}{}", printable_path(.path), advice(.source))]
    Namespace {
        /// A verb, as in "cannot open".
        operation: &'static str,
        /// The path by which the caller named it.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a netlink request, or the socket failed.
    #[error("cannot {operation} {object}: {source}{}{}", Explanation(.explanation), advice(.source))]
    Netlink {
        /// A verb, as in "cannot delete".
        operation: &'static str,
        /// Its object: `the link "net1"`.
        object: String,
        /// What the kernel said, as an error number.
        source: io::Error,
        /// What the kernel said in words, when it did ("extended ack").
        explanation: Option<String>,
    },
    /// The kernel's answer has not the form that this program knows.
    #[error("cannot {operation} {object}: the kernel's answer is not understood ({reason})")]
    Answer {
        /// A verb.
        operation: &'static str,
        /// Its object.
        object: String,
        /// Where the understanding ended.
        reason: String,
    },
    /// A list changed each time while it was being read.
    #[error("cannot {operation} {object}: it changed during each of {tries} readings")]
    Unstable {
        /// A verb.
        operation: &'static str,
        /// Its object.
        object: String,
        /// How often it was tried.
        tries: u32,
    },
    /// A default route of a form that could not be put back after a removal, so it is not touched.
    #[error(
        "the {family} default route is {form}, which rooknet does not edit; \
         leave the default route to that network, or configure it with a single gateway"
    )]
    UnsupportedRoute {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// What it is: `a multipath route`.
        form: &'static str,
    },
}

impl Error {
    /// The kernel's error number (`libc::EEXIST` …), when there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Namespace { source, .. } | Error::Netlink { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// What an administrator can do about it, as the end of the sentence.
fn advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "; rooknet must run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN",
        Some(libc::EMFILE | libc::ENFILE) => "; too many files are open: raise the limit of open files",
        _ => "",
    }
}

/// Prints the kernel's own words in brackets, or nothing.
struct Explanation<'a>(&'a Option<String>);

impl std::fmt::Display for Explanation<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(text) => write!(formatter, " ({text})"),
            None => Ok(()),
        }
    }
}
