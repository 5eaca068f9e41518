//! ADD: a pod gets every network that it asks for, or none.
//!
//! Read [`attach_pod`] first, then [`attach_networks`]: together they are the story of docs/architecture.md, step by
//! step. Nothing is touched before the plan stands and the journal holds it; whatever fails afterwards is undone from
//! that journal, newest first.

mod results;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use futures_util::future::try_join_all;

use super::call::{Call, Subject, release};
use super::corrupt;
use super::default_route::{self, Moved, Owner};
use super::devices;
use super::drain;
use super::failures::sentence;
use super::find::Sources;
use super::identity::{interface_groups, journal_identity};
use super::netns::PodNetns;
use super::plan::{self, Attachment, Inputs, Plan};
use super::pod::Pod;
use super::readiness;
use super::report::Report;
use super::settings::Settings;
use super::undo::{self, Undo};
use crate::cni::result::CniResult;
use crate::cni::{Code, Error};
use crate::delegate::{self, Added};
use crate::kernel::netlink::{Link, Netlink};
use crate::kubeapi::credentials::Source;
use crate::kubeapi::{ApiNetworks, Client};
use crate::state::deadline::{Deadline, Reason};
use crate::state::fault;
use crate::state::journal::{self, Journal, LinkIdentity, Read};
use crate::state::lock::{CollectLock, ContainerLock, Patience};
use results::{Results, answer, no_default_network, primary_result, report_attached, settle_results};

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
    let Add { call, deadline, .. } = *add;
    readiness::wait(settings, deadline).await?;
    undo_unfinished(add).await?;
    let client = settings.kubeconfig.as_deref().map(|path| Client::new(Source::new(path)));
    let attached = attach_known(add, settings, client.as_ref()).await;
    if let Some(client) = &client {
        call.record.asked(client.usage());
    }
    attached
}

async fn attach_known(add: &Add<'_>, settings: &Settings, client: Option<&Client>) -> Result<String> {
    let Add { call, deadline, .. } = *add;
    let pod = Pod::of(&call.config, &call.environment.args, client, deadline).await?;
    call.record.pod(&pod);
    let report = Report { settings, client, pod: &pod, call, deadline };
    let attached = attach_networks(add, &report).await;
    if let Err(cause) = &attached {
        report.failed(cause).await;
    }
    attached
}

async fn attach_networks(add: &Add<'_>, report: &Report<'_>) -> Result<String> {
    let Add { call, netns, deadline, .. } = *add;
    drain::refuse_where_drained(call, report.pod)?;
    let primary = primary_result(call)?;
    let api = report.client.map(|client| ApiNetworks::new(client, deadline));
    let plan = plan::make(&Inputs {
        settings: report.settings,
        sources: &Sources::of_call(report.settings, call, api),
        pod: report.pod,
        container_id: &call.environment.container_id,
        ifname: &call.environment.ifname,
        args: &call.environment.args,
        runtime_config: &call.config.runtime_config,
        call,
        netns,
        deadline,
    })
    .await?;
    interrupted(deadline)?;
    if plan.attachments.is_empty() {
        let results = Results { default: primary.ok_or_else(no_default_network)?, attachments: Vec::new() };
        let text = answer(call, &results.default)?;
        report_attached(call, report, &plan, &results).await?;
        return Ok(text);
    }

    let mut journal = open_journal(add, &plan, report.pod).await?;
    let mut progress = Progress::default();
    let attached = async {
        let attached = attach_all(add, &plan, &mut journal, &mut progress).await?;
        let results = settle_results(primary, attached, &mut journal, &progress.moved)?;
        let text = answer(call, &results.default)?;
        report_attached(call, report, &plan, &results).await?;
        fault::point("add.reported");
        complete(call, &mut journal)?;
        Ok(text)
    }
    .await;
    match attached {
        Ok(text) => Ok(text),
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
                takes_default_route: attachment.takes_default_route,
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

/// Attaches in order, then puts the default routes where the selection wants them. Gives the attachments' results.
async fn attach_all(
    add: &Add<'_>,
    plan: &Plan,
    journal: &mut Journal,
    progress: &mut Progress,
) -> Result<Vec<CniResult>> {
    let call = add.call;
    let mut results = Vec::with_capacity(plan.attachments.len());
    let mut unsettled = Vec::new();
    let netlink = add.netns.netlink()?;
    let group = interface_groups(&journal.key()).executed;
    for (attachment, entry) in plan.attachments.iter().zip(&mut journal.attachments) {
        interrupted(add.deadline)?;
        progress.tried = progress.tried.saturating_add(1);
        fault::point("add.attach");
        let started = Instant::now();
        let Added { result, link } = attach_one(add, attachment).await?;
        entry.link = match link {
            Some(link) => {
                let identity = LinkIdentity { index: link.index, kind: link.kind.clone() };
                if result.addresses().iter().any(|address| address.address.is_ipv6()) {
                    unsettled.push((attachment, link));
                }
                Some(identity)
            }
            None => claim_link(netlink, attachment, group).await?,
        };
        entry.result = Some(result.to_raw()?);
        call.record.attached(&attachment.status_name, &attachment.ifname, started.elapsed(), &result);
        results.push(result);
        fault::point("add.attached");
        log::info!(
            network = attachment.display.as_str(), interface = attachment.ifname.as_str();
            "attached in {} ms", started.elapsed().as_millis()
        );
    }
    settle_addresses(netlink, &unsettled, add.deadline).await?;
    let owners: Vec<_> = plan
        .attachments
        .iter()
        .filter(|attachment| attachment.takes_default_route)
        .map(|attachment| Owner { interface: &attachment.ifname, gateways: &attachment.default_route })
        .collect();
    default_route::move_to(netlink, &owners, &mut progress.moved).await?;
    fault::point("add.routed");
    interrupted(add.deadline)?;
    Ok(results)
}

async fn attach_one(&Add { call, lock, deadline, netns }: &Add<'_>, attachment: &Attachment) -> Result<Added> {
    let subject = Subject {
        container_id: &call.environment.container_id,
        netns: &call.environment.netns,
        ifname: &attachment.ifname,
        args: &attachment.args,
        runtime_config: &attachment.runtime_config,
        runners: &attachment.runners,
        ground: call.ground(&call.key(), Some(netns))?,
    };
    let about = || format!("network {} on interface {}", attachment.display, attachment.ifname);
    if let Some(device) = &attachment.device {
        devices::copy_information(device, &attachment.runtime_config).with_context(about)?;
    }
    delegate::add(&attachment.network, &call.context(subject, lock, deadline)).await.with_context(about)
}

/// Waits for the end of duplicate address detection on all links that this process made, side by side.
async fn settle_addresses(pod: &Netlink, links: &[(&Attachment, Link)], deadline: &Deadline) -> Result<()> {
    let settled = links.iter().map(|(attachment, link)| async move {
        let settled = delegate::settle(pod, link, deadline).await;
        settled.with_context(|| format!("network {} on interface {}", attachment.display, attachment.ifname))
    });
    try_join_all(settled).await.map(drop)
}

/// Notes which link an executed plugin made, and puts it into this journal's group: both outlive a pod that renames it. One
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

/// Journals results and links: from here on the attachment exists.
fn complete(call: &Call, journal: &mut Journal) -> Result<()> {
    journal.complete = true;
    call.journals.write_results(journal)?;
    fault::point("add.journaled");
    Ok(())
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
