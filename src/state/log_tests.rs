use std::time::Duration;

use log::kv::Source;

use super::*;
use crate::state::testing::Directory;

const NOON: &str = "1970-01-01T12:00:00.123Z";

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(43_200_123)).unwrap()
}

fn fields(pairs: &[(&str, &str)], message: std::fmt::Arguments<'_>) -> String {
    let pairs: &dyn Source = &pairs;
    own_fields(&Record::builder().args(message).key_values(pairs).build())
}

fn level(text: &str) -> LevelFilter {
    text.parse::<Level>().unwrap().0
}

fn metadata(level: log::Level, target: &str) -> Metadata<'_> {
    Metadata::builder().level(level).target(target).build()
}

#[test]
fn levels_have_multus_names_and_rusts_in_any_case() {
    assert_eq!(level("panic"), LevelFilter::Error);
    assert_eq!(level("error"), LevelFilter::Error);
    assert_eq!(level("Verbose"), LevelFilter::Info);
    assert_eq!(level("DEBUG"), LevelFilter::Debug);
    assert_eq!(level("warning"), LevelFilter::Warn);
    assert_eq!(level("warn"), LevelFilter::Warn);
    assert_eq!(level("info"), LevelFilter::Info);
    assert_eq!(level("trace"), LevelFilter::Trace);
    assert_eq!(level("off"), LevelFilter::Off);
    let error = "loud".parse::<Level>().unwrap_err().to_string();
    assert_eq!(error, "\"loud\" is no log level; use one of panic, error, warning, verbose, info, debug, trace or off");
}

#[test]
fn a_line_has_time_level_call_fields_and_message_in_this_order() {
    let own = fields(&[("network", "public"), ("interface", "net1")], format_args!("attached in {} ms", 12));
    assert_eq!(
        line(noon(), log::Level::Info, " container=4f0c pod=rook-ceph/osd-0", &own),
        format!(
            "{NOON} info container=4f0c pod=rook-ceph/osd-0 network=public interface=net1 msg=\"attached in 12 ms\"\n"
        )
    );
}

#[test]
fn values_are_quoted_only_when_they_are_not_one_word() {
    let own = fields(&[("a", ""), ("b", "x=y"), ("c", "say \"no\""), ("d", "2001:db8::/64")], format_args!("done"));
    assert_eq!(own, r#" a="" b="x=y" c="say \"no\"" d=2001:db8::/64 msg=done"#);
}

#[test]
fn foreign_text_cannot_begin_a_line_or_act_on_a_terminal() {
    let evil = "x\n2026-01-01T00:00:00.000Z info msg=forged\r\x1b[2J\u{202e}\0";
    let own = fields(&[("network", evil)], format_args!("{evil}"));
    let line = line(noon(), log::Level::Error, "", &own);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.ends_with('\n'));
    assert!(!line.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
}

#[test]
fn a_line_is_bounded_whatever_is_logged() {
    let huge = "ä€🦀\x1b".repeat(1_000_000);
    let pairs: Vec<(&str, &str)> = (0..50).map(|_| ("key", huge.as_str())).collect();
    let own = fields(&pairs, format_args!("{huge}"));
    let line = line(noon(), log::Level::Error, "", &own);
    assert!(line.len() <= LINE_LIMIT, "{}", line.len());
    assert!(line.ends_with("…\n"));
    let message = fields(&[], format_args!("{}", "x".repeat(MESSAGE_LIMIT + 1)));
    assert_eq!(message, format!(" msg={}…", "x".repeat(MESSAGE_LIMIT)));
}

#[test]
fn text_is_cut_between_characters_at_any_length() {
    let text = "aä€🦀";
    for length in 0..=text.len() + 1 {
        let beginning = beginning(text, length);
        assert!(beginning.len() <= length && text.starts_with(beginning));
        let clipped = clipped(length, format_args!("{text}{text}"));
        assert!(clipped.ends_with('…') && clipped.len() <= length + CUT.len());
    }
    assert_eq!(clipped(20, format_args!("{text}{text}")), "aä€🦀aä€🦀");
}

#[test]
fn a_display_that_fails_is_no_panic() {
    struct Fails;
    impl std::fmt::Display for Fails {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("half")?;
            Err(std::fmt::Error)
        }
    }
    assert_eq!(fields(&[], format_args!("{Fails}")), " msg=half…");
}

#[test]
fn a_clock_outside_of_what_can_be_printed_still_gives_a_line() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(line(before, log::Level::Warn, "", " msg=x"), "1970-01-01T00:00:00.000Z warn msg=x\n");
    let after = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000_000_000);
    assert_eq!(line(after, log::Level::Warn, "", " msg=x"), " warn msg=x\n");
}

#[test]
fn libraries_are_heard_only_when_they_warn() {
    use log::Level::{Debug, Info, Warn};
    assert!(is_wanted(&metadata(Info, "rooknet"), LevelFilter::Info));
    assert!(is_wanted(&metadata(Info, "rooknet::engine::add"), LevelFilter::Info));
    assert!(!is_wanted(&metadata(Debug, "rooknet::engine::add"), LevelFilter::Info));
    assert!(!is_wanted(&metadata(Debug, "rooknetx"), LevelFilter::Debug));
    assert!(!is_wanted(&metadata(Info, "hyper"), LevelFilter::Debug));
    assert!(is_wanted(&metadata(Warn, "hyper"), LevelFilter::Info));
    assert!(is_wanted(&metadata(Debug, "hyper"), LevelFilter::Trace));
}

#[test]
fn a_log_file_is_made_with_its_directory_and_appended_to() {
    let directory = Directory::new();
    let path = directory.path().join("log/rooknet/a.log");
    for text in ["one\n", "two\n"] {
        open(&path, None).unwrap().write_all(text.as_bytes()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn a_large_file_is_renamed_once_and_a_small_one_is_kept() {
    let directory = Directory::new();
    let path = directory.path().join("a.log");
    std::fs::write(&path, "12345").unwrap();
    open(&path, Some(5)).unwrap();
    assert_eq!(directory.names(""), ["a.log"]);
    std::fs::write(directory.path().join("a.log.1"), "the former one").unwrap();
    open(&path, Some(4)).unwrap().write_all(b"new").unwrap();
    assert_eq!(directory.names(""), ["a.log", "a.log.1"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(directory.path().join("a.log.1")).unwrap(), "12345");
}

#[test]
fn two_that_find_it_too_large_rename_it_once() {
    let directory = Directory::new();
    let path = directory.path().join("a.log");
    std::fs::write(&path, "12345").unwrap();
    let (first, second) = (open_once(&path).unwrap(), open_once(&path).unwrap());
    rotate(first, &path).unwrap().write_all(b"new").unwrap();
    rotate(second, &path).unwrap().write_all(b"er").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "newer");
    assert_eq!(std::fs::read_to_string(directory.path().join("a.log.1")).unwrap(), "12345");

    let busy = open_once(&path).unwrap();
    busy.lock().unwrap();
    rotate(open_once(&path).unwrap(), &path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "newer", "somebody else is at it");
}

#[test]
fn what_cannot_be_a_log_file_is_an_error_and_does_not_hang() {
    let directory = Directory::new();
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [&fifo, directory.path(), Path::new("/proc/rooknet/log"), Path::new("")] {
        open(path, Some(1)).unwrap_err();
    }
    open(Path::new("/dev/null"), Some(0)).unwrap();
}

/// What the next test runs in a process of its own, whose stdout is a pipe; does nothing in a normal run.
#[test]
fn stdout_process() {
    if std::env::var_os("ROOKNET_TEST_STDOUT").is_some() {
        let error = open(Path::new("/dev/stdout"), None).unwrap_err();
        assert_eq!(error.to_string(), "it is stdout, which belongs to the runtime");
    }
}

#[test]
fn stdout_is_refused_as_a_log_file() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "state::log::tests::stdout_process"])
        .env("ROOKNET_TEST_STDOUT", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The only test that uses the process's own log.
#[test]
fn records_reach_the_file_with_the_fields_of_the_call_and_never_fail() {
    let directory = Directory::new();
    let path = directory.path().join("a.log");
    let settings = Settings { file: Some(path.clone()), ..Settings::default() };
    init(&settings);
    log::info!(marker = "before"; "no call yet");
    set_call("4f0c", "rook-ceph/osd-0");
    log::info!(marker = 1, network:% = "public"; "attached");
    log::debug!(marker = 2; "not at this level");
    set_call("", "");

    init(&Settings { file: Some("/dev/full".into()), ..settings.clone() });
    log::error!(marker = 3; "the disk is full");
    init(&Settings { file: Some("/proc/nowhere/log".into()), ..settings });
    assert_eq!(log::max_level(), LevelFilter::Off, "nothing is formatted for nobody");
    log::error!(marker = 4; "no file at all");

    let text = std::fs::read_to_string(&path).unwrap();
    let ours: Vec<&str> =
        text.lines().filter(|line| line.contains("marker")).map(|line| line.split_once(' ').unwrap().1).collect();
    let expected = [
        "info marker=before msg=\"no call yet\"",
        "info container=4f0c pod=rook-ceph/osd-0 marker=1 network=public msg=attached",
    ];
    assert_eq!(ours, expected);
}
