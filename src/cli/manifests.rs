//! `rooknetctl manifests`.

use std::io::{self, Write};

use anyhow::{Context, Result};

use super::exit::Code;
use super::install::ModeArgument;
use crate::install::Preset;
use crate::install::manifests::{Purpose, kind, objects};

/// Print the objects of a cluster, to be applied by kubectl
///
/// In an empty cluster first the kind of the networks, then everything else:
///
///   rooknetctl manifests --crd | kubectl apply -f -
///
///   rooknetctl manifests | kubectl apply -f -
///
/// To take rooknet away, first with --uninstall, which drains the nodes; when `kubectl rollout status --namespace
/// kube-system daemonset/rooknet` says that it is done, delete the same objects:
///
///   rooknetctl manifests --uninstall | kubectl apply -f -
///
///   rooknetctl manifests --uninstall | kubectl delete -f -
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How rooknet stands to the primary network
    #[arg(long, value_enum, default_value_t = ModeArgument::Chained, conflicts_with_all = ["uninstall", "crd"])]
    mode: ModeArgument,
    /// The image's whole name [default: localhost/rooknet with this version, as `make image` names it]
    #[arg(long, value_name = "NAME", conflicts_with = "crd")]
    image: Option<String>,
    /// A distribution with directories of its own
    #[arg(long, value_enum, conflicts_with = "crd")]
    preset: Option<Preset>,
    /// The DaemonSet that takes rooknet off every node, in place of the one that keeps it there
    #[arg(long, conflicts_with = "crd")]
    uninstall: bool,
    /// Only the kind NetworkAttachmentDefinition, which is never deleted with the rest: all networks would go with it
    #[arg(long)]
    crd: bool,
}

/// Prints them.
pub(super) fn run(arguments: Arguments) -> Result<Code> {
    let text = if arguments.crd {
        kind().to_owned()
    } else {
        let purpose = if arguments.uninstall { Purpose::Uninstall } else { Purpose::Keep(arguments.mode.into()) };
        objects(purpose, arguments.image.as_deref(), arguments.preset)?
    };
    io::stdout().write_all(text.as_bytes()).context("the output cannot be written")?;
    Ok(Code::Done)
}
