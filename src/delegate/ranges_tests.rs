use serde_json::{Value, json};

use super::*;
use crate::multinet::node_ranges::NodeRanges;

fn share() -> NodeShare {
    let text = json!({
        "node-a": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.10", "rangeEnd": "10.0.0.19"}]],
        "node-b": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.20", "rangeEnd": "10.0.0.29"}]],
    });
    NodeRanges::parse(&text.to_string()).unwrap().share_of("node-a").unwrap()
}

fn network(config: &Value) -> Network {
    Network::parse("it", &config.to_string(), Some("public")).unwrap()
}

/// What plugin number `position` of the network reads.
fn stdin(network: &Network, position: usize, runtime_config: &Object) -> Value {
    let plugin = &network.plugins[position];
    let input = plugin.stdin(&network.name, network.version, None, runtime_config).unwrap();
    serde_json::from_str(input.to_raw().unwrap().get()).unwrap()
}

#[track_caller]
fn assert_refused(config: &Value, runtime_config: &Value, words: &[&str]) {
    let mut runtime_config = Object::parse("it", &runtime_config.to_string()).unwrap();
    let error = give(&share(), &mut network(config), &mut runtime_config).unwrap_err();
    assert_eq!(error.code.0, 7, "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn the_plugin_with_host_local_gets_the_ranges_and_no_other_one() {
    let config = json!({"cniVersion": "1.1.0", "plugins": [
        {"type": "tuning", "mac": "02:00:00:00:00:01"},
        {"type": "macvlan", "capabilities": {"mac": true}, "ipam": {"type": "host-local", "ranges": []}},
        {"type": "sbr", "ipam": {"type": "static"}},
    ]});
    let mut network = network(&config);
    let mut runtime_config = Object::parse("it", r#"{"mac": "02:00:00:00:00:07"}"#).unwrap();
    give(&share(), &mut network, &mut runtime_config).unwrap();

    let given = stdin(&network, 1, &runtime_config);
    let ranges = json!([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.10", "rangeEnd": "10.0.0.19"}]]);
    assert_eq!(given["runtimeConfig"], json!({"mac": "02:00:00:00:00:07", "ipRanges": ranges}));
    assert_eq!(given["capabilities"], json!({"mac": true, "ipRanges": true}));
    for position in [0, 2] {
        assert_eq!(stdin(&network, position, &runtime_config).get("runtimeConfig"), None);
    }
    // The journal's way.
    let read_back = Network::parse("the journal", network.to_list().unwrap().get(), None).unwrap();
    assert_eq!(read_back, network);
}

#[test]
fn a_capability_that_the_author_turned_off_is_declared_all_the_same() {
    let config = json!({"type": "bridge", "capabilities": {"ipRanges": false}, "ipam": {"type": "host-local"}});
    let mut network = network(&config);
    let mut runtime_config = Object::new();
    give(&share(), &mut network, &mut runtime_config).unwrap();
    assert_eq!(stdin(&network, 0, &runtime_config)["capabilities"], json!({"ipRanges": true}));
}

#[test]
fn ranges_of_the_configuration_itself_are_refused_by_key() {
    for (key, value) in [
        ("ranges", json!([[{"subnet": "10.0.0.0/24"}]])),
        ("subnet", json!("10.0.0.0/24")),
        ("rangeStart", json!("10.0.0.1")),
        ("rangeEnd", json!("10.0.0.9")),
        ("gateway", json!("10.0.0.1")),
        ("SUBNET", json!("10.0.0.0/24")),
    ] {
        let config = json!({"type": "macvlan", "ipam": {"type": "host-local", key: value}});
        let named = if key == "SUBNET" { "subnet" } else { key };
        assert_refused(&config, &json!({}), &[ANNOTATION, &format!("\"ipam.{named}\""), "plugin macvlan"]);
    }
    // Beside host-local's other keys there is nothing to say against.
    let config =
        json!({"type": "macvlan", "ipam": {"type": "host-local", "routes": [], "dataDir": "/x", "subnet": null}});
    give(&share(), &mut network(&config), &mut Object::new()).unwrap();
}

#[test]
fn a_network_whose_addresses_are_not_one_host_locals_is_refused() {
    for (config, words) in [
        (json!({"type": "macvlan"}), &[ANNOTATION, "none of the network's plugins"][..]),
        (json!({"type": "macvlan", "ipam": {"type": "whereabouts"}}), &["none of the network's plugins"]),
        (
            json!({"plugins": [
                {"type": "macvlan", "ipam": {"type": "host-local"}}, {"type": "bridge", "ipam": {"type": "host-local"}},
            ]}),
            &["macvlan and bridge both"],
        ),
        (
            json!({"type": "flannel", "delegate": {"type": "bridge", "ipam": {"type": "host-local"}}}),
            &["plugin flannel", "delegate of its own"],
        ),
    ] {
        assert_refused(&config, &json!({}), words);
    }
    let config = json!({"type": "macvlan", "ipam": {"type": "host-local"}});
    assert_refused(&config, &json!({"ipRanges": [[{"subnet": "10.0.0.0/24"}]]}), &["the runtime passes ranges"]);
}

#[test]
fn addresses_that_a_pod_asks_for_are_checked_in_each_way_that_they_come() {
    let config = |capabilities: Value, ips: Value| {
        json!({
            "type": "macvlan", "capabilities": capabilities, "args": {"cni": {"ips": ips}},
            "ipam": {"type": "host-local"},
        })
    };
    let give = |config: &Value, runtime_config: &Value| {
        let mut runtime_config = Object::parse("it", &runtime_config.to_string()).unwrap();
        give(&share(), &mut network(config), &mut runtime_config)
    };
    let declared = config(json!({"ips": true}), json!([]));
    give(&declared, &json!({"ips": ["10.0.0.12/24"]})).unwrap();
    assert_refused(
        &declared,
        &json!({"ips": ["10.0.0.12", "10.0.0.25/24"]}),
        &["10.0.0.25", "those of node node-b", "node-a"],
    );
    assert_refused(&config(json!({}), json!(["10.0.0.9"])), &json!({}), &["10.0.0.9"]);
    // The default network's plugin does not get what it does not declare.
    give(&config(json!({}), json!(["10.0.0.12"])), &json!({"ips": ["192.0.2.1"]})).unwrap();
}
