//! What an administrator does to single attachments: undo one that nobody will undo any more, or forget one.
//!
//! Both are for containers that are gone. Undoing a living pod's networks cuts off a storage daemon, so whoever asks for
//! it is refused while the runtime knows the container or its namespace lives, unless he insists; and what was done stands
//! in the plugin's log, with who and why.

use anyhow::{Context, Result, bail};
use std::time::Duration;

use super::attachments::shown;
use super::{Place, configuration};
use crate::cni::text::{quoted, shortened, shortened_to};
use crate::engine::collect::{Collector, Content, Listed, Outcome, is_gone};
use crate::runtime::Cri;
use crate::state::deadline::Deadline;
use crate::state::journal::Key;
use crate::state::log as node_log;

/// How long an undoing may take, as a DEL.
const PATIENCE: Duration = Duration::from_secs(45);
/// Characters of a reason.
const LONGEST_REASON: usize = 200;
/// The shortest part of an id that may stand for the whole.
const SHORTEST_PREFIX: usize = 4;

/// That it was not done, because somebody still needs what would go.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The attachments of a node.
pub struct Upkeep {
    collector: Collector,
    runtime: Option<Cri>,
    /// Whether the runtime was named and must answer.
    must_ask: bool,
    who: String,
}

/// Which attachment, and how sure its caller is.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A container id, or the beginning of one.
    pub id: &'a str,
    /// CNI_IFNAME, where a container has several.
    pub ifname: Option<&'a str>,
    /// Why, for the log.
    pub reason: &'a str,
    /// Also when the container may live.
    pub force: bool,
}

impl Upkeep {
    /// Of the node; opens the plugin's log. `who` does it, for the log.
    ///
    /// # Errors
    /// When rooknet's conflist is there and cannot be used: its stateDir decides what is undone.
    pub fn open(place: &Place, who: &str) -> Result<Self> {
        let (known, findings) = configuration::read(place)?;
        let invalid = findings.iter().find(|finding| finding.id == super::table::CONFIGURATION_INVALID.id);
        if let Some(finding) = invalid.filter(|_| known.shown.is_none()) {
            bail!("{}: correct it first, since it says where the journals are", finding.what);
        }
        let mut settings = known.collector.config().log_settings().unwrap_or_default();
        settings.to_stderr = settings.file.is_none();
        node_log::init(&settings);
        let runtime = Cri::at(place.runtime_socket.as_deref());
        let must_ask = place.runtime_socket.is_some();
        Ok(Upkeep { collector: known.collector, runtime, must_ask, who: shortened(who) })
    }

    /// All of them.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>> {
        self.collector.list()
    }

    /// Undoes one as a DEL would, and removes its journal; its key.
    ///
    /// # Errors
    /// [`Refused`] while its container lives; what could not be undone; that there is no such attachment, or several.
    pub async fn undo(&self, wanted: Wanted<'_>) -> Result<Key> {
        let listed = self.find(wanted)?;
        let key = listed.key();
        let deadline = Deadline::with_signals(PATIENCE)?;
        let is_known = self.runtime_knows(&key, wanted.force, &deadline).await?;
        if is_known == Some(true) && !wanted.force {
            return Err(Refused(format!(
                "the runtime knows container {} of {}: delete the pod, its DEL undoes it; or insist by --force",
                shortened_to(13, &key.container_id),
                about(&listed)
            ))
            .into());
        }
        let undone = if matches!(listed.content, Content::Unreadable(_)) {
            if is_known.is_none() && !wanted.force {
                return Err(Refused(format!(
                    "the journal of {} cannot be read, and without the runtime's word nobody knows whether its container \
                     lives: name the runtime by --runtime-socket, or insist by --force",
                    shown(&key)
                ))
                .into());
            }
            self.note(&key, "undoing", wanted.reason);
            self.collector.undo_corrupt(&key, "", &deadline).await?
        } else {
            let mut lives = false;
            let outcome = self.collector.undo(&key, &deadline, |journal| {
                lives = !is_gone(journal)?;
                let is_due = !lives || wanted.force;
                if is_due {
                    self.note(&key, "undoing", wanted.reason);
                }
                Ok(is_due)
            });
            let outcome = outcome.await?;
            if lives && !wanted.force {
                return Err(Refused(format!(
                    "the network namespace of {} lives: delete the pod, its DEL undoes it; or insist by --force",
                    about(&listed)
                ))
                .into());
            }
            outcome
        };
        done(undone, &listed).map(|()| key)
    }

    /// Removes the journal of one and undoes nothing; its key.
    ///
    /// # Errors
    /// That there is no such attachment, or several; that a call works on it; when it cannot be removed.
    pub fn forget(&self, wanted: Wanted<'_>) -> Result<Key> {
        let listed = self.find(wanted)?;
        let key = listed.key();
        let reason = format!("by {}: {}", self.who, shortened_to(LONGEST_REASON, wanted.reason));
        done(self.collector.forget(&key, &reason)?, &listed).map(|()| key)
    }

    /// The one attachment that is meant.
    fn find(&self, wanted: Wanted<'_>) -> Result<Listed> {
        let listed = self.list()?;
        let is_exact = listed.iter().any(|listed| listed.container == wanted.id);
        let fits = |listed: &Listed| {
            let is_meant = if is_exact {
                listed.container == wanted.id
            } else {
                wanted.id.len() >= SHORTEST_PREFIX && listed.container.starts_with(wanted.id)
            };
            is_meant && wanted.ifname.is_none_or(|ifname| listed.interface == ifname)
        };
        let mut found: Vec<Listed> = listed.into_iter().filter(fits).collect();
        let id = quoted(wanted.id);
        if found.len() > 1 {
            let names: Vec<String> = found.iter().take(5).map(|listed| shown(&listed.key())).collect();
            let names = names.join(", ");
            bail!(
                "{id} means {} attachments ({names}): write more of the id, or name the interface by --ifname",
                found.len()
            );
        }
        found.pop().with_context(|| {
            format!("no attachment has a container id that begins with {id} (at least {SHORTEST_PREFIX} characters)")
        })
    }

    /// Whether the runtime knows the container; `None` when there is nobody to ask.
    async fn runtime_knows(&self, key: &Key, force: bool, deadline: &Deadline) -> Result<Option<bool>> {
        let Some(runtime) = &self.runtime else { return Ok(None) };
        match runtime.sandboxes(deadline).await {
            Ok(sandboxes) => Ok(Some(sandboxes.iter().any(|sandbox| sandbox.id == key.container_id))),
            Err(_) if force || !self.must_ask => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn note(&self, key: &Key, what: &str, reason: &str) {
        let reason =
            if reason.is_empty() { "no reason is given".to_owned() } else { shortened_to(LONGEST_REASON, reason) };
        log::warn!(interface = key.ifname.as_str(); "{what} container {} by {}: {reason}", key.container_id, self.who);
    }
}

/// An attachment in words.
fn about(listed: &Listed) -> String {
    match &listed.content {
        Content::Readable(essentials) if !essentials.pod.is_empty() => {
            format!("attachment {} (pod {})", shown(&listed.key()), shortened(&essentials.pod))
        }
        _ => format!("attachment {}", shown(&listed.key())),
    }
}

fn done(outcome: Outcome, listed: &Listed) -> Result<()> {
    let about = about(listed);
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Busy => bail!("a call of the runtime works on {about}: try again when it has ended"),
        Outcome::Missing => bail!("{about} has just gone"),
        Outcome::NotDue => bail!("{about} has changed meanwhile: look at it again"),
        Outcome::Corrupt(reason) => bail!("{about} has become unreadable meanwhile: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_but_success_is_told() {
        let content = Content::Unreadable("broken".to_owned());
        let listed =
            Listed { container: "abc".to_owned(), interface: "eth0".to_owned(), failed: false, age: None, content };
        assert!(done(Outcome::Done, &listed).is_ok());
        for outcome in [Outcome::Busy, Outcome::Missing, Outcome::NotDue, Outcome::Corrupt("x".to_owned())] {
            assert!(done(outcome, &listed).unwrap_err().to_string().contains("abc"));
        }
    }
}
