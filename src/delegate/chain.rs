//! The commands on one network: which plugins, in which order, with which previous result.
//!
//! As libcni's list functions, but DEL and GC go on past errors and report all of them: what can be undone is undone.
//! An interruption ends them, because no further plugin would get time. ADD undoes nothing by itself: the engine calls
//! [`del`] for the whole network, the failing plugin included.

use std::ffi::OsString;

use serde_json::value::RawValue;

use super::answer;
use super::exec::{self, Finished, Job};
use super::failure::{Call, Failure};
use super::search;
use super::{Attached, Context};
use crate::cni::network::{Network, Plugin};
use crate::cni::request::Command;
use crate::cni::result::CniResult;
use crate::cni::{Error, Object};

/// Attaches: every plugin in order, each with the former's result in the network's version as `prevResult`. Gives the
/// last one's result as it was written.
///
/// # Errors
/// The first plugin's failure; the plugins before it have done their part.
pub async fn add(network: &Network, context: &Context<'_>) -> Result<CniResult, Failure> {
    let mut last: Option<CniResult> = None;
    for plugin in &network.plugins {
        let call = call(network, plugin, Command::Add, context);
        let input = || {
            let previous = last.as_ref().map(|result| result.convert(network.version)?.to_raw()).transpose()?;
            plugin.stdin(&network.name, network.version, previous.as_deref(), context.runtime_config)
        };
        let finished = run(&call, context, input()).await?;
        last = Some(answer::result(&call, finished, network.version)?);
    }
    last.ok_or_else(|| Failure::Input {
        call: Box::new(Call {
            plugin: String::new(),
            command: Command::Add,
            network: network.name.clone(),
            ifname: context.ifname.to_owned(),
        }),
        error: Box::new(Error::config("the network has no plugins")),
    })
}

/// Detaches: every plugin in reverse order, past errors. `prev_result` is the ADD's; plugins get it from version 0.4.0
/// on and when it can be said in the network's version: a DEL does without rather than fail.
///
/// # Errors
/// All plugins' failures; a missing executable is one, because what it should undo is still there.
pub async fn del(network: &Network, context: &Context<'_>, prev_result: Option<&CniResult>) -> Result<(), Failure> {
    let previous = prev_result.filter(|_| network.version.has_prev_result_on_del()).and_then(|result| {
        result
            .convert(network.version)
            .and_then(|result| result.to_raw())
            .inspect_err(|error| {
                log::warn!(network = network.name.as_str(), interface = context.ifname;
                    "DEL goes without prevResult: {error}");
            })
            .ok()
    });
    let mut failures = Vec::new();
    for plugin in network.plugins.iter().rev() {
        let input = plugin.stdin(&network.name, network.version, previous.as_deref(), context.runtime_config);
        if !go_on(&mut failures, execute(network, plugin, Command::Del, context, input).await) {
            break;
        }
    }
    Failure::all(failures)
}

/// Checks: every plugin in order with the ADD's final result. Networks with `disableCheck` or below version 0.4.0 are
/// passed over; the engine looks at the kernel for them.
///
/// # Errors
/// The first failure.
pub async fn check(network: &Network, context: &Context<'_>, prev_result: &CniResult) -> Result<(), Failure> {
    if network.disable_check || !network.version.has_check() {
        return Ok(());
    }
    let previous = prev_result.convert(network.version).and_then(|result| result.to_raw());
    for plugin in &network.plugins {
        let input = previous
            .clone()
            .and_then(|previous| plugin.stdin(&network.name, network.version, Some(&previous), context.runtime_config));
        execute(network, plugin, Command::Check, context, input).await?;
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
    for plugin in &network.plugins {
        let input = plugin.stdin(&network.name, network.version, None, context.runtime_config).and_then(|mut input| {
            input.set_value("cni.dev/valid-attachments", &valid)?;
            // libcni sends both: plugins were written against a draft that named the key so.
            input.set_value("cni.dev/attachments", &valid)?;
            Ok(input)
        });
        if !go_on(&mut failures, execute(network, plugin, Command::Gc, &context, input).await) {
            break;
        }
    }
    Failure::all(failures)
}

/// Asks whether an ADD could succeed: every plugin in order. Networks below version 1.1.0 are passed over.
///
/// # Errors
/// The first failure, so that its code (50, 51) reaches the runtime as it is.
pub async fn status(network: &Network, context: &Context<'_>) -> Result<(), Failure> {
    if !network.version.has_gc_and_status() {
        return Ok(());
    }
    let context = without_container(context);
    for plugin in &network.plugins {
        let input = plugin.stdin(&network.name, network.version, None, context.runtime_config);
        execute(network, plugin, Command::Status, &context, input).await?;
    }
    Ok(())
}

/// Keeps a failure; false when it was an interruption.
fn go_on(failures: &mut Vec<Failure>, outcome: Result<(), Failure>) -> bool {
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

fn call(network: &Network, plugin: &Plugin, command: Command, context: &Context<'_>) -> Call {
    Call { plugin: plugin.type_name.clone(), command, network: network.name.clone(), ifname: context.ifname.to_owned() }
}

/// Runs one plugin whose output does not matter.
async fn execute(
    network: &Network,
    plugin: &Plugin,
    command: Command,
    context: &Context<'_>,
    input: Result<Object, Error>,
) -> Result<(), Failure> {
    let call = call(network, plugin, command, context);
    answer::done(&call, run(&call, context, input).await?)
}

/// Runs one plugin with `input`.
async fn run(call: &Call, context: &Context<'_>, input: Result<Object, Error>) -> Result<Finished, Failure> {
    let wrong = |error| Failure::Input { call: Box::new(call.clone()), error: Box::new(error) };
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
