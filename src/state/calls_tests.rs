use std::fs;

use super::*;
use crate::state::testing::Directory;

fn record(container: &str) -> Record {
    Record { command: "ADD".to_owned(), container: container.to_owned(), ..Record::default() }
}

fn containers(taken: &Taken) -> Vec<&str> {
    taken.records.iter().map(|record| record.container.as_str()).collect()
}

#[test]
fn what_is_appended_is_taken_once_in_its_order() {
    let directory = Directory::new();
    assert!(take(directory.path()).unwrap().is_none());
    for container in ["a", "b"] {
        append(directory.path(), &record(container)).unwrap();
    }
    let taken = take(directory.path()).unwrap().unwrap();
    assert_eq!((containers(&taken), taken.skipped), (vec!["a", "b"], 0));
    append(directory.path(), &record("c")).unwrap();
    taken.done().unwrap();
    let taken = take(directory.path()).unwrap().unwrap();
    assert_eq!(containers(&taken), ["c"]);
    taken.done().unwrap();
    assert!(take(directory.path()).unwrap().is_none());
    assert!(directory.names("").is_empty());
}

#[test]
fn what_a_killed_taker_had_comes_again_before_what_is_new() {
    let directory = Directory::new();
    append(directory.path(), &record("a")).unwrap();
    drop(take(directory.path()).unwrap().unwrap());
    append(directory.path(), &record("b")).unwrap();
    for expected in ["a", "b"] {
        let taken = take(directory.path()).unwrap().unwrap();
        assert_eq!(containers(&taken), [expected]);
        taken.done().unwrap();
    }
}

#[test]
fn two_takers_do_not_get_the_same_records() {
    let directory = Directory::new();
    append(directory.path(), &record("a")).unwrap();
    let taken = take(directory.path()).unwrap().unwrap();
    assert!(take(directory.path()).unwrap().is_none());
    drop(taken);
    assert!(take(directory.path()).unwrap().is_some());
}

#[test]
fn who_opened_the_file_before_it_was_taken_writes_into_it_before_it_is_read() {
    let directory = Directory::new();
    append(directory.path(), &record("a")).unwrap();
    let mut writer = open(&path(directory.path())).unwrap();
    writer.try_lock_shared().unwrap();
    assert!(take(directory.path()).unwrap().is_none(), "a call is just writing");
    writer.write_all(&record("b").to_line().unwrap()).unwrap();
    drop(writer);
    let taken = take(directory.path()).unwrap().unwrap();
    assert_eq!(containers(&taken), ["a", "b"]);
    let late = File::open(taken_path(directory.path())).unwrap();
    assert!(late.try_lock_shared().is_err(), "a writer that comes too late is turned away");
    taken.done().unwrap();
    assert_eq!(late.metadata().unwrap().nlink(), 0, "and sees afterwards that the file is gone");
}

#[test]
fn a_full_file_takes_no_more() {
    let directory = Directory::new();
    let path = path(directory.path());
    File::create(&path).unwrap().set_len(SIZE_LIMIT - 1).unwrap();
    append(directory.path(), &record("a")).unwrap();
    let full = fs::metadata(&path).unwrap().len();
    assert!(full > SIZE_LIMIT);
    append(directory.path(), &record("b")).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), full);
}

#[test]
fn broken_lines_are_passed_over_and_counted() {
    let directory = Directory::new();
    append(directory.path(), &record("a")).unwrap();
    let mut file = open(&path(directory.path())).unwrap();
    file.write_all(b"{\"command\": \"AD\n[]\n\n\xff\n").unwrap();
    file.write_all(&[b'x'; LINE_LIMIT + 1]).unwrap();
    file.write_all(b"\n{\"command\":\"DEL\",\"container\":\"b\",\"cause\":\"of-a-later-rooknet\",\"more\":1}\n")
        .unwrap();
    file.write_all(b"{\"command\": \"torn").unwrap();
    drop(file);
    let taken = take(directory.path()).unwrap().unwrap();
    assert_eq!((containers(&taken), taken.skipped), (vec!["a", "b"], 5));
    assert_eq!(taken.records.last().unwrap().cause, Cause::Other);
}

#[test]
fn a_line_has_a_bound_and_loses_its_last_networks() {
    let network = |number: usize| Network { network: format!("{number}{}", "x".repeat(500)), ..Network::default() };
    let networks: Vec<Network> = (0..1000).map(network).collect();
    let full = Record { networks: networks.clone(), error: "e".repeat(100_000), code: 7, ..record("a") };
    let line = full.to_line().unwrap();
    assert!(line.len() <= LINE_LIMIT);
    let read: Record = serde_json::from_slice(&line).unwrap();
    assert!(!read.networks.is_empty() && networks.starts_with(&read.networks));
    assert_eq!(read.error.chars().count(), ERROR_LIMIT + 1);
}

#[test]
fn a_short_call_is_a_short_line() {
    let line = record("a").to_line().unwrap();
    assert_eq!(
        String::from_utf8(line).unwrap(),
        "{\"time\":0,\"command\":\"ADD\",\"container\":\"a\",\"duration\":0.0,\"code\":0}\n"
    );
}

#[test]
fn events_are_told_by_the_agent_only_where_the_record_says_so() {
    let network = Network {
        network: "rook-ceph/public".to_owned(),
        interface: "public".to_owned(),
        ms: Some(1.5),
        addresses: vec!["192.0.2.7/24".to_owned(), "2001:db8::7/64".to_owned()],
    };
    let added = Record { networks: vec![network], ..record("a") };
    assert!(added.events().is_empty());
    let told = Record { events: true, ..added.clone() }.events();
    let message = "Add public [192.0.2.7/24 2001:db8::7/64] from rook-ceph/public".to_owned();
    assert_eq!(told, [Event { is_warning: false, reason: "AddedInterface", message }]);
    let failed = Record { events: true, code: 7, error: "why".to_owned(), ..added }.events();
    let message = "why".to_owned();
    assert_eq!(failed, [Event { is_warning: true, reason: "FailedToAttachNetworks", message }]);
}

#[test]
fn causes_are_written_by_their_names() {
    for cause in [Cause::Call, Cause::Configuration, Cause::Draining, Cause::Api, Cause::Interrupted, Cause::Other] {
        assert_eq!(serde_json::to_string(&cause).unwrap(), format!("\"{}\"", cause.as_str()));
    }
}

#[test]
fn nothing_else_under_its_name_is_written_to() {
    let directory = Directory::new();
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, path(directory.path())).unwrap();
    append(directory.path(), &record("a")).unwrap_err();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"");
}
