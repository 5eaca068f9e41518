//! One call of a runtime: what it asks, and the node's state that it works on.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use super::config::Config;
use super::identity::interface_groups;
use super::netns::PodNetns;
use super::record::Recorder;
use crate::cni::network::Network;
use crate::cni::request::Environment;
use crate::cni::{Error, Object};
use crate::delegate::{self, Context, Ground, Runners};
use crate::kernel::netlink::Netlink;
use crate::state;
use crate::state::deadline::Deadline;
use crate::state::definitions::{self, FreshNetworks};
use crate::state::journal::{Journals, Key};
use crate::state::lock::ContainerLock;
use crate::state::log as node_log;

/// A call, its configuration, and the journals of this node.
pub(super) struct Call {
    pub(super) environment: Environment,
    pub(super) config: Config,
    pub(super) journals: Journals,
    /// Where plugins are searched: `binDir`, then CNI_PATH. Delegates get it as their CNI_PATH, so that a main plugin
    /// finds its IPAM plugin where we looked for it.
    pub(super) path: Vec<PathBuf>,
    /// What the agent will hear of it.
    pub(super) record: Recorder,
    node: OnceCell<Netlink>,
    snapshot: OnceCell<Option<FreshNetworks>>,
}

impl Call {
    /// A call that began at `started`.
    pub(super) fn new(environment: Environment, config: Config, started: Instant) -> Self {
        let mut path = vec![config.bin_dir.clone()];
        // A relative entry (cnitool's own example has one) means the directory that the runtime started us in.
        let searched = environment.path.iter().filter_map(|directory| std::path::absolute(directory).ok());
        path.extend(searched.filter(|directory| *directory != config.bin_dir));
        let journals = Journals::new(&config.state_dir);
        let record = Recorder::new(&environment, started);
        Call { environment, config, journals, path, record, node: OnceCell::new(), snapshot: OnceCell::new() }
    }

    /// The socket in the node's namespace: opened when it is first needed, and one for all of the call.
    ///
    /// # Errors
    /// When no socket can be made.
    pub(super) fn node(&self) -> Result<&Netlink> {
        if let Some(netlink) = self.node.get() {
            return Ok(netlink);
        }
        let netlink = Netlink::own()?;
        Ok(self.node.get_or_init(|| netlink))
    }

    /// The agent's snapshot of definitions, where an agent is alive: looked at when it is first needed, and the same for
    /// all of the call.
    pub(super) fn snapshot(&self) -> Option<&FreshNetworks> {
        self.snapshot.get_or_init(|| definitions::fresh(self.run_dir())).as_ref()
    }

    /// Where plugins of this process work for the journal under `key`; `netns` is the pod's, where it lives.
    ///
    /// # Errors
    /// When a socket cannot be made.
    pub(super) fn ground<'a>(&'a self, key: &Key, netns: Option<&'a PodNetns>) -> Result<Ground<'a>> {
        let pod = netns.map(|netns| anyhow::Ok((netns.netns(), netns.netlink()?))).transpose()?;
        Ok(Ground {
            node: self.node()?,
            pod,
            group: interface_groups(key).native,
            conflict_probe: self.config.conflict_probe,
        })
    }

    /// Decides who runs a network's plugins, at its beginning.
    ///
    /// # Errors
    /// Code 7 for a configuration that no program would take; nothing where `native` is off.
    pub(super) fn choose(&self, network: &Network, args: &str, runtime_config: &Object) -> Result<Runners, Error> {
        if self.config.native { delegate::choose(network, args, runtime_config) } else { Ok(Runners::default()) }
    }

    /// The same for what exists already: of a configuration that is refused by now, an executed plugin may still be able
    /// to undo what it did.
    pub(super) fn choose_again(&self, network: &Network, args: &str, runtime_config: &Object) -> Runners {
        self.choose(network, args, runtime_config).unwrap_or_else(|error| {
            log::warn!(network = network.name.as_str(); "left to the executed plugins: {error}");
            Runners::default()
        })
    }

    /// The key of this call's journal.
    pub(super) fn key(&self) -> Key {
        Key { container_id: self.environment.container_id.clone(), ifname: self.environment.ifname.clone() }
    }

    pub(super) fn run_dir(&self) -> &Path {
        run_dir()
    }

    /// What a delegate runs with.
    pub(super) fn context<'a>(
        &'a self,
        subject: Subject<'a>,
        lock: &'a ContainerLock,
        deadline: &'a Deadline,
    ) -> Context<'a> {
        Context {
            container_id: subject.container_id,
            netns: subject.netns,
            ifname: subject.ifname,
            args: subject.args.to_owned(),
            path: &self.path,
            trace: &self.environment.trace,
            runtime_config: subject.runtime_config,
            lock: Some(lock),
            runners: subject.runners,
            ground: Some(subject.ground),
            deadline,
        }
    }

    /// What a delegate's GC and STATUS run with: they concern no container.
    pub(super) fn node_context<'a>(&'a self, deadline: &'a Deadline) -> Context<'a> {
        Context {
            container_id: "",
            netns: "",
            ifname: "",
            args: String::new(),
            path: &self.path,
            trace: &self.environment.trace,
            runtime_config: Object::EMPTY,
            lock: None,
            runners: Runners::EXECUTED,
            ground: None,
            deadline,
        }
    }
}

/// Where locks lie, and what the plugin and the agent tell each other.
pub(super) fn run_dir() -> &'static Path {
    Path::new(state::RUN_DIR)
}

/// Signs the log's lines with the container and the pod of a call.
pub(super) fn sign_log(environment: &Environment) {
    let pod = match (environment.args.get("K8S_POD_NAMESPACE"), environment.args.get("K8S_POD_NAME")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    };
    node_log::set_call(&environment.container_id, &pod);
}

/// Gives a container's lock up. The call's outcome stands by then, and an error here must not take its place: the lock
/// is released in any case, and a lock file that stays holds up nobody.
pub(super) fn release(lock: ContainerLock) {
    if let Err(error) = lock.discard() {
        log::warn!("the container's lock file stays: {error}");
    }
}

/// Which interface of which container a delegate is called for.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) container_id: &'a str,
    /// Empty on DEL when the namespace is gone.
    pub(super) netns: &'a str,
    pub(super) ifname: &'a str,
    pub(super) args: &'a str,
    pub(super) runtime_config: &'a Object,
    /// Who runs the network's plugins.
    pub(super) runners: &'a Runners,
    /// Where this process works itself.
    pub(super) ground: Ground<'a>,
}
