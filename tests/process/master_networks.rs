//! `masterCIDR`: the master by its address. What a plugin gets and the journal keeps is the interface's name.

use serde_json::{Value, json};

use crate::fixture::{Fixture, RECORD, assert_error, journal_path, merge};

/// A node with the interfaces `nic0`, 192.168.10.2/24 and fd00:10::2/64, and `nic1`, 192.168.20.2/24; the plugins that
/// build on masters are the stub.
fn start() -> Fixture {
    let fixture = Fixture::start();
    for name in ["macvlan", "ipvlan", "vlan"] {
        fixture.node.install(name, std::path::Path::new(env!("CARGO_BIN_EXE_rooknet-stub-plugin")));
    }
    add_nic(&fixture, "nic0", &["192.168.10.2/24", "fd00:10::2/64"]);
    add_nic(&fixture, "nic1", &["192.168.20.2/24"]);
    fixture
}

fn add_nic(fixture: &Fixture, name: &str, addresses: &[&str]) {
    let wire = format!("{name}w");
    fixture.node.ok(&["ip", "link", "add", name, "type", "veth", "peer", "name", &wire]);
    for link in [name, wire.as_str()] {
        fixture.node.ok(&["ip", "link", "set", link, "up"]);
        fixture.node.keep_link(link);
    }
    for address in addresses {
        fixture.node.ok(&["ip", "address", "add", address, "dev", name]);
    }
}

/// A network of the plugin `type_name` with these further keys.
fn network(fixture: &Fixture, type_name: &str, keys: &Value) -> Value {
    let mut config = fixture.stub_config("public", &json!({}));
    config["type"] = json!(type_name);
    merge(&mut config, keys);
    config
}

fn define(fixture: &Fixture, type_name: &str, keys: &Value) {
    fixture.define("rook-ceph", "public", &network(fixture, type_name, keys));
}

/// The ADD is refused before anything is touched.
#[track_caller]
fn assert_refused(fixture: &Fixture, keys: &Value, words: &[&str]) {
    define(fixture, "macvlan", keys);
    let pod = fixture.pod("osd", Some("public"));
    fixture.assert_refused(
        &fixture.chained(),
        &pod,
        7,
        &[words, &["network rook-ceph/public", "plugin macvlan"]].concat(),
    );
}

#[test]
fn the_interface_with_an_address_in_the_network_is_the_master() {
    let fixture = start();
    for type_name in ["macvlan", "ipvlan", "vlan"] {
        for (value, master) in [
            (json!("192.168.10.0/24"), "nic0"),
            (json!("192.168.20.0/24"), "nic1"),
            (json!("fd00:10::/64"), "nic0"),
            (json!(["172.16.0.0/12", "192.168.20.0/28"]), "nic1"),
            (json!(["192.168.10.0/24", "fd00:10::/64"]), "nic0"),
        ] {
            define(&fixture, type_name, &json!({"masterCIDR": value, "mode": "bridge"}));
            let pod = fixture.pod("osd", Some("public"));
            fixture.forget_records();
            let result = fixture.add(&fixture.chained(), &pod);
            fixture.check(&fixture.chained(), &pod, &result).expect_success("CHECK");
            fixture.del(&fixture.chained(), &pod);
            for command in ["ADD", "DEL"] {
                let given = fixture.given(command, "net1");
                assert_eq!(
                    (&given["master"], &given["mode"]),
                    (&json!(master), &json!("bridge")),
                    "{type_name} {value}"
                );
                assert_eq!(given.get("masterCIDR"), None, "{command} {type_name} {value}");
            }
        }
    }
    fixture.assert_clean();
}

#[test]
fn a_del_has_the_master_of_its_add_wherever_the_address_is_by_then() {
    let fixture = start();
    define(&fixture, "macvlan", &json!({"masterCIDR": "192.168.10.0/24"}));
    let (moved, gone) = (fixture.pod("osd-0", Some("public")), fixture.pod("osd-1", Some("public")));
    for pod in [&moved, &gone] {
        fixture.add(&fixture.chained(), pod);
        let journaled = &fixture.journal(pod)["attachments"][0]["config"]["plugins"][0];
        assert_eq!((&journaled["master"], journaled.get("masterCIDR")), (&json!("nic0"), None));
    }
    fixture.node.ok(&["ip", "address", "del", "192.168.10.2/24", "dev", "nic0"]);
    fixture.node.ok(&["ip", "address", "add", "192.168.10.2/24", "dev", "nic1"]);
    fixture.forget_records();
    fixture.del(&fixture.chained(), &moved);
    assert_eq!(fixture.given("DEL", "net1")["master"], "nic0");

    fixture.node.ok(&["ip", "link", "del", "nic1"]);
    define(&fixture, "macvlan", &json!({"masterCIDR": "broken"}));
    fixture.forget_records();
    fixture.del(&fixture.chained(), &gone);
    assert_eq!(fixture.given("DEL", "net1")["master"], "nic0");
    fixture.assert_clean();
}

#[test]
fn interfaces_that_are_built_on_a_master_themselves_do_not_count() {
    let fixture = start();
    // What an administrator makes so that the node reaches its own pods, and a routed node's address.
    fixture.node.ok(&["ip", "link", "add", "shim", "link", "nic0", "type", "macvlan", "mode", "bridge"]);
    fixture.node.keep_link("shim");
    fixture.node.ok(&["ip", "address", "add", "192.168.10.3/24", "dev", "shim"]);
    fixture.node.ok(&["ip", "address", "add", "192.168.10.9/32", "dev", "lo"]);
    define(&fixture, "macvlan", &json!({"masterCIDR": "192.168.10.0/24"}));
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&fixture.chained(), &pod);
    assert_eq!(fixture.given("ADD", "net1")["master"], "nic0");
    fixture.del(&fixture.chained(), &pod);

    fixture.node.ok(&["ip", "address", "del", "192.168.10.2/24", "dev", "nic0"]);
    assert_refused(&fixture, &json!({"masterCIDR": "192.168.10.0/24"}), &["only shim (192.168.10.3/24)", "master"]);
    fixture.assert_clean();
}

#[test]
fn none_and_several_are_refused_naming_network_and_interfaces() {
    let fixture = start();
    assert_refused(&fixture, &json!({"masterCIDR": "10.0.0.0/8"}), &["no interface of this node", "10.0.0.0/8"]);
    assert_refused(
        &fixture,
        &json!({"masterCIDR": "192.168.0.0/16"}),
        &["192.168.0.0/16", "nic0 (192.168.10.2/24), nic1 (192.168.20.2/24)"],
    );
    assert_refused(
        &fixture,
        &json!({"masterCIDR": ["fd00:10::/64", "192.168.20.0/24"]}),
        &["fd00:10::/64, 192.168.20.0/24", "nic0 (fd00:10::2/64), nic1 (192.168.20.2/24)"],
    );
    fixture.assert_clean();
}

#[test]
fn a_wrong_value_and_what_contradicts_it_are_refused_naming_the_key() {
    let fixture = start();
    for (keys, words) in [
        (json!({"masterCIDR": "nic0"}), &["\"masterCIDR\"", "\"nic0\""][..]),
        (json!({"masterCIDR": "192.168.10.2/24"}), &["host bits", "192.168.10.0/24"]),
        (json!({"masterCIDR": 7}), &["\"masterCIDR\"", "7"]),
        (json!({"masterCIDR": []}), &["\"masterCIDR\"", "[]"]),
        (json!({"masterCIDR": "192.168.10.0/24", "master": "nic0"}), &["\"master\" and \"masterCIDR\" are both set"]),
        (json!({"mastercidr": "192.168.10.0/24", "linkInContainer": true}), &["\"linkInContainer\""]),
    ] {
        assert_refused(&fixture, &keys, words);
    }
    fixture.assert_clean();
}

#[test]
fn each_plugin_of_a_list_has_its_own_and_other_plugins_keep_the_key() {
    let fixture = start();
    let second = json!({"type": "ipvlan", "stub": {"record": RECORD}, "masterCIDR": "192.168.20.0/24"});
    let third = json!({"type": "stub2", "stub": {"record": RECORD}, "masterCIDR": "theirs"});
    let first = network(&fixture, "macvlan", &json!({"masterCIDR": "192.168.10.0/24"}));
    let list = json!({"cniVersion": "1.1.0", "name": "public", "plugins": [first, second, third]});
    fixture.define("rook-ceph", "public", &list);
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&fixture.chained(), &pod);
    let given: Vec<Value> = fixture.records_of("ADD", "net1").iter().map(|record| record["stdin"].clone()).collect();
    assert_eq!((&given[0]["master"], &given[1]["master"]), (&json!("nic0"), &json!("nic1")));
    assert_eq!((&given[2]["masterCIDR"], given[2].get("master")), (&json!("theirs"), None));
    fixture.del(&fixture.chained(), &pod);
    fixture.assert_clean();
}

#[test]
fn a_status_tells_of_a_network_without_a_master() {
    let fixture = start();
    define(&fixture, "macvlan", &json!({"masterCIDR": "10.9.0.0/24"}));
    let mut config = fixture.chained();
    config.as_object_mut().unwrap().remove("prevResult");
    let told = fixture.node_call("STATUS", &config);
    told.expect_success("STATUS");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("rook-ceph/public") && told.contains("10.9.0.0/24"), "{told}");
    config["statusStrict"] = json!(true);
    assert_error(&fixture.node_call("STATUS", &config), 50, &["rook-ceph/public", "\"masterCIDR\"", "10.9.0.0/24"]);
    add_nic(&fixture, "nic2", &["10.9.0.7/24"]);
    fixture.node_call("STATUS", &config).expect_success("STATUS");
    fixture.assert_clean();
}

#[test]
fn the_default_network_may_have_it_also_for_a_del_without_a_journal() {
    let fixture = start();
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0] = network(&fixture, "macvlan", &json!({"masterCIDR": "192.168.10.0/24"}));
    let mut status = config.clone();
    fixture.node_call("STATUS", &status).expect_success("STATUS");
    assert_eq!(fixture.given("STATUS", "")["master"], "nic0");
    let pod = fixture.pod("osd", None);
    fixture.add(&config, &pod);
    assert_eq!(fixture.given("ADD", "eth0")["master"], "nic0");
    std::fs::remove_file(fixture.node.path(&journal_path(&pod))).unwrap();
    fixture.del(&config, &pod);
    assert_eq!(fixture.given("DEL", "eth0")["master"], "nic0");
    // Every ADD would fail.
    status["delegates"][0]["masterCIDR"] = json!("10.9.0.0/24");
    assert_error(&fixture.node_call("STATUS", &status), 50, &["no pod can be attached", "10.9.0.0/24"]);
    // Nothing was attached by such a configuration: its DEL needs no master.
    fixture.del(&status, &fixture.pod("osd", None));
    fixture.assert_clean();
}
