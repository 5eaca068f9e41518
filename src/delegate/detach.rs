//! DEL of one network: every plugin in reverse order, past errors, so that what can be undone is undone. An interruption
//! ends it, because no further plugin would get time.
//!
//! Where this process makes the network's interface, a DEL has two parts, and the interface goes between them: the
//! executed plugins after it may still need it, and an address that still answers must not be handed out again.

use std::net::IpAddr;

use serde_json::value::RawValue;

use super::chain::{call, execute, go_on};
use super::failure::Failure;
use super::native::{Run, failed};
use super::{Context, Ground};
use crate::cni::network::{Network, Plugin};
use crate::cni::request::Command;
use crate::cni::result::CniResult;
use crate::kernel;
use crate::kernel::netlink::Netlink;

/// Detaches: every plugin in reverse order, past errors. `prev_result` is the ADD's; plugins get it from version 0.4.0
/// on and when it can be said in the network's version: a DEL does without rather than fail. Of a network whose
/// interface this process makes, it is deleted by its name: for callers that know no more of it.
///
/// # Errors
/// All plugins' failures; a missing executable is one, because what it should undo is still there.
pub async fn del(network: &Network, context: &Context<'_>, prev_result: Option<&CniResult>) -> Result<(), Failure> {
    del_above_link(network, context, prev_result).await?;
    let Some(position) = context.runners.position() else { return Ok(()) };
    if let (Some(native), Some(plugin)) = (context.runners.at(position), network.plugins.get(position))
        && let Some(Ground { pod: Some((_, pod)), .. }) = context.ground
    {
        let call = call(network, plugin, Command::Del, context);
        let deleted = delete_by_name(pod, context.ifname, native.main.link_kind()).await;
        deleted.map_err(|error| failed(&call, context, error.into()))?;
    }
    del_below_link(network, context, prev_result).await
}

async fn delete_by_name(pod: &Netlink, ifname: &str, kind: &str) -> Result<(), kernel::Error> {
    match pod.link_by_name(ifname).await? {
        Some(link) if link.kind == kind => pod.delete_link(link.index).await,
        _ => Ok(()),
    }
}

/// The part of a DEL before the network's link goes, where this process makes it: the plugins after its own, in reverse
/// order. Otherwise the whole DEL.
///
/// # Errors
/// As [`del`].
pub async fn del_above_link(
    network: &Network,
    context: &Context<'_>,
    prev_result: Option<&CniResult>,
) -> Result<(), Failure> {
    let above = context.runners.position().map_or(0, |position| position.saturating_add(1));
    del_plugins(network, network.plugins.get(above..).unwrap_or_default(), context, prev_result).await
}

/// The part of a DEL after the network's link is gone: its addresses, and the plugins before the one of this process.
/// Nothing where all are executed.
///
/// # Errors
/// As [`del`].
pub async fn del_below_link(
    network: &Network,
    context: &Context<'_>,
    prev_result: Option<&CniResult>,
) -> Result<(), Failure> {
    let Some(position) = context.runners.position() else { return Ok(()) };
    let (Some(native), Some(plugin)) = (context.runners.at(position), network.plugins.get(position)) else {
        return Ok(());
    };
    let call = call(network, plugin, Command::Del, context);
    let input = || {
        let previous = previous_of_del(network, context, prev_result);
        plugin.stdin(&network.name, network.version, previous.as_deref(), context.runtime_config)
    };
    let run = Run { native, network, call: &call, context, input: &input };
    let released = run.release(&known_addresses(network, position, prev_result)).await;
    let mut failures = Vec::new();
    if go_on(&mut failures, released) {
        let below = del_plugins(network, network.plugins.get(..position).unwrap_or_default(), context, prev_result);
        go_on(&mut failures, below.await);
    }
    Failure::all(failures)
}

/// The addresses of a result, when no plugin after the one at `position` may have changed it.
pub(super) fn known_addresses(network: &Network, position: usize, result: Option<&CniResult>) -> Vec<IpAddr> {
    let is_last = position.checked_add(1) == Some(network.plugins.len());
    let addresses = result.filter(|_| is_last).map(CniResult::addresses).unwrap_or_default();
    addresses.into_iter().map(|address| address.address.ip()).collect()
}

async fn del_plugins(
    network: &Network,
    plugins: &[Plugin],
    context: &Context<'_>,
    prev_result: Option<&CniResult>,
) -> Result<(), Failure> {
    if plugins.is_empty() {
        return Ok(());
    }
    let previous = previous_of_del(network, context, prev_result);
    let mut failures = Vec::new();
    for plugin in plugins.iter().rev() {
        let input = plugin.stdin(&network.name, network.version, previous.as_deref(), context.runtime_config);
        if !go_on(&mut failures, execute(network, plugin, Command::Del, context, input).await) {
            break;
        }
    }
    Failure::all(failures)
}

fn previous_of_del(network: &Network, context: &Context<'_>, prev_result: Option<&CniResult>) -> Option<Box<RawValue>> {
    prev_result.filter(|_| network.version.has_prev_result_on_del()).and_then(|result| {
        result
            .convert(network.version)
            .and_then(|result| result.to_raw())
            .inspect_err(|error| {
                log::warn!(network = network.name.as_str(), interface = context.ifname;
                    "DEL goes without prevResult: {error}");
            })
            .ok()
    })
}
