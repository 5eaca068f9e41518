//! What the administrator should know of the primary network.

use super::conflist::Primary;
use super::survey::{self, Survey};
use super::{Finding, Kind, Report, Severity};
use crate::cni::Version;
use crate::cni::text::{printable, quoted};

/// What the primary's version costs.
pub(super) fn about_primary(primary: &Primary, report: &mut Report) {
    let name = quoted(&primary.name);
    if survey::is_cilium(primary) {
        report.findings.push(Finding {
            kind: Kind::CiliumExclusive,
            severity: Severity::Warning,
            text: format!(
                "the primary network {name} is Cilium's: in its exclusive mode, which is its default, it renames the \
                 configurations of others, ours too"
            ),
            cure: "set Cilium's value cni.exclusive=false".to_owned(),
        });
    }
    let consequence = if !primary.version.has_check() {
        "runtimes call neither CHECK nor GC nor STATUS: broken attachments and leaked addresses are not noticed"
    } else if !primary.version.has_gc_and_status() {
        "runtimes call neither GC nor STATUS: what a lost DEL leaves is collected by the agent alone"
    } else {
        return;
    };
    report.findings.push(Finding {
        kind: Kind::OldVersion,
        severity: Severity::Notice,
        text: format!("the primary network {name} has cniVersion {}: {consequence}", primary.version),
        cure: format!("let its installer write cniVersion {}, if its plugins speak it", Version::NEWEST),
    });
}

/// What Cilium did to ours.
pub(super) fn about_cilium(survey: &Survey, name: &str, report: &mut Report) {
    let backup = survey.cilium_backups.iter().find(|backup| backup.starts_with(name));
    let Some(backup) = backup.filter(|_| survey.file(name).is_none()) else { return };
    report.findings.push(Finding {
        kind: Kind::CiliumExclusive,
        severity: Severity::Error,
        text: format!("Cilium has renamed our conflist to {}, and will do so again", printable(backup)),
        cure: "set Cilium's value cni.exclusive=false".to_owned(),
    });
}
