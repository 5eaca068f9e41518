//! One request and its answer on one connection.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use tokio::time::timeout;

use super::client::{Method, Request};
use super::connect::{Body, Bounds};
use super::failure::{Failure, Refusal, chain, silence};
use super::pool::{Connection, Pool};
use crate::cni::text::shortened_to;

/// Bytes of an answer that is an error, at most: its message is what counts.
const MAX_ERROR_BYTES: usize = 64 * 1024;

const AGENT: &str = concat!("rooknet/", env!("CARGO_PKG_VERSION"));

/// Sends a request and reads the answer; its body, when the status is 2xx.
pub(super) async fn exchange(
    pool: &Pool,
    request: &Request<'_>,
    authorization: Option<HeaderValue>,
) -> Result<Vec<u8>, Failure> {
    let mut connection = pool.connection().await?;
    let is_http2 = matches!(connection, Connection::Http2(..));
    let message = message(pool, request, authorization, is_http2)?;
    let bounds = &pool.target.bounds;
    let answered = async {
        let response = send(&mut connection, message, bounds).await?;
        let limit = if response.status().is_success() { request.limit } else { MAX_ERROR_BYTES };
        let (parts, body) = response.into_parts();
        let (body, is_whole) = read(body, limit, bounds).await?;
        Ok((parts, body, is_whole))
    }
    .await;
    let (parts, body, is_whole) = match answered {
        Ok(answer) => answer,
        Err(failure) => {
            pool.discard(connection).await;
            return Err(failure);
        }
    };
    if is_whole {
        pool.give_back(connection);
    }
    if parts.status.is_success() {
        return if is_whole { Ok(body) } else { Err(Failure::TooLong) };
    }
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let mut refusal = Refusal::read(parts.status, text(RETRY_AFTER), &body);
    if let (true, Some(location)) = (parts.status.is_redirection(), text(LOCATION)) {
        refusal.message = format!("it points to {}: correct the key server", shortened_to(200, location));
    }
    Err(Failure::Status(refusal))
}

fn message(
    pool: &Pool,
    request: &Request<'_>,
    authorization: Option<HeaderValue>,
    is_http2: bool,
) -> Result<hyper::Request<Body>, Failure> {
    let server = &pool.target.endpoint.server;
    // HTTP/2 has scheme and host in fields of its own, which are taken from the URL; HTTP/1.1 has a header.
    let uri = if is_http2 { server.url(request.path) } else { format!("{}{}", server.base, request.path) };
    let (method, content_type) = match request.method {
        Method::Get => (hyper::Method::GET, None),
        Method::Patch => (hyper::Method::PATCH, Some("application/merge-patch+json")),
        Method::Post => (hyper::Method::POST, Some("application/json")),
    };
    let mut builder =
        hyper::Request::builder().method(method).uri(uri).header(USER_AGENT, AGENT).header(ACCEPT, "application/json");
    if !is_http2 {
        builder = builder.header(HOST, server.authority());
    }
    if let Some(content_type) = content_type {
        builder = builder.header(CONTENT_TYPE, content_type);
    }
    if let Some(authorization) = authorization {
        builder = builder.header(AUTHORIZATION, authorization);
    }
    builder
        .body(Full::new(Bytes::copy_from_slice(request.body)))
        .map_err(|error| Failure::Unusable(format!("the request cannot be written: {error}")))
}

async fn send(
    connection: &mut Connection,
    message: hyper::Request<Body>,
    bounds: &Bounds,
) -> Result<Response<Incoming>, Failure> {
    let answer = async {
        match connection {
            Connection::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(message).await
            }
            Connection::Http2(sender, _) => {
                sender.ready().await?;
                sender.send_request(message).await
            }
        }
    };
    match timeout(bounds.answer, answer).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => Err(Failure::Transport(silence(bounds.answer))),
    }
}

/// At most `limit` bytes of a body, and whether that is all of it.
async fn read(mut body: Incoming, limit: usize, bounds: &Bounds) -> Result<(Vec<u8>, bool), Failure> {
    let mut content = Vec::new();
    loop {
        let frame =
            timeout(bounds.answer, body.frame()).await.map_err(|_| Failure::Transport(silence(bounds.answer)))?;
        let Some(frame) = frame else { return Ok((content, true)) };
        let frame = frame.map_err(|error| failure(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = limit.saturating_sub(content.len());
        content.extend_from_slice(data.get(..data.len().min(room)).unwrap_or_default());
        if data.len() > room {
            return Ok((content, false));
        }
    }
}

fn failure(error: &hyper::Error) -> Failure {
    let text = chain(error);
    if error.is_parse() && text.contains("too large") {
        return Failure::Unusable("the headers of its answer are longer than 64 KiB, or more than 100".to_owned());
    }
    if error.is_parse() {
        return Failure::Unusable(format!("it does not speak HTTP as expected: {text}; correct the key server"));
    }
    // In TLS 1.3 a server judges our certificate only after the handshake. The error's type is lost on its way here.
    let is_alert = text.contains("received fatal alert: ");
    if is_alert && !["InternalError", "UserCanceled"].iter().any(|passing| text.ends_with(passing)) {
        return Failure::Unusable(format!("it refuses the client certificate, or wants one: {text}"));
    }
    Failure::Transport(text)
}
