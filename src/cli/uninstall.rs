//! `rooknetctl uninstall`.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::exit::{Code, Refused};
use super::install::findings;
use super::output::{self, Form, Output, cell};
use super::places::Places;
use crate::agent::leave::leave;
use crate::install::uninstall::{Ended, Holder, Options, Report};
use crate::install::{self, stay};

const EXAMPLES: &str = "\
Examples:
  kubectl drain NODE --ignore-daemonsets && rooknetctl uninstall
  rooknetctl uninstall --wait --timeout 10m
  rooknetctl uninstall --dry-run

Exit codes: 0 nothing is left; 1 it failed, or the time was up; 4 refused, since pods need rooknet.
A run that was ended in the middle is finished by the next one.";

/// Take rooknet from this node
///
/// Refuses, and lists them, while pods that select networks are on the node. With --wait it drains instead: what is
/// attached stays and can be deleted as ever, new pods that select networks are refused, all others pass; when the last
/// attachment is gone, the conflist goes, and when the runtime has loaded the primary network's own, the plugin and its
/// credentials go. Network definitions and the primary's file are never touched.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Drain the node and wait for the pods that need rooknet, instead of refusing
    #[arg(long)]
    wait: bool,
    /// How long to wait [default: until it is done]. The node goes on being drained when the time is up
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Undo what is attached from the journals, under running pods too: they lose those interfaces
    #[arg(long, conflicts_with = "wait")]
    force: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Stay when it is done, and answer probes, until a signal: for a DaemonSet, whose pods must not end
    #[arg(long)]
    stay: bool,
    /// Where --stay answers probes
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    metrics_address: SocketAddr,
    /// A kubeconfig, to ask the API server too which pods on this node select networks; in a pod its service account is
    /// used
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// This node's name in Kubernetes [default: its host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(arguments: Arguments) -> Result<Code> {
    let record = install::recorded(&arguments.places.config_dir)?;
    let places = arguments.places;
    let options = Options {
        state_dir: places.state_dir(record.as_ref()),
        runtime: places.runtime(),
        patience: places.runtime_timeout,
        config_dir: places.config_dir,
        run_dir: places.run_dir,
        kubeconfig: arguments.kubeconfig,
        node_name: arguments.node_name.filter(|name| !name.is_empty()),
        wait: arguments.wait,
        force: arguments.force,
        timeout: arguments.timeout,
        dry_run: arguments.dry_run,
    };
    let report = leave(&options, progress).await?;
    match arguments.output.output {
        Form::Json => output::json(&report)?,
        Form::Table => print(&report, options.dry_run)?,
    }
    match &report.outcome {
        Ended::Refused(holders) => Err(Refused(format!(
            "refused: {} need rooknet on this node; move or delete them, or let --wait do it when they go",
            count(holders)
        ))
        .into()),
        Ended::TimeUp(holders) => {
            anyhow::bail!("the time is up, and {} still need rooknet; the node goes on being drained", count(holders))
        }
        Ended::Gone => {
            if arguments.stay {
                stay::stay(arguments.metrics_address).await?;
            }
            Ok(Code::Done)
        }
        Ended::Planned => Ok(Code::Done),
    }
}

fn count(holders: &[Holder]) -> String {
    format!("{} pods", holders.len())
}

/// What is waited for, on stderr: one line that is written over on a terminal, else one for each change.
fn progress(holders: &[Holder]) {
    let mut stderr = io::stderr();
    let first = holders.first().map(|holder| holder.pod.as_str()).unwrap_or_default();
    let line = format!("waiting for {}: {first}{}", count(holders), if holders.len() > 1 { ", …" } else { "" });
    let _ = if stderr.is_terminal() { write!(stderr, "\r\u{1b}[K{line}") } else { writeln!(stderr, "{line}") };
}

fn print(report: &Report, is_dry: bool) -> Result<()> {
    if let Ended::Refused(holders) | Ended::TimeUp(holders) = &report.outcome {
        let mut table = output::table(["POD", "NETWORKS", "ATTACHED"]);
        for holder in holders {
            let attached = if holder.is_attached { "yes" } else { "no" };
            table.add_row([cell(&holder.pod), cell(&holder.networks), attached.to_owned()]);
        }
        output::line(&table.to_string())?;
    }
    let word = if is_dry { "would:" } else { "done: " };
    for change in &report.changes {
        output::line(&format!("{word} {change}"))?;
    }
    findings(&report.findings)?;
    if report.outcome == Ended::Gone {
        output::line("rooknet is not installed on this node")?;
    }
    Ok(())
}
