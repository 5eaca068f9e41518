//! What depends on the specification's version: the form of results and errors, which commands there are, and what a
//! DEL is given.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Refusal, merge};
use crate::support::PluginCall;

/// Every version, oldest first.
pub(crate) const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A default network's result of 1.1.0 that uses what later versions have.
fn newest_result() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/pod", "mtu": 9000,
                        "socketPath": "/s", "pciID": "0000:00:1f.6"}],
        "ips": [{"interface": 0, "address": "10.1.0.7/24", "gateway": "10.1.0.1"},
                {"interface": 0, "address": "2001:db8::7/64"}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400}, {"dst": "::/0"}],
        "dns": {"nameservers": ["10.1.0.53"]},
    })
}

/// The same as each version can say it.
fn expected_result(version: &str) -> Value {
    match version {
        "0.1.0" | "0.2.0" => json!({
            "cniVersion": version,
            "ip4": {"ip": "10.1.0.7/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
            "ip6": {"ip": "2001:db8::7/64", "routes": [{"dst": "::/0"}]},
            "dns": {"nameservers": ["10.1.0.53"]},
        }),
        "0.3.0" | "0.3.1" | "0.4.0" => json!({
            "cniVersion": version,
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/pod"}],
            "ips": [{"version": "4", "interface": 0, "address": "10.1.0.7/24", "gateway": "10.1.0.1"},
                    {"version": "6", "interface": 0, "address": "2001:db8::7/64"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400}, {"dst": "::/0"}],
            "dns": {"nameservers": ["10.1.0.53"]},
        }),
        _ => {
            let mut result = newest_result();
            result["cniVersion"] = json!(version);
            result
        }
    }
}

/// rooknet in delegating mode under `version`; the default network itself stays at 1.1.0.
fn delegating(fixture: &Fixture, version: &str, stub: &Value) -> Value {
    let mut config = fixture.delegating(stub);
    config["cniVersion"] = json!(version);
    config
}

#[test]
fn a_result_is_printed_in_the_form_of_the_configurations_version() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let pod = fixture.pod("osd", None);
        let config = delegating(&fixture, version, &json!({"result": newest_result()}));
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(version);
        assert_eq!(added.json(), expected_result(version), "{version}");
        fixture.run("DEL", &config, &pod).expect_success(version);
    }
    fixture.assert_clean();
}

#[test]
fn an_old_delegates_result_reaches_a_newer_runtime() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let pod = fixture.pod("osd", None);
        // Without `result` the stub answers in the form of the version that it is given.
        let mut config = delegating(&fixture, "1.1.0", &json!({"address": "10.1.0.7/24"}));
        config["delegates"][0]["cniVersion"] = json!(version);
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(version);
        let result = added.json();
        assert_eq!((&result["cniVersion"], &result["ips"][0]["address"]), (&json!("1.1.0"), &json!("10.1.0.7/24")));
        assert_eq!(result["ips"][0]["version"], Value::Null, "{version}");
        fixture.run("DEL", &config, &pod).expect_success(version);
    }
    fixture.assert_clean();
}

#[test]
fn a_chained_result_is_printed_unchanged_in_every_version() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    for version in VERSIONS {
        let pod = fixture.pod("osd", Some("public"));
        let mut config = fixture.chained();
        config["cniVersion"] = json!(version);
        config["prevResult"] = expected_result(version);
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(version);
        assert_eq!(added.json(), expected_result(version));
        fixture.run("DEL", &config, &pod).expect_success(version);
    }
    fixture.assert_clean();
}

#[test]
fn a_result_without_address_is_an_error_below_0_3_0_and_is_rolled_back() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let pod = fixture.pod("osd", None);
        let config = delegating(&fixture, version, &json!({}));
        if version < "0.3.0" {
            let refusal = fixture.refused(version, &fixture.call("ADD", &config, &pod), 6, &["no address", "0.3.0"]);
            assert_eq!(refusal.version, version);
        } else {
            fixture.run("ADD", &config, &pod).expect_success(version);
            fixture.run("DEL", &config, &pod).expect_success(version);
        }
    }
    fixture.assert_clean();
}

#[test]
fn check_is_code_1_below_0_4_0() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let pod = fixture.pod("osd", None);
        let mut config = delegating(&fixture, version, &json!({"address": "10.1.0.7/24"}));
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(version);
        config["prevResult"] = added.json();
        let checked = fixture.run("CHECK", &config, &pod);
        if version < "0.4.0" {
            let refusal = Refusal::of(version, &checked).expect(version, 1, &["CHECK needs cniVersion 0.4.0", version]);
            assert_eq!(refusal.version, version);
        } else {
            assert_eq!(checked.expect_success(version), "");
        }
        fixture.run("DEL", &config, &pod).expect_success(version);
    }
    fixture.assert_clean();
}

#[test]
fn gc_and_status_are_code_1_below_1_1_0() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        for operation in ["GC", "STATUS"] {
            let config = delegating(&fixture, version, &json!({}));
            let outcome = fixture.node_call(operation, &config);
            if version < "1.1.0" {
                let words = [&format!("{operation} needs cniVersion 1.1.0"), version];
                let refusal = Refusal::of(version, &outcome).expect(version, 1, &words);
                assert_eq!(refusal.version, version);
            } else {
                assert_eq!(outcome.expect_success(operation), "");
            }
        }
    }
    fixture.assert_clean();
}

#[test]
fn version_is_answered_whatever_the_input_is() {
    let fixture = Fixture::start();
    let inputs: [&[u8]; 6] =
        [b"", b"nonsense", b"\xff\xfe", b"{\"cniVersion\":\"0.1.0\"}", b"{\"cniVersion\":\"7\"}", &[b' '; 5_000_000]];
    for input in inputs {
        let call = PluginCall::new(&fixture.program(), "VERSION", "").input(input).without("CNI_PATH");
        let outcome = call.run(&fixture.node);
        outcome.expect_success("VERSION");
        assert_eq!(outcome.json(), json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}));
    }
}

#[test]
fn delegates_get_prev_result_on_del_from_0_4_0_on() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let mut network = fixture.stub_config("public", &json!({"address": "10.2.0.7/24"}));
        network["cniVersion"] = json!(version);
        fixture.define("rook-ceph", "public", &network);
        let pod = fixture.pod("osd", Some("public"));
        fixture.forget_records();
        fixture.run("ADD", &fixture.chained(), &pod).expect_success(version);
        fixture.run("DEL", &fixture.chained(), &pod).expect_success(version);
        let records = fixture.records();
        assert_eq!(fixture.recorded_calls(), ["ADD net1", "DEL net1"], "{version}");
        assert!(records.iter().all(|record| record["stdin"]["cniVersion"] == version), "{version}");
        assert_eq!(records[0]["stdin"]["prevResult"], Value::Null, "{version}");
        let on_del = &records[1]["stdin"]["prevResult"];
        if version < "0.4.0" {
            assert_eq!(*on_del, Value::Null, "{version}");
        } else {
            let address = &on_del["ips"][0]["address"];
            assert_eq!((&on_del["cniVersion"], address), (&json!(version), &json!("10.2.0.7/24")), "{version}");
        }
    }
    fixture.assert_clean();
}

#[test]
fn an_error_has_the_version_of_the_configuration() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let pod = fixture.pod("osd", None);
        // Wrong in what every call reads, in what only an ADD reads, and in what is said of the call itself.
        for (key, value) in [("stateDir", json!(1)), ("deadline", json!("x")), ("name", json!("a b"))] {
            let mut config = fixture.chained();
            merge(&mut config, &json!({"cniVersion": version, (key): value}));
            let refusal = fixture.refused_add(version, &config, &pod, 7, &[]);
            assert_eq!(refusal.version, version, "{key}");
        }
        let mut config = fixture.chained();
        config["cniVersion"] = json!(version);
        let call = fixture.call("ADD", &config, &pod).without("CNI_IFNAME");
        assert_eq!(fixture.refused(version, &call, 4, &["CNI_IFNAME"]).version, version);
    }
}
