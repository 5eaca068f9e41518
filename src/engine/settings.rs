//! What attaching needs of the configuration: which networks there are, where they are found, and the node's policy.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::config::{Config, MAX_ELEMENTS, absolute_path, optional_path};
use crate::cni::{Error, Object, text};
use crate::state::host;

/// Where networks lie as files by name unless `confDir` says otherwise (Multus's default).
pub const DEFAULT_CONF_DIR: &str = "/etc/cni/multus/net.d";
/// How long an ADD may take before it is rolled back, unless `deadline` says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(100);
/// The longest `deadline`: with the rollback's 30 s it stays below the kubelet's four minutes.
pub const MAX_DEADLINE: Duration = Duration::from_secs(200);

/// Where the default network of the delegating mode comes from.
#[derive(Clone, Debug)]
pub enum DefaultNetwork {
    /// `delegates`: configurations inline; the first is the default network, the others go to every pod.
    Delegates(Vec<Box<RawValue>>),
    /// `clusterNetwork`: a reference, looked up as Multus does.
    ClusterNetwork(String),
}

/// What attaching needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `delegates` or `clusterNetwork`; `None` in chained mode.
    pub default_network: Option<DefaultNetwork>,
    /// `defaultNetworks`: for every pod outside the system namespaces, after the default network.
    pub default_networks: Vec<String>,
    /// `auxiliaryCNIChainName`: a directory beside `clusterNetwork` whose plugins Multus would run for every pod.
    pub auxiliary_chain: Option<String>,
    /// `confDir`: configurations by name.
    pub conf_dir: PathBuf,
    /// `networksDir`: network attachment definitions as files.
    pub networks_dir: Option<PathBuf>,
    /// `readinessindicatorfile`: its presence says that the default network can be used.
    pub readiness_indicator_file: Option<PathBuf>,
    /// `deadline` of an ADD before its rollback.
    pub deadline: Duration,
    /// `statusStrict`: STATUS fails for what only some pods would feel.
    pub status_strict: bool,
    /// `kubeconfig`: credentials for the API server; `None` on nodes without one.
    pub kubeconfig: Option<PathBuf>,
    /// `statusForAll`: network-status also for pods of which nothing was asked or attached.
    pub status_for_all: bool,
    /// `events`: tell pods' events what was attached, and why an ADD failed.
    pub events: bool,
    /// `nodeName`: of this node in Kubernetes; `None` means its host name.
    pub node_name: Option<String>,
    /// Who may name which network.
    pub policy: Policy,
}

/// The administrator's rules for networks that a pod names.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `namespaceIsolation`: a pod's networks come from its own namespace or a global one.
    pub namespace_isolation: bool,
    /// `globalNamespaces`; `default` alone when it is not set, as in Multus.
    pub global_namespaces: Vec<String>,
    /// `systemNamespaces`: pods there get no `defaultNetworks`.
    pub system_namespaces: Vec<String>,
    /// `multusNamespace`: where short references of the default network are looked up.
    pub multus_namespace: String,
    /// `allowedPlugins`: the plugin types that networks may use; `None` allows all.
    pub allowed_plugins: Option<Vec<String>>,
}

impl Settings {
    /// Parses the rest of the configuration.
    ///
    /// # Errors
    /// Code 7, naming key, value and what would be right.
    pub fn parse(config: &Config) -> Result<Self> {
        let object = &config.object;
        let about = || format!("configuration {:?}", config.name);
        // A DEL always behaves as with retryDeleteOnError, and reads the others with less strictness: only here is a wrong
        // type an error.
        for key in ["native", "conflictProbe", "retryDeleteOnError"] {
            object.flag(key).with_context(about)?;
        }
        let kubeconfig = optional_path(object, "kubeconfig").with_context(about)?;
        let status_for_all = object.flag("statusForAll").with_context(about)?;
        let events = object.flag("events").with_context(about)?;
        for (key, _) in [("statusForAll", status_for_all), ("events", events)].into_iter().filter(|(_, is_on)| *is_on) {
            if kubeconfig.is_none() {
                return Err(Error::config(format!(
                    "key {key:?} is on, and there is no API server to write to: set the key \"kubeconfig\" too"
                )))
                .with_context(about);
            }
        }
        Ok(Settings {
            default_network: default_network(object).with_context(about)?,
            default_networks: texts(object, "defaultNetworks").with_context(about)?.unwrap_or_default(),
            auxiliary_chain: Some(object.text("auxiliaryCNIChainName").with_context(about)?)
                .filter(|name| !name.is_empty()),
            conf_dir: absolute_path(object, "confDir", DEFAULT_CONF_DIR).with_context(about)?,
            networks_dir: optional_path(object, "networksDir").with_context(about)?,
            readiness_indicator_file: optional_path(object, "readinessindicatorfile").with_context(about)?,
            deadline: deadline(object).with_context(about)?,
            status_strict: object.flag("statusStrict").with_context(about)?,
            kubeconfig,
            status_for_all,
            events,
            node_name: Some(object.text("nodeName").with_context(about)?).filter(|name| !name.is_empty()),
            policy: Policy::parse(object).with_context(about)?,
        })
    }
}

impl Settings {
    /// What this node is called: in Kubernetes, and in the ranges of definitions.
    pub fn node_name(&self) -> String {
        self.node_name.clone().unwrap_or_else(host::name)
    }
}

impl Policy {
    fn parse(object: &Object) -> Result<Self, Error> {
        let global_namespaces = object.text("globalNamespaces")?;
        if global_namespaces.split(',').count() > MAX_ELEMENTS {
            return Err(Error::config(format!("key \"globalNamespaces\" has more than {MAX_ELEMENTS} namespaces")));
        }
        let mut global_namespaces: Vec<String> = global_namespaces
            .split(',')
            .map(|namespace| namespace.trim().to_owned())
            .filter(|namespace| !namespace.is_empty())
            .collect();
        if global_namespaces.is_empty() {
            global_namespaces.push("default".to_owned());
        }
        let multus_namespace = object.text("multusNamespace")?;
        Ok(Policy {
            namespace_isolation: object.flag("namespaceIsolation")?,
            global_namespaces,
            system_namespaces: texts(object, "systemNamespaces")?.unwrap_or_else(|| vec!["kube-system".to_owned()]),
            multus_namespace: if multus_namespace.is_empty() { "kube-system".to_owned() } else { multus_namespace },
            allowed_plugins: texts(object, "allowedPlugins")?,
        })
    }
}

fn default_network(object: &Object) -> Result<Option<DefaultNetwork>, Error> {
    let delegates = object.list("delegates", MAX_ELEMENTS)?;
    let cluster_network = object.text("clusterNetwork")?;
    match (delegates.is_empty(), cluster_network.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(DefaultNetwork::Delegates(delegates))),
        (true, false) => Ok(Some(DefaultNetwork::ClusterNetwork(cluster_network))),
        (false, false) => Err(Error::config(
            "keys \"delegates\" and \"clusterNetwork\" are both set: only one of them can name the default network",
        )),
    }
}

/// The texts of a list under `key`; `None` when it is absent.
fn texts(object: &Object, key: &str) -> Result<Option<Vec<String>>, Error> {
    // Counted before a String is made of each.
    object.list(key, MAX_ELEMENTS)?;
    object.get_as(key)
}

/// `deadline`: seconds as a number, or text as `90s` or `1m30s`.
fn deadline(object: &Object) -> Result<Duration, Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }
    let Some(value) = object.get("deadline") else { return Ok(DEFAULT_DEADLINE) };
    let wrong = || {
        Error::config(format!(
            "key \"deadline\" has the wrong value {}: it must be seconds as a number, or text such as \"90s\", \
             more than 0 and at most {} s",
            text::shortened(value.get()),
            MAX_DEADLINE.as_secs()
        ))
    };
    let duration = match serde_json::from_str(value.get()).map_err(|_| wrong())? {
        Written::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?,
        Written::Text(text) => humantime::parse_duration(&text).map_err(|_| wrong())?,
    };
    if duration.is_zero() || duration > MAX_DEADLINE { Err(wrong()) } else { Ok(duration) }
}
