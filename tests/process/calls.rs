//! What calls tell the agent: a line for each, that no call depends on.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, valid};
use crate::support::Outcome;

const FILE: &str = "/run/rooknet/calls.jsonl";

fn with_networks() -> Fixture {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    fixture.define_stub("cluster", &json!({}));
    fixture
}

/// The only record since the last time.
#[track_caller]
fn only(fixture: &Fixture) -> Value {
    let mut calls = fixture.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

/// A record without what no two calls have alike.
#[track_caller]
fn timeless(mut record: Value) -> Value {
    let object = record.as_object_mut().unwrap();
    let began = object.remove("time").unwrap().as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(u128::from(began) <= now && now - u128::from(began) < 600_000, "{began} {now}");
    let duration = object.remove("duration").unwrap().as_f64().unwrap();
    assert!(duration > 0.0);
    for network in object.get_mut("networks").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(took) = network.as_object_mut().unwrap().remove("ms") {
            let took = took.as_f64().unwrap();
            assert!(took > 0.0 && took < duration, "{took} {duration}");
            network["took"] = json!(true);
        }
    }
    record
}

fn of_pod(command: &str, pod: &Pod<'_>) -> Value {
    json!({
        "command": command, "container": pod.id, "interface": "eth0", "namespace": "rook-ceph", "pod": "osd",
        "uid": "6d1f7b2e-0000-4000-8000-000000000001", "code": 0,
    })
}

fn with(mut record: Value, key: &str, value: Value) -> Value {
    record[key] = value;
    record
}

#[test]
fn each_call_that_may_change_something_leaves_one_record() {
    let fixture = with_networks();
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public, cluster@other")));
    let result = fixture.add(&config, &pod);
    let networks = json!([
        {"network": "rook-ceph/public", "interface": "net1", "addresses": ["192.0.2.7/24"], "took": true},
        {"network": "rook-ceph/cluster", "interface": "other", "took": true},
    ]);
    assert_eq!(timeless(only(&fixture)), with(of_pod("ADD", &pod), "networks", networks));
    fixture.check(&config, &pod, &result).expect_success("CHECK");
    assert_eq!(timeless(only(&fixture)), of_pod("CHECK", &pod));
    fixture.node_call("STATUS", &config).expect_success("STATUS");
    assert_eq!(fixture.calls(), Vec::<Value>::new());
    fixture.gc(&config, &valid(&[&pod])).expect_success("GC");
    assert_eq!(timeless(only(&fixture)), json!({"command": "GC", "code": 0}));
    fixture.del(&config, &pod);
    let networks = json!([
        {"network": "rook-ceph/public", "interface": "net1"},
        {"network": "rook-ceph/cluster", "interface": "other"},
    ]);
    assert_eq!(timeless(only(&fixture)), with(of_pod("DEL", &pod), "networks", networks));
    fixture.del(&config, &pod);
    assert_eq!(timeless(only(&fixture)), of_pod("DEL", &pod), "a DEL of what is gone");
    fixture.assert_clean();
}

#[test]
fn a_pod_that_selects_nothing_has_a_short_record_and_no_fsync() {
    let fixture = with_networks();
    let (mut config, pod) = (fixture.chained(), fixture.pod("osd", None));
    config["logLevel"] = json!("debug");
    let said = fixture.run("ADD", &config, &pod);
    said.expect_success("ADD");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains(" 0 fsyncs,"), "{said}");
    let line = fixture.node.read(FILE).unwrap();
    assert!(line.len() < 256, "{} bytes", line.len());
    assert_eq!(timeless(only(&fixture)), of_pod("ADD", &pod));
}

#[test]
fn a_failed_call_says_why_and_what_had_been_attached() {
    let fixture = with_networks();
    fixture.define_stub("broken", &json!({"failOn": ["ADD"]}));
    let config = fixture.chained();
    let failing = |networks: &str, config: &Value| -> (Value, Outcome) {
        let pod = fixture.pod("osd", Some(networks));
        let outcome = fixture.run("ADD", config, &pod);
        (only(&fixture), outcome)
    };
    let (record, outcome) = failing("public, broken", &config);
    let said = outcome.json();
    assert_eq!((&record["code"], &record["cause"], &record["error"]), (&said["code"], &json!("plugin"), &said["msg"]));
    assert_eq!(record["networks"].as_array().unwrap().len(), 1, "{record}");
    let mut isolated = config.clone();
    isolated["namespaceIsolation"] = json!(true);
    let mut unreadable = config.clone();
    unreadable["deadline"] = json!("never");
    for (networks, config, code, cause) in [
        ("missing", &config, 7, "configuration"),
        ("elsewhere/public", &isolated, 104, "policy"),
        ("public", &unreadable, 7, "configuration"),
    ] {
        let (record, _) = failing(networks, config);
        assert_eq!((&record["code"], &record["cause"]), (&json!(code), &json!(cause)), "{record}");
    }
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&config, &pod);
    let (code, _) = fixture.run("ADD", &config, &pod).error();
    let calls = fixture.calls();
    assert_eq!((&calls[1]["code"], &calls[1]["cause"]), (&json!(code), &json!("state")));
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn no_call_fails_for_its_record() {
    let fixture = with_networks();
    let config = fixture.chained();
    let lives = |what: &str| {
        let pod = fixture.pod("osd", Some("public"));
        fixture.add(&config, &pod);
        let deleted = fixture.run("DEL", &config, &pod);
        deleted.expect_success(what);
        String::from_utf8_lossy(&deleted.stderr).into_owned()
    };
    lives("first");
    let path = fixture.node.path(FILE);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(lives("a directory").contains("the agent will not hear of this call"));
    std::fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/run/elsewhere", &path).unwrap();
    lives("a link");
    assert!(fixture.node.read("/run/elsewhere").is_none());
    std::fs::remove_file(&path).unwrap();
    fixture.node.ok(&["mkfifo", FILE]);
    lives("a FIFO that nobody reads");
    std::fs::remove_file(&path).unwrap();
    let pod = fixture.pod("osd", Some("public"));
    for call in ["ADD", "DEL"] {
        let full = fixture.call(call, &config, &pod).env("ROOKNET_FAULT", "enospc:calls").run(&fixture.node);
        full.expect_success("a full /run");
    }
    fixture.assert_clean();
}

#[test]
fn without_an_agent_the_file_ends_at_its_limit() {
    let fixture = with_networks();
    let (config, pod) = (fixture.chained(), fixture.pod("osd", None));
    fixture.add(&config, &pod);
    let file = std::fs::OpenOptions::new().write(true).open(fixture.node.path(FILE)).unwrap();
    file.set_len(4 * 1024 * 1024).unwrap();
    fixture.add(&config, &pod);
    assert_eq!(file.metadata().unwrap().len(), 4 * 1024 * 1024);
    fixture.del(&config, &pod);
}

#[test]
fn an_agent_that_is_killed_between_taking_and_ending_takes_the_same_again() {
    let fixture = with_networks();
    let (config, pod) = (fixture.chained(), fixture.pod("osd", None));
    fixture.add(&config, &pod);
    fixture.kill_step(&["take"], "", "kill:calls.taken");
    fixture.del(&config, &pod);
    let commands = |calls: &[Value]| calls.iter().map(|call| call["command"].as_str().unwrap().to_owned()).collect();
    let looked: Vec<String> = fixture.stepped(&["look"], "").lines().map(str::to_owned).collect();
    assert!(looked.len() == 1 && looked[0].contains("\"ADD\""), "{looked:?}");
    let (first, second): (Vec<String>, Vec<String>) = (commands(&fixture.calls()), commands(&fixture.calls()));
    assert_eq!((first, second), (vec!["ADD".to_owned()], vec!["DEL".to_owned()]));
    assert_eq!(fixture.calls(), Vec::<Value>::new());
}
