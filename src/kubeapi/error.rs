//! What can go wrong on the way to the API server, and as an error of the CNI protocol.

use std::fmt;

use crate::cni::text::shortened_to;
use crate::cni::{self, Code};
use crate::state::deadline::Reason;

/// Characters of a parser's explanation, at most.
const LONGEST_REASON: usize = 200;

/// A failed request. One sentence: which request, to which server, after how many tries, and what was the matter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a status other than 2xx, which no further try would change.
    #[error("{request} to {server}{}: {status} {reason}: {message}", after(.tries))]
    Refused {
        /// `GET pod rook-ceph/osd-0`.
        request: String,
        /// Its address, as the credentials name it.
        server: String,
        /// The HTTP status.
        status: u16,
        /// `reason` of the answer, or the status's own words.
        reason: String,
        /// `message` of the answer; printable and bounded.
        message: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The credentials cannot be read or used.
    #[error("{request}: {source}")]
    Credentials {
        /// As above.
        request: String,
        /// Which file and key, and what would be right.
        source: cni::Error,
    },
    /// The server was reached and cannot be talked to: its certificate does not verify, or it speaks something else.
    #[error("{request} to {server}{}: {reason}", after(.tries))]
    Unusable {
        /// As above.
        request: String,
        /// As above.
        server: String,
        /// What is the matter, and what to correct.
        reason: String,
        /// As above.
        tries: u32,
    },
    /// The answer is longer than the request allows.
    #[error("{request} to {server}{}: the answer is longer than {limit} bytes", after(.tries))]
    TooLong {
        /// As above.
        request: String,
        /// As above.
        server: String,
        /// The limit in bytes.
        limit: usize,
        /// As above.
        tries: u32,
    },
    /// The answer is not what was asked for.
    #[error("{request} to {server}: the answer cannot be read: {reason}")]
    Malformed {
        /// As above.
        request: String,
        /// As above.
        server: String,
        /// What is wrong with it; printable and bounded.
        reason: String,
    },
    /// The deadline passed, or a signal came, before there was an answer to keep.
    #[error("{request} to {server}{}: {cause}; {last}", after(.tries))]
    Interrupted {
        /// As above.
        request: String,
        /// As above.
        server: String,
        /// Why there is no further try.
        cause: Reason,
        /// What became of the last try.
        last: String,
        /// As above.
        tries: u32,
    },
}

impl Error {
    /// The HTTP status of the answer; `None` when there was none.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// `message` of the answer; `None` when there was none.
    pub fn message(&self) -> Option<&str> {
        match self {
            Error::Refused { message, .. } => Some(message),
            _ => None,
        }
    }

    /// An answer that is not what was asked for.
    pub(super) fn malformed(request: &str, server: &str, reason: &dyn fmt::Display) -> Self {
        Error::Malformed {
            request: request.to_owned(),
            server: server.to_owned(),
            reason: shortened_to(LONGEST_REASON, &reason.to_string()),
        }
    }

    /// The same as an error of the CNI protocol.
    pub fn to_cni(&self) -> cni::Error {
        let code = match self {
            Error::Refused { status: 429 | 500..=599, .. } => Code::TRY_AGAIN_LATER,
            Error::Refused { .. } => Code::API,
            Error::Credentials { source, .. } => source.code,
            // Nothing of it passes by itself: an administrator corrects the credentials or the server.
            Error::Unusable { .. } => Code::INVALID_CONFIG,
            Error::TooLong { .. } => Code::IO,
            Error::Malformed { .. } => Code::DECODE,
            Error::Interrupted { cause: Reason::Signal, .. } => Code::INTERRUPTED,
            Error::Interrupted { cause: Reason::Deadline, .. } => Code::TRY_AGAIN_LATER,
        };
        cni::Error::new(code, self.to_string())
    }
}

fn after(tries: &u32) -> String {
    if *tries > 1 { format!(" ({tries} tries)") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, tries: u32) -> Error {
        Error::Refused {
            request: "GET pod a/b".to_owned(),
            server: "https://[::1]:6443".to_owned(),
            status,
            reason: "NotFound".to_owned(),
            message: "pods \"b\" not found".to_owned(),
            tries,
        }
    }

    fn interrupted(cause: Reason) -> Error {
        Error::Interrupted {
            request: "GET pod a/b".to_owned(),
            server: "https://a:1".to_owned(),
            cause,
            last: "the last try: Connection refused".to_owned(),
            tries: 3,
        }
    }

    #[test]
    fn a_refusal_is_one_sentence_with_the_servers_words() {
        let expected = "GET pod a/b to https://[::1]:6443: 404 NotFound: pods \"b\" not found";
        assert_eq!(refused(404, 1).to_string(), expected);
        assert_eq!(refused(404, 1).status(), Some(404));
        assert!(refused(404, 2).to_string().starts_with("GET pod a/b to https://[::1]:6443 (2 tries): 404"));
    }

    #[test]
    fn what_passes_is_code_11_and_what_was_refused_code_105() {
        for (status, code) in [
            (429, 11),
            (500, 11),
            (503, 11),
            (301, 105),
            (400, 105),
            (401, 105),
            (403, 105),
            (404, 105),
            (409, 105),
            (422, 105),
        ] {
            assert_eq!(refused(status, 1).to_cni().code, Code(code), "{status}");
        }
    }

    #[test]
    fn the_end_of_the_time_says_what_the_last_try_met() {
        let error = interrupted(Reason::Deadline).to_cni();
        let expected =
            "GET pod a/b to https://a:1 (3 tries): the deadline has passed; the last try: Connection refused";
        assert_eq!((error.code, error.message.as_str()), (Code::TRY_AGAIN_LATER, expected));
        assert_eq!(interrupted(Reason::Signal).to_cni().code, Code::INTERRUPTED);
    }
}
