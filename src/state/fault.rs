//! Faults on demand, for tests.
//!
//! A plugin that must survive SIGKILL at every step is tested by killing it at every step, at the step itself and not
//! after a time that is hoped to hit it. In a build with the feature `fault-injection`:
//!
//! - `ROOKNET_FAULT` is a comma-separated list of `kill:POINT` (SIGKILL to this process at that point) and
//!   `enospc:WRITE` (that write fails with "No space left on device"). `@N` after the name means its Nth passing in
//!   this process, the first by default.
//! - `ROOKNET_FAULT_TRACE` names a file to which each point and write that is passed appends one line, in the very form
//!   that `ROOKNET_FAULT` takes. So a test runs a call once, reads the trace, and runs it again for each line.
//!
//! A point or write has a name such as `journal-plan`; its steps add one (`journal-plan.renamed`).
//! Without the feature nothing of this is compiled.

/// A named point; may SIGKILL this process in test builds.
#[inline]
pub fn point(name: &str) {
    step(name, "");
}

/// A step of something named: the point `NAME.STEP`, or `NAME` when `step` is empty.
#[inline]
pub fn step(name: &str, step: &str) {
    #[cfg(feature = "fault-injection")]
    injected::point(name, step);
    #[cfg(not(feature = "fault-injection"))]
    let _ = (name, step);
}

/// A named write; may answer ENOSPC in test builds.
///
/// # Errors
/// ENOSPC where a test asked for it; never in another build.
#[inline]
pub fn write(name: &str) -> std::io::Result<()> {
    #[cfg(feature = "fault-injection")]
    injected::write(name)?;
    #[cfg(not(feature = "fault-injection"))]
    let _ = name;
    Ok(())
}

#[cfg(feature = "fault-injection")]
mod injected {
    use std::collections::BTreeMap;
    use std::io::{self, Write as _};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    static FAULTS: LazyLock<Vec<Fault>> =
        LazyLock::new(|| match parse(&std::env::var("ROOKNET_FAULT").unwrap_or_default()) {
            Ok(faults) => faults,
            // A test that asks for a fault that cannot happen would pass for the wrong reason.
            Err(item) => {
                let _ = writeln!(io::stderr(), "ROOKNET_FAULT: {item:?} is not kill:POINT[@N] or enospc:WRITE[@N]");
                std::process::abort();
            }
        });

    /// How often each directive was passed.
    static PASSED: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

    /// What to do (`kill:POINT` or `enospc:WRITE`), and at which passing.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Fault {
        directive: String,
        passing: u32,
    }

    pub(super) fn parse(text: &str) -> Result<Vec<Fault>, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| parse_one(item).ok_or_else(|| item.to_owned())).collect()
    }

    fn parse_one(item: &str) -> Option<Fault> {
        let (directive, passing) = match item.split_once('@') {
            Some((directive, passing)) => (directive, passing.parse().ok().filter(|passing| *passing > 0)?),
            None => (item, 1),
        };
        let name = directive.strip_prefix("kill:").or_else(|| directive.strip_prefix("enospc:"))?;
        (!name.is_empty()).then(|| Fault { directive: directive.to_owned(), passing })
    }

    pub(super) fn point(name: &str, step: &str) {
        let dot = if step.is_empty() { "" } else { "." };
        if pass(format!("kill:{name}{dot}{step}")) {
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
    }

    pub(super) fn write(name: &str) -> io::Result<()> {
        if pass(format!("enospc:{name}")) { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    /// Counts and traces a passing; whether it was asked for.
    fn pass(directive: String) -> bool {
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = passed.entry(directive.clone()).or_insert(0);
        *count = count.saturating_add(1);
        let at = if *count > 1 { format!("@{count}") } else { String::new() };
        if let Some(file) = std::env::var_os("ROOKNET_FAULT_TRACE") {
            let trace = std::fs::OpenOptions::new().append(true).create(true).open(file);
            let _ = trace.and_then(|mut trace| trace.write_all(format!("{directive}{at}\n").as_bytes()));
        }
        FAULTS.iter().any(|fault| fault.directive == directive && fault.passing == *count)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn directives_are_read_and_a_malformed_one_is_named() {
            let fault = |directive: &str, passing| Fault { directive: directive.into(), passing };
            assert_eq!(
                parse("kill:journal-plan.begin, enospc:journal-results@3").unwrap(),
                [fault("kill:journal-plan.begin", 1), fault("enospc:journal-results", 3)]
            );
            assert_eq!(parse("").unwrap(), []);
            for item in ["kill:", "kill", "burn:a", "kill:a@0", "kill:a@x"] {
                assert_eq!(parse(item), Err(item.to_owned()));
            }
        }
    }
}
