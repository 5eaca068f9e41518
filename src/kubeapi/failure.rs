//! What became of one try, before it is decided whether there is another.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::cni;
use crate::cni::text::{printable_bytes, shortened_to};

/// Characters of foreign text in a message, at most: the server's messages name objects and their fields.
const LONGEST: usize = 1000;

/// A try that brought no answer with a 2xx status.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The way to the server and back broke.
    Transport(String),
    /// The server is reached, and cannot be talked to: its certificate, or what it speaks.
    Unusable(String),
    /// It answered with another status.
    Status(Refusal),
    /// Its answer is longer than the request allows.
    TooLong,
    /// The credentials cannot be read or used.
    Credentials(cni::Error),
}

impl Failure {
    /// The HTTP status of the answer; `None` when there was none.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Failure::Status(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Transport(reason) | Failure::Unusable(reason) => formatter.write_str(reason),
            Failure::Status(Refusal { status, reason, message, .. }) => {
                write!(formatter, "{status} {reason}: {message}")
            }
            Failure::TooLong => formatter.write_str("the answer is too long"),
            Failure::Credentials(error) => error.fmt(formatter),
        }
    }
}

/// An answer with another status than 2xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// `reason` of the answer, or the status's own words.
    pub(super) reason: String,
    /// `message` of the answer, or its first words.
    pub(super) message: String,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads an answer: a metav1.Status of the API server, or whatever a proxy before it says.
    pub(super) fn read(status: hyper::StatusCode, retry_after: Option<&str>, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Status {
            #[serde(default)]
            reason: String,
            #[serde(default)]
            message: String,
        }
        let said = serde_json::from_slice(body).unwrap_or(Status { reason: String::new(), message: String::new() });
        let reason = if said.reason.is_empty() { status.canonical_reason().unwrap_or_default() } else { &said.reason };
        let message = match said.message.trim() {
            "" => first_words(body),
            message => shortened_to(LONGEST, message),
        };
        Refusal {
            status: status.as_u16(),
            reason: shortened_to(LONGEST, reason),
            message,
            // The other form, a date, is not one that API servers use; without it our own waiting serves.
            retry_after: retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs),
        }
    }
}

fn first_words(body: &[u8]) -> String {
    const WORDS: usize = 200;
    let start = body.get(..body.len().min(WORDS)).unwrap_or_default();
    match printable_bytes(start.trim_ascii()) {
        text if text.is_empty() => "the answer has no text".to_owned(),
        text => text,
    }
}

/// What is said of a server that lets `time` pass.
pub(super) fn silence(time: Duration) -> String {
    format!("no answer within {} s", time.as_secs_f32())
}

/// An error and its causes in one line. Those of the libraries often leave out what the next says.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    shortened_to(LONGEST, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Refusal {
        Refusal::read(hyper::StatusCode::FORBIDDEN, None, body.as_bytes())
    }

    #[test]
    fn an_api_servers_own_words_are_taken() {
        let refusal =
            read(r#"{"kind":"Status","reason":"Forbidden","message":"pods \"a\" is forbidden\n","code":403}"#);
        assert_eq!((refusal.reason.as_str(), refusal.message.as_str()), ("Forbidden", "pods \"a\" is forbidden"));
    }

    #[test]
    fn what_is_no_status_is_shown_by_its_first_words() {
        for (body, expected) in [
            ("<html>no\u{1b}[2J</html>", "<html>no\\u{1b}[2J</html>"),
            ("", "the answer has no text"),
            ("{}", "{}"),
            (r#"{"message":7}"#, r#"{"message":7}"#),
            (&"a".repeat(5000), &"a".repeat(200)),
        ] {
            let refusal = read(body);
            assert_eq!((refusal.reason.as_str(), refusal.message.as_str()), ("Forbidden", expected));
        }
        assert_eq!(read(&format!(r#"{{"message":"{}"}}"#, "ä".repeat(5000))).message.chars().count(), LONGEST + 1);
    }

    #[test]
    fn retry_after_counts_in_seconds_only() {
        for (text, expected) in
            [("7", Some(7)), (" 0 ", Some(0)), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("1e9", None)]
        {
            let refusal = Refusal::read(hyper::StatusCode::TOO_MANY_REQUESTS, Some(text), b"");
            assert_eq!(refusal.retry_after, expected.map(Duration::from_secs), "{text}");
        }
    }
}
