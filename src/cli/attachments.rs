//! `rooknetctl attachments`.

use anyhow::Result;

use super::exit::Code;

/// Attachments
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) async fn run(_arguments: Arguments) -> Result<Code> {
    anyhow::bail!("not in this build")
}
