//! What a plugin writes: bounded, and never in the way of its end.
//!
//! stdout is the answer: kept whole up to a bound. stderr is chatter: each line goes to the log as it comes (rooknet
//! may be killed before the plugin ends), and the last part is kept for the error, because there a plugin says why.

use std::io;
use std::process::{ChildStderr, ChildStdout};

use log::Level;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::failure::Call;
use crate::cni::request::Command;
use crate::cni::text::printable_bytes;

/// Bytes that a plugin may write to stdout: a result with thousands of routes is far below.
pub const MAX_STDOUT: usize = 4 * 1024 * 1024;
/// Bytes of a plugin's stderr that go to the log.
pub const MAX_LOGGED_STDERR: usize = 64 * 1024;
/// Bytes at the end of a plugin's stderr that go into the error.
pub const STDERR_TAIL: usize = 4 * 1024;
/// A line longer than this is logged in pieces.
const LONGEST_LINE: usize = 2 * 1024;
/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Why reading ended before the end of the output.
#[derive(Debug)]
pub(super) enum Stop {
    TooMuch,
    Io(io::Error),
}

/// The answer.
pub(super) struct Stdout {
    pipe: Receiver,
    bytes: Vec<u8>,
}

impl Stdout {
    pub(super) fn new(pipe: ChildStdout) -> io::Result<Self> {
        Ok(Stdout { pipe: Receiver::from_owned_fd(pipe.into())?, bytes: Vec::new() })
    }

    /// Reads to the end. May be dropped and called again: nothing that was read is lost.
    pub(super) async fn drain(&mut self) -> Result<(), Stop> {
        drain(&mut self.pipe, |chunk| {
            if self.bytes.len().saturating_add(chunk.len()) > MAX_STDOUT {
                return Err(Stop::TooMuch);
            }
            self.bytes.extend_from_slice(chunk);
            Ok(())
        })
        .await
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The chatter.
pub(super) struct Stderr<'a> {
    pipe: Receiver,
    words: Words<'a>,
}

impl<'a> Stderr<'a> {
    pub(super) fn new(pipe: ChildStderr, call: &'a Call) -> io::Result<Self> {
        Ok(Stderr { pipe: Receiver::from_owned_fd(pipe.into())?, words: Words::new(call) })
    }

    /// As [`Stdout::drain`]; never too much.
    pub(super) async fn drain(&mut self) -> Result<(), Stop> {
        drain(&mut self.pipe, |chunk| {
            self.words.take(chunk);
            Ok(())
        })
        .await
    }

    /// The tail as printable text; what was no whole line yet is logged.
    pub(super) fn into_tail(mut self) -> String {
        self.words.end_line();
        self.words.tail()
    }
}

async fn drain(pipe: &mut Receiver, mut take: impl FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut buffer = vec![0_u8; CHUNK];
    loop {
        let count = pipe.read(&mut buffer).await.map_err(Stop::Io)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(()),
            Some(chunk) => take(chunk)?,
        }
    }
}

/// Splits chatter into lines, logs them and keeps the tail.
struct Words<'a> {
    call: &'a Call,
    line: Vec<u8>,
    logged: usize,
    tail: Vec<u8>,
}

impl<'a> Words<'a> {
    fn new(call: &'a Call) -> Self {
        Words { call, line: Vec::new(), logged: 0, tail: Vec::new() }
    }

    fn take(&mut self, chunk: &[u8]) {
        self.tail.extend_from_slice(chunk);
        let excess = self.tail.len().saturating_sub(STDERR_TAIL);
        self.tail.drain(..excess);
        if self.logged >= MAX_LOGGED_STDERR {
            return;
        }
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LONGEST_LINE) {
                if self.line.len().saturating_add(part.len()) > LONGEST_LINE {
                    self.end_line();
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = line.trim_ascii_end();
        if text.is_empty() || self.logged >= MAX_LOGGED_STDERR {
            return;
        }
        self.logged = self.logged.saturating_add(line.len());
        let Call { plugin, network, ifname, .. } = self.call;
        let (plugin, network, interface) = (plugin.as_str(), network.as_str(), ifname.as_str());
        // A VERSION is asked again and again by whoever looks after the node, and concerns no pod.
        let level = if self.call.command == Command::Version { Level::Debug } else { Level::Info };
        log::log!(level, plugin, network, interface; "stderr: {}", printable_bytes(text));
        if self.logged >= MAX_LOGGED_STDERR {
            log::warn!(plugin, network, interface; "stderr: the rest after {MAX_LOGGED_STDERR} bytes is not logged");
        }
    }

    /// Whole lines as far as they fit, joined so that they stay on one.
    fn tail(&self) -> String {
        let mut lines: Vec<&[u8]> = self.tail.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
        // The bound has probably cut the first line in two.
        if self.tail.len() == STDERR_TAIL && lines.len() > 2 {
            lines.remove(0);
        }
        lines.into_iter().filter(|line| !line.is_empty()).map(printable_bytes).collect::<Vec<_>>().join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call { plugin: "p".into(), command: Command::Add, network: "n".into(), ifname: "net1".into() }
    }

    #[test]
    fn the_tail_is_the_end_and_stays_on_one_line() {
        let call = call();
        let mut words = Words::new(&call);
        words.take(b"first\r\nsec");
        words.take(b"ond\n\n\x1b[31mthird");
        let tail = words.tail();
        assert!(tail.starts_with("first | second | ") && tail.ends_with("[31mthird"), "{tail}");
        assert!(!tail.contains('\x1b'), "{tail}");
    }

    #[test]
    fn a_flood_is_bounded_in_memory_and_keeps_whole_lines_in_the_tail() {
        let call = call();
        let mut words = Words::new(&call);
        for number in 0..200_000 {
            words.take(format!("line {number}\n").as_bytes());
            assert!(words.tail.len() <= STDERR_TAIL && words.line.len() <= LONGEST_LINE);
        }
        assert!(words.logged < MAX_LOGGED_STDERR + LONGEST_LINE);
        let tail = words.tail();
        assert!(tail.starts_with("line ") && tail.ends_with(" | line 199999"), "{tail}");
    }

    #[test]
    fn a_line_without_end_is_cut_into_pieces() {
        let call = call();
        let mut words = Words::new(&call);
        words.take(&vec![b'x'; 100_000]);
        assert!(words.line.len() <= LONGEST_LINE);
        assert_eq!(words.tail().len(), STDERR_TAIL);
    }
}
