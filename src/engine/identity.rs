//! What makes a link or a namespace a journal's own, whatever a pod has renamed or a runtime has reused since.

use anyhow::Result;

use super::netns::PodNetns;
use crate::cni::names;
use crate::kernel::netns::{self, Identity};
use crate::state::journal::{self, Journal, Key, NetnsIdentity};

/// The interface groups (IFLA_GROUP) of a journal's links in the pod's namespace.
///
/// Two, so that the links which this process made can be deleted together while those of executed plugins are left to
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InterfaceGroups {
    /// Of links that this process made.
    pub(super) native: u32,
    /// Of links that executed plugins made.
    pub(super) executed: u32,
}

/// The groups of a journal's links. Computed from the key, so that they are known even when the journal cannot be read:
/// two journals in one namespace get different groups. Never 0, the kernel's default for everybody's links.
pub(super) fn interface_groups(key: &Key) -> InterfaceGroups {
    let native = names::interface_group(key.container_id.bytes().chain([b'@']).chain(key.ifname.bytes()));
    InterfaceGroups { native, executed: native | 1 }
}

/// A namespace's identity as the journal keeps it.
pub(super) fn journal_identity(netns: &PodNetns) -> NetnsIdentity {
    let Identity { cookie, inode } = netns.identity();
    NetnsIdentity { cookie, inode }
}

/// Whether a namespace is the one of a journal's ADD.
pub(super) fn is_of(journal: &Journal, netns: &PodNetns) -> Result<bool> {
    Ok(is_of_this_boot(journal)? && has_identity_of(journal, netns))
}

/// Finds a journal's namespace under the runtime's path or the one that was journaled. `None` when it is gone.
pub(super) fn live_netns(journal: &Journal, runtime_path: &str) -> Result<Option<PodNetns>> {
    if !is_of_this_boot(journal)? {
        return Ok(None);
    }
    for path in [runtime_path, journal.netns.as_str()] {
        if let Some(netns) = PodNetns::open(path)?
            && has_identity_of(journal, &netns)
        {
            return Ok(Some(netns));
        }
    }
    Ok(None)
}

/// Whether a journal's namespace is gone for certain, where nobody has asked for its end: no path leads there, and no
/// process is in it. A call from a container or another mount namespace does not see the runtime's paths.
pub(super) fn is_gone(journal: &Journal) -> Result<bool> {
    if !is_of_this_boot(journal)? {
        return Ok(true);
    }
    Ok(live_netns(journal, "")?.is_none() && !netns::is_inhabited(&recorded(journal)))
}

fn is_of_this_boot(journal: &Journal) -> Result<bool> {
    Ok(journal.boot_id == journal::boot_id()?)
}

fn has_identity_of(journal: &Journal, netns: &PodNetns) -> bool {
    netns.identity().is(&recorded(journal))
}

fn recorded(journal: &Journal) -> Identity {
    let NetnsIdentity { cookie, inode } = journal.netns_identity;
    Identity { cookie, inode }
}
