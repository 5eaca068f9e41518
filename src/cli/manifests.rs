//! `rooknetctl manifests`.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::exit::Code;
use crate::install::manifests::{DISTRIBUTIONS, Purpose, kind, objects};

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
    #[arg(long, value_enum, default_value_t = Mode::Chained, conflicts_with_all = ["uninstall", "crd"])]
    mode: Mode,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Last in a copy of the primary network's conflist
    Chained,
    /// Calling the primary network itself, as Multus does
    Delegating,
}

/// Names of [`DISTRIBUTIONS`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    K3s,
    Rke2,
    Microk8s,
    Openshift,
}

/// Prints them.
pub(super) fn run(arguments: Arguments) -> Result<Code> {
    let text = if arguments.crd {
        kind().to_owned()
    } else {
        let purpose = match arguments.mode {
            _ if arguments.uninstall => Purpose::Uninstall,
            Mode::Chained => Purpose::Keep("chained"),
            Mode::Delegating => Purpose::Keep("delegating"),
        };
        let preset = arguments.preset.and_then(|preset| preset.to_possible_value());
        let distribution =
            preset.and_then(|preset| DISTRIBUTIONS.iter().find(|known| preset.matches(known.name, false)));
        objects(purpose, arguments.image.as_deref(), distribution)?
    };
    io::stdout().write_all(text.as_bytes()).context("the output cannot be written")?;
    Ok(Code::Done)
}
