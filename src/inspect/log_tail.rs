//! The plugin's log: which calls failed lately, and with which words.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Examination, table};
use crate::cni::text::{printable_path, shortened_to};
use crate::state::files;

/// Bytes of the log's end that are read.
const TAIL: u64 = 1024 * 1024;
/// How far back a failure matters.
const RECENT: Duration = Duration::from_secs(3600);
/// Different messages that are told, the newest first.
const TOLD: usize = 5;
/// Characters of a message.
const LONGEST: usize = 400;

/// Failures of one kind.
struct Seen {
    count: usize,
    last: SystemTime,
    time: String,
    call: String,
}

/// Reads the end of the log.
pub(super) fn look_at(seen: &mut Examination<'_>) {
    let settings = seen.configuration.collector.config().log_settings();
    let Some(path) = settings.ok().and_then(|settings| settings.file) else {
        seen.skipped("the log: rooknet's entry names no file (key \"logFile\")");
        return;
    };
    let text = match files::read_tail(&path, TAIL) {
        Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(None) => {
            seen.skipped(format_args!(
                "the log: there is no {}: nothing was logged yet, or this is the agent's pod, which does not see it",
                printable_path(&path)
            ));
            return;
        }
        Err(error) => {
            seen.skipped(format_args!("the log: {error}"));
            return;
        }
    };
    let mut told: Vec<(String, Seen)> = failures(&text, SystemTime::now()).into_iter().collect();
    told.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.last));
    for (message, Seen { count, time, call, .. }) in told.into_iter().take(TOLD) {
        let about = if call.is_empty() { String::new() } else { format!(" ({call})") };
        let message = shortened_to(LONGEST, &message);
        seen.found(&table::CALLS_FAILED, format_args!("{count} times, last {time}{about}: {message}"));
    }
}

/// The errors of a log by their message.
fn failures(text: &str, now: SystemTime) -> BTreeMap<String, Seen> {
    let mut found: BTreeMap<String, Seen> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(time), Some("error"), Some(rest)) = (words.next(), words.next(), words.next()) else { continue };
        let Ok(at) = humantime::parse_rfc3339(time) else { continue };
        // A time in the future is this clock's matter.
        if now.duration_since(at).is_ok_and(|age| age > RECENT) {
            continue;
        }
        let (fields, message) = rest.split_once("msg=").unwrap_or(("", rest));
        let message = message.strip_prefix('"').and_then(|message| message.strip_suffix('"')).unwrap_or(message);
        // STATUS is asked anew by whoever reads this, and runtimes ask it twice a second.
        if message.starts_with("STATUS failed") {
            continue;
        }
        let entry = found.entry(message.to_owned());
        let known = entry.or_insert_with(|| Seen { count: 0, last: at, time: String::new(), call: String::new() });
        known.count = known.count.saturating_add(1);
        if at >= known.last {
            known.last = at;
            time.clone_into(&mut known.time);
            fields.trim().clone_into(&mut known.call);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
2026-03-01T11:59:00.000Z error container=old msg=\"ADD failed: code 7: much too early\"
2026-03-01T12:30:00.000Z error container=a pod=x/y msg=\"ADD failed: code 7: no such network\"
2026-03-01T12:31:00.000Z warn container=a msg=\"only a warning\"
2026-03-01T12:32:00.000Z error container=b pod=x/z msg=\"ADD failed: code 7: no such network\"
2026-03-01T12:32:01.000Z error msg=\"STATUS failed: code 50: no pod\"
not a line of the log
2026-03-01T12:33:00.000Z error msg=short
";

    #[test]
    fn recent_errors_are_counted_by_their_message_and_the_last_call_is_named() {
        let now = humantime::parse_rfc3339("2026-03-01T13:00:00Z").unwrap();
        let found = failures(LOG, now);
        let told: Vec<_> =
            found.iter().map(|(message, seen)| (message.as_str(), seen.count, seen.call.as_str())).collect();
        assert_eq!(told, [("ADD failed: code 7: no such network", 2, "container=b pod=x/z"), ("short", 1, "")]);
    }
}
