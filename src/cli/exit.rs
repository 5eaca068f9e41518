//! How rooknetctl ends: exit codes with names, so that scripts can tell a fault of the node from one of the command.

use std::process::ExitCode;

/// An exit code of rooknetctl. A wrong command line is clap's own 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// 0: done, and nothing is wrong.
    Done,
    /// 1: it failed; the reason is on stderr.
    Failed,
    /// 3: the command did its work, and what it looked at is not as it should be.
    Faulty,
    /// 4: refused, because pods still need what would go.
    Refused,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(match code {
            Code::Done => 0,
            Code::Failed => 1,
            Code::Faulty => 3,
            Code::Refused => 4,
        })
    }
}

/// A refusal: nothing was changed, and the text says what stands in the way and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// The exit code of an error.
pub(super) fn of(error: &anyhow::Error) -> Code {
    if error.downcast_ref::<Refused>().is_some() { Code::Refused } else { Code::Failed }
}
