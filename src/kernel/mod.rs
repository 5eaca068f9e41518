//! The kernel's networking: namespaces, netlink, ARP, variables below /proc/sys/net. The only room with `unsafe`, and with system calls on networking.
//!
//! A plugin is one thread and lives for milliseconds. So a namespace is entered for one purpose only, to make a
//! socket in it, and left at once: a socket keeps the namespace that it was made in, and everything else is done
//! through it from where the process belongs. Only variables below /proc/sys/net cannot be reached in this way.
//! Nothing above this room ever runs inside a pod's namespace.

pub mod arp;
mod error;
pub mod netlink;
pub mod netns;
pub mod sysctl;

#[cfg(test)]
pub(crate) mod testing;

pub use error::Error;
