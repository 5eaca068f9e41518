//! What still needs rooknet on this node: what is attached, by the journals; pods that select networks, by the runtime's
//! sandboxes and by the API server where it can be asked.
//!
//! A pod that selects networks and has no journal counts too: started again after an uninstall it would run without what
//! it asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, Config};
use serde::Serialize;

use crate::cni::text::{printable, shortened_to};
use crate::engine::collect::{self, Collector, Content, Listed, Outcome};
use crate::kubeapi::kube_client;
use crate::multinet::selection;
use crate::runtime::{Cri, Sandbox};
use crate::state::deadline::Deadline;
use crate::state::installation::Mode;
use crate::state::journal::{Key, Read};

/// Characters of an annotation in a list, at most.
const LONGEST: usize = 120;

/// Something that needs rooknet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// `namespace/name` of the pod; the container's id where it is not known.
    pub pod: String,
    /// What it has or selects.
    pub networks: String,
    /// Whether something is attached to it.
    pub is_attached: bool,
}

/// Who tells of pods.
pub(super) struct Witnesses<'a> {
    pub(super) mode: Mode,
    pub(super) collector: &'a Collector,
    pub(super) cri: Option<Cri>,
    pub(super) api: Option<(Client, String)>,
}

/// What they say.
#[derive(Clone, Debug, Default)]
pub(super) struct Testimony {
    /// What needs rooknet.
    pub(super) holders: Vec<Holder>,
    /// Journals of the delegating mode that have nothing but the default network: the runtime's DEL goes along the
    /// primary's own configuration, which is the same, once ours is gone.
    pub(super) plain: Vec<Key>,
    /// Who could not be asked, and why.
    pub(super) silent: Vec<String>,
}

/// A client for the API server, by a kubeconfig or as the pod that this runs in; `None` where there is neither.
pub(super) async fn api(kubeconfig: Option<&Path>) -> Result<Option<Client>> {
    let config = match kubeconfig {
        Some(path) => kube_client::of_kubeconfig(path).await?,
        None => match Config::incluster() {
            Ok(config) => config,
            Err(_) => return Ok(None),
        },
    };
    Client::try_from(config).map(Some).context("the API server's client cannot be made")
}

impl Witnesses<'_> {
    /// Asks all of them. Journals of sandboxes that are gone for certain are undone on the way: nobody else would.
    pub(super) async fn ask(&self, deadline: &Deadline, may_undo: bool) -> Result<Testimony> {
        let mut testimony = Testimony::default();
        let mut holders: BTreeMap<String, Holder> = BTreeMap::new();
        let listed = self.collector.list()?;
        // After the journals: one that is written now is of a sandbox that is not in the list yet.
        let sandboxes = match &self.cri {
            Some(cri) => cri.sandboxes(deadline).await.map_err(|error| testimony.silent.push(error.to_string())).ok(),
            None => None,
        };
        for listed in &listed {
            if may_undo && self.undo_gone(listed, sandboxes.as_deref(), deadline).await? {
                continue;
            }
            if self.is_plain(listed) {
                testimony.plain.push(listed.key());
                continue;
            }
            let holder = of_journal(listed);
            holders.insert(holder.pod.clone(), holder);
        }
        for sandbox in sandboxes.iter().flatten().filter(|sandbox| sandbox.is_ready) {
            let annotation = sandbox.annotations.get(selection::ANNOTATION);
            let pod = format!("{}/{}", sandbox.namespace, sandbox.name);
            if let Some(networks) = annotation.and_then(|text| selected(text, &sandbox.namespace)) {
                holders.entry(pod.clone()).or_insert(Holder { pod, networks, is_attached: false });
            }
        }
        if let Some((client, node)) = &self.api {
            match deadline.within(of_api(client, node)).await {
                Ok(Ok(pods)) => {
                    for (pod, networks) in pods {
                        holders.entry(pod.clone()).or_insert(Holder { pod, networks, is_attached: false });
                    }
                }
                Ok(Err(error)) => testimony.silent.push(format!("{error:#}")),
                Err(reason) => testimony.silent.push(format!("the API server was not heard: {reason}")),
            }
        }
        testimony.holders = holders.into_values().collect();
        Ok(testimony)
    }

    /// Whether the journal's sandbox was gone for certain, and it is undone.
    async fn undo_gone(&self, listed: &Listed, sandboxes: Option<&[Sandbox]>, deadline: &Deadline) -> Result<bool> {
        let Some(sandboxes) = sandboxes else { return Ok(false) };
        if sandboxes.iter().any(|sandbox| sandbox.id == listed.container) {
            return Ok(false);
        }
        let key = listed.key();
        match self.collector.read(&key)? {
            Read::Whole(journal) if collect::is_gone(&journal)? => {}
            _ => return Ok(false),
        }
        match self.collector.undo(&key, deadline, collect::is_gone).await {
            Ok(outcome) => Ok(matches!(outcome, Outcome::Done | Outcome::Missing)),
            Err(error) => {
                log::warn!("what is left of container {} could not be undone: {error:#}", listed.container);
                Ok(false)
            }
        }
    }

    fn is_plain(&self, listed: &Listed) -> bool {
        let Content::Readable(journal) = &listed.content else { return false };
        self.mode == Mode::Delegating
            && journal.complete
            && matches!(journal.attachments.as_slice(), [only] if only.interface == listed.interface)
    }
}

fn of_journal(listed: &Listed) -> Holder {
    let container = || format!("container {}", printable(&listed.container));
    match &listed.content {
        Content::Unreadable(reason) => Holder { pod: container(), networks: printable(reason), is_attached: true },
        Content::Readable(journal) => {
            let networks: BTreeSet<&str> =
                journal.attachments.iter().map(|attachment| attachment.network.as_str()).collect();
            Holder {
                pod: if journal.pod.is_empty() { container() } else { printable(&journal.pod) },
                networks: printable(&networks.into_iter().collect::<Vec<_>>().join(", ")),
                is_attached: true,
            }
        }
    }
}

/// The networks that an annotation selects; `None` when it selects none. One that cannot be read selects something.
fn selected(text: &str, namespace: &str) -> Option<String> {
    match selection::parse(selection::ANNOTATION, text, Some(namespace)) {
        Ok(selections) if selections.is_empty() => None,
        Ok(selections) => {
            let names: Vec<String> = selections.iter().map(selection::Selection::reference).collect();
            Some(shortened_to(LONGEST, &names.join(", ")))
        }
        Err(_) => Some(shortened_to(LONGEST, text)),
    }
}

/// Pods of the node that select networks and are not at their end, by the API server.
async fn of_api(client: &Client, node: &str) -> Result<Vec<(String, String)>> {
    let pods: Api<Pod> = Api::all(client.clone());
    let of_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let listed = kube_client::list(&pods, of_node, |pod| {
        let (metadata, spec, status) = (pod.metadata, pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if is_over || spec.host_network == Some(true) {
            return None;
        }
        let namespace = metadata.namespace.unwrap_or_default();
        let networks = selected(metadata.annotations.unwrap_or_default().get(selection::ANNOTATION)?, &namespace)?;
        Some((format!("{namespace}/{}", metadata.name.unwrap_or_default()), networks))
    });
    listed.await.context("the API server does not tell the pods of this node")
}
