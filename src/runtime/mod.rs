//! The container runtime, by its interface for the kubelet (CRI, `runtime.v1.RuntimeService`): what it has loaded, and
//! which sandboxes live.
//!
//! Files say what a runtime ought to do; only the runtime says what it does. containerd tells in its verbose status which
//! network configurations it has loaded, byte for byte; CRI-O tells only whether a network is ready. What one of them
//! does not tell is `None` here and never guessed.

mod loaded;
mod messages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cni::text::{printable_path, shortened_to};
use crate::kubeapi::grpc::{self, Failure};
use crate::state::deadline::Deadline;

pub use loaded::{Loaded, LoadedNetwork};
use messages::{
    ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxStatusRequest, PodSandboxStatusResponse, StatusRequest,
    StatusResponse, VersionRequest, VersionResponse,
};

/// Where runtimes keep the results of their CNI calls, by libcni: files NETWORK-CONTAINER-INTERFACE.
pub const RESULTS_DIR: &str = "/var/lib/cni/results";

/// Where runtimes listen, the usual ones first: containerd, that of k3s and RKE2, CRI-O, that of MicroK8s.
pub const SOCKETS: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Characters of the runtime's own words in a message, at most.
const LONGEST: usize = 300;

/// gRPC's status for what does not exist.
const NOT_FOUND: u32 = 5;

/// A container runtime.
#[derive(Clone, Debug)]
pub struct Cri {
    socket: PathBuf,
}

/// Why the runtime's word is not known. One sentence: what was asked, at which socket, and what was the matter.
#[derive(Debug, thiserror::Error)]
#[error(
    "the container runtime cannot be asked for {what}: socket {}: {failure}{}",
    printable_path(.socket), advice(.failure)
)]
pub struct Error {
    /// As in "asked for its status".
    pub what: &'static str,
    /// The socket.
    pub socket: PathBuf,
    /// What was the matter.
    pub failure: Failure,
}

/// What the runtime says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Its condition `NetworkReady`.
    pub network_ready: bool,
    /// Why not, in the runtime's words; printable.
    pub network_message: String,
    /// What it has loaded; `None` where the runtime does not tell (CRI-O).
    pub loaded: Option<Loaded>,
    /// What became of its last try to load; `None` when it succeeded, or the runtime does not tell.
    pub load_error: Option<String>,
}

/// A sandbox that the runtime knows: a pod on this node, alive or not yet removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The container id, as in CNI_CONTAINERID.
    pub id: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
    /// The pod's annotations, as they were when the sandbox was made.
    pub annotations: BTreeMap<String, String>,
    /// `SANDBOX_READY`: its processes live.
    pub is_ready: bool,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
}

/// What only a question about one sandbox tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxDetails {
    /// The pod is in the node's own network namespace.
    pub is_host_network: bool,
    /// Where its network namespace is; `None` where the runtime does not tell, and for the node's own.
    pub netns: Option<PathBuf>,
}

impl Cri {
    /// The runtime that listens at `socket`. Nothing is asked yet.
    pub fn new(socket: &Path) -> Self {
        Cri { socket: socket.to_owned() }
    }

    /// The first of [`SOCKETS`] that is there.
    pub fn usual() -> Option<Self> {
        SOCKETS.iter().map(Path::new).find(|socket| socket.exists()).map(Cri::new)
    }

    /// The one that listens at `socket`, or else the first that is there ([`Cri::usual`]).
    pub fn at(socket: Option<&Path>) -> Option<Self> {
        socket.map(Cri::new).or_else(Cri::usual)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Name and version, as in `containerd 2.1.0`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self, deadline: &Deadline) -> Result<String, Error> {
        let answer: VersionResponse =
            self.call("its version", "Version", &VersionRequest { version: "v1".to_owned() }, deadline).await?;
        let version = answer.runtime_version.trim_start_matches('v').to_owned();
        Ok(shortened_to(LONGEST, &format!("{} {version}", answer.runtime_name)))
    }

    /// Its status, verbose.
    ///
    /// # Errors
    /// When it does not answer, or tells of what it has loaded in a form that is not known.
    pub async fn status(&self, deadline: &Deadline) -> Result<Status, Error> {
        let answer: StatusResponse =
            self.call("its status", "Status", &StatusRequest { verbose: true }, deadline).await?;
        self.read_status(&answer)
    }

    /// All sandboxes, dead ones included.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn sandboxes(&self, deadline: &Deadline) -> Result<Vec<Sandbox>, Error> {
        let answer: ListPodSandboxResponse =
            self.call("its sandboxes", "ListPodSandbox", &ListPodSandboxRequest {}, deadline).await?;
        Ok(answer.items.into_iter().map(Sandbox::from).collect())
    }

    /// What only a question about one sandbox tells; `None` when there is no such sandbox any more.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn sandbox(&self, id: &str, deadline: &Deadline) -> Result<Option<SandboxDetails>, Error> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let answer: Result<PodSandboxStatusResponse, Error> =
            self.call("a sandbox", "PodSandboxStatus", &request, deadline).await;
        match answer {
            Ok(answer) => Ok(Some(answer.details())),
            Err(Error { failure: Failure::Status { code: NOT_FOUND, .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_status(&self, answer: &StatusResponse) -> Result<Status, Error> {
        let conditions = answer.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let network = conditions.iter().find(|condition| condition.r#type == "NetworkReady");
        let loaded = answer.info.get("cniconfig").map(|text| Loaded::parse(text)).transpose().map_err(|reason| {
            Error { what: "its status", socket: self.socket.clone(), failure: Failure::Malformed(reason) }
        })?;
        let load = answer.info.get("lastCNILoadStatus").filter(|status| *status != "OK");
        Ok(Status {
            network_ready: network.is_some_and(|condition| condition.status),
            network_message: network.map(|condition| shortened_to(LONGEST, &condition.message)).unwrap_or_default(),
            loaded,
            load_error: load.map(|status| shortened_to(LONGEST, status)),
        })
    }

    async fn call<A: prost::Message + Default>(
        &self,
        what: &'static str,
        method: &str,
        request: &impl prost::Message,
        deadline: &Deadline,
    ) -> Result<A, Error> {
        grpc::call(&self.socket, &format!("runtime.v1.RuntimeService/{method}"), request, PATIENCE, deadline)
            .await
            .map_err(|failure| Error { what, socket: self.socket.clone(), failure })
    }
}

/// What would help, as the end of the sentence.
fn advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::Missing => ": the runtime is not running, or listens elsewhere: name its socket by --runtime-socket",
        Failure::Connect(_) => ": is the runtime running?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::messages::{RuntimeCondition, RuntimeStatus};
    use super::*;

    fn answer(ready: bool, info: &[(&str, &str)]) -> StatusResponse {
        let condition = RuntimeCondition {
            r#type: "NetworkReady".to_owned(),
            status: ready,
            reason: String::new(),
            message: "cni plugin not initialized\n".to_owned(),
        };
        StatusResponse {
            status: Some(RuntimeStatus { conditions: vec![condition] }),
            info: info.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn read(answer: &StatusResponse) -> Result<Status, Error> {
        Cri::new(Path::new("/run/x.sock")).read_status(answer)
    }

    #[test]
    fn a_runtime_that_does_not_tell_what_it_has_loaded_is_not_guessed_at() {
        let status = read(&answer(true, &[("config", "{\"sandboxImage\": \"pause\"}")])).unwrap();
        assert_eq!((status.network_ready, status.loaded, status.load_error), (true, None, None));
    }

    #[test]
    fn a_failed_load_is_told_in_the_runtimes_words_and_printable() {
        let status = read(&answer(false, &[("lastCNILoadStatus", "failed to load\u{1b}[2J")])).unwrap();
        assert_eq!(status.load_error.as_deref(), Some("failed to load\\u{1b}[2J"));
        assert_eq!(status.network_message, "cni plugin not initialized\\n");
        assert_eq!(read(&answer(true, &[("lastCNILoadStatus", "OK")])).unwrap().load_error, None);
    }

    #[test]
    fn a_form_that_is_not_known_is_an_error_that_names_the_socket() {
        let error = read(&answer(true, &[("cniconfig", "7")])).unwrap_err().to_string();
        assert!(error.contains("/run/x.sock") && error.contains("cniconfig"), "{error}");
    }
}
