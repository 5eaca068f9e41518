//! The error object of the CNI specification, and the codes in it.

use serde::Serialize;

use super::Version;

/// An error code of the CNI specification (section "Error").
///
/// 1 to 99 are the specification's, 100 and above a plugin's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// The configuration's version is not supported.
    pub const INCOMPATIBLE_VERSION: Code = Code(1);
    /// A field of the configuration is not supported; the message names key and value.
    pub const UNSUPPORTED_FIELD: Code = Code(2);
    /// The container is unknown, or does not exist.
    pub const UNKNOWN_CONTAINER: Code = Code(3);
    /// A necessary environment variable is missing or invalid; the message names it.
    pub const INVALID_ENVIRONMENT: Code = Code(4);
    /// Reading or writing failed.
    pub const IO: Code = Code(5);
    /// Some content could not be decoded.
    pub const DECODE: Code = Code(6);
    /// The network configuration is invalid.
    pub const INVALID_CONFIG: Code = Code(7);
    /// A transient condition: the runtime should try again later.
    pub const TRY_AGAIN_LATER: Code = Code(11);
    /// STATUS: the plugin is not available, it cannot serve an ADD.
    pub const NOT_AVAILABLE: Code = Code(50);
    /// STATUS: not available, and existing containers may have limited connectivity.
    pub const NOT_AVAILABLE_LIMITED: Code = Code(51);
    /// Ours: a delegate failed without a code of its own.
    pub const DELEGATE: Code = Code(100);
    /// Ours: the attachment exists already.
    pub const EXISTS: Code = Code(101);
    /// Ours: CHECK found a difference between the journal and the kernel.
    pub const CHECK_FAILED: Code = Code(102);
    /// Ours: the deadline has passed, or a signal ended the call.
    pub const INTERRUPTED: Code = Code(103);
    /// Ours: a policy of the node's administrator forbids it.
    pub const FORBIDDEN: Code = Code(104);
    /// Ours: the API server refused a request.
    pub const API: Code = Code(105);
    /// Ours: a fault of rooknet itself.
    pub const INTERNAL: Code = Code(199);
}

/// A failure with its place in the protocol: what the runtime reads on stdout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the runtime may decide by.
    pub code: Code,
    /// One sentence: what, where, and what would be right.
    pub message: String,
    /// The circumstances, when there are any: a delegate's last words, the other failures of a rollback.
    pub details: String,
}

impl Error {
    /// An error without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), details: String::new() }
    }

    /// A missing or invalid environment variable (code 4).
    pub fn environment(message: impl Into<String>) -> Self {
        Error::new(Code::INVALID_ENVIRONMENT, message)
    }

    /// An invalid configuration, annotation or network (code 7).
    pub fn config(message: impl Into<String>) -> Self {
        Error::new(Code::INVALID_CONFIG, message)
    }

    /// Text that does not parse (code 6).
    pub fn decode(message: impl Into<String>) -> Self {
        Error::new(Code::DECODE, message)
    }

    /// The same error with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The same error with its place in front: `<place>: <message>`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error under another code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The error object as a runtime expects it on stdout, in one line with a line feed.
    pub fn to_json(&self, version: Version) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ErrorObject<'a> {
            cni_version: &'a str,
            code: Code,
            msg: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            details: &'a str,
        }
        let object =
            ErrorObject { cni_version: version.as_str(), code: self.code, msg: &self.message, details: &self.details };
        // Text and numbers always serialise; the fallback keeps the promise that a runtime gets an object.
        let mut text = serde_json::to_string(&object)
            .unwrap_or_else(|_| r#"{"cniVersion":"1.1.0","code":199,"msg":"the error could not be written"}"#.into());
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_object_is_one_line_in_the_specifications_form() {
        let error = Error::config("bad \"x\"\n").with_details("why");
        assert_eq!(
            error.to_json(Version::V0_4_0),
            "{\"cniVersion\":\"0.4.0\",\"code\":7,\"msg\":\"bad \\\"x\\\"\\n\",\"details\":\"why\"}\n"
        );
    }

    #[test]
    fn empty_details_are_left_out() {
        let text = Error::environment("m").to_json(Version::V1_1_0);
        assert_eq!(text, "{\"cniVersion\":\"1.1.0\",\"code\":4,\"msg\":\"m\"}\n");
    }

    #[test]
    fn places_add_up_from_the_inside_out() {
        let error = Error::decode("m").within("ips[0]").within("the result").with_code(Code::INVALID_CONFIG);
        assert_eq!((error.to_string().as_str(), error.code), ("the result: ips[0]: m", Code::INVALID_CONFIG));
    }
}
