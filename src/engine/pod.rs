//! The pod that a call is about: who it is (CNI_ARGS) and what it asks for (its annotations).

use std::collections::BTreeMap;

use anyhow::Result;

use super::config::{ANNOTATIONS_CAPABILITY, Config};
use crate::cni::args::Args;
use crate::cni::{Error, Object};
use crate::multinet::selection::{self, Selection};

/// A pod, as far as the runtime tells. A caller that is no kubelet (cnitool) names none: every field is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Pod {
    /// K8S_POD_NAMESPACE.
    pub(super) namespace: String,
    /// K8S_POD_NAME.
    pub(super) name: String,
    annotations: BTreeMap<String, String>,
}

impl Pod {
    /// The pod of a call, with the annotations that the runtime passed in `runtimeConfig`.
    ///
    /// # Errors
    /// Code 7 when annotations are not an object of texts; code 7 too when a pod is named and its annotations were not
    /// passed: whether it selects networks is unknown then, and guessing "none" would start it without them.
    pub(super) fn of(config: &Config, args: &Args) -> Result<Self> {
        let namespace = args.get("K8S_POD_NAMESPACE").unwrap_or_default().to_owned();
        let name = args.get("K8S_POD_NAME").unwrap_or_default().to_owned();
        if !name.is_empty() && !config.runtime_config.has(ANNOTATIONS_CAPABILITY) {
            return Err(Error::config(format!(
                "the runtime did not pass the annotations of pod {namespace}/{name}, so its networks are unknown: \
                 declare the capability \"{ANNOTATIONS_CAPABILITY}\": true in rooknet's conflist entry \
                 (containerd 1.5 or CRI-O 1.29 and later pass them)"
            ))
            .into());
        }
        let annotations = passed_annotations(config)?;
        Ok(Pod { namespace, name, annotations })
    }

    /// `namespace/name`, or the empty text.
    pub(super) fn reference(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("{}/{}", self.namespace, self.name) }
    }

    /// The namespace in which short references are looked up.
    fn default_namespace(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }

    /// The networks that the pod selects, in its order.
    ///
    /// # Errors
    /// Code 7 for a malformed annotation: the pod does not start without the networks that it meant.
    pub(super) fn selections(&self) -> Result<Vec<Selection>> {
        match self.annotations.get(selection::ANNOTATION) {
            None => Ok(Vec::new()),
            Some(text) => Ok(selection::parse(selection::ANNOTATION, text, self.default_namespace())?),
        }
    }

    /// The network by which the pod replaces the default network (Multus's override), if any.
    ///
    /// # Errors
    /// Code 7 for a malformed annotation or one with more than one element.
    pub(super) fn default_network_override(&self, multus_namespace: &str) -> Result<Option<Selection>> {
        let key = selection::DEFAULT_NETWORK_ANNOTATION;
        let Some(text) = self.annotations.get(key) else { return Ok(None) };
        Ok(selection::parse_one(key, text, Some(multus_namespace))?)
    }
}

/// The annotations in `runtimeConfig`; `null` is a pod without annotations (go-cni passes a nil map so).
fn passed_annotations(config: &Config) -> Result<BTreeMap<String, String>, Error> {
    let passed: Option<Object> = config.runtime_config.get_as(ANNOTATIONS_CAPABILITY)?;
    let mut annotations = BTreeMap::new();
    for (key, value) in passed.unwrap_or_default().iter() {
        // Only these two decide anything; the others may be large and of no concern.
        if key == selection::ANNOTATION || key == selection::DEFAULT_NETWORK_ANNOTATION {
            let text: Option<String> = serde_json::from_str(value.get())
                .map_err(|error| Error::config(format!("annotation {key} in runtimeConfig is not a text: {error}")))?;
            annotations.insert(key.to_owned(), text.unwrap_or_default());
        }
    }
    Ok(annotations)
}
