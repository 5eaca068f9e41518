//! A container runtime's answer to which sandboxes it has (CRI, `runtime.v1.RuntimeService/ListPodSandbox`), where no
//! runtime runs: these tests have pods without a kubelet. A real runtime is asked in `test-cluster`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;

use crate::site::{Pod, Site};

/// Where it listens.
const SOCKET: &str = "/run/containerd/containerd.sock";

/// A sandbox: its id, and its pod's namespace, name and uid.
type Sandbox = [String; 4];

/// The service on a node, with no sandbox at first. Its thread ends with the process.
pub(super) struct Runtime {
    sandboxes: Arc<Mutex<Vec<Sandbox>>>,
}

impl Runtime {
    pub(super) fn start(site: &Site) -> Self {
        let socket: PathBuf = site.node().path(SOCKET);
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let sandboxes = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&sandboxes);
        thread::spawn(move || {
            let serve = serve(listener, shown);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
        });
        Self { sandboxes }
    }

    /// Adds the sandbox of a pod, ready.
    pub(super) fn add(&self, pod: &Pod<'_>) {
        let Pod { id, namespace, name, uid, .. } = pod;
        self.sandboxes.lock().unwrap().push([id, namespace, name, uid].map(Clone::clone));
    }
}

async fn serve(listener: std::os::unix::net::UnixListener, sandboxes: Arc<Mutex<Vec<Sandbox>>>) {
    let listener = UnixListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let sandboxes = Arc::clone(&sandboxes);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                assert_eq!(request.uri().path(), "/runtime.v1.RuntimeService/ListPodSandbox");
                let answer = frame(&list(&sandboxes.lock().unwrap()));
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [Frame::data(answer), Frame::trailers(trailers)];
                let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
                let response = Response::builder().header("content-type", "application/grpc").body(body).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// `ListPodSandboxResponse`: state 0 (SANDBOX_READY) is left out, as protobuf leaves out zeroes.
fn list(sandboxes: &[Sandbox]) -> Vec<u8> {
    let mut all = Vec::new();
    for [id, namespace, name, uid] in sandboxes {
        let mut metadata = Vec::new();
        for (number, text) in [(1, name), (2, uid), (3, namespace)] {
            field(&mut metadata, number, text.as_bytes());
        }
        let mut item = Vec::new();
        field(&mut item, 1, id.as_bytes());
        field(&mut item, 2, &metadata);
        field(&mut all, 1, &item);
    }
    all
}

/// A field of a length and that many bytes.
fn field(into: &mut Vec<u8>, number: u8, content: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    into.push(number << 3 | LENGTH_DELIMITED);
    let mut length = content.len();
    while length >= 0x80 {
        into.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    into.push(u8::try_from(length).unwrap());
    into.extend_from_slice(content);
}

/// A message as gRPC sends it, not compressed.
fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}
