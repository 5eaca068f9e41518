//! The meta-plugin: one CNI call from a runtime, from its environment and stdin to the answer on stdout.
//!
//! Each command is a story in a file of its own (`add`, `del`, `check`, `gc`, `status`); what they share lies
//! beside them. The engine knows networks only as configurations that `delegate` runs, the node only through
//! `kernel` and `state`, and the cluster only through `kubeapi`.

mod add;
mod call;
mod check;
pub mod collect;
pub mod config;
mod corrupt;
mod default_route;
mod del;
mod devices;
mod drain;
mod failures;
mod find;
mod gc;
mod identity;
mod links;
mod netns;
mod plan;
mod pod;
mod policy;
mod readiness;
mod record;
pub mod remake;
mod report;
pub mod settings;
mod status;
mod traces;
mod undo;

use std::ffi::OsString;
use std::time::Instant;

use anyhow::Result;

use crate::cni::request::{Command, Environment};
use crate::cni::{Code, Error, Version, text};
use crate::delegate;
use crate::kernel::netlink;
use crate::state::{files, log as node_log};
use call::Call;
use config::Config;

/// Bytes of a configuration on stdin, at most.
pub const MAX_INPUT_BYTES: usize = 4 * 1024 * 1024;

/// Characters of an error's message, and of its details, at most: the failures of a hundred attachments have room.
const MAX_MESSAGE: usize = 64 * 1024;

/// Serves one call: `command` as in CNI_COMMAND, the environment through `lookup`, stdin's text. Returns what goes to
/// stdout.
///
/// # Errors
/// The text of the CNI error object, which goes to stdout too; the exit code is 1 then.
pub async fn serve(command: Command, lookup: impl Fn(&str) -> Option<OsString>, input: &str) -> Result<String, String> {
    if command == Command::Version {
        return Ok(versions());
    }
    let started = Instant::now();
    let outcome = async {
        let environment = Environment::read(command, lookup)?;
        let config = Config::parse(input).map_err(|error| invalid(command, error))?;
        open_log(command, &config, &environment).map_err(|error| invalid(command, error))?;
        let call = Call::new(environment, config, started);
        let outcome = dispatch(command, &call).await;
        call.record.write(command, &outcome);
        outcome
    }
    .await;
    // The same on every machine and under any load, so that a change can be seen.
    log::debug!(
        "{} took {} netlink requests, {} fsyncs, {} programs",
        command.as_str(),
        netlink::requests_of_process(),
        files::synchronisations_of_process(),
        delegate::programs_of_process()
    );
    outcome.map_err(|error| {
        let mut known = failures::to_cni(&error);
        // Each part is bounded and printable where it is made; this is for the one that was forgotten.
        known.message = text::shortened_to(MAX_MESSAGE, &known.message);
        known.details = text::shortened_to(MAX_MESSAGE, &known.details);
        if command == Command::Del {
            known.message = text::without_success_phrases(&known.message);
            known.details = text::without_success_phrases(&known.details);
        }
        log::error!("{} failed: code {}: {}", command.as_str(), known.code.0, known.message);
        known.to_json(config::version_of(input))
    })
}

/// A configuration that no call can work with: to a STATUS it is the answer that no pod can be attached.
fn invalid(command: Command, error: anyhow::Error) -> anyhow::Error {
    let is_status = command == Command::Status && failures::to_cni(&error).code == Code::INVALID_CONFIG;
    if is_status { status::no_pod(error) } else { error }
}

async fn dispatch(command: Command, call: &Call) -> Result<String> {
    check_version(command, call.config.version)?;
    match command {
        Command::Add => add::add(call).await,
        Command::Del => del::del(call).await.map(|()| String::new()),
        Command::Check => check::check(call).await.map(|()| String::new()),
        Command::Gc => gc::gc(call).await.map(|()| String::new()),
        Command::Status => status::status(call).await.map(|()| String::new()),
        Command::Version => Ok(versions()),
    }
}

/// Refuses a command that the configuration's version does not have.
fn check_version(command: Command, version: Version) -> Result<(), Error> {
    let (is_known, needed) = match command {
        Command::Check => (version.has_check(), "0.4.0 or later"),
        Command::Gc | Command::Status => (version.has_gc_and_status(), "1.1.0"),
        Command::Add | Command::Del | Command::Version => (true, ""),
    };
    if is_known {
        return Ok(());
    }
    let command = command.as_str();
    Err(Error::new(
        Code::INCOMPATIBLE_VERSION,
        format!("{command} needs cniVersion {needed}, and the configuration has {version}"),
    ))
}

/// The answer to VERSION.
fn versions() -> String {
    let supported = Version::ALL.map(|version| format!("\"{version}\"")).join(",");
    format!("{{\"cniVersion\":\"{}\",\"supportedVersions\":[{supported}]}}\n", Version::NEWEST)
}

/// Opens the log. Settings that cannot be read fail what would begin something, and never what ends something.
fn open_log(command: Command, config: &Config, environment: &Environment) -> Result<()> {
    let settings = match config.log_settings() {
        Ok(settings) => settings,
        Err(error) if matches!(command, Command::Add | Command::Status) => return Err(error),
        Err(_) => node_log::Settings::default(),
    };
    node_log::init(&settings);
    call::sign_log(environment);
    let ignored = config.ignored_log_options();
    if !ignored.is_empty() && command == Command::Add {
        log::warn!(
            "logOptions {} do nothing here: maxSize renames the log once, the rest is logrotate's",
            ignored.join(", ")
        );
    }
    Ok(())
}

/// The error object for input that never became a call: an unknown command, stdin that cannot be read.
pub fn refuse(error: &Error) -> String {
    error.to_json(Version::NEWEST)
}
