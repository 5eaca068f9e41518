//! rooknetctl's command line: a file for each subcommand, with its arguments and its printing and nothing else.
//!
//! The doc comments of the arguments are the help texts. What a subcommand does is in the rooms below.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod agent;
mod attachments;
mod completions;
mod doctor;
mod exit;
mod findings;
mod install;
mod manifests;
mod output;
mod places;
mod status;
mod uninstall;

/// Installs rooknet on nodes, keeps them healthy, and shows what it does there
///
/// rooknet is a CNI plugin that gives the pods of a storage cluster networks of their own. This program is for the
/// administrator of its nodes, and is what the DaemonSet runs.
///
/// Exit codes: 0 done, and nothing is wrong; 1 it failed; 2 the command line is wrong; 3 something is wrong with the
/// node or the cluster (status, doctor); 4 refused, since pods still need what would go.
#[derive(Debug, Parser)]
#[command(name = "rooknetctl", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(Box<install::Arguments>),
    Uninstall(uninstall::Arguments),
    Agent(Box<agent::Arguments>),
    Status(status::Arguments),
    Attachments(attachments::Arguments),
    Doctor(doctor::Arguments),
    Manifests(manifests::Arguments),
    Completions(completions::Arguments),
}

/// Runs the program: its exit code, see [`exit`].
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "rooknetctl: {error:#}");
            exit::of(&error).into()
        }
    }
}

fn run(arguments: Arguments) -> Result<exit::Code> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Install(arguments) => install::run(*arguments).await,
            Command::Uninstall(arguments) => uninstall::run(arguments).await,
            Command::Agent(arguments) => agent::run(*arguments).await,
            Command::Status(arguments) => status::run(arguments).await,
            Command::Attachments(arguments) => attachments::run(arguments).await,
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Manifests(arguments) => manifests::run(arguments),
            Command::Completions(arguments) => completions::run(arguments),
        }
    });
    // A thread in the C library's name resolution cannot be ended, and a drop would wait for it.
    runtime.shutdown_background();
    outcome
}
