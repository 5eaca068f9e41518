//! Configurations that rooknet does not run itself: those that it leaves to programs, and those that nobody could run.

use serde_json::{Value, json};

use super::{Cost, bridged, log, logging};
use crate::fixture::{Fixture, merge};

/// `public` by macvlan and `bridged` by bridge, with a key more.
fn with(fixture: &Fixture, name: &str, keys: &Value) {
    let mut config = if name == "bridged" { bridged() } else { fixture.macvlan_config("public", "10.1.0.0/24") };
    merge(&mut config, keys);
    fixture.define("rook-ceph", name, &config);
}

#[test]
fn a_key_that_rooknet_does_not_know_is_left_to_the_program_and_named_in_the_log() {
    for (name, keys, key) in [
        ("public", json!({"foo": 1}), "\"foo\""),
        ("public", json!({"ipam": {"exclude": ["10.1.0.7/32"]}}), "\"exclude\""),
        ("bridged", json!({"foo": {"bar": []}}), "\"foo\""),
        ("bridged", json!({"ipMasq": true}), "\"ipMasq\""),
    ] {
        let fixture = Fixture::start();
        with(&fixture, name, &keys);
        let config = logging(fixture.chained(), "debug");
        let pod = fixture.pod("osd", Some(&format!("{name}@net9")));
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(key);
        assert_eq!(Cost::of(&added).programs, 1, "{key}: one program, which calls its IPAM itself");
        let log = log(&added);
        let line = log.lines().find(|line| line.contains("executed: plugin")).unwrap_or_else(|| panic!("{key}: {log}"));
        assert!(line.contains(&format!("rook-ceph/{name}")) && line.contains(&key[1..key.len() - 1]), "{line}");
        fixture.check(&config, &pod, &config["prevResult"]).expect_success(key);
        fixture.del(&config, &pod);
        fixture.assert_clean();

        fixture.node.ok(&["sh", "-c", "rm /opt/cni/bin/macvlan /opt/cni/bin/bridge"]);
        fixture.refused_add(key, &config, &pod, 100, &["not installed"]);
        fixture.node.ok(&["sh", "-c", "ip link delete cni9 2>/dev/null; true"]);
    }
}

#[test]
fn a_configuration_that_nobody_could_run_is_refused_before_anything_is_touched() {
    let fixture = Fixture::without_programs();
    let config = fixture.chained();
    for (name, keys, key) in [
        ("public", json!({"mtu": "abc"}), "\"mtu\""),
        ("public", json!({"mtu": -1}), "\"mtu\""),
        ("public", json!({"mode": "sideways"}), "\"mode\""),
        ("public", json!({"master": 7}), "\"master\""),
        ("public", json!({"mac": "02:00"}), "\"mac\""),
        ("public", json!({"ipam": {"subnet": "10.1.0.0/99"}}), "10.1.0.0/99"),
        ("public", json!({"ipam": {"rangeStart": "10.9.0.1"}}), "10.9.0.1"),
        ("public", json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.7"}]}}), "10.1.0.7"),
        ("bridged", json!({"mtu": "abc"}), "\"mtu\""),
        ("bridged", json!({"vlan": 5000}), "\"vlan\""),
        ("bridged", json!({"hairpinMode": "yes"}), "\"hairpinMode\""),
    ] {
        with(&fixture, name, &keys);
        let pod = fixture.pod("osd", Some(&format!("{name}@net9")));
        fixture.refused_add(key, &config, &pod, 7, &[&format!("rook-ceph/{name}"), key.trim_matches('"')]);
        assert_eq!(fixture.node.entries("/var/lib/cni/networks"), Vec::<String>::new(), "{key}");
        fixture.del(&config, &pod);
        fixture.assert_clean();
    }
}
