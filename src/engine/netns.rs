//! The pod's network namespace, as a call works on it.
//!
//! A path may lead nowhere by now, to another namespace (runtimes reuse paths), or to the node's own: what is open here
//! was a pod's when it was opened, and stays the same whatever becomes of its path.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::Result;

use crate::cni::{Error, text};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Identity, Netns};

/// Characters of CNI_NETNS in a message, at most: a path of containerd's has 60 or so, and the kernel takes 4096.
const MAX_SHOWN_PATH: usize = 256;

/// A pod's namespace, open, with the path that leads to it.
pub(super) struct PodNetns {
    pub(super) path: String,
    netns: Netns,
    netlink: OnceCell<Netlink>,
}

impl PodNetns {
    /// The namespace at `path`; `None` when the path is empty, leads to no network namespace, or to the node's own.
    ///
    /// # Errors
    /// When the path cannot be looked at.
    pub(super) fn open(path: &str) -> Result<Option<Self>> {
        if path.is_empty() {
            return Ok(None);
        }
        let Some(netns) = Netns::open(Path::new(path))? else { return Ok(None) };
        if netns.is_own()? {
            return Ok(None);
        }
        Ok(Some(PodNetns { path: path.to_owned(), netns, netlink: OnceCell::new() }))
    }

    /// The namespace of an ADD or CHECK, which must be there.
    ///
    /// # Errors
    /// Code 4 when CNI_NETNS is no network namespace, or this process's own: attaching there would put a pod's
    /// interfaces on the node.
    pub(super) fn required(path: &str) -> Result<Self> {
        if let Some(netns) = PodNetns::open(path)? {
            return Ok(netns);
        }
        let shown = text::shortened_to(MAX_SHOWN_PATH, path);
        Err(Error::environment(match Netns::open(Path::new(path))? {
            None => format!("CNI_NETNS {shown} is not a network namespace"),
            Some(_) => {
                format!("CNI_NETNS {shown} is the node's own network namespace: rooknet attaches pods only")
            }
        })
        .into())
    }

    pub(super) fn netns(&self) -> &Netns {
        &self.netns
    }

    pub(super) fn identity(&self) -> Identity {
        self.netns.identity()
    }

    /// The socket in this namespace: opened when it is first needed, and one for all of a call.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or no socket can be made.
    pub(super) fn netlink(&self) -> Result<&Netlink> {
        if let Some(netlink) = self.netlink.get() {
            return Ok(netlink);
        }
        let netlink = Netlink::inside(&self.netns)?;
        Ok(self.netlink.get_or_init(|| netlink))
    }
}

/// CNI_NETNS for a DEL: empty when the namespace is gone, because with a path that leads nowhere some plugins create a
/// file there.
pub(super) fn path_or_empty(netns: Option<&PodNetns>) -> &str {
    netns.map_or("", |netns| netns.path.as_str())
}
