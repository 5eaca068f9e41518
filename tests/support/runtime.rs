//! A container runtime that says what a test wants: a real one cannot be made to run a pod past its own plugin, nor to
//! answer at all without everything that a pod needs. The real containerd's answers are looked at in the cluster's tests.
//!
//! CRI by gRPC over HTTP/2, as far as rooknetctl asks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::Node;

/// What it says.
#[derive(Clone, Default)]
pub(crate) struct Says {
    /// Its condition NetworkReady, with a message.
    pub(crate) not_ready: Option<String>,
    /// The conflists that it has loaded.
    pub(crate) loaded: Vec<Value>,
    /// How many it loads.
    pub(crate) most: i64,
    /// Its sandboxes, all of them ready.
    pub(crate) sandboxes: Vec<KnownSandbox>,
    /// Ids of those that are in the node's own network.
    pub(crate) of_host: Vec<String>,
}

/// A sandbox and its pod.
#[derive(Clone, Default)]
pub(crate) struct KnownSandbox {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The runtime. Dropped, it is gone.
pub(crate) struct Runtime {
    says: Arc<Mutex<Says>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
}

impl Runtime {
    /// One that listens on the node at `socket`.
    pub(crate) fn start(node: &Node, socket: &str, says: Says) -> Self {
        let socket = node.path(socket);
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let says = Arc::new(Mutex::new(says));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (path, answers) = (socket.clone(), Arc::clone(&says));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async {
                let listener = UnixListener::bind(&path).unwrap();
                ready.send(()).unwrap();
                tokio::task::spawn_local(serve(listener, answers));
                let _ = stopped.await;
            });
        });
        is_ready.recv().unwrap();
        Self { says, stop: Some(stop), thread: Some(thread), socket }
    }

    /// From now on it says this.
    pub(crate) fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// From now on it has this sandbox besides.
    pub(crate) fn add(&self, sandbox: KnownSandbox) {
        self.says.lock().unwrap().sandboxes.push(sandbox);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn serve(listener: UnixListener, says: Arc<Mutex<Says>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let says = Arc::clone(&says);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let says = says.lock().unwrap().clone();
                async move {
                    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    Ok::<_, std::convert::Infallible>(answer(&says, &method, &body))
                }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Body = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>>;

fn answer(says: &Says, method: &str, request: &[u8]) -> Response<Body> {
    let message = match method {
        "Version" => Version { name: "testing".to_owned(), version: "v1.2.3".to_owned() }.encode_to_vec(),
        "Status" => status(says).encode_to_vec(),
        "ListPodSandbox" => sandboxes(says).encode_to_vec(),
        "PodSandboxStatus" => {
            let Ask { id } = Ask::decode(&request[5..]).unwrap();
            let network = if says.of_host.contains(&id) { 2 } else { 0 };
            let options = Some(NamespaceOptions { network });
            let linux = Some(Linux { namespaces: Some(Namespaces { options }) });
            SandboxAnswer { status: Some(SandboxStatus { linux }) }.encode_to_vec()
        }
        other => panic!("{other} is not known here"),
    };
    // gRPC's frame: not compressed, and the length.
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = vec![Ok(Frame::data(Bytes::from(frame))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn status(says: &Says) -> Status {
    let condition = Condition {
        r#type: "NetworkReady".to_owned(),
        status: says.not_ready.is_none(),
        message: says.not_ready.clone().unwrap_or_default(),
    };
    let networks: Vec<Value> = says
        .loaded
        .iter()
        .map(|conflist| {
            let plugins = conflist["plugins"].as_array().unwrap().iter();
            let plugins: Vec<Value> = plugins.map(|plugin| json!({"Network": plugin, "Source": "{}"})).collect();
            let (name, source) = (&conflist["name"], conflist.to_string());
            json!({"Config": {"Name": name, "CNIVersion": "1.1.0", "Plugins": plugins, "Source": source}, "IFName": "eth0"})
        })
        .collect();
    let config = json!({
        "PluginDirs": ["/opt/cni/bin"], "PluginConfDir": "/etc/cni/net.d", "PluginMaxConfNum": says.most,
        "Networks": networks,
    });
    let info = BTreeMap::from([("cniconfig".to_owned(), config.to_string())]);
    Status { status: Some(RuntimeStatus { conditions: vec![condition] }), info }
}

fn sandboxes(says: &Says) -> Sandboxes {
    let items = says.sandboxes.iter().cloned().map(|KnownSandbox { id, namespace, name, uid, annotations }| Sandbox {
        id,
        metadata: Some(Metadata { name, uid, namespace }),
        state: 0,
        annotations,
    });
    Sandboxes { items: items.collect() }
}

#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, optional, tag = "1")]
    status: Option<RuntimeStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Message)]
struct Condition {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(bool, tag = "2")]
    status: bool,
    #[prost(string, tag = "4")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sandboxes {
    #[prost(message, repeated, tag = "1")]
    items: Vec<Sandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct Sandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(int32, tag = "3")]
    state: i32,
    #[prost(btree_map = "string, string", tag = "6")]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Ask {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxAnswer {
    #[prost(message, optional, tag = "1")]
    status: Option<SandboxStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxStatus {
    #[prost(message, optional, tag = "6")]
    linux: Option<Linux>,
}

#[derive(Clone, PartialEq, Message)]
struct Linux {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(message, optional, tag = "2")]
    options: Option<NamespaceOptions>,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOptions {
    #[prost(int32, tag = "1")]
    network: i32,
}
