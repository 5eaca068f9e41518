//! What is to be done, done: the record, the plugin, our conflist, the renames, and then a look at what the runtime says.
//!
//! Each step can be repeated and is found done by the next run, so a kill anywhere is mended by running it again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::Plan;
use super::{Options, Outcome, Report, Severity, verify};
use crate::cni::names::OWN_TYPE;
use crate::cni::text::{printable, printable_path};
use crate::delegate;
use crate::state::deadline::Deadline;
use crate::state::draining;
use crate::state::installation;
use crate::state::placing::Place;

/// The reason by which an uninstall drains a node: who installs ends what has this one.
pub(super) const DRAIN_REASON: &str = "rooknetctl uninstall";

/// Does what the plan says, or only tells of it.
pub(super) async fn run(options: &Options, plan: Plan) -> Result<Report> {
    let Plan { record, is_recorded, conflist, rename, stale, mut report } = plan;
    let conflist_path = record.conf_dir.join(&record.conflist);
    let mut step = Steps { is_dry: options.dry_run, changes: Vec::new() };

    step.make(
        !is_recorded,
        || format!("write {}", printable_path(&installation::path(&options.config_dir))),
        || Ok(installation::write(&options.config_dir, &record)?),
    )?;
    let is_leaving = draining::read(&options.state_dir).is_some_and(|draining| draining.reason == DRAIN_REASON);
    step.make(
        is_leaving,
        || "end the draining that an uninstall began".to_owned(),
        || draining::end(&options.state_dir).map(drop).map_err(Into::into),
    )?;
    report.plugin = plugin(options, &mut step).await?;

    let present = installation::read_conf(&record.conf_dir, &record.conflist).unwrap_or_default();
    if let Some(text) = &conflist {
        step.make(
            present.as_ref() != Some(text),
            || format!("write {}", printable_path(&conflist_path)),
            || Ok(installation::write_conflist(&record.conf_dir, &record.conflist, text)?),
        )?;
    }
    let is_there = conflist.is_some() || present.is_some();
    // Without ours, what stands before it is all that the node has.
    for (from, to) in rename.iter().filter(|_| is_there) {
        step.make(
            true,
            || format!("rename {} to {}", printable(from), printable(to)),
            || Ok(installation::rename_conf(&record.conf_dir, from, to).map(drop)?),
        )?;
    }
    for name in stale.iter().filter(|_| is_there) {
        step.make(
            true,
            || format!("remove {}", printable_path(&record.conf_dir.join(name))),
            || Ok(installation::remove_conflist(&record.conf_dir, name)?),
        )?;
    }
    report.changes = step.changes;
    if is_there {
        report.conflist = Some(conflist_path);
    }
    if options.dry_run {
        return Ok(report);
    }
    if let Some(expected) = conflist.or(present) {
        verify::run(options, &record, &expected, &mut report).await;
    }
    let has_error = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    report.outcome = if has_error || !is_there { Outcome::Waiting } else { Outcome::Installed };
    Ok(report)
}

/// What is done, or would be.
struct Steps {
    is_dry: bool,
    changes: Vec<String>,
}

impl Steps {
    fn make(&mut self, is_due: bool, what: impl FnOnce() -> String, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if !is_due {
            return Ok(());
        }
        if !self.is_dry {
            work()?;
        }
        self.changes.push(what());
        Ok(())
    }
}

/// Where the plugin to install is.
fn source(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.plugin {
        return std::path::absolute(path).context("--plugin");
    }
    let own =
        std::env::current_exe().context("the running program's own path is unknown: name the plugin by --plugin")?;
    Ok(own.with_file_name(OWN_TYPE))
}

/// Puts the plugin in place, unless it is: its version, by its answer.
async fn plugin(options: &Options, step: &mut Steps) -> Result<Option<String>> {
    let source = source(options)?;
    let deadline = Deadline::without_signals(options.patience);
    anyhow::ensure!(
        source.is_file(),
        "the plugin to install is not at {}: name it by --plugin",
        printable_path(&source)
    );
    anyhow::ensure!(
        options.bin_dir.is_dir(),
        "the directory {} for CNI plugins does not exist: is --bin-dir (or --preset) what the runtime searches?",
        printable_path(&options.bin_dir)
    );
    let place = Place::new(&options.bin_dir, OWN_TYPE);
    if step.is_dry {
        if !place.has(&source)? {
            step.make(true, || format!("place the plugin {}", printable_path(place.file())), || Ok(()))?;
        }
        return Ok(None);
    }
    place.collect()?;
    if place.has(&source)? {
        if place.has_previous() {
            ask_in_place(&place, &deadline).await?;
            place.settle()?;
        }
        return version(place.file(), &deadline).await.map(Some);
    }
    let candidate = place.prepare(&source)?;
    delegate::version(candidate.path(), &deadline).await.with_context(|| {
        format!("the plugin {} does not answer and was not installed: is it this machine's?", printable_path(&source))
    })?;
    if place.has_previous() {
        // Who placed the present one was killed: the former stays the one to go back to, unless the present one works.
        match delegate::version(place.file(), &deadline).await {
            Ok(_) => place.settle()?,
            Err(_) => drop(place.restore()?),
        }
    }
    place.exchange(candidate)?;
    ask_in_place(&place, &deadline).await?;
    place.settle()?;
    step.changes.push(format!("place the plugin {}", printable_path(place.file())));
    version(place.file(), &deadline).await.map(Some)
}

/// The plugin in place must answer; else the former one comes back.
async fn ask_in_place(place: &Place, deadline: &Deadline) -> Result<()> {
    let Err(error) = delegate::version(place.file(), deadline).await else { return Ok(()) };
    let restored = if place.restore()? { "the former one is in place again" } else { "there was none before it" };
    Err(anyhow::Error::new(error).context(format!(
        "the plugin does not answer in {}; {restored}: is that file system mounted noexec?",
        printable_path(place.file())
    )))
}

async fn version(file: &Path, deadline: &Deadline) -> Result<String> {
    let version = delegate::rooknet_version(file, deadline).await?;
    Ok(version.unwrap_or_else(|| "unknown".to_owned()))
}
