//! Requests to an API server by the tests themselves. The plugin's client is not used, so that a fault in it cannot
//! hide itself.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::{ADMIN, ApiServer, Authority, Cluster, PATIENCE};
use crate::support::wait_until;

/// The content type of a JSON merge patch (RFC 7386).
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// Why there is no answer.
type Failure = Box<dyn Error + Send + Sync>;

/// What an API server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body: JSON, or a string of what is none.
    pub(crate) body: Value,
}

impl Answer {
    /// Whether the status is one of success.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body; panics unless the request succeeded.
    #[track_caller]
    pub(crate) fn expect_success(self, what: &str) -> Value {
        assert!(self.is_success(), "{what}: {self:?}");
        self.body
    }

    async fn of(response: Response<Incoming>) -> Result<Self, Failure> {
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Self { status, body })
    }

    /// The `message` of a Status object, or nothing.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Cluster {
    /// One request to the shared API server by the bearer of `token`. `body` is sent as `content_type`.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.server().request(method, path, token, content_type, body)
    }

    /// A GET by the administrator.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, ADMIN, "", None)
    }

    /// A POST by the administrator, which must succeed. For a moment after a kind was defined the server may refuse to
    /// make objects of it (503 "apiserver is shutting down", which means the kind's own handler): then it is sent again.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let mut answer = self.request("POST", path, ADMIN, "application/json", Some(body));
        wait_until("a handler for the kind", PATIENCE, || {
            if answer.status == 503 {
                answer = self.request("POST", path, ADMIN, "application/json", Some(body));
            }
            answer.status != 503
        });
        answer.expect_success(&format!("POST {path}"))
    }

    /// A merge patch by the bearer of `token`.
    pub(crate) fn merge_patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.request("PATCH", path, token, MERGE_PATCH, Some(body))
    }
}

impl ApiServer {
    /// One request to this API server; panics when it does not answer.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Answer {
        self.try_request(method, path, token, content_type, body)
            .unwrap_or_else(|error| panic!("{method} {path} at port {}: {error}", self.port()))
    }

    /// The same; what went wrong when there is no answer.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        self.session().request(method, path, token, content_type, body)
    }
}

/// Somebody who sends requests to a port of 127.0.0.1 in some network namespace, each on a connection of its own.
#[derive(Clone)]
pub(crate) struct Caller {
    netns: PathBuf,
    port: u16,
    config: Arc<ClientConfig>,
    is_http2: bool,
}

impl Caller {
    /// One that trusts `authority` and speaks HTTP/1.1.
    pub(crate) fn new(netns: PathBuf, port: u16, authority: &Authority) -> Self {
        Self { netns, port, config: trusting(authority), is_http2: false }
    }

    /// The same by HTTP/2.
    pub(crate) fn http2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![b"h2".to_vec()];
        self.is_http2 = true;
        self
    }

    /// One request; what went wrong when there is no answer.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let request = self.build(method, path, token, content_type, body)?;
        in_netns(&self.netns, self.exchange(request)).map_err(|error| error.to_string())
    }

    fn build(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://127.0.0.1:{}{path}", self.port))
            .header("user-agent", "rooknet-tests");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let bytes = body.map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            request = request.header("content-type", content_type);
        }
        request.body(Full::new(Bytes::from(bytes))).map_err(|error| error.to_string())
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        if self.is_http2 {
            return Answer::of(self.connect_http2().await?.send_request(request).await?).await;
        }
        let (mut sender, connection) = http1::handshake(self.connect().await?).await?;
        tokio::spawn(connection);
        request.headers_mut().insert(HOST, format!("127.0.0.1:{}", self.port).parse()?);
        *request.uri_mut() = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
        Answer::of(sender.send_request(request).await?).await
    }

    async fn connect(&self) -> Result<TokioIo<TlsStream<TcpStream>>, Failure> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        // Head and body are two segments, and the second would wait for the delayed acknowledgement of the first.
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(TokioIo::new(connector.connect(ServerName::try_from("127.0.0.1")?, stream).await?))
    }

    async fn connect_http2(&self) -> Result<http2::SendRequest<Full<Bytes>>, Failure> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), self.connect().await?).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A caller that keeps its connection: a handshake takes longer than most requests. It ends with the process.
pub(super) struct Session {
    caller: Caller,
    jobs: UnboundedSender<Job>,
}

/// A request and where its answer goes.
type Job = (Request<Full<Bytes>>, mpsc::Sender<Result<Answer, String>>);

impl Session {
    /// One by HTTP/2, which connects when it is first needed and again when the connection is gone.
    pub(super) fn new(caller: Caller) -> Self {
        let caller = caller.http2();
        let (jobs, received) = unbounded_channel();
        let of_thread = caller.clone();
        thread::spawn(move || {
            enter(&of_thread.netns);
            let work = work(of_thread, received);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        });
        Self { caller, jobs }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let request = self.caller.build(method, path, token, content_type, body)?;
        let (reply, answer) = mpsc::channel();
        self.jobs.send((request, reply)).expect("the session's thread takes requests");
        answer.recv().expect("the session's thread answers")
    }
}

async fn work(caller: Caller, mut jobs: UnboundedReceiver<Job>) {
    let kept = Arc::new(Mutex::new(None));
    while let Some((request, reply)) = jobs.recv().await {
        let (caller, kept) = (caller.clone(), Arc::clone(&kept));
        tokio::spawn(async move {
            let answer = answer(&caller, &kept, request).await;
            // Who asked waits for it.
            let _ = reply.send(answer.map_err(|error| format!("{error:?}")));
        });
    }
}

async fn answer(
    caller: &Caller,
    kept: &Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    loop {
        let mut sender = {
            let mut kept = kept.lock().await;
            match kept.as_ref().filter(|sender| !sender.is_closed()) {
                Some(sender) => sender.clone(),
                None => kept.insert(caller.connect_http2().await?).clone(),
            }
        };
        match sender.send_request(request.clone()).await {
            Ok(response) => return Answer::of(response).await,
            // The server says goodbye after each 401, and does not look at what comes after that.
            Err(error) if is_goodbye(&error) => *kept.lock().await = None,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a request failed because its connection was ending already: then it was not looked at.
fn is_goodbye(error: &hyper::Error) -> bool {
    error.is_canceled() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}

/// What a client needs to trust a server with a certificate of `authority`.
pub(crate) fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// Completes `future` on a thread in the network namespace of the given path: sockets that it opens are there.
pub(crate) fn in_netns<T: Send>(netns: &Path, future: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| {
        let work = || {
            enter(netns);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
        };
        scope.spawn(work).join().expect("the thread in the other network namespace")
    })
}

/// Moves the calling thread, and only it, into a network namespace.
pub(crate) fn enter(netns: &Path) {
    let file = File::open(netns).unwrap_or_else(|error| panic!("{}: {error}", netns.display()));
    setns(file, CloneFlags::CLONE_NEWNET).expect("enter the network namespace");
}
