//! Finding the networks that a plan needs: the pod's by reference, the node's own by Multus's rules.

use std::path::Path;

use anyhow::{Context, Result};

use super::policy::Named;
use super::settings::{DefaultNetwork, Settings};
use crate::cni::network::Network;
use crate::cni::text::printable_path;
use crate::cni::{Error, names, text};
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
}

/// Network definitions from wherever the configuration has them: `networksDir` first. An API server joins here.
pub(super) struct Definitions {
    files: Option<FileNetworks>,
}

impl NetworkSource for Definitions {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        match &self.files {
            Some(files) => files.find(namespace, name).await,
            None => Ok(None),
        }
    }

    fn described(&self) -> String {
        match &self.files {
            Some(files) => files.described(),
            None => "nowhere, since the key \"networksDir\" is not set".to_owned(),
        }
    }
}

/// Where networks are looked up.
pub(super) struct Sources<'a> {
    /// Definitions by namespace and name.
    definitions: Definitions,
    /// Configurations on the node's disk by name.
    node: ConfDir,
    settings: &'a Settings,
}

impl<'a> Sources<'a> {
    /// The sources that the configuration names.
    pub(super) fn of(settings: &'a Settings) -> Self {
        Sources {
            definitions: Definitions { files: settings.networks_dir.clone().map(FileNetworks::new) },
            node: ConfDir::new(&settings.conf_dir),
            settings,
        }
    }

    /// Every definition that lies on the node, by namespace and name.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub(super) fn references(&self) -> Result<Vec<(String, String)>, Error> {
        self.definitions.files.as_ref().map_or_else(|| Ok(Vec::new()), FileNetworks::references)
    }

    /// The network of a definition; `None` when there is no such definition.
    ///
    /// # Errors
    /// Code 7 for a malformed definition, and for one without a configuration of which the node has no file.
    pub(super) async fn definition(&self, namespace: &str, name: &str, named: Named) -> Result<Option<FoundNetwork>> {
        let display = format!("{namespace}/{name}");
        let Some(found) = self.definitions.find(namespace, name).await? else { return Ok(None) };
        let about = format!("network {display} ({})", found.origin);
        if let Some(resource) = &found.definition.resource_name {
            return Err(Error::config(format!(
                "{about} needs a device of the resource {resource:?}: rooknet does not ask the kubelet for devices yet, \
                 and attaching without one would be wrong"
            ))
            .into());
        }
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
        Ok(Some(FoundNetwork { display, network, named }))
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
            DefaultNetwork::Delegates(list) => list
                .iter()
                .enumerate()
                .map(|(index, raw)| {
                    let about = format!("delegates[{index}]");
                    let network = Network::parse(&about, raw.get(), None)?;
                    Ok(FoundNetwork { display: network.name.clone(), network, named: Named::Node })
                })
                .collect(),
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
        let by_node = |network: Network| FoundNetwork { display: network.name.clone(), network, named: Named::Node };
        if Path::new(reference).is_absolute() {
            return Ok(by_node(networks::at_path(Path::new(reference))?));
        }
        let (namespace, name) =
            reference.split_once('/').unwrap_or((&self.settings.policy.multus_namespace, reference));
        if is_label(namespace)
            && is_subdomain(name)
            && let Some(found) = self.definition(namespace, name, Named::Definition).await?
        {
            return Ok(found);
        }
        if names::network(reference).is_ok()
            && let Some(network) = self.node.by_name(reference)?
        {
            return Ok(by_node(network));
        }
        let (namespace, name) = (text::shortened(namespace), text::shortened(name));
        Err(Error::config(format!(
            "network {} does not exist: looked for {namespace}/{name} {}, and for that name in confDir {}",
            text::quoted(reference),
            self.definitions.described(),
            printable_path(&self.settings.conf_dir)
        ))
        .into())
    }
}
