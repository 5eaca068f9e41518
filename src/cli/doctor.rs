//! `rooknetctl doctor`.

use anyhow::Result;

use super::exit::Code;
use super::findings;
use super::output::{self, Form, Output};
use super::places::InspectedPlaces;
use crate::inspect::{self, Depth, Severity};

/// Find what is wrong with rooknet on this node, with cause and cure
///
/// Looks at the configuration, the plugin, what the runtime has loaded, journals, interfaces, addresses, network
/// definitions, the agent, the plugin's credentials and the log, and asks the API server as the plugin would. Changes
/// nothing. What it could not look at is listed.
///
/// Exit code 3: something does not work.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    places: InspectedPlaces,
}

pub(super) async fn run(arguments: Arguments) -> Result<Code> {
    let report = inspect::examine(&arguments.places.into(), Depth::Doctor).await?;
    match arguments.output.output {
        Form::Json => {
            let (node, findings, not_checked) = (&report.node, &report.findings, &report.not_checked);
            output::json(&serde_json::json!({"node": node, "findings": findings, "notChecked": not_checked}))?;
        }
        Form::Table => {
            let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
            let (faults, notes) = (count(Severity::Fault), count(Severity::Advice));
            output::line(&format!("node {}: faults: {faults}, notes: {notes}", output::cell(&report.node)))?;
            findings::print(&report.findings, &report.not_checked)?;
        }
    }
    Ok(if report.is_faulty() { Code::Faulty } else { Code::Done })
}
