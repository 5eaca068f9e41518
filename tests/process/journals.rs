//! DEL by its journal, whatever has become of that: missing, unreadable, half written, of another rooknet, or left by a
//! DEL that failed.

use serde_json::{Value, json};

use crate::faults::{Primary, assert_killed, fail_on, journal_file};
use crate::fixture::{Fixture, Pod};
use crate::support::PluginCall;

/// Where unreadable journals are kept for people.
const CORRUPT: &str = "/var/lib/rooknet/corrupt";
/// Where failed ones are marked.
const FAILED: &str = "/var/lib/rooknet/failed";

#[test]
fn without_a_journal_a_chained_del_succeeds_and_calls_nothing() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    for _ in 0..2 {
        fixture.run("DEL", &config, &pod).expect_success("DEL");
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn without_a_journal_a_delegating_del_deletes_the_default_network_with_the_runtimes_result() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", Some("public")));
    let mut with_result = config.clone();
    with_result["prevResult"] = fixture.chained()["prevResult"].clone();
    let mut damaged = config.clone();
    damaged["prevResult"] = json!({"cniVersion": "1.1.0", "ips": "none"});
    for config in [&with_result, &config, &damaged] {
        fixture.run("DEL", config, &pod).expect_success("DEL");
    }
    assert_eq!(fixture.recorded_calls(), ["DEL eth0"; 3], "which others it had cannot be known");
    let results: Vec<Value> = fixture.records().iter().map(|record| record["stdin"]["prevResult"].clone()).collect();
    assert_eq!(results, [with_result["prevResult"].clone(), Value::Null, Value::Null]);
    fixture.assert_clean();
}

/// What a journal may have become.
const DAMAGES: [&str; 6] = ["empty", "garbage", "cut", "another container's", "another interface's", "of format 0"];

/// That, of what it was.
fn damaged(what: &str, whole: &[u8]) -> Vec<u8> {
    match what {
        "empty" => Vec::new(),
        "garbage" => b"\x00\xff not JSON".to_vec(),
        "cut" => whole[..whole.len() / 2].to_vec(),
        "another container's" => changed(whole, "containerID", &json!("somebody-else")),
        "another interface's" => changed(whole, "ifname", &json!("eth7")),
        _ => changed(whole, "format", &json!(0)),
    }
}

fn changed(journal: &[u8], key: &str, value: &Value) -> Vec<u8> {
    let mut journal: Value = serde_json::from_slice(journal).unwrap();
    journal[key] = value.clone();
    journal.to_string().into_bytes()
}

fn damage(fixture: &Fixture, pod: &Pod<'_>, what: &str) {
    let whole = fixture.node.read(&journal_file(pod)).unwrap();
    fixture.node.write(&journal_file(pod), damaged(what, &whole));
}

/// The primary plugin's address, in host-local's store too.
fn primary_address(fixture: &Fixture, pod: &Pod<'_>) {
    Primary::attach(pod);
    fixture.node.write("/var/lib/cni/networks/k8s-pods/10.244.0.5", format!("{}\r\neth0", pod.id));
}

/// The same container's eth1, attached to `cluster` as b0.
fn second_interface(fixture: &Fixture, config: &Value, pod: &Pod<'_>, operation: &str) {
    let selection = fixture.pod("second", Some("cluster@b0"));
    let call = fixture.call(operation, config, &selection).container(&pod.id, &pod.netns, "eth1");
    call.run(&fixture.node).expect_success(&format!("{operation} of eth1"));
}

#[test]
fn an_unreadable_journal_is_undone_by_group_and_owner_set_aside_and_nobody_elses_is_touched() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    fixture.define_macvlan("cluster", "10.2.0.0/24");
    let config = fixture.chained();
    for (number, what) in DAMAGES.into_iter().enumerate() {
        let pod = fixture.pod("osd", Some("public@a0, cluster@a1"));
        let bystander = fixture.pod("mon", Some("public"));
        primary_address(&fixture, &pod);
        fixture.run("ADD", &config, &pod).expect_success("ADD");
        fixture.run("ADD", &config, &bystander).expect_success("ADD of another pod");
        second_interface(&fixture, &config, &pod, "ADD");
        damage(&fixture, &pod, what);
        let damaged = fixture.node.read(&journal_file(&pod));

        fixture.run("DEL", &config, &pod).expect_success(&format!("DEL with a journal that is {what}"));
        assert_eq!(pod.netns.interfaces(), ["b0", "eth0", "eth0-peer"], "{what}");
        assert_eq!(fixture.leases(), ["cluster b0", "k8s-pods eth0", "public net1"], "{what}");
        let aside = fixture.node.entries(CORRUPT);
        assert_eq!(aside.len(), number + 1, "{what}");
        assert_eq!(fixture.node.read(&format!("{CORRUPT}/{}@eth0.json", pod.id)), damaged, "{what}: kept as it was");
        assert_eq!(fixture.node.journals().len(), 2, "{what}: the other pod's and eth1's");

        fixture.run("DEL", &config, &pod).expect_success("DEL again");
        second_interface(&fixture, &config, &pod, "DEL");
        fixture.run("DEL", &config, &bystander).expect_success("DEL of the other pod");
        assert_eq!(fixture.leases(), ["k8s-pods eth0"], "{what}");
        fixture.node.ok(&["rm", "/var/lib/cni/networks/k8s-pods/10.244.0.5"]);
        Primary::detach(&pod);
        fixture.assert_clean();
    }
}

#[test]
fn an_unreadable_journal_of_a_pod_whose_namespace_is_gone_is_undone_by_owner() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    fixture.define_macvlan("cluster", "10.2.0.0/24");
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public@a0"));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    second_interface(&fixture, &config, &pod, "ADD");
    damage(&fixture, &pod, "empty");
    pod.netns.clone().delete();
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(fixture.leases(), ["cluster b0"], "the readable journal of eth1 says which is its own");
    second_interface(&fixture, &config, &pod, "DEL");
    fixture.assert_clean();
}

#[test]
fn the_undoing_of_an_unreadable_journal_killed_anywhere_is_finished_by_the_next_del() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    fixture.define_macvlan("cluster", "10.2.0.0/24");
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public@a0, public@a1")));
    second_interface(&fixture, &config, &pod, "ADD");
    let begin = || {
        fixture.run("ADD", &config, &pod).expect_success("ADD");
        damage(&fixture, &pod, "garbage");
        fixture.call("DEL", &config, &pod)
    };
    let mut points = fixture.passings(&begin());
    points.retain(|passing| passing.starts_with("kill:corrupt") || passing.starts_with("kill:journal-aside"));
    assert_eq!(points.len(), 6, "two links, two addresses, before and after it is set aside: {points:?}");
    for point in &points {
        assert_killed(&begin().env("ROOKNET_FAULT", point).run(&fixture.node), point);
        fixture.run("DEL", &config, &pod).expect_success(point);
        assert_eq!(pod.netns.interfaces(), ["b0"], "{point}");
        assert_eq!(fixture.leases(), ["cluster b0"], "{point}");
    }
    assert_eq!(fixture.node.entries(CORRUPT).len(), points.len() + 1);
    second_interface(&fixture, &config, &pod, "DEL");
    fixture.assert_clean();
}

#[test]
fn an_unreadable_journal_of_a_delegating_pod_takes_the_default_network_along() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    let mut config = fixture.delegating(&json!({}));
    config["delegates"] = json!([fixture.macvlan_config("pods", "10.3.0.0/24")]);
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    assert_eq!(fixture.leases(), ["pods eth0", "public net1"]);
    damage(&fixture, &pod, "garbage");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.run("DEL", &config, &pod).expect_success("DEL again");
    fixture.assert_clean();
}

#[test]
fn an_add_undoes_an_unreadable_journal_first() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    damage(&fixture, &pod, "empty");
    fixture.run("ADD", &config, &pod).expect_success("ADD again");
    assert_eq!((fixture.leases(), fixture.node.entries(CORRUPT).len()), (vec!["public net1".to_owned()], 1));
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn an_unreadable_journal_stays_in_place_until_all_that_shows_is_undone() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    damage(&fixture, &pod, "empty");
    fixture.node.ok(&["mount", "-o", "remount,ro", "/var/lib/cni"]);
    let (code, message) = fixture.run("DEL", &config, &pod).error();
    assert!(code == 5 && message.contains("/var/lib/cni/networks/public"), "{code} {message}");
    assert_eq!(fixture.node.journals().len(), 1);
    fixture.node.ok(&["mount", "-o", "remount,rw", "/var/lib/cni"]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(fixture.node.entries(CORRUPT).len(), 1);
    fixture.assert_clean();
}

#[test]
fn a_gc_leaves_an_unreadable_journal_and_lets_no_plugin_free_what_it_may_hold() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let whole = fixture.node.read(&journal_file(&pod)).unwrap();
    for damaged in [b"{".to_vec(), changed(&whole, "format", &json!(99))] {
        fixture.node.write(&journal_file(&pod), &damaged);
        fixture.forget_records();
        let (_, message) = fixture.collect(&config, Some(&[])).error();
        assert!(message.contains(&pod.id), "{message}");
        assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
        assert_eq!(fixture.node.read(&journal_file(&pod)), Some(damaged));
        assert_eq!(pod.netns.interfaces(), ["net1"]);
    }
}

#[test]
fn a_journal_of_a_newer_rooknet_is_refused_and_kept() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let whole = fixture.node.read(&journal_file(&pod)).unwrap();
    // A later format may have quite other keys.
    let newer = br#"{"format": 2, "container": {"whatever": []}}"#.to_vec();
    fixture.node.write(&journal_file(&pod), &newer);
    fixture.forget_records();
    for operation in ["DEL", "ADD", "DEL"] {
        let (_, message) = fixture.run(operation, &config, &pod).error();
        assert!(message.contains("format 2") && message.contains("newer"), "{operation}: {message}");
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    assert_eq!(fixture.node.read(&journal_file(&pod)), Some(newer));
    assert_eq!(fixture.node.entries(CORRUPT), Vec::<String>::new());

    fixture.node.write(&journal_file(&pod), whole);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_half_written_journal_undoes_real_links_and_addresses_without_results() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    fixture.define_macvlan("cluster", "10.2.0.0/24");
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public, cluster@cluster"));
    for point in ["kill:add.attach@2", "kill:add.attached@2", "kill:add.routed", "kill:journal-results.written"] {
        let add: PluginCall = fixture.call("ADD", &config, &pod).env("ROOKNET_FAULT", point);
        assert_killed(&add.run(&fixture.node), point);
        let journal = fixture.journal_of(&pod).unwrap();
        assert!(journal["complete"] == false && journal["attachments"][0]["result"].is_null(), "{point}: {journal}");
        fixture.run("DEL", &config, &pod).expect_success(point);
        fixture.assert_clean();
    }
}

#[test]
fn a_failed_del_keeps_and_marks_its_journal_and_goes_on_past_the_failure() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let mut cluster = fixture.stub_config("cluster", &json!({}));
    cluster["type"] = json!("stub2");
    fixture.define("rook-ceph", "cluster", &cluster);
    let (config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", Some("public, cluster")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    fixture.forget_records();
    fail_on(&fixture, "stub2", &["DEL"]);
    fail_on(&fixture, "primary", &["DEL"]);
    let (_, message) = fixture.run("DEL", &config, &pod).error();
    for part in ["interface net2", "interface eth0", "try again"] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert_eq!(fixture.recorded_calls(), ["DEL net2", "DEL net1", "DEL eth0"]);
    assert_eq!(fixture.node.entries(FAILED), [format!("{}@eth0", pod.id)]);
    assert!(fixture.journal_of(&pod).is_some());

    fail_on(&fixture, "stub2", &[]);
    fail_on(&fixture, "primary", &[]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_del_retries_one_failed_journal_of_a_dead_namespace_and_never_one_of_a_living() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    let [alive, first, second] = [(); 3].map(|()| fixture.pod("osd", Some("public")));
    let other = fixture.pod("mon", None);
    let retry = || {
        fixture.forget_records();
        fixture.run("DEL", &config, &other).expect_success("DEL of another container");
        let tried = fixture.records();
        tried.iter().map(|record| record["env"]["CNI_CONTAINERID"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for pod in [&alive, &first, &second] {
        fixture.run("ADD", &config, pod).expect_success("ADD");
    }
    fail_on(&fixture, "stub", &["DEL"]);
    for pod in [&alive, &first, &second] {
        fixture.run("DEL", &config, pod).error();
    }
    assert_eq!(retry(), Vec::<String>::new(), "all their namespaces live");
    for pod in [&first, &second] {
        pod.netns.clone().delete();
    }
    assert_eq!(retry(), [first.id.as_str()], "the longest untried; its failure is not this DEL's");
    assert_eq!(retry(), [second.id.as_str()], "then the other");
    assert_eq!(fixture.node.journals().len(), 3);

    fail_on(&fixture, "stub", &[]);
    assert_eq!([retry(), retry(), retry()].concat(), [first.id.clone(), second.id.clone()]);
    assert_eq!(fixture.node.journals(), [format!("{}@eth0.json", alive.id)], "a living pod's waits for its own DEL");
    fixture.run("DEL", &config, &alive).expect_success("DEL");
    fixture.assert_clean();
}
