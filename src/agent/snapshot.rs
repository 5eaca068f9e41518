//! The snapshot of network definitions, so that an ADD needs no request for them.
//!
//! A snapshot that is not what the API server has would attach pods to networks that have been changed or deleted. So
//! it is vouched for, by a heartbeat, only while two things hold: the watch is live, and the API server has just answered
//! (a connection that died without a word brings no further changes and no error either). The heartbeat is written every
//! [`BEAT`] and holds for [`VALID`]: four misses, or a killed agent, and the plugin asks the API server again. After a
//! probe without an answer the watch is made anew, with a list of everything, because nobody knows what was missed; and
//! the server ends each watch after [`WATCH_SECONDS`] in any case.
//!
//! An object that cannot be written ends the snapshot too: the former one would still be there. The snapshot lies in /run,
//! which is memory that the node's own daemons need, and whoever may define a network can define thousands of large ones:
//! beyond [`MOST_BYTES`] objects are left out, the plugin asks the API server for those, and no repair takes what it does
//! not find for gone.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::{Either, select};
use futures_util::{StreamExt as _, TryStreamExt as _};
use hyper::Method;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Shared;
use super::connection::Failure;
use super::rounds::Backoff;
use crate::kubeapi::kube_client::definition_kind;
use crate::state::definitions::Snapshot;

const NAME: &str = "snapshot";
/// The time between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);
/// For how long a heartbeat vouches for the snapshot.
const VALID: Duration = Duration::from_secs(20);
/// How long the API server may take to answer a probe.
const PROBE_LIMIT: Duration = Duration::from_secs(4);
/// A watch's life in seconds: what a connection that is dead in one direction only could hide, at most.
const WATCH_SECONDS: u32 = 60;
/// Objects of one page of a list: bounds the agent's memory.
const PAGE: u32 = 20;
/// How long one page of the list may take.
const LIST_LIMIT: Duration = Duration::from_secs(15);
/// Bytes of all objects, at most, each in whole pages as memory has it: eight thousand usual ones.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of a page.
const PAGE_BYTES: usize = 4096;
/// How long the loop may say nothing.
const ALLOWANCE: Duration = Duration::from_secs(120);

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut backoff = Backoff::default();
    shared.health.begins(NAME, ALLOWANCE);
    loop {
        let mut was_live = false;
        let Err(error) = keep(&shared, &mut was_live).await;
        stop(&shared);
        shared.health.failed(NAME, &format!("{error:#}; the plugin asks the API server for networks meanwhile"));
        if was_live {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Ends the snapshot: from now on the plugin asks the API server.
pub(super) fn stop(shared: &Shared) {
    shared.metrics.snapshot_live.set(0);
    if let Err(error) = Snapshot::new(&shared.options.run_dir).stop() {
        log::warn!("the snapshot of networks is valid for up to {} s more: {error}", VALID.as_secs());
    }
}

/// Keeps the snapshot, from a list on, until something fails.
async fn keep(shared: &Shared, was_live: &mut bool) -> Result<Infallible> {
    let snapshot = Snapshot::new(&shared.options.run_dir);
    let api: Api<DynamicObject> = Api::all_with(shared.connection.client(), &definition_kind());
    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    let mut changes = pin!(watcher(api, config).map_err(|error| explained(&error)));
    let mut known = Known::default();

    loop {
        let event =
            timeout(LIST_LIMIT, changes.next()).await.map_err(|_| anyhow!("the list of networks takes too long"))?;
        match event.ok_or_else(|| anyhow!("the list of networks has ended"))?? {
            Event::InitDone => break,
            event => apply(&snapshot, &mut known, event)?,
        }
    }
    let kept = known.sizes.keys().cloned().collect();
    let removed = snapshot.retain(&kept).context("the snapshot of networks cannot be written")?;
    log::info!("the snapshot of networks has {} definitions, {removed} former ones were removed", kept.len());
    *was_live = true;

    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What arrives while the server is asked is written before the snapshot is vouched for.
        let mut next = pin!(async {
            beats.tick().await;
            answers(shared).await
        });
        let answered = loop {
            match select(next.as_mut(), changes.next()).await {
                Either::Left((answered, _)) => break answered,
                Either::Right((event, _)) => match event.ok_or_else(|| anyhow!("the watch of networks has ended"))?? {
                    // The server no longer knows where the watch was: what was missed meanwhile is not known.
                    Event::Init => bail!("the watch of networks has to begin anew"),
                    event => {
                        apply(&snapshot, &mut known, event)?;
                        shared.defined.notify_one();
                    }
                },
            }
        };
        answered?;
        known.tell();
        snapshot.beat(VALID, known.left_out.is_empty()).context("the snapshot's heartbeat cannot be written")?;
        shared.metrics.snapshot_live.set(1);
        shared.metrics.definitions.set(i64::try_from(known.sizes.len()).unwrap_or(i64::MAX));
        if shared.beaten.replace(Some(Instant::now())).is_none() {
            shared.defined.notify_one();
        }
        shared.health.well(NAME);
    }
}

/// What the API server has, by namespace and name.
#[derive(Default)]
struct Known {
    /// Bytes of those in the snapshot.
    sizes: BTreeMap<(String, String), usize>,
    /// Those that are not.
    left_out: BTreeSet<(String, String)>,
    /// How many of those were told of.
    told: usize,
}

impl Known {
    /// Whether an object of `size` bytes, in place of a former one, leaves all of them within [`MOST_BYTES`].
    fn has_room(&self, key: &(String, String), size: usize) -> bool {
        let others = self.sizes.iter().filter(|(other, _)| *other != key).map(|(_, size)| size);
        others.sum::<usize>().saturating_add(size) <= MOST_BYTES
    }

    /// Says that objects are left out, when their number has changed.
    fn tell(&mut self) {
        let count = self.left_out.len();
        if count > self.told {
            log::warn!(
                "the snapshot leaves {count} network definitions out: one may have a mebibyte and all together {MOST_BYTES} \
                 bytes; the plugin asks the API server for them. Who makes so large ones?"
            );
        }
        self.told = count;
    }
}

/// Writes one change.
fn apply(snapshot: &Snapshot, known: &mut Known, event: Event<DynamicObject>) -> Result<()> {
    let written = || "the snapshot of networks cannot be written";
    match event {
        Event::InitApply(mut object) | Event::Apply(mut object) => {
            let key = key(&object);
            object.metadata.managed_fields = None;
            let text = serde_json::to_string(&object).with_context(written)?;
            let size = text.len().next_multiple_of(PAGE_BYTES);
            let is_kept = known.has_room(&key, size) && snapshot.put(&key.0, &key.1, &text).with_context(written)?;
            if is_kept {
                known.left_out.remove(&key);
                known.sizes.insert(key, size);
            } else {
                snapshot.remove(&key.0, &key.1).with_context(written)?;
                known.sizes.remove(&key);
                known.left_out.insert(key);
            }
        }
        Event::Delete(object) => {
            let key = key(&object);
            snapshot.remove(&key.0, &key.1).with_context(written)?;
            known.sizes.remove(&key);
            known.left_out.remove(&key);
        }
        Event::Init | Event::InitDone => {}
    }
    Ok(())
}

fn key(object: &DynamicObject) -> (String, String) {
    let metadata = &object.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// Whether the API server answers.
async fn answers(shared: &Shared) -> Result<()> {
    let request = shared.connection.request(Method::GET, "/version", "", None);
    match timeout(PROBE_LIMIT, request).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(failure)) => Err(anyhow!("the API server does not answer as it should: {failure}")),
        Err(_) => Err(anyhow!("the API server has not answered for {} s", PROBE_LIMIT.as_secs())),
    }
}

/// What a watch's error means here.
fn explained(error: &watcher::Error) -> anyhow::Error {
    const NOT_FOUND: u16 = 404;
    let failure = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Failure::of(error),
        other => return anyhow!("the watch of networks: {other}"),
    };
    if failure.status == Some(NOT_FOUND) {
        return anyhow!(
            "the cluster does not know the kind NetworkAttachmentDefinition: apply \
             conf/kubernetes/network-attachment-definition.yaml"
        );
    }
    anyhow!("the watch of networks: {failure}")
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
