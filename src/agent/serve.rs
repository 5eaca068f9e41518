//! /metrics and /healthz over HTTP.
//!
//! Without authentication: so the address is the node's own loopback unless somebody says otherwise. Whoever connects can
//! neither hold the agent up nor fill its memory: connections are few, short, and carry one small request each.

use std::convert::Infallible;
use std::fs;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::rounds::Backoff;

const NAME: &str = "metrics";
/// Connections at once.
const MOST_CONNECTIONS: usize = 16;
/// How long one may last.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, at most.
const MAX_HEAD: usize = 16 * 1024;
/// How often the loop says that it lives.
const IDLE: Duration = Duration::from_secs(30);
/// What Prometheus calls this form.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut backoff = Backoff::default();
    shared.health.begins(NAME, IDLE.saturating_mul(3));
    loop {
        let Err(error) = serve(&shared).await;
        shared.health.failed(NAME, &format!("{error:#}"));
        sleep(backoff.next()).await;
    }
}

async fn serve(shared: &Rc<Shared>) -> Result<Infallible> {
    let address = shared.options.metrics_address;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("--metrics-address {address} cannot be listened at"))?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        shared.health.well(NAME);
        // Those beyond wait in the kernel's queue.
        let place = Arc::clone(&places).acquire_owned().await?;
        let Ok(accepted) = timeout(IDLE, listener.accept()).await else { continue };
        let (stream, _) = accepted.context("no connection can be accepted")?;
        let shared = Rc::clone(shared);
        spawn_local(async move {
            let _place = place;
            let _ = timeout(CONNECTION_LIMIT, connection(&shared, stream)).await;
        });
    }
}

async fn connection(shared: &Rc<Shared>, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(shared, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(CONNECTION_LIMIT).max_buf_size(MAX_HEAD).keep_alive(false);
    // What is wrong with a request is the client's affair.
    let _ = pin!(builder.serve_connection(TokioIo::new(stream), service)).await;
}

fn answer(shared: &Shared, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => match page(shared) {
            Ok(text) => (StatusCode::OK, OPENMETRICS, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        },
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let (is_well, text) = shared.health.report();
            (if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, PLAIN, text)
        }
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The metrics, with those that are true only at the moment.
fn page(shared: &Shared) -> Result<String, std::fmt::Error> {
    let metrics = &shared.metrics;
    metrics.snapshot_age.set(shared.beaten.get().map_or(f64::INFINITY, |beaten| beaten.elapsed().as_secs_f64()));
    metrics.memory.set(resident_bytes().unwrap_or_default());
    metrics.text()
}

/// `VmRSS` of this process.
fn resident_bytes() -> Option<i64> {
    const KIBIBYTE: i64 = 1024;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<i64>().ok()?.checked_mul(KIBIBYTE)
}
