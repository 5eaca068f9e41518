//! `rooknetctl agent`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::exit::Code;
use crate::agent;
use crate::state::host;
use crate::state::log::{self, Level, Settings};

/// Keep this node healthy, for as long as it runs: what the DaemonSet runs
///
/// It gives the plugin its token and renews it, keeps a copy of the network definitions so that a pod's start asks no API
/// server for them, finds pods that lack networks, and serves metrics. SIGTERM ends it and leaves the node working.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name of this machine's Node object [default: the host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
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
    /// Where /metrics and /healthz are served, without authentication
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    metrics_address: SocketAddr,
    /// Keep the taint rooknet.io/not-ready:NoSchedule on the node while the installation is not verified
    ///
    /// Have the kubelet register the node with it (--register-with-taints): the agent takes it away.
    #[arg(long)]
    taint: bool,
    /// Evict running pods that lack networks which they select, one after another, within their disruption budgets
    #[arg(long)]
    evict: bool,
    /// How old a pod must be before it can be said to lack a network
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// The container runtime's socket [default: where containerd, k3s, CRI-O or MicroK8s have it]
    #[arg(long, value_name = "FILE")]
    runtime_socket: Option<PathBuf>,
    /// Where the plugin finds its credentials
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/cni/rooknet")]
    credentials: PathBuf,
    /// Where the plugin keeps its journals
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/rooknet")]
    state_dir: PathBuf,
    /// Where Multus kept its cache: pods that it attached lack nothing
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/cni/multus")]
    multus_dir: PathBuf,
    /// How much is logged: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
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
    agent::run(agent::Options {
        node_name: arguments.node_name.filter(|name| !name.is_empty()).unwrap_or_else(host::name),
        kubeconfig: arguments.kubeconfig,
        api_server: arguments.api_server,
        namespace: arguments.namespace,
        service_account: arguments.service_account,
        token_lifetime: arguments.token_lifetime,
        credentials: arguments.credentials,
        state_dir: arguments.state_dir,
        run_dir: PathBuf::from(crate::state::RUN_DIR),
        multus_dir: arguments.multus_dir,
        runtime_socket: arguments.runtime_socket,
        install: None,
        metrics_address: arguments.metrics_address,
        taint: arguments.taint,
        evict: arguments.evict,
        grace: arguments.grace,
    })
    .await?;
    Ok(Code::Done)
}
