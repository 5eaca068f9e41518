//! What a round of the agent found and could not, or must not, put right by itself.

use std::fmt;

use serde::Serialize;

use super::metrics::{KindLabels, Metrics};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Weight {
    /// It works, and would work better otherwise.
    Advice,
    /// Something that was asked for is not there.
    Fault,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// What it is about: a network (`namespace/name`), a pod, a container, the node.
    pub about: String,
    /// One sentence: what is wrong, where, and what would be right.
    pub text: String,
}

impl Finding {
    /// Something that was asked for is not there.
    pub fn fault(about: impl Into<String>, text: impl fmt::Display) -> Finding {
        Finding { weight: Weight::Fault, about: about.into(), text: text.to_string() }
    }

    /// Something that would be better otherwise.
    pub fn advice(about: impl Into<String>, text: impl fmt::Display) -> Finding {
        Finding { weight: Weight::Advice, about: about.into(), text: text.to_string() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.text)
    }
}

/// Logs those that are new since the last round, and shows how many there are.
pub(super) fn tell(name: &'static str, findings: &[Finding], said: &mut Vec<Finding>, metrics: &Metrics) {
    for finding in findings.iter().filter(|finding| !said.contains(finding)) {
        match finding.weight {
            Weight::Advice => log::info!("{name}: {finding}"),
            Weight::Fault => log::warn!("{name}: {finding}"),
        }
    }
    let faults = findings.iter().filter(|finding| finding.weight == Weight::Fault).count();
    metrics.faults.get_or_create(&KindLabels { kind: name }).set(i64::try_from(faults).unwrap_or(i64::MAX));
    *said = findings.to_vec();
}
