//! One call of a runtime: what it asks, and the node's state that it works on.

use std::path::{Path, PathBuf};

use super::config::Config;
use crate::cni::Object;
use crate::cni::request::Environment;
use crate::delegate::Context;
use crate::state::deadline::Deadline;
use crate::state::journal::{Journals, Key};
use crate::state::lock::ContainerLock;
use crate::state::log as node_log;

/// Where locks lie: a tmpfs, so that a reboot clears them.
const RUN_DIR: &str = "/run/rooknet";

/// A call, its configuration, and the journals of this node.
pub(super) struct Call {
    pub(super) environment: Environment,
    pub(super) config: Config,
    pub(super) journals: Journals,
    /// Where plugins are searched: `binDir`, then CNI_PATH. Delegates get it as their CNI_PATH, so that a main plugin
    /// finds its IPAM plugin where we looked for it.
    pub(super) path: Vec<PathBuf>,
}

impl Call {
    pub(super) fn new(environment: Environment, config: Config) -> Self {
        let mut path = vec![config.bin_dir.clone()];
        // A relative entry (cnitool's own example has one) means the directory that the runtime started us in.
        let searched = environment.path.iter().filter_map(|directory| std::path::absolute(directory).ok());
        path.extend(searched.filter(|directory| *directory != config.bin_dir));
        let journals = Journals::new(&config.state_dir);
        Call { environment, config, journals, path }
    }

    /// The key of this call's journal.
    pub(super) fn key(&self) -> Key {
        Key { container_id: self.environment.container_id.clone(), ifname: self.environment.ifname.clone() }
    }

    pub(super) fn run_dir(&self) -> &Path {
        Path::new(RUN_DIR)
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
            deadline,
        }
    }
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
}
