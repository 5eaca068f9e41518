//! A proxy between a node and the API server, for what a real server does not do on demand.
//!
//! It runs in the test's process, on a thread whose sockets are in the node's network namespace. Everything that no
//! [`Rule`] speaks of goes to the real server and back unchanged, so that a test sees one fault and not a fake server.
//! It records every request, also those that never reached the server. [`Gate`] does the same for bare TCP.

mod body;
mod connection;
mod gate;
mod rule;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use futures_util::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::cluster::{ADDRESS, ApiServer, Certificate, Cluster, enter, trusting};
use crate::support::Node;

pub(crate) use connection::Exchange;
pub(crate) use gate::{Gate, Passage};
pub(crate) use rule::{Closing, Fault, Hold, Rule};

/// A proxy at 127.0.0.1 of a node. Dropped, it closes all its connections.
pub(crate) struct Proxy {
    port: u16,
    is_tls: bool,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the proxy's thread and the test both see.
#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    closing: Mutex<Option<Closing>>,
    exchanges: Mutex<Vec<Exchange>>,
    connections: Mutex<usize>,
}

/// How a proxy speaks to its clients.
#[derive(Clone)]
pub(crate) struct Front {
    /// The certificate that it shows; `None`: it speaks plain HTTP.
    pub(crate) certificate: Option<Certificate>,
    /// The protocols that it offers by ALPN, in its order of preference.
    pub(crate) protocols: Vec<&'static str>,
}

impl Front {
    /// A certificate of the cluster's authority, and the protocols of a real API server.
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let certificate = cluster.authority().server(&["127.0.0.1", "::1", "localhost"]);
        Self { certificate: Some(certificate), protocols: vec!["h2", "http/1.1"] }
    }
}

impl Proxy {
    /// A proxy of `server` on `node`, which must have been joined to the cluster.
    pub(crate) fn start(cluster: &Cluster, server: &ApiServer, node: &Node) -> Self {
        Self::with_front(cluster, server, node, &Front::new(cluster))
    }

    /// The same with another certificate, other protocols, or plain HTTP.
    pub(crate) fn with_front(cluster: &Cluster, server: &ApiServer, node: &Node, front: &Front) -> Self {
        let shared = Arc::new(Shared::default());
        let upstream = connection::Upstream {
            address: SocketAddr::new(ADDRESS.parse().unwrap(), server.port()),
            config: trusting(cluster.authority()),
        };
        let acceptor = front.certificate.as_ref().map(|certificate| acceptor(certificate, &front.protocols));
        let netns = PathBuf::from(format!("/proc/{}/ns/net", node.pid()));
        let (stop, stopped) = oneshot::channel();
        let (port_sender, port) = channel();
        let is_tls = acceptor.is_some();
        let for_thread = Arc::clone(&shared);
        let serve = async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen on the node");
            port_sender.send(listener.local_addr().unwrap().port()).unwrap();
            let mut stopped = pin!(stopped);
            loop {
                let accepted = match select(pin!(listener.accept()), &mut stopped).await {
                    Either::Left((accepted, _)) => accepted,
                    Either::Right(_) => return,
                };
                let Ok((stream, _)) = accepted else {
                    continue;
                };
                // As a real server does; without it, small answers would wait for acknowledgements.
                stream.set_nodelay(true).expect("a fresh socket takes options");
                let number = {
                    let mut connections = for_thread.connections.lock().unwrap();
                    *connections += 1;
                    *connections
                };
                let served = connection::Connection::new(number, Arc::clone(&for_thread), upstream.clone());
                tokio::spawn(served.serve(stream, acceptor.clone()));
            }
        };
        let thread = thread::spawn(move || {
            enter(&netns);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
        });
        let port = port.recv().expect("the proxy listens");
        Self { port, is_tls, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Its URL on the node.
    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.is_tls { "https" } else { "http" }, self.port)
    }

    /// Its port on the node.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on requests are treated by this rule, after those that were added before it.
    pub(crate) fn add(&self, rule: Rule) {
        self.shared.rules.lock().unwrap().push(rule);
    }

    /// From now on each connection is closed after so many requests.
    pub(crate) fn close_connections(&self, closing: Closing) {
        *self.shared.closing.lock().unwrap() = Some(closing);
    }

    /// Forgets all rules: from now on requests go to the server.
    pub(crate) fn relent(&self) {
        self.shared.rules.lock().unwrap().clear();
        *self.shared.closing.lock().unwrap() = None;
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges.lock().unwrap().clone()
    }

    /// The same as `METHOD path`, without the query.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.exchanges()
            .iter()
            .map(|Exchange { method, path, .. }| format!("{method} {}", path.split('?').next().unwrap_or_default()))
            .collect()
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; a second one while the test unwinds would hide it.
            let _ = thread.join();
        }
    }
}

fn acceptor(certificate: &Certificate, protocols: &[&str]) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}
