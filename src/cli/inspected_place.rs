//! The arguments that say where things are on the node, for the subcommands that look at it.

use std::path::PathBuf;

use crate::inspect;

/// Where to look. Without these: what the record of the installation says, or the usual places.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Places")]
pub(super) struct Place {
    /// Directory of the CNI configurations [default: as installed, or /etc/cni/net.d]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    conf_dir: Option<PathBuf>,
    /// Directory of the CNI plugins [default: as installed, or /opt/cni/bin]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    bin_dir: Option<PathBuf>,
    /// Directory of rooknet's record and credentials
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = "/etc/cni/rooknet")]
    config_dir: PathBuf,
    /// Directory of the journals [default: what rooknet's entry says, or /var/lib/rooknet]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Directory of locks and of the agent's snapshot
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = "/run/rooknet")]
    run_dir: PathBuf,
    /// The container runtime's socket [default: the first of the usual ones that is there]
    #[arg(long, global = true, value_name = "SOCKET")]
    runtime_socket: Option<PathBuf>,
}

impl From<Place> for inspect::Place {
    fn from(place: Place) -> Self {
        inspect::Place {
            conf_dir: place.conf_dir,
            bin_dir: place.bin_dir,
            config_dir: place.config_dir,
            state_dir: place.state_dir,
            run_dir: place.run_dir,
            runtime_socket: place.runtime_socket,
        }
    }
}
