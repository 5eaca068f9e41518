//! One client's connection to the proxy, and the requests on it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, pending, select};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Shared;
use super::body::Chunks;
use super::rule::{Closing, Fault};

/// What was written before a cut gets so long to leave.
const LAST_BYTES: Duration = Duration::from_millis(50);

/// A request that the proxy got.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The method.
    pub(crate) method: String,
    /// The path with the query.
    pub(crate) path: String,
    /// The header Authorization, empty without.
    pub(crate) authorization: String,
    /// The header Content-Type, empty without.
    pub(crate) content_type: String,
    /// The body as text.
    pub(crate) body: String,
    /// Whether it came by HTTP/2.
    pub(crate) is_http2: bool,
    /// The number of the connection, from 1.
    pub(crate) connection: usize,
    /// The status of the answer; `None` where the client got none, or does not have it yet.
    pub(crate) status: Option<u16>,
}

/// The real server.
#[derive(Clone)]
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    pub(super) config: Arc<ClientConfig>,
}

/// A client's connection.
pub(super) struct Connection {
    number: usize,
    shared: Arc<Shared>,
    upstream: Upstream,
    requests: AtomicUsize,
    /// Closes it at once.
    cut: Notify,
    /// Closes it after what is under way, and says so to the client.
    finish: Notify,
}

impl Connection {
    pub(super) fn new(number: usize, shared: Arc<Shared>, upstream: Upstream) -> Self {
        let requests = AtomicUsize::new(0);
        Self { number, shared, upstream, requests, cut: Notify::new(), finish: Notify::new() }
    }

    /// Serves it to its end.
    pub(super) async fn serve(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        // An error is the client's, which may leave whenever it wants.
        let Some(acceptor) = acceptor else {
            return Arc::new(self).serve_http(stream, false).await;
        };
        if let Ok(stream) = acceptor.accept(stream).await {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Arc::new(self).serve_http(stream, is_http2).await;
        }
    }

    async fn serve_http(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, is_http2: bool) {
        let this = Arc::clone(&self);
        let service = service_fn(move |request| Arc::clone(&this).handle(request));
        let io = TokioIo::new(stream);
        let cut = pin!(self.cut.notified());
        if is_http2 {
            let connection =
                pin!(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service));
            let finished = self.until_finish(connection, |connection| connection.graceful_shutdown());
            select(pin!(finished), cut).await;
        } else {
            let connection = pin!(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            let finished = self.until_finish(connection, |connection| connection.graceful_shutdown());
            select(pin!(finished), cut).await;
        }
    }

    /// Drives a connection, which is told to finish when the time has come.
    async fn until_finish<C: Future>(&self, mut connection: Pin<&mut C>, shut_down: impl FnOnce(Pin<&mut C>)) {
        if let Either::Right(_) = select(connection.as_mut(), pin!(self.finish.notified())).await {
            shut_down(connection.as_mut());
            connection.await;
        }
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Chunks>, Infallible> {
        let is_http2 = request.version() == Version::HTTP_2;
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => Bytes::new(),
        };
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default()
        };
        let exchange = Exchange {
            method: parts.method.to_string(),
            path: path.clone(),
            authorization: header("authorization"),
            content_type: header("content-type"),
            body: String::from_utf8_lossy(&body).into_owned(),
            is_http2,
            connection: self.number,
            status: None,
        };
        let index = {
            let mut exchanges = self.shared.exchanges.lock().unwrap();
            exchanges.push(exchange);
            exchanges.len() - 1
        };
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let closing = *self.shared.closing.lock().unwrap();
        if closing.is_some_and(|closing| matches!(closing, Closing::Announced(limit) if limit <= number)) {
            self.finish.notify_one();
        }

        let forward = || self.upstream.forward(parts.method.as_str(), &path, &parts.headers, body.clone());
        let mut after = Duration::ZERO;
        let mut holds = Vec::new();
        let mut terminal = None;
        for rule in self.shared.rules.lock().unwrap().iter_mut() {
            match rule.apply(parts.method.as_str(), &path) {
                None => {}
                Some(Fault::Delay(delay)) => after += delay,
                Some(Fault::Hold(hold)) => holds.push(hold),
                Some(fault) => {
                    terminal = Some(fault);
                    break;
                }
            }
        }
        tokio::time::sleep(after).await;
        for hold in holds {
            hold.wait().await;
        }
        let answer = match terminal {
            None | Some(Fault::Delay(_) | Fault::Hold(_)) => forward().await.map(Chunks::whole),
            Some(Fault::Status(status, retry_after)) => refusal(status, retry_after),
            Some(Fault::Body(status, text)) => answer(status, Chunks::whole(Bytes::from(text))),
            Some(Fault::Cut) => {
                let half = forward().await.map(|bytes| Chunks::half(&bytes));
                self.cut_soon();
                half
            }
            Some(Fault::Swallow) => {
                forward().await;
                self.cut.notify_one();
                pending().await
            }
            Some(Fault::Never) => pending().await,
            Some(Fault::Endless) => answer(200, Chunks::endless()),
            Some(Fault::Drip(pace)) => forward().await.map(|bytes| Chunks::dripping(&bytes, pace)),
        };
        self.shared.exchanges.lock().unwrap()[index].status = Some(answer.status().as_u16());
        if closing.is_some_and(|closing| matches!(closing, Closing::Abrupt(limit) if limit <= number)) {
            self.cut_soon();
        }
        Ok(answer)
    }

    /// Closes the connection when what is already written has left.
    fn cut_soon(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(LAST_BYTES).await;
            this.cut.notify_one();
        });
    }
}

impl Upstream {
    /// The server's answer; 502 when there is none.
    async fn forward(&self, method: &str, path: &str, headers: &HeaderMap, body: Bytes) -> Response<Bytes> {
        self.try_forward(method, path, headers, body).await.unwrap_or_else(|error| {
            Response::builder().status(502).body(Bytes::from(format!("the proxy got no answer: {error}"))).unwrap()
        })
    }

    async fn try_forward(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body))?;
        *request.headers_mut() = end_to_end(headers);
        request.headers_mut().insert(HOST, self.address.to_string().parse()?);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut answer = Response::builder().status(parts.status).body(body)?;
        *answer.headers_mut() = end_to_end(&parts.headers);
        let length = answer.body().len();
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
        Ok(answer)
    }
}

/// The headers that are for the other end and not for the next connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [HOST, CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers
}

fn answer(status: u16, body: Chunks) -> Response<Chunks> {
    Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(body).unwrap()
}

/// An answer as an API server gives it when it refuses.
fn refusal(status: u16, retry_after: Option<u64>) -> Response<Chunks> {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the proxy answers {status}"), "code": status,
    });
    let mut answer = answer(status, Chunks::whole(Bytes::from(body.to_string())));
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}
