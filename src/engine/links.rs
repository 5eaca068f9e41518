//! The links that this process made for a journal, deleted together.
//!
//! The kernel waits once for each request until nobody uses the deleted links any more, some ten milliseconds, however
//! many they are. So they go by one request on the journal's interface group. That request names no link, and a pod with
//! NET_ADMIN can put any of its links into any group, so it is sent only after every link found in the group was matched
//! with what the journal knows; afterwards each link is looked for again, and what is still there (its group was changed;
//! one that cannot be deleted fails the request for all) goes one by one.

use anyhow::Result;

use crate::kernel::netlink::{Link, Netlink};
use crate::state::fault;
use crate::state::journal::LinkIdentity;

/// A link to be deleted, as the journal knows it.
pub(super) struct Wanted<'a> {
    /// What was recorded after its creation; `None` of an ADD that was killed.
    pub(super) identity: Option<&'a LinkIdentity>,
    /// The name that it was to get.
    pub(super) ifname: &'a str,
    /// The kind that its network's plugin makes.
    pub(super) kinds: Vec<&'static str>,
}

impl Wanted<'_> {
    fn is_identified(&self, link: &Link) -> bool {
        self.identity.is_some_and(|identity| identity.index == link.index && identity.kind == link.kind)
    }

    fn may_have_made(&self, link: &Link) -> bool {
        self.identity.is_none() && self.kinds.contains(&link.kind.as_str())
    }
}

/// Deletes the links of `wanted` that are there; the outcome of each, in their order. `group` is the interface group in
/// which they were made.
///
/// # Errors
/// When the pod's links cannot be listed: nothing is known of any of them then.
pub(super) async fn delete_together(netlink: &Netlink, group: u32, wanted: &[Wanted<'_>]) -> Result<Vec<Result<()>>> {
    let links = netlink.links().await?;
    let found = find(&links, group, wanted);
    let ours: Vec<&Link> = found.iter().flatten().copied().collect();
    let mut in_group = links.iter().filter(|link| link.group == group);
    if ours.len() > 1 && in_group.all(|link| ours.iter().any(|own| own.index == link.index)) {
        fault::point("undo.group");
        if let Err(error) = netlink.delete_group(group).await {
            log::warn!("deleting the interfaces one by one: {error}");
        }
        fault::point("undo.group-deleted");
    }
    let left = if ours.is_empty() { Vec::new() } else { netlink.links().await? };
    let mut outcomes = Vec::with_capacity(wanted.len());
    for links in &found {
        let mut outcome = Ok(());
        for link in links {
            if let Some(link) = left.iter().find(|left| left.index == link.index && left.kind == link.kind)
                && let Err(error) = netlink.delete_link(link.index).await
            {
                outcome = Err(error.into());
            }
        }
        fault::point("undo.link-deleted");
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// For each of `wanted` its links. One that was recorded is known by its identity. Of a killed ADD it is the one of the
/// planned name, which was free then, and whatever else is in the group, to which nobody else adds links: the kill may
/// have come before the link had its name.
fn find<'a>(links: &'a [Link], group: u32, wanted: &[Wanted<'_>]) -> Vec<Vec<&'a Link>> {
    let is_identified = |link: &Link| wanted.iter().any(|wanted| wanted.is_identified(link));
    let is_named = |link: &Link| wanted.iter().any(|wanted| wanted.may_have_made(link) && wanted.ifname == link.name);
    let mut nameless: Vec<&Link> =
        links.iter().filter(|link| link.group == group && !is_identified(link) && !is_named(link)).collect();
    let mut found = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let mut own: Vec<&Link> = links
            .iter()
            .filter(|link| {
                wanted.is_identified(link)
                    || (wanted.may_have_made(link) && link.name == wanted.ifname && !is_identified(link))
            })
            .collect();
        let (mine, others) = nameless.into_iter().partition(|link| wanted.may_have_made(link));
        nameless = others;
        own.extend::<Vec<&Link>>(mine);
        found.push(own);
    }
    found
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
