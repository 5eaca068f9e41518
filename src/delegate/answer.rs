//! What a plugin's exit status and output mean.
//!
//! Plugins are written in many languages and fail in many ways: an error object is read as far as it can be, whatever
//! its types are, and what cannot be read is shown. Success is judged strictly: an ADD without a result, or with an
//! error object, is a failure whatever the exit status says.

use serde_json::value::RawValue;

use super::exec::Finished;
use super::failure::{Call, Failed, Failure};
use super::group::Exit;
use crate::cni::result::CniResult;
use crate::cni::text::{printable, printable_bytes, shortened_to};
use crate::cni::{Code, Object, Version};

/// Bytes of an error object that are looked at: longer output is no error object.
const MAX_ERROR_OBJECT: usize = 64 * 1024;
/// Letters of a plugin's message and details that reach the runtime.
const MAX_TEXT: usize = 2048;
/// Bytes of a plugin's unreadable output that are shown.
const MAX_SHOWN: usize = 256;

/// Judges everything but ADD.
pub(super) fn done(call: &Call, finished: Finished) -> Result<(), Failure> {
    match finished.exit {
        Exit::Code(0) => Ok(()),
        _ => Err(failed(call, finished)),
    }
}

/// Judges an ADD; a result without version is of the network's.
pub(super) fn result(call: &Call, finished: Finished, version: Version) -> Result<CniResult, Failure> {
    // Results have no key `code`: an error object is one, whatever the exit status says.
    let says_error = || ErrorObject::read(&finished.stdout).is_some_and(|error| error.code.is_some());
    if finished.exit != Exit::Code(0) || says_error() {
        return Err(failed(call, finished));
    }
    let bad = |reason, stderr| Failure::BadAnswer { call: Box::new(call.clone()), reason, stderr };
    if finished.stdout.trim_ascii().is_empty() {
        return Err(bad("it printed no result".to_owned(), finished.stderr));
    }
    let parsed = match std::str::from_utf8(&finished.stdout) {
        Ok(text) => CniResult::parse("its result", text, version).map_err(|error| error.message),
        Err(error) => Err(format!("its result is not UTF-8 from byte {}", error.valid_up_to())),
    };
    parsed.map_err(|reason| {
        bad(format!("{}; it printed {}", printable(&reason), shown(&finished.stdout)), finished.stderr)
    })
}

fn failed(call: &Call, Finished { exit, stdout, stderr }: Finished) -> Failure {
    let error = ErrorObject::read(&stdout).unwrap_or_else(|| ErrorObject {
        code: None,
        message: String::new(),
        details: if stdout.trim_ascii().is_empty() { String::new() } else { format!("stdout: {}", shown(&stdout)) },
    });
    let ErrorObject { code, message, details } = error;
    Failure::Failed(Box::new(Failed { call: call.clone(), code, message, details, exit, stderr }))
}

/// The beginning of foreign output, for a message.
fn shown(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    match bytes.get(..MAX_SHOWN) {
        Some(beginning) => format!("{}… ({} bytes)", printable_bytes(beginning), bytes.len()),
        None => printable_bytes(bytes),
    }
}

/// A plugin's error object, read as far as possible.
struct ErrorObject {
    code: Option<Code>,
    message: String,
    details: String,
}

impl ErrorObject {
    /// `None` when `stdout` is no JSON object with a `code` or a `msg`.
    fn read(stdout: &[u8]) -> Option<Self> {
        if stdout.len() > MAX_ERROR_OBJECT {
            return None;
        }
        let object = Object::parse("error", &String::from_utf8_lossy(stdout)).ok()?;
        let code = object.get("code").and_then(code);
        let message = object.get("msg").map(text).unwrap_or_default();
        if code.is_none() && message.is_empty() {
            return None;
        }
        Some(ErrorObject { code, message, details: object.get("details").map(text).unwrap_or_default() })
    }
}

/// A code as number or text; 0 is none, as in the Go types.
fn code(value: &RawValue) -> Option<Code> {
    value.get().trim_matches('"').parse::<u32>().ok().filter(|code| *code != 0).map(Code)
}

/// A text, or any other value as it was written; bounded.
fn text(value: &RawValue) -> String {
    let text = serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned());
    shortened_to(MAX_TEXT, text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::request::Command;

    fn call() -> Call {
        Call { plugin: "p".into(), command: Command::Add, network: "n".into(), ifname: "net1".into() }
    }

    fn finished(exit: i32, stdout: impl Into<Vec<u8>>) -> Finished {
        Finished { exit: Exit::Code(exit), stdout: stdout.into(), stderr: "last words".into() }
    }

    fn failure(exit: i32, stdout: impl Into<Vec<u8>>) -> Failed {
        match result(&call(), finished(exit, stdout), Version::V1_0_0) {
            Err(Failure::Failed(failed)) => *failed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_object_of_any_types_is_read_as_far_as_it_can_be() {
        for (stdout, code, message) in [
            (r#"{"code": 7, "msg": "m"}"#, Some(7), "m"),
            (r#"{"CODE": 4294967295, "Msg": "m"}"#, Some(u32::MAX), "m"),
            (r#"{"code": "11", "msg": "m"}"#, Some(11), "m"),
            (r#"{"code": 0, "msg": "m"}"#, None, "m"),
            (r#"{"code": -1, "msg": "m"}"#, None, "m"),
            (r#"{"code": 99999999999, "msg": "m"}"#, None, "m"),
            (r#"{"code": {"x": 1}, "msg": ["m", 1]}"#, None, r#"["m", 1]"#),
            (r#"{"code": 3}"#, Some(3), ""),
        ] {
            let failed = failure(1, stdout);
            assert_eq!((failed.code.map(|code| code.0), failed.message.as_str()), (code, message), "{stdout}");
        }
    }

    #[test]
    fn an_error_object_with_exit_status_zero_is_no_result() {
        assert_eq!(failure(0, r#"{"code": 7, "msg": "m"}"#).code, Some(Code(7)));
    }

    #[test]
    fn output_that_is_no_error_object_is_shown_in_the_details() {
        assert_eq!(
            failure(2, "panic: \u{1b}[1mboom").details,
            format!("stdout: {}", printable("panic: \u{1b}[1mboom"))
        );
        assert_eq!(failure(2, " \n").details, "");
        assert!(failure(2, vec![b'x'; 5000]).details.ends_with("x… (5000 bytes)"));
    }

    #[test]
    fn a_huge_message_is_cut() {
        let message = failure(1, format!(r#"{{"code": 1, "msg": "{}"}}"#, "x".repeat(20_000))).message;
        assert_eq!(message.chars().count(), MAX_TEXT + 1);
        assert_eq!(failure(1, format!(r#"{{"code": 1, "msg": "{}"}}"#, "x".repeat(100_000))).message, "");
    }

    #[test]
    fn an_add_that_prints_nothing_or_no_result_has_failed() {
        for (stdout, expected) in
            [("", "printed no result"), ("  \n", "printed no result"), ("{", "it printed {"), ("\u{7}[]", "\\")]
        {
            match result(&call(), finished(0, stdout), Version::V1_0_0) {
                Err(Failure::BadAnswer { reason, stderr, .. }) => {
                    assert!(reason.contains(expected) && stderr == "last words", "{stdout:?}: {reason}");
                }
                other => panic!("{stdout:?}: {other:?}"),
            }
        }
    }
}
