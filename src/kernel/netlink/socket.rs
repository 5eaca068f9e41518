//! One exchange on a netlink socket: a request, all of its answers, and how it ended.
//!
//! The socket blocks. The kernel serves a request of rtnetlink within the call that sends it, network lock included, and
//! its answer is there when that call returns: there is nothing to wait for that another task could use, and a readiness
//! event for each answer is half a dozen system calls more. Only an answer that is lost is waited for, in vain.
//!
//! Answers stay bytes here, and each is looked into for the few attributes that matter: a library's types would have to
//! understand all of an answer, of which a pod can choose parts (an interface alias that is not UTF-8) and future
//! kernels others. It also lets us see NLM_F_DUMP_INTR, the error code of a dump's end, and whether the request was
//! acknowledged at all.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use netlink_packet_core::{
    ErrorMessage, NLA_HEADER_SIZE, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::kernel::Error;

/// How often a list is read that changes while it is read.
const DUMP_TRIES: u32 = 8;

/// How long an answer is waited for: the kernel gives it within the request, so whatever takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes for one datagram. The kernel's answer about one link is longer than 64 KiB when a pod has given it many
/// alternative names. Pages that nothing is written to cost nothing.
const LARGEST: usize = 1024 * 1024;

/// Bytes of the largest datagram that is asked for again with room for it.
const LARGEST_AGAIN: usize = 64 * 1024 * 1024;

/// NLMSGERR_ATTR_MSG: the kernel's explanation of an error, as text.
const ERROR_TEXT: u16 = 1;

/// Requests of all sockets of this process.
static SENT: AtomicU64 = AtomicU64::new(0);

/// How many requests this process has sent.
pub(super) fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// An answer as it came.
#[derive(Debug)]
struct Answer(Vec<u8>);

impl NetlinkDeserializable for Answer {
    type Error = Infallible;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Answer(payload.to_vec()))
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

/// A netlink socket.
#[derive(Debug)]
pub(super) struct Socket {
    socket: netlink_sys::Socket,
    /// Of the last request; answers carry it.
    sequence: Cell<u32>,
    buffer: RefCell<BytesMut>,
    /// How many requests it has sent.
    requests: Cell<u64>,
}

/// How an exchange that is no error ended.
enum End {
    /// All answers, and whether a list was interrupted by a change.
    Whole(Vec<Vec<u8>>, bool),
    /// An answer of so many bytes did not fit, and is lost.
    TooLong(usize),
}

impl Socket {
    /// In the namespace that this thread is in.
    pub(super) fn open() -> io::Result<Socket> {
        let socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        // Each of these is a convenience that an old kernel (before 4.12, 4.20) may refuse: the kernel then sends whole
        // lists where it could send the part that was asked for, and errors without an explanation.
        let _ = socket.set_netlink_get_strict_chk(true);
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        let patience = TimeVal::seconds(i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX));
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Socket {
            socket,
            sequence: Cell::new(0),
            buffer: RefCell::new(BytesMut::with_capacity(LARGEST)),
            requests: Cell::new(0),
        })
    }

    /// How many requests it has sent; a list that was read again counts each time.
    pub(super) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// One request with its acknowledgement; the answers before it. `flags` beyond REQUEST and ACK.
    pub(super) async fn ask(
        &self,
        question: Question<'_>,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let (answers, _) = self.exchange(question, request, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        Ok(answers)
    }

    /// The one answer to a question about one object. It needs no acknowledgement, since there is an answer or an error.
    pub(super) async fn look_up(&self, question: Question<'_>, request: RouteNetlinkMessage) -> Result<Vec<u8>, Error> {
        let (mut answers, _) = self.exchange(question, request, NLM_F_REQUEST)?;
        answers.pop().ok_or_else(|| question.not_understood("it is empty"))
    }

    /// A whole list, read again when it changed under way.
    pub(super) async fn list(
        &self,
        question: Question<'_>,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<Vec<u8>>, Error> {
        for _ in 0..DUMP_TRIES {
            let (answers, interrupted) = self.exchange(question, request.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if !interrupted {
                return Ok(answers);
            }
        }
        Err(Error::Unstable { operation: question.operation, object: question.object.to_owned(), tries: DUMP_TRIES })
    }

    /// The answers, and whether a list was interrupted by a change.
    fn exchange(
        &self,
        question: Question<'_>,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(Vec<Vec<u8>>, bool), Error> {
        // Only what changes nothing may be asked twice.
        let is_read = matches!(request, RouteNetlinkMessage::GetLink(_));
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
        message.header.flags = flags;
        loop {
            let sequence = self.sequence.get().wrapping_add(1);
            self.sequence.set(sequence);
            message.header.sequence_number = sequence;
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            self.requests.set(self.requests.get().saturating_add(1));
            SENT.fetch_add(1, Ordering::Relaxed);
            self.socket.send(&bytes, 0).map_err(|source| question.failed(source, None))?;
            match self.answers(question, sequence, flags == NLM_F_REQUEST)? {
                End::Whole(answers, interrupted) => return Ok((answers, interrupted)),
                End::TooLong(length)
                    if is_read && length <= LARGEST_AGAIN && length > self.buffer.borrow().capacity() =>
                {
                    self.buffer.replace(BytesMut::with_capacity(length));
                }
                End::TooLong(length) => {
                    return Err(question.not_understood(format!("it has {length} bytes, which is more than any has")));
                }
            }
        }
    }

    /// Receives until the end of the answers to the request of this number, which is the first one where it is the only
    /// one.
    fn answers(&self, question: Question<'_>, sequence: u32, is_only: bool) -> Result<End, Error> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        let mut buffer = self.buffer.borrow_mut();
        loop {
            let length = receive(&self.socket, &mut buffer).map_err(|source| question.failed(source, None))?;
            if length > buffer.len() {
                return Ok(End::TooLong(length));
            }
            let mut rest: &[u8] = &buffer;
            while !rest.is_empty() {
                let cut = || question.not_understood("a message in it is cut short");
                let own = NetlinkBuffer::new_checked(rest).map_err(|_| cut())?.length();
                let own = usize::try_from(own).map_err(|_| cut())?;
                let bytes = rest.get(..own).ok_or_else(cut)?;
                // Each begins at a multiple of four, which the last one need not fill.
                rest = rest.get(own.next_multiple_of(4)..).unwrap_or_default();
                let answer =
                    NetlinkMessage::<Answer>::deserialize(bytes).map_err(|error| question.not_understood(error))?;
                if answer.header.sequence_number != sequence {
                    // Of a request that was given up.
                    continue;
                }
                interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(Answer(payload)) => {
                        answers.push(payload);
                        if is_only {
                            return Ok(End::Whole(answers, interrupted));
                        }
                    }
                    NetlinkPayload::Done(end) if end.code < 0 => {
                        return Err(question.failed(error_of_code(end.code), explanation(&end.extended_ack)));
                    }
                    NetlinkPayload::Done(_) => return Ok(End::Whole(answers, interrupted)),
                    NetlinkPayload::Error(error) if error.code.is_none() => {
                        return Ok(End::Whole(answers, interrupted));
                    }
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
        }
    }
}

/// The next datagram, as far as `buffer` has room; the answer is its whole length.
fn receive(socket: &netlink_sys::Socket, buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        buffer.clear();
        match socket.recv(buffer, libc::MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            other => return other,
        }
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
