//! A call that is told to stop, or whose time is up, ends its delegate's whole group, undoes what it began, and says so
//! in one error object.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::faults::{LIMIT, hanging_on, journal_file, send, stop_hanging, until_it_hangs, until_it_waits};
use crate::fixture::{Fixture, Pod};
use crate::support::{RunningCall, wait_until};

/// The code of a call that a signal or its deadline ended.
const INTERRUPTED: u64 = 103;

/// A node whose network `public` hangs at ADD.
fn hanging_add(fixture: &Fixture) -> (Value, Pod<'_>) {
    fixture.define_stub("public", &hanging_on("ADD"));
    (fixture.delegating(&json!({})), fixture.pod("osd", Some("public")))
}

fn start(fixture: &Fixture, operation: &str, config: &Value, pod: &Pod<'_>) -> RunningCall {
    fixture.call(operation, config, pod).start(&fixture.node)
}

#[test]
fn each_signal_ends_an_add_with_its_delegates_group_and_rolls_it_back() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let fixture = Fixture::start();
        let (config, pod) = hanging_add(&fixture);
        let add = start(&fixture, "ADD", &config, &pod);
        until_it_hangs(&fixture, "ADD");
        send(&add, signal);
        let (code, message) = add.wait().error();
        assert_eq!(code, INTERRUPTED, "{signal}: {message}");
        for part in ["rook-ceph/public", "interface net1", "plugin stub was ended", "by a signal"] {
            assert!(message.contains(part), "{signal}: {part:?} is not in {message}");
        }
        assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"], "{signal}");
        fixture.assert_clean();
    }
}

#[test]
fn the_deadline_ends_an_add_as_a_signal_does_in_words_of_its_own() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &hanging_on("ADD"));
    let (mut config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    config["deadline"] = json!(0.8);
    let (code, message) = fixture.run("ADD", &config, &pod).error();
    assert_eq!(code, INTERRUPTED, "{message}");
    assert!(message.contains("deadline") && !message.contains("signal"), "{message}");
    assert_eq!(fixture.recorded_calls().last().map(String::as_str), Some("DEL net1"));
    fixture.assert_clean();
}

#[test]
fn a_second_signal_does_not_stop_the_rollback() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"hangOn": ["ADD", "DEL"], "ipam": "hang", "ipamOn": ["ADD", "DEL"]}));
    let (config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", Some("public")));
    let add = start(&fixture, "ADD", &config, &pod);
    until_it_hangs(&fixture, "ADD");
    send(&add, Signal::SIGTERM);
    let [delegate, _] = until_it_hangs(&fixture, "DEL");
    send(&add, Signal::SIGTERM);
    send(&add, Signal::SIGINT);
    // The rollback goes on with the next attachment, and only then is over.
    fixture.node.ok(&["kill", "-KILL", &delegate.to_string()]);
    let (code, message) = add.wait().error();
    assert_eq!(code, INTERRUPTED, "{message}");
    assert!(message.contains("the rollback is incomplete"), "{message}");
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]);
    assert_eq!(fixture.node.processes(), [], "the hanging DEL's group");
    assert!(fixture.journal_of(&pod).is_some(), "what could not be undone is not forgotten");

    stop_hanging(&fixture, "stub");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_signal_ends_a_del_whose_journal_the_next_del_finishes() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &hanging_on("DEL"));
    let (config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", Some("public, cluster")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let del = start(&fixture, "DEL", &config, &pod);
    until_it_hangs(&fixture, "DEL");
    send(&del, Signal::SIGTERM);
    let (code, message) = del.wait().error();
    assert_eq!(code, INTERRUPTED, "{message}");
    assert!(message.contains("by a signal"), "{message}");
    assert_eq!(fixture.node.processes(), [], "the hanging DEL's group");
    assert_eq!(fixture.node.held_locks(), []);
    assert!(fixture.journal_of(&pod).is_some());

    stop_hanging(&fixture, "stub");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_signal_ends_a_gc_and_nothing_alive_is_lost() {
    let fixture = Fixture::start();
    let mut stub = hanging_on("GC");
    stub["store"] = Value::Null;
    fixture.define_stub("public", &stub);
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let gc = fixture.collect_call(&config, Some(&[&pod])).start(&fixture.node);
    until_it_hangs(&fixture, "GC");
    send(&gc, Signal::SIGTERM);
    let (code, message) = gc.wait().error();
    assert_eq!(code, INTERRUPTED, "{message}");
    assert_eq!(fixture.node.processes(), [], "the hanging GC's group");
    assert_eq!(fixture.node.held_locks(), [], "an ADD can begin");
    assert_eq!(pod.netns.interfaces(), ["net1"]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_call_that_waits_for_the_lock_stops_at_a_signal_and_leaves_the_holder_alone() {
    let fixture = Fixture::start();
    let (config, pod) = hanging_add(&fixture);
    let mut first = start(&fixture, "ADD", &config, &pod);
    until_it_hangs(&fixture, "ADD");
    let mut urgent = config.clone();
    urgent["deadline"] = json!("50ms");
    let waiting = ["ADD", "DEL"].map(|operation| start(&fixture, operation, &config, &pod));
    for call in waiting {
        until_it_waits(&call, &pod);
        send(&call, Signal::SIGTERM);
        let (_, message) = call.wait().error();
        let holder = format!("rooknet, process {}", first.pid());
        assert!(message.contains("signal") && message.contains(&holder), "{message}");
    }
    let (_, message) = fixture.run("ADD", &urgent, &pod).error();
    assert!(message.contains("the time is up"), "{message}");
    assert!(!first.has_ended() && fixture.node.read(&journal_file(&pod)).is_some());
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1"], "nobody else was at work");

    send(&first, Signal::SIGTERM);
    first.wait().error();
    fixture.assert_clean();
}

#[test]
fn a_signal_ends_the_wait_for_the_default_network() {
    let fixture = Fixture::start();
    let (mut config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", None));
    config["readinessindicatorfile"] = json!("/run/primary/ready");
    let add = start(&fixture, "ADD", &config, &pod);
    wait_until("the lock, taken before the wait", LIMIT, || !fixture.node.held_locks().is_empty());
    send(&add, Signal::SIGTERM);
    let (code, message) = add.wait().error();
    assert_eq!(code, 11, "{message}");
    assert!(message.contains("/run/primary/ready") && message.contains("signal"), "{message}");
    assert_eq!(fixture.records().len(), 0);
    fixture.assert_clean();
}
