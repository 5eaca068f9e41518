//! ADD, CHECK, GC and STATUS of one network: which plugins, in which order, with which previous result.
//!
//! As libcni's list functions, but GC goes on past errors and reports all of them. An interruption ends it, because no
//! further plugin would get time. ADD undoes nothing by itself: the engine detaches the whole network, the failing
//! plugin included.

use std::ffi::OsString;

use serde_json::value::RawValue;

use super::answer;
use super::detach::known_addresses;
use super::exec::{self, Finished, Job};
use super::failure::{Call, Failure};
use super::native::Run;
use super::search;
use super::{Attached, Context};
use crate::cni::network::{Network, Plugin};
use crate::cni::request::Command;
use crate::cni::result::CniResult;
use crate::cni::{Error, Object};
use crate::kernel::netlink::Link;

/// IPAM plugins whose CHECK always fails: whereabouts answers "not implemented". A main plugin's fails with it.
const WITHOUT_CHECK: [&str; 1] = ["whereabouts"];

/// Whether an IPAM plugin can be asked for a CHECK.
pub(super) fn has_check(ipam_type: &str) -> bool {
    !WITHOUT_CHECK.contains(&ipam_type)
}

/// What an ADD gives.
#[derive(Clone, Debug)]
pub struct Added {
    /// The last plugin's result as it was written.
    pub result: CniResult,
    /// The link in the pod, where this process made it. Its IPv6 addresses are tentative ([`super::settle`]).
    pub link: Option<Link>,
}

/// Attaches: every plugin in order, each with the former's result in the network's version as `prevResult`.
///
/// # Errors
/// The first plugin's failure; the plugins before it have done their part, and it may have done some of its own.
pub async fn add(network: &Network, context: &Context<'_>) -> Result<Added, Failure> {
    let mut last: Option<CniResult> = None;
    let mut made = None;
    for (position, plugin) in network.plugins.iter().enumerate() {
        let call = call(network, plugin, Command::Add, context);
        let previous = last.as_ref().map(|result| result.convert(network.version)).transpose();
        let previous = previous.map_err(|error| input_error(&call, error))?;
        let input = || {
            let raw = previous.as_ref().map(CniResult::to_raw).transpose()?;
            plugin.stdin(&network.name, network.version, raw.as_deref(), context.runtime_config)
        };
        last = Some(match context.runners.at(position) {
            Some(native) => {
                let run = Run { native, network, call: &call, context, input: &input };
                let (result, link) = run.add(previous.as_ref()).await?;
                made = Some(link);
                result
            }
            None => answer::result(&call, run(&call, context, input()).await?, network.version)?,
        });
    }
    let result = last.ok_or_else(|| {
        let call = Call {
            plugin: String::new(),
            command: Command::Add,
            network: network.name.clone(),
            ifname: context.ifname.to_owned(),
        };
        input_error(&call, Error::config("the network has no plugins"))
    })?;
    Ok(Added { result, link: made })
}

/// Checks: every plugin in order with the ADD's final result. Networks with `disableCheck` or below version 0.4.0 are
/// passed over, and so are executed plugins whose IPAM plugin has no CHECK; the engine looks at the kernel for them.
///
/// # Errors
/// The first failure.
pub async fn check(network: &Network, context: &Context<'_>, prev_result: &CniResult) -> Result<(), Failure> {
    if network.disable_check || !network.version.has_check() {
        return Ok(());
    }
    for (position, plugin) in network.plugins.iter().enumerate() {
        let input = || {
            let previous = prev_result.convert(network.version)?.to_raw()?;
            plugin.stdin(&network.name, network.version, Some(&previous), context.runtime_config)
        };
        match context.runners.at(position) {
            Some(native) => {
                let call = call(network, plugin, Command::Check, context);
                let known = known_addresses(network, position, Some(prev_result));
                Run { native, network, call: &call, context, input: &input }.check(prev_result, &known).await?;
            }
            None if plugin.ipam_type.as_deref().is_none_or(has_check) => {
                execute(network, plugin, Command::Check, context, input()).await?;
            }
            None => {}
        }
    }
    Ok(())
}

/// Collects: every plugin in order, past errors, frees what belongs to no attachment in `valid`. **An empty list frees
/// everything of the network.** Networks with `disableGC` or below version 1.1.0 are passed over.
///
/// # Errors
/// All plugins' failures.
pub async fn gc(network: &Network, context: &Context<'_>, valid: &[Attached]) -> Result<(), Failure> {
    if network.disable_gc || !network.version.has_gc_and_status() {
        return Ok(());
    }
    let context = without_container(context);
    let mut failures = Vec::new();
    for (position, plugin) in network.plugins.iter().enumerate() {
        let input = || {
            let mut input = plugin.stdin(&network.name, network.version, None, context.runtime_config)?;
            input.set_value("cni.dev/valid-attachments", &valid)?;
            // libcni sends both: plugins were written against a draft that named the key so.
            input.set_value("cni.dev/attachments", &valid)?;
            Ok(input)
        };
        let collected = match context.runners.at(position) {
            Some(native) => {
                let call = call(network, plugin, Command::Gc, &context);
                Run { native, network, call: &call, context: &context, input: &input }.gc().await
            }
            None => execute(network, plugin, Command::Gc, &context, input()).await,
        };
        if !go_on(&mut failures, collected) {
            break;
        }
    }
    Failure::all(failures)
}

/// Asks whether an ADD could succeed: every plugin in order. An executed plugin is not asked below version 1.1.0. The
/// answer is what plugins of this process have found, each as a sentence: it keeps some pods from being attached, and
/// who asks decides what that means.
///
/// # Errors
/// The first failure, so that its code (50, 51) reaches the runtime as it is.
pub async fn status(network: &Network, context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let is_asked = network.version.has_gc_and_status();
    let context = without_container(context);
    let mut findings = Vec::new();
    for (position, plugin) in network.plugins.iter().enumerate() {
        let input = || plugin.stdin(&network.name, network.version, None, context.runtime_config);
        match context.runners.at(position) {
            Some(native) => {
                let call = call(network, plugin, Command::Status, &context);
                let run = Run { native, network, call: &call, context: &context, input: &input };
                findings.extend(run.status().await?);
            }
            None if is_asked => execute(network, plugin, Command::Status, &context, input()).await?,
            None => {}
        }
    }
    Ok(findings)
}

/// Keeps a failure; false when it was an interruption.
pub(super) fn go_on(failures: &mut Vec<Failure>, outcome: Result<(), Failure>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(failure) => {
            let interrupted = failure.is_interruption();
            failures.push(failure);
            !interrupted
        }
    }
}

/// GC and STATUS concern no container and get no runtimeConfig.
fn without_container<'a>(context: &Context<'a>) -> Context<'a> {
    let (container_id, netns, ifname) = ("", "", "");
    Context { container_id, netns, ifname, args: String::new(), runtime_config: Object::EMPTY, ..context.clone() }
}

pub(super) fn call(network: &Network, plugin: &Plugin, command: Command, context: &Context<'_>) -> Call {
    Call { plugin: plugin.type_name.clone(), command, network: network.name.clone(), ifname: context.ifname.to_owned() }
}

/// Runs one plugin whose output does not matter.
pub(super) async fn execute(
    network: &Network,
    plugin: &Plugin,
    command: Command,
    context: &Context<'_>,
    input: Result<Object, Error>,
) -> Result<(), Failure> {
    let call = call(network, plugin, command, context);
    answer::done(&call, run(&call, context, input).await?)
}

fn input_error(call: &Call, error: Error) -> Failure {
    Failure::Input { call: Box::new(call.clone()), error: Box::new(error) }
}

/// Runs one executable with `input`.
pub(super) async fn run(call: &Call, context: &Context<'_>, input: Result<Object, Error>) -> Result<Finished, Failure> {
    let wrong = |error| input_error(call, error);
    let executable = search::find(&call.plugin, context.path)
        .map_err(|missing| Failure::NotInstalled { call: Box::new(call.clone()), missing: Box::new(missing) })?;
    let input: Box<RawValue> = input.and_then(|input| input.to_raw()).map_err(wrong)?;
    let job = Job {
        call,
        executable,
        variables: variables(call, context).map_err(wrong)?,
        input: input.get().as_bytes(),
        lock: context.lock,
        deadline: context.deadline,
    };
    exec::run(&job).await
}

/// The variables of the specification. Those that a command does not need are there too, empty, as libcni sends them:
/// a shell script under `set -u` counts on them.
fn variables(call: &Call, context: &Context<'_>) -> Result<Vec<(&'static str, OsString)>, Error> {
    let path = std::env::join_paths(context.path)
        .map_err(|_| Error::config("a directory of binDir or CNI_PATH contains ':', which separates directories"))?;
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("CNI_COMMAND", call.command.as_str().into()),
        ("CNI_CONTAINERID", context.container_id.into()),
        ("CNI_NETNS", context.netns.into()),
        ("CNI_IFNAME", context.ifname.into()),
        ("CNI_ARGS", context.args.as_str().into()),
        ("CNI_PATH", path),
    ];
    variables.extend(context.trace.iter().cloned());
    Ok(variables)
}
