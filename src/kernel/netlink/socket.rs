//! One exchange on a netlink socket: a request, all of its answers, and how it ended.
//!
//! rtnetlink's own requests decode an answer completely before they hand it out, and drop one that they do not
//! understand, so the request waits for ever. A pod could bring that about (an interface alias that is not UTF-8), and
//! a future kernel could. So answers stay bytes here, and each is looked into for the few attributes that matter.
//! It also lets us see what a stream of decoded answers hides: NLM_F_DUMP_INTR, the error code of a dump's end, and
//! whether the request was acknowledged at all.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_core::{
    ErrorMessage, NLA_HEADER_SIZE, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::sys::{AsyncSocket, SocketAddr, protocols::NETLINK_ROUTE};
use netlink_proto::{ConnectionHandle, new_connection_with_socket};
use tokio::time::timeout;

use super::whole::WholeSocket;
use crate::kernel::Error;

/// How often a list is read that changes while it is read.
const DUMP_TRIES: u32 = 8;

/// How long an answer is waited for. The kernel gives it within the request, so whatever takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// NLMSGERR_ATTR_MSG: the kernel's explanation of an error, as text.
const ERROR_TEXT: u16 = 1;

/// Requests of all sockets of this process.
static SENT: AtomicU64 = AtomicU64::new(0);

/// What goes over the socket: requests by the library's types, answers as they come.
#[derive(Debug)]
enum Message {
    Request(Box<RouteNetlinkMessage>),
    Answer { kind: u16, payload: Vec<u8> },
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        match self {
            Message::Request(request) => request.message_type(),
            Message::Answer { kind, .. } => *kind,
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Message::Request(request) => request.buffer_len(),
            Message::Answer { payload, .. } => payload.len(),
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match self {
            Message::Request(request) => request.serialize(buffer),
            Message::Answer { payload, .. } => buffer.copy_from_slice(payload),
        }
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Message::Answer { kind: header.message_type, payload: payload.to_vec() })
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        NetlinkPayload::InnerMessage(message)
    }
}

/// What is asked, for error messages: a verb and its object.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) operation: &'static str,
    pub(super) object: &'a str,
}

impl Question<'_> {
    fn failed(&self, source: io::Error, explanation: Option<String>) -> Error {
        Error::Netlink { operation: self.operation, object: self.object.to_owned(), source, explanation }
    }

    /// The answer has not the expected form.
    pub(super) fn not_understood(&self, reason: impl ToString) -> Error {
        Error::Answer { operation: self.operation, object: self.object.to_owned(), reason: reason.to_string() }
    }
}

/// A netlink socket and the task that drives it.
/// How many requests this process has sent.
pub(super) fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

#[derive(Debug)]
pub(super) struct Socket {
    connection: ConnectionHandle<Message>,
    /// How many requests it has sent.
    requests: AtomicU64,
}

impl Socket {
    /// In the namespace that this thread is in. Must be called within a tokio runtime; ends with its last handle.
    pub(super) fn open() -> io::Result<Socket> {
        // Nothing is subscribed to, so the stream of unsolicited messages is dropped: they are discarded.
        let (mut connection, handle, _) = new_connection_with_socket::<Message, WholeSocket>(NETLINK_ROUTE)?;
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        let socket = connection.socket_mut().socket_mut();
        // Each of these is a convenience that an old kernel (before 4.12, 4.20) may refuse: the kernel then sends whole
        // lists where it could send the part that was asked for, and errors without an explanation.
        let _ = socket.set_netlink_get_strict_chk(true);
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        tokio::spawn(connection);
        Ok(Socket { connection: handle, requests: AtomicU64::new(0) })
    }

    /// How many requests it has sent; a list that was read again counts each time.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// One request with its acknowledgement; the answers before it. `flags` beyond REQUEST and ACK.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let (answers, _) = self.exchange(question, request, NLM_F_REQUEST | NLM_F_ACK | flags).await?;
        Ok(answers)
    }

    /// A whole list, read again when it changed under way.
    pub(super) async fn list(
        &self,
        question: Question<'_>,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<Vec<u8>>, Error> {
        for _ in 0..DUMP_TRIES {
            let (answers, interrupted) = self.exchange(question, request.clone(), NLM_F_REQUEST | NLM_F_DUMP).await?;
            if !interrupted {
                return Ok(answers);
            }
        }
        Err(Error::Unstable { operation: question.operation, object: question.object.to_owned(), tries: DUMP_TRIES })
    }

    /// The answers, and whether a list was interrupted by a change.
    async fn exchange(
        &self,
        question: Question<'_>,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(Vec<Vec<u8>>, bool), Error> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let message = NetlinkMessage::new(header, Message::Request(Box::new(request)).into());
        let closed = || question.failed(io::Error::new(io::ErrorKind::BrokenPipe, "the netlink socket closed"), None);
        self.requests.fetch_add(1, Ordering::Relaxed);
        SENT.fetch_add(1, Ordering::Relaxed);
        let mut stream = self.connection.request(message, SocketAddr::new(0, 0)).map_err(|_| closed())?;
        let mut answers = Vec::new();
        let mut interrupted = false;
        let lost = |_| question.failed(io::ErrorKind::TimedOut.into(), None);
        while let Some(answer) = timeout(PATIENCE, stream.next()).await.map_err(lost)? {
            interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(Message::Answer { payload, .. }) => answers.push(payload),
                NetlinkPayload::Done(end) if end.code < 0 => {
                    return Err(question.failed(error_of_code(end.code), explanation(&end.extended_ack)));
                }
                NetlinkPayload::Done(_) => return Ok((answers, interrupted)),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok((answers, interrupted)),
                NetlinkPayload::Error(error) => {
                    let words = explanation_of(&error, answer.header.flags);
                    return Err(question.failed(error_of_code(error.raw_code()), words));
                }
                NetlinkPayload::Overrun(_) => {
                    return Err(question.failed(io::Error::from_raw_os_error(libc::ENOBUFS), None));
                }
                _ => {}
            }
        }
        // The stream ended without an end: what was answered so far is not all.
        Err(closed())
    }
}

/// Netlink's codes are negative error numbers.
fn error_of_code(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// The words after an error's copy of the request's header (all that is copied, with NETLINK_CAP_ACK).
fn explanation_of(error: &ErrorMessage, flags: u16) -> Option<String> {
    const HEADER: usize = 16;
    (flags & NLM_F_ACK_TLVS != 0).then(|| error.header.get(HEADER..).and_then(explanation)).flatten()
}

fn explanation(attributes: &[u8]) -> Option<String> {
    attribute(attributes, ERROR_TEXT).map(text)
}

/// The value of the first attribute of this kind.
pub(super) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    each_attribute(attributes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// Kind and value of all attributes, up to the first malformed one.
pub(super) fn each_attribute(attributes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(attributes).map_while(|found| {
        let found = found.ok()?;
        let value = NLA_HEADER_SIZE..usize::from(found.length());
        Some((found.kind(), found.into_inner().get(value)?))
    })
}

/// A string of the kernel: up to its NUL, whatever its encoding.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// A number of 32 bits in the machine's byte order.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}
