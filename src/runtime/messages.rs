//! The messages of CRI, as far as they are read (`api.proto` of k8s.io/cri-api 0.36, package `runtime.v1`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::Message;
use serde::Deserialize;

use super::{Sandbox, SandboxDetails};

/// `SANDBOX_READY` of `PodSandboxState`.
const READY: i32 = 0;

/// `NODE` of `NamespaceMode`.
const NODE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionRequest {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusRequest {
    #[prost(bool, tag = "1")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<RuntimeStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    pub(super) conditions: Vec<RuntimeCondition>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RuntimeCondition {
    #[prost(string, tag = "1")]
    pub(super) r#type: String,
    #[prost(bool, tag = "2")]
    pub(super) status: bool,
    #[prost(string, tag = "3")]
    pub(super) reason: String,
    #[prost(string, tag = "4")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
}

impl From<PodSandbox> for Sandbox {
    fn from(found: PodSandbox) -> Self {
        let metadata = found.metadata.unwrap_or_default();
        Sandbox {
            id: found.id,
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            annotations: found.annotations,
            is_ready: found.state == READY,
            created_at: found.created_at,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) pod_sandbox_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<PodSandboxStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatus {
    #[prost(message, optional, tag = "6")]
    pub(super) linux: Option<LinuxPodSandboxStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LinuxPodSandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub(super) namespaces: Option<Namespace>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespace {
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamespaceOption {
    #[prost(int32, tag = "1")]
    pub(super) network: i32,
}

impl PodSandboxStatusResponse {
    pub(super) fn details(self) -> SandboxDetails {
        let mode = || Some(self.status.as_ref()?.linux.as_ref()?.namespaces.as_ref()?.options.as_ref()?.network);
        let is_host_network = mode() == Some(NODE);
        let netns = self.info.get("info").and_then(|text| netns_of(text)).filter(|_| !is_host_network);
        SandboxDetails { is_host_network, netns }
    }
}

/// The path of the network namespace in the verbose information of containerd and CRI-O: both give the container's
/// runtime specification (OCI) as `runtimeSpec`.
fn netns_of(info: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "runtimeSpec")]
        runtime_spec: Option<Spec>,
    }
    #[derive(Deserialize)]
    struct Spec {
        linux: Option<Linux>,
    }
    #[derive(Deserialize)]
    struct Linux {
        #[serde(default)]
        namespaces: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        r#type: String,
        #[serde(default)]
        path: String,
    }
    let info: Info = serde_json::from_str(info).ok()?;
    let namespaces = info.runtime_spec?.linux?.namespaces;
    let network = namespaces.into_iter().find(|entry| entry.r#type == "network")?;
    (!network.path.is_empty()).then(|| PathBuf::from(network.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_netns_is_that_of_the_runtimes_specification_and_none_for_the_nodes_own() {
        let info = r#"{"pid": 7, "runtimeSpec": {"linux": {"namespaces": [
            {"type": "pid"}, {"type": "network", "path": "/run/netns/cni-1"}]}}}"#;
        let answer = |mode| PodSandboxStatusResponse {
            status: Some(PodSandboxStatus {
                linux: Some(LinuxPodSandboxStatus {
                    namespaces: Some(Namespace { options: Some(NamespaceOption { network: mode }) }),
                }),
            }),
            info: [("info".to_owned(), info.to_owned())].into(),
        };
        assert_eq!(
            answer(0).details(),
            SandboxDetails { is_host_network: false, netns: Some("/run/netns/cni-1".into()) }
        );
        assert_eq!(answer(NODE).details(), SandboxDetails { is_host_network: true, netns: None });
        assert_eq!(PodSandboxStatusResponse::default().details(), SandboxDetails::default());
    }
}
