//! Findings and what was not checked, as people read them.

use super::output::{line, may_colour};
use crate::inspect::{Finding, Severity};

/// Prints them, the worst first.
///
/// # Errors
/// When nobody reads them.
pub(super) fn print(findings: &[Finding], not_checked: &[String]) -> anyhow::Result<()> {
    let colour = may_colour();
    for finding in findings {
        let (word, code) = match finding.severity {
            Severity::Fault => ("FAULT", "31"),
            Severity::Advice => ("NOTE", "33"),
        };
        let word = if colour { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() };
        line(&format!("\n{word} {}: {}", finding.id, finding.what))?;
        line(&format!("  cause:       {}", finding.cause))?;
        line(&format!("  consequence: {}", finding.consequence))?;
        line(&format!("  cure:        {}", finding.cure))?;
    }
    if !not_checked.is_empty() {
        line("\nNot checked:")?;
        for what in not_checked {
            line(&format!("  {what}"))?;
        }
    }
    Ok(())
}
