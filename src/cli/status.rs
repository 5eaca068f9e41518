//! `rooknetctl status`.

use std::path::PathBuf;

use anyhow::Result;

use super::exit::Code;
use super::output::{self, Form, Output, cell};
use super::places::InspectedPlaces;
use super::{attachments, findings};
use crate::cni::text::printable_path;
use crate::inspect::{self, Depth, Report, cluster};

/// Show rooknet on this node, or on all nodes: versions, mode, what is attached, pools, and what is wrong
///
/// Nothing is changed. Of this node the API server is not asked; `rooknetctl doctor` asks it, and reads the log. Of all
/// nodes only what the API server shows is seen:
///
///   rooknetctl status --all-nodes
///
/// Exit code 3: something does not work.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    places: InspectedPlaces,
    /// All nodes, from the API server that KUBECONFIG or the pod's service account names
    #[arg(long)]
    all_nodes: bool,
    /// All nodes, from the API server of this kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> Result<Code> {
    if arguments.all_nodes || arguments.kubeconfig.is_some() {
        let report = cluster::examine(arguments.kubeconfig.as_deref()).await?;
        match arguments.output.output {
            Form::Json => output::json(&report)?,
            Form::Table => print_cluster(&report)?,
        }
        return Ok(if report.is_faulty() { Code::Faulty } else { Code::Done });
    }
    let report = inspect::examine(&arguments.places.into(), Depth::Status).await?;
    match arguments.output.output {
        Form::Json => output::json(&report)?,
        Form::Table => print(&report)?,
    }
    Ok(if report.is_faulty() { Code::Faulty } else { Code::Done })
}

fn print(report: &Report) -> Result<()> {
    for (name, value) in summary(report) {
        output::line(&format!("{name:<14}{value}"))?;
    }
    if !report.attachments.is_empty() {
        output::line("")?;
        output::line(&attachments::table(&report.attachments))?;
    }
    if !report.pools.is_empty() {
        let mut table = output::table(["POOL", "RANGE", "USED", "FREE"]);
        for pool in &report.pools {
            table.add_row([cell(&pool.network), pool.range.clone(), pool.used.to_string(), pool.free.to_string()]);
        }
        output::line("")?;
        output::line(&table.to_string())?;
    }
    findings::print(&report.findings, &report.not_checked)
}

/// The node in a few lines: name and value.
fn summary(report: &Report) -> Vec<(&'static str, String)> {
    let unknown = || "unknown".to_owned();
    let mut lines = vec![
        ("Node", cell(&report.node)),
        ("rooknetctl", report.rooknetctl.to_owned()),
        (
            "Plugin",
            format!(
                "{} {}",
                report.plugin.version.clone().unwrap_or_else(unknown),
                printable_path(&report.plugin.path)
            ),
        ),
    ];
    match &report.configuration {
        None => lines.push(("Conflist", "none".to_owned())),
        Some(configuration) => {
            lines.push(("Conflist", printable_path(&configuration.path)));
            lines.push(("CNI version", configuration.cni_version.clone()));
            lines.push(("Mode", configuration.mode.to_owned()));
        }
    }
    if let Some(primary) = &report.primary {
        let file = primary.file.as_ref().map(|file| format!(" ({})", cell(file))).unwrap_or_default();
        lines.push(("Primary", format!("{}{file}", cell(&primary.name))));
    }
    if let Some(runtime) = &report.runtime {
        let version = runtime.version.clone().unwrap_or_else(unknown);
        let ready = if runtime.network_ready { "ready" } else { "not ready" };
        let loaded = match (&runtime.loaded, runtime.is_current) {
            (None, _) => "does not tell what it has loaded".to_owned(),
            (Some(names), Some(true)) => format!("has loaded {}, as it is on the disk", names.join(", ")),
            (Some(names), _) => format!("has loaded {}", names.join(", ")),
        };
        lines.push(("Runtime", format!("{version}, network {ready}, {loaded}")));
    }
    if let Some(drain) = &report.draining {
        lines.push(("Draining", format!("since {}: {}", cell(&drain.since), cell(&drain.reason))));
    }
    if let Some(token) = &report.token {
        let until = token.expires.clone().unwrap_or_else(|| "never expires".to_owned());
        let node = token.node.as_deref().map_or("no node".to_owned(), |node| format!("node {}", cell(node)));
        let account = cell(token.account.as_deref().unwrap_or("no account"));
        lines.push(("Token", format!("until {until}, of {account}, bound to {node}")));
    }
    if let Some(snapshot) = &report.snapshot {
        let fresh = if snapshot.fresh { "fresh" } else { "not fresh" };
        let age = snapshot.age_seconds.map_or(unknown(), |age| format!("{age} s ago"));
        lines.push(("Snapshot", format!("{} definitions, {fresh}, last heartbeat {age}", snapshot.definitions)));
    }
    lines
}

fn print_cluster(report: &cluster::Report) -> Result<()> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut nodes = output::table(["NODE", "READY", "AGENT", "RESTARTS", "IMAGE", "PODS WITH NETWORKS"]);
    for node in &report.nodes {
        let (agent, restarts, image) = match &node.agent {
            None => ("none".to_owned(), "-".to_owned(), "-".to_owned()),
            Some(agent) => (
                if agent.ready { "ready" } else { "not ready" }.to_owned(),
                agent.restarts.to_string(),
                cell(&agent.image),
            ),
        };
        nodes.add_row([cell(&node.name), yes(node.ready), agent, restarts, image, node.pods.to_string()]);
    }
    output::line(&nodes.to_string())?;
    if !report.pods.is_empty() {
        let mut pods = output::table(["POD", "NODE", "PHASE", "NETWORKS", "IN NETWORK-STATUS"]);
        for pod in &report.pods {
            pods.add_row([
                cell(&format!("{}/{}", pod.namespace, pod.name)),
                cell(pod.node.as_deref().unwrap_or("-")),
                cell(&pod.phase),
                cell(&pod.networks.join(" ")),
                if pod.missing.is_empty() { "all".to_owned() } else { format!("not {}", cell(&pod.missing.join(" "))) },
            ]);
        }
        output::line("")?;
        output::line(&pods.to_string())?;
    }
    findings::print(&report.findings, &report.not_checked)
}
