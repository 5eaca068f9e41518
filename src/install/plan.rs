//! What there is to do: everything is looked at before anything is touched.

use std::path::Path;

use anyhow::Result;

use super::choice::{self, Choice};
use super::conflist::Primary;
use super::survey::{Content, MultusDefault, Survey, multus_default};
use super::{Caller, Finding, Kind, Mode, Options, Outcome, Report, Severity, keys, remarks, verify};
use crate::cni::text::{printable, printable_path, quoted};
use crate::state::deadline::Deadline;
use crate::state::installation::{self, Record, Replaced, State};
use crate::state::journal::Journals;

/// What a replaced file's name ends with: runtimes read no such files.
const REPLACED: &str = ".rooknet-replaced";

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// The record as it is to be.
    pub(super) record: Record,
    /// Whether it is written already.
    pub(super) is_recorded: bool,
    /// Our conflist as it is to be; `None` while there is no primary: what is there stays.
    pub(super) conflist: Option<String>,
    /// Files to rename: from, to.
    pub(super) rename: Vec<(String, String)>,
    /// Conflists of ours under other names.
    pub(super) stale: Vec<String>,
    /// What is known by now.
    pub(super) report: Report,
}

/// What follows from looking.
pub(super) enum Decision {
    /// Nothing is to be done.
    Stand(Box<Report>),
    /// This is.
    Do(Box<Plan>),
}

/// Looks, and decides.
pub(super) async fn make(options: &Options) -> Result<Decision> {
    let record = installation::read(&options.config_dir)?;
    let mut report = Report {
        outcome: Outcome::Waiting,
        plugin: None,
        primary: record.as_ref().and_then(|record| record.primary.clone()),
        mode: options.mode,
        conflist: None,
        runtime: None,
        changes: Vec::new(),
        findings: Vec::new(),
    };
    if let Some(finding) = record.as_ref().and_then(|record| standing_still(options, record)) {
        report.outcome = Outcome::Uninstalling;
        report.findings.push(finding);
        return Ok(Decision::Stand(Box::new(report)));
    }
    // What is left of an installation that was taken away says nothing of this one.
    let record = record.filter(|record| record.state != State::Uninstalled);
    if let Some(record) = &record {
        check_places(options, record)?;
    }
    let survey = survey(&options.conf_dir)?;
    let mut replaced = record.as_ref().map(|record| record.replaced.clone()).unwrap_or_default();
    let said = said_by_replaced(&options.conf_dir, &replaced);

    let rename = multus_to_rename(options, &survey, &mut replaced, &mut report);
    let Some(rename) = rename else { return Ok(Decision::Stand(Box::new(report))) };
    let Some(name) = name(&survey, &rename, &mut report) else { return Ok(Decision::Stand(Box::new(report))) };
    let mode = mode(options, record.as_ref(), &mut report)?;
    report.mode = mode;
    let primary = primary(options, record.as_ref(), &survey, &said, &mut report).await?;

    let pinned = match &primary {
        Some((file, primary)) => {
            let renamed = rename.iter().find(|(from, _)| from == file).map(|(_, to)| to);
            Some(installation::Primary { name: primary.name.clone(), file: renamed.unwrap_or(file).clone() })
        }
        None => record.as_ref().and_then(|record| record.primary.clone()),
    };
    report.primary.clone_from(&pinned);
    let conflist = primary
        .map(|(_, primary)| {
            remarks::about_primary(primary, &mut report);
            primary.with_rooknet(mode, &keys::of(options)?).map_err(anyhow::Error::from)
        })
        .transpose()?;
    remarks::about_cilium(&survey, name, &mut report);

    let wanted = Record {
        format: installation::FORMAT,
        state: State::Installed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode,
        primary: pinned,
        bin_dir: options.bin_dir.clone(),
        conf_dir: options.conf_dir.clone(),
        state_dir: options.state_dir.clone(),
        conflist: name.to_owned(),
        kubeconfig: options.kubeconfig.clone(),
        keys: keys::values(&options.keys)?,
        replaced,
        deployment: match &options.caller {
            Caller::Agent(deployment) if !deployment.is_empty() => Some(deployment.clone()),
            _ => record.as_ref().and_then(|record| record.deployment.clone()),
        },
    };
    let stale = choice::NAMES.into_iter().filter(|other| *other != name && survey.file(other).is_some());
    Ok(Decision::Do(Box::new(Plan {
        is_recorded: record.as_ref() == Some(&wanted),
        record: wanted,
        conflist,
        rename,
        stale: stale.map(ToOwned::to_owned).collect(),
        report,
    })))
}

/// What lies in the configuration directory.
pub(super) fn survey(conf_dir: &Path) -> Result<Survey> {
    let names = installation::conf_names(conf_dir)?;
    let text = |name: &str| installation::read_conf(conf_dir, name).map_err(|error| error.message);
    Ok(Survey::new(names, text, |network| {
        // What libcni adds to a list: the .conf files below a directory of the network's name.
        let directory = conf_dir.join(network);
        let mut names = installation::conf_names(&directory).map_err(|error| error.to_string())?;
        names.retain(|name| name.ends_with(".conf"));
        names.sort();
        let texts = names.into_iter().map(|name| {
            let text = installation::read_conf(&directory, &name).map_err(|error| error.message)?;
            Ok((name, text.unwrap_or_default()))
        });
        texts.collect()
    }))
}

/// Why nothing is to be done: an uninstall.
fn standing_still(options: &Options, record: &Record) -> Option<Finding> {
    let Caller::Agent(deployment) = &options.caller else { return None };
    // An agent that does not know whose it is may be the one that was told to leave.
    let is_another = !deployment.is_empty() && record.deployment.as_ref() != Some(deployment);
    if record.state == State::Installed || is_another {
        return None;
    }
    let (text, cure) = match record.state {
        State::Uninstalling => (
            "rooknet is being uninstalled from this node, by rooknetctl uninstall: nothing is installed until that ends",
            "run rooknetctl uninstall on this node to its end, or rooknetctl install to stay",
        ),
        _ => (
            "rooknet was uninstalled from this node by rooknetctl uninstall, and this agent does not bring it back",
            "keep the agent off this node, or run rooknetctl install there to bring rooknet back",
        ),
    };
    Some(Finding { kind: Kind::Uninstall, severity: Severity::Error, text: text.to_owned(), cure: cure.to_owned() })
}

/// An installation stays where it is: what lies elsewhere would be forgotten there.
fn check_places(options: &Options, record: &Record) -> Result<()> {
    for (what, flag, is, wanted) in [
        ("plugin", "--bin-dir", &record.bin_dir, &options.bin_dir),
        ("conflist", "--conf-dir", &record.conf_dir, &options.conf_dir),
        ("state", "--state-dir", &record.state_dir, &options.state_dir),
    ] {
        anyhow::ensure!(
            is == wanted,
            "rooknet is installed on this node with its {what} in {}, and cannot move to {}: run rooknetctl uninstall \
             first, or leave {flag} as it was",
            printable_path(is),
            printable_path(wanted)
        );
    }
    Ok(())
}

/// What the Multus configurations say that were renamed.
fn said_by_replaced(conf_dir: &Path, replaced: &[Replaced]) -> Vec<(String, MultusDefault)> {
    let read = |replaced: &Replaced| {
        let text = installation::read_conf(conf_dir, &replaced.renamed).ok().flatten()?;
        Some((replaced.renamed.clone(), multus_default(&replaced.file, &text)))
    };
    replaced.iter().filter_map(read).collect()
}

/// The Multus configurations that are to be renamed, noted in `replaced`; `None` when one comes first and must not be.
fn multus_to_rename(
    options: &Options,
    survey: &Survey,
    replaced: &mut Vec<Replaced>,
    report: &mut Report,
) -> Option<Vec<(String, String)>> {
    let usual = choice::NAMES.first().copied().unwrap_or_default();
    let mut rename = Vec::new();
    for (file, _) in survey.multus().filter(|(file, _)| *file < usual) {
        if !options.replace_multus {
            report.findings.push(Finding {
                kind: Kind::Multus,
                severity: Severity::Error,
                text: format!(
                    "{} is a configuration of Multus and comes before ours: runtimes would go on calling Multus, and \
                     both would attach the networks that pods select",
                    printable_path(&options.conf_dir.join(file))
                ),
                cure:
                    "--replace-multus renames it, and an uninstall renames it back; or delete Multus's DaemonSet and \
                       then the file"
                        .to_owned(),
            });
            return None;
        }
        let renamed = format!("{file}{REPLACED}");
        let entry = Replaced { file: file.to_owned(), renamed: renamed.clone() };
        if replaced.contains(&entry) {
            report.findings.push(Finding {
                kind: Kind::Multus,
                severity: Severity::Warning,
                text: format!(
                    "{} was renamed before and is there again: Multus still runs and writes it",
                    printable(file)
                ),
                cure: "delete Multus's DaemonSet".to_owned(),
            });
        } else {
            replaced.push(entry);
        }
        rename.push((file.to_owned(), renamed));
    }
    Some(rename)
}

/// Our conflist's name; `None` when it cannot come first.
fn name(survey: &Survey, rename: &[(String, String)], report: &mut Report) -> Option<&'static str> {
    let is_other = |name: &str| !choice::NAMES.contains(&name) && !rename.iter().any(|(from, _)| from == name);
    let others = survey.files.iter().map(|file| file.name.as_str()).filter(|name| is_other(name));
    let others: Vec<&str> = others.collect();
    if let Some(file) = survey.files.iter().find(|file| is_other(&file.name) && matches!(file.content, Content::Ours)) {
        report.findings.push(Finding {
            kind: Kind::NotFirst,
            severity: Severity::Error,
            text: format!(
                "{} has an entry of rooknet too, made by hand: two configurations of rooknet would contend",
                printable(&file.name)
            ),
            cure: "remove that file, or take the entry out of it, and install again".to_owned(),
        });
        return None;
    }
    match choice::name_before(others.into_iter()) {
        Ok(name) => Some(name),
        Err(first) => {
            report.findings.push(Finding {
                kind: Kind::NotFirst,
                severity: Severity::Error,
                text: format!(
                    "{} sorts before every name that ours could have: runtimes take the first",
                    printable(&first)
                ),
                cure: "give that file another name".to_owned(),
            });
            None
        }
    }
}

/// The mode that can be had. Journals of chained mode do not have the default network: the delegating mode's DEL would
/// leave it attached.
fn mode(options: &Options, record: Option<&Record>, report: &mut Report) -> Result<Mode> {
    let is_risky = options.mode == Mode::Delegating && record.is_some_and(|record| record.mode == Mode::Chained);
    if is_risky && has_journals(&options.state_dir)? {
        report.findings.push(Finding {
            kind: Kind::ModeChange,
            severity: Severity::Error,
            text:
                "the node stays in chained mode: pods are attached in it, and in delegating mode their default network \
                   would be left behind when they go"
                    .to_owned(),
            cure: "drain the node (kubectl drain), then install again".to_owned(),
        });
        return Ok(Mode::Chained);
    }
    Ok(options.mode)
}

/// The primary network; `None` when our conflist is to stay as it is.
async fn primary<'a>(
    options: &Options,
    record: Option<&Record>,
    survey: &'a Survey,
    said: &'a [(String, MultusDefault)],
    report: &mut Report,
) -> Result<Option<(String, &'a Primary)>> {
    let pinned = record.and_then(|record| record.primary.as_ref());
    let directory = printable_path(&options.conf_dir);
    let ours = record.is_some_and(|record| survey.file(&record.conflist).is_some());
    let meanwhile = if ours {
        "our conflist stays as it is, by the last good one"
    } else {
        "our conflist is written as soon as it is there"
    };
    let mut find =
        |kind, severity, text: String, cure: String| report.findings.push(Finding { kind, severity, text, cure });
    match choice::choose(survey, options.primary.as_deref(), pinned, said) {
        Choice::Network { file, primary } => {
            if let Some(pinned) = pinned.filter(|pinned| pinned.name != primary.name) {
                find(
                    Kind::PrimaryChanged,
                    Severity::Warning,
                    format!(
                        "the primary network is {} from now on, and was {}: CRI-O tears down pods that run on the former",
                        quoted(&primary.name),
                        quoted(&pinned.name)
                    ),
                    "drain the node before such a change".to_owned(),
                );
            }
            Ok(Some((file, primary)))
        }
        Choice::Changed { file, primary } => {
            let was = pinned.map(|pinned| pinned.name.as_str()).unwrap_or_default();
            if !has_pods(options).await? {
                log::info!("the primary network is {} from now on: no pod is on the former", quoted(&primary.name));
                return Ok(Some((file, primary)));
            }
            find(
                Kind::PrimaryChanged,
                Severity::Error,
                format!(
                    "the primary network {} has gone from {directory}, and {} has another one, {}: pods run on the \
                     former, and a conflist with another name tears them down; {meanwhile}",
                    quoted(was),
                    printable(&file),
                    quoted(&primary.name)
                ),
                format!(
                    "bring the former back, or drain the node and install with --primary {}",
                    printable(&primary.name)
                ),
            );
            Ok(None)
        }
        Choice::Malformed { file, reason } => {
            find(
                Kind::Malformed,
                Severity::Error,
                format!("{} cannot be used: {reason}; {meanwhile}", printable_path(&options.conf_dir.join(&file))),
                "mend or remove that file, or name the primary network by --primary".to_owned(),
            );
            Ok(None)
        }
        Choice::Absent => {
            let what = options.primary.as_deref().or(pinned.map(|pinned| pinned.name.as_str()));
            let what =
                what.map_or("no primary network".to_owned(), |name| format!("no primary network {}", quoted(name)));
            find(
                Kind::NoPrimary,
                if ours { Severity::Warning } else { Severity::Error },
                format!("{what} is in {directory}; {meanwhile}"),
                "install the cluster's network plugin, or see why it has not written its configuration; another \
                 directory is named by --conf-dir"
                    .to_owned(),
            );
            Ok(None)
        }
    }
}

fn has_journals(state_dir: &Path) -> Result<bool> {
    Ok(!Journals::new(state_dir).keys()?.is_empty())
}

/// Whether pods may be on the primary network. Who cannot be asked may have some.
async fn has_pods(options: &Options) -> Result<bool> {
    if has_journals(&options.state_dir)? {
        return Ok(true);
    }
    let Some(cri) = verify::runtime(&options.runtime) else { return Ok(true) };
    let deadline = Deadline::without_signals(options.patience);
    let Ok(sandboxes) = cri.sandboxes(&deadline).await else { return Ok(true) };
    for sandbox in sandboxes {
        let details = cri.sandbox(&sandbox.id, &deadline).await;
        if !matches!(details, Ok(None)) && !details.ok().flatten().is_some_and(|details| details.is_host_network) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
