//! What can go wrong with a plugin.
//!
//! Typed, because the engine decides by it (an interrupted DEL is retried, a missing plugin is named before anything is
//! touched), and with one way to a CNI error, so that every message names plugin, command, network and interface.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::group::Exit;
use super::output::MAX_STDOUT;
use super::search::Missing;
use crate::cni::request::Command;
use crate::cni::text::{printable, printable_path, without_success_phrases};
use crate::cni::{Code, Error};
use crate::state::Error as StateError;
use crate::state::deadline::Reason;

/// Which plugin was called, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The plugin's type.
    pub plugin: String,
    /// CNI_COMMAND.
    pub command: Command,
    /// The configuration's name.
    pub network: String,
    /// The attachment's interface; empty for GC and STATUS.
    pub ifname: String,
}

/// `ADD of network public, interface net1`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of network {}", self.command.as_str(), printable(&self.network))?;
        if self.ifname.is_empty() { Ok(()) } else { write!(f, ", interface {}", printable(&self.ifname)) }
    }
}

/// A plugin that ended with a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Who.
    pub call: Call,
    /// `code` of its error object, when it printed one that is a code.
    pub code: Option<Code>,
    /// `msg` of its error object as printable text; empty without one.
    pub message: String,
    /// `details` of its error object as printable text, or the beginning of what it printed instead of one.
    pub details: String,
    /// How it ended.
    pub exit: Exit,
    /// The end of its stderr as printable text, lines joined by ` | `.
    pub stderr: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} failed {}: ", printable(&self.call.plugin), self.call)?;
        if !self.message.is_empty() {
            return f.write_str(&self.message);
        }
        let hint = match self.exit {
            Exit::Signal("SIGKILL") => " (as the kernel does when memory runs out)",
            _ => "",
        };
        write!(f, "it {}{hint} without an error object", self.exit)?;
        match self.stderr.rsplit(" | ").next().filter(|line| !line.is_empty()) {
            Some(line) => write!(f, "; its last words: {line}"),
            None => Ok(()),
        }
    }
}

/// Why a network's plugins did not do what they were called for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The plugin's executable is in none of the directories searched.
    #[error("{call} is impossible: {missing}")]
    NotInstalled {
        /// Who.
        call: Box<Call>,
        /// What was searched, and where.
        missing: Box<Missing>,
    },
    /// What the plugin would read cannot be made: its configuration or the previous result does not allow it.
    #[error("plugin {} cannot be called for {call}: {error}", printable(&call.plugin))]
    Input {
        /// Who.
        call: Box<Call>,
        /// What is wrong.
        error: Box<Error>,
    },
    /// The executable is there but does not start.
    #[error(
        "plugin {} cannot be started for {call}: {}: {source}{}",
        printable(&call.plugin), printable_path(path), hint(source)
    )]
    Spawn {
        /// Who.
        call: Box<Call>,
        /// The executable.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The plugin's process group could not be noted in the lock file; it was ended before it did anything.
    #[error(
        "plugin {} was not run for {call}: its process group could not be noted: {source}",
        printable(&call.plugin)
    )]
    Note {
        /// Who.
        call: Box<Call>,
        /// What the lock file's room said.
        source: Box<StateError>,
    },
    /// A pipe to the plugin, or waiting for it, failed.
    #[error("plugin {} was ended during {call}: talking to it failed: {source}", printable(&call.plugin))]
    Talk {
        /// Who.
        call: Box<Call>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The plugin failed, by its own account or by its exit status.
    #[error("{0}")]
    Failed(Box<Failed>),
    /// A plugin of this process failed.
    #[error("plugin {} failed {call}: {error}", printable(&call.plugin))]
    Native {
        /// Who.
        call: Box<Call>,
        /// Why.
        error: Box<Error>,
        /// The deadline had passed, or a signal had come.
        interrupted: bool,
    },
    /// The plugin reported success, but its answer is no result.
    #[error("plugin {} ended {call} with success, but {reason}", printable(&call.plugin))]
    BadAnswer {
        /// Who.
        call: Box<Call>,
        /// What is wrong with the answer, as the rest of a sentence.
        reason: String,
        /// The end of its stderr as printable text.
        stderr: String,
    },
    /// The plugin wrote more to stdout than any result has; it was killed.
    #[error(
        "plugin {} was ended during {call}: it wrote more than {MAX_STDOUT} bytes to stdout",
        printable(&call.plugin)
    )]
    TooMuchOutput {
        /// Who.
        call: Box<Call>,
        /// The end of its stderr as printable text.
        stderr: String,
    },
    /// The deadline passed or a signal came: the plugin was killed with its group, or never started.
    #[error(
        "plugin {} was {} {call}: {reason}",
        printable(&call.plugin), if *started { "ended during" } else { "not run for" }
    )]
    Interrupted {
        /// Who.
        call: Box<Call>,
        /// Deadline or signal.
        reason: Reason,
        /// Whether the plugin ran, so that it may have left something half done.
        started: bool,
        /// The end of its stderr as printable text.
        stderr: String,
    },
    /// More than one plugin of the network failed; never fewer than two.
    #[error("{}", joined(.0))]
    Several(Vec<Failure>),
}

impl Failure {
    /// One failure as itself, more as [`Failure::Several`]; none is success.
    pub(super) fn all(mut failures: Vec<Failure>) -> Result<(), Failure> {
        match failures.pop() {
            None => Ok(()),
            Some(only) if failures.is_empty() => Err(only),
            Some(last) => {
                failures.push(last);
                Err(Failure::Several(failures))
            }
        }
    }

    /// Whether the deadline or a signal was the reason, or one of them: then further plugins would not run either.
    pub fn is_interruption(&self) -> bool {
        match self {
            Failure::Interrupted { .. } => true,
            Failure::Native { interrupted, .. } => *interrupted,
            Failure::Several(failures) => failures.iter().any(Failure::is_interruption),
            _ => false,
        }
    }

    /// The error for the runtime: the plugin's own code where it gave one, [`Code::INTERRUPTED`] for deadline and
    /// signal, [`Code::DELEGATE`] otherwise and for several failures of different codes. The details hold the
    /// plugin's details and its last words on stderr.
    pub fn to_cni(&self) -> Error {
        Error::new(self.code(), without_success_phrases(&self.to_string()))
            .with_details(without_success_phrases(&self.details()))
    }

    fn code(&self) -> Code {
        match self {
            Failure::Failed(failed) => failed.code.unwrap_or(Code::DELEGATE),
            Failure::Input { error, .. } => error.code,
            Failure::Note { .. } | Failure::Talk { .. } => Code::IO,
            Failure::Interrupted { .. } | Failure::Native { interrupted: true, .. } => Code::INTERRUPTED,
            Failure::Native { error, .. } => error.code,
            Failure::Several(failures) => {
                let mut codes = failures.iter().map(Failure::code);
                let first = codes.next().unwrap_or(Code::DELEGATE);
                if codes.all(|code| code == first) { first } else { Code::DELEGATE }
            }
            Failure::NotInstalled { .. }
            | Failure::Spawn { .. }
            | Failure::BadAnswer { .. }
            | Failure::TooMuchOutput { .. } => Code::DELEGATE,
        }
    }

    fn details(&self) -> String {
        let words = |stderr: &str| if stderr.is_empty() { String::new() } else { format!("stderr: {stderr}") };
        match self {
            Failure::Failed(failed) => both(&failed.details, &words(&failed.stderr)),
            Failure::Input { error, .. } | Failure::Native { error, .. } => error.details.clone(),
            Failure::BadAnswer { stderr, .. }
            | Failure::TooMuchOutput { stderr, .. }
            | Failure::Interrupted { stderr, .. } => words(stderr),
            Failure::Several(failures) => {
                failures.iter().map(Failure::details).fold(String::new(), |all, more| both(&all, &more))
            }
            Failure::NotInstalled { .. } | Failure::Spawn { .. } | Failure::Note { .. } | Failure::Talk { .. } => {
                String::new()
            }
        }
    }
}

fn both(one: &str, other: &str) -> String {
    match (one.is_empty(), other.is_empty()) {
        (_, true) => one.to_owned(),
        (true, false) => other.to_owned(),
        (false, false) => format!("{one}; {other}"),
    }
}

fn joined(failures: &[Failure]) -> String {
    failures.iter().map(Failure::to_string).collect::<Vec<_>>().join("; ")
}

/// What errors of exec usually mean, where the kernel's words mislead.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => " (the file is there, its interpreter or dynamic loader is missing)",
        io::ErrorKind::ExecutableFileBusy => " (it is being written; copy plugins under another name, then rename)",
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => " (it is no program for this machine)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(plugin: &str) -> Call {
        Call { plugin: plugin.into(), command: Command::Add, network: "public".into(), ifname: "net1".into() }
    }

    fn failed(code: Option<u32>, message: &str, stderr: &str) -> Failure {
        Failure::Failed(Box::new(Failed {
            call: call("macvlan"),
            code: code.map(Code),
            message: message.into(),
            details: String::new(),
            exit: Exit::Code(1),
            stderr: stderr.into(),
        }))
    }

    #[test]
    fn the_plugins_own_code_and_words_reach_the_runtime() {
        let error = failed(Some(11), "no address free", "a | b").to_cni();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER);
        assert_eq!(error.message, "plugin macvlan failed ADD of network public, interface net1: no address free");
        assert_eq!(error.details, "stderr: a | b");
    }

    #[test]
    fn without_an_error_object_exit_status_and_last_words_are_told() {
        let error = failed(None, "", "a | b").to_cni();
        assert_eq!(error.code, Code::DELEGATE);
        assert!(
            error.message.ends_with("it exited with status 1 without an error object; its last words: b"),
            "{}",
            error.message
        );
    }

    #[test]
    fn several_failures_keep_a_code_only_when_they_agree_on_it() {
        let same = Failure::Several(vec![failed(Some(11), "x", ""), failed(Some(11), "y", "")]);
        assert_eq!(same.to_cni().code, Code::TRY_AGAIN_LATER);
        let mixed = Failure::Several(vec![failed(Some(11), "x", "l1"), failed(Some(7), "y", "l2")]).to_cni();
        assert_eq!(mixed.code, Code::DELEGATE);
        assert!(mixed.message.contains("x; plugin") && mixed.details == "stderr: l1; stderr: l2", "{mixed:?}");
    }

    #[test]
    fn a_delegates_words_cannot_be_taken_for_success_by_a_runtime() {
        let error = failed(Some(5), "pod not found: no such file or directory", "not found").to_cni();
        let all = format!("{} {}", error.message, error.details);
        assert!(!all.contains("not found") && !all.contains("no such file or directory"), "{all}");
    }

    #[test]
    fn a_failure_stays_small_enough_to_be_returned() {
        assert!(size_of::<Failure>() <= 96);
    }
}
