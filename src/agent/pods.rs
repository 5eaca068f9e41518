//! The running pods of this node that select networks, by a watch.
//!
//! Only the metadata is asked for, and the API server itself leaves out what is of no interest (pods of other nodes, of
//! the host's network, those that do not run): a node has hundreds of pods, and the agent little memory. Of each pod
//! that selects nothing, nothing is kept.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use anyhow::{Result, anyhow};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::Notify;
use tokio::time::{Duration, sleep, timeout};

use super::Shared;
use super::connection::Failure;
use super::rounds::Backoff;
use crate::multinet::selection::ANNOTATION;

const NAME: &str = "pods";
/// A watch's life in seconds.
const WATCH_SECONDS: u32 = 120;
/// Pods of one page of a list: bounds the agent's memory.
const PAGE: u32 = 25;
/// The kubelet's annotation of a pod that is a file on the node: its uid there.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// How long nothing may be heard of a watch; the server ends it before.
const SILENCE: Duration = Duration::from_secs(150);

/// A running pod that selects networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    /// `metadata.namespace`.
    pub(super) namespace: String,
    /// `metadata.name`.
    pub(super) name: String,
    /// `metadata.uid`.
    pub(super) uid: String,
    /// The uid by which the runtime knows it: another one where the pod is a file on the node.
    pub(super) runtime_uid: String,
    /// The selection annotation.
    pub(super) selection: String,
    /// When it was created, in seconds since 1970.
    pub(super) created: i64,
}

/// The pods that are known.
#[derive(Default)]
pub(super) struct Store {
    pods: RefCell<BTreeMap<String, Pod>>,
    is_complete: Cell<bool>,
    changed: Notify,
}

impl Store {
    /// All of them; `None` while they are not known completely.
    pub(super) fn all(&self) -> Option<Vec<Pod>> {
        self.is_complete.get().then(|| self.pods.borrow().values().cloned().collect())
    }

    /// Waits until they have changed since the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The uid of a pod that is known; empty for others.
    pub(super) fn uid_of(&self, namespace: &str, name: &str) -> String {
        let pods = self.pods.borrow();
        let found = pods.values().find(|pod| pod.namespace == namespace && pod.name == name);
        found.map(|pod| pod.uid.clone()).unwrap_or_default()
    }

    /// Whether the pod with this uid still runs, as far as is known.
    pub(super) fn has(&self, uid: &str) -> bool {
        self.pods.borrow().contains_key(uid)
    }
}

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut backoff = Backoff::default();
    shared.health.begins(NAME, SILENCE.saturating_mul(2));
    loop {
        let outcome = follow(&shared).await;
        if shared.pods.is_complete.take() {
            backoff.reset();
        }
        if let Err(error) = outcome {
            shared.health.failed(NAME, &format!("{error:#}"));
        }
        sleep(backoff.next()).await;
    }
}

async fn follow(shared: &Shared) -> Result<()> {
    let api: Api<PartialObjectMeta<ApiPod>> = Api::all(shared.connection.client());
    let selector = format!("spec.nodeName={},status.phase=Running,spec.hostNetwork=false", shared.options.node_name);
    let config = watcher::Config::default().fields(&selector).timeout(WATCH_SECONDS).page_size(PAGE);
    let mut changes = pin!(watcher(api, config));
    let mut listed = BTreeMap::new();
    loop {
        let event = match timeout(SILENCE, changes.next()).await {
            // A node on which nothing happens: the watch is made anew, in case that it is dead.
            Err(_) => return Ok(()),
            Ok(None) => return Err(anyhow!("the watch of pods has ended")),
            Ok(Some(Err(error))) => return Err(explained(&error)),
            Ok(Some(Ok(event))) => event,
        };
        let pods = &shared.pods.pods;
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => add(&mut listed, object),
            Event::InitDone => {
                *pods.borrow_mut() = std::mem::take(&mut listed);
                shared.pods.is_complete.set(true);
            }
            Event::Apply(object) => add(&mut pods.borrow_mut(), object),
            Event::Delete(object) => {
                pods.borrow_mut().remove(object.metadata.uid.as_deref().unwrap_or_default());
            }
        }
        if shared.pods.is_complete.get() {
            shared.pods.changed.notify_one();
            shared.health.well(NAME);
        }
    }
}

/// Keeps a pod, or forgets it when it is about to end or selects nothing.
fn add(pods: &mut BTreeMap<String, Pod>, object: PartialObjectMeta<ApiPod>) {
    let metadata = object.metadata;
    let uid = metadata.uid.unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    let selection = annotations.remove(ANNOTATION).filter(|text| !text.trim().is_empty());
    let Some(selection) = selection.filter(|_| metadata.deletion_timestamp.is_none()) else {
        pods.remove(&uid);
        return;
    };
    let pod = Pod {
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        runtime_uid: annotations.remove(MIRROR).unwrap_or_else(|| uid.clone()),
        uid: uid.clone(),
        selection,
        created: metadata.creation_timestamp.map_or(0, |time| time.0.as_second()),
    };
    pods.insert(uid, pod);
}

fn explained(error: &watcher::Error) -> anyhow::Error {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            anyhow!("the watch of this node's pods: {}", Failure::of(error))
        }
        other => anyhow!("the watch of this node's pods: {other}"),
    }
}
