//! The tables of messages against the source, both ways: what a document explains is printed, and what is printed on
//! the way to the API server is explained.

use std::io;

use hyper::StatusCode;
use nix::errno::Errno;

use crate::reader::{files, prose, read, root, rows, source, texts_of_the_program};

/// The documents with a table of messages.
const DOCUMENTS: [&str; 2] = ["docs/failures.md", "docs/kubernetes.md"];

/// The files of which every message is explained: all that talk to a server, and those of the engine that turn its
/// answers into errors.
fn explained_files() -> Vec<String> {
    let engine = ["pod", "report", "find", "devices"].map(|name| format!("src/engine/{name}.rs"));
    let of_engine = engine.into_iter().filter(|path| root().join(path).exists());
    // What is rooknetctl's alone: it says cause and cure beside each of these itself.
    let left_out = ["tests.rs", "testing.rs", "kubeapi/claims.rs", "kubeapi/kube_client.rs"];
    let of_kubeapi = files("src/kubeapi").into_iter().filter(|path| !left_out.iter().any(|end| path.ends_with(end)));
    of_kubeapi.chain(of_engine).collect()
}

/// Literals that are no message of their own: what a message calls a thing, and what is only ever a part of one.
const NAMES_AND_PARTS: [&str; 27] = [
    "the API server of {}",
    "of the API server {}",
    "the service account in",
    "GET version",
    "GET pod {namespace}/{name}",
    "PATCH pod {namespace}/{name}/status",
    "POST event of pod {namespace}/{name}",
    "GET network-attachment-definition {namespace}/{name}",
    "network-status of the pod",
    "a cluster's name",
    "the context's cluster",
    "the context's user",
    "the key of client-certificate",
    "the certificate of client-key",
    "a text: put it in quotes",
    "true or false",
    "rooknet runs no program for its credentials",
    "providers are a thing of the past",
    "API servers take no passwords",
    "rooknet acts for nobody else",
    "key {key} of {}",
    "key token beside tokenFile {}",
    "key \"clusterNetwork\"",
    "line {}, column {}",
    // Of a socket, which is named before it.
    "it does not exist",
    // What is compared with the words of a library.
    "too large",
    "received fatal alert: ",
];

/// Every code span of the first column, with its document.
fn documented() -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for document in DOCUMENTS {
        for row in rows(document, &["Message", "Cause", "Cure"]) {
            let spans: Vec<String> = row[0].split('`').skip(1).step_by(2).map(str::to_owned).collect();
            assert!(!spans.is_empty(), "{document}: the row {:?} begins with no message", row[0]);
            assert!(row[1].len() > 3 && row[2].len() > 3, "{document}: {} has no cause or no cure", row[0]);
            found.extend(spans.into_iter().map(|span| (document, span)));
        }
    }
    found
}

/// What stands between the `…` of a message.
fn parts(message: &str) -> impl Iterator<Item = &str> {
    message.split('…').map(|part| part.trim_matches([' ', ':', ';'])).filter(|part| !part.is_empty())
}

/// Whether it is a status of HTTP with its own words, as in `401 Unauthorized`.
fn is_status(part: &str) -> bool {
    part.split_once(' ').is_some_and(|(number, words)| {
        let status = number.parse().ok().and_then(|number| StatusCode::from_u16(number).ok());
        status.and_then(|status| status.canonical_reason()) == Some(words)
    })
}

#[test]
fn every_documented_message_is_one_that_the_program_prints() {
    let program = texts_of_the_program();
    let policies: String = files("deploy/kustomize").iter().map(|path| prose(path)).collect();
    // The system's own words.
    let refused = io::Error::from(Errno::ECONNREFUSED).to_string();
    for (document, message) in documented() {
        for part in parts(&message) {
            let is_printed =
                program.contains(part) || policies.contains(part) || is_status(part) || refused.contains(part);
            assert!(is_printed, "{document} has the message part {part:?}, which nothing prints");
        }
    }
}

/// The text literals of a source file that could be a sentence, those of debug lines left out.
fn sentences(path: &str) -> Vec<String> {
    let text = source(path);
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            // A quotation mark as a character.
            b'\'' if text[at..].starts_with("'\"'") || text[at..].starts_with("'\\\"'") => at += 4,
            b'"' => {
                let mut end = at + 1;
                while bytes[end] != b'"' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                let is_debug = text[..at].trim_end().ends_with("log::debug!(");
                let literal = joined(&text[at + 1..end]);
                let fixed = without_placeholders(&literal);
                let words = fixed.split(|letter: char| !letter.is_alphabetic() && letter != '\'');
                if !is_debug && fixed.trim().contains(' ') && words.filter(|word| word.len() > 1).count() > 1 {
                    found.push(literal);
                }
                at = end + 1;
            }
            _ => at += 1,
        }
    }
    found
}

/// A literal in one line: a backslash at the end of one swallows the indentation of the next.
fn joined(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |all, line| all + line.trim_start()).replace("\\\"", "\"")
}

/// What of a literal is always printed.
fn without_placeholders(literal: &str) -> String {
    literal.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, rest)| rest)).collect()
}

/// Whether a documented message leads to this sentence: by a part that is long enough to be its own ("does not exist"
/// would lead to what has nothing to do with it), or by parts that are most of what it has besides its placeholders.
fn leads_to(message: &str, sentence: &str) -> bool {
    let found: Vec<usize> = parts(message).filter(|part| sentence.contains(part)).map(str::len).collect();
    found.iter().any(|length| *length >= 20) || found.iter().sum::<usize>() * 2 >= without_placeholders(sentence).len()
}

#[test]
fn every_message_on_the_way_to_the_api_server_is_documented() {
    let documented = documented();
    let mut undocumented = Vec::new();
    let mut seen = Vec::new();
    for path in explained_files() {
        for sentence in sentences(&path) {
            let is_documented = documented.iter().any(|(_, message)| leads_to(message, &sentence));
            if !is_documented && !NAMES_AND_PARTS.contains(&sentence.as_str()) {
                undocumented.push(format!("{path}: {sentence}"));
            }
            seen.push(sentence);
        }
    }
    assert!(seen.len() > 90, "only {} sentences were found: has the way of writing them changed?", seen.len());
    assert!(
        undocumented.is_empty(),
        "give these a row in docs/kubernetes.md, or a place in NAMES_AND_PARTS: {undocumented:#?}"
    );
    let stale: Vec<_> = NAMES_AND_PARTS.iter().filter(|name| !seen.iter().any(|sentence| sentence == *name)).collect();
    assert!(stale.is_empty(), "no longer in the source: {stale:?}");
}

/// How each variant of `kubeapi::Error` reads, and so what finds it in the tables.
const VARIANTS: [(&str, &str); 6] = [
    ("Refused", "401 Unauthorized"),
    ("Credentials", "has no token in it: write one"),
    ("Unusable", "its certificate expired at"),
    ("TooLong", "the answer is longer than"),
    ("Malformed", "the answer cannot be read"),
    ("Interrupted", "the deadline has passed"),
];

#[test]
fn every_kind_of_error_of_the_client_has_a_row() {
    let text = read("src/kubeapi/error.rs");
    let body = text.split("pub enum Error {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    let variants: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(char::is_uppercase)))
        .map(|line| line.split([' ', '(', ',']).next().unwrap())
        .collect();
    assert_eq!(variants, VARIANTS.map(|(variant, _)| variant), "give a new variant a row and a place in VARIANTS");
    let documented = documented();
    for (variant, message) in VARIANTS {
        let has_row = documented.iter().any(|(_, text)| parts(text).any(|part| part == message));
        assert!(has_row, "{variant}: no row has {message:?}");
    }
}

#[test]
fn the_numbers_of_the_client_are_those_of_the_source() {
    let text = prose("docs/kubernetes.md");
    let seconds = |name: &str| {
        let source = source("src/kubeapi/connect.rs");
        let value = source.split(&format!("            {name}: Duration::from_secs(")).nth(1).unwrap();
        value.split(')').next().unwrap().to_owned()
    };
    let bounds = format!(
        "each try has {} s for resolving a name, {} s for each address, {} s for TLS and {} s for an answer",
        seconds("resolve"),
        seconds("connect"),
        seconds("handshake"),
        seconds("answer")
    );
    assert!(text.contains(&bounds), "{bounds}");
    let starting = format!("away less than {} s ago may refuse with 401 or 403", seconds("start"));
    assert!(text.contains(&starting), "{starting}");
    let retry = source("src/kubeapi/retry.rs");
    assert!(retry.contains("FIRST: Duration = Duration::from_millis(50)"));
    assert!(retry.contains("LONGEST: Duration = Duration::from_secs(2)"));
    assert!(text.contains("tried again after 50 ms, then after twice as long, up to 2 s,"));
    assert!(retry.contains("matches!(status, 429 | 500 | 502 | 503 | 504)"), "the statuses of the document");
    assert!(text.contains("429, 500, 502, 503, 504, and 409 to a PATCH are tried again"));
    assert!(source("src/engine/report.rs").contains("BEST_EFFORT: Duration = Duration::from_secs(3)"));
    assert_eq!(text.matches("for at most 3 s").count(), 3);
}
