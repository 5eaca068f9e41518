//! All nodes, as far as the API server shows them: agents, pods that lack networks, definitions that leave nodes out.
//!
//! Nobody is asked but the API server, with the caller's own credentials: no node is entered. So what only a node knows
//! (journals, interfaces, pools, what its runtime has loaded) is not seen here, and the report says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, DynamicObject, ListParams};
use kube::{Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Finding, Severity, table};
use crate::cni::text::{printable, quoted, shortened_to};
use crate::kubeapi::kube_client::{self, NOT_READY_TAINT};
use crate::multinet::definition::Definition;
use crate::multinet::node_ranges::NodeRanges;
use crate::multinet::{selection, status};

/// How long all requests together may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// By which label the agent's pods are found, wherever they run.
const AGENT_LABEL: &str = "app.kubernetes.io/name=rooknet";
/// The reason of a kubelet's event when a pod's networks could not be attached, or its sandbox not be made otherwise.
const NO_SANDBOX: &str = "FailedCreatePodSandBox";
/// What is not to be seen from here.
const UNSEEN: [&str; 2] = [
    "journals, interfaces, pools and what each runtime has loaded: run `rooknetctl status` on the node, or in its agent's pod",
    "whether nodes without an agent have the plugin: an agent that is gone leaves it working",
];

/// What the API server shows.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// By name.
    pub nodes: Vec<NodeReport>,
    /// Pods that select networks and run or are to run, by node and name.
    pub pods: Vec<PodReport>,
    /// Network definitions.
    pub definitions: usize,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What cannot be seen from here.
    pub not_checked: Vec<String>,
}

impl Report {
    /// Whether something does not work.
    pub fn is_faulty(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Fault)
    }
}

/// A node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Its condition `Ready`.
    pub ready: bool,
    /// Whether the agent's start-up taint is on it.
    pub tainted: bool,
    /// Its agent; `None` without one.
    pub agent: Option<AgentReport>,
    /// Pods on it that select networks.
    pub pods: usize,
}

/// An agent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// `namespace/name` of its pod.
    pub pod: String,
    /// Whether it is ready.
    pub ready: bool,
    /// How often its containers were started again.
    pub restarts: i64,
    /// Its image, which tells its version.
    pub image: String,
}

/// A pod that selects networks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node; `None` before it has one.
    pub node: Option<String>,
    /// `status.phase`.
    pub phase: String,
    /// The networks that it selects.
    pub networks: Vec<String>,
    /// Those of them that its network-status does not have.
    pub missing: Vec<String>,
}

/// Asks the API server of a kubeconfig, or the one that the environment names (KUBECONFIG, a pod's service account).
///
/// # Errors
/// When it cannot be reached, or does not let the caller list what is looked at.
pub async fn examine(kubeconfig: Option<&Path>) -> Result<Report> {
    tokio::time::timeout(PATIENCE, ask(kubeconfig))
        .await
        .with_context(|| format!("the API server did not answer everything within {} s", PATIENCE.as_secs()))?
}

async fn ask(kubeconfig: Option<&Path>) -> Result<Report> {
    let config = match kubeconfig {
        Some(path) => kube_client::of_kubeconfig(path).await?,
        None => Config::infer().await.context("no cluster is named: set KUBECONFIG, or use --kubeconfig")?,
    };
    let client = Client::try_from(config).context("the credentials cannot be used")?;
    let everything = ListParams::default;
    let nodes: Vec<Node> = all(Api::all(client.clone()), "nodes", everything(), |_| true).await?;
    let of_agents = everything().labels(AGENT_LABEL);
    let agents: Vec<Pod> = all(Api::all(client.clone()), "the agents' pods", of_agents, |_| true).await?;
    let unfinished = everything().fields("status.phase!=Succeeded,status.phase!=Failed");
    let selects =
        |pod: &Pod| pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(selection::ANNOTATION));
    let pods: Vec<Pod> = all(Api::all(client.clone()), "pods", unfinished, selects).await?;
    let definitions = Api::all_with(client.clone(), &kube_client::definition_kind());
    let definitions: Vec<DynamicObject> = all(definitions, "network definitions", everything(), |_| true).await?;
    let of_kubelets = everything().fields(&format!("reason={NO_SANDBOX}"));
    let events: Vec<Event> = all(Api::all(client), "events", of_kubelets, |_| true).await?;
    Ok(judge(&nodes, &agents, &pods, &definitions, &events))
}

/// The objects of a kind that are of interest.
async fn all<K>(api: Api<K>, what: &str, parameters: ListParams, is_wanted: impl Fn(&K) -> bool) -> Result<Vec<K>>
where
    K: Clone + Debug + DeserializeOwned,
{
    let listed = kube_client::list(&api, parameters, |object| is_wanted(&object).then_some(object));
    listed.await.with_context(|| format!("{what} cannot be listed"))
}

fn judge(nodes: &[Node], agents: &[Pod], pods: &[Pod], definitions: &[DynamicObject], events: &[Event]) -> Report {
    let mut findings = Vec::new();
    let pods: Vec<PodReport> = pods.iter().map(pod_report).collect();
    let agents: BTreeMap<String, AgentReport> = agents.iter().filter_map(agent_report).collect();
    let nodes: Vec<NodeReport> = nodes.iter().map(|node| node_report(node, &agents, &pods)).collect();
    for node in &nodes {
        judge_node(node, agents.is_empty(), &mut findings);
    }
    let images: BTreeSet<&str> = agents.values().map(|agent| agent.image.as_str()).collect();
    if images.len() > 1 {
        let images: Vec<String> = images.into_iter().map(quoted).collect();
        findings.push(Finding::of(&table::AGENTS_DIFFER, format_args!("the agents run {}", images.join(", "))));
    }
    for pod in pods.iter().filter(|pod| pod.phase == "Running" && !pod.missing.is_empty()) {
        let (name, missing) =
            (printable(&format!("{}/{}", pod.namespace, pod.name)), printable(&pod.missing.join(", ")));
        let node = printable(pod.node.as_deref().unwrap_or("no node"));
        findings.push(Finding::of(&table::POD_WITHOUT_STATUS, format_args!("pod {name} on {node}: {missing}")));
    }
    for definition in definitions {
        judge_definition(definition, &nodes, &mut findings);
    }
    for event in events {
        judge_event(event, &pods, &mut findings);
    }
    findings.sort_by_key(|finding| finding.severity);
    let not_checked = UNSEEN.map(ToOwned::to_owned).to_vec();
    Report { nodes, pods, definitions: definitions.len(), findings, not_checked }
}

fn judge_node(node: &NodeReport, is_nowhere: bool, findings: &mut Vec<Finding>) {
    let name = printable(&node.name);
    match &node.agent {
        Some(agent) if agent.ready => {}
        Some(agent) => {
            let (pod, restarts) = (printable(&agent.pod), agent.restarts);
            let what = format_args!("on node {name} pod {pod} is not ready (restarts: {restarts})");
            findings.push(Finding::of(&table::AGENT_MISSING, what));
        }
        // A cluster without any agent is one in which it is not used.
        None if is_nowhere => {}
        None => findings.push(Finding::of(&table::AGENT_MISSING, format_args!("node {name} has none"))),
    }
    if node.tainted {
        findings.push(Finding::of(&table::NOT_VERIFIED, format_args!("node {name} has the taint {NOT_READY_TAINT}")));
    }
}

fn judge_definition(object: &DynamicObject, nodes: &[NodeReport], findings: &mut Vec<Finding>) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let about = format!("network {namespace}/{}", object.metadata.name.as_deref().unwrap_or_default());
    let parsed = serde_json::to_string(object)
        .map_err(|error| error.to_string())
        .and_then(|text| Definition::parse(&about, &text).map_err(|error| error.message));
    let ranges = match parsed.map(|definition| definition.node_ranges) {
        Ok(Some(text)) => NodeRanges::parse(&text).map_err(|error| error.within(&about).message),
        Ok(None) => return,
        Err(reason) => Err(reason),
    };
    let ranges = match ranges {
        Ok(ranges) => ranges,
        Err(reason) => {
            findings.push(Finding::of(&table::DEFINITION_INVALID, reason));
            return;
        }
    };
    let left_out: Vec<&str> = nodes
        .iter()
        .filter(|node| ranges.clone().share_of(&node.name).is_err())
        .map(|node| node.name.as_str())
        .collect();
    if !left_out.is_empty() {
        let left_out = printable(&left_out.join(", "));
        findings
            .push(Finding::of(&table::DEFINITION_WITHOUT_RANGE, format_args!("{about} has no entry for {left_out}")));
    }
}

fn judge_event(event: &Event, pods: &[PodReport], findings: &mut Vec<Finding>) {
    let subject = &event.involved_object;
    let is_of = |pod: &PodReport| {
        subject.namespace.as_deref() == Some(&pod.namespace) && subject.name.as_deref() == Some(&pod.name)
    };
    let Some(pod) = pods.iter().find(|pod| is_of(pod) && pod.phase == "Pending") else { return };
    let name = printable(&format!("{}/{}", pod.namespace, pod.name));
    let message = shortened_to(400, event.message.as_deref().unwrap_or_default());
    findings.push(Finding::of(&table::POD_NOT_STARTED, format_args!("pod {name}: {message}")));
}

fn node_report(node: &Node, agents: &BTreeMap<String, AgentReport>, pods: &[PodReport]) -> NodeReport {
    let name = node.metadata.name.clone().unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    NodeReport {
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        tainted: taints.iter().any(|taint| taint.key == NOT_READY_TAINT),
        agent: agents.get(&name).cloned(),
        pods: pods.iter().filter(|pod| pod.node.as_ref() == Some(&name)).count(),
        name,
    }
}

/// An agent and its node.
fn agent_report(pod: &Pod) -> Option<(String, AgentReport)> {
    let spec = pod.spec.as_ref()?;
    let node = spec.node_name.clone()?;
    // Other pods of the deployment may carry the label; the agent is of a DaemonSet.
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    if !owners.iter().any(|owner| owner.kind == "DaemonSet") {
        return None;
    }
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let (namespace, name) = (pod.metadata.namespace.clone()?, pod.metadata.name.clone()?);
    let report = AgentReport {
        pod: format!("{namespace}/{name}"),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        restarts: containers.iter().map(|container| i64::from(container.restart_count)).fold(0, i64::saturating_add),
        image: spec.containers.first().and_then(|container| container.image.clone()).unwrap_or_default(),
    };
    Some((node, report))
}

fn pod_report(pod: &Pod) -> PodReport {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let annotation = |key: &str| pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
    let text = annotation(selection::ANNOTATION).unwrap_or_default();
    // One that cannot be parsed keeps the pod from starting, and its event says so.
    let selections = selection::parse(selection::ANNOTATION, text, Some(&namespace)).unwrap_or_default();
    let networks: Vec<String> = selections.iter().map(selection::Selection::reference).collect();
    let told = told(annotation(status::ANNOTATION).unwrap_or_default());
    let missing = selection::missing(&selections, told.iter().map(String::as_str));
    PodReport {
        name: pod.metadata.name.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        phase: pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default(),
        namespace,
        networks,
        missing,
    }
}

/// The networks that a network-status tells of; none of a text that is none.
fn told(text: &str) -> Vec<String> {
    let entries: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.get("name")?.as_str().map(ToOwned::to_owned)).collect()
}
