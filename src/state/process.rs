//! Processes by more than their number: a number is given again, with its start time it is not.
//!
//! The one thing done to a process here is to kill the group of a delegate that outlived its rooknet. Since that is
//! SIGKILL by root, it is done only to processes that are known to be ours: the group leader whose start time was
//! recorded when we started it, or, when the leader is gone, a member of its group that still has the container's
//! lock file open **by inheritance**.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::error::Error;

/// O_CLOEXEC in the `flags:` of `/proc/PID/fdinfo/N`.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// A process by id and start time (clock ticks since boot, /proc/PID/stat field 22), so that a reused id is not taken
/// for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its id.
    pub id: i32,
    /// Its start time.
    pub start: u64,
}

impl Process {
    /// This process.
    ///
    /// # Errors
    /// When there is no /proc.
    pub fn own() -> Result<Process, Error> {
        let missing = || Error::io("read", Path::new("/proc/self/stat"))(std::io::ErrorKind::NotFound.into());
        Process::find(Pid::this().as_raw()).ok_or_else(missing)
    }

    /// By id; None when there is none. One that has ended but was not yet waited for is still there.
    pub fn find(id: i32) -> Option<Process> {
        stat(id).map(|stat| Process { id, start: stat.start })
    }

    /// Whether it still runs. One that has ended does not, even before it is waited for: it holds nothing any more.
    pub fn is_alive(&self) -> bool {
        stat(self.id).is_some_and(|stat| stat.start == self.start && stat.runs)
    }
}

/// What /proc/PID/stat says of a process.
struct Stat {
    runs: bool,
    group: i32,
    start: u64,
}

fn stat(id: i32) -> Option<Stat> {
    // The kernel gives the whole line at once; what does not fit comes behind the fields that matter.
    let mut line = [0; 1024];
    let length = File::open(format!("/proc/{id}/stat")).and_then(|mut file| file.read(&mut line)).ok()?;
    parse_stat(line.get(..length)?)
}

fn parse_stat(content: &[u8]) -> Option<Stat> {
    // The second field is the command in brackets, and may itself contain brackets, blanks and line breaks.
    let end = content.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(content.get(end..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace().skip(1);
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(16)?.parse().ok()?;
    Some(Stat { runs: !matches!(state, "Z" | "X" | "x"), group, start })
}

/// Kills what is left of a delegate's process group, and returns whether there was anything.
///
/// `leader` is the recorded leader, `lock` the lock file that its group inherited.
pub(super) fn kill_group(leader: Process, lock: &Metadata) -> bool {
    match stat(leader.id) {
        // It is the one that we started, and leads its own group: the number is this group's.
        Some(found) if found.start == leader.start && found.group == leader.id => {
            let others = || members(leader.id).any(|id| id != leader.id && inherited(id, lock));
            (found.runs || others()) && killpg(Pid::from_raw(leader.id), Signal::SIGKILL).is_ok()
        }
        // The leader is gone, and its number may be somebody else's: only who holds our lock is ours.
        _ => {
            let ours: Vec<i32> = members(leader.id).filter(|id| inherited(*id, lock)).collect();
            ours.iter().filter(|id| kill(Pid::from_raw(**id), Signal::SIGKILL).is_ok()).count() > 0
        }
    }
}

/// The processes that inherited an open file: for an error that names who still holds a lock. This process is left
/// out.
pub(super) fn inheritors(file: &Metadata) -> Vec<i32> {
    all().filter(|id| *id != Pid::this().as_raw() && inherited(*id, file)).collect()
}

/// The running processes of a group.
fn members(group: i32) -> impl Iterator<Item = i32> {
    all().filter(move |id| stat(*id).is_some_and(|stat| stat.group == group && stat.runs))
}

fn all() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether a process has this file open without close-on-exec. A rooknet that waits for a lock has its file open too,
/// but with it; only a delegate, and the holder itself, has it without.
fn inherited(id: i32, file: &Metadata) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{id}/fd")) else { return false };
    descriptors.flatten().any(|descriptor| {
        let same = std::fs::metadata(descriptor.path())
            .is_ok_and(|found| found.dev() == file.dev() && found.ino() == file.ino());
        same && descriptor.file_name().to_str().is_some_and(|number| !closes_on_exec(id, number))
    })
}

/// In doubt, yes: then the process is not touched.
fn closes_on_exec(id: i32, descriptor: &str) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{id}/fdinfo/{descriptor}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & CLOSE_ON_EXEC != 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_command_with_brackets_and_blanks_does_not_shift_the_fields() {
        let text = b"42 (a) b (c\n) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        let stat = parse_stat(text).unwrap();
        assert!(stat.runs && stat.group == 77 && stat.start == 987_654);
        assert!(!parse_stat(b"42 (x) Z 1 77 77 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 9 1").unwrap().runs);
        for cut in [&b""[..], b"42 (x", b"42 (x)", b"42 (x) S 1 77 77", b"42 (x) S 1 \xff 77"] {
            assert!(parse_stat(cut).is_none());
        }
    }

    #[test]
    fn this_process_is_alive_and_one_of_another_start_time_is_not_it() {
        let own = Process::own().unwrap();
        assert!(own.is_alive());
        assert!(!Process { start: own.start + 1, ..own }.is_alive());
        assert_eq!(Process::find(-1), None);
    }

    #[test]
    fn a_child_that_ended_is_found_but_not_alive_until_it_is_waited_for() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let process = Process::find(child.id().try_into().unwrap()).unwrap();
        assert!(process.is_alive());
        drop(child.stdin.take());
        // The end of its output comes when it exits, a moment before it is a zombie.
        child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
        while process.is_alive() {
            std::thread::yield_now();
        }
        assert_eq!(Process::find(process.id), Some(process));
        child.wait().unwrap();
        assert_eq!(Process::find(process.id), None);
    }
}
