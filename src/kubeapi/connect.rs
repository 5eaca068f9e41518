//! Opening a connection: the name's addresses, TCP, TLS, and the protocol that both speak.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use super::credentials::Endpoint;
use super::failure::{Failure, chain, silence};
use super::tls;
use crate::cni;

/// Bytes of an answer's headers, at most. API servers send a few hundred.
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// Headers of an answer, at most.
const MAX_HEADERS: usize = 100;

/// The body of a request.
pub(super) type Body = Full<Bytes>;

/// How long the parts of one try may take, each far more than a server in good health needs and short enough that the
/// deadline leaves time for another try; and how long a bad one counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Resolving the server's name.
    pub(super) resolve: Duration,
    /// Connecting to one address.
    pub(super) connect: Duration,
    /// The TLS handshake.
    pub(super) handshake: Duration,
    /// Waiting for an answer to begin, and between its parts.
    pub(super) answer: Duration,
    /// How long after it was away a server counts as starting.
    pub(super) start: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            answer: Duration::from_secs(15),
            start: Duration::from_secs(5),
        }
    }
}

/// Where a connection goes, and how.
pub(super) struct Target {
    /// Address and trust.
    pub(super) endpoint: Endpoint,
    /// For https.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// How long it may take.
    pub(super) bounds: Bounds,
}

impl Target {
    /// The way to an endpoint.
    ///
    /// # Errors
    /// Code 7 when its certificates or keys cannot be used.
    pub(super) fn new(endpoint: Endpoint, bounds: Bounds) -> Result<Self, cni::Error> {
        let tls = if endpoint.server.is_https { Some(tls::settings(&endpoint)?) } else { None };
        Ok(Target { endpoint, tls, bounds })
    }
}

/// An open connection's sending end. The other end is a task, which ends with the connection.
pub(super) enum Opened {
    /// For one request at a time.
    Http1(http1::SendRequest<Body>),
    /// For as many as the server takes.
    Http2(http2::SendRequest<Body>),
}

/// Opens a connection to the first address that lets itself be connected to.
pub(super) async fn open(target: &Target) -> Result<Opened, Failure> {
    open_first(target, addresses(target).await?).await
}

async fn open_first(target: &Target, addresses: Vec<SocketAddr>) -> Result<Opened, Failure> {
    let mut failures = Vec::new();
    for address in addresses {
        match open_at(target, address).await {
            Err(Failure::Transport(reason)) => failures.push(format!("{address}: {reason}")),
            other => return other,
        }
    }
    Err(Failure::Transport(failures.join("; ")))
}

async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    /// A name has one address for each server of the control plane.
    const MOST: usize = 16;
    let server = &target.endpoint.server;
    if let Ok(address) = server.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, server.port)]);
    }
    let failed = |reason: String| Failure::Transport(format!("the name {} cannot be resolved: {reason}", server.host));
    let lookup = tokio::net::lookup_host((server.host.as_str(), server.port));
    let found = bounded(target.bounds.resolve, lookup).await.map_err(|error| failed(error.to_string()))?;
    let found: Vec<SocketAddr> = found.take(MOST).collect();
    if found.is_empty() { Err(failed("it has no address".to_owned())) } else { Ok(found) }
}

async fn open_at(target: &Target, address: SocketAddr) -> Result<Opened, Failure> {
    let failed = |error: io::Error| Failure::Transport(error.to_string());
    let tcp = bounded(target.bounds.connect, TcpStream::connect(address)).await.map_err(failed)?;
    // A request is one write; waiting for more of it would only delay it.
    tcp.set_nodelay(true).map_err(failed)?;
    let Some((config, name)) = &target.tls else { return http1(tcp, address).await };
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
    let stream = bounded(target.bounds.handshake, handshake).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => tls::failure(inner, &target.endpoint),
            None => Failure::Transport(format!("the TLS handshake failed: {error}")),
        }
    })?;
    if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) {
        http2(stream, address).await
    } else {
        http1(stream, address).await
    }
}

async fn http1<S>(stream: S, address: SocketAddr) -> Result<Opened, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(usize::try_from(MAX_HEADER_BYTES).unwrap_or(usize::MAX))
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Transport(chain(&error)))?;
    serve(connection, address, "HTTP/1.1");
    Ok(Opened::Http1(sender))
}

async fn http2<S>(stream: S, address: SocketAddr) -> Result<Opened, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Transport(chain(&error)))?;
    serve(connection, address, "HTTP/2");
    Ok(Opened::Http2(sender))
}

fn serve(
    connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    address: SocketAddr,
    protocol: &'static str,
) {
    log::debug!("a connection to the API server is open: {address}, {protocol}");
    tokio::spawn(async move {
        // Whoever waits for an answer on it hears of the end too, and decides what it means.
        if let Err(error) = connection.await {
            log::debug!("the connection to the API server at {address} ended: {}", chain(&error));
        }
    });
}

/// An operation that must end in time.
async fn bounded<T>(time: Duration, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, operation).await.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, silence(time))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::kubeapi::credentials::Source;
    use crate::kubeapi::testing::{Directory, Server, block_on, ok, write_kubeconfig};

    #[test]
    fn the_addresses_of_a_name_are_tried_in_turn_and_each_failure_is_named() {
        block_on(async {
            let directory = Directory::new();
            let server = Server::start("127.0.0.2", None, |_, _| ok("{}")).await;
            let path = write_kubeconfig(&directory, &json!({"server": "http://none.invalid"}), &json!({}));
            let target = Target::new(Source::new(path).read().unwrap().endpoint, Bounds::default()).unwrap();
            // Nobody listens there any more.
            let deaf = TcpListener::bind("127.0.0.3:0").await.unwrap().local_addr().unwrap();
            let opened = open_first(&target, vec![deaf, server.address]).await;
            assert!(matches!(opened, Ok(Opened::Http1(_))));
            let Err(Failure::Transport(reason)) = open_first(&target, vec![deaf, deaf]).await else { panic!() };
            let refused = format!("{deaf}: Connection refused (os error 111)");
            assert_eq!(reason, format!("{refused}; {refused}"));
        });
    }
}
