//! Network definitions for the repairs: those of the snapshot, also of one that nobody vouches for.

use std::path::Path;

use crate::cni::Error;
use crate::multinet::definition::Definition;
use crate::multinet::source::NetworkSource as _;
use crate::state::definitions;
use crate::state::networks::FileNetworks;

/// What the snapshot has.
pub(super) struct Known {
    /// Those that can be read.
    pub(super) definitions: Vec<Definition>,
    /// `namespace/name` of those that cannot.
    pub(super) unreadable: Vec<String>,
    /// Whether these are all that there are.
    pub(super) is_complete: bool,
}

/// Reads the snapshot.
///
/// # Errors
/// Code 5 when a directory cannot be listed.
pub(super) async fn read(run_dir: &Path) -> Result<Known, Error> {
    // First: a snapshot that ends meanwhile may lack nothing, one that begins meanwhile may.
    let is_complete = definitions::is_complete(run_dir);
    let networks = FileNetworks::new(definitions::directory(run_dir));
    let mut known = Known { definitions: Vec::new(), unreadable: Vec::new(), is_complete };
    for (namespace, name) in networks.references()? {
        match networks.find(&namespace, &name).await {
            Ok(Some(found)) => known.definitions.push(found.definition),
            Ok(None) => {}
            Err(_) => known.unreadable.push(format!("{namespace}/{name}")),
        }
    }
    Ok(known)
}
