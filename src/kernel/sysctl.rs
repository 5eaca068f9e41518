//! Variables of one network namespace below /proc/sys/net.
//!
//! What /proc/sys/net shows depends on the thread that opens the file, and no descriptor of a namespace leads to it.
//! So this is the one thing that is done inside a namespace other than making a socket: open, read or write, close.
//! Nothing in a pod can come between, since these files are the kernel's and not of the pod's file system: the mounts
//! are the caller's throughout.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::error::Error;
use super::netns::Netns;
use crate::cni::names;

/// Bytes of a value, at most. The variables of interfaces and families are numbers.
const LONGEST_VALUE: u64 = 4096;

/// A family of the variables below /proc/sys/net that exist for each interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `net/ipv4/conf`.
    Ipv4,
    /// `net/ipv6/conf`.
    Ipv6,
}

/// The name of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Every interface of a namespace forwards IPv4: `net/ipv4/ip_forward`.
    pub const IPV4_FORWARDING: &'static str = "net/ipv4/ip_forward";

    /// Every interface of a namespace forwards IPv6.
    pub const IPV6_FORWARDING: &'static str = "net/ipv6/conf/all/forwarding";

    /// A variable of the whole namespace, one of this type's constants.
    pub fn of_namespace(path: &'static str) -> Key {
        Key(path.to_owned())
    }

    /// The variable `variable` (`arp_notify`) of one interface. A path and not the dotted form: an interface's name may
    /// have dots (`eth0.100`).
    ///
    /// # Errors
    /// [`Error::SysctlKey`] when there can be no interface of this name, and for `all` and `default`: an interface of
    /// such a name shares its directory with the variables of all others.
    pub fn of_interface(family: Family, interface: &str, variable: &'static str) -> Result<Key, Error> {
        let refused = |reason| Error::SysctlKey { key: interface.to_owned(), reason };
        names::interface(interface).map_err(|error| refused(error.message))?;
        if matches!(interface, "all" | "default") {
            return Err(refused("it stands for all interfaces below /proc/sys/net; rename the interface".to_owned()));
        }
        let family = match family {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        };
        Ok(Key(format!("net/{family}/conf/{interface}/{variable}")))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/proc/sys").join(&self.0)
    }

    /// The same file by way of the first process's root directory.
    fn path_of_node(&self) -> PathBuf {
        PathBuf::from("/proc/1/root/proc/sys").join(&self.0)
    }

    fn failed(&self, netns: &Netns, value: Option<&str>, source: io::Error) -> Error {
        Error::Sysctl { key: self.0.clone(), value: value.map(str::to_owned), path: netns.path().to_owned(), source }
    }
}

/// The value of a variable, without the line's end.
///
/// # Errors
/// When the namespace cannot be entered; when the variable cannot be read: errno ENOENT when the interface is not there,
/// or the kernel has no IPv6.
pub fn read(netns: &Netns, key: &Key) -> Result<String, Error> {
    let path = key.path();
    let value = netns.inside(|| {
        let mut value = String::new();
        File::open(&path)?.take(LONGEST_VALUE).read_to_string(&mut value)?;
        Ok(value)
    })?;
    value.map(|value| value.trim_end().to_owned()).map_err(|source| key.failed(netns, None, source))
}

/// Gives values to variables, in this order, and stops at the first that fails. The namespace is entered once.
///
/// # Errors
/// When the namespace cannot be entered; when a variable cannot be written: errno ENOENT when the interface is not
/// there, or the kernel has no IPv6; EINVAL for a value that the variable does not take; EROFS when /proc/sys is
/// mounted read-only.
pub fn write(netns: &Netns, values: &[(&Key, &str)]) -> Result<(), Error> {
    let written = netns.inside(|| {
        values.iter().try_for_each(|(key, value)| write_one(key, value).map_err(|source| (*key, *value, source)))
    })?;
    written.map_err(|(key, value, source)| key.failed(netns, Some(value), source))
}

/// Gives values to variables as far as that is possible: one that is not there (a kernel without IPv6) or cannot be
/// written (a read-only /proc/sys) is passed over. The namespace is entered once.
///
/// # Errors
/// When the namespace cannot be entered.
pub fn write_where_possible(netns: &Netns, values: &[(&Key, &str)]) -> Result<(), Error> {
    netns.inside(|| values.iter().for_each(|(key, value)| drop(write_one(key, value))))
}

/// The kernel takes a value in one write(2), without a line's end.
///
/// Runtimes show /proc/sys read-only to a container that is not privileged, and the agent is one. It sees the node's
/// processes, so that the first one's root directory leads to the node's own mount of it. Whose variables they are is
/// still decided by the network namespace of this thread, and not by the path.
fn write_one(key: &Key, value: &str) -> io::Result<()> {
    let open = |path| OpenOptions::new().write(true).open(path);
    let mut file = open(key.path()).or_else(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => open(key.path_of_node()).map_err(|_| error),
        _ => Err(error),
    })?;
    let length = file.write(value.as_bytes())?;
    if length == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

#[cfg(test)]
#[path = "sysctl_tests.rs"]
mod tests;
