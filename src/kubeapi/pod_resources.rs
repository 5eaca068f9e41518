//! The kubelet's pod-resources service: which devices a pod has been given.
//!
//! A device is the pod's only when the kubelet says so. It is asked by one gRPC call, `List` of service
//! `v1.PodResourcesLister` (kubelet/pkg/apis/podresources/v1/api.proto of Kubernetes 1.35), over its unix socket
//! (`grpc`). `List` and not `Get`: the latter is behind a feature gate. Devices of dynamic resource allocation are not looked at: the kubelet names them
//! by their claim only, and no definition can mean one by a resource's name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;

use super::grpc::{self, Failure};
use crate::cni::text::printable_path;
use crate::cni::{self, Code};
use crate::state::deadline::Deadline;

/// Where the kubelet listens, unless its root directory is another one.
pub const SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

/// How long the kubelet may take, as in Multus.
pub const PATIENCE: Duration = Duration::from_secs(10);

const METHOD: &str = "v1.PodResourcesLister/List";

/// The devices of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    by_resource: BTreeMap<String, Vec<String>>,
}

impl Devices {
    /// The ids of the pod's devices of a resource, in the kubelet's order, each once.
    pub fn of(&self, resource: &str) -> &[String] {
        self.by_resource.get(resource).map(Vec::as_slice).unwrap_or_default()
    }
}

/// From pairs of resource and device id: each device once, in their order.
impl<R: Into<String>, I: Into<String>> FromIterator<(R, I)> for Devices {
    fn from_iter<T: IntoIterator<Item = (R, I)>>(pairs: T) -> Self {
        let mut devices = Devices::default();
        for (resource, id) in pairs {
            let (ids, id) = (devices.by_resource.entry(resource.into()).or_default(), id.into());
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        devices
    }
}

/// Why the kubelet's word is not known. One sentence: which pod, which socket, and what was the matter.
#[derive(Debug, thiserror::Error)]
#[error("the kubelet cannot be asked for the devices of pod {pod}: socket {}: {cause}", printable_path(.socket))]
pub struct Error {
    /// `namespace/name`.
    pub pod: String,
    /// The socket.
    pub socket: PathBuf,
    /// What was the matter.
    pub cause: Cause,
}

/// What was the matter with the kubelet.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The call failed.
    #[error("{}", explained(.0))]
    Call(Failure),
    /// The kubelet does not list the pod.
    #[error("its answer does not contain the pod: the kubelet does not know it, or not yet")]
    NoPod,
    /// The kubelet lists two pods of that name.
    #[error("its answer contains the pod more than once: a former pod of that name has not gone yet")]
    TwoPods,
}

impl Error {
    /// The same as an error of the CNI protocol: code 11 for what may pass, 6 for a malformed answer, 5 where the node
    /// forbids asking, our own for a signal.
    pub fn to_cni(&self) -> cni::Error {
        let code = match self.cause {
            Cause::Call(Failure::Permission) => Code::IO,
            Cause::Call(Failure::Malformed(_)) => Code::DECODE,
            Cause::Call(Failure::Signal) => Code::INTERRUPTED,
            _ => Code::TRY_AGAIN_LATER,
        };
        cni::Error::new(code, self.to_string())
    }
}

/// Asks the kubelet at `socket` for the devices of a pod, for [`PATIENCE`] at most.
///
/// # Errors
/// Every [`Cause`]: a pod that is not listed is one too, since its devices are unknown and not none.
pub async fn devices(socket: &Path, namespace: &str, pod: &str, deadline: &Deadline) -> Result<Devices, Error> {
    let listed: Result<ListResponse, Cause> =
        grpc::call(socket, METHOD, &ListRequest {}, PATIENCE, deadline).await.map_err(Cause::Call);
    listed.and_then(|answer| devices_of(answer, namespace, pod)).map_err(|cause| Error {
        pod: format!("{namespace}/{pod}"),
        socket: socket.to_owned(),
        cause,
    })
}

/// A failed call in the kubelet's terms.
fn explained(failure: &Failure) -> String {
    match failure {
        Failure::Missing => "it does not exist: the kubelet is not running, its root directory is another one, or its \
                             feature gate KubeletPodResources is off"
            .to_owned(),
        Failure::Connect(error) => format!("connecting failed: {error}: is the kubelet running?"),
        other => other.to_string(),
    }
}

/// The request: all pods of the node.
#[derive(Clone, PartialEq, Message)]
struct ListRequest {}

/// The answer, as far as it is read; so are the messages in it.
#[derive(Clone, PartialEq, Message)]
struct ListResponse {
    #[prost(message, repeated, tag = "1")]
    pod_resources: Vec<PodResources>,
}

#[derive(Clone, PartialEq, Message)]
struct PodResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<ContainerDevices>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerDevices {
    #[prost(string, tag = "1")]
    resource_name: String,
    #[prost(string, repeated, tag = "2")]
    device_ids: Vec<String>,
}

/// The devices of one pod in an answer. Two containers may show the same device (an init container's is used again), and
/// it is still one.
fn devices_of(answer: ListResponse, namespace: &str, pod: &str) -> Result<Devices, Cause> {
    let mut found = answer.pod_resources.into_iter().filter(|found| found.name == pod && found.namespace == namespace);
    let resources = found.next().ok_or(Cause::NoPod)?;
    if found.next().is_some() {
        return Err(Cause::TwoPods);
    }
    let given = resources.containers.into_iter().flat_map(|container| container.devices);
    let pairs = given.flat_map(|given| given.device_ids.into_iter().map(move |id| (given.resource_name.clone(), id)));
    Ok(pairs.collect())
}

#[cfg(test)]
#[path = "pod_resources_tests.rs"]
mod tests;
