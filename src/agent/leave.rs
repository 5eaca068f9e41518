//! How rooknet leaves a node whole: the uninstall, and then the node's own links on networks, which an agent had made.
//!
//! They go last, since until then they lead to pods; and by their records, which are of no installation, so that a run
//! that was ended in between is finished by the next one.

use anyhow::{Context, Result};

use super::shim;
use crate::cni::text::printable;
use crate::install::uninstall::{self, Ended, Holder, Options, Report};
use crate::state::installation;
use crate::state::shims::Shims;

/// Takes rooknet and all that its agent had made from the node. `progress` is called whenever what is waited for has
/// changed.
///
/// # Errors
/// As [`uninstall::uninstall`], and when a link cannot be removed; another call goes on from there.
pub async fn leave(options: &Options, progress: impl FnMut(&[Holder])) -> Result<Report> {
    let mut report = uninstall::uninstall(options, progress).await?;
    let networks = match report.outcome {
        Ended::Planned => networks(options)?,
        Ended::Gone if options.dry_run => networks(options)?,
        Ended::Gone => {
            let about = "rooknet is uninstalled, but the node's own links on networks are not all removed";
            let removed = shim::remove_all(&options.state_dir).await.context(about)?;
            installation::remove_state(&options.state_dir)?;
            removed
        }
        Ended::Refused(_) | Ended::TimeUp(_) => Vec::new(),
    };
    let change = |network: String| format!("remove the node's own link on network {}", printable(&network));
    report.changes.extend(networks.into_iter().map(change));
    Ok(report)
}

fn networks(options: &Options) -> Result<Vec<String>> {
    Ok(Shims::new(&options.state_dir).all()?.into_iter().map(|record| record.network).collect())
}
