//! 4.1.2.1.3, .4, .7, .8 and .10: what a pod asks of a network goes into runtimeConfig under a capability, and fails
//! where no plugin of the network declares it.

use serde_json::{Value, json};

use crate::fixture::Fixture;

/// A network of one stub plugin with the capabilities given.
fn define_with(fixture: &Fixture, name: &str, capabilities: &Value) {
    let mut network = fixture.stub_config(name, &json!({}));
    network["capabilities"] = capabilities.clone();
    fixture.define("rook-ceph", name, &network);
}

fn selection(key: &str, value: &Value) -> String {
    json!([{"name": "public", key: value}]).to_string()
}

/// `key: value` in the annotation gives the plugin exactly `expected` as its runtimeConfig, on ADD, CHECK and DEL.
#[track_caller]
fn assert_reaches(key: &str, value: &Value, capability: &str, expected: &Value) {
    let fixture = Fixture::start();
    define_with(&fixture, "public", &json!({capability: true, "dns": true}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some(&selection(key, value)));
    let result = fixture.add(&config, &pod);
    fixture.check(&config, &pod, &result).expect_success("CHECK");
    fixture.del(&config, &pod);
    for command in ["ADD", "CHECK", "DEL"] {
        assert_eq!(fixture.given(command, "net1")["runtimeConfig"], json!({capability: expected}), "{command}");
    }
    fixture.assert_clean();
}

/// A network that does not declare the capability, or declares it as false, fails the pod by name.
#[track_caller]
fn assert_undeclared_fails(key: &str, value: &Value, capability: &str) {
    let fixture = Fixture::start();
    let config = fixture.chained();
    for declared in [json!({}), json!({capability: false}), json!({capability.to_uppercase(): true})] {
        define_with(&fixture, "public", &declared);
        let pod = fixture.pod("osd", Some(&selection(key, value)));
        fixture.assert_refused(&config, &pod, 7, &["rook-ceph/public", &format!("\"{capability}\""), "capabilities"]);
    }
    fixture.assert_clean();
}

/// Values that the standard does not allow fail the pod, naming element and key, also where the capability is declared.
#[track_caller]
fn assert_wrong(key: &str, capability: &str, values: &[Value]) {
    let fixture = Fixture::start();
    define_with(&fixture, "public", &json!({capability: true}));
    let config = fixture.chained();
    for value in values {
        let pod = fixture.pod("osd", Some(&selection(key, value)));
        fixture.assert_refused(&config, &pod, 7, &["element 1 (public)", &format!("key {key}")]);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_3_ips_reach_the_plugin() {
    let value = json!(["192.0.2.7/24", "2001:db8::7/64", "192.0.2.8"]);
    assert_reaches("ips", &value, "ips", &value);
}

#[test]
fn section_4_1_2_1_3_ips_fail_when_undeclared() {
    assert_undeclared_fails("ips", &json!(["192.0.2.7/24"]), "ips");
}

#[test]
fn section_4_1_2_1_3_ips_need_one_valid_address() {
    let wrong = [
        json!([]),
        json!("192.0.2.7/24"),
        json!([7]),
        json!(["192.0.2.7/33"]),
        json!(["192.0.2.256"]),
        json!(["192.0.2.7/24", ""]),
        json!([null]),
    ];
    assert_wrong("ips", "ips", &wrong);
}

#[test]
fn section_4_1_2_1_4_mac_reaches_the_plugin() {
    assert_reaches("mac", &json!("02:00:00:00:00:0A"), "mac", &json!("02:00:00:00:00:0A"));
}

#[test]
fn section_4_1_2_1_4_mac_fails_when_undeclared() {
    assert_undeclared_fails("mac", &json!("02:00:00:00:00:0a"), "mac");
}

#[test]
fn section_4_1_2_1_4_mac_must_have_six_bytes_and_be_one_that_an_interface_can_have() {
    let wrong = [
        json!("02:00:00:00:00"),
        json!("02:00:00:00:00:00:00:01"),
        json!("0200000000 01"),
        json!("zz:00:00:00:00:01"),
        json!("01:00:00:00:00:01"),
        json!("00:00:00:00:00:00"),
        json!(2),
    ];
    assert_wrong("mac", "mac", &wrong);
}

#[test]
fn section_4_1_2_1_7_port_mappings_reach_the_plugin() {
    let value = json!([
        {"hostPort": 8080, "containerPort": 80},
        {"hostPort": 53, "containerPort": 5353, "protocol": "UDP", "hostIP": "192.0.2.1"},
        {"hostPort": 65535, "containerPort": 1, "protocol": "sctp"},
    ]);
    let expected = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "192.0.2.1"},
        {"hostPort": 65535, "containerPort": 1, "protocol": "sctp"},
    ]);
    assert_reaches("portMappings", &value, "portMappings", &expected);
}

#[test]
fn section_4_1_2_1_7_port_mappings_fail_when_undeclared() {
    assert_undeclared_fails("portMappings", &json!([{"hostPort": 8080, "containerPort": 80}]), "portMappings");
}

#[test]
fn section_4_1_2_1_7_ports_and_protocols_are_checked() {
    let wrong = [
        json!([{"hostPort": 0, "containerPort": 80}]),
        json!([{"hostPort": 65536, "containerPort": 80}]),
        json!([{"hostPort": 80}]),
        json!([{"hostPort": "80", "containerPort": 80}]),
        json!([{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]),
        json!([{"hostPort": 80, "containerPort": 80, "hostIP": "here"}]),
        json!({"hostPort": 80, "containerPort": 80}),
        json!([null]),
    ];
    assert_wrong("portMappings", "portMappings", &wrong);
}

#[test]
fn section_4_1_2_1_8_bandwidth_reaches_the_plugin() {
    let value = json!({"ingressRate": 1_000_000_000_000_u64, "ingressBurst": 2000, "egressRate": 3000});
    let expected =
        json!({"ingressRate": 1_000_000_000_000_u64, "ingressBurst": 2000, "egressRate": 3000, "egressBurst": 0});
    assert_reaches("bandwidth", &value, "bandwidth", &expected);
}

#[test]
fn section_4_1_2_1_8_bandwidth_fails_when_undeclared() {
    assert_undeclared_fails("bandwidth", &json!({"ingressRate": 1000}), "bandwidth");
}

#[test]
fn section_4_1_2_1_8_a_burst_needs_its_rate_and_numbers_are_whole() {
    let wrong = [
        json!({}),
        json!({"ingressBurst": 1000}),
        json!({"ingressRate": 1000, "egressBurst": 1000}),
        json!({"ingressRate": -1}),
        json!({"ingressRate": 1.5}),
        json!({"ingressRate": "1000"}),
        json!([1000]),
    ];
    assert_wrong("bandwidth", "bandwidth", &wrong);
}

#[test]
fn section_4_1_2_1_10_infiniband_guid_reaches_the_plugin() {
    let guid = json!("24:8a:07:03:00:8d:ae:2f");
    assert_reaches("infiniband-guid", &guid, "infinibandGUID", &guid);
}

#[test]
fn section_4_1_2_1_10_infiniband_guid_fails_when_undeclared() {
    assert_undeclared_fails("infiniband-guid", &json!("24:8a:07:03:00:8d:ae:2f"), "infinibandGUID");
}

#[test]
fn section_4_1_2_1_10_infiniband_guid_must_have_eight_bytes() {
    let wrong = [json!("24:8a:07:03:00:8d"), json!("24:8a:07:03:00:8d:ae:2f:00"), json!("guid"), json!([1])];
    assert_wrong("infiniband-guid", "infinibandGUID", &wrong);
}

#[test]
fn section_4_1_2_1_a_capability_reaches_only_the_plugins_of_a_chain_that_declare_it() {
    let fixture = Fixture::start();
    let mut first = fixture.stub_config("public", &json!({}));
    first["capabilities"] = json!({"ips": true, "mac": true});
    let record = &first["stub"]["record"];
    let second = json!({"type": "stub2", "stub": {"record": record}, "capabilities": {"bandwidth": true, "mac": true}});
    let third = json!({"type": "stub2", "stub": {"record": record}});
    let network = json!({"cniVersion": "1.1.0", "name": "public", "plugins": [first, second, third]});
    fixture.define("rook-ceph", "public", &network);
    let config = fixture.chained();
    let element = json!([{
        "name": "public", "ips": ["192.0.2.7/24"], "mac": "02:00:00:00:00:01", "bandwidth": {"egressRate": 1000},
    }]);
    let pod = fixture.pod("osd", Some(&element.to_string()));
    fixture.add(&config, &pod);
    let given: Vec<Value> =
        fixture.records_of("ADD", "net1").iter().map(|record| record["stdin"]["runtimeConfig"].clone()).collect();
    let bandwidth = json!({"ingressRate": 0, "ingressBurst": 0, "egressRate": 1000, "egressBurst": 0});
    assert_eq!(
        given,
        [
            json!({"ips": ["192.0.2.7/24"], "mac": "02:00:00:00:00:01"}),
            json!({"mac": "02:00:00:00:00:01", "bandwidth": bandwidth}),
            Value::Null,
        ]
    );
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_the_requests_of_one_element_do_not_reach_another_network() {
    let fixture = Fixture::start();
    define_with(&fixture, "public", &json!({"ips": true}));
    define_with(&fixture, "cluster", &json!({"ips": true}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "ips": ["192.0.2.7/24"]}, {"name": "cluster"}]"#));
    fixture.add(&config, &pod);
    assert_eq!(fixture.given("ADD", "net1")["runtimeConfig"], json!({"ips": ["192.0.2.7/24"]}));
    assert_eq!(fixture.given("ADD", "net2").get("runtimeConfig"), None);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}
