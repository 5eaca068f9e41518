//! A disk that is full, or read-only: an ADD fails before it has lost anything, and what ends an attachment never
//! forgets one that it did not end.

use serde_json::{Value, json};

use crate::faults::{EVERYTHING, Primary, fail_on, journal_file};
use crate::fixture::{Fixture, Pod};
use crate::support::Outcome;

/// Where rooknet's durable state lies.
const STATE: &str = "/var/lib/rooknet";

/// The writes that a call passes, as ROOKNET_FAULT takes them.
fn writes(passed: Vec<String>) -> Vec<String> {
    passed.into_iter().filter(|passing| passing.starts_with("enospc:")).collect()
}

/// A small file system of its own over a directory of the node, empty.
fn mount_small(fixture: &Fixture, directory: &str) {
    fixture.node.ok(&["mkdir", "-p", directory]);
    fixture.node.ok(&["mount", "-t", "tmpfs", "-o", "size=128k,mode=0700", "tmpfs", directory]);
}

/// Fills the file system of a directory to the last byte.
fn fill(fixture: &Fixture, directory: &str) {
    let file = format!("{directory}/filler");
    assert!(!fixture.node.run(&["sh", "-c", &format!("cat /dev/zero > {file}")]).success(), "it has an end");
}

fn empty(fixture: &Fixture, directory: &str) {
    fixture.node.ok(&["rm", &format!("{directory}/filler")]);
}

fn remount(fixture: &Fixture, directory: &str, how: &str) {
    fixture.node.ok(&["mount", "-o", &format!("remount,{how}"), directory]);
}

/// An error of code 5 that names the path and what would help.
#[track_caller]
fn assert_disk_error(outcome: &Outcome, path: &str, help: &str) {
    let (code, message) = outcome.error();
    assert_eq!(code, 5, "{message}");
    assert!(message.contains(path) && message.contains(help), "{message}");
}

#[test]
fn a_full_disk_at_any_write_of_an_add_rolls_it_back_or_does_not_matter() {
    let fixture = Fixture::with_everything();
    let pod = fixture.pod("osd", Some(EVERYTHING));
    let config = fixture.delegating_with_route();
    let (add, del) = (fixture.call("ADD", &config, &pod), fixture.call("DEL", &config, &pod));
    let writes = writes(fixture.passings(&add));
    del.run(&fixture.node).expect_success("DEL");
    let mut failed = Vec::new();
    for write in &writes {
        let outcome = add.clone().env("ROOKNET_FAULT", write).run(&fixture.node);
        if outcome.success() {
            // The lock holds without its note; the end of a delegate need not be noted either. No call depends on its
            // record.
            assert!(write.contains("lock-note") || write == "enospc:calls", "{write} is passed over");
            del.run(&fixture.node).expect_success("DEL");
        } else {
            let path = if write.contains("lock-note") {
                "/run/rooknet/locks/".to_owned() + &pod.id
            } else {
                journal_file(&pod)
            };
            assert_disk_error(&outcome, &path, "No space left on device");
            failed.push(write.as_str());
        }
        fixture.assert_clean();
    }
    assert!(failed.contains(&"enospc:journal-plan") && failed.contains(&"enospc:journal-results"), "{failed:?}");
    // Before each of the four plugins its group is noted, else it does not begin.
    assert!(failed.iter().filter(|write| write.contains("lock-note")).count() == 4, "{failed:?} of {writes:?}");
}

#[test]
fn a_rolled_back_add_gives_the_pod_its_default_route_back() {
    let fixture = Fixture::with_everything();
    let pod = fixture.pod("osd", Some(EVERYTHING));
    let config = fixture.chained();
    Primary::attach(&pod);
    let before = pod.netns.routes();
    let full = fixture.call("ADD", &config, &pod).env("ROOKNET_FAULT", "enospc:journal-results").run(&fixture.node);
    assert_disk_error(&full, &journal_file(&pod), "free space");
    assert_eq!(pod.netns.routes(), before);
    Primary::detach(&pod);
    fixture.assert_clean();
}

#[test]
fn a_full_disk_at_any_write_of_a_del_or_gc_keeps_no_pod_from_going() {
    let fixture = Fixture::with_everything();
    let pod = fixture.pod("osd", Some(EVERYTHING));
    let config = fixture.delegating_with_route();
    for end in [fixture.call("DEL", &config, &pod), fixture.collect_call(&config, Some(&[]))] {
        fixture.run("ADD", &config, &pod).expect_success("ADD");
        let writes = writes(fixture.passings(&end));
        assert!(writes.len() >= 9, "the lock's note and two for each of four plugins: {writes:?}");
        for write in &writes {
            fixture.run("ADD", &config, &pod).expect_success("ADD");
            end.clone().env("ROOKNET_FAULT", write).run(&fixture.node).expect_success(write);
            fixture.assert_clean();
        }
    }
}

#[test]
fn a_failed_del_keeps_its_journal_even_when_it_cannot_be_marked() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"failOn": ["DEL"]}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let full = fixture.call("DEL", &config, &pod).env("ROOKNET_FAULT", "enospc:failed-mark").run(&fixture.node);
    assert_eq!(full.error().0, 111, "the plugin's own error counts more: {full}");
    assert!(fixture.journal_of(&pod).is_some());
    fail_on(&fixture, "stub", &[]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

/// A node whose file system of rooknet's state is small, with one pod attached.
fn small_state(fixture: &Fixture) -> (Value, Pod<'_>) {
    mount_small(fixture, STATE);
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD while there is space");
    (config, pod)
}

#[test]
fn on_a_really_full_disk_pods_go_and_none_comes() {
    let fixture = Fixture::start();
    let (config, old) = small_state(&fixture);
    let new = fixture.pod("mon", Some("public"));
    fill(&fixture, STATE);
    let outcome = fixture.run("ADD", &config, &new);
    assert_disk_error(&outcome, &journal_file(&new), "free space in the file system of /var/lib/rooknet");
    assert_eq!(new.netns.interfaces(), Vec::<String>::new());
    fixture.run("CHECK", &config, &old).expect_success("CHECK needs no space");
    fixture.run("DEL", &config, &old).expect_success("DEL needs no space");
    fixture.run("DEL", &config, &new).expect_success("DEL of what never came");
    fixture.assert_clean();

    empty(&fixture, STATE);
    fixture.run("ADD", &config, &new).expect_success("ADD when there is space again");
    fixture.run("DEL", &config, &new).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn on_a_really_full_disk_a_failed_del_keeps_its_journal_whole() {
    let fixture = Fixture::start();
    let (config, pod) = small_state(&fixture);
    fill(&fixture, STATE);
    fail_on(&fixture, "stub", &["DEL"]);
    let before = fixture.journal_of(&pod);
    assert_eq!(fixture.run("DEL", &config, &pod).error().0, 111);
    assert!(before.is_some() && fixture.journal_of(&pod) == before);
    fail_on(&fixture, "stub", &[]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_read_only_disk_is_named_and_the_journal_is_there_when_it_is_writable_again() {
    let fixture = Fixture::start();
    let (config, old) = small_state(&fixture);
    let new = fixture.pod("mon", Some("public"));
    remount(&fixture, STATE, "ro");
    assert_disk_error(&fixture.run("ADD", &config, &new), &journal_file(&new), "must be writable");
    assert_eq!(new.netns.interfaces(), Vec::<String>::new());
    // What never came goes without a write; what is there goes, and its journal cannot.
    fixture.run("DEL", &config, &new).expect_success("DEL of what never came");
    for operation in ["DEL", "DEL"] {
        assert_disk_error(&fixture.run(operation, &config, &old), &journal_file(&old), "must be writable");
    }
    assert!(!fixture.collect(&config, Some(&[])).success());
    assert!(fixture.journal_of(&old).is_some());

    remount(&fixture, STATE, "rw");
    fixture.run("DEL", &config, &old).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn with_a_really_full_run_no_delegate_starts_an_add_and_a_del_works() {
    let fixture = Fixture::start();
    mount_small(&fixture, "/run/rooknet");
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD while there is space");
    let new = fixture.pod("mon", Some("public"));
    fill(&fixture, "/run/rooknet");
    fixture.forget_records();
    let outcome = fixture.run("ADD", &config, &new);
    assert_disk_error(&outcome, &format!("/run/rooknet/locks/{}", new.id), "free space");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    let calls = fixture.recorded_calls();
    // A stub that gets no configuration has no record to write to.
    assert!(!calls.contains(&"ADD net1".to_owned()), "{calls:?}");
    fixture.assert_clean();
}

#[test]
fn a_log_that_cannot_be_written_fails_no_call() {
    let fixture = Fixture::start();
    mount_small(&fixture, "/run/log");
    fill(&fixture, "/run/log");
    fixture.define_stub("public", &json!({}));
    fixture.node.write("/run/file", "");
    fixture.node.ok(&["mkfifo", "/run/fifo"]);
    for log in
        ["/dev/full", "/run/log/rooknet.log", "/run/log/new/rooknet.log", "/run/file/rooknet.log", "/run", "/run/fifo"]
    {
        let mut config = fixture.chained();
        config["logFile"] = json!(log);
        config["logLevel"] = json!("debug");
        config["logToStderr"] = json!(false);
        let pod = fixture.pod("osd", Some("public"));
        for operation in ["ADD", "CHECK", "DEL"] {
            fixture.run(operation, &config, &pod).expect_success(&format!("{operation} with the log {log}"));
        }
        fixture.assert_clean();
    }
}

#[test]
fn stdout_that_nobody_reads_leaves_what_a_del_finds() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    let deaf = "mv /opt/cni/bin/rooknet /opt/cni/bin/real && printf '#!/bin/sh\\nexec /opt/cni/bin/real >/dev/full' \
                > /opt/cni/bin/rooknet && chmod 755 /opt/cni/bin/rooknet";
    fixture.node.ok(&["sh", "-c", deaf]);
    let outcome = fixture.run("ADD", &config, &pod);
    assert!(!outcome.success(), "a result that did not arrive is no success: {outcome}");
    fixture.node.ok(&["mv", "/opt/cni/bin/real", "/opt/cni/bin/rooknet"]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}
