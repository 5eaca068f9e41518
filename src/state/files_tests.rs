use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::state::testing::Directory;

/// Above every process id that Linux gives.
const NOBODY: u32 = 1 << 23;

fn make_old(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
}

fn temporary(owner: u32, target: &str) -> String {
    format!("{TEMPORARY}{owner}.0-{target}")
}

#[test]
fn a_file_is_replaced_with_mode_0600_and_nothing_is_left_beside_it() {
    for durability in [Durability::Entry, Durability::Content, Durability::None] {
        let directory = Directory::new();
        let path = directory.path().join("a");
        for content in [&b"first"[..], b"", b"third"] {
            replace(&path, content, durability, "test").unwrap();
            assert_eq!(read_bounded(&path, 10).unwrap().unwrap(), content);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(directory.names(""), ["a"]);
    }
}

#[test]
fn missing_directories_are_made_for_root_alone() {
    let directory = Directory::new();
    replace(&directory.path().join("x/y/a"), b"1", Durability::Entry, "test").unwrap();
    for below in ["x", "x/y"] {
        assert_eq!(std::fs::metadata(directory.path().join(below)).unwrap().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_symbolic_link_is_replaced_and_not_followed() {
    let directory = Directory::new();
    let (target, link) = (directory.path().join("target"), directory.path().join("link"));
    std::fs::write(&target, "theirs").unwrap();
    symlink(&target, &link).unwrap();
    replace(&link, b"ours", Durability::None, "test").unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"theirs");
    assert_eq!(std::fs::read(&link).unwrap(), b"ours");
}

#[test]
fn a_failed_replacement_leaves_the_former_file_and_no_temporary_one() {
    let directory = Directory::new();
    let path = directory.path().join("taken");
    std::fs::create_dir_all(path.join("full")).unwrap();
    let error = replace(&path, b"1", Durability::Entry, "test").unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot replace {}: ", path.display())), "{error}");
    assert_eq!(directory.names(""), ["taken"]);
}

#[test]
fn a_removal_is_idempotent() {
    let directory = Directory::new();
    let path = directory.path().join("a");
    for remove in [remove as fn(&Path) -> Result<(), Error>, |path| remove_durably(path, "test")] {
        std::fs::write(&path, "1").unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        remove(&path).unwrap();
        remove(&directory.path().join("no/such/directory")).unwrap();
    }
}

#[test]
fn a_read_has_a_limit_and_names_it() {
    let directory = Directory::new();
    let path = directory.path().join("a");
    std::fs::write(&path, "12345").unwrap();
    assert_eq!(read_bounded(&path, 5).unwrap().unwrap(), b"12345");
    let error = read_bounded(&path, 4).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is larger than 4 bytes", path.display()));
    assert!(read_bounded(&directory.path().join("b"), 4).unwrap().is_none());
    assert!(read_bounded(&path.join("below"), 4).unwrap().is_none());
    // A file without a size that never ends.
    assert!(read_bounded(Path::new("/proc/kallsyms"), 100).is_err());
}

#[test]
fn what_is_no_regular_file_is_an_error_and_not_waited_for() {
    let directory = Directory::new();
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [fifo.as_path(), directory.path(), Path::new("/dev/zero")] {
        let error = read_bounded(path, 4).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read {}: it is no regular file", path.display()));
    }
}

#[test]
fn an_unreadable_directory_is_an_error_and_an_absent_one_is_empty() {
    let directory = Directory::new();
    assert!(names(&directory.path().join("absent")).unwrap().is_empty());
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(directory.path().join(temporary(NOBODY, "a")), "").unwrap();
    std::fs::write(directory.path().join("b"), "").unwrap();
    assert_eq!(names(directory.path()).unwrap(), ["b"]);
}

#[test]
fn only_old_temporary_files_of_dead_processes_are_collected() {
    let directory = Directory::new();
    let alive = std::os::unix::process::parent_id();
    let (old, young, of_a_living) = (temporary(NOBODY, "a"), temporary(NOBODY, "b"), temporary(alive, "c"));
    for name in [&old, &young, &of_a_living, &format!("{TEMPORARY}odd")] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    for name in [&old, &of_a_living] {
        make_old(&directory.path().join(name));
    }
    assert_eq!(collect_temporaries(directory.path(), None).unwrap(), 1);
    assert!(!directory.names("").contains(&old));
    assert_eq!(directory.names("").len(), 3);
}

#[test]
fn who_holds_a_targets_lock_collects_its_temporary_files_at_once() {
    let directory = Directory::new();
    let alive = std::os::unix::process::parent_id();
    for name in [temporary(NOBODY, "a@x.json"), temporary(alive, "a@x.json"), temporary(NOBODY, "b@x.json")] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    assert_eq!(collect_temporaries(directory.path(), Some("a@x.json")).unwrap(), 2);
    assert_eq!(directory.names(""), [temporary(NOBODY, "b@x.json")]);
}

#[test]
fn a_left_over_of_the_same_process_id_does_not_block_a_write() {
    let directory = Directory::new();
    for number in 0..50 {
        let name = format!("{TEMPORARY}{}.{number}-a", std::process::id());
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    replace(&directory.path().join("a"), b"1", Durability::None, "test").unwrap();
}

#[cfg(feature = "fault-injection")]
mod faults {
    use std::process::{Command, ExitStatus};

    use super::*;

    const PATH: &str = "ROOKNET_TEST_REPLACE";

    /// What the other tests of this module run in a process of its own: does nothing in a normal run.
    #[test]
    fn replacement_process() {
        let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else { return };
        if let Err(error) = replace(&path, b"new", Durability::Entry, "it") {
            assert!(error.to_string().contains("No space left on device"), "{error}");
        }
    }

    fn run(path: &Path, variable: &str, value: &OsStr) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "state::files::tests::faults::replacement_process", "--quiet"]);
        command.env(PATH, path).env(variable, value).stdout(std::process::Stdio::null()).status().unwrap()
    }

    fn trace() -> Vec<String> {
        let directory = Directory::new();
        let trace = directory.path().join("trace");
        assert!(run(&directory.path().join("a"), "ROOKNET_FAULT_TRACE", trace.as_os_str()).success());
        std::fs::read_to_string(trace).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_trace_names_every_point_in_the_form_that_asks_for_it() {
        assert_eq!(trace(), ["kill:it.begin", "enospc:it", "kill:it.written", "kill:it.renamed", "kill:it.synced"]);
    }

    #[test]
    fn a_file_is_old_or_new_whenever_its_writer_is_killed_or_the_disk_is_full() {
        for fault in trace() {
            let directory = Directory::new();
            let path = directory.path().join("a");
            std::fs::write(&path, "old").unwrap();
            let status = run(&path, "ROOKNET_FAULT", fault.as_ref());
            let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL);
            assert_eq!(killed, fault.starts_with("kill:"), "{fault}: {status}");
            let renamed = fault.ends_with("renamed") || fault.ends_with("synced");
            assert_eq!(std::fs::read(&path).unwrap(), if renamed { b"new" } else { b"old" }, "{fault}");
            collect_temporaries(directory.path(), Some("a")).unwrap();
            assert_eq!(directory.names(""), ["a"], "{fault}");
        }
    }
}

#[test]
fn a_tail_begins_with_a_whole_line() {
    let directory = Directory::new();
    let path = directory.path().join("log");
    assert_eq!(read_tail(&path, 10).unwrap(), None);
    std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
    for (limit, expected) in [
        (100, "one\ntwo\nthree\n"),
        (14, "one\ntwo\nthree\n"),
        (13, "two\nthree\n"),
        (10, "two\nthree\n"),
        (9, "three\n"),
        (6, "three\n"),
        (5, ""),
        (0, ""),
    ] {
        let tail = String::from_utf8(read_tail(&path, limit).unwrap().unwrap()).unwrap();
        assert_eq!(tail, expected, "{limit}");
    }
    assert!(read_tail(directory.path(), 10).is_err());
}
