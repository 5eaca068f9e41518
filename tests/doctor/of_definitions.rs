//! What is wrong with network definitions on this node.

use serde_json::json;

use crate::ward::{macvlan, provoked};

provoked! {
    "definition-invalid": fn a_definition_without_a_type_is_named(ward) {
        ward.define("broken", &json!({"type": 7}));
        ward.shows("definition-invalid", &["broken", "type"]);
        ward.undefine("broken");
    }

    "definition-without-range": fn a_definition_that_leaves_this_node_out_is_named(ward) {
        let mut config = macvlan("shared", &json!({}));
        config["ipam"] = json!({"type": "host-local"});
        let ranges = json!({"node-b": [[{"subnet": "10.2.0.0/24"}]]}).to_string();
        let annotations = json!({"rooknet.io/node-ranges": ranges});
        ward.fixture.define_annotated("rook-ceph", "shared", &config, &annotations);
        ward.shows("definition-without-range", &["rook-ceph/shared", "node-a", "node-b"]);
        ward.undefine("shared");
    }

    "master-not-found": fn a_master_that_is_not_there_is_named_be_it_by_name_or_by_address(ward) {
        ward.define("elsewhere", &json!({"master": "stor9"}));
        ward.shows("master-not-found", &["rook-ceph/elsewhere", "stor9"]);
        ward.define("elsewhere", &json!({"master": "", "masterCIDR": "10.9.0.0/16"}));
        ward.shows("master-not-found", &["rook-ceph/elsewhere", "10.9.0.0/16"]);
        let node = &ward.fixture.node;
        for (link, address) in [("a0", "10.9.0.1/24"), ("a1", "10.9.1.1/24")] {
            node.ok(&["ip", "link", "add", link, "type", "bridge"]);
            node.ok(&["ip", "address", "add", address, "dev", link]);
        }
        ward.shows("master-not-found", &["rook-ceph/elsewhere", "a0", "a1"]);
        ward.undefine("elsewhere");
    }

    "master-is-bridge-port": fn a_master_that_is_a_port_of_a_bridge_is_named_with_the_bridge(ward) {
        let node = &ward.fixture.node;
        node.ok(&["ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1"]);
        node.ok(&["ip", "link", "set", "port0", "master", "storage0"]);
        ward.define("ported", &json!({"master": "port0"}));
        ward.shows("master-is-bridge-port", &["rook-ceph/ported", "port0", "storage0"]);
        ward.undefine("ported");
    }

    "program-missing": fn a_plugin_that_is_not_installed_is_named_with_what_to_install(ward) {
        ward.define("vlans", &json!({"type": "whereabouts-vlan"}));
        ward.shows("program-missing", &["rook-ceph/vlans", "whereabouts-vlan", "/opt/cni/bin"]);
        ward.undefine("vlans");
    }
}

#[test]
fn a_definition_of_the_agents_snapshot_is_judged_while_that_is_fresh() {
    let fixture = crate::fixture::Fixture::start();
    let ward = crate::ward::Ward::new(&fixture);
    let definition = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "rook-ceph", "name": "watched"},
        "spec": {"config": macvlan("watched", &json!({"master": "stor9"})).to_string()},
    });
    let directory = "/run/rooknet/definitions";
    fixture.node.write(&format!("{directory}/rook-ceph/watched.json"), definition.to_string());
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    // A second ago: what the kernel tells is rounded.
    let heartbeat = json!({"boot": boot.trim(), "at": (seconds * 1000.0) as u64 - 1000, "valid": 600_000});
    fixture.node.write(&format!("{directory}/.heartbeat"), heartbeat.to_string());
    ward.shows("master-not-found", &["rook-ceph/watched", "stor9"]);
    let snapshot = &ward.looks(&["status"])["snapshot"];
    assert_eq!((&snapshot["fresh"], &snapshot["definitions"]), (&json!(true), &json!(1)));
    ward.remove(directory);
    ward.is_healthy();
}
