//! What is said of an uninstall.

use serde::Serialize;

use crate::install::holders::Holder;
use crate::install::{Finding, Kind, Severity};

/// What became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How it ended.
    pub outcome: Ended,
    /// What was changed (in a dry run: would be), in order.
    pub changes: Vec<String>,
    /// What the administrator should know.
    pub findings: Vec<Finding>,
}

/// How an uninstall ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Nothing of rooknet is left.
    Gone,
    /// Refused, and nothing was changed: these need rooknet.
    Refused(Vec<Holder>),
    /// The time is up; the node goes on being drained for these.
    TimeUp(Vec<Holder>),
    /// A dry run.
    Planned,
}

/// That nobody could be asked which pods there are.
pub(super) fn not_asked() -> Finding {
    Finding {
        kind: Kind::NotVerified,
        severity: Severity::Warning,
        text: "no container runtime was asked: only what is attached is known, and not which pods select networks"
            .to_owned(),
        cure: "name its socket by --runtime-socket".to_owned(),
    }
}

/// That somebody who knows pods of this node did not answer.
pub(super) fn silent(reason: &str) -> Finding {
    Finding {
        kind: Kind::NotVerified,
        severity: Severity::Warning,
        text: format!("not all pods of this node are known: {reason}"),
        cure: "mend that, or see to it that no pod here selects networks".to_owned(),
    }
}
