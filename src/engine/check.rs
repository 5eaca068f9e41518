//! CHECK: every attachment is still as its ADD left it.
//!
//! Two looks: the kernel, against the journal, for every attachment; and the network's plugins' own CHECK where they
//! have one. CRI-O calls CHECK after every ADD, so a plugin that is known to answer "not implemented" is not asked.

use std::time::Duration;

use anyhow::{Context, Result};

use super::call::{Call, Subject, release};
use super::failures::Failures;
use super::identity::is_of;
use super::netns::PodNetns;
use super::pod::Pod;
use crate::cni::network::Network;
use crate::cni::result::CniResult;
use crate::cni::{Code, Error, Object};
use crate::delegate;
use crate::kernel::netlink::{Link, Netlink};
use crate::state::deadline::Deadline;
use crate::state::journal::{Attachment, Journal, Read};
use crate::state::lock::{ContainerLock, Patience};

/// How long a CHECK may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Checks the container.
pub(super) async fn check(call: &Call) -> Result<()> {
    if call.config.prev_result.is_none() {
        return Err(Error::config("CHECK needs the key \"prevResult\": the result of the ADD").into());
    }
    let netns = PodNetns::required(&call.environment.netns)?;
    let deadline = Deadline::with_signals(DEADLINE)?;
    let lock =
        ContainerLock::acquire(call.run_dir(), &call.environment.container_id, Patience::Unlimited, &deadline).await?;
    let outcome = check_journal(call, &netns, &lock, &deadline).await;
    release(lock);
    outcome
}

async fn check_journal(call: &Call, netns: &PodNetns, lock: &ContainerLock, deadline: &Deadline) -> Result<()> {
    match call.journals.read(&call.key())? {
        Read::Whole(journal) if journal.complete => check_attachments(call, &journal, netns, lock, deadline).await,
        Read::Whole(_) => Err(failed("its ADD did not finish: a DEL must undo it")),
        Read::Corrupt(reason) => Err(failed(&format!("its journal cannot be read: {reason}"))),
        Read::Missing => check_nothing_selected(call),
    }
}

/// Without a journal the container has nothing of ours: right in chained mode for a pod that selects nothing.
fn check_nothing_selected(call: &Call) -> Result<()> {
    let unknown = |why: &str| {
        Err(Error::new(
            Code::UNKNOWN_CONTAINER,
            format!("container {} has no journal, {why}: its pod must be created anew", call.environment.container_id),
        )
        .into())
    };
    if call.config.is_delegating() {
        return unknown("though its default network should be in one");
    }
    // Not every runtime passes annotations to CHECK; where it does, they tell whether something is missing.
    let passed = Pod::as_passed(&call.config, &call.environment.args).ok().flatten();
    match passed.and_then(|pod| pod.selections().ok()) {
        Some(selections) if !selections.is_empty() => unknown("though its pod selects networks"),
        _ => Ok(()),
    }
}

async fn check_attachments(
    call: &Call,
    journal: &Journal,
    netns: &PodNetns,
    lock: &ContainerLock,
    deadline: &Deadline,
) -> Result<()> {
    if !is_of(journal, netns)? {
        return Err(failed("CNI_NETNS is not the network namespace of its ADD"));
    }
    let netlink = netns.netlink()?;
    let mut failures = Failures::default();
    for attachment in &journal.attachments {
        let checked = async {
            let network = Network::parse("the journaled configuration", attachment.config.get(), None)?;
            let raw = attachment.result.as_ref().ok_or_else(|| failed("its result is missing from the journal"))?;
            let result = CniResult::parse("the journaled result", raw.get(), network.version)?;
            check_kernel(netlink, attachment, &result).await?;
            let runtime_config: Object = serde_json::from_str(attachment.runtime_config.get())?;
            let subject = Subject {
                container_id: &journal.container_id,
                netns: &netns.path,
                ifname: &attachment.ifname,
                args: &attachment.args,
                runtime_config: &runtime_config,
                runners: &call.choose_again(&network, &attachment.args, &runtime_config),
                ground: call.ground(&journal.key(), Some(netns))?,
            };
            delegate::check(&network, &call.context(subject, lock, deadline), &result).await?;
            anyhow::Ok(())
        };
        if let Err(error) =
            checked.await.with_context(|| format!("network {} on interface {}", attachment.network, attachment.ifname))
        {
            failures.push(error);
        }
    }
    failures.into_result().map_err(|failures| failures.into_error("CHECK found a difference"))
}

/// Compares the journal with the kernel: the very link of the ADD under its name, its addresses, its default route.
async fn check_kernel(netlink: &Netlink, attachment: &Attachment, result: &CniResult) -> Result<()> {
    // Without a link at ADD time (a device handed to user space) there is nothing to compare.
    let Some(identity) = &attachment.link else { return Ok(()) };
    let ifname = attachment.ifname.as_str();
    let link = netlink.link_by_name(ifname).await?.ok_or_else(|| failed(&format!("interface {ifname} is missing")))?;
    if link.index != identity.index || link.kind != identity.kind {
        return Err(failed(&format!(
            "interface {ifname} is another one than the ADD made: index {} and kind {:?} instead of {} and {:?}",
            link.index, link.kind, identity.index, identity.kind
        )));
    }
    check_addresses(netlink, &link, result).await?;
    for gateway in &attachment.default_route {
        let routes = netlink.default_routes_of(gateway.is_ipv6()).await?;
        if !routes.iter().any(|route| route.gateway == Some(*gateway) && route.device == Some(link.index)) {
            return Err(failed(&format!("the default route through {gateway} on interface {ifname} is missing")));
        }
    }
    Ok(())
}

async fn check_addresses(netlink: &Netlink, link: &Link, result: &CniResult) -> Result<()> {
    let present = netlink.addresses(link.index).await?;
    for address in result.addresses_of(&link.name) {
        if !present.contains(&address.address) {
            return Err(failed(&format!("address {} is missing on interface {}", address.address, link.name)));
        }
    }
    Ok(())
}

fn failed(what: &str) -> anyhow::Error {
    Error::new(Code::CHECK_FAILED, what).into()
}
