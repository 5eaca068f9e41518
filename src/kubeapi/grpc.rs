//! Unary gRPC calls over a unix socket: to the kubelet and to the container runtime.
//!
//! gRPC is HTTP/2 with a frame of five bytes around each message and the outcome in trailers (gRPC's
//! PROTOCOL-HTTP2.md): that little is here, so that no other client, and no second runtime, comes into the plugin.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::failure::chain;
use crate::cni::text::{quoted, shortened_to};
use crate::state::deadline::{Deadline, Reason};

/// Bytes of an answer, at most: what the kubelet itself sends, at most.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Characters of the server's own message in an error, at most.
const LONGEST_MESSAGE: usize = 300;

/// Bytes before each message: one for the compression, four for the length.
const PREFIX_BYTES: usize = 5;

/// Why a call has no answer, as a clause about the socket (`it …`).
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no socket.
    #[error("it does not exist")]
    Missing,
    /// The socket may not be used.
    #[error("permission is denied: rooknet must run as root, and a security module may forbid it the socket too")]
    Permission,
    /// Connecting failed otherwise.
    #[error("connecting failed: {0}")]
    Connect(io::Error),
    /// The connection broke, or what is at its other end does not speak HTTP/2.
    #[error("the connection failed: {0}")]
    Connection(String),
    /// No answer in time.
    #[error("it gave no answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    /// A signal ended the call.
    #[error("{}", Reason::Signal)]
    Signal,
    /// A gRPC status other than OK.
    #[error("it refused with gRPC status {code}: {message}")]
    Status {
        /// The status code of gRPC.
        code: u32,
        /// `grpc-message`, printable and bounded.
        message: String,
    },
    /// The answer is none of the service's.
    #[error("its answer is malformed: {0}")]
    Malformed(String),
}

/// Makes one call: `method` is `package.Service/Method`. The server may take `patience`, and no longer than until the
/// deadline.
///
/// # Errors
/// Every [`Failure`]; [`Failure::Malformed`] also for a message that is none of type `A`.
pub async fn call<A: Message + Default>(
    socket: &Path,
    method: &str,
    request: &impl Message,
    patience: Duration,
    deadline: &Deadline,
) -> Result<A, Failure> {
    let allowed = patience.min(deadline.remaining());
    let talk = exchange(socket, method, framed(&request.encode_to_vec()));
    let message = deadline.at_most(patience).within(talk).await.unwrap_or_else(|reason| {
        Err(match reason {
            Reason::Deadline => Failure::Late(allowed),
            Reason::Signal => Failure::Signal,
        })
    })?;
    A::decode(message).map_err(|error| Failure::Malformed(error.to_string()))
}

/// One connection, one request: the message that the server answers with.
async fn exchange(socket: &Path, method: &str, frame: Bytes) -> Result<Bytes, Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Missing,
        io::ErrorKind::PermissionDenied => Failure::Permission,
        _ => Failure::Connect(error),
    })?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Connection(chain(&error)))?;
    let _connection = Background(tokio::spawn(async move {
        // What breaks it breaks the request too, which tells of it.
        let _ = connection.await;
    }));
    let request = Request::post(format!("http://localhost/{method}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Full::new(frame))
        .map_err(|error| Failure::Malformed(error.to_string()))?;
    answer(sender.send_request(request).await.map_err(|error| Failure::Connection(chain(&error)))?).await
}

/// A task that ends with the call.
struct Background(JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A message as gRPC sends it, not compressed.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len().saturating_add(PREFIX_BYTES));
    frame.put_u8(0);
    // No request of ours is beyond what 32 bits hold.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

async fn answer(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(Failure::Malformed(format!("HTTP status {}, it must be 200", head.status.as_u16())));
    }
    check_content_type(&head.headers)?;
    // An answer without a message has its status here ("trailers-only").
    let mut has_status = check_status(&head.headers)?;
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| Failure::Connection(chain(&error)))?.into_data() {
            Ok(data) => {
                if content.len().saturating_add(data.len()) > MAX_ANSWER_BYTES.saturating_add(PREFIX_BYTES) {
                    return Err(too_long());
                }
                content.extend_from_slice(&data);
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    has_status |= check_status(&trailers)?;
                }
            }
        }
    }
    if !has_status {
        return Err(Failure::Malformed("it has no grpc-status".to_owned()));
    }
    unframed(content.freeze())
}

/// `application/grpc`, alone or with what it carries behind it.
fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let found = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    let is_grpc = |rest: &str| rest.is_empty() || rest.starts_with(['+', ';']);
    if found.strip_prefix("application/grpc").is_some_and(is_grpc) {
        return Ok(());
    }
    Err(Failure::Malformed(format!("content-type {}, it must be application/grpc", quoted(&found))))
}

/// Whether the headers or trailers say that all went well; an error when they say that it did not.
fn check_status(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(status) = headers.get("grpc-status") else { return Ok(false) };
    let text = String::from_utf8_lossy(status.as_bytes());
    let code: u32 =
        text.parse().map_err(|_| Failure::Malformed(format!("grpc-status {}, it must be a number", quoted(&text))))?;
    if code == 0 {
        return Ok(true);
    }
    let message = headers.get("grpc-message").map(|message| percent_decoded(message.as_bytes())).unwrap_or_default();
    Err(Failure::Status { code, message: shortened_to(LONGEST_MESSAGE, &message) })
}

/// A `grpc-message` as it was meant; what is not well escaped stays as it is.
fn percent_decoded(text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, tail @ ..] if byte == b'%' => digit(*high).zip(digit(*low)).map(|digits| (digits, tail)),
            _ => None,
        };
        if let Some(((high, low), tail)) = escaped {
            decoded.push((high << 4) | low);
            rest = tail;
        } else {
            decoded.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The one message of an answer.
fn unframed(mut content: Bytes) -> Result<Bytes, Failure> {
    let (Ok(compression), Ok(length)) = (content.try_get_u8(), content.try_get_u32()) else {
        return Err(Failure::Malformed("it has no message".to_owned()));
    };
    if compression != 0 {
        return Err(Failure::Malformed("its message is compressed, which was not offered".to_owned()));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_ANSWER_BYTES {
        return Err(too_long());
    }
    if length != content.len() {
        return Err(Failure::Malformed(format!(
            "its message has {} bytes where {length} are announced",
            content.len()
        )));
    }
    Ok(content)
}

fn too_long() -> Failure {
    Failure::Malformed(format!("it has more than {MAX_ANSWER_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in any::<Vec<u8>>()) {
            let _ = unframed(bytes.into());
        }

        #[test]
        fn a_message_without_escapes_is_itself(text in "[^%]*") {
            prop_assert_eq!(percent_decoded(text.as_bytes()), text);
        }
    }
}
