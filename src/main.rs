//! rooknet, the CNI plugin: environment and stdin in, one JSON document on stdout and an exit code out.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use rooknet::cni::request::Command;
use rooknet::cni::{Code, Error};
use rooknet::engine;

const ABOUT: &str = concat!(
    "rooknet ",
    env!("CARGO_PKG_VERSION"),
    "\nA CNI meta-plugin: a container runtime calls it with CNI_COMMAND set and a network configuration on stdin.\n"
);

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        // The runtime must get an object even then; the journal is on disk, so its DEL finds what is left.
        let error = Error::new(Code::INTERNAL, format!("rooknet has a fault, please report it: {panic}"));
        print(&engine::refuse(&error));
    }));
    let Some(command) = std::env::var_os("CNI_COMMAND").filter(|command| !command.is_empty()) else {
        return about(std::env::args_os().nth(1));
    };
    match answer(&command) {
        Ok(text) => {
            if print(&text) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(text) => {
            print(&text);
            ExitCode::FAILURE
        }
    }
}

/// What a person gets: on stdout when asked for, on stderr when a runtime forgot the command.
fn about(argument: Option<OsString>) -> ExitCode {
    match argument.as_ref().and_then(|argument| argument.to_str()) {
        Some("--version" | "-V" | "--help" | "-h") => {
            print(ABOUT);
        }
        _ => {
            let _ = io::stderr().write_all(ABOUT.as_bytes());
        }
    }
    ExitCode::SUCCESS
}

fn answer(command: &OsString) -> Result<String, String> {
    let command: Command = command.to_string_lossy().parse().map_err(|error| engine::refuse(&error))?;
    let input = if command == Command::Version {
        String::new()
    } else {
        read_input().map_err(|error| engine::refuse(&error))?
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        engine::refuse(&Error::new(Code::IO, format!("the event loop could not be started: {error}")))
    })?;
    let outcome = runtime.block_on(engine::serve(command, |name| std::env::var_os(name), &input));
    // A thread in the C library's name resolution cannot be ended, and a drop would wait for it.
    runtime.shutdown_background();
    outcome
}

/// Reads stdin, bounded.
fn read_input() -> Result<String, Error> {
    let limit = engine::MAX_INPUT_BYTES;
    let mut bytes = Vec::new();
    let more_than_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin()
        .lock()
        .take(more_than_limit)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::new(Code::IO, format!("stdin could not be read: {error}")))?;
    if bytes.len() > limit {
        return Err(Error::decode(format!("the configuration on stdin is longer than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| Error::decode(format!("the configuration on stdin is not UTF-8: {error}")))
}

/// Prints on stdout; false when nobody reads it.
fn print(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
