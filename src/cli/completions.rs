//! `rooknetctl completions`.

use std::io;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::exit::Code;

/// Print a shell's completions for rooknetctl
///
/// For bash: rooknetctl completions bash > /etc/bash_completion.d/rooknetctl
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints them.
#[allow(clippy::unnecessary_wraps, reason = "every subcommand has this form")]
pub(super) fn run(arguments: Arguments) -> Result<Code> {
    generate(arguments.shell, &mut super::Arguments::command(), "rooknetctl", &mut io::stdout());
    Ok(Code::Done)
}
