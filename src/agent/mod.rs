//! What keeps a node healthy, for as long as it runs: `rooknetctl agent`, which the DaemonSet runs.
//!
//! The plugin works without it. So the agent is a number of loops that know nothing of each other: each does one thing,
//! reports whether it could ([`health`]), and tries again when it could not ([`rounds`]). What fails in one of them never
//! ends the others, and nothing that any of them has written is taken back when the agent goes: a node must not notice
//! that its agent is upgraded. The one exception is the heartbeat of the snapshot of network definitions, without which
//! the plugin asks the API server again.
//!
//! Everything runs on one thread, because the agent waits nearly all of the time and has to be small.
//!
//! | Loop | What it does | Rights of the agent's service account |
//! |---|---|---|
//! | `token` | credentials of the plugin, bound to the Node | `nodes` get; `serviceaccounts/token` create, for `rooknet` |
//! | `snapshot` | network definitions as files | `network-attachment-definitions` list, watch |
//! | `pods` | what runs on the node | `pods` list, watch |
//! | `lacking` | pods that lack networks; `--evict` | `pods/eviction` create, with `--evict` |
//! | `installation` | plugin and conflist, and whether the runtime has loaded it | `pods` get |
//! | `stale` | what containers that are gone have left | |
//! | `masters` | links of pods whose master came back | |
//! | `host-access` | the host shim | |
//! | `taint` | the start-up taint, with `--taint` | `nodes` get, patch |
//! | `calls` | the plugin's records become metrics and events | |
//! | `events` | sends events | `events` create |
//! | `state` | journals and address pools as metrics | |
//! | `metrics` | serves /metrics and /healthz | |

mod calls;
mod collecting;
mod connection;
mod events;
pub mod finding;
mod health;
mod host_access;
mod identity;
mod installation;
mod known;
mod lacking;
pub mod leave;
pub mod masters;
mod metrics;
mod node_state;
mod places;
mod pods;
mod repairs;
mod rounds;
mod serve;
pub mod shim;
mod snapshot;
pub mod stale;
mod taint;
mod token;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::{Either, select};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;

use connection::Connection;
use health::Health;
use metrics::Metrics;

use crate::cni::text::printable_path;
use crate::install;

/// How long the runtime may take to list its sandboxes.
const RUNTIME_LIMIT: Duration = Duration::from_secs(15);

/// How the agent was told to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this machine's Node object.
    pub node_name: String,
    /// A kubeconfig; `None`: the agent is a pod and uses what the kubelet gives it.
    pub kubeconfig: Option<PathBuf>,
    /// The API server's address in place of the one that the credentials name, for the agent and for the plugin.
    pub api_server: Option<String>,
    /// The namespace of the plugin's service account; `None`: the agent's own.
    pub namespace: Option<String>,
    /// The plugin's service account.
    pub service_account: String,
    /// For how long a token is requested. The API server grants ten minutes at least, and may grant less than asked for.
    pub token_lifetime: Duration,
    /// Where the plugin finds its credentials (its key `kubeconfig`).
    pub credentials: PathBuf,
    /// The plugin's key `stateDir`.
    pub state_dir: PathBuf,
    /// What a reboot may forget: locks, the snapshot, the records of calls.
    pub run_dir: PathBuf,
    /// Multus's key `cniDir`: pods that it attached count as attached.
    pub multus_dir: PathBuf,
    /// Multus's key `confDir`: configurations of definitions that have none.
    pub multus_conf_dir: PathBuf,
    /// Networks (`namespace/name`) on which the node has a link of its own, beside those that are marked themselves.
    pub host_access: Vec<String>,
    /// Namespaces whose networks may be marked for that; `None`: all.
    pub host_access_namespaces: Option<Vec<String>>,
    /// The container runtime's socket; `None`: the first of the usual places.
    pub runtime_socket: Option<PathBuf>,
    /// Where /metrics and /healthz are served.
    pub metrics_address: SocketAddr,
    /// What is installed on the node and kept so; `None`: an administrator has installed it, and it is left alone.
    pub install: Option<install::Options>,
    /// Whether the start-up taint is kept on the node while the installation is not verified.
    pub taint: bool,
    /// Whether pods that lack networks are evicted.
    pub evict: bool,
    /// How long a pod must have existed before it can lack a network.
    pub grace: Duration,
}

/// What the loops share.
struct Shared {
    options: Options,
    connection: Connection,
    health: Health,
    metrics: Metrics,
    events: events::Queue,
    /// The pods of this node that are known to run.
    pods: pods::Store,
    /// The uid of the DaemonSet, once known.
    deployment: RefCell<Option<String>>,
    /// Whether the installation is verified; `None` before it was looked at.
    installed: watch::Sender<Option<bool>>,
    /// When the snapshot was last vouched for.
    beaten: Cell<Option<Instant>>,
    /// A network definition has changed.
    defined: Notify,
    /// The API server refused the plugin's token.
    refused: Notify,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// When the credentials cannot be read, or the handlers of signals not be installed; when a directory was taken away from
/// under the agent ([`places`]). Everything else later is a loop's own
/// failure, which it reports and tries again.
pub async fn run(options: Options) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let connection = Connection::open(&options).await?;
    let metrics = Metrics::new();
    let shared = Rc::new(Shared {
        events: events::Queue::new(&metrics),
        health: Health::new(&metrics),
        pods: pods::Store::default(),
        deployment: RefCell::new(None),
        installed: watch::Sender::new(None),
        beaten: Cell::new(None),
        defined: Notify::new(),
        refused: Notify::new(),
        options,
        connection,
        metrics,
    });
    log::info!(
        "rooknetctl {} watches over node {} by {}",
        env!("CARGO_PKG_VERSION"),
        shared.options.node_name,
        shared.connection.server()
    );
    let loops = LocalSet::new();
    loops.spawn_local(token::run(Rc::clone(&shared)));
    loops.spawn_local(snapshot::run(Rc::clone(&shared)));
    loops.spawn_local(pods::run(Rc::clone(&shared)));
    loops.spawn_local(lacking::run(Rc::clone(&shared)));
    loops.spawn_local(installation::run(Rc::clone(&shared)));
    loops.spawn_local(collecting::run(Rc::clone(&shared)));
    loops.spawn_local(repairs::run(Rc::clone(&shared)));
    loops.spawn_local(host_access::run(Rc::clone(&shared)));
    loops.spawn_local(taint::run(Rc::clone(&shared)));
    loops.spawn_local(calls::run(Rc::clone(&shared)));
    loops.spawn_local(events::run(Rc::clone(&shared)));
    loops.spawn_local(node_state::run(Rc::clone(&shared)));
    loops.spawn_local(serve::run(Rc::clone(&shared)));
    let directories = [shared.options.state_dir.clone(), shared.options.run_dir.clone()];
    let removed = loops
        .run_until(async {
            let (terminated, interrupted) = (pin!(terminate.recv()), pin!(interrupt.recv()));
            match select(select(terminated, interrupted), pin!(places::removed(&directories))).await {
                Either::Left(_) => None,
                Either::Right((removed, _)) => Some(removed),
            }
        })
        .await;
    // The loops end where they wait: each file that they write is whole or absent.
    drop(loops);
    snapshot::stop(&shared);
    if let Some(removed) = removed {
        bail!(
            "the directory {} was removed from under the agent, which must be started again to see the one in its place",
            printable_path(&removed)
        );
    }
    log::info!(
        "the agent ends by a signal; the node goes on as it is, and the plugin asks the API server for networks"
    );
    Ok(())
}
