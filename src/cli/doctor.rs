//! `rooknetctl doctor`.

use anyhow::Result;

use super::exit::Code;

/// Doctor
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) async fn run(_arguments: Arguments) -> Result<Code> {
    anyhow::bail!("not in this build")
}
