//! The pod that a call is about: who it is (CNI_ARGS) and what it asks for (its annotations).
//!
//! Runtimes pass the annotations that the pod had when its sandbox was begun, and then no API server is asked for it.
//! Where they do not, the pod is read: whether it selects networks would be unknown otherwise, and guessing "none" would
//! start it without them.

use std::collections::BTreeMap;

use anyhow::Result;

use super::config::{ANNOTATIONS_CAPABILITY, Config};
use crate::cni::args::Args;
use crate::cni::{Code, Error, Object, text};
use crate::kubeapi::pods::{self, Reference};
use crate::kubeapi::{self, Client};
use crate::multinet::object_names::{LABEL_RULE, SUBDOMAIN_RULE, is_label, is_subdomain};
use crate::multinet::selection::{self, Selection};
use crate::state::deadline::Deadline;

/// Where the kubelet had a pod from; it sets this itself on what it hands to the runtime, whatever the pod's own
/// annotation says.
const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// [`CONFIG_SOURCE`] of a pod that the API server knows under the UID that the kubelet uses.
const FROM_API: &str = "api";
/// On the mirror of a static pod in the API server: the UID that the kubelet uses for the pod itself.
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod, as far as the runtime or the API server tells. A caller that is no kubelet (cnitool) names none: every field is
/// empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Pod {
    /// K8S_POD_NAMESPACE.
    pub(super) namespace: String,
    /// K8S_POD_NAME.
    pub(super) name: String,
    /// K8S_POD_UID; `None` when the runtime does not say, and for a static pod, whose mirror has another one.
    pub(super) uid: Option<String>,
    /// Whether the kubelet has it from a file of its own: then the API server has a mirror of it, and may not yet.
    pub(super) is_static: bool,
    annotations: BTreeMap<String, String>,
}

impl Pod {
    /// The pod of a call: as passed, or else as the API server has it.
    ///
    /// # Errors
    /// Those of [`Pod::as_passed`]; code 7 when the annotations were not passed and there is no API server to ask;
    /// code 11 when the pod is gone or is another one by now, and when the API server does not answer.
    pub(super) async fn of(config: &Config, args: &Args, api: Option<&Client>, deadline: &Deadline) -> Result<Self> {
        if let Some(pod) = Self::as_passed(config, args)? {
            return Ok(pod);
        }
        let named = Self::named(args)?;
        let reference = named.reference();
        let Some(api) = api else {
            return Err(Error::config(format!(
                "the runtime did not pass the annotations of pod {reference}, so its networks are unknown: declare the \
                 capability \"{ANNOTATIONS_CAPABILITY}\": true in rooknet's conflist entry (containerd 1.5 or CRI-O 1.29 \
                 and later pass them), or set the key \"kubeconfig\", by which the pod is read from the API server"
            ))
            .into());
        };
        let pod = pods::get(api, named.place(), deadline).await.map_err(|error| named.explain(error))?;
        named.read(pod.uid, pod.annotations.unwrap_or_default())
    }

    /// The pod of a call by what the runtime passed alone; `None` when a pod is named and its annotations were not passed.
    ///
    /// # Errors
    /// Code 4 when the pod's names are none; code 7 when annotations are not an object of texts.
    pub(super) fn as_passed(config: &Config, args: &Args) -> Result<Option<Self>> {
        let mut pod = Self::named(args)?;
        if pod.is_named() && !config.runtime_config.has(ANNOTATIONS_CAPABILITY) {
            return Ok(None);
        }
        pod.annotations = passed_annotations(config)?;
        pod.is_static = pod.annotations.get(CONFIG_SOURCE).is_some_and(|source| source != FROM_API);
        if pod.is_static {
            pod.uid = None;
        }
        Ok(Some(pod))
    }

    /// The pod that CNI_ARGS name, with nothing else known of it.
    fn named(args: &Args) -> Result<Self, Error> {
        let get = |key| args.get(key).unwrap_or_default().to_owned();
        let (namespace, name) = (get("K8S_POD_NAMESPACE"), get("K8S_POD_NAME"));
        for (key, value, right, rule) in [
            ("K8S_POD_NAMESPACE", &namespace, is_label(&namespace), LABEL_RULE),
            ("K8S_POD_NAME", &name, is_subdomain(&name), SUBDOMAIN_RULE),
        ] {
            if !value.is_empty() && !right {
                return Err(Error::environment(format!("CNI_ARGS has {key}={}: use {rule}", text::shortened(value))));
            }
        }
        if !name.is_empty() && namespace.is_empty() {
            return Err(Error::environment(format!(
                "CNI_ARGS has K8S_POD_NAME={} and no K8S_POD_NAMESPACE, so nobody knows which pod that is: give both",
                text::shortened(&name)
            )));
        }
        let uid = args.get("K8S_POD_UID").map(str::to_owned);
        Ok(Pod { namespace, name, uid, ..Pod::default() })
    }

    /// The same with what the API server has of it.
    fn read(mut self, uid: String, annotations: BTreeMap<String, String>) -> Result<Self> {
        if self.uid.as_ref().is_some_and(|expected| *expected != uid) {
            // Whoever may create pods may create one with this annotation, and so claim to be the mirror of the pod
            // that was there before. Nobody can have the kubelet call a pod of the API server by another UID.
            let is_mirror = annotations.get(CONFIG_MIRROR) == self.uid.as_ref();
            if !is_mirror || self.uid.as_deref().is_some_and(is_given_by_api_server) {
                return Err(self.replaced(&uid).into());
            }
            self.is_static = true;
        }
        self.uid = Some(uid).filter(|_| !self.is_static);
        self.annotations = annotations;
        Ok(self)
    }

    /// Whether the call is about a pod of Kubernetes at all.
    pub(super) fn is_named(&self) -> bool {
        !self.name.is_empty()
    }

    /// Where the API server has it.
    pub(super) fn place(&self) -> Reference<'_> {
        Reference { namespace: &self.namespace, name: &self.name }
    }

    /// What a failed request about this pod means to whoever started it.
    pub(super) fn explain(&self, error: kubeapi::Error) -> Error {
        let meaning = match error.status() {
            Some(404) => "it was deleted meanwhile, the kubelet gives up on it by itself",
            // The admission policy's refusals have this status too, and name no UID.
            Some(422) if error.message().is_some_and(|message| message.contains("metadata.uid")) => {
                "it was deleted and created anew under the same name, and this call is about the former one"
            }
            _ => return error.to_cni(),
        };
        error.to_cni().with_code(Code::TRY_AGAIN_LATER).within(&format!("pod {}: {meaning}", self.reference()))
    }

    fn replaced(&self, uid: &str) -> Error {
        Error::new(
            Code::TRY_AGAIN_LATER,
            format!(
                "pod {} has the UID {}, and this call is about the UID {}: the pod was deleted and created anew under the \
                 same name, and the kubelet gives up on the former one by itself",
                self.reference(),
                text::shortened(uid),
                text::shortened(self.uid.as_deref().unwrap_or_default())
            ),
        )
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

    /// Whether the pod's annotations choose any network.
    ///
    /// # Errors
    /// As [`Self::selections`].
    pub(super) fn selects(&self) -> Result<bool> {
        let replaces = self.annotations.get(selection::DEFAULT_NETWORK_ANNOTATION);
        Ok(replaces.is_some_and(|text| !text.trim().is_empty()) || !self.selections()?.is_empty())
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

/// Whether the API server gave this UID: a UUID as RFC 9562 writes it. The kubelet's own, for a static pod, is a hash of
/// 32 digits without hyphens (`applyDefaults` in `pkg/kubelet/config/common.go`), unless its manifest has one.
fn is_given_by_api_server(uid: &str) -> bool {
    let groups: Vec<&str> = uid.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The annotations in `runtimeConfig`; `null` is a pod without annotations (go-cni passes a nil map so).
fn passed_annotations(config: &Config) -> Result<BTreeMap<String, String>, Error> {
    let passed: Option<Object> = config.runtime_config.get_as(ANNOTATIONS_CAPABILITY)?;
    let mut annotations = BTreeMap::new();
    for (key, value) in passed.unwrap_or_default().iter() {
        // Only these decide anything; the others may be large and of no concern.
        if [selection::ANNOTATION, selection::DEFAULT_NETWORK_ANNOTATION, CONFIG_SOURCE].contains(&key) {
            let text: Option<String> = serde_json::from_str(value.get())
                .map_err(|error| Error::config(format!("annotation {key} in runtimeConfig is not a text: {error}")))?;
            annotations.insert(key.to_owned(), text.unwrap_or_default());
        }
    }
    Ok(annotations)
}
