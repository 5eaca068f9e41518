//! Errors on their way to the runtime: the typed cause decides the code, the contexts above it make the sentence.

use std::fmt;

use crate::cni::{self, Code};
use crate::delegate::Failure;
use crate::state::calls::Cause;
use crate::{kernel, kubeapi, state};

/// The error object for what went wrong.
pub(super) fn to_cni(error: &anyhow::Error) -> cni::Error {
    let (code, details) = error.chain().find_map(known).unwrap_or((Code::INTERNAL, String::new()));
    cni::Error::new(code, sentence(error)).with_details(details)
}

/// Code and details of a typed cause.
fn known(cause: &(dyn std::error::Error + 'static)) -> Option<(Code, String)> {
    if let Some(error) = cause.downcast_ref::<cni::Error>() {
        return Some((error.code, error.details.clone()));
    }
    if let Some(error) = cause.downcast_ref::<kubeapi::Error>() {
        return Some((error.to_cni().code, String::new()));
    }
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        let error = failure.to_cni();
        return Some((error.code, error.details));
    }
    if let Some(state::Error::Locked { .. }) = cause.downcast_ref() {
        return Some((Code::TRY_AGAIN_LATER, String::new()));
    }
    let is_io = cause.is::<state::Error>() || cause.is::<kernel::Error>() || cause.is::<std::io::Error>();
    is_io.then(|| (Code::IO, String::new()))
}

/// What kind of error it is, in a word for the agent's metrics: by its typed cause, or else by its code.
pub(super) fn cause_of(error: &anyhow::Error) -> Cause {
    error.chain().find_map(kind).unwrap_or(Cause::Other)
}

fn kind(cause: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    if let Some(error) = cause.downcast_ref::<cni::Error>() {
        return Some(kind_of(error));
    }
    if cause.is::<kubeapi::Error>() {
        return Some(Cause::Api);
    }
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(if failure.is_interruption() { Cause::Interrupted } else { Cause::Plugin });
    }
    known(cause).map(|(code, _)| if code == Code::TRY_AGAIN_LATER { Cause::Busy } else { Cause::System })
}

fn kind_of(error: &cni::Error) -> Cause {
    // A failed request that has become an error of the protocol says to which server it was made.
    if [" to https://", " to http://"].iter().any(|words| error.message.contains(words)) {
        return Cause::Api;
    }
    match error.code {
        Code::INCOMPATIBLE_VERSION | Code::UNKNOWN_CONTAINER | Code::INVALID_ENVIRONMENT => Cause::Call,
        Code::UNSUPPORTED_FIELD | Code::DECODE | Code::INVALID_CONFIG => Cause::Configuration,
        Code::IO => Cause::System,
        Code::TRY_AGAIN_LATER | Code::NOT_AVAILABLE | Code::NOT_AVAILABLE_LIMITED => Cause::Busy,
        Code::EXISTS | Code::CHECK_FAILED => Cause::State,
        Code::INTERRUPTED => Cause::Interrupted,
        Code::FORBIDDEN => Cause::Policy,
        Code::API => Cause::Api,
        Code::INTERNAL => Cause::Other,
        // A plugin's own codes, and that of one without.
        _ => Cause::Plugin,
    }
}

/// The contexts and the first typed cause as one sentence. What lies below a typed error is in its own text already.
pub(super) fn sentence(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        parts.push(match cause.downcast_ref::<Failure>() {
            Some(failure) => failure.to_cni().message,
            None => cause.to_string(),
        });
        if known(cause).is_some() {
            break;
        }
    }
    parts.join(": ")
}

/// Failures of one teardown, in the order in which they happened: it goes on past each, and the runtime hears of all.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<anyhow::Error>);

impl Failures {
    pub(super) fn push(&mut self, error: anyhow::Error) {
        self.0.push(error);
    }

    /// `Ok` when nothing failed.
    pub(super) fn into_result(self) -> Result<(), Failures> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// One error for the runtime, with the code of the first failure and the details of all.
    pub(super) fn into_error(self, about: &str) -> anyhow::Error {
        let known: Vec<cni::Error> = self.0.iter().map(to_cni).collect();
        let code = known.first().map_or(Code::INTERNAL, |first| first.code);
        let details: Vec<&str> =
            known.iter().map(|error| error.details.as_str()).filter(|text| !text.is_empty()).collect();
        cni::Error::new(code, format!("{about}: {self}")).with_details(details.join("; ")).into()
    }

    /// The error of an ADD that failed and could not be undone: the cause's code and sentence, then what is left.
    pub(super) fn after(self, cause: &anyhow::Error) -> anyhow::Error {
        let known = to_cni(cause);
        cni::Error::new(
            known.code,
            format!("{}; and the rollback is incomplete, the DEL that follows will try again: {self}", known.message),
        )
        .with_details(known.details)
        .into()
    }
}

impl From<anyhow::Error> for Failures {
    fn from(error: anyhow::Error) -> Self {
        Failures(vec![error])
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", sentence(failure))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;
    use crate::state::deadline::Reason;

    #[test]
    fn the_kind_of_an_error_is_that_of_its_typed_cause_below_any_context() {
        let locked = state::Error::Locked {
            path: "/run/rooknet/locks/a".into(),
            holder: "a process".to_owned(),
            waited: std::time::Duration::ZERO,
            reason: Reason::Deadline,
        };
        let interrupted = kubeapi::Error::Interrupted {
            request: "GET pod a/b".to_owned(),
            server: "https://a:1".to_owned(),
            cause: Reason::Deadline,
            last: "no answer".to_owned(),
            tries: 1,
        };
        let of_code = |code| anyhow!(cni::Error::new(code, "m"));
        let by_request = anyhow!(interrupted.to_cni());
        for (error, expected) in [
            (anyhow!(locked), Cause::Busy),
            (anyhow!(interrupted), Cause::Api),
            (by_request, Cause::Api),
            (anyhow!(std::io::Error::other("m")), Cause::System),
            (of_code(Code::INVALID_ENVIRONMENT), Cause::Call),
            (of_code(Code::DECODE), Cause::Configuration),
            (of_code(Code::FORBIDDEN), Cause::Policy),
            (of_code(Code::TRY_AGAIN_LATER), Cause::Busy),
            (of_code(Code::API), Cause::Api),
            (of_code(Code(111)), Cause::Plugin),
            (of_code(Code::IO), Cause::System),
            (of_code(Code::INTERRUPTED), Cause::Interrupted),
            (of_code(Code::EXISTS), Cause::State),
            (of_code(Code::INTERNAL), Cause::Other),
            (anyhow!("untyped"), Cause::Other),
        ] {
            let shown = format!("{error:#}");
            assert_eq!(cause_of(&error), expected, "{shown}");
            let placed = Err::<(), _>(error).context("network a/b").unwrap_err();
            assert_eq!(cause_of(&placed), expected, "{shown}");
        }
    }
}
