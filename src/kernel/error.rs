//! What the kernel refused, in words that say which object and which operation.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::cni;
use crate::cni::Code;
use crate::cni::text::{printable, printable_path, quoted};

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
    /// A link cannot have this name. Nothing was asked of the kernel.
    #[error("cannot {operation} a link: {reason}")]
    Name {
        /// A verb.
        operation: &'static str,
        /// The name, and the rule that it breaks.
        reason: String,
    },
    /// The name of a new link is another's (EEXIST): in the namespace where it was to be, or, before Linux 6.15, in the
    /// one where it was asked for. A temporary name, and [`rename_link`](super::netlink::Netlink::rename_link) then,
    /// tell the two apart.
    #[error("cannot create {object}: a link of this name exists already; delete it, or choose another name")]
    NameTaken {
        /// The new link: `the macvlan "net1" over the link with ifindex 2`.
        object: String,
    },
    /// The link on which a new one was to stand is not there (ENODEV).
    #[error("cannot create {object}: there is no link with ifindex {parent}; was the network card removed?")]
    NoParent {
        /// The new link.
        object: String,
        /// The ifindex of the missing link.
        parent: u32,
    },
    /// The kernel has no links of this kind (EOPNOTSUPP).
    #[error("cannot create {object}: this kernel has no links of kind {kind}; load the module {kind}")]
    UnsupportedKind {
        /// The new link.
        object: String,
        /// Its kind, which is also its module's name: `ipvlan`.
        kind: &'static str,
    },
    /// The kernel's bridges do not look at VLAN tags (EOPNOTSUPP).
    #[error("cannot {operation} {object}: this kernel was built without VLAN filtering (BRIDGE_VLAN_FILTERING)")]
    NoVlanFiltering {
        /// A verb.
        operation: &'static str,
        /// Its object.
        object: String,
    },
    /// IPv6 duplicate address detection failed (RFC 4862, section 5.4.5).
    #[error(
        "the address {address} of the link with ifindex {index} is a duplicate: another host of this network has it; \
         find out which, or give the network a range of its own"
    )]
    DuplicateAddress {
        /// The address.
        address: IpAddr,
        /// ifindex of the link that was to have it.
        index: u32,
    },
    /// Interface group 0 was to be deleted. Nothing was asked of the kernel.
    #[error("cannot delete the links of interface group 0: every link belongs to it that was put into no other")]
    GroupZero,
    /// One link of a group cannot be deleted, so none was (EOPNOTSUPP).
    #[error("cannot delete the links of interface group {group}: one of them cannot be deleted, so none was")]
    UndeletableInGroup {
        /// IFLA_GROUP.
        group: u32,
    },
    /// A link must be up to be asked who has an address (ENETDOWN).
    #[error(
        "cannot probe for addresses on the link with ifindex {index} of the network namespace {}: it is down, or was set \
         down meanwhile; set it up first", printable_path(.path)
    )]
    LinkDown {
        /// Its ifindex.
        index: u32,
        /// The path by which the caller named its namespace.
        path: PathBuf,
    },
    /// The kernel refused a packet socket for ARP, or a packet on it.
    #[error(
        "cannot {operation} ARP packets on the link with ifindex {index} of the network namespace {}: {source}{}",
        printable_path(.path), packet_advice(.source)
    )]
    Arp {
        /// A verb, as in "cannot send".
        operation: &'static str,
        /// ifindex of the link.
        index: u32,
        /// The path by which the caller named its namespace.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A variable below /proc/sys could not be read or written.
    #[error(
        "cannot {} the kernel variable {} in the network namespace {}: {source}{}",
        Access(.value), printable(.key), printable_path(.path), advice(.source)
    )]
    Sysctl {
        /// The variable, as a path below /proc/sys: `net/ipv4/conf/net1/arp_notify`.
        key: String,
        /// What was to be written; None when it was to be read.
        value: Option<String>,
        /// The path by which the caller named the namespace.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No variable can have this key. Nothing was asked of the kernel.
    #[error("{} names no kernel variable of one interface: {reason}", quoted(.key))]
    SysctlKey {
        /// What was given.
        key: String,
        /// The rule that it breaks.
        reason: String,
    },
}

impl Error {
    /// The kernel's error number (`libc::EEXIST` …), when there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Namespace { source, .. }
            | Error::Netlink { source, .. }
            | Error::Sysctl { source, .. }
            | Error::Arp { source, .. } => source.raw_os_error(),
            Error::LinkDown { .. } => Some(libc::ENETDOWN),
            Error::NameTaken { .. } => Some(libc::EEXIST),
            Error::NoParent { .. } => Some(libc::ENODEV),
            Error::UnsupportedKind { .. } | Error::NoVlanFiltering { .. } | Error::UndeletableInGroup { .. } => {
                Some(libc::EOPNOTSUPP)
            }
            _ => None,
        }
    }
}

/// For a runtime: code 11 where another try may get another address, 101 for a name that is taken, else 5.
impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::DuplicateAddress { .. } => Code::TRY_AGAIN_LATER,
            Error::NameTaken { .. } => Code::EXISTS,
            _ => Code::IO,
        };
        cni::Error::new(code, error.to_string())
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

/// As [`advice`], for packet sockets, which need another right and a part of the kernel of their own.
fn packet_advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "; rooknet must run as root, with CAP_NET_RAW",
        Some(libc::EAFNOSUPPORT) => "; load the kernel module af_packet",
        _ => advice(source),
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

/// What was to be done with a kernel variable.
struct Access<'a>(&'a Option<String>);

impl std::fmt::Display for Access<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(value) => write!(formatter, "write {} to", quoted(value)),
            None => write!(formatter, "read"),
        }
    }
}
