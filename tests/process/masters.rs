//! Masters and borrowed devices: what a network takes from the node, with the reference plugins.

use serde_json::{Value, json};

use crate::fixture::Fixture;

fn start() -> Fixture {
    let fixture = Fixture::start();
    add_storage(&fixture);
    fixture
}

/// Gives the node an interface `storage0` for networks to build on.
pub(crate) fn add_storage(fixture: &Fixture) {
    fixture.node.ok(&["ip", "link", "add", "storage0", "type", "veth", "peer", "name", "wire0"]);
    for name in ["storage0", "wire0"] {
        fixture.node.ok(&["ip", "link", "set", name, "up"]);
        fixture.node.keep_link(name);
    }
}

pub(crate) fn macvlan(master: &str) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "public", "type": "macvlan", "master": master, "mode": "bridge",
        "ipam": {"type": "host-local", "subnet": "192.0.2.0/24"},
    })
}

#[test]
fn a_master_may_be_called_by_its_alternative_name() {
    let fixture = start();
    fixture.node.ok(&["ip", "link", "property", "add", "dev", "storage0", "altname", "enp0s31f6"]);
    fixture.define("rook-ceph", "public", &macvlan("enp0s31f6"));
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    assert_eq!(pod.netns.interfaces(), ["net1"]);
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_name_that_is_taken_as_an_alternative_name_is_refused_and_its_link_stays() {
    let fixture = start();
    fixture.define("rook-ceph", "public", &macvlan("storage0"));
    let pod = fixture.pod("osd", Some("public"));
    pod.netns.ok(&["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0peer"]);
    pod.netns.ok(&["ip", "link", "property", "add", "dev", "eth0", "altname", "net1"]);
    let (code, message) = fixture.run("ADD", &fixture.chained(), &pod).error();
    assert!(code == 101 && message.contains("net1"), "{code} {message}");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    assert_eq!(pod.netns.interfaces(), ["eth0", "eth0peer"]);
}

#[test]
fn a_borrowed_device_comes_back_as_it_was() {
    for hostile in [false, true] {
        let fixture = start();
        fixture.node.ok(&["ip", "link", "add", "tenant0", "type", "veth", "peer", "name", "wire1"]);
        fixture.node.keep_link("tenant0");
        fixture.node.keep_link("wire1");
        fixture.node.ok(&["ip", "link", "set", "tenant0", "group", "7"]);
        let network = json!({"cniVersion": "1.0.0", "name": "device", "type": "host-device", "device": "tenant0"});
        fixture.define("rook-ceph", "device", &network);
        let pod = fixture.pod("osd", Some("device"));
        fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
        if hostile {
            pod.netns.ok(&["ip", "link", "set", "net1", "name", "mine"]);
            pod.netns.ok(&["ip", "link", "set", "mine", "up"]);
        }
        fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
        assert_eq!(fixture.node.host().link("tenant0").group, "7");
        fixture.assert_clean();
    }
}
