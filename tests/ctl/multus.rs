//! A node on which Multus is, or was.

use serde_json::{Value, json};

use crate::machine::{CONF, Machine, OURS, PRIMARY, primary};

const MULTUS: &str = "/etc/cni/net.d/00-multus.conf";

fn multus() -> Value {
    json!({"cniVersion": "1.1.0", "name": "multus-cni-network", "type": "multus", "delegates": [primary("pods")]})
}

#[test]
fn a_multus_that_comes_first_is_an_error_that_changes_nothing() {
    let machine = Machine::start();
    machine.node.write(MULTUS, multus().to_string());
    let outcome = machine.ctl("install", &[]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("--replace-multus"), "{outcome}");
    assert_eq!(machine.node.entries(CONF), ["00-multus.conf", "10-pods.conflist"]);
}

#[test]
fn a_replaced_multus_is_renamed_names_the_primary_and_comes_back_with_the_uninstall() {
    for with_file in [true, false] {
        let machine = Machine::start();
        machine.node.write(MULTUS, multus().to_string());
        machine.program("/opt/cni/bin/multus", b"#!/bin/sh\n");
        if !with_file {
            std::fs::remove_file(machine.node.path(PRIMARY)).unwrap();
        }
        machine.install(&["--replace-multus"]);
        assert_eq!(machine.json(OURS)["name"], "pods");
        assert!(!machine.node.entries(CONF).contains(&"00-multus.conf".to_owned()));
        // It stays replaced without the word said again.
        let again = machine.install(&[]);
        assert_eq!(again["changes"], json!([]), "{again}");
        machine.uninstall(&[]);
        assert_eq!(machine.json(MULTUS), multus());
        assert_eq!(machine.node.entries(CONF)[0], "00-multus.conf");
        assert_eq!(machine.node.read(OURS), None);
    }
}
