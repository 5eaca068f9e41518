//! Results of an ADD: the one that it is given, and those that the runtime, the journal and the cluster get.

use anyhow::Result;

use crate::cni::Error;
use crate::cni::result::CniResult;
use crate::engine::call::Call;
use crate::engine::default_route::Moved;
use crate::engine::plan::Plan;
use crate::engine::report::{Primary, Report};
use crate::state::journal::Journal;

/// In chained mode the primary plugin's result; in delegating mode none, and none may be given.
pub(super) fn primary_result(call: &Call) -> Result<Option<CniResult>> {
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

/// That there is no network for the pod's own interface.
pub(super) fn no_default_network() -> Error {
    Error::config(
        "there is no default network: put rooknet behind the primary plugin in its conflist (then the runtime gives \
         prevResult), or set one of the keys \"delegates\" and \"clusterNetwork\"",
    )
}

/// What the runtime and the cluster are told.
pub(super) struct Results {
    /// The default network's, which ADD prints.
    pub(super) default: CniResult,
    /// Those of the plan's attachments, in their order.
    pub(super) attachments: Vec<CniResult>,
}

/// The results as they are now: a default route that has gone elsewhere is in none of them. The journal gets the same,
/// because a CHECK will be held against it.
pub(super) fn settle_results(
    primary: Option<CniResult>,
    mut attachments: Vec<CniResult>,
    journal: &mut Journal,
    &Moved { ipv4, ipv6, .. }: &Moved,
) -> Result<Results> {
    if ipv4 || ipv6 {
        for (entry, result) in journal.attachments.iter_mut().zip(&mut attachments) {
            *result = result.without_default_routes(ipv4, ipv6)?;
            entry.result = Some(result.to_raw()?);
        }
    }
    let default = match primary {
        Some(primary) => primary.without_default_routes(ipv4, ipv6)?,
        None => attachments.first().cloned().ok_or_else(no_default_network)?,
    };
    Ok(Results { default, attachments })
}

/// Tells the cluster of them: the pod's network-status and its events.
pub(super) async fn report_attached(call: &Call, report: &Report<'_>, plan: &Plan, results: &Results) -> Result<()> {
    let primary = (!call.config.is_delegating()).then_some(Primary {
        name: &call.config.name,
        ifname: &call.environment.ifname,
        result: &results.default,
    });
    report.attached(plan, primary, &results.attachments).await
}

/// What ADD prints: the result in the version of the runtime's configuration.
pub(super) fn answer(call: &Call, result: &CniResult) -> Result<String> {
    Ok(format!("{}\n", result.convert(call.config.version)?.to_raw()?.get()))
}
