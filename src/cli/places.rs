//! Arguments that say where things are on the node: for the subcommands that change it (install, uninstall, agent), and
//! for those that look at it, where the configuration that is found there says most.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::value::RawValue;

use crate::inspect;
use crate::install::{self, Preset, Record, Runtime};
use crate::state::RUN_DIR;

/// Where things are on the node.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Places on the node")]
pub(super) struct Places {
    /// Directories and socket of a distribution; the options below win over it
    #[arg(long, value_enum)]
    pub(super) preset: Option<Preset>,
    /// Directory of the CNI plugins, which the runtime searches [default: /opt/cni/bin]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) bin_dir: Option<PathBuf>,
    /// Directory of the CNI configurations, which the runtime reads [default: /etc/cni/net.d]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) conf_dir: Option<PathBuf>,
    /// Directory for rooknet's record and credentials, and for options.json with further keys of its entry
    #[arg(long, value_name = "DIRECTORY", default_value = install::DEFAULT_CONFIG_DIR)]
    pub(super) config_dir: PathBuf,
    /// Directory for what is attached: rooknet's journals [default: /var/lib/rooknet]
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) state_dir: Option<PathBuf>,
    /// Directory for what a reboot may forget
    #[arg(long, value_name = "DIRECTORY", default_value = RUN_DIR)]
    pub(super) run_dir: PathBuf,
    /// The container runtime's socket [default: the first of the usual ones that is there]
    #[arg(long, value_name = "SOCKET")]
    pub(super) runtime_socket: Option<PathBuf>,
    /// Do not ask the runtime what it has loaded
    #[arg(long, conflicts_with = "runtime_socket")]
    pub(super) no_verify_runtime: bool,
    /// How long the runtime may take to load a configuration
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) runtime_timeout: Duration,
}

impl Places {
    /// The CNI plugins' directory: as given, or by preset, or as recorded.
    pub(super) fn bin_dir(&self, record: Option<&Record>) -> PathBuf {
        let preset = self.preset.map(|preset| PathBuf::from(preset.places().bin_dir));
        let recorded = || record.map(|record| record.bin_dir.clone());
        self.bin_dir.clone().or(preset).or_else(recorded).unwrap_or_else(|| install::DEFAULT_BIN_DIR.into())
    }

    /// The CNI configurations' directory.
    pub(super) fn conf_dir(&self, record: Option<&Record>) -> PathBuf {
        let preset = self.preset.map(|preset| PathBuf::from(preset.places().conf_dir));
        let recorded = || record.map(|record| record.conf_dir.clone());
        self.conf_dir.clone().or(preset).or_else(recorded).unwrap_or_else(|| install::DEFAULT_CONF_DIR.into())
    }

    /// The journals' directory.
    pub(super) fn state_dir(&self, record: Option<&Record>) -> PathBuf {
        let recorded = || record.map(|record| record.state_dir.clone());
        self.state_dir.clone().or_else(recorded).unwrap_or_else(|| install::DEFAULT_STATE_DIR.into())
    }

    /// How the runtime is asked.
    pub(super) fn runtime(&self) -> Runtime {
        if self.no_verify_runtime {
            return Runtime::NotAsked;
        }
        let preset = self.preset.map(|preset| PathBuf::from(preset.places().socket));
        self.runtime_socket.clone().or(preset).map_or(Runtime::Usual, Runtime::Socket)
    }
}

/// Where to look. Without these: what the record of the installation says, or the usual places.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Places")]
pub(super) struct InspectedPlaces {
    /// Directory of the CNI configurations [default: as installed, or /etc/cni/net.d]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    conf_dir: Option<PathBuf>,
    /// Directory of the CNI plugins [default: as installed, or /opt/cni/bin]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    bin_dir: Option<PathBuf>,
    /// Directory of rooknet's record and credentials
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = install::DEFAULT_CONFIG_DIR)]
    config_dir: PathBuf,
    /// Directory of the journals [default: what rooknet's entry says, or /var/lib/rooknet]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Directory of locks and of the agent's snapshot
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// The container runtime's socket [default: the first of the usual ones that is there]
    #[arg(long, global = true, value_name = "SOCKET")]
    runtime_socket: Option<PathBuf>,
}

impl From<InspectedPlaces> for inspect::Place {
    fn from(places: InspectedPlaces) -> Self {
        inspect::Place {
            conf_dir: places.conf_dir,
            bin_dir: places.bin_dir,
            config_dir: places.config_dir,
            state_dir: places.state_dir,
            run_dir: places.run_dir,
            runtime_socket: places.runtime_socket,
        }
    }
}

/// A key of our entry as it is given on the command line.
pub(super) type Key = (String, Box<RawValue>);

/// `key=value`: a value that is no JSON is a text.
pub(super) fn key(text: &str) -> Result<Key, String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    let raw = RawValue::from_string(value.to_owned());
    let raw = raw.or_else(|_| serde_json::value::to_raw_value(value)).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), raw))
}
