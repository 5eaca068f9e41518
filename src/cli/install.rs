//! `rooknetctl install`.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::value::{RawValue, to_raw_value};

use super::exit::Code;
use super::output::{self, Form, Output, cell};
use super::places::{self, Places};
use crate::install::{self, Caller, Mode, Options, Outcome, Record, Report, Severity, State};

const EXAMPLES: &str = "\
Examples:
  rooknetctl install --dry-run
  rooknetctl install --preset k3s
  rooknetctl install --primary cbr0 --kubeconfig /etc/cni/rooknet --set namespaceIsolation=true

Exit codes: 0 installed and verified; 1 it failed, or something is awaited (the findings say what)";

/// Put rooknet onto this node, or bring it up to date
///
/// Places the plugin in the runtime's directory and writes a conflist that comes first of all: a copy of the primary
/// network's with rooknet behind it. The primary's own file is left alone. Can be repeated: what is as it should be is
/// not touched, and what an earlier install was given is kept unless it is given anew.
///
/// In a cluster the DaemonSet does this on every node (rooknetctl manifests); by hand it is for nodes without it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How the conflist uses the primary network [default: chained]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// The primary network, by its name or its file's [default: the one of the last install, or else what the runtime
    /// would load without rooknet and Multus]
    #[arg(long, value_name = "NAME|FILE")]
    primary: Option<String>,
    /// The plugin to install [default: rooknet beside this program]
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Credentials for the API server: a kubeconfig, or a directory with token, ca.crt and server. Without them networks
    /// come from files alone
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// This node's name in Kubernetes [default: its host name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The plugin's log [default: /var/log/rooknet.log]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// A further key of rooknet's entry, as in --set allowedPlugins='["macvlan","host-local"]'; kept by later installs
    #[arg(long, value_name = "KEY=VALUE", value_parser = places::key)]
    set: Vec<places::Key>,
    /// Forget a key that an earlier install was given by --set
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Rename a configuration of Multus that comes first; an uninstall renames it back
    #[arg(long)]
    replace_multus: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    output: Output,
}

/// How the conflist uses the primary network.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ModeArgument {
    /// The runtime attaches the primary network, rooknet the others behind it
    Chained,
    /// rooknet attaches all, the primary network first, as Multus does
    Delegating,
}

impl From<ModeArgument> for Mode {
    fn from(argument: ModeArgument) -> Self {
        match argument {
            ModeArgument::Chained => Mode::Chained,
            ModeArgument::Delegating => Mode::Delegating,
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<Code> {
    let record = install::recorded(&arguments.places.config_dir)?
        // One that was taken away says nothing of the next.
        .filter(|record| record.state != State::Uninstalled);
    let (is_dry, form) = (arguments.dry_run, arguments.output.output);
    let report = install::ensure(&options(arguments, record.as_ref())?).await?;
    match form {
        Form::Json => output::json(&report)?,
        Form::Table => print(&report, is_dry)?,
    }
    let has_error = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if report.is_installed() || (is_dry && !has_error) { Code::Done } else { Code::Failed })
}

fn options(arguments: Arguments, record: Option<&Record>) -> Result<Options> {
    let places = arguments.places;
    let mut given = arguments.set;
    if let Some(name) = &arguments.node_name {
        given.push(("nodeName".to_owned(), to_raw_value(name)?));
    }
    if let Some(file) = &arguments.log_file {
        given.push(("logFile".to_owned(), to_raw_value(file)?));
    }
    let mut keys: Vec<(String, Box<RawValue>)> = Vec::new();
    let is_given = |key: &str| {
        let mut given = given.iter().map(|(given, _)| given).chain(&arguments.unset);
        given.any(|given| given.eq_ignore_ascii_case(key))
    };
    for (key, value) in record.iter().flat_map(|record| &record.keys).filter(|(key, _)| !is_given(key)) {
        keys.push((key.clone(), to_raw_value(value)?));
    }
    keys.extend(given);
    Ok(Options {
        mode: arguments.mode.map(Mode::from).or(record.map(|record| record.mode)).unwrap_or_default(),
        primary: arguments.primary,
        plugin: arguments.plugin,
        bin_dir: places.bin_dir(record),
        conf_dir: places.conf_dir(record),
        state_dir: places.state_dir(record),
        runtime: places.runtime(),
        config_dir: places.config_dir,
        run_dir: places.run_dir,
        log_file: install::DEFAULT_LOG_FILE.into(),
        kubeconfig: arguments.kubeconfig.or_else(|| record.and_then(|record| record.kubeconfig.clone())),
        node_name: None,
        keys,
        replace_multus: arguments.replace_multus,
        patience: places.runtime_timeout,
        caller: Caller::Person,
        dry_run: arguments.dry_run,
    })
}

fn print(report: &Report, is_dry: bool) -> Result<()> {
    let mut table = output::table(["WHAT", "IS"]);
    let outcome = match report.outcome {
        _ if is_dry => "nothing was done (--dry-run)",
        Outcome::Installed => "installed",
        Outcome::Waiting => "not complete: see the findings",
        Outcome::Uninstalling => "being uninstalled",
    };
    table.add_row(["rooknet", outcome]);
    if let Some(plugin) = &report.plugin {
        table.add_row(["plugin", &cell(plugin)]);
    }
    table.add_row(["mode", report.mode.as_str()]);
    if let Some(primary) = &report.primary {
        table.add_row(["primary", &cell(&format!("{} ({})", primary.name, primary.file))]);
    }
    if let Some(conflist) = &report.conflist {
        table.add_row(["conflist", &cell(&conflist.to_string_lossy())]);
    }
    if let Some(runtime) = &report.runtime {
        table.add_row(["runtime", &cell(runtime)]);
    }
    output::line(&table.to_string())?;
    for change in &report.changes {
        output::line(&format!("{} {change}", if is_dry { "would:" } else { "done: " }))?;
    }
    findings(&report.findings)
}

/// Prints findings: what is the matter, and what to do.
pub(super) fn findings(findings: &[install::Finding]) -> Result<()> {
    for finding in findings {
        let severity = match finding.severity {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        output::line(&format!("{severity}: {}\n    {}", finding.text, finding.cure))?;
    }
    Ok(())
}
