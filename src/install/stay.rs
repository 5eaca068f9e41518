//! What is left to do after an uninstall by a DaemonSet: to stay, and to say so, until the DaemonSet is deleted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::state::deadline::Deadline;

/// How long one connection may last.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Between a connection that could not be accepted and the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers every request with 200, until a signal: the probe by which the DaemonSet's pod is ready.
///
/// # Errors
/// When the address cannot be listened at.
pub async fn stay(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("--metrics-address {address} cannot be listened at"))?;
    let deadline = Deadline::with_signals(Duration::MAX).context("signals cannot be awaited")?;
    // One after another: who asks is the kubelet, on this node.
    while let Ok(accepted) = deadline.within(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            // Without descriptors, say: it would fail as fast as it is tried.
            let _ = deadline.within(tokio::time::sleep(PAUSE)).await;
            continue;
        };
        let service = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(
                b"rooknet is uninstalled from this node\n",
            ))))
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(CONNECTION_LIMIT).keep_alive(false);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        // What is wrong with a request is the client's affair.
        let _ = deadline.at_most(CONNECTION_LIMIT).within(serving).await;
    }
    Ok(())
}
