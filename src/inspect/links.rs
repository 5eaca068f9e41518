//! What the kernel shows: whether living attachments still have their interfaces, and whether interfaces of ours are
//! there that no journal knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::attachments::{Attached, described};
use super::{Examination, table};
use crate::cni::text::{printable, printable_path};
use crate::engine::collect::interface_groups;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::Netns;
use crate::state::files;

/// Where runtimes keep pods' namespaces.
const NAMESPACES: &str = "/run/netns";

/// Looks into the namespaces of all journals, and of all pods.
pub(super) async fn look_at(seen: &mut Examination<'_>, attached: &Attached) {
    let mut paths: BTreeSet<PathBuf> = match files::paths(Path::new(NAMESPACES)) {
        Ok(paths) => paths.into_iter().collect(),
        Err(error) => {
            seen.skipped(format_args!("interfaces without a journal: {error}"));
            BTreeSet::new()
        }
    };
    let canonical = |path: &str| std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let settled: Vec<_> =
        attached.journals.iter().filter(|known| known.is_settled).map(|known| &known.journal).collect();
    paths.extend(settled.iter().map(|journal| canonical(&journal.netns)));
    let known_groups: BTreeSet<u32> = attached.keys.iter().flat_map(interface_groups).collect();
    for path in paths {
        // One that has just ended is none.
        let Ok(Some(netns)) = Netns::open(&path) else { continue };
        if netns.is_own().unwrap_or(true) {
            continue;
        }
        let links = match Netlink::inside(&netns) {
            Ok(netlink) => netlink.links().await,
            Err(error) => Err(error),
        };
        let links = match links {
            Ok(links) => links,
            Err(error) => {
                seen.skipped(format_args!("the interfaces in {}: {error}", printable_path(&path)));
                continue;
            }
        };
        for journal in settled.iter().filter(|journal| canonical(&journal.netns) == path) {
            for attachment in &journal.attachments {
                let Some(identity) = &attachment.link else { continue };
                if !links.iter().any(|link| link.index == identity.index && link.kind == identity.kind) {
                    let (interface, network) = (printable(&attachment.ifname), printable(&attachment.network));
                    let about = described(journal);
                    seen.found(
                        &table::LINK_MISSING,
                        format_args!("interface {interface} of network {network}, {about}"),
                    );
                }
            }
        }
        for link in links.iter().filter(|link| is_ours(link) && !known_groups.contains(&link.group)) {
            // An ADD may have written its journal after the list was read.
            let is_known = seen
                .configuration
                .collector
                .list()
                .is_ok_and(|now| now.iter().any(|listed| interface_groups(&listed.key()).contains(&link.group)));
            if !is_known {
                let (name, place) = (printable(&link.name), printable_path(&path));
                seen.found(&table::LINK_WITHOUT_JOURNAL, format_args!("interface {name} ({}) in {place}", link.kind));
            }
        }
    }
}

/// Whether a link is in a group as rooknet makes them: other programs use small numbers.
fn is_ours(link: &Link) -> bool {
    link.group & 0xc000_0000 == 0x4000_0000
}
