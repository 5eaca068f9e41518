//! Finding the networks that a plan needs: the pod's by reference, the node's own by Multus's rules.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::call::Call;
use super::policy::Named;
use super::settings::{DefaultNetwork, Settings};
use crate::cni::network::Network;
use crate::cni::text::printable_path;
use crate::cni::{Error, Object, names, text};
use crate::delegate;
use crate::kubeapi::ApiNetworks;
use crate::multinet::definition;
use crate::multinet::node_ranges::{NodeRanges, NodeShare};
use crate::multinet::object_names::{is_label, is_subdomain};
use crate::multinet::source::{Found, NetworkSource, NodeNetworks};
use crate::state::networks::{self, ConfDir, FileNetworks};

/// A network with what it is called in messages, logs and the journal.
#[derive(Clone, Debug)]
pub(super) struct FoundNetwork {
    /// `namespace/name` of its definition, or the configuration's own name.
    pub(super) display: String,
    /// The configuration.
    pub(super) network: Network,
    /// Whose word it is.
    pub(super) named: Named,
    /// The resource of a device plugin from which it takes a device.
    pub(super) resource_name: Option<String>,
    /// What this node may hand out, where its definition shares addresses among nodes.
    pub(super) share: Option<NodeShare>,
}

impl FoundNetwork {
    /// One of the node's own configuration.
    fn of_node(network: Network) -> Self {
        FoundNetwork { display: network.name.clone(), network, named: Named::Node, resource_name: None, share: None }
    }
}

impl FoundNetwork {
    /// Hands the node's share of addresses, if there is one, to the network's host-local.
    ///
    /// # Errors
    /// As [`delegate::give_ranges`].
    pub(super) fn take_share(&mut self, runtime_config: &mut Object) -> Result<(), Error> {
        match &self.share {
            Some(share) => delegate::give_ranges(share, &mut self.network, runtime_config),
            None => Ok(()),
        }
    }
}

/// Network definitions from wherever the configuration has them: `networksDir` first, then the API server, or what the
/// agent's snapshot has of it.
struct Definitions<'a> {
    files: Option<FileNetworks>,
    api: Option<FromApi<'a>>,
    /// What was asked for already: one request for each distinct definition, however often it is named.
    known: RefCell<BTreeMap<(String, String), Answer>>,
}

/// The API server, and the call whose snapshot of it is asked first.
struct FromApi<'a> {
    server: ApiNetworks<'a>,
    call: &'a Call,
}

impl NetworkSource for FromApi<'_> {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        if let Some(snapshot) = self.call.snapshot()
            && let Some(found) = snapshot.find(namespace, name).await?
        {
            return Ok(Some(found));
        }
        self.server.find(namespace, name).await
    }

    fn described(&self) -> String {
        match self.call.snapshot() {
            Some(snapshot) => format!("{} and {}", snapshot.described(), self.server.described()),
            None => self.server.described(),
        }
    }
}

/// What a definition's source says of it.
type Answer = Result<Option<Found>, Error>;

impl Definitions<'_> {
    async fn ask(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        if let Some(files) = &self.files
            && let Some(found) = files.find(namespace, name).await?
        {
            return Ok(Some(found));
        }
        match &self.api {
            Some(api) => api.find(namespace, name).await,
            None => Ok(None),
        }
    }
}

impl NetworkSource for Definitions<'_> {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        let found = self.ask(namespace, name).await;
        self.known.borrow_mut().insert(key, found.clone());
        found
    }

    fn described(&self) -> String {
        match (&self.files, &self.api) {
            (None, None) => "nowhere, since neither of the keys \"networksDir\" and \"kubeconfig\" is set".to_owned(),
            (Some(files), None) => files.described(),
            (None, Some(api)) => api.described(),
            (Some(files), Some(api)) => format!("{} and {}", files.described(), api.described()),
        }
    }
}

/// Where networks are looked up.
pub(super) struct Sources<'a> {
    /// Definitions by namespace and name.
    definitions: Definitions<'a>,
    /// Configurations on the node's disk by name.
    node: ConfDir,
    settings: &'a Settings,
    /// What is left of [`definition::MAX_BYTES_OF_A_POD`].
    room: Cell<usize>,
}

impl<'a> Sources<'a> {
    /// What lies on the node, for calls that must not need an API server.
    pub(super) fn on_node(settings: &'a Settings) -> Self {
        // A STATUS reads every definition of the node, which are no one pod's.
        Sources { room: Cell::new(usize::MAX), ..Self::new(settings, None) }
    }

    /// All sources that the configuration names; `server` is the API server of `kubeconfig`.
    pub(super) fn of_call(settings: &'a Settings, call: &'a Call, server: Option<ApiNetworks<'a>>) -> Self {
        Self::new(settings, server.map(|server| FromApi { server, call }))
    }

    fn new(settings: &'a Settings, api: Option<FromApi<'a>>) -> Self {
        let files = settings.networks_dir.clone().map(FileNetworks::new);
        Sources {
            definitions: Definitions { files, api, known: RefCell::default() },
            node: ConfDir::new(&settings.conf_dir),
            settings,
            room: Cell::new(definition::MAX_BYTES_OF_A_POD),
        }
    }

    /// Every definition that lies on the node, by namespace and name.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub(super) fn references(&self) -> Result<Vec<(String, String)>, Error> {
        self.definitions.files.as_ref().map_or_else(|| Ok(Vec::new()), FileNetworks::references)
    }

    /// Looks up the definitions `namespace/name` side by side, so that a slow API server is waited for once and not once
    /// for each. What it answers is kept for the lookups that follow, errors too: each belongs to whoever names it.
    pub(super) async fn look_up_together(&self, references: impl IntoIterator<Item = (String, String)>) {
        let distinct: BTreeSet<(String, String)> = references.into_iter().collect();
        join_all(distinct.iter().map(|(namespace, name)| self.definitions.find(namespace, name))).await;
    }

    /// The definition that a reference in the node's configuration may mean; `None` when it can only be a file.
    pub(super) fn definition_meant(&self, reference: &str) -> Option<(String, String)> {
        let (namespace, name) = self.split(reference);
        (!Path::new(reference).is_absolute() && is_label(namespace) && is_subdomain(name))
            .then(|| (namespace.to_owned(), name.to_owned()))
    }

    /// A reference's namespace and name.
    fn split<'b>(&'b self, reference: &'b str) -> (&'b str, &'b str) {
        reference.split_once('/').unwrap_or((&self.settings.policy.multus_namespace, reference))
    }

    /// The network of a definition; `None` when there is no such definition.
    ///
    /// # Errors
    /// Code 7 for a malformed definition, for one without a configuration of which the node has no file, and for one
    /// that shares addresses among nodes and has none for this node.
    pub(super) async fn definition(&self, namespace: &str, name: &str, named: Named) -> Result<Option<FoundNetwork>> {
        let display = format!("{namespace}/{name}");
        let Some(found) = self.definitions.find(namespace, name).await? else { return Ok(None) };
        let about = format!("network {display} ({})", found.origin);
        let ranges = found.definition.node_ranges.as_deref().map_or(0, str::len);
        let room = self.room.get().checked_sub(found.definition.config.len().saturating_add(ranges));
        self.room.set(room.ok_or_else(|| definition::too_many(&about))?);
        let network = if found.definition.config.trim().is_empty() {
            if !self.settings.policy.may_use_conf_dir(namespace) {
                return Err(Error::config(format!(
                    "{about} has no spec.config, and under namespaceIsolation only a definition in a global namespace \
                     may stand for a file in confDir"
                ))
                .into());
            }
            self.node.by_name(name)?.ok_or_else(|| {
                let conf_dir = printable_path(&self.settings.conf_dir);
                Error::config(format!(
                    "{about} has no spec.config, and confDir {conf_dir} has no configuration of that name"
                ))
            })?
        } else {
            Network::parse(&about, &found.definition.config, Some(name))?
        };
        let share = found
            .definition
            .node_ranges
            .map(|text| NodeRanges::parse(&text)?.share_of(&self.settings.node_name()))
            .transpose()
            .map_err(|error| error.within(&about))?;
        Ok(Some(FoundNetwork { display, network, named, resource_name: found.definition.resource_name, share }))
    }

    /// The network that a pod selects by reference.
    ///
    /// # Errors
    /// Code 7 when there is none, saying where was looked.
    pub(super) async fn selected(&self, namespace: &str, name: &str, annotation: &str) -> Result<FoundNetwork> {
        self.definition(namespace, name, Named::Pod).await?.ok_or_else(|| {
            Error::config(format!(
                "network {namespace}/{name} of annotation {annotation} does not exist: looked {}",
                self.definitions.described()
            ))
            .into()
        })
    }

    /// The default network of the delegating mode and the other `delegates`, which go to every pod.
    ///
    /// # Errors
    /// As [`Self::reference`].
    pub(super) async fn default_networks(&self, default: &DefaultNetwork) -> Result<Vec<FoundNetwork>> {
        match default {
            DefaultNetwork::ClusterNetwork(reference) => {
                self.check_auxiliary_chain(Path::new(reference))?;
                Ok(vec![self.reference(reference).await.context("key \"clusterNetwork\"")?])
            }
            DefaultNetwork::Delegates(list) => inline_networks(list),
        }
    }

    /// The same from what lies on the node alone; `None` when only the API server may know the network.
    ///
    /// # Errors
    /// As [`Self::reference_on_node`].
    pub(super) async fn default_networks_on_node(&self, default: &DefaultNetwork) -> Result<Option<Vec<FoundNetwork>>> {
        match default {
            DefaultNetwork::ClusterNetwork(reference) => {
                let found = self.reference_on_node(reference).await.context("key \"clusterNetwork\"")?;
                self.check_auxiliary_chain(Path::new(reference))?;
                Ok(found.map(|found| vec![found]))
            }
            DefaultNetwork::Delegates(list) => inline_networks(list).map(Some),
        }
    }

    /// Multus runs the plugins of `<directory of clusterNetwork>/<auxiliaryCNIChainName>/*.conf` for every pod. rooknet
    /// does not; where there are such files, passing them over would leave pods without what they are meant to have.
    /// Where clusterNetwork is a directory, both it and the one in which it lies could be meant.
    fn check_auxiliary_chain(&self, cluster_network: &Path) -> Result<(), Error> {
        let Some(name) = &self.settings.auxiliary_chain else { return Ok(()) };
        let directories = [cluster_network.parent(), Some(cluster_network)];
        for directory in directories.into_iter().flatten().filter(|directory| directory.is_absolute()) {
            let chain = directory.join(name);
            if let Some(file) = networks::first_plugin_file(&chain)? {
                return Err(Error::config(format!(
                    "key \"auxiliaryCNIChainName\": {} has plugins ({file}), which rooknet does not run: put them into \
                     the primary's conflist and empty the directory",
                    printable_path(&chain)
                )));
            }
        }
        Ok(())
    }

    /// A network that the node's configuration names, by Multus's rules: a definition in `multusNamespace`, a
    /// configuration of that name in `confDir`, the first file of a directory, an absolute file.
    ///
    /// # Errors
    /// Code 7 when none of them has it, saying where was looked.
    pub(super) async fn reference(&self, reference: &str) -> Result<FoundNetwork> {
        self.look_up(reference).await?.ok_or_else(|| self.is_nowhere(reference).into())
    }

    /// The same from what lies on the node alone; `None` when only the API server may know it.
    ///
    /// # Errors
    /// As [`Self::reference`], where no API server is configured.
    pub(super) async fn reference_on_node(&self, reference: &str) -> Result<Option<FoundNetwork>> {
        let found = self.look_up(reference).await?;
        if found.is_none() && self.settings.kubeconfig.is_none() {
            return Err(self.is_nowhere(reference).into());
        }
        Ok(found)
    }

    fn is_nowhere(&self, reference: &str) -> Error {
        let (namespace, name) = self.split(reference);
        let (namespace, name) = (text::shortened(namespace), text::shortened(name));
        Error::config(format!(
            "network {} does not exist: looked for {namespace}/{name} {}, and for that name in confDir {}",
            text::quoted(reference),
            self.definitions.described(),
            printable_path(&self.settings.conf_dir)
        ))
    }

    async fn look_up(&self, reference: &str) -> Result<Option<FoundNetwork>> {
        if Path::new(reference).is_absolute() {
            return Ok(Some(FoundNetwork::of_node(networks::at_path(Path::new(reference))?)));
        }
        if let Some((namespace, name)) = self.definition_meant(reference)
            && let Some(found) = self.definition(&namespace, &name, Named::Definition).await?
        {
            return Ok(Some(found));
        }
        if names::network(reference).is_err() {
            return Ok(None);
        }
        Ok(self.node.by_name(reference)?.map(FoundNetwork::of_node))
    }
}

/// The networks of the key `delegates`.
fn inline_networks(list: &[Box<RawValue>]) -> Result<Vec<FoundNetwork>> {
    list.iter()
        .enumerate()
        .map(|(index, raw)| Ok(FoundNetwork::of_node(Network::parse(&format!("delegates[{index}]"), raw.get(), None)?)))
        .collect()
}
