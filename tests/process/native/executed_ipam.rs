//! An IPAM program under a native macvlan: it is called as the reference's macvlan calls it.

use serde_json::{Value, json};

use super::{executed, logging};
use crate::fixture::{Fixture, Pod, RECORD, Refusal, STORE};

/// A node whose network `public` is a macvlan with the stub as its IPAM plugin, which keeps book of its addresses.
fn start() -> Fixture {
    let fixture = Fixture::start();
    let mut config = fixture.macvlan_config("public", "10.1.0.0/24");
    config["cniVersion"] = json!("1.1.0");
    config["ipam"] = json!({"type": "stub", "pool": {"of": ["any", 1.50, "kind"]}});
    // The whole of it goes to the IPAM plugin, what rooknet and macvlan do not know included.
    config["args"] = json!({"cni": {"some": "thing"}});
    config["dns"] = json!({"nameservers": ["10.1.0.53"]});
    fixture.define("rook-ceph", "public", &config);
    fixture.overrule("stub", Some(&behaviour(&json!({}))));
    fixture
}

fn behaviour(keys: &Value) -> Value {
    let mut stub = json!({"record": RECORD, "store": format!("{STORE}/public"), "address": "10.1.0.2/24"});
    crate::fixture::merge(&mut stub, keys);
    stub
}

fn pod(fixture: &Fixture) -> Pod<'_> {
    fixture.pod("osd", Some(r#"[{"name": "public", "interface": "public", "cni-args": {"more": "args"}}]"#))
}

/// What the IPAM plugin was called with: the variables of the protocol and its input. What differs by pod or chance is
/// named instead.
fn calls(fixture: &Fixture, pod: &Pod<'_>) -> Vec<Value> {
    let mac_of = |record: &Value| record["stdin"]["prevResult"]["interfaces"][0]["mac"].as_str().map(str::to_owned);
    let records = fixture.records().into_iter().map(|record| {
        let mut text = record.to_string().replace(&pod.id, "THE-POD");
        if let Some(mac) = mac_of(&record) {
            text = text.replace(&mac, "THE-MAC");
        }
        let mut record: Value = serde_json::from_str(&text).unwrap();
        let variables = record["env"].as_object_mut().unwrap();
        variables.retain(|name, _| name.starts_with("CNI_"));
        json!({"variables": record["env"], "stdin": record["stdin"]})
    });
    records.collect()
}

#[test]
fn it_gets_the_environment_and_the_input_that_the_reference_gives_it() {
    let fixture = start();
    let native = logging(fixture.chained(), "debug");
    let mut seen = Vec::new();
    for config in [native.clone(), executed(native)] {
        let pod = pod(&fixture);
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success("ADD");
        assert_eq!(super::Cost::of(&added).programs, 1, "the IPAM plugin, or the macvlan plugin");
        assert_eq!(pod.netns.addresses("public"), ["10.1.0.2/24"]);
        fixture.check(&config, &pod, &config["prevResult"]).expect_success("CHECK");
        fixture.del(&config, &pod);
        fixture.assert_clean();
        seen.push(calls(&fixture, &pod));
        fixture.forget_records();
    }
    let commands: Vec<&str> = seen[0].iter().filter_map(|call| call["variables"]["CNI_COMMAND"].as_str()).collect();
    assert_eq!(commands, ["ADD", "CHECK", "DEL"]);
    for (native, reference) in seen[0].iter().zip(&seen[1]) {
        assert_eq!(native, reference);
    }
    assert_eq!(seen[0].len(), seen[1].len());
    let add = &seen[0][0];
    assert_eq!(add["variables"]["CNI_CONTAINERID"], "THE-POD");
    assert_eq!(add["variables"]["CNI_IFNAME"], "public");
    assert_eq!(add["variables"]["CNI_PATH"], "/opt/cni/bin");
    assert_eq!(add["stdin"]["args"]["cni"], json!({"some": "thing", "more": "args"}));
    assert_eq!(add["stdin"]["ipam"]["pool"], json!({"of": ["any", 1.5, "kind"]}));
}

#[test]
fn its_own_gc_and_status_are_called() {
    let fixture = start();
    let config = fixture.chained();
    let mut default = fixture.macvlan_config("pods", "10.1.0.0/24");
    default["cniVersion"] = json!("1.1.0");
    default["ipam"] = json!({"type": "stub", "pool": 7});
    let mut delegating = fixture.delegating(&json!({}));
    delegating["delegates"] = json!([default]);
    fixture.node_call("STATUS", &delegating).expect_success("STATUS");
    let pod = pod(&fixture);
    fixture.add(&config, &pod);
    let native = calls(&fixture, &pod).remove(0);
    fixture.collect(&config, Some(&[&pod])).expect_success("GC");

    assert_eq!(fixture.recorded_calls(), ["STATUS ", "ADD public", "GC "]);
    assert_eq!((native["stdin"]["type"].as_str(), &native["stdin"]["ipam"]["pool"]), (Some("macvlan"), &json!(7)));
    // The reference's macvlan has the same STATUS. (Its GC calls nobody.)
    fixture.forget_records();
    fixture.node_call("STATUS", &executed(delegating)).expect_success("STATUS");
    assert_eq!(calls(&fixture, &pod), [native]);

    fixture.forget_records();
    fixture.collect(&config, Some(&[&pod])).expect_success("GC");
    let gc = fixture.given("GC", "");
    let valid = json!([{"containerID": pod.id, "ifname": "public"}]);
    assert_eq!((&gc["cni.dev/valid-attachments"], &gc["type"]), (&valid, &json!("macvlan")));
    assert_eq!(gc["ipam"]["pool"], json!({"of": ["any", 1.5, "kind"]}));
    assert_eq!(fixture.taken(), [format!("{}@public", pod.id)]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn its_failing_add_takes_the_link_along() {
    let fixture = start();
    fixture.overrule("stub", Some(&behaviour(&json!({"failOn": ["ADD"]}))));
    let pod = pod(&fixture);
    let refusal = Refusal::of("ADD", &fixture.run("ADD", &fixture.chained(), &pod));
    assert!(refusal.message.contains("stub failed ADD") && !refusal.message.contains("rollback"), "{refusal:?}");
    assert_eq!(fixture.recorded_calls(), ["ADD public", "DEL public"], "it may have taken an address before it failed");
    fixture.assert_clean();
}

#[test]
fn an_answer_that_cannot_be_configured_takes_link_and_address_along() {
    let fixture = start();
    for (answer, part) in [
        (json!({"cniVersion": "1.1.0", "ips": []}), "no address"),
        (json!({"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.2"}]}), "10.1.0.2"),
        (json!("no object"), "stub"),
    ] {
        fixture.overrule("stub", Some(&behaviour(&json!({"stdoutText": answer.to_string()}))));
        let pod = pod(&fixture);
        let refusal = Refusal::of("ADD", &fixture.run("ADD", &fixture.chained(), &pod));
        assert!(refusal.message.contains(part), "{part:?}: {refusal:?}");
        fixture.assert_clean();
    }
}

#[test]
fn its_failing_del_keeps_the_journal_and_the_next_goes_on() {
    let fixture = start();
    let config = fixture.chained();
    let pod = pod(&fixture);
    fixture.add(&config, &pod);
    fixture.overrule("stub", Some(&behaviour(&json!({"failOn": ["DEL"], "store": "/run/other"}))));
    let refusal = Refusal::of("DEL", &fixture.run("DEL", &config, &pod));
    assert!(refusal.message.contains("stub failed DEL"), "{refusal:?}");
    assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "links go before addresses");
    assert!(fixture.has_journal(&pod));
    assert_eq!(fixture.taken(), [format!("{}@public", pod.id)]);
    fixture.overrule("stub", Some(&behaviour(&json!({}))));
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn without_the_program_nothing_is_begun() {
    let fixture = start();
    fixture.node.ok(&["rm", "/opt/cni/bin/stub"]);
    fixture.refused_add("ADD", &fixture.chained(), &pod(&fixture), 100, &["stub", "not installed"]);
}
