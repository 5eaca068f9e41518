//! What the container runtime says: what it has loaded, and which pods live without what they asked for.

use std::path::PathBuf;

use serde::Serialize;

use super::attachments::Attached;
use super::{Examination, table};
use crate::cni::names::OWN_TYPE;
use crate::cni::text::{printable, printable_path, quoted};
use crate::engine::collect::Content;
use crate::multinet::selection::{self, ANNOTATION};
use crate::runtime::{Cri, Loaded, Sandbox};
use crate::state::multus_cache;

/// What the runtime says of itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Where it listens.
    pub socket: PathBuf,
    /// Name and version.
    pub version: Option<String>,
    /// Whether it is ready to attach pods.
    pub network_ready: bool,
    /// The networks that it has loaded, in order; `None` where it does not tell (CRI-O).
    pub loaded: Option<Vec<String>>,
    /// Whether the first of them is rooknet's conflist as it is on the disk; `None` when that is not known.
    pub is_current: Option<bool>,
}

/// A runtime that answers, and the sandboxes that it listed.
pub(super) struct Asked {
    cri: Cri,
    pub(super) sandboxes: Vec<Sandbox>,
}

/// Asks the runtime.
pub(super) async fn look_at(seen: &mut Examination<'_>) -> (Option<Runtime>, Option<Asked>) {
    let Some(cri) = Cri::at(seen.place.runtime_socket.as_deref()) else {
        seen.skipped("the container runtime: none of the usual sockets is there, name it by --runtime-socket");
        return (None, None);
    };
    let status = match cri.status(&seen.deadline).await {
        Ok(status) => status,
        Err(error) => {
            seen.found(&table::RUNTIME_SILENT, error);
            return (None, None);
        }
    };
    if !status.network_ready || status.load_error.is_some() {
        let reason = status.load_error.as_deref().unwrap_or(&status.network_message);
        seen.found(&table::RUNTIME_NOT_READY, format_args!("the runtime says: {reason}"));
    }
    let is_current = status.loaded.as_ref().and_then(|loaded| judge_loaded(seen, loaded));
    if status.loaded.is_none() {
        seen.skipped("what the runtime has loaded: it does not tell");
    }
    let names = |loaded: &Loaded| loaded.networks.iter().map(|network| printable(&network.name)).collect();
    let runtime = Runtime {
        socket: cri.socket().to_owned(),
        version: cri.version(&seen.deadline).await.ok(),
        network_ready: status.network_ready,
        loaded: status.loaded.as_ref().map(names),
        is_current,
    };
    let asked = match cri.sandboxes(&seen.deadline).await {
        Ok(sandboxes) => Some(Asked { cri, sandboxes }),
        Err(error) => {
            seen.skipped(error);
            None
        }
    };
    (Some(runtime), asked)
}

/// Whether the first network that is loaded is rooknet's, as it is on the disk.
fn judge_loaded(seen: &mut Examination<'_>, loaded: &Loaded) -> Option<bool> {
    if loaded.networks.len() > 1 {
        let names: Vec<String> = loaded.networks.iter().map(|network| quoted(&network.name)).collect();
        let (names, most) = (names.join(", "), loaded.max_configurations);
        seen.found(&table::RUNTIME_LOADS_SEVERAL, format_args!("it has loaded {names} (max_conf_num {most})"));
    }
    let source = seen.configuration.source.clone()?;
    let is_current = loaded.default_network().is_some_and(|first| first.source.trim() == source.trim());
    if !is_current {
        let directory = printable_path(&loaded.conf_dir);
        let what = match loaded.default_network() {
            None => "nothing".to_owned(),
            Some(first) if first.types.iter().any(|type_name| type_name == OWN_TYPE) => {
                format!("a former text of {}", quoted(&first.name))
            }
            Some(first) => format!("{} with the plugins {}", quoted(&first.name), quoted(&first.types.join(", "))),
        };
        seen.found(&table::RUNTIME_LOADED_ANOTHER, format_args!("of {directory} it has loaded {what}"));
    }
    Some(is_current)
}

/// Says so when a living pod lacks a network that it selects. On any doubt it has them.
pub(super) async fn lacking(seen: &mut Examination<'_>, asked: &Asked, attached: &Attached) {
    let candidates: Vec<(&Sandbox, String)> = asked
        .sandboxes
        .iter()
        .filter(|sandbox| sandbox.is_ready)
        .filter_map(|sandbox| Some((sandbox, missing(sandbox, attached)?)))
        .collect();
    if candidates.is_empty() {
        return;
    }
    let cni_dir = seen.configuration.collector.config().cni_dir.clone();
    // Asked again: of a pod that is being stopped the runtime says so before its DEL removes the journal.
    let (by_multus, now) = match (multus_cache::all_attachments(&cni_dir), asked.cri.sandboxes(&seen.deadline).await) {
        (Ok(by_multus), Ok(now)) => (by_multus, now),
        (Err(error), _) => return seen.skipped(format_args!("pods that lack networks: {error}")),
        (_, Err(error)) => return seen.skipped(error),
    };
    for (sandbox, missing) in candidates {
        let lives = now.iter().any(|now| now.id == sandbox.id && now.is_ready);
        if !lives || by_multus.iter().any(|(_, container, _)| *container == sandbox.id) {
            continue;
        }
        let details = asked.cri.sandbox(&sandbox.id, &seen.deadline).await;
        if matches!(details, Ok(Some(details)) if !details.is_host_network) {
            let pod = printable(&format!("{}/{}", sandbox.namespace, sandbox.name));
            seen.found(&table::POD_LACKS_NETWORKS, format_args!("pod {pod} runs without {missing}"));
        }
    }
}

/// The networks that a pod selects and no journal of its container has; `None` when there is none, or nobody can tell.
fn missing(sandbox: &Sandbox, attached: &Attached) -> Option<String> {
    let text = sandbox.annotations.get(ANNOTATION)?;
    let selections = selection::parse(ANNOTATION, text, Some(&sandbox.namespace)).ok()?;
    let mut networks: Vec<&str> = Vec::new();
    for listed in attached.listed.iter().filter(|listed| listed.container == sandbox.id) {
        match &listed.content {
            Content::Unreadable(_) => return None,
            Content::Readable(essentials) => {
                networks.extend(essentials.attachments.iter().map(|attachment| attachment.network.as_str()));
            }
        }
    }
    let missing = selection::missing(&selections, networks);
    (!missing.is_empty()).then(|| printable(&missing.join(", ")))
}
