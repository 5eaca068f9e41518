//! The plugin's program: whether it is there and answers, and what it says of the node.

use std::path::Path;
use std::time::Duration;

use super::{Examination, Plugin, table};
use crate::cni::Object;
use crate::cni::names::OWN_TYPE;
use crate::cni::text::{printable_path, shortened};
use crate::delegate::{self, Context, Failure, Runners};
use crate::state::deadline::Deadline;

/// How long its STATUS may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for its version, and then for STATUS, as a runtime would.
pub(super) async fn look_at(seen: &mut Examination<'_>) -> Plugin {
    let path = seen.configuration.bin_dir.join(OWN_TYPE);
    let version = match ask(&path, &seen.deadline).await {
        Ok(version) => Some(version),
        Err(failure) => {
            let reason = failure.to_cni().message;
            seen.found(&table::PLUGIN_MISSING, format_args!("{}: {reason}", printable_path(&path)));
            None
        }
    };
    let own = env!("CARGO_PKG_VERSION");
    if let Some(version) = version.as_deref().filter(|version| *version != own) {
        seen.found(
            &table::VERSIONS_DIFFER,
            format_args!("the plugin is of version {version}, and this rooknetctl of version {own}"),
        );
    }
    if version.is_some() {
        status(seen).await;
    }
    Plugin { path, version }
}

/// Its version; a program that answers VERSION as it must and does not say its own is one without a name.
async fn ask(path: &Path, deadline: &Deadline) -> Result<String, Failure> {
    delegate::version(path, deadline).await?;
    let version = delegate::rooknet_version(path, deadline).await?;
    Ok(version.map_or_else(|| "unknown".to_owned(), |version| shortened(&version)))
}

async fn status(seen: &mut Examination<'_>) {
    let Some(network) = &seen.configuration.own else { return };
    let path = [seen.configuration.bin_dir.clone()];
    let deadline = seen.deadline.at_most(PATIENCE);
    let context = Context {
        container_id: "",
        netns: "",
        ifname: "",
        args: String::new(),
        path: &path,
        trace: &[],
        runtime_config: Object::EMPTY,
        lock: None,
        runners: Runners::EXECUTED,
        ground: None,
        deadline: &deadline,
    };
    if !network.version.has_gc_and_status() {
        let version = network.version;
        seen.skipped(format_args!("the plugin's STATUS, which cniVersion {version} of its conflist does not have"));
        return;
    }
    if let Err(failure) = delegate::status(network, &context).await {
        seen.found(&table::PLUGIN_NOT_READY, failure.to_cni().message);
    }
}
