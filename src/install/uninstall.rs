//! How rooknet leaves a node: it drains, waits for what is attached, and goes in the reverse order of an installation.
//!
//! The runtime's DEL goes along the conflist that it has loaded, and a DEL needs the plugin. So our conflist stays until
//! nothing is attached any more, and the plugin until the runtime is seen to have loaded another conflist: nodes have
//! been lost to a conflist whose program was gone (Multus 592, 1105, 1146, 1429). Each step can be repeated; what state
//! the uninstall is in is in the record, so a second run finishes what was begun.

mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apply::DRAIN_REASON;
use super::holders::{self, Testimony, Witnesses};
use super::plan::survey;
use super::survey::Survey;
use super::{Finding, Kind, Runtime, Severity, verify};
use crate::cni::names::OWN_TYPE;
use crate::cni::text::{printable, printable_path};
use crate::engine::collect::{Collector, Content, Outcome};
use crate::state::deadline::{Deadline, Reason};
use crate::state::draining;
use crate::state::installation::{self, Lock, Mode, Record, State};
use crate::state::placing::Place;
use crate::state::{fault, host};

pub use super::holders::Holder;
pub use report::{Ended, Report};

/// What to take away, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Our own static directory: the record and the credentials.
    pub config_dir: PathBuf,
    /// `stateDir`, where there is no record.
    pub state_dir: PathBuf,
    /// Our volatile directory.
    pub run_dir: PathBuf,
    /// How the runtime is asked.
    pub runtime: Runtime,
    /// How long the runtime may take to load the other conflist.
    pub patience: Duration,
    /// A kubeconfig, to ask the API server for the node's pods; without one it is asked only from within a pod.
    pub kubeconfig: Option<PathBuf>,
    /// This node's name in Kubernetes; `None`: its host name.
    pub node_name: Option<String>,
    /// Wait for the pods that need rooknet, refusing new ones, instead of refusing to uninstall.
    pub wait: bool,
    /// Undo what is attached from the journals, whoever needs it.
    pub force: bool,
    /// How long to wait; `None`: for ever.
    pub timeout: Option<Duration>,
    /// Nothing is written: the report says what would be.
    pub dry_run: bool,
}

/// Between two looks at what is attached.
const PAUSE: Duration = Duration::from_millis(500);

/// How long one look may take, and undoing one journal.
const LOOK_PATIENCE: Duration = Duration::from_secs(60);

/// Takes rooknet away. `progress` is called whenever what is waited for has changed.
///
/// # Errors
/// When something that must be done cannot be done; what is done already stays, and another call goes on from there.
pub async fn uninstall(options: &Options, progress: impl FnMut(&[Holder])) -> Result<Report> {
    let record = installation::read(&options.config_dir)?;
    let Some(record) = record.filter(|record| record.state != State::Uninstalled) else {
        return Uninstall::of_nothing(options);
    };
    let collector = match super::entry(&record) {
        Ok(Some(entry)) => Collector::new(&entry)?,
        // Our conflist is gone, or somebody else's: the record says enough for an undoing.
        Ok(None) | Err(_) => {
            let name = record.primary.as_ref().map_or(OWN_TYPE, |primary| primary.name.as_str());
            Collector::without_entry(name, &record.state_dir, &record.bin_dir)?
        }
    };
    let node = options.node_name.clone().unwrap_or_else(host::name);
    let mut findings = Vec::new();
    let api = holders::api(options.kubeconfig.as_deref()).await?.map(|client| (client, node));
    let witnesses = Witnesses { mode: record.mode, collector: &collector, cri: verify::runtime(&options.runtime), api };
    if witnesses.cri.is_none() && options.runtime != Runtime::NotAsked {
        findings.push(report::not_asked());
    }
    Uninstall { options, record, witnesses, changes: Vec::new(), findings }.run(progress).await
}

struct Uninstall<'a> {
    options: &'a Options,
    record: Record,
    witnesses: Witnesses<'a>,
    changes: Vec<String>,
    findings: Vec<Finding>,
}

impl Uninstall<'_> {
    /// Nothing is installed: what the last steps of an earlier run left goes.
    fn of_nothing(options: &Options) -> Result<Report> {
        let mut changes = Vec::new();
        if is_draining(&options.state_dir) {
            if !options.dry_run {
                draining::end(&options.state_dir)?;
            }
            changes.push("end the draining".to_owned());
        }
        if !options.dry_run {
            installation::remove_state(&options.state_dir)?;
        }
        Ok(Report { outcome: Ended::Gone, changes, findings: Vec::new() })
    }

    async fn run(mut self, progress: impl FnMut(&[Holder])) -> Result<Report> {
        let options = self.options;
        let look = Deadline::without_signals(LOOK_PATIENCE);
        let testimony = self.witnesses.ask(&look, false).await?;
        self.tell_silence(&testimony);
        if !options.wait && !options.force && !testimony.holders.is_empty() {
            return Ok(self.ended(Ended::Refused(testimony.holders)));
        }
        self.check_what_comes()?;
        if options.dry_run {
            self.plan();
            return Ok(self.ended(Ended::Planned));
        }
        self.begin().await?;
        if let Some(ended) = self.drain(progress).await? {
            return Ok(self.ended(ended));
        }
        self.remove().await?;
        Ok(self.ended(Ended::Gone))
    }

    fn ended(self, outcome: Ended) -> Report {
        Report { outcome, changes: self.changes, findings: self.findings }
    }

    fn tell_silence(&mut self, testimony: &Testimony) {
        for reason in &testimony.silent {
            let finding = report::silent(reason);
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    /// A node must have a network without us.
    fn check_what_comes(&self) -> Result<()> {
        let survey = survey(&self.record.conf_dir)?;
        if self.options.force || survey.networks().next().is_some() || !self.record.replaced.is_empty() {
            return Ok(());
        }
        bail!(
            "{} has no other network than rooknet's: without it the node could start no pods. Have the cluster's network \
             plugin write its configuration first; --force goes on without",
            printable_path(&self.record.conf_dir)
        )
    }

    fn plan(&mut self) {
        let record = &self.record;
        self.changes.push(format!("drain: {}", printable_path(&record.state_dir.join("draining"))));
        for replaced in &record.replaced {
            self.changes.push(format!("rename {} to {}", printable(&replaced.renamed), printable(&replaced.file)));
        }
        self.changes.push(format!("remove {}", printable_path(&record.conf_dir.join(&record.conflist))));
        self.changes.push(format!("remove {}", printable_path(&record.bin_dir.join(OWN_TYPE))));
        self.changes
            .push(format!("remove the credentials and the record in {}", printable_path(&self.options.config_dir)));
    }

    /// From here on agents stand still, and no further pod is attached.
    async fn begin(&mut self) -> Result<()> {
        let _lock = self.lock().await?;
        self.record.state = State::Uninstalling;
        installation::write(&self.options.config_dir, &self.record)?;
        draining::begin(&self.record.state_dir, DRAIN_REASON)?;
        self.changes.push("drain the node: pods that select networks are refused".to_owned());
        Ok(())
    }

    /// Back to where it was: a pod came between the look and the draining.
    async fn call_off(&mut self) -> Result<()> {
        let _lock = self.lock().await?;
        self.record.state = State::Installed;
        installation::write(&self.options.config_dir, &self.record)?;
        draining::end(&self.record.state_dir)?;
        self.changes.clear();
        Ok(())
    }

    /// Waits until nothing needs rooknet, or sees to it; `None` when that is so.
    async fn drain(&mut self, mut progress: impl FnMut(&[Holder])) -> Result<Option<Ended>> {
        let limit = self.options.timeout.unwrap_or(Duration::MAX);
        let deadline = Deadline::with_signals(limit).context("signals cannot be awaited")?;
        let mut told: Option<Vec<Holder>> = None;
        loop {
            if self.options.force {
                self.undo_all().await?;
                return Ok(None);
            }
            let testimony = self.witnesses.ask(&Deadline::without_signals(LOOK_PATIENCE), true).await?;
            self.tell_silence(&testimony);
            if testimony.holders.is_empty() {
                return Ok(None);
            }
            if !self.options.wait {
                self.call_off().await?;
                return Ok(Some(Ended::Refused(testimony.holders)));
            }
            if told.as_ref() != Some(&testimony.holders) {
                progress(&testimony.holders);
                told = Some(testimony.holders.clone());
            }
            match deadline.within(tokio::time::sleep(PAUSE)).await {
                Ok(()) => {}
                Err(Reason::Deadline | Reason::Signal) => return Ok(Some(Ended::TimeUp(testimony.holders))),
            }
        }
    }

    /// Undoes every journal that holds more than the runtime's own DEL takes away.
    async fn undo_all(&mut self) -> Result<()> {
        let deadline = Deadline::without_signals(LOOK_PATIENCE);
        let plain: BTreeSet<_> = self.witnesses.ask(&deadline, true).await?.plain.into_iter().collect();
        let mut failures = Vec::new();
        for listed in self.witnesses.collector.list()? {
            let key = listed.key();
            if plain.contains(&key) {
                continue;
            }
            let deadline = Deadline::without_signals(LOOK_PATIENCE);
            let undone = loop {
                let undone = match &listed.content {
                    Content::Readable(_) => self.witnesses.collector.undo(&key, &deadline, |_| Ok(true)).await,
                    Content::Unreadable(_) => self.witnesses.collector.undo_corrupt(&key, "", &deadline).await,
                };
                // A call is at work on it: it ends by itself.
                let is_busy = matches!(undone, Ok(Outcome::Busy));
                if !is_busy || deadline.within(tokio::time::sleep(PAUSE)).await.is_err() {
                    break undone;
                }
            };
            match undone {
                Ok(Outcome::Done | Outcome::Missing) => {
                    self.changes.push(format!("undo what is attached to container {}", printable(&key.container_id)));
                }
                Ok(other) => failures.push(format!("container {}: {other:?}", printable(&key.container_id))),
                Err(error) => failures.push(format!("container {}: {error:#}", printable(&key.container_id))),
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        bail!(
            "not everything could be undone, and rooknet stays for the rest: {}; mend it, or forget it by rooknetctl \
             attachments forget, and uninstall again",
            failures.join("; ")
        )
    }

    async fn lock(&self) -> Result<Lock> {
        Ok(Lock::acquire(&self.options.run_dir, &Deadline::without_signals(super::LOCK_PATIENCE)).await?)
    }

    /// Takes everything away, newest first.
    async fn remove(&mut self) -> Result<()> {
        let _lock = self.lock().await?;
        let current = installation::read(&self.options.config_dir)?;
        if current.as_ref() != Some(&self.record) {
            bail!("rooknet was installed again meanwhile: nothing more was taken away");
        }
        // The drain may have taken hours.
        self.check_what_comes()?;
        let record = self.record.clone();
        let after = survey(&record.conf_dir)?;
        self.restore(&record)?;
        if installation::read_conf(&record.conf_dir, &record.conflist).is_ok_and(|text| text.is_some()) {
            self.changes.push(format!("remove {}", printable_path(&record.conf_dir.join(&record.conflist))));
        }
        installation::remove_conflist(&record.conf_dir, &record.conflist)?;
        self.await_runtime(&after).await?;
        self.forget_plain().await?;

        let place = Place::new(&record.bin_dir, OWN_TYPE);
        place.remove()?;
        self.changes.push(format!("remove {}", printable_path(place.file())));
        installation::remove_credentials(&self.options.config_dir)?;
        installation::remove_run_dir(&self.options.run_dir)?;
        fault::point("uninstall.run-dir");
        if record.deployment.is_some() {
            installation::write(&self.options.config_dir, &Record { state: State::Uninstalled, ..record.clone() })?;
        } else {
            installation::remove(&self.options.config_dir)?;
        }
        self.changes
            .push(format!("remove the credentials and the record in {}", printable_path(&self.options.config_dir)));
        installation::remove_if_empty(&self.options.config_dir);
        // Last: its reason tells the next run that there is something to finish.
        draining::end(&record.state_dir)?;
        Ok(installation::remove_state(&record.state_dir)?)
    }

    /// Gives others' files their names back, before ours goes: a node is never without.
    fn restore(&mut self, record: &Record) -> Result<()> {
        for replaced in &record.replaced {
            let text = installation::read_conf(&record.conf_dir, &replaced.renamed)?;
            let Some(text) = text else { continue };
            let program = ["multus-shim", "multus"].into_iter().find(|name| text.contains(&format!("\"{name}\"")));
            if let Some(program) = program.filter(|program| !record.bin_dir.join(program).is_file()) {
                self.findings.push(Finding {
                    kind: Kind::Multus,
                    severity: Severity::Warning,
                    text: format!(
                        "{} was not renamed back to {}: its program {program} is gone from {}, and no pod would start",
                        printable(&replaced.renamed),
                        printable(&replaced.file),
                        printable_path(&record.bin_dir)
                    ),
                    cure: "remove that file, or install Multus and rename it".to_owned(),
                });
                continue;
            }
            // One that was written anew since is Multus's own.
            if installation::read_conf(&record.conf_dir, &replaced.file)?.is_none()
                && installation::rename_conf(&record.conf_dir, &replaced.renamed, &replaced.file)?
            {
                self.changes.push(format!("rename {} to {}", printable(&replaced.renamed), printable(&replaced.file)));
            }
        }
        Ok(())
    }

    /// Waits until the runtime has let go of ours.
    async fn await_runtime(&mut self, after: &Survey) -> Result<()> {
        let Some(cri) = &self.witnesses.cri else { return Ok(()) };
        let deadline = Deadline::without_signals(self.options.patience);
        let judged = verify::wait(cri, &deadline, verify::still_loaded).await;
        let Err(finding) = judged else { return Ok(()) };
        let has_other = after.networks().next().is_some() || !self.record.replaced.is_empty();
        if self.options.force && !has_other {
            self.findings.push(finding);
            return Ok(());
        }
        bail!("the plugin stays where it is, because the runtime may still call it: {}; {}", finding.text, finding.cure)
    }

    /// The journals of the delegating mode whose network the runtime takes away by itself.
    async fn forget_plain(&mut self) -> Result<()> {
        if self.record.mode != Mode::Delegating {
            return Ok(());
        }
        let testimony = self.witnesses.ask(&Deadline::without_signals(LOOK_PATIENCE), false).await?;
        for key in testimony.plain {
            self.witnesses.collector.forget(&key, "uninstalled: the runtime detaches the default network by itself")?;
        }
        Ok(())
    }
}

fn is_draining(state_dir: &std::path::Path) -> bool {
    draining::read(state_dir).is_some_and(|draining| draining.reason == DRAIN_REASON)
}
