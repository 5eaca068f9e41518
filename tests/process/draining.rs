//! A drained node refuses pods that select networks, and nothing else.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, valid};

const FILE: &str = "/var/lib/rooknet/draining";

fn with_network() -> Fixture {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture
}

fn drain(fixture: &Fixture) {
    fixture.stepped(&["drain", "replacing a disk"], "");
}

#[test]
fn a_pod_that_selects_networks_is_refused_until_the_drain_ends() {
    let fixture = with_network();
    let pod = fixture.pod("osd", Some("public"));
    for config in [fixture.chained(), fixture.delegating(&json!({}))] {
        drain(&fixture);
        let words = ["pod rook-ceph/osd selects networks", "drained since 2", "(replacing a disk)", FILE, "removed"];
        fixture.refused_add("a drained node", &config, &pod, 11, &words);
        assert_eq!(fixture.stepped(&["undrain"], ""), "true");
        fixture.add(&config, &pod);
        fixture.del(&config, &pod);
    }
    fixture.assert_clean();
}

#[test]
fn whatever_has_the_files_name_drains_the_node() {
    let fixture = with_network();
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    for content in ["", "no JSON\n", "{\"since\": 7}"] {
        fixture.node.write(FILE, content);
        fixture.refused_add(content, &config, &pod, 11, &["drained since 2", "no reason is given", FILE]);
    }
    fixture.node.write(FILE, "{\"since\":\"2001-02-03T04:05:06Z\",\"reason\":\"a\\u001b[31m\\nb\"}");
    fixture.refused_add("a hostile reason", &config, &pod, 11, &["2001-02-03T04:05:06Z (a\\u{1b}[31m\\nb)"]);
}

#[test]
fn another_state_directory_has_its_own_drain() {
    let fixture = with_network();
    let pod = fixture.pod("osd", Some("public"));
    let mut config = fixture.chained();
    config["stateDir"] = json!("/run/other");
    drain(&fixture);
    fixture.add(&config, &pod);
    fixture.node.write("/run/other/draining", "");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    let (code, message) = fixture.run("ADD", &config, &pod).error();
    assert_eq!(code, 11, "{message}");
    assert!(message.contains("/run/other/draining"), "{message}");
}

#[test]
fn all_else_passes_on_a_drained_node() {
    let fixture = with_network();
    let mut config = fixture.chained();
    let alive = fixture.pod("osd", Some("public"));
    let gone = fixture.pod("mon", Some("public"));
    let result = fixture.add(&config, &alive);
    fixture.add(&config, &gone);
    drain(&fixture);

    let plain = fixture.pod("plain", None);
    fixture.add(&config, &plain);
    fixture.del(&config, &plain);
    let empty = fixture.pod("empty", Some(""));
    fixture.add(&config, &empty);
    fixture.del(&config, &empty);
    fixture.node_call("STATUS", &config).expect_success("STATUS");
    fixture.check(&config, &alive, &result).expect_success("CHECK");
    fixture.gc(&config, &valid(&[&alive])).expect_success("GC");
    assert!(fixture.has_journal(&alive) && !fixture.has_journal(&gone));
    fixture.del(&config, &alive);

    // What the node gives to every pod is no choice of the pod's.
    config["defaultNetworks"] = json!(["rook-ceph/public"]);
    config["systemNamespaces"] = json!([]);
    let everywhere = fixture.pod("exporter", None);
    fixture.add(&config, &everywhere);
    assert_eq!(everywhere.netns.interfaces(), ["net1"]);
    fixture.del(&config, &everywhere);
    fixture.assert_clean();
}

#[test]
fn a_pod_that_replaces_the_default_network_is_refused_too() {
    let fixture = with_network();
    let config = fixture.delegating(&json!({}));
    drain(&fixture);
    let annotations = json!({"v1.multus-cni.io/default-network": "rook-ceph/public"});
    let pod = fixture.annotated_pod("osd", annotations);
    fixture.refused_add("a replaced default network", &config, &pod, 11, &["drained since"]);
}

/// The plan of a drain that a crash interrupts: whenever it comes, the node is drained or it is not.
#[test]
fn a_drain_that_is_killed_anywhere_has_begun_or_has_not_and_can_be_repeated() {
    let fixture = with_network();
    let (begin, end): (&[&str], &[&str]) = (&["drain", "a"], &["undrain"]);
    let (begins, ends) = (fixture.points_of(begin, ""), fixture.points_of(end, ""));
    assert!(begins.len() >= 4 && ends.len() >= 3, "{begins:?} {ends:?}");
    let is_drained = || fixture.node.read(FILE).is_some();
    for point in begins {
        fixture.kill_step(begin, "", &point);
        assert_eq!(is_drained(), ["renamed", "synced"].iter().any(|step| point.ends_with(step)), "{point}");
        fixture.stepped(begin, "");
        assert!(is_drained(), "{point}");
        fixture.stepped(end, "");
    }
    for point in ends {
        fixture.stepped(begin, "");
        fixture.kill_step(end, "", &point);
        assert_eq!(is_drained(), point.ends_with("begin"), "{point}");
        fixture.stepped(end, "");
        assert!(!is_drained(), "{point}");
    }
}

#[test]
fn the_record_says_that_the_drain_was_the_cause() {
    let fixture = with_network();
    let pod: Pod<'_> = fixture.pod("osd", Some("public"));
    drain(&fixture);
    fixture.run("ADD", &fixture.chained(), &pod).error();
    let calls: Vec<Value> = fixture.calls();
    assert_eq!((&calls[0]["code"], &calls[0]["cause"]), (&json!(11), &json!("draining")));
}
