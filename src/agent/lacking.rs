//! Running pods that lack networks which they select.
//!
//! They were started before rooknet was there, or while the runtime had another configuration loaded, and nobody notices
//! before a storage daemon is out of reach (Multus issues 1387, 1468). The agent says so, once for each pod; and only
//! with `--evict` it evicts them, by the eviction API, which respects disruption budgets, one after another.
//!
//! To take a healthy pod for one that lacks a network would evict a storage daemon. So the runtime must know a sandbox of
//! this very pod, and neither a journal of that sandbox nor Multus's cache may say that somebody attached it: on any
//! doubt the pod has its networks.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::json;
use tokio::time::sleep;

use super::events::Item;
use super::metrics::KindLabels;
use super::pods::Pod;
use super::rounds::Rounds;
use super::{RUNTIME_LIMIT, Shared};
use crate::multinet::selection::{self, ANNOTATION};
use crate::runtime::{Cri, Sandbox};
use crate::state::deadline::Deadline;
use crate::state::journal::{Journals, Read};
use crate::state::multus_cache;

const ROUNDS: Rounds = Rounds { name: "lacking", period: Duration::from_secs(15), limit: Duration::from_secs(60) };
/// Between a pod that is new and a look at it: pods come together.
const SETTLING: Duration = Duration::from_secs(2);
/// The status of an eviction that a disruption budget does not allow now.
const TOO_MANY_REQUESTS: u16 = 429;

/// What one round leaves for the next.
#[derive(Default)]
struct Memory {
    /// Uids of pods of which it has been said.
    told: BTreeSet<String>,
    /// The uid of the pod that was evicted last.
    evicted: Option<String>,
}

/// What is known of the sandboxes of this node.
struct Known {
    sandboxes: Vec<Sandbox>,
    /// The networks of each container that has a journal; `None`: its journal cannot tell.
    attached: BTreeMap<String, Option<Vec<String>>>,
    /// Containers that Multus attached.
    multus: BTreeSet<String>,
}

/// A pod that lacks networks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lacking {
    pod: Pod,
    /// What it lacks, as it is said to people.
    networks: String,
    /// Whether a new pod in its place would have them.
    is_curable: bool,
}

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let memory = RefCell::new(Memory::default());
    let round = async || {
        let mut own = memory.take();
        let outcome = round(&shared, &mut own).await;
        *memory.borrow_mut() = own;
        outcome
    };
    let early = async || {
        shared.pods.changed().await;
        sleep(SETTLING).await;
    };
    ROUNDS.run(&shared, round, early).await;
}

async fn round(shared: &Shared, memory: &mut Memory) -> Result<()> {
    // Why they are not known is said by the loop that watches them.
    let Some(pods) = shared.pods.all() else { return Ok(()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let eldest = i64::try_from(now.saturating_sub(shared.options.grace).as_secs()).unwrap_or(i64::MAX);
    let candidates: Vec<Pod> = pods.into_iter().filter(|pod| pod.created <= eldest).collect();
    let lacking = if candidates.is_empty() {
        Vec::new()
    } else {
        let known = look(shared).await?;
        candidates.iter().filter_map(|pod| judge(pod, &known)).collect::<Vec<_>>()
    };
    shared.metrics.lacking.set(i64::try_from(lacking.len()).unwrap_or(i64::MAX));
    memory.told.retain(|uid| lacking.iter().any(|lacking| lacking.pod.uid == *uid));
    for Lacking { pod, networks, .. } in &lacking {
        if !memory.told.insert(pod.uid.clone()) {
            continue;
        }
        let message = format!(
            "The pod runs without networks that it selects: {networks}. It was started before rooknet was on the node, or \
             by another plugin; delete it, and the one in its place has them"
        );
        log::warn!("pod {}/{}: {message}", pod.namespace, pod.name);
        shared.events.add(Item {
            pod: (pod.namespace.clone(), pod.name.clone()),
            uid: pod.uid.clone(),
            is_warning: true,
            reason: "LacksNetworks",
            message,
        });
    }
    // A pod in its place must not meet what made this one.
    let is_installed = shared.options.install.is_none() || *shared.installed.borrow() == Some(true);
    if shared.options.evict && is_installed {
        evict(shared, memory, &lacking).await?;
    }
    Ok(())
}

/// Asks the runtime and reads the journals, in this order: what is attached meanwhile has a journal.
async fn look(shared: &Shared) -> Result<Known> {
    let deadline = Deadline::without_signals(RUNTIME_LIMIT);
    let runtime = Cri::at(shared.options.runtime_socket.as_deref())
        .context("no container runtime listens at a usual place: name its socket by --runtime-socket")?;
    let sandboxes = runtime.sandboxes(&deadline).await?;
    let journals = Journals::new(&shared.options.state_dir);
    let mut attached: BTreeMap<String, Option<Vec<String>>> = BTreeMap::new();
    for key in journals.keys()? {
        let networks = match journals.read(&key) {
            Ok(Read::Whole(journal)) if journal.complete => {
                Some(journal.attachments.iter().map(|attachment| attachment.network.clone()).collect())
            }
            Ok(Read::Missing) => continue,
            // An ADD is under way or was killed, or nobody can read it.
            Ok(Read::Whole(_) | Read::Corrupt(_)) | Err(_) => None,
        };
        attached.insert(key.container_id, networks);
    }
    let multus = multus_cache::all_attachments(&shared.options.multus_dir)?;
    Ok(Known { sandboxes, attached, multus: multus.into_iter().map(|(_, container, _)| container).collect() })
}

/// Whether a pod lacks networks.
fn judge(pod: &Pod, known: &Known) -> Option<Lacking> {
    let selections = match selection::parse(ANNOTATION, &pod.selection, Some(&pod.namespace)) {
        Ok(selections) if selections.is_empty() => return None,
        Ok(selections) => selections,
        // What nobody can read, nobody has attached.
        Err(_) => Vec::new(),
    };
    let mut ready = known.sandboxes.iter().filter(|sandbox| {
        sandbox.is_ready
            && sandbox.namespace == pod.namespace
            && sandbox.name == pod.name
            && (sandbox.uid == pod.uid || sandbox.uid == pod.runtime_uid)
    });
    // With two, one is about to end, and which of them is the pod's is not known.
    let (Some(sandbox), None) = (ready.next(), ready.next()) else { return None };
    if known.multus.contains(&sandbox.id) {
        return None;
    }
    let mut missing = selection::missing(&selections, []);
    match known.attached.get(&sandbox.id) {
        Some(None) => return None,
        Some(Some(attached)) => {
            missing = selection::missing(&selections, attached.iter().map(String::as_str));
            if missing.is_empty() {
                return None;
            }
        }
        None => {}
    }
    let networks =
        if selections.is_empty() { format!("its annotation {ANNOTATION} cannot be read") } else { missing.join(", ") };
    Some(Lacking { pod: pod.clone(), networks, is_curable: !selections.is_empty() })
}

/// Evicts one pod, once the one before is gone.
async fn evict(shared: &Shared, memory: &mut Memory, lacking: &[Lacking]) -> Result<()> {
    if memory.evicted.as_deref().is_some_and(|uid| shared.pods.has(uid)) {
        return Ok(());
    }
    memory.evicted = None;
    for Lacking { pod, networks, .. } in lacking.iter().filter(|lacking| lacking.is_curable) {
        let Pod { namespace, name, uid, .. } = pod;
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": name},
            // Never the pod that has taken its place.
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        let count = |kind| shared.metrics.evictions.get_or_create(&KindLabels { kind }).inc();
        match shared.connection.request(Method::POST, &path, "application/json", Some(&body)).await {
            Ok(_) => {
                count("evicted");
                log::warn!("pod {namespace}/{name} was evicted, because it lacks networks: {networks}");
                memory.evicted = Some(uid.clone());
                return Ok(());
            }
            Err(failure) if failure.status == Some(TOO_MANY_REQUESTS) => {
                count("postponed");
                log::info!("pod {namespace}/{name} lacks networks and cannot be evicted now: {failure}");
            }
            Err(failure) => {
                count("failed");
                return Err(failure).with_context(|| format!("pod {namespace}/{name} cannot be evicted"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "lacking_tests.rs"]
mod tests;
