//! STATUS: it fails for what no pod could be attached with, and for nothing else: a node that is NotReady loses its
//! storage daemons.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS, assert_error};
use crate::support::Outcome;

const NOT_AVAILABLE: u64 = 50;
const NOT_AVAILABLE_LIMITED: u64 = 51;

fn log(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stderr).into_owned()
}

/// STATUS succeeds and prints nothing.
#[track_caller]
fn assert_available(fixture: &Fixture, config: &Value) -> Outcome {
    let outcome = fixture.node_call("STATUS", config);
    assert_eq!(outcome.expect_success("STATUS"), "");
    outcome
}

/// With `what` wrong, STATUS succeeds and logs it; `statusStrict` makes it fail.
#[track_caller]
pub(crate) fn assert_only_strict_fails(fixture: &Fixture, config: &Value, parts: &[&str]) {
    let logged = log(&assert_available(fixture, config));
    for part in parts {
        assert!(logged.contains(part), "{part:?} is not logged: {logged}");
    }
    let mut strict = config.clone();
    for yes in [json!(true), json!("true")] {
        strict["statusStrict"] = yes;
        assert_error(&fixture.node_call("STATUS", &strict), NOT_AVAILABLE, parts);
    }
}

#[test]
fn a_node_without_a_fault_is_available_in_both_modes() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    for mut config in [fixture.chained(), fixture.delegating(&json!({}))] {
        // A runtime gives STATUS no previous result.
        config.as_object_mut().unwrap().remove("prevResult");
        config["statusStrict"] = json!(true);
        assert_available(&fixture, &config);
    }
    assert_eq!(fixture.recorded_calls(), ["STATUS "], "the default network's own");
    assert_eq!(fixture.records()[0]["stdin"].get("runtimeConfig"), None);
    fixture.assert_clean();
}

#[test]
fn an_invalid_configuration_fails() {
    let fixture = Fixture::start();
    for (key, value, part) in [
        ("namespaceIsolation", json!("perhaps"), "namespaceIsolation"),
        ("logLevel", json!("loud"), "logLevel"),
        ("logFile", json!("relative"), "logFile"),
        ("stateDir", json!(7), "stateDir"),
        ("name", json!("a/b"), "a/b"),
        ("deadline", json!("soon"), "deadline"),
        ("networksDir", json!("relative"), "networksDir"),
        ("delegates", json!("pods"), "delegates"),
        ("delegates", json!([{"name": "pods"}]), "delegates[0]"),
        ("clusterNetwork", json!("absent"), "clusterNetwork"),
        ("clusterNetwork", json!("/etc/cni/absent"), "/etc/cni/absent"),
    ] {
        let mut config = fixture.chained();
        config[key] = value;
        assert_error(&fixture.node_call("STATUS", &config), NOT_AVAILABLE, &[part]);
    }
    fixture.assert_clean();
}

#[test]
fn a_state_directory_that_cannot_be_written_fails() {
    let fixture = Fixture::start();
    let config = fixture.chained();
    assert_available(&fixture, &config);
    fixture.node.ok(&["mount", "-o", "remount,ro", "/var/lib/rooknet"]);
    let parts = ["state directory", "/var/lib/rooknet", "Read-only file system"];
    assert_error(&fixture.node_call("STATUS", &config), NOT_AVAILABLE, &parts);
    fixture.node.ok(&["mount", "-o", "remount,rw", "/var/lib/rooknet"]);
    assert_available(&fixture, &config);
    fixture.assert_clean();
}

#[test]
fn a_full_state_directory_fails() {
    let fixture = Fixture::start();
    let config = fixture.chained().to_string();
    let call = crate::support::PluginCall::new(&fixture.program(), "STATUS", &config);
    let call = call.env("ROOKNET_FAULT", "enospc:journal-probe");
    assert_error(&call.run(&fixture.node), NOT_AVAILABLE, &["No space left"]);
    fixture.assert_clean();
}

#[test]
fn the_default_networks_own_failure_and_its_code_are_passed_on() {
    let fixture = Fixture::start();
    for (code, expected) in [(50, NOT_AVAILABLE), (51, NOT_AVAILABLE_LIMITED), (7, NOT_AVAILABLE), (999, NOT_AVAILABLE)]
    {
        let error = json!({"cniVersion": "1.1.0", "code": code, "msg": "no address left", "details": "in the pool"});
        let config = fixture.delegating(&json!({"failOn": ["STATUS"], "error": error}));
        let parts = ["default network pods", "no address left", "in the pool"];
        assert_error(&fixture.node_call("STATUS", &config), expected, &parts);
    }
    fixture.assert_clean();
}

#[test]
fn a_missing_program_of_the_default_network_fails() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0]["type"] = json!("absent");
    assert_error(&fixture.node_call("STATUS", &config), NOT_AVAILABLE, &["pods", "absent", "not installed"]);
    config["delegates"][0]["type"] = json!("primary");
    config["delegates"][0]["ipam"] = json!({"type": "absent-ipam"});
    assert_error(&fixture.node_call("STATUS", &config), NOT_AVAILABLE, &["pods", "absent-ipam", "not installed"]);
    fixture.assert_clean();
}

#[test]
fn a_default_network_that_is_not_ready_fails() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["readinessindicatorfile"] = json!("/run/primary/ready");
    let parts = ["not ready", "readinessindicatorfile /run/primary/ready"];
    assert_error(&fixture.node_call("STATUS", &config), NOT_AVAILABLE, &parts);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    fixture.node.write("/run/primary/ready", "");
    assert_available(&fixture, &config);
    // Behind a primary plugin there is nothing to wait for.
    let mut chained = fixture.chained();
    chained["readinessindicatorfile"] = json!("/run/primary/absent");
    assert_available(&fixture, &chained);
    fixture.assert_clean();
}

#[test]
fn a_default_network_below_1_1_0_has_no_status_of_its_own() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({"failOn": ["STATUS"]}));
    config["delegates"][0]["cniVersion"] = json!("1.0.0");
    assert_available(&fixture, &config);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
}

#[test]
fn a_hanging_default_network_fails_within_the_deadline_and_leaves_nothing() {
    let fixture = Fixture::start();
    for stub in [json!({"hangOn": ["STATUS"]}), json!({"hangOn": ["STATUS"], "ipam": "hang"})] {
        let config = fixture.delegating(&stub);
        let started = Instant::now();
        let outcome = fixture.node_call("STATUS", &config);
        let took = started.elapsed();
        assert_error(&outcome, NOT_AVAILABLE, &["default network pods", "deadline"]);
        assert!(took >= Duration::from_millis(900), "gave up after {took:?}");
        assert!(took < Duration::from_secs(5), "took {took:?}, the deadline is one second");
        fixture.assert_clean();
    }
}

#[test]
fn a_malformed_or_unusable_network_of_some_pods_fails_only_when_strict() {
    for (file, text, part) in [
        ("rook-ceph/broken.json", "{".to_owned(), "rook-ceph/broken"),
        ("rook-ceph/broken.conf", json!({"name": "broken"}).to_string(), "rook-ceph/broken"),
        ("rook-ceph/absent.conf", json!({"name": "a", "type": "absent-type"}).to_string(), "absent-type"),
        ("tenant/masterless.conf", json!({"name": "m", "type": "macvlan", "master": "eth9"}).to_string(), "eth9"),
        ("tenant/nowhere.json", "{}".to_owned(), "tenant/nowhere"),
    ] {
        let fixture = Fixture::start();
        fixture.define_stub("public", &json!({}));
        fixture.node.write(&format!("{NETWORKS}/{file}"), text);
        assert_only_strict_fails(&fixture, &fixture.chained(), &[part]);
        assert_only_strict_fails(&fixture, &fixture.delegating(&json!({})), &[part]);
        fixture.assert_clean();
    }
}

#[test]
fn every_unusable_network_is_named() {
    let fixture = Fixture::start();
    for name in ["first", "second"] {
        fixture.define("rook-ceph", name, &json!({"name": name, "type": format!("absent-{name}")}));
    }
    let parts = ["rook-ceph/first", "absent-first", "rook-ceph/second", "absent-second"];
    assert_only_strict_fails(&fixture, &fixture.chained(), &parts);
}

#[test]
fn a_network_whose_pool_is_exhausted_does_not_make_the_node_unavailable() {
    let fixture = Fixture::start();
    let error = json!({"code": 50, "msg": "no address left"});
    fixture.define_stub("public", &json!({"failOn": ["STATUS"], "error": error}));
    let pod = fixture.pod("osd", Some("public"));
    let config = fixture.chained();
    fixture.add(&config, &pod);
    assert_available(&fixture, &config);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn a_missing_kubeconfig_or_networks_directory_does_not_make_the_node_unavailable() {
    let fixture = Fixture::start();
    let mut config = fixture.chained();
    config["networksDir"] = json!("/etc/cni/absent");
    config["kubeconfig"] = json!("/etc/cni/absent.kubeconfig");
    config["confDir"] = json!("/etc/cni/absent.d");
    assert_available(&fixture, &config);
}

#[test]
fn journals_that_are_corrupt_or_locked_do_not_matter() {
    let fixture = Fixture::start();
    fixture.define_stub("slow", &json!({"hangOn": ["ADD"]}));
    fixture.node.write("/var/lib/rooknet/attachments/broken@eth0.json", "{");
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("slow"));
    let add = fixture.call("ADD", &config, &pod).start(&fixture.node);
    fixture.wait_for_record("ADD net1");
    assert_available(&fixture, &config);
    crate::fixture::terminate(&add);
    assert!(!add.wait().success());
    assert_eq!(fixture.node.journals(), ["broken@eth0.json"], "no file of a probe is left");
}

#[test]
fn a_configuration_below_1_1_0_has_no_status() {
    let fixture = Fixture::start();
    let mut config = fixture.chained();
    config["cniVersion"] = json!("1.0.0");
    assert_error(&fixture.node_call("STATUS", &config), 1, &["1.1.0", "1.0.0"]);
}

#[test]
fn any_number_of_large_definitions_is_no_failure_of_the_node() {
    let fixture = Fixture::start();
    let mut config = fixture.chained();
    config["statusStrict"] = json!(true);
    for number in 0..10 {
        fixture.define_stub(&format!("large-{number}"), &json!({"filling": "a".repeat(900_000)}));
    }
    fixture.node_call("STATUS", &config).expect_success("STATUS");
    // One pod cannot have them all.
    let all: Vec<String> = (0..10).map(|number| format!("large-{number}")).collect();
    let pod = fixture.pod("osd", Some(&all.join(",")));
    fixture.refused_add("all of them", &fixture.chained(), &pod, 7, &["one too many", "8388608"]);
}
