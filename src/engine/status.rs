//! STATUS: can this node attach pods at all?
//!
//! A failing STATUS makes the node NotReady and in time evicts its OSDs, so it fails (code 50) only when no pod could be
//! attached: an invalid configuration, a state directory that cannot be written, a default network that is not ready.
//! What only some pods would feel is logged; `statusStrict` makes it fail too.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::call::Call;
use super::failures::{Failures, to_cni};
use super::find::{FoundNetwork, Sources};
use super::policy::Named;
use super::readiness;
use super::settings::Settings;
use crate::cni::text::printable_path;
use crate::cni::{Code, Object};
use crate::delegate::{self, Runners};
use crate::kubeapi::credentials::Source;
use crate::state::deadline::Deadline;

/// How long a STATUS may take: CRI-O asks every 500 ms until a node is ready.
const DEADLINE: Duration = Duration::from_secs(1);

/// Answers STATUS.
pub(super) async fn status(call: &Call) -> Result<()> {
    let deadline = Deadline::with_signals(DEADLINE)?;
    let settings = Settings::parse(&call.config).map_err(no_pod)?;
    let sources = Sources::on_node(&settings);
    let mut failures = Failures::default();
    for_every_pod(call, &settings, &sources, &deadline, &mut failures).await.map_err(no_pod)?;
    match for_some_pods(call, &settings, &sources, &deadline, failures).await {
        Ok(()) => Ok(()),
        Err(failures) if settings.status_strict => Err(not_available(&failures.into_error(
            "some pods cannot be attached on this node, and the key \"statusStrict\" makes that a failure",
        ))),
        Err(failures) => {
            log::warn!("some pods cannot be attached on this node: {failures}");
            Ok(())
        }
    }
}

/// The answer when every ADD would fail, for this cause.
pub(super) fn no_pod(cause: anyhow::Error) -> anyhow::Error {
    not_available(&cause.context("no pod can be attached on this node"))
}

/// Code 50; a delegate's 51 is kept.
fn not_available(cause: &anyhow::Error) -> anyhow::Error {
    let mut known = to_cni(cause);
    if known.code != Code::NOT_AVAILABLE_LIMITED {
        known.code = Code::NOT_AVAILABLE;
    }
    known.into()
}

/// What every ADD needs. What a plugin of this process finds is for the list of what only some pods feel: a full pool
/// has room again when a pod goes, and the pods that are there must not be evicted for it.
async fn for_every_pod(
    call: &Call,
    settings: &Settings,
    sources: &Sources<'_>,
    deadline: &Deadline,
    findings: &mut Failures,
) -> Result<()> {
    call.journals.probe().context("the state directory cannot be written")?;
    let Some(default) = &settings.default_network else { return Ok(()) };
    if !readiness::is_ready(settings) {
        let file = settings.readiness_indicator_file.clone().unwrap_or_default();
        return Err(anyhow!(
            "the default network is not ready: readinessindicatorfile {} is missing",
            printable_path(&file)
        ));
    }
    // One that only the API server knows is not judged: a STATUS must not depend on it.
    let found = sources.default_networks_on_node(default).await?.unwrap_or_default();
    for mut found in found {
        let display = found.display.clone();
        let about = || format!("default network {display}");
        let runners = prepare(call, &mut found).await.with_context(about)?;
        let context = context(call, &runners, deadline)?;
        for finding in delegate::status(&found.network, &context).await.with_context(about)? {
            findings.push(anyhow!(finding).context(about()));
        }
    }
    Ok(())
}

/// Finds what a network needs of the node (its share of addresses, its master, its programs) and who runs its plugins.
async fn prepare(call: &Call, found: &mut FoundNetwork) -> Result<Runners> {
    let mut runtime_config = Object::new();
    found.take_share(&mut runtime_config)?;
    delegate::resolve_masters(&mut found.network, call.node()?).await?;
    let runners = call.choose(&found.network, "", &runtime_config)?;
    delegate::find_executables(&found.network, &runners, &call.path)?;
    Ok(runners)
}

fn context<'a>(call: &'a Call, runners: &'a Runners, deadline: &'a Deadline) -> Result<delegate::Context<'a>> {
    let ground = Some(call.ground(&call.key(), None)?);
    Ok(delegate::Context { runners, ground, ..call.node_context(deadline) })
}

/// What pods outside the system namespaces get (`defaultNetworks`) and what pods may ask for (`networksDir`): each
/// network parses, its programs are installed, its master exists, this node has addresses for it. And the credentials by
/// which the rest is asked for can be used; no request is made. Adds to `failures`.
async fn for_some_pods(
    call: &Call,
    settings: &Settings,
    sources: &Sources<'_>,
    deadline: &Deadline,
    mut failures: Failures,
) -> Result<(), Failures> {
    if let Some(kubeconfig) = &settings.kubeconfig
        && let Err(error) = Source::new(kubeconfig).check()
    {
        failures.push(anyhow::Error::from(error).context("the API server cannot be asked"));
    }
    for reference in &settings.default_networks {
        let found = sources.reference_on_node(reference).await;
        if let Err(error) = usable(call, found, deadline).await {
            failures.push(error.context(format!("key \"defaultNetworks\", network {reference:?}")));
        }
    }
    for (namespace, name) in sources.references().map_err(anyhow::Error::from)? {
        let found = sources.definition(&namespace, &name, Named::Pod).await;
        if let Err(error) = usable(call, found, deadline).await {
            failures.push(error.context(format!("network {namespace}/{name}")));
        }
    }
    failures.into_result()
}

/// Whether a network could be attached now; one that has just gone is no failure.
async fn usable(call: &Call, found: Result<Option<FoundNetwork>>, deadline: &Deadline) -> Result<()> {
    let Some(mut found) = found? else { return Ok(()) };
    let mut runners = prepare(call, &mut found).await?;
    delegate::check_masters(&found.network, &mut runners, call.node()?).await?;
    // Programs are not asked: there may be many networks, and one second for all of them.
    if !runners.are_all_native(&found.network) {
        return Ok(());
    }
    let findings = delegate::status(&found.network, &context(call, &runners, deadline)?).await?;
    if findings.is_empty() { Ok(()) } else { Err(anyhow!(findings.join("; "))) }
}
