//! `rooknetctl agent`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::exit::Code;
use super::install::ModeArgument;
use super::places::{self, Places};
use crate::agent;
use crate::engine::config::DEFAULT_CNI_DIR;
use crate::engine::settings::DEFAULT_CONF_DIR;
use crate::install::{self, Caller, Mode, Runtime, State};
use crate::state::host;
use crate::state::log::{self, Level, Settings};

/// Keep this node healthy, for as long as it runs: what the DaemonSet runs
///
/// It keeps the installation as `rooknetctl install` makes it, gives the plugin its token and renews it, keeps a copy of
/// the network definitions so that a pod's start asks no API server for them, collects and repairs what is broken, finds
/// pods that lack networks, and serves metrics. SIGTERM ends it and leaves the node working.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of this machine's Node object [default: the host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
    /// Where /metrics and /healthz are served, without authentication
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    metrics_address: SocketAddr,
    /// Keep the taint rooknet.io/not-ready:NoSchedule on the node while the installation is not verified
    ///
    /// Have the kubelet register the node with it (--register-with-taints): the agent takes it away.
    #[arg(long, conflicts_with = "no_install")]
    taint: bool,
    /// Evict running pods that lack networks which they select, one after another, within their disruption budgets
    #[arg(long)]
    evict: bool,
    /// How old a pod must be before it can be said to lack a network
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// A network on which the node has a link of its own, to reach its pods [can be given several times]
    ///
    /// Beside the networks that are marked themselves, by an annotation.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    host_access: Vec<String>,
    /// A namespace whose networks may be marked for that [can be given several times; default: all]
    #[arg(long, value_name = "NAMESPACE")]
    host_access_namespace: Vec<String>,
    /// How much is logged: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    places: Places,
    /// Where Multus kept its cache: pods that it attached lack nothing
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_CNI_DIR, help_heading = "Places on the node")]
    multus_dir: PathBuf,
    /// Where Multus has configurations of its own, which definitions without one name
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_CONF_DIR, help_heading = "Places on the node")]
    multus_conf_dir: PathBuf,
}

/// The API server, and what the plugin is there.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "API server")]
struct Server {
    /// A kubeconfig; without it the service account of the pod is used
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The API server's address, for the agent and for the plugin, in place of the one that the credentials name
    ///
    /// The plugin runs on the host's network, as the agent does: it must be an address that can be reached from there.
    #[arg(long, value_name = "URL")]
    api_server: Option<String>,
    /// The namespace of the plugin's service account [default: the agent's own; kube-system with --kubeconfig]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The plugin's service account
    #[arg(long, value_name = "NAME", default_value = "rooknet")]
    service_account: String,
    /// For how long a token is requested, ten minutes at least; it is renewed when half of that is over
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = token_lifetime)]
    token_lifetime: Duration,
}

/// What is kept installed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Installation")]
struct Installation {
    /// Leave plugin and conflist as they are: an administrator has installed them
    #[arg(long)]
    no_install: bool,
    /// How the conflist uses the primary network [default: as installed, else chained]
    #[arg(long, value_enum, conflicts_with = "no_install")]
    mode: Option<ModeArgument>,
    /// The primary network, by its name or its file's [default: as installed, else what the runtime would load without
    /// rooknet and Multus]
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "no_install")]
    primary: Option<String>,
    /// The plugin to install [default: rooknet beside this program]
    #[arg(long, value_name = "FILE", conflicts_with = "no_install")]
    plugin: Option<PathBuf>,
    /// Rename a configuration of Multus that comes first; an uninstall renames it back
    #[arg(long, conflicts_with = "no_install")]
    replace_multus: bool,
    /// A further key of rooknet's entry, as in --set events=true
    #[arg(long, value_name = "KEY=VALUE", value_parser = places::key, conflicts_with = "no_install")]
    set: Vec<places::Key>,
    /// The plugin's log
    #[arg(long, value_name = "FILE", default_value = install::DEFAULT_LOG_FILE)]
    log_file: PathBuf,
}

/// A time that the API server grants.
fn token_lifetime(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_secs(600);
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if lifetime < LEAST {
        return Err("the API server grants no token for less than 10m".to_owned());
    }
    Ok(lifetime)
}

/// Runs it until a signal.
pub(super) async fn run(arguments: Arguments) -> Result<Code> {
    log::init(&Settings { level: arguments.log_level, to_stderr: true, ..Settings::default() });
    agent::run(options(arguments)?).await?;
    Ok(Code::Done)
}

fn options(arguments: Arguments) -> Result<agent::Options> {
    let Arguments { server, installation, places, .. } = arguments;
    let record = install::recorded(&places.config_dir)?
        // One that was taken away says nothing of the next.
        .filter(|record| record.state != State::Uninstalled);
    let record = record.as_ref();
    let node_name = arguments.node_name.filter(|name| !name.is_empty()).unwrap_or_else(host::name);
    let runtime = places.runtime();
    let state_dir = places.state_dir(record);
    let is_installing = !installation.no_install;
    let install = install::Options {
        mode: installation.mode.map(Mode::from).or(record.map(|record| record.mode)).unwrap_or_default(),
        primary: installation.primary,
        plugin: installation.plugin,
        bin_dir: places.bin_dir(record),
        conf_dir: places.conf_dir(record),
        config_dir: places.config_dir.clone(),
        state_dir: state_dir.clone(),
        run_dir: places.run_dir.clone(),
        log_file: installation.log_file,
        kubeconfig: Some(places.config_dir.clone()),
        node_name: Some(node_name.clone()),
        keys: installation.set,
        replace_multus: installation.replace_multus,
        runtime: runtime.clone(),
        patience: places.runtime_timeout,
        // The agent finds out which deployment it belongs to.
        caller: Caller::Agent(String::new()),
        dry_run: false,
    };
    Ok(agent::Options {
        node_name,
        kubeconfig: server.kubeconfig,
        api_server: server.api_server,
        namespace: server.namespace,
        service_account: server.service_account,
        token_lifetime: server.token_lifetime,
        credentials: places.config_dir,
        state_dir,
        run_dir: places.run_dir,
        multus_dir: arguments.multus_dir,
        multus_conf_dir: arguments.multus_conf_dir,
        runtime_socket: match runtime {
            Runtime::Socket(socket) => Some(socket),
            Runtime::Usual | Runtime::NotAsked => None,
        },
        metrics_address: arguments.metrics_address,
        host_access: arguments.host_access,
        host_access_namespaces: Some(arguments.host_access_namespace).filter(|namespaces| !namespaces.is_empty()),
        install: is_installing.then_some(install),
        taint: arguments.taint,
        evict: arguments.evict,
        grace: arguments.grace,
    })
}
