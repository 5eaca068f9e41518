//! What the node's administrator allows, on every path by which a network can be named.
//!
//! Whoever writes a pod is not trusted, and whoever writes a network definition only partly: a CNI configuration names
//! a program that runs as root on the node.

use serde_json::value::RawValue;

use crate::cni::network::{Network, Plugin};
use crate::cni::{Code, Error, Object, names, text};
use crate::engine::settings::Policy;
use crate::multinet::selection::Selection;
use crate::state::host_local;

/// Who named a network: it decides which rules hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The node's own configuration, inline or as a file: root wrote it.
    Node,
    /// A network definition that the node's configuration names.
    Definition,
    /// A pod, through an annotation.
    Pod,
}

impl Policy {
    /// Whether a pod of `pod_namespace` may name a network of `network_namespace`.
    ///
    /// # Errors
    /// Our code for "forbidden", naming both namespaces and the keys that decide.
    pub(super) fn check_namespace(
        &self,
        pod_namespace: &str,
        network_namespace: &str,
        annotation: &str,
    ) -> Result<(), Error> {
        if !self.namespace_isolation || pod_namespace == network_namespace || self.is_global(network_namespace) {
            return Ok(());
        }
        Err(Error::new(
            Code::FORBIDDEN,
            format!(
                "annotation {annotation} names a network of namespace {network_namespace:?}, which a pod of namespace \
                 {pod_namespace:?} must not use: namespaceIsolation is on and globalNamespaces does not contain it"
            ),
        ))
    }

    /// Whether every pod may name the networks of `namespace`.
    pub(super) fn is_global(&self, namespace: &str) -> bool {
        self.global_namespaces.iter().any(|global| global == namespace)
    }

    /// Whether a definition without a configuration of its own may stand for a file in `confDir`: under isolation
    /// only one in a global namespace, since the file is the node's and belongs to no tenant.
    pub(super) fn may_use_conf_dir(&self, definition_namespace: &str) -> bool {
        !self.namespace_isolation || self.is_global(definition_namespace)
    }

    /// Checks the programs that a network runs, and under `allowedPlugins` the paths that it may write to.
    ///
    /// # Errors
    /// Code 7 for a type that is a path or rooknet itself; our code for "forbidden" for what policy does not allow.
    pub(super) fn check_network(&self, network: &Network, named: Named) -> Result<(), Error> {
        for plugin in &network.plugins {
            for plugin_type in types_of(plugin)? {
                names::plugin_type(&plugin_type)?;
                if named != Named::Node {
                    self.check_allowed(&plugin_type)?;
                }
            }
            if named != Named::Node && self.allowed_plugins.is_some() {
                check_default_paths(&plugin.object)?;
            }
        }
        Ok(())
    }

    fn check_allowed(&self, plugin_type: &str) -> Result<(), Error> {
        let Some(allowed) = &self.allowed_plugins else { return Ok(()) };
        if allowed.iter().any(|name| name == plugin_type) {
            return Ok(());
        }
        let allows = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        Err(Error::new(
            Code::FORBIDDEN,
            format!("it uses the plugin {plugin_type:?}, which allowedPlugins does not contain: it allows {allows}"),
        ))
    }

    /// Checks what a pod asks of a network against what the network's plugins declare (standard v1.3, 4.1.2.1): an
    /// address or a MAC that no plugin would apply must fail, not vanish.
    ///
    /// # Errors
    /// Code 7 naming network and capability; our code for "forbidden" under isolation.
    pub(super) fn check_requests(&self, selection: &Selection, network: &Network) -> Result<(), Error> {
        for (capability, _) in &selection.runtime_config {
            if !network.has_capability(capability) {
                return Err(Error::config(format!(
                    "it cannot take {capability:?} from the pod's annotation: none of its plugins \
                     declares the capability (\"capabilities\": {{{capability:?}: true}})"
                )));
            }
        }
        if self.namespace_isolation
            && let Some(pairs) = &selection.cni_args
        {
            for capability in ["ips", "mac"] {
                if pairs.has(capability) && !network.has_capability(capability) {
                    return Err(Error::new(
                        Code::FORBIDDEN,
                        format!(
                            "it does not let pods choose {capability:?} through cni-args: \
                             namespaceIsolation is on and none of its plugins declares the capability"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Every program that a plugin's configuration names: its own type, its IPAM's, and nested delegates'.
fn types_of(plugin: &Plugin) -> Result<Vec<String>, Error> {
    let mut types = vec![plugin.type_name.clone()];
    types.extend(plugin.ipam_type.clone());
    types.extend(plugin.nested_types()?);
    Ok(types)
}

/// host-local and others write where `dataDir` says and read what `resolvConf` says, whereabouts writes `log_file` and
/// reads two files that its configuration names, all as root: with a list of allowed plugins these stay where they are
/// by default, or the list would allow writing anywhere.
///
/// Every value counts, in each duplicate and spelling of a key: a plugin that hands a nested configuration on as a map
/// sorts its keys, and another one wins than in the text. [`types_of`] has bounded the nesting.
fn check_default_paths(object: &Object) -> Result<(), Error> {
    check_paths("", object, "")?;
    for ipam in objects_under(object, "ipam") {
        check_paths("ipam.", &ipam, host_local::DEFAULT_ROOT)?;
        for kubernetes in objects_under(&ipam, "kubernetes") {
            check_paths("ipam.kubernetes.", &kubernetes, "")?;
        }
    }
    for key in ["delegate", "delegates", "plugins"] {
        for nested in objects_under(object, key) {
            check_default_paths(&nested).map_err(|error| error.within(key))?;
        }
    }
    Ok(())
}

/// Checks the paths in one object; `default_dir` is what `dataDir` may say besides nothing.
fn check_paths(place: &str, object: &Object, default_dir: &str) -> Result<(), Error> {
    let of_whereabouts = [("log_file", ""), ("configuration_path", ""), ("kubeconfig", "")];
    for (key, allowed) in [("dataDir", default_dir), ("resolvConf", "")].into_iter().chain(of_whereabouts) {
        for value in object.get_all(key) {
            let path = serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned());
            if !path.is_empty() && path != allowed {
                return Err(Error::new(
                    Code::FORBIDDEN,
                    format!(
                        "it sets {place}{key} to {}: with allowedPlugins a network must not choose files of the node, \
                         leave the key out",
                        text::quoted(&path)
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Every object under `key`, and those in a list there.
fn objects_under(object: &Object, key: &str) -> Vec<Object> {
    object
        .get_all(key)
        .flat_map(|value| match serde_json::from_str::<Object>(value.get()) {
            Ok(object) => vec![object],
            Err(_) => serde_json::from_str::<Vec<Box<RawValue>>>(value.get())
                .unwrap_or_default()
                .iter()
                .filter_map(|element| serde_json::from_str(element.get()).ok())
                .collect(),
        })
        .collect()
}
