//! What a plugin's executable says of itself, asked where it lies, before a runtime calls it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::answer;
use super::exec::{self, Finished, Job};
use super::failure::{Call, Failure};
use crate::cni::Version;
use crate::cni::names::OWN_TYPE;
use crate::cni::request::Command;
use crate::state::deadline::Deadline;

/// How long the answer may take: a process that only prints.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a plugin answers to VERSION (specification, section 4, "VERSION success").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The versions of the specification that it speaks.
    #[serde(rename = "supportedVersions")]
    pub supported: Vec<String>,
}

/// Asks an executable (an absolute path) for VERSION. It must answer with exit status 0 and speak the newest version.
///
/// # Errors
/// What was wrong: it does not start (another machine's, or none at all), fails, or answers nothing of the kind.
pub async fn version(executable: &Path, deadline: &Deadline) -> Result<Answer, Failure> {
    let (call, finished) = run(executable, Command::Version.as_str(), deadline).await?;
    let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
    answer::done(&call, finished)?;
    let bad = |reason: String| Failure::BadAnswer { call: Box::new(call.clone()), reason, stderr: String::new() };
    let answer: Answer =
        serde_json::from_str(&stdout).map_err(|error| bad(format!("its answer is none to VERSION: {error}")))?;
    if answer.supported.iter().any(|version| version == Version::NEWEST.as_str()) {
        return Ok(answer);
    }
    Err(bad(format!("it does not speak version {}", Version::NEWEST)))
}

/// What rooknet's executable says when it is called without a command: its own version, as in `0.1.0`; `None` when it
/// says nothing of the kind.
///
/// # Errors
/// When it cannot be run.
pub async fn rooknet_version(executable: &Path, deadline: &Deadline) -> Result<Option<String>, Failure> {
    let (_, finished) = run(executable, "", deadline).await?;
    let mut words = finished.stderr.split_whitespace();
    Ok(words.next().filter(|word| *word == OWN_TYPE).and(words.next()).map(ToOwned::to_owned))
}

async fn run(executable: &Path, command: &str, deadline: &Deadline) -> Result<(Call, Finished), Failure> {
    let call = Call {
        plugin: executable.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        command: Command::Version,
        network: OWN_TYPE.to_owned(),
        ifname: String::new(),
    };
    let input = format!("{{\"cniVersion\":\"{}\"}}", Version::NEWEST);
    let deadline = deadline.at_most(PATIENCE);
    let job = Job {
        call: &call,
        executable: executable.to_owned(),
        variables: vec![("CNI_COMMAND", OsString::from(command))],
        input: input.as_bytes(),
        lock: None,
        deadline: &deadline,
    };
    let finished = exec::run(&job).await?;
    Ok((call, finished))
}
