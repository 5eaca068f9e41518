//! Bodies of answers, whole and otherwise.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

/// A body as a sequence of chunks.
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    end: End,
    /// The wait before each chunk.
    pace: Option<(Duration, Pin<Box<Sleep>>)>,
}

/// What follows the chunks.
enum End {
    /// The end.
    Proper,
    /// Nothing, not even the end.
    Nothing,
    /// These bytes again and again.
    Endless(Bytes),
}

impl Chunks {
    /// All of it.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { chunks: [bytes].into(), end: End::Proper, pace: None }
    }

    /// The first half of it, and never more.
    pub(super) fn half(bytes: &Bytes) -> Self {
        Self { chunks: [bytes.slice(..bytes.len() / 2)].into(), end: End::Nothing, pace: None }
    }

    /// The beginning of a JSON text that goes on for ever.
    pub(super) fn endless() -> Self {
        let blanks = Bytes::from(vec![b' '; 64 * 1024]);
        Self { chunks: [Bytes::from_static(b"{")].into(), end: End::Endless(blanks), pace: None }
    }

    /// Byte by byte.
    pub(super) fn dripping(bytes: &Bytes, pace: Duration) -> Self {
        let chunks = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
        Self { chunks, end: End::Proper, pace: Some((pace, Box::pin(sleep(pace)))) }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some((pace, waiting)) = &mut self.pace {
            ready!(waiting.as_mut().poll(context));
            *waiting = Box::pin(sleep(*pace));
        }
        let next = match (self.chunks.pop_front(), &self.end) {
            (Some(chunk), _) => chunk,
            (None, End::Proper) => return Poll::Ready(None),
            (None, End::Nothing) => return Poll::Pending,
            (None, End::Endless(bytes)) => bytes.clone(),
        };
        Poll::Ready(Some(Ok(Frame::data(next))))
    }
}
