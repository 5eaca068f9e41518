//! `rooknetctl manifests`.

use anyhow::Result;

use super::exit::Code;

/// Manifests
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: Arguments) -> Result<Code> {
    anyhow::bail!("not in this build")
}
