//! ADD: a pod gets every network that it asks for, or none.
//!
//! Read [`attach_pod`] first: it is the design's list, step by step. Nothing is touched before the plan stands and the
//! journal holds it; whatever fails afterwards is undone from that journal, newest first.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::call::{Call, Subject, release};
use super::corrupt;
use super::default_route::{self, Moved, Owner};
use super::failures::sentence;
use super::identity::{interface_group, journal_identity};
use super::netns::PodNetns;
use super::plan::{self, Attachment, Inputs, Plan};
use super::pod::Pod;
use super::readiness;
use super::settings::Settings;
use super::undo::{self, Undo};
use crate::cni::result::CniResult;
use crate::cni::{Code, Error};
use crate::delegate;
use crate::kernel::netlink::Netlink;
use crate::state::deadline::{Deadline, Reason};
use crate::state::fault;
use crate::state::journal::{self, Journal, LinkIdentity, Read};
use crate::state::lock::{CollectLock, ContainerLock, Patience};

/// How long a rollback may take, after the ADD's own deadline. Signals do not shorten it: a runtime that gives up on
/// the ADD wants nothing left.
const ROLLBACK: Duration = Duration::from_secs(30);

/// Attaches the pod and answers with the default network's result.
pub(super) async fn add(call: &Call) -> Result<String> {
    let settings = Settings::parse(&call.config)?;
    let netns = PodNetns::required(&call.environment.netns)?;
    let deadline = Deadline::with_signals(settings.deadline)?;
    let lock =
        ContainerLock::acquire(call.run_dir(), &call.environment.container_id, Patience::Unlimited, &deadline).await?;
    let answer = attach_pod(&Add { call, netns: &netns, lock: &lock, deadline: &deadline }, &settings).await;
    release(lock);
    answer
}

/// What every step of an ADD works with: the container's lock is held for all of it.
#[derive(Clone, Copy)]
struct Add<'a> {
    call: &'a Call,
    netns: &'a PodNetns,
    lock: &'a ContainerLock,
    deadline: &'a Deadline,
}

async fn attach_pod(add: &Add<'_>, settings: &Settings) -> Result<String> {
    let Add { call, netns, deadline, .. } = *add;
    readiness::wait(settings, deadline).await?;
    undo_unfinished(add).await?;
    let pod = Pod::of(&call.config, &call.environment.args)?;
    let primary = primary_result(call)?;
    let plan = plan::make(&Inputs {
        settings,
        pod: &pod,
        ifname: &call.environment.ifname,
        args: &call.environment.args,
        runtime_config: &call.config.runtime_config,
        path: &call.path,
        netns,
    })
    .await?;
    interrupted(deadline)?;
    if plan.attachments.is_empty() {
        return answer(call, primary.ok_or_else(no_default_network)?);
    }

    let mut journal = open_journal(add, &plan, &pod).await?;
    let mut progress = Progress::default();
    let attached = attach_all(add, &plan, &mut journal, &mut progress).await;
    let finished = match attached {
        Ok(()) => finish(call, primary, &mut journal, &progress),
        Err(error) => Err(error),
    };
    match finished {
        Ok(answer) => Ok(answer),
        Err(error) => Err(roll_back(add, &journal, &progress, error).await),
    }
}

/// How far an ADD has come, for its rollback.
#[derive(Default)]
struct Progress {
    /// Attachments tried, the failing one included.
    tried: usize,
    /// Default routes moved in the pod.
    moved: Moved,
}

/// In chained mode the primary plugin's result; in delegating mode none, and none may be given.
fn primary_result(call: &Call) -> Result<Option<CniResult>> {
    match (&call.config.prev_result, call.config.is_delegating()) {
        (Some(raw), false) => Ok(Some(CniResult::parse("prevResult", raw.get(), call.config.version)?)),
        (None, true) => Ok(None),
        (None, false) => Err(no_default_network().into()),
        (Some(_), true) => Err(Error::config(
            "the configuration names a default network (delegates or clusterNetwork) and the runtime gives a prevResult: \
             remove the key to run behind the primary plugin, or take rooknet out of the primary's list",
        )
        .into()),
    }
}

fn no_default_network() -> Error {
    Error::config(
        "there is no default network: put rooknet behind the primary plugin in its conflist (then the runtime gives \
         prevResult), or set one of the keys \"delegates\" and \"clusterNetwork\"",
    )
}

/// A journal of the same container and interface: a complete one means that the attachment exists; any other was left
/// by an ADD that was killed or could not be rolled back, and is undone first.
async fn undo_unfinished(&Add { call, lock, deadline, .. }: &Add<'_>) -> Result<()> {
    let key = call.key();
    match call.journals.read(&key)? {
        Read::Missing => Ok(()),
        Read::Whole(journal) if journal.complete => Err(Error::new(
            Code::EXISTS,
            format!(
                "container {} already has its networks on interface {}: a DEL must come before another ADD",
                key.container_id, key.ifname
            ),
        )
        .into()),
        Read::Whole(journal) => {
            log::warn!("undoing what a former ADD of this container left");
            Undo { call, lock, deadline }
                .journal(&journal, &call.environment.netns)
                .await
                .map_err(|failures| failures.into_error("a former ADD of this container could not be undone"))
        }
        Read::Corrupt(reason) => corrupt::undo(call, &key, &reason, deadline).await,
    }
}

/// Puts the plan on disk. Under the collect lock, so that a GC sees this journal before it asks plugins to collect.
async fn open_journal(add: &Add<'_>, plan: &Plan, pod: &Pod) -> Result<Journal> {
    let call = add.call;
    let attachments = plan
        .attachments
        .iter()
        .map(|attachment| {
            let (config, runtime_config) = (attachment.network.to_list()?, attachment.runtime_config.to_raw()?);
            // Keys are added after the limits were checked, and what cannot be read back can never be undone.
            undo::read_back(&config, &runtime_config)
                .map_err(|error| error.within(&format!("network {} cannot be journaled", attachment.display)))?;
            Ok(journal::Attachment {
                network: attachment.display.clone(),
                ifname: attachment.ifname.clone(),
                config,
                args: attachment.args.clone(),
                runtime_config,
                default_route: attachment.default_route.clone(),
                result: None,
                link: None,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let journal = Journal {
        format: journal::FORMAT,
        container_id: call.environment.container_id.clone(),
        ifname: call.environment.ifname.clone(),
        network_name: call.config.name.clone(),
        netns: call.environment.netns.clone(),
        netns_identity: journal_identity(add.netns),
        boot_id: journal::boot_id()?,
        pod: pod.reference(),
        complete: false,
        attachments,
    };
    let _collect = CollectLock::shared(call.run_dir(), add.deadline).await?;
    call.journals.write_plan(&journal)?;
    Ok(journal)
}

/// Attaches in order, then puts the default routes where the selection wants them.
async fn attach_all(add: &Add<'_>, plan: &Plan, journal: &mut Journal, progress: &mut Progress) -> Result<()> {
    let netlink = add.netns.netlink()?;
    let group = interface_group(&journal.key());
    for (attachment, entry) in plan.attachments.iter().zip(&mut journal.attachments) {
        interrupted(add.deadline)?;
        progress.tried = progress.tried.saturating_add(1);
        fault::point("add.attach");
        let started = Instant::now();
        let result = attach_one(add, attachment).await?;
        entry.link = claim_link(netlink, attachment, group).await?;
        entry.result = Some(result.to_raw()?);
        fault::point("add.attached");
        log::info!(
            network = attachment.display.as_str(), interface = attachment.ifname.as_str();
            "attached in {} ms", started.elapsed().as_millis()
        );
    }
    let owners: Vec<_> = plan
        .attachments
        .iter()
        .filter(|attachment| attachment.takes_default_route)
        .map(|attachment| Owner { interface: &attachment.ifname, gateways: &attachment.default_route })
        .collect();
    default_route::move_to(netlink, &owners, &mut progress.moved).await?;
    fault::point("add.routed");
    interrupted(add.deadline)
}

async fn attach_one(&Add { call, lock, deadline, .. }: &Add<'_>, attachment: &Attachment) -> Result<CniResult> {
    let subject = Subject {
        container_id: &call.environment.container_id,
        netns: &call.environment.netns,
        ifname: &attachment.ifname,
        args: &attachment.args,
        runtime_config: &attachment.runtime_config,
    };
    delegate::add(&attachment.network, &call.context(subject, lock, deadline))
        .await
        .with_context(|| format!("network {} on interface {}", attachment.display, attachment.ifname))
}

/// Notes which link the attachment made, and puts it into this journal's group: both outlive a pod that renames it. One
/// of the node's is left as it is, since it goes back.
async fn claim_link(netlink: &Netlink, attachment: &Attachment, group: u32) -> Result<Option<LinkIdentity>> {
    let Some(link) = netlink.link_by_name(&attachment.ifname).await? else {
        if !undo::kinds_made_by(&attachment.network).is_empty() {
            return Err(Error::new(
                Code::DELEGATE,
                format!(
                    "network {}: its plugin reported success, but there is no interface {} in the pod",
                    attachment.display, attachment.ifname
                ),
            )
            .into());
        }
        // Legitimate for a device that is handed to a user-space driver.
        log::warn!(
            network = attachment.display.as_str(), interface = attachment.ifname.as_str();
            "the network's plugin succeeded, but there is no such interface in the pod"
        );
        return Ok(None);
    };
    if !undo::is_borrowed(&attachment.network, &link.kind) {
        netlink.set_group(link.index, group).await?;
    }
    Ok(Some(LinkIdentity { index: link.index, kind: link.kind }))
}

/// Journals the results and makes the answer.
fn finish(call: &Call, primary: Option<CniResult>, journal: &mut Journal, progress: &Progress) -> Result<String> {
    let (ipv4, ipv6) = (progress.moved.ipv4, progress.moved.ipv6);
    if ipv4 || ipv6 {
        for entry in &mut journal.attachments {
            if let Some(raw) = &entry.result {
                // What a CHECK will be held against must not list a route that has gone elsewhere.
                let result = CniResult::parse("a delegate's result", raw.get(), call.config.version)?;
                entry.result = Some(result.without_default_routes(ipv4, ipv6)?.to_raw()?);
            }
        }
    }
    let default = match primary {
        Some(primary) => primary.without_default_routes(ipv4, ipv6)?,
        None => {
            let raw =
                journal.attachments.first().and_then(|first| first.result.as_ref()).ok_or_else(no_default_network)?;
            CniResult::parse("the default network's result", raw.get(), call.config.version)?
        }
    };
    let text = answer(call, default)?;
    journal.complete = true;
    call.journals.write_results(journal)?;
    fault::point("add.journaled");
    Ok(text)
}

fn answer(call: &Call, result: CniResult) -> Result<String> {
    Ok(format!("{}\n", result.convert(call.config.version)?.to_raw()?.get()))
}

/// Undoes what was tried, and returns the error that the runtime gets: the cause, and what could not be undone.
async fn roll_back(add: &Add<'_>, journal: &Journal, progress: &Progress, cause: anyhow::Error) -> anyhow::Error {
    let Add { call, lock, .. } = *add;
    log::error!("rolling back: {}", sentence(&cause));
    fault::point("rollback.begin");
    let deadline = Deadline::without_signals(ROLLBACK);
    match add.netns.netlink() {
        Ok(netlink) => progress.moved.revert(netlink).await,
        Err(error) => log::warn!("the pod's default routes are not put back: {}", sentence(&error)),
    }
    let mut tried = journal.clone();
    tried.complete = false;
    tried.attachments.truncate(progress.tried);
    match (Undo { call, lock, deadline: &deadline }).journal(&tried, &call.environment.netns).await {
        Ok(()) => cause,
        Err(failures) => failures.after(&cause),
    }
}

/// An error when the deadline has passed or a signal has come.
fn interrupted(deadline: &Deadline) -> Result<()> {
    match deadline.passed() {
        None => Ok(()),
        Some(Reason::Deadline) => {
            Err(anyhow!(Error::new(Code::INTERRUPTED, "the ADD took longer than its deadline (key \"deadline\")")))
        }
        Some(Reason::Signal) => Err(anyhow!(Error::new(Code::INTERRUPTED, "a signal from the runtime ended the ADD"))),
    }
}
