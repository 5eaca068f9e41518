//! Ranges for each node (`rooknet.io/node-ranges`): a node's own reach its host-local, whatever becomes of the definition
//! afterwards, and a definition by which two nodes could hand out one address attaches nobody.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS, NETWORKS_ANNOTATION, RECORD, STORE, assert_error, journal_path};

const ANNOTATION: &str = "rooknet.io/node-ranges";
/// Where configurations lie by name unless `confDir` says otherwise.
const CONF_DIR: &str = "/etc/cni/multus/net.d";

/// The stub plugin with host-local as its IPAM (which it does not run, but tells what it would be given), which has no ranges of its own.
fn network(fixture: &Fixture, name: &str) -> Value {
    let mut config = fixture.stub_config(name, &json!({"address": "192.168.10.12/24"}));
    config["ipam"] = json!({"type": "host-local", "routes": [{"dst": "10.0.0.0/8"}]});
    config
}

/// host-local's range set of 192.168.10.`start` to .`end`.
fn ranges(start: u8, end: u8) -> Value {
    json!([[{
        "subnet": "192.168.10.0/24",
        "rangeStart": format!("192.168.10.{start}"),
        "rangeEnd": format!("192.168.10.{end}"),
    }]])
}

fn two_nodes() -> Value {
    json!({"node-a": ranges(10, 99), "node-b": {"ranges": ranges(110, 199), "host": "192.168.10.3/24"}})
}

fn annotated(value: &Value) -> Value {
    json!({ANNOTATION: value.to_string()})
}

/// Defines `rook-ceph/public` with these ranges.
fn define(fixture: &Fixture, value: &Value) {
    fixture.define_annotated("rook-ceph", "public", &network(fixture, "public"), &annotated(value));
}

/// The chained configuration of the node of that name.
fn node(fixture: &Fixture, name: &str) -> Value {
    let mut config = fixture.chained();
    config["nodeName"] = json!(name);
    config
}

#[test]
fn one_definition_gives_each_node_its_own_ranges() {
    let fixture = Fixture::start();
    define(&fixture, &two_nodes());
    for (name, expected) in [("node-a", ranges(10, 99)), ("node-b", ranges(110, 199))] {
        let config = node(&fixture, name);
        let pod = fixture.pod("osd", Some("public"));
        fixture.forget_records();
        let result = fixture.add(&config, &pod);
        fixture.check(&config, &pod, &result).expect_success("CHECK");
        fixture.del(&config, &pod);
        for command in ["ADD", "CHECK", "DEL"] {
            let given = fixture.given(command, "net1");
            assert_eq!(given["runtimeConfig"], json!({"ipRanges": expected}), "{command} on {name}");
            assert_eq!(given["capabilities"], json!({"ipRanges": true}), "{command} on {name}");
            assert_eq!(given["ipam"], json!({"type": "host-local", "routes": [{"dst": "10.0.0.0/8"}]}));
        }
    }
    fixture.assert_clean();
}

#[test]
fn a_del_has_the_ranges_of_its_add_whatever_became_of_the_definition() {
    let fixture = Fixture::start();
    let config = node(&fixture, "node-a");
    for later in [
        Some(two_nodes().to_string().replace("192.168.10.99", "192.168.10.50")),
        Some(json!({"node-b": ranges(10, 99)}).to_string()),
        Some("broken".to_owned()),
        None,
    ] {
        define(&fixture, &two_nodes());
        let pod = fixture.pod("osd", Some("public"));
        fixture.forget_records();
        fixture.add(&config, &pod);
        let journaled = &fixture.journal(&pod)["attachments"][0];
        assert_eq!(journaled["runtimeConfig"]["ipRanges"], ranges(10, 99));
        assert_eq!(journaled["config"]["plugins"][0]["capabilities"], json!({"ipRanges": true}));

        match &later {
            Some(text) => fixture.define_annotated(
                "rook-ceph",
                "public",
                &network(&fixture, "public"),
                &json!({ANNOTATION: text}),
            ),
            None => std::fs::remove_file(fixture.node.path(&format!("{NETWORKS}/rook-ceph/public.json"))).unwrap(),
        }
        // Nor does it matter what the node is called by now.
        fixture.del(&node(&fixture, "node-z"), &pod);
        assert_eq!(fixture.given("DEL", "net1")["runtimeConfig"]["ipRanges"], ranges(10, 99), "{later:?}");
        fixture.assert_clean();
    }
}

#[test]
fn a_node_without_an_entry_attaches_nobody_and_says_who_has_one() {
    let fixture = Fixture::start();
    define(&fixture, &two_nodes());
    let pod = fixture.pod("osd", Some("public"));
    let words = ["network rook-ceph/public", ANNOTATION, "\"node-c\"", "node-a, node-b", "nodeName"];
    fixture.assert_refused(&node(&fixture, "node-c"), &pod, 7, &words);

    // Without the key the node is called as its kernel is.
    let name = fixture.node.ok(&["cat", "/proc/sys/kernel/hostname"]).trim().to_lowercase();
    fixture.assert_refused(&fixture.chained(), &pod, 7, &[&format!("for this node, \"{name}\"")]);
}

#[test]
fn ranges_that_two_nodes_could_hand_out_twice_attach_nobody_on_any_node() {
    let fixture = Fixture::start();
    let mut with_gateway = ranges(110, 199);
    with_gateway[0][0]["gateway"] = json!("192.168.10.50");
    for (value, words) in [
        (
            json!({"node-a": ranges(10, 99), "node-b": ranges(90, 120)}),
            &["192.168.10.10-192.168.10.99 of node node-a", "192.168.10.90-192.168.10.120 of node node-b"][..],
        ),
        (
            json!({"node-a": ranges(10, 99), "node-b": with_gateway}),
            &["gateway 192.168.10.50 of node node-b", "node-a"],
        ),
        (
            json!({"node-a": ranges(10, 99), "node-b": {"ranges": ranges(110, 199), "host": "192.168.10.20/24"}}),
            &["host address 192.168.10.20 of node node-b", "192.168.10.10-192.168.10.99 of node node-a"],
        ),
        (json!({"node-a": ranges(10, 99), "node-b": ranges(199, 110)}), &["node node-b", "rangeStart 192.168.10.199"]),
        (json!({"node-a": ranges(10, 99), "node-b": []}), &["node node-b", "range sets"]),
        (json!([]), &["not a JSON object"]),
        (json!(""), &["not a JSON object"]),
    ] {
        define(&fixture, &value);
        let pod = fixture.pod("osd", Some("public"));
        for name in ["node-a", "node-b"] {
            fixture.assert_refused(
                &node(&fixture, name),
                &pod,
                7,
                &[words, &["rook-ceph/public", ANNOTATION]].concat(),
            );
        }
    }
    // Not a text's text but an empty one: whoever wrote the key wants ranges.
    let empty = json!({ANNOTATION: ""});
    fixture.define_annotated("rook-ceph", "public", &network(&fixture, "public"), &empty);
    fixture.assert_refused(&node(&fixture, "node-a"), &fixture.pod("osd", Some("public")), 7, &[ANNOTATION]);
}

#[test]
fn a_network_that_cannot_take_ranges_attaches_nobody() {
    let fixture = Fixture::start();
    let mut own_ranges = network(&fixture, "public");
    own_ranges["ipam"]["ranges"] = ranges(1, 254);
    let without = fixture.stub_config("public", &json!({}));
    let list =
        json!({"cniVersion": "1.1.0", "name": "public", "plugins": [network(&fixture, "x"), network(&fixture, "x")]});
    for (config, words) in [
        (own_ranges, &["\"ipam.ranges\"", "every node"][..]),
        (without, &["none of the network's plugins", "host-local"]),
        (list, &["stub and stub", "keep it in one"]),
    ] {
        fixture.define_annotated("rook-ceph", "public", &config, &annotated(&two_nodes()));
        let pod = fixture.pod("osd", Some("public"));
        fixture.assert_refused(
            &node(&fixture, "node-a"),
            &pod,
            7,
            &[words, &["rook-ceph/public", ANNOTATION]].concat(),
        );
    }
}

#[test]
fn only_the_plugin_with_host_local_is_given_the_ranges() {
    let fixture = Fixture::start();
    let second = json!({"type": "stub2", "stub": {"record": RECORD}, "ipam": {"type": "static"}});
    let list = json!({"cniVersion": "1.1.0", "name": "public", "plugins": [network(&fixture, "public"), second]});
    fixture.define_annotated("rook-ceph", "public", &list, &annotated(&two_nodes()));
    let pod = fixture.pod("osd", Some("public"));
    let config = node(&fixture, "node-b");
    fixture.add(&config, &pod);
    let given: Vec<Value> = fixture.records_of("ADD", "net1").iter().map(|record| record["stdin"].clone()).collect();
    assert_eq!(given[0]["runtimeConfig"]["ipRanges"], ranges(110, 199));
    assert_eq!((given[1].get("runtimeConfig"), given[1].get("capabilities")), (None, None));
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn an_address_that_a_pod_asks_for_must_be_this_nodes() {
    let fixture = Fixture::start();
    let mut config = network(&fixture, "public");
    config["capabilities"] = json!({"ips": true});
    fixture.define_annotated("rook-ceph", "public", &config, &annotated(&two_nodes()));
    let node = node(&fixture, "node-a");
    let asks = |ips: Value| fixture.pod("osd", Some(&json!([{"name": "public", "ips": ips}]).to_string()));
    for (ips, words) in [
        (
            json!(["192.168.10.120/24"]),
            &["192.168.10.120", "node-a", "192.168.10.10-192.168.10.99", "those of node node-b"][..],
        ),
        (json!(["192.168.10.12", "192.168.11.1"]), &["192.168.11.1", "192.168.10.10-192.168.10.99"]),
    ] {
        fixture.assert_refused(&node, &asks(ips), 7, words);
    }
    let by_arguments = json!([{"name": "public", "cni-args": {"ips": ["192.168.10.120"]}}]).to_string();
    fixture.assert_refused(
        &node,
        &fixture.pod("osd", Some(&by_arguments)),
        7,
        &["192.168.10.120", "those of node node-b"],
    );

    let pod = asks(json!(["192.168.10.12/24"]));
    fixture.add(&node, &pod);
    let expected = json!({"ips": ["192.168.10.12/24"], "ipRanges": ranges(10, 99)});
    assert_eq!(fixture.given("ADD", "net1")["runtimeConfig"], expected);
    fixture.del(&node, &pod);
    fixture.assert_clean();
}

#[test]
fn a_definition_that_stands_for_a_file_of_the_node_brings_it_ranges() {
    let fixture = Fixture::start();
    fixture.node.write(&format!("{CONF_DIR}/public.conf"), network(&fixture, "public").to_string());
    let definition = json!({"metadata": {"annotations": annotated(&two_nodes())}, "spec": {}});
    fixture.node.write(&format!("{NETWORKS}/rook-ceph/public.json"), definition.to_string());
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&node(&fixture, "node-b"), &pod);
    assert_eq!(fixture.given("ADD", "net1")["runtimeConfig"]["ipRanges"], ranges(110, 199));
    fixture.del(&node(&fixture, "node-b"), &pod);
    fixture.assert_clean();
}

/// The delegating configuration of `node-a` whose default network is the definition `kube-system/pods`.
fn delegating(fixture: &Fixture) -> Value {
    let mut network = network(fixture, "pods");
    network["capabilities"] = json!({"ips": true});
    fixture.define_annotated("kube-system", "pods", &network, &annotated(&two_nodes()));
    let mut config = fixture.delegating(&json!({}));
    config.as_object_mut().unwrap().remove("delegates");
    config["clusterNetwork"] = json!("pods");
    config["nodeName"] = json!("node-a");
    config
}

#[test]
fn the_default_network_has_ranges_too_also_for_a_del_without_a_journal() {
    let fixture = Fixture::start();
    let config = delegating(&fixture);
    let pod = fixture.pod("osd", None);
    fixture.add(&config, &pod);
    assert_eq!(fixture.given("ADD", "eth0")["runtimeConfig"]["ipRanges"], ranges(10, 99));
    // host-local refuses even a DEL when its configuration has no range.
    std::fs::remove_file(fixture.node.path(&journal_path(&pod))).unwrap();
    fixture.del(&config, &pod);
    assert_eq!(fixture.given("DEL", "eth0")["runtimeConfig"]["ipRanges"], ranges(10, 99));
    assert_eq!(fixture.node.entries(&format!("{STORE}/pods")), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn a_pod_that_was_refused_for_what_its_runtime_asked_can_be_deleted() {
    let fixture = Fixture::start();
    let mut config = delegating(&fixture);
    config["runtimeConfig"] = json!({"ips": ["192.168.10.120"]});
    let pod = fixture.pod("osd", None);
    fixture.assert_refused(&config, &pod, 7, &["192.168.10.120", "those of node node-b"]);
    fixture.del(&config, &pod);
    config["runtimeConfig"] = json!({"ipRanges": ranges(1, 254)});
    fixture.assert_refused(&config, &pod, 7, &["the runtime passes ranges"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn pods_that_ask_for_other_networks_start_where_one_definition_has_wrong_ranges() {
    let fixture = Fixture::start();
    define(&fixture, &json!({"node-b": ranges(10, 99)}));
    fixture.define_stub("cluster", &json!({}));
    let config = node(&fixture, "node-a");
    let pod = fixture.pod("osd", Some("cluster"));
    fixture.add(&config, &pod);
    fixture.del(&config, &pod);

    // STATUS tells of it, and fails only where that is wanted.
    let mut status = config.clone();
    status.as_object_mut().unwrap().remove("prevResult");
    let told = fixture.node_call("STATUS", &status);
    told.expect_success("STATUS");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("rook-ceph/public") && told.contains(ANNOTATION) && told.contains("node-a"), "{told}");
    status["statusStrict"] = json!(true);
    assert_error(&fixture.node_call("STATUS", &status), 50, &["rook-ceph/public", ANNOTATION]);
    define(&fixture, &two_nodes());
    fixture.node_call("STATUS", &status).expect_success("STATUS");
    fixture.assert_clean();
}

#[test]
fn isolation_and_allowed_plugins_hold_as_without_ranges() {
    let fixture = Fixture::start();
    define(&fixture, &two_nodes());
    let mut config = node(&fixture, "node-a");
    config["allowedPlugins"] = json!(["stub"]);
    let pod = fixture.pod("osd", Some("public"));
    fixture.assert_refused(&config, &pod, 104, &["\"host-local\"", "allowedPlugins"]);
    config["allowedPlugins"] = json!(["stub", "host-local"]);
    config["namespaceIsolation"] = json!(true);
    fixture.add(&config, &pod);
    fixture.del(&config, &pod);
    let stranger =
        fixture.annotated_pod("spy", json!({NETWORKS_ANNOTATION: "rook-ceph/public"})).in_namespace("tenant");
    fixture.assert_refused(&config, &stranger, 104, &["rook-ceph", "tenant"]);
    fixture.assert_clean();
}
