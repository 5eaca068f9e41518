//! Servers, certificates and credentials for the tests of this room. The servers are hyper's own, on loopback.
#![allow(clippy::arithmetic_side_effects, reason = "an overflow would fail the test")]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::client::{Answer, Client, Method, Request};
use super::credentials::Source;
use super::error::Error;
use crate::state::deadline::Deadline;
pub(super) use crate::state::testing::{Directory, block_on};

/// Longer than any test takes.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// What every credential of a test has in it that must be in no message.
pub(super) const TOKEN: &str = "SECRET-token-1";

/// A certificate authority.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, both PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for names and addresses, valid as long as an authority's is unless `change` says otherwise.
    pub(super) fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Issued { chain: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }

    /// TLS for a server with this certificate; with `clients`, it wants one of this authority's from them.
    pub(super) fn serve(&self, issued: &Issued, alpn: &[&str], clients: bool) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What a server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Status, headers and body.
    With(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Silence,
    /// The beginning of an answer, then the end of the connection (HTTP/2: of the stream).
    Cut,
    /// An answer that never ends, slowly.
    Drip,
}

/// An answer with JSON of `bytes` bytes or more.
pub(super) fn ok(text: &str) -> Reply {
    Reply::With(200, Vec::new(), text.to_owned())
}

/// An answer as an API server refuses.
pub(super) fn status(code: u16, reason: &str) -> Reply {
    let body = json!({"kind": "Status", "code": code, "reason": reason, "message": format!("words of {reason}")});
    Reply::With(code, Vec::new(), body.to_string())
}

/// A server, and what it saw.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    /// Changes when all connections are to be closed.
    closing: watch::Sender<usize>,
    /// How many are open.
    open: watch::Sender<usize>,
}

impl Server {
    /// Listens on a free port of `host`; `reply` gets the number of the request, from 0, and the request.
    pub(super) async fn start(
        host: &str,
        tls: Option<TlsAcceptor>,
        reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::on(TcpListener::bind((host, 0)).await.unwrap(), tls, reply)
    }

    pub(super) fn on(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let address = listener.local_addr().unwrap();
        let (closing, open) = (watch::Sender::new(0), watch::Sender::new(0));
        let server = Server { address, seen: Arc::default(), connections: Arc::default(), closing, open };
        let (started, reply) = (server.clone(), Arc::new(reply));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                *started.connections.lock().unwrap() += 1;
                let (server, reply, tls) = (started.clone(), Arc::clone(&reply), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => server.speak(stream, false, reply).await,
                        // A client that does not like our certificate ends it here.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                                server.speak(stream, is_http2, reply).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    async fn speak<S>(
        &self,
        stream: S,
        is_http2: bool,
        reply: Arc<impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static>,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (server, reply) = (self.seen.clone(), Arc::clone(&reply));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let seen = Seen {
                    method: parts.method.to_string(),
                    uri: parts.uri.to_string(),
                    version: parts.version,
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                let number = {
                    let mut all = server.lock().unwrap();
                    all.push(seen.clone());
                    all.len() - 1
                };
                Ok::<_, Infallible>(respond(reply(number, &seen)).await)
            }
        });
        let mut closing = self.closing.subscribe();
        self.open.send_modify(|open| *open += 1);
        let close = pin!(async move { closing.changed().await });
        // How a connection ends is what the tests look at from the other side.
        if is_http2 {
            let mut connection =
                pin!(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
            if let Either::Right(_) = select(connection.as_mut(), close).await {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        } else {
            let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            if let Either::Right(_) = select(connection.as_mut(), close).await {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
        self.open.send_modify(|open| *open -= 1);
    }

    /// Closes all connections once their answers are written.
    pub(super) fn close_connections(&self) {
        self.closing.send_modify(|times| *times += 1);
    }

    /// Waits until no connection is open.
    pub(super) async fn closed(&self) {
        self.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }
}

async fn respond(reply: Reply) -> hyper::Response<UnsyncBoxBody<Bytes, io::Error>> {
    let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    let (status, headers, body) = match reply {
        Reply::With(status, headers, text) => {
            let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
            (status, headers, UnsyncBoxBody::new(body))
        }
        Reply::Silence => std::future::pending().await,
        Reply::Cut => {
            let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            (200, Vec::new(), UnsyncBoxBody::new(StreamBody::new(stream::iter([data("{\"a\""), broken]))))
        }
        Reply::Drip => {
            let drops = stream::repeat(()).then(move |()| async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                data(" ")
            });
            (200, Vec::new(), UnsyncBoxBody::new(StreamBody::new(drops)))
        }
    };
    let mut response = hyper::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}

/// A server that reads a request's head, writes `text`, and closes; with `endless`, it writes that again and again.
pub(super) async fn raw_server(text: &'static str, endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(raw_answer(stream, text, endless));
        }
    });
    address
}

async fn raw_answer(mut stream: TcpStream, text: &str, endless: bool) {
    let mut buffer = [0; 4096];
    let _ = stream.read(&mut buffer).await;
    while stream.write_all(text.as_bytes()).await.is_ok() && endless {}
}

/// Writes a kubeconfig with one context; `cluster` and `user` are their keys.
pub(super) fn write_kubeconfig(directory: &Directory, cluster: &Value, user: &Value) -> PathBuf {
    let path = directory.path().join("kubeconfig");
    write(&path, &kubeconfig(cluster, user).to_string());
    path
}

pub(super) fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "storage", "user": "rooknet"}}],
        "clusters": [{"name": "storage", "cluster": cluster}],
        "users": [{"name": "rooknet", "user": user}],
    })
}

pub(super) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A client of a plain server, with [`TOKEN`].
pub(super) fn plain_client(directory: &Directory, server: &Server) -> Client {
    client(directory, &json!({"server": server.url("http")}))
}

/// A client with [`TOKEN`] and these keys of the cluster.
pub(super) fn client(directory: &Directory, cluster: &Value) -> Client {
    Client::new(Source::new(write_kubeconfig(directory, cluster, &json!({"token": TOKEN}))))
}

/// Makes a request that has `deadline`.
pub(super) async fn call(client: &Client, method: Method, deadline: &Deadline) -> Result<Answer, Error> {
    let body: &[u8] = if method == Method::Get { b"" } else { b"{}" };
    let request = Request { method, path: "/api/v1/pods", about: "CALL pod a/b", body, limit: 1000, deadline };
    client.request(&request).await
}

/// A GET with a deadline that never matters.
pub(super) async fn get(client: &Client) -> Result<Answer, Error> {
    call(client, Method::Get, &Deadline::without_signals(LONG)).await
}

/// The body of an answer, or the error's text.
pub(super) fn text(result: Result<Answer, Error>) -> Result<String, String> {
    result.map(|answer| String::from_utf8(answer.body).unwrap()).map_err(|error| error.to_string())
}
