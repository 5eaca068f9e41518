//! A journal that cannot be read: what it said is lost, so undo what the world still shows.
//!
//! Two traces name their owner without the journal: links in this journal's interface group, and host-local's address
//! files. Everything else that a plugin may hold (an address of another IPAM) cannot be known, which the log says. The
//! file is set aside for people to read, so that this is done and reported once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::call::Call;
use super::identity::interface_groups;
use super::netns::PodNetns;
use super::undo::delete_virtual;
use crate::state::deadline::Deadline;
use crate::state::journal::{Key, Read};
use crate::state::{fault, host_local};

/// How long host-local's lock may be held by others, for each address, within the call's deadline.
const STORE_WAIT: Duration = Duration::from_secs(5);

/// Undoes what can be seen of the journal under `key`, and sets its file aside.
///
/// # Errors
/// A link or an address that could not be removed; the file stays where it is then.
pub(super) async fn undo(call: &Call, key: &Key, reason: &str, deadline: &Deadline) -> Result<()> {
    log::error!(
        "the journal of this container cannot be read ({reason}): undoing what its interface group and host-local's \
         owner lines show; addresses of another IPAM plugin stay allocated"
    );
    let about = "what an unreadable journal left could not be undone";
    let interfaces = delete_links(call, key).await.context(about)?;
    // After the links only: an address that still answers must not be handed out again.
    release_addresses(call, key, &interfaces, deadline).await.context(about)?;
    let aside = call.journals.set_aside(key)?;
    log::error!("the unreadable journal is kept as {}: delete it when it has been looked at", aside.display());
    Ok(())
}

/// Deletes the links of this journal's group, and says which interface names they had.
async fn delete_links(call: &Call, key: &Key) -> Result<Vec<String>> {
    let Some(netns) = PodNetns::open(&call.environment.netns)? else { return Ok(Vec::new()) };
    let netlink = netns.netlink()?;
    let mut names = Vec::new();
    let groups = interface_groups(key);
    for link in netlink.links_of_groups(&[groups.native, groups.executed]).await? {
        delete_virtual(netlink, &link).await?;
        fault::point("corrupt.link-deleted");
        names.push(link.name);
    }
    Ok(names)
}

/// Releases host-local's addresses of this container, except those that somebody else answers for: in chained mode the
/// primary plugin's, and those of the container's other journals.
async fn release_addresses(call: &Call, key: &Key, interfaces: &[String], deadline: &Deadline) -> Result<()> {
    let others = others(call, key)?;
    for reservation in host_local::find(Path::new(host_local::DEFAULT_ROOT), &key.container_id)? {
        // An old store does not say for which interface.
        let is_certain = reservation.ifname.as_ref().is_some_and(|ifname| interfaces.contains(ifname));
        let is_primary =
            !call.config.is_delegating() && reservation.ifname.as_ref().is_none_or(|ifname| *ifname == key.ifname);
        if is_primary || (!is_certain && others.may_answer_for(reservation.ifname.as_ref())) {
            log::warn!("leaving {}: it may not belong to this journal", reservation.path.display());
        } else if host_local::release(&reservation, &key.container_id, STORE_WAIT.min(deadline.remaining())).await? {
            log::warn!(network = reservation.network.as_str(); "released the address {}", reservation.ip);
            fault::point("corrupt.address-released");
        }
    }
    Ok(())
}

/// What a container's other journals say.
#[derive(Default)]
struct Others {
    /// Their interfaces, the runtime's included.
    interfaces: Vec<String>,
    /// One of them cannot be read either: its interfaces may be any.
    unknown: bool,
}

impl Others {
    /// `None`: an address that does not say for which interface it is.
    fn may_answer_for(&self, ifname: Option<&String>) -> bool {
        self.unknown || ifname.map_or(!self.interfaces.is_empty(), |ifname| self.interfaces.contains(ifname))
    }
}

fn others(call: &Call, key: &Key) -> Result<Others> {
    let mut others = Others::default();
    for other in call.journals.keys()? {
        if other.container_id != key.container_id || other.ifname == key.ifname {
            continue;
        }
        match call.journals.read(&other) {
            Ok(Read::Whole(journal)) => {
                others.interfaces.extend(journal.attachments.into_iter().map(|attachment| attachment.ifname));
            }
            Ok(Read::Missing) => continue,
            Ok(Read::Corrupt(_)) | Err(_) => others.unknown = true,
        }
        others.interfaces.push(other.ifname);
    }
    Ok(others)
}
