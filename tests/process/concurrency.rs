//! Many calls at once: the state afterwards is exact, and no two plugins are ever at work for one container.

use serde_json::{Value, json};

use crate::faults::{LIMIT, gated_on, open_gate, until_it_has_open};
use crate::fixture::{Fixture, Pod};
use crate::support::{Outcome, RunningCall, wait_until};

/// Where the stub proves that it is alone.
const ALONE: &str = "/run/stub.alone";

/// A node with the networks `public` and `cluster`, whose plugins prove that they are alone for their container.
fn node() -> (Fixture, Value) {
    let fixture = Fixture::start();
    std::fs::create_dir(fixture.node.path(ALONE)).unwrap();
    for name in ["public", "cluster"] {
        fixture.define_stub(name, &json!({"alone": ALONE}));
    }
    let config = fixture.delegating(&json!({"alone": ALONE}));
    (fixture, config)
}

fn start(fixture: &Fixture, operation: &str, config: &Value, pod: &Pod<'_>) -> RunningCall {
    fixture.call(operation, config, pod).start(&fixture.node)
}

/// Everything is gone, and no plugin met another.
#[track_caller]
fn assert_clean_and_alone(fixture: &Fixture) {
    fixture.assert_clean();
    assert_eq!(fixture.node.entries(ALONE), Vec::<String>::new(), "plugins that worked for one container at once");
}

/// The pod has all its networks, and the journal and the store say so.
#[track_caller]
fn assert_attached(fixture: &Fixture, pod: &Pod<'_>) {
    assert_eq!(pod.netns.interfaces(), ["cluster", "eth0", "net1"], "{}", pod.id);
    let journal = fixture.journal_of(pod).expect("a journal");
    assert_eq!(journal["complete"], true, "{}", pod.id);
    for ifname in ["cluster", "eth0", "net1"] {
        assert!(fixture.taken().contains(&format!("{}@{ifname}", pod.id)), "{} {ifname}", pod.id);
    }
}

#[test]
fn two_adds_and_a_del_of_one_container_at_once_end_in_exactly_one_state() {
    let (fixture, config) = node();
    let pod = fixture.pod("osd", Some("public, cluster@cluster"));
    let (mut attached, mut refused) = (0, 0);
    for round in 0..20 {
        // Each of the three is the first in some rounds.
        let mut operations = ["ADD", "ADD", "DEL"];
        operations.rotate_left(round % 3);
        let calls = operations.map(|operation| (operation, start(&fixture, operation, &config, &pod)));
        let outcomes = calls.map(|(operation, call)| (operation, call.wait()));
        let mut adds = 0;
        for (operation, outcome) in &outcomes {
            match *operation {
                "DEL" => drop(outcome.expect_success("DEL")),
                _ if outcome.success() => adds += 1,
                _ => {
                    refused += 1;
                    assert_eq!(outcome.error().0, 101, "an ADD that comes second: {outcome}");
                }
            }
        }
        assert!(adds >= 1, "the first ADD succeeds: {}", all(&outcomes));
        // Attached, unless the DEL was the last; two ADDs can only succeed around it.
        if fixture.journal_of(&pod).is_some() {
            attached += 1;
            assert_attached(&fixture, &pod);
        } else {
            assert_eq!(adds, 1, "{}", all(&outcomes));
            fixture.assert_clean();
        }
        fixture.run("DEL", &config, &pod).expect_success("the last DEL");
        assert_clean_and_alone(&fixture);
    }
    assert!(attached > 0 && refused > 0, "the rounds were all alike: {attached} attached, {refused} refused");
}

fn all(outcomes: &[(&str, Outcome)]) -> String {
    outcomes.iter().map(|(operation, outcome)| format!("{operation}: {outcome}\n")).collect()
}

#[test]
fn fifty_containers_at_once_come_and_go_exactly() {
    let (fixture, config) = node();
    let pods: Vec<Pod<'_>> = (0..50).map(|_| fixture.pod("osd", Some("public, cluster@cluster"))).collect();
    for operation in ["ADD", "DEL"] {
        let calls: Vec<RunningCall> = pods.iter().map(|pod| start(&fixture, operation, &config, pod)).collect();
        for call in calls {
            call.wait().expect_success(operation);
        }
        if operation == "ADD" {
            assert_eq!(fixture.node.journals().len(), pods.len());
            assert_eq!(fixture.taken().len(), 3 * pods.len());
            pods.iter().for_each(|pod| assert_attached(&fixture, pod));
            assert_eq!(fixture.node.entries("/run/rooknet/locks"), Vec::<String>::new(), "lock files of past calls");
        }
    }
    assert_clean_and_alone(&fixture);
}

#[test]
fn adds_while_a_gc_runs_keep_their_addresses_and_dead_containers_go() {
    let (fixture, config) = node();
    let dead = fixture.pod("osd", Some("public, cluster@cluster"));
    let alive: Vec<Pod<'_>> = (0..6).map(|_| fixture.pod("osd", Some("public, cluster@cluster"))).collect();
    for round in 0..5 {
        fixture.run("ADD", &config, &dead).expect_success("ADD");
        let known: Vec<&Pod<'_>> = alive.iter().collect();
        // Whichever comes first: the plugins' own GC frees every address that is not in the list that rooknet gives it.
        let (before, after) = alive.split_at(round);
        let mut calls: Vec<RunningCall> = before.iter().map(|pod| start(&fixture, "ADD", &config, pod)).collect();
        let gc = fixture.collect_call(&config, Some(&known)).start(&fixture.node);
        calls.extend(after.iter().map(|pod| start(&fixture, "ADD", &config, pod)));
        gc.wait().expect_success("GC");
        for call in calls {
            call.wait().expect_success("ADD");
        }
        alive.iter().for_each(|pod| assert_attached(&fixture, pod));
        assert_eq!(dead.netns.interfaces(), Vec::<String>::new(), "what the runtime no longer knows");
        assert_eq!(fixture.taken().len(), 3 * alive.len());
        for pod in &alive {
            fixture.run("DEL", &config, pod).expect_success("DEL");
        }
        assert_clean_and_alone(&fixture);
    }
}

#[test]
fn an_add_waits_for_a_gc_whose_lists_are_made_already() {
    let fixture = Fixture::start();
    // Collected one after another: the second one's list must still be true when the first one has been held up.
    fixture.define_stub("a", &gated_on(&fixture, "GC"));
    fixture.define_stub("b", &json!({}));
    let config = fixture.chained();
    let old = fixture.pod("osd", Some("a, b"));
    let new = fixture.pod("mon", Some("b"));
    fixture.run("ADD", &config, &old).expect_success("ADD");
    let gc = fixture.collect_call(&config, Some(&[&old])).start(&fixture.node);
    let lock = "/run/rooknet/collect.lock";
    wait_until("the GC's lock", LIMIT, || fixture.node.held_locks().iter().any(|held| held.file == lock));
    let add = start(&fixture, "ADD", &config, &new);
    until_it_has_open(&add, lock);
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "ADD net2"]);
    open_gate(&fixture);
    gc.wait().expect_success("GC");
    add.wait().expect_success("ADD");
    assert_eq!(fixture.taken(), [format!("{}@net1", new.id), format!("{}@net1", old.id), format!("{}@net2", old.id)]);
    for pod in [&old, &new] {
        fixture.run("DEL", &config, pod).expect_success("DEL");
    }
    fixture.assert_clean();
}

#[test]
fn a_gc_passes_over_containers_that_are_being_added_or_deleted() {
    let (fixture, config) = node();
    let pods: Vec<Pod<'_>> = (0..6).map(|_| fixture.pod("osd", Some("public, cluster@cluster"))).collect();
    for operation in ["ADD", "DEL"] {
        let calls: Vec<RunningCall> = pods.iter().map(|pod| start(&fixture, operation, &config, pod)).collect();
        // A runtime that says nothing: whatever is alive stays.
        for _ in 0..3 {
            fixture.collect(&config, None).expect_success("GC");
        }
        for call in calls {
            call.wait().expect_success(operation);
        }
        if operation == "ADD" {
            pods.iter().for_each(|pod| assert_attached(&fixture, pod));
        }
    }
    assert_clean_and_alone(&fixture);
}

#[test]
fn two_containers_in_one_namespace_keep_to_their_own() {
    let (fixture, _) = node();
    let config = fixture.chained();
    let first = fixture.pod("osd", Some("public@a0, cluster@a1"));
    let mut second = fixture.pod("mon", Some("public@b0, cluster@b1"));
    second.netns = first.netns.clone();
    for pod in [&first, &second] {
        fixture.run("ADD", &config, pod).expect_success("ADD");
    }
    assert_eq!(first.netns.interfaces(), ["a0", "a1", "b0", "b1"]);
    fixture.run("DEL", &config, &first).expect_success("DEL");
    assert_eq!(first.netns.interfaces(), ["b0", "b1"]);
    fixture.run("CHECK", &config, &second).expect_success("CHECK of the other");
    fixture.run("DEL", &config, &second).expect_success("DEL");
    assert_clean_and_alone(&fixture);
}

#[test]
fn two_interfaces_of_one_container_are_attached_and_deleted_apart() {
    let (fixture, _) = node();
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public@a0"));
    let other = fixture.pod("osd", Some("cluster@b0"));
    // The same container's second interface, by another of the runtime's networks.
    let second = |operation: &str| fixture.call(operation, &config, &other).container(&pod.id, &pod.netns, "eth1");
    let adds = [start(&fixture, "ADD", &config, &pod), second("ADD").start(&fixture.node)];
    for add in adds {
        add.wait().expect_success("ADD");
    }
    assert_eq!(pod.netns.interfaces(), ["a0", "b0"]);
    assert_eq!(fixture.node.journals(), [format!("{}@eth0.json", pod.id), format!("{}@eth1.json", pod.id)]);
    fixture.run("DEL", &config, &pod).expect_success("DEL of eth0");
    assert_eq!(pod.netns.interfaces(), ["b0"]);
    second("CHECK").run(&fixture.node).expect_success("CHECK of eth1");
    second("DEL").run(&fixture.node).expect_success("DEL of eth1");
    assert_clean_and_alone(&fixture);
}
