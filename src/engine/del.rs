//! DEL: undo what the journal says, and nothing else.
//!
//! Needs no API server, no definition, no default network: the journal has the configuration of the ADD. A failure is
//! reported only when a retry can help, because in a chain it keeps the primary plugin from being run.

use std::time::Duration;

use anyhow::{Context, Result};

use super::call::{Call, Subject, release, sign_log};
use super::corrupt;
use super::failures::{Failures, sentence};
use super::find::Sources;
use super::identity::is_gone;
use super::netns::{PodNetns, path_or_empty};
use super::settings::Settings;
use super::undo::Undo;
use crate::cni::network::Network;
use crate::cni::result::CniResult;
use crate::delegate::{self, Runners};
use crate::state;
use crate::state::deadline::Deadline;
use crate::state::journal::{Key, Read};
use crate::state::lock::{ContainerLock, Patience};
use crate::state::log as node_log;
use crate::state::multus_cache::{self, CachedAttachment};

/// How long a DEL may take, the wait for the lock included: CRI-O allows a minute.
const DEADLINE: Duration = Duration::from_secs(45);
/// How long the retry of another container's failed DEL may take.
const RETRY: Duration = Duration::from_secs(1);

/// Detaches the container.
pub(super) async fn del(call: &Call) -> Result<()> {
    let deadline = Deadline::with_signals(DEADLINE)?;
    let lock =
        ContainerLock::acquire(call.run_dir(), &call.environment.container_id, Patience::TwoThirds, &deadline).await?;
    let outcome = detach(call, &lock, &deadline).await;
    release(lock);
    retry_one_failed(call, &deadline).await;
    outcome
}

async fn detach(call: &Call, lock: &ContainerLock, deadline: &Deadline) -> Result<()> {
    let key = call.key();
    match call.journals.read(&key)? {
        Read::Whole(journal) => {
            call.record.detaching(&journal);
            let undone = (Undo { call, lock, deadline }).journal(&journal, &call.environment.netns).await;
            undone.map_err(|failures| failures.into_error("not everything could be detached, a DEL must try again"))
        }
        Read::Corrupt(reason) => corrupt::undo(call, &key, &reason, deadline).await,
        Read::Missing => {
            without_journal(call, lock, deadline).await?;
            // An ADD that was killed while it wrote its plan left a temporary file. Not worth a failing DEL: whoever
            // lists the directory later collects it.
            if let Err(error) = call.journals.remove(&key) {
                log::warn!("what a killed ADD may have left could not be removed: {error}");
            }
            Ok(())
        }
    }
}

/// No journal: Multus attached the pod before the node moved to rooknet, or there is nothing of ours to undo.
async fn without_journal(call: &Call, lock: &ContainerLock, deadline: &Deadline) -> Result<()> {
    let container_id = &call.environment.container_id;
    let Some(cached) = multus_cache::read(&call.config.cni_dir, container_id, &call.environment.ifname)? else {
        return if call.config.is_delegating() { default_network(call, lock, deadline).await } else { Ok(()) };
    };
    log::info!("detaching what Multus attached, from its cache in {}", call.config.cni_dir.display());
    // In chained mode the default network is the primary plugin's, which the runtime calls itself.
    let is_ours = |entry: &&CachedAttachment| call.config.is_delegating() || !entry.is_default;
    let netns = PodNetns::open(&call.environment.netns)?;
    let ground = call.ground(&call.key(), netns.as_ref())?;
    let args = call.environment.args.to_string();
    let mut failures = Failures::default();
    for entry in cached.iter().filter(is_ours).rev() {
        let undone = async {
            let network = Network::parse("Multus's cached configuration", &entry.config, Some(&entry.network))?;
            let result = entry
                .result
                .as_ref()
                .map(|raw| CniResult::parse("Multus's cached result", raw.get(), network.version))
                .transpose()?;
            let args = entry.args.as_ref().unwrap_or(&args);
            let subject = Subject {
                container_id,
                netns: path_or_empty(netns.as_ref()),
                ifname: &entry.ifname,
                args,
                runtime_config: &entry.runtime_config,
                runners: &call.choose_again(&network, args, &entry.runtime_config),
                ground,
            };
            anyhow::Ok(delegate::del(&network, &call.context(subject, lock, deadline), result.as_ref()).await?)
        };
        if let Err(error) = undone.await.with_context(|| format!("network {} of Multus's cache", entry.reference)) {
            failures.push(error);
        }
    }
    failures.into_result().map_err(|failures| {
        failures.into_error("not everything that Multus attached could be detached, a DEL must try again")
    })?;
    multus_cache::remove(&call.config.cni_dir, container_id, &cached)?;
    Ok(())
}

/// Delegating mode without a journal: the default network's DEL with the runtime's own memory of the result.
async fn default_network(call: &Call, lock: &ContainerLock, deadline: &Deadline) -> Result<()> {
    let settings = Settings::parse(&call.config)?;
    let Some(default) = &settings.default_network else { return Ok(()) };
    let Some(mut found) = Sources::on_node(&settings).default_networks_on_node(default).await? else {
        // An ADD journals before it attaches, so there is nothing of ours; and a DEL asks no API server.
        log::info!("nothing to detach: there is no journal, and the default network's definition is not on this node");
        return Ok(());
    };
    let Some(first) = found.first_mut() else { return Ok(()) };
    let display = first.display.clone();
    let about = || format!("default network {display}");
    // Without them host-local would refuse its configuration, and a plugin look for its master elsewhere.
    let mut runtime_config = call.config.runtime_config.clone();
    if first.share.is_some() {
        // What was asked for does not matter to a release, and an ADD that was refused for it must not fail its DEL.
        for key in ["ips", "ipRanges"] {
            runtime_config.remove(key);
        }
    }
    first.take_share(&mut runtime_config).with_context(about)?;
    if let Err(error) = delegate::resolve_masters(&mut first.network, call.node()?).await {
        log::warn!("{}: DEL goes without a master: {}", about(), sentence(&error));
    }
    let result = call
        .config
        .prev_result
        .as_ref()
        .map(|raw| CniResult::parse("prevResult", raw.get(), call.config.version))
        .transpose()
        // A runtime's damaged memory must not keep the pod from going: the plugins do without.
        .unwrap_or_else(|error| {
            log::warn!("passing over a prevResult that cannot be read: {error}");
            None
        });
    let netns = PodNetns::open(&call.environment.netns)?;
    let args = call.environment.args.to_string();
    let chosen = call.choose(&first.network, &args, &runtime_config);
    // Every ADD refuses it and journals nothing, and there is nobody else who could have attached it: a DEL that fails
    // for ever would keep the pod from going.
    if let Err(refusal) = &chosen
        && let Err(missing) = delegate::find_executables(&first.network, Runners::EXECUTED, &call.path)
    {
        log::warn!("nothing to detach: there is no journal, and {}: {refusal}; {missing}", about());
        return Ok(());
    }
    let subject = Subject {
        container_id: &call.environment.container_id,
        netns: path_or_empty(netns.as_ref()),
        ifname: &call.environment.ifname,
        args: &args,
        runtime_config: &runtime_config,
        runners: &chosen.unwrap_or_default(),
        ground: call.ground(&call.key(), netns.as_ref())?,
    };
    delegate::del(&first.network, &call.context(subject, lock, deadline), result.as_ref()).await.with_context(about)
}

/// Tries one journal again whose undoing failed, or whose call was killed, and whose namespace is gone: a runtime
/// ignores a failed DEL after a failed ADD, may be killed itself before it calls one, and may never call GC. This
/// call's own answer stands already, so what fails here is only logged.
async fn retry_one_failed(call: &Call, deadline: &Deadline) {
    let deadline = deadline.at_most(RETRY);
    let own = call.key();
    let candidates = match candidates(call) {
        Ok(candidates) => candidates,
        Err(error) => return log::warn!("what former calls left cannot be listed: {error}"),
    };
    for candidate in candidates.into_iter().filter(|candidate| candidate.key.container_id != own.container_id) {
        if deadline.passed().is_some() {
            return;
        }
        // Its lines are not about this call's container.
        node_log::set_call(&candidate.key.container_id, "");
        let retried = retry(call, &candidate, &deadline).await;
        match &retried {
            Ok(Retried::Passed | Retried::Missing) => {}
            Ok(Retried::Done) => log::info!("undid what was left of this container"),
            Err(error) => log::warn!("what is left of this container is still not undone: {}", sentence(error)),
        }
        sign_log(&call.environment);
        if !matches!(retried, Ok(Retried::Passed | Retried::Missing)) {
            return;
        }
    }
}

/// A journal that may need another try.
struct Candidate {
    key: Key,
    /// Whether it is known by the lock file that a killed call left, and not by a mark.
    was_killed: bool,
}

/// Journals whose undoing failed, the longest untried first; then those of containers with a lock file: where nobody
/// holds it, its call was killed.
fn candidates(call: &Call) -> Result<Vec<Candidate>, state::Error> {
    let of = |was_killed| move |key| Candidate { key, was_killed };
    let mut candidates: Vec<Candidate> = call.journals.failed()?.into_iter().map(of(false)).collect();
    let locked = ContainerLock::files(call.run_dir())?;
    if !locked.is_empty() {
        let keys = call.journals.keys()?.into_iter().filter(|key| locked.contains(&key.container_id));
        candidates.extend(keys.map(of(true)));
    }
    Ok(candidates)
}

enum Retried {
    /// Not a candidate: its container may live, or somebody is at it.
    Passed,
    /// Somebody has undone it meanwhile.
    Missing,
    Done,
}

async fn retry(call: &Call, candidate: &Candidate, deadline: &Deadline) -> Result<Retried> {
    let key = &candidate.key;
    let lock = if candidate.was_killed {
        ContainerLock::try_acquire_left(call.run_dir(), &key.container_id)?
    } else {
        ContainerLock::try_acquire(call.run_dir(), &key.container_id)?
    };
    let Some(lock) = lock else { return Ok(Retried::Passed) };
    let outcome = retry_locked(call, key, &lock, deadline).await;
    if outcome.is_err() {
        // It becomes the last in the row: one that cannot even be read must not keep the others from being tried.
        call.journals.mark_failed(key)?;
    }
    // The file says of a killed call that it is one, as long as there is something of it to undo.
    if !candidate.was_killed || !matches!(outcome, Ok(Retried::Passed)) {
        release(lock);
    }
    outcome
}

async fn retry_locked(call: &Call, key: &Key, lock: &ContainerLock, deadline: &Deadline) -> Result<Retried> {
    match call.journals.read(key)? {
        Read::Whole(journal) if is_gone(&journal)? => (Undo { call, lock, deadline })
            .journal(&journal, "")
            .await
            .map(|()| Retried::Done)
            .map_err(|failures| failures.into_error("retry")),
        Read::Missing => call.journals.remove(key).map(|()| Retried::Missing).map_err(anyhow::Error::from),
        _ => Ok(Retried::Passed),
    }
}
