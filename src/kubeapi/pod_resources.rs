//! The kubelet's pod-resources service: which devices a pod has been given.
//!
//! A device is the pod's only when the kubelet says so. It is asked by one gRPC call, `List` of service
//! `v1.PodResourcesLister` (kubelet/pkg/apis/podresources/v1/api.proto of Kubernetes 1.35), over its unix socket. gRPC
//! is HTTP/2 with a frame of five bytes around each message and the outcome in trailers (gRPC's PROTOCOL-HTTP2.md):
//! that little is here, so that no other client, and no second runtime, comes into the plugin. `List` and not `Get`:
//! the latter is behind a feature gate. Devices of dynamic resource allocation are not looked at: the kubelet names them
//! by their claim only, and no definition can mean one by a resource's name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::failure::chain;
use crate::cni::text::{printable_path, quoted, shortened_to};
use crate::cni::{self, Code};
use crate::state::deadline::{Deadline, Reason};

/// Where the kubelet listens, unless its root directory is another one.
pub const SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

/// Bytes of an answer, at most: what the kubelet itself sends, at most.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How long the kubelet may take, as in Multus.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Characters of the kubelet's own message in an error, at most.
const LONGEST_MESSAGE: usize = 300;

const METHOD: &str = "http://localhost/v1.PodResourcesLister/List";

/// Bytes before each message: one for the compression, four for the length.
const PREFIX_BYTES: usize = 5;

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
    /// There is no socket.
    #[error(
        "it does not exist: the kubelet is not running, its root directory is another one, or its feature gate \
         KubeletPodResources is off"
    )]
    Missing,
    /// The socket may not be used.
    #[error("permission is denied: rooknet must run as root, and a security module may forbid it the socket too")]
    Permission,
    /// Connecting failed otherwise.
    #[error("connecting failed: {0}: is the kubelet running?")]
    Connect(io::Error),
    /// The connection broke, or what is at its other end does not speak HTTP/2.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// No answer in time.
    #[error("it gave no answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    /// A signal ended the call.
    #[error("{}", Reason::Signal)]
    Signal,
    /// A gRPC status other than OK.
    #[error("it refused with gRPC status {code}: {message}")]
    Status {
        /// The status code of gRPC.
        code: u32,
        /// `grpc-message`, printable and bounded.
        message: String,
    },
    /// The answer is none of the service's.
    #[error("its answer is malformed: {0}")]
    Malformed(String),
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
            Cause::Permission => Code::IO,
            Cause::Malformed(_) => Code::DECODE,
            Cause::Signal => Code::INTERRUPTED,
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
    let allowed = PATIENCE.min(deadline.remaining());
    let listed = deadline.at_most(PATIENCE).within(list(socket)).await.unwrap_or_else(|reason| {
        Err(match reason {
            Reason::Deadline => Cause::Late(allowed),
            Reason::Signal => Cause::Signal,
        })
    });
    listed.and_then(|message| devices_of(&message, namespace, pod)).map_err(|cause| Error {
        pod: format!("{namespace}/{pod}"),
        socket: socket.to_owned(),
        cause,
    })
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
fn devices_of(message: &[u8], namespace: &str, pod: &str) -> Result<Devices, Cause> {
    let answer = ListResponse::decode(message).map_err(|error| Cause::Malformed(error.to_string()))?;
    let mut found = answer.pod_resources.into_iter().filter(|found| found.name == pod && found.namespace == namespace);
    let resources = found.next().ok_or(Cause::NoPod)?;
    if found.next().is_some() {
        return Err(Cause::TwoPods);
    }
    let given = resources.containers.into_iter().flat_map(|container| container.devices);
    let pairs = given.flat_map(|given| given.device_ids.into_iter().map(move |id| (given.resource_name.clone(), id)));
    Ok(pairs.collect())
}

/// Makes the call: the message that the kubelet answers with.
async fn list(socket: &Path) -> Result<Bytes, Cause> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Cause::Missing,
        io::ErrorKind::PermissionDenied => Cause::Permission,
        _ => Cause::Connect(error),
    })?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| Cause::Connection(chain(&error)))?;
    let _connection = Background(tokio::spawn(async move {
        // What breaks it breaks the request too, which tells of it.
        let _ = connection.await;
    }));
    let request = Request::post(METHOD)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(framed(&ListRequest {}.encode_to_vec())))
        .map_err(|error| Cause::Malformed(error.to_string()))?;
    answer(sender.send_request(request).await.map_err(|error| Cause::Connection(chain(&error)))?).await
}

/// A task that ends with the call.
struct Background(JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A message as gRPC sends it, not compressed.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len().saturating_add(PREFIX_BYTES));
    frame.put_u8(0);
    // Ours is empty; none of a request's length can be beyond what 32 bits hold.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

async fn answer(response: Response<Incoming>) -> Result<Bytes, Cause> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(Cause::Malformed(format!("HTTP status {}, it must be 200", head.status.as_u16())));
    }
    check_content_type(&head.headers)?;
    // An answer without a message has its status here ("trailers-only").
    let mut has_status = check_status(&head.headers)?;
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| Cause::Connection(chain(&error)))?.into_data() {
            Ok(data) => {
                if content.len().saturating_add(data.len()) > MAX_ANSWER_BYTES.saturating_add(PREFIX_BYTES) {
                    return Err(too_long());
                }
                content.extend_from_slice(&data);
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    has_status |= check_status(&trailers)?;
                }
            }
        }
    }
    if !has_status {
        return Err(Cause::Malformed("it has no grpc-status".to_owned()));
    }
    unframed(content.freeze())
}

/// `application/grpc`, alone or with what it carries behind it.
fn check_content_type(headers: &HeaderMap) -> Result<(), Cause> {
    let found = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let is_grpc = |rest: &str| rest.is_empty() || rest.starts_with(['+', ';']);
    if found.strip_prefix("application/grpc").is_some_and(is_grpc) {
        return Ok(());
    }
    Err(Cause::Malformed(format!("content-type {}, it must be application/grpc", quoted(&found))))
}

/// Whether the headers or trailers say that all went well; an error when they say that it did not.
fn check_status(headers: &HeaderMap) -> Result<bool, Cause> {
    let Some(status) = headers.get("grpc-status") else { return Ok(false) };
    let text = String::from_utf8_lossy(status.as_bytes());
    let code: u32 =
        text.parse().map_err(|_| Cause::Malformed(format!("grpc-status {}, it must be a number", quoted(&text))))?;
    if code == 0 {
        return Ok(true);
    }
    let message = headers.get("grpc-message").map(|message| percent_decoded(message.as_bytes())).unwrap_or_default();
    Err(Cause::Status { code, message: shortened_to(LONGEST_MESSAGE, &message) })
}

/// A `grpc-message` as it was meant; what is not well escaped stays as it is.
fn percent_decoded(text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, tail @ ..] if byte == b'%' => digit(*high).zip(digit(*low)).map(|digits| (digits, tail)),
            _ => None,
        };
        if let Some(((high, low), tail)) = escaped {
            decoded.push((high << 4) | low);
            rest = tail;
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The one message of an answer.
fn unframed(mut content: Bytes) -> Result<Bytes, Cause> {
    let (Ok(compression), Ok(length)) = (content.try_get_u8(), content.try_get_u32()) else {
        return Err(Cause::Malformed("it has no message".to_owned()));
    };
    if compression != 0 {
        return Err(Cause::Malformed("its message is compressed, which was not offered".to_owned()));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_ANSWER_BYTES {
        return Err(too_long());
    }
    if length != content.len() {
        return Err(Cause::Malformed(format!("its message has {} bytes where {length} are announced", content.len())));
    }
    Ok(content)
}

fn too_long() -> Cause {
    Cause::Malformed(format!("it has more than {MAX_ANSWER_BYTES} bytes"))
}

#[cfg(test)]
#[path = "pod_resources_tests.rs"]
mod tests;
