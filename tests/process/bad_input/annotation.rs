//! The annotation by which a pod selects its networks: a pod's author writes it.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS_ANNOTATION};

/// The networks that the rows select: `public` takes every request, `plain` none.
fn fixture_with_networks() -> Fixture {
    let fixture = Fixture::start();
    let mut public = fixture.stub_config("public", &json!({}));
    public["capabilities"] =
        json!({"ips": true, "mac": true, "infinibandGUID": true, "portMappings": true, "bandwidth": true});
    fixture.define("rook-ceph", "public", &public);
    fixture.define_stub("plain", &json!({}));
    fixture
}

/// Each annotation must be refused, with these words and the annotation's own name.
fn refuse(rows: &[(&str, &[&str])]) {
    let fixture = fixture_with_networks();
    let pod = fixture.pod("osd", None);
    for (annotation, words) in rows {
        let what: String = annotation.chars().take(100).collect();
        let refusal = fixture.refused_add(&what, &annotated(&fixture, &json!(annotation)), &pod, 7, words);
        assert!(refusal.message.contains(NETWORKS_ANNOTATION), "{}", refusal.message);
        assert_eq!(refusal.details, "");
    }
}

/// The chained configuration with that value for the annotation, of whatever type.
fn annotated(fixture: &Fixture, annotation: &Value) -> Value {
    let mut config = fixture.chained();
    config["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": {NETWORKS_ANNOTATION: annotation}});
    config
}

#[test]
fn an_element_of_the_comma_form_is_a_name_with_namespace_and_interface() {
    refuse(&[
        (",", &["element 1", "is empty"]),
        ("public,", &["element 2", "is empty", "[namespace/]name[@interface]"]),
        (",public", &["element 1", "is empty"]),
        ("public,,plain", &["element 2", "is empty"]),
        ("public@", &["element 1", "interface", "1 to 15"]),
        ("@net1", &["element 1", "key name"]),
        ("a/b/public", &["element 1", "key name", "\"b/public\""]),
        ("/public", &["element 1", "namespace", "\"\""]),
        ("rook-ceph/", &["element 1", "key name"]),
        ("public@a@b", &["element 1", "more than one '@'"]),
        ("public@net%d", &["element 1", "\"net%d\"", "\"%\""]),
        ("public@sixteen-letters-", &["element 1", "\"sixteen-letters-\"", "1 to 15"]),
        ("public@a:b", &["\"a:b\""]),
        ("public@..", &["reserved"]),
        ("public plain", &["element 1", "\"public plain\"", "lower-case letters"]),
        ("public;plain", &["\"public;plain\""]),
        ("public@n\u{e9}t", &["printable ASCII"]),
        ("Public", &["\"Public\"", "lower-case"]),
        ("pub_lic", &["\"pub_lic\""]),
        ("../../etc/passwd", &["element 1"]),
        ("public\u{0}", &["\\u{0}"]),
        ("public\u{1b}c@net1", &["\\u{1b}c"]),
        ("pu\u{202e}blic", &["\\u{202e}"]),
    ]);
}

#[test]
fn the_json_form_is_a_list_of_objects_or_one() {
    refuse(&[
        ("[", &["not a JSON list of objects", "line 1, column 1", "[{\"name\": \"…\"}]"]),
        ("{", &["not a JSON list of objects"]),
        ("[]]", &["not a JSON list of objects"]),
        ("[{\"name\":\"public\"},]", &["not a JSON list of objects", "column 20"]),
        ("\"public\"", &["not a JSON list of objects"]),
        ("public,{\"name\":\"plain\"}", &["not a JSON list of objects"]),
        ("[null]", &["element 1", "is null and not an object"]),
        ("[{\"name\":\"public\"},null]", &["element 2", "is null"]),
        ("[[]]", &["element 1", "is []"]),
        ("[\"public\"]", &["element 1", "is \"public\" and not an object"]),
        ("[7]", &["element 1", "is 7"]),
        ("[true]", &["element 1", "is true"]),
        ("{}", &["element 1", "no key name"]),
        ("[{}]", &["element 1", "no key name", "NetworkAttachmentDefinition"]),
        ("[{\"name\":\"\"}]", &["element 1", "no key name"]),
        ("[{\"name\":null}]", &["element 1", "no key name"]),
        ("[{\"name\":7}]", &["element 1", "key name", "7", "a text in quotes"]),
        ("[{\"name\":\"public\",\"namespace\":[]}]", &["element 1 (public)", "key namespace", "[]"]),
        ("[{\"name\":\"public\",\"namespace\":\"a.b\"}]", &["key namespace", "\"a.b\""]),
        ("[{\"name\":\"public\",\"interface\":7}]", &["element 1 (public)", "key interface"]),
        ("[{\"name\":\"public\",\"interface\":\"net%d\"}]", &["element 1 (public)", "key interface", "\"net%d\""]),
        ("[{\"name\":\"public\",\"interfaceRequest\":\"a b\"}]", &["key interfaceRequest", "\"a b\""]),
        ("[{\"name\":\"pu\\u0000blic\"}]", &["\\u{0}"]),
        ("[{\"name\":\"pu\\u001b[2J\"}]", &["\\u{1b}[2J"]),
        // Half of a surrogate pair: no text at all.
        ("[{\"name\":\"pu\\ud800\"}]", &["element 1", "key name", "a text in quotes"]),
        ("[{\"name\":\"public\",\"mac\":\"\\ud800\"}]", &["element 1 (public)", "key mac"]),
        ("[{\"pu\\ud800\":1}]", &["element 1"]),
    ]);
}

/// One element of `public` with a key.
fn with(key: &str, value: &Value) -> String {
    json!([{"name": "public", (key): value}]).to_string()
}

fn refuse_values(key: &str, rows: &[(Value, &[&str])]) {
    let rows: Vec<(String, &[&str])> = rows.iter().map(|(value, words)| (with(key, value), *words)).collect();
    let rows: Vec<(&str, &[&str])> = rows.iter().map(|(text, words)| (text.as_str(), *words)).collect();
    let fixture = fixture_with_networks();
    let pod = fixture.pod("osd", None);
    for (annotation, words) in rows {
        let refusal = fixture.refused_add(annotation, &annotated(&fixture, &json!(annotation)), &pod, 7, words);
        let place = format!("annotation {NETWORKS_ANNOTATION}, element 1 (public) has a wrong value in key {key}");
        assert!(refusal.message.starts_with(&place), "{}", refusal.message);
    }
}

#[test]
fn ips_are_addresses() {
    refuse_values(
        "ips",
        &[
            (json!([]), &["is empty", "at least one address"]),
            (json!("10.1.0.7/24"), &["a list of texts"]),
            (json!([7]), &["a list of texts"]),
            (json!([null]), &["a list of texts"]),
            (json!([""]), &["\"\"", "not an IP address"]),
            (json!(["10.1.0.256/24"]), &["\"10.1.0.256/24\"", "\"192.0.2.7/24\""]),
            (json!(["10.1.0.7/33"]), &["10.1.0.7/33"]),
            (json!(["10.1.0.7/-1"]), &["10.1.0.7/-1"]),
            (json!(["10.1.0.7/255.255.255.0"]), &["255.255.255.0"]),
            (json!(["10.01.0.7"]), &["10.01.0.7"]),
            (json!(["2001:db8::7/129"]), &["2001:db8::7/129"]),
            (json!(["10.1.0.7/24", "x\n"]), &["\"x\\n\""]),
        ],
    );
}

#[test]
fn hardware_addresses_have_their_length() {
    let six = ["0", "02:00:00:00:00", "02:00:00:00:00:01:02", "02-00:00:00:00:01", "zz:00:00:00:00:01", "020000000001"];
    let rows: Vec<(Value, &[&str])> =
        six.iter().map(|text| (json!(text), &["is not a MAC address", "six bytes"][..])).collect();
    refuse_values("mac", &rows);
    refuse_values(
        "mac",
        &[
            (json!("00:00:00:00:00:00"), &["must not be zero"]),
            (json!("01:00:00:00:00:01"), &["first byte must be even"]),
            (json!("ff:ff:ff:ff:ff:ff"), &["first byte must be even"]),
            (json!(7), &["a text in quotes"]),
            (json!(["02:00:00:00:00:01"]), &["a text in quotes"]),
        ],
    );
    let guids: [(Value, &[&str]); 3] = [
        (json!("24:8a:07:03:00:8d:ae"), &["InfiniBand GUID", "eight bytes"]),
        (json!("02:00:00:00:00:01"), &["InfiniBand GUID"]),
        (json!(7), &["a text in quotes"]),
    ];
    refuse_values("infiniband-guid", &guids);
}

#[test]
fn port_mappings_have_ports_and_a_known_protocol() {
    let good = json!({"hostPort": 6789, "containerPort": 6789});
    let mapping = |key: &str, value: Value| {
        let mut mapping = good.clone();
        mapping[key] = value;
        json!([mapping])
    };
    refuse_values(
        "portMappings",
        &[
            (json!({}), &["a list of objects"]),
            (json!("6789:6789"), &["a list of objects"]),
            (json!([6789]), &["a list of objects"]),
            (json!([null]), &["a list of objects"]),
            (json!([{}]), &["portMappings.hostPort", "(absent)", "1 to 65535"]),
            (mapping("hostPort", json!(0)), &["portMappings.hostPort", "1 to 65535"]),
            (mapping("hostPort", json!(65536)), &["portMappings.hostPort", "65536"]),
            (mapping("containerPort", json!(-1)), &["portMappings.containerPort", "-1"]),
            (mapping("containerPort", json!("80")), &["portMappings.containerPort", "\"80\""]),
            (mapping("protocol", json!("icmp")), &["portMappings.protocol", "TCP, UDP or SCTP"]),
            (mapping("protocol", json!(7)), &["portMappings.protocol"]),
            (mapping("hostIP", json!("x")), &["portMappings.hostIP", "not an IP address"]),
        ],
    );
}

#[test]
fn bandwidth_has_rates_and_bursts() {
    refuse_values(
        "bandwidth",
        &[
            (json!([]), &["an object such as"]),
            (json!(1_000_000), &["an object such as"]),
            (json!({}), &["limits nothing", "ingressRate"]),
            (json!({"rate": 1}), &["limits nothing"]),
            (json!({"ingressRate": "1M"}), &["bandwidth.ingressRate", "\"1M\"", "whole number"]),
            (json!({"ingressRate": -1}), &["bandwidth.ingressRate"]),
            (json!({"ingressRate": 1.5}), &["bandwidth.ingressRate"]),
            (json!({"egressRate": 18_446_744_073_709_551_615_u64}), &["bandwidth.egressRate", "63 bits"]),
            (json!({"ingressBurst": 7}), &["bandwidth.ingressBurst", "needs ingressRate"]),
            (json!({"ingressRate": 7, "egressBurst": 7}), &["bandwidth.egressBurst", "needs egressRate"]),
        ],
    );
}

#[test]
fn other_keys_are_checked_too() {
    refuse_values(
        "default-route",
        &[
            (json!("10.1.0.1"), &["a list of gateways"]),
            (json!([7]), &["a list of gateways"]),
            (json!(["10.1.0.1/24"]), &["without a prefix length"]),
            (json!(["0.0.0.0"]), &["not the IP address of a gateway"]),
            (json!(["224.0.0.1"]), &["not the IP address of a gateway"]),
            (json!(["10.1.0.1", "10.1.0.2"]), &["a second gateway of its family"]),
            (json!(["10.1.0.1", "::ffff:10.1.0.2"]), &["a second gateway of its family"]),
        ],
    );
    refuse_values("cni-args", &[(json!([]), &["an object such as"]), (json!("a=b"), &["an object such as"])]);
    refuse_values(
        "deviceID",
        &[(json!(7), &["a text in quotes"]), (json!("a b"), &["without spaces"]), (json!("x\u{1b}"), &["\\u{1b}"])],
    );
    refuse_values("ipam-claim-reference", &[(json!("A/b"), &["IPAMClaim"]), (json!(7), &["a text in quotes"])]);
    refuse(&[(
        r#"[{"name":"public","ips":["10.1.0.7"],"ipam-claim-reference":"claim"}]"#,
        &["element 1 (public)", "ips and the key ipam-claim-reference", "keep one"],
    )]);
}

#[test]
fn the_elements_of_a_selection_are_checked_against_each_other() {
    let fixture = fixture_with_networks();
    let pod = fixture.pod("osd", None);
    let rows: [(&str, &[&str]); 5] = [
        ("public@a,plain@a", &["interface name \"a\"", "attachments 1 and 2", "another"]),
        ("public@net1,plain@net2,public@net1", &["\"net1\"", "attachments 1 and 3"]),
        ("public@eth0", &["\"eth0\"", "CNI_IFNAME"]),
        (
            r#"[{"name":"public","default-route":["10.1.0.1"]},{"name":"plain","default-route":["10.2.0.1"]}]"#,
            &["elements 1 (rook-ceph/public) and 2 (rook-ceph/plain)", "IPv4", "one interface only"],
        ),
        (
            r#"[{"name":"public","default-route":[]},{"name":"plain","default-route":["2001:db8::1"]}]"#,
            &["elements 1", "IPv6"],
        ),
    ];
    for (annotation, words) in rows {
        fixture.refused_add(annotation, &annotated(&fixture, &json!(annotation)), &pod, 7, words);
    }
}

#[test]
fn a_request_that_no_plugin_of_the_network_takes_is_refused_with_its_capability() {
    let fixture = fixture_with_networks();
    let pod = fixture.pod("osd", None);
    for (key, value, capability) in [
        ("ips", json!(["10.1.0.7/24"]), "ips"),
        ("mac", json!("02:00:00:00:00:01"), "mac"),
        ("infiniband-guid", json!("24:8a:07:03:00:8d:ae:2f"), "infinibandGUID"),
        ("portMappings", json!([{"hostPort": 1, "containerPort": 1}]), "portMappings"),
        ("bandwidth", json!({"ingressRate": 1}), "bandwidth"),
    ] {
        let annotation = json!([{"name": "public"}, {"name": "plain", (key): value}]).to_string();
        let words = ["network rook-ceph/plain", capability, "none of its plugins declares the capability"];
        fixture.refused_add(key, &annotated(&fixture, &json!(annotation)), &pod, 7, &words);
    }
}

#[test]
fn an_annotation_is_a_text_in_an_object() {
    let fixture = fixture_with_networks();
    let pod = fixture.pod("osd", None);
    for value in [json!(7), json!([]), json!({"name": "public"}), json!(true)] {
        let words = ["annotation k8s.v1.cni.cncf.io/networks", "is not a text"];
        fixture.refused_add(&value.to_string(), &annotated(&fixture, &value), &pod, 7, &words);
    }
    for value in [json!(7), json!([]), json!("x")] {
        let mut config = fixture.chained();
        config["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": value});
        let call = fixture.call("ADD", &fixture.chained(), &pod).input(config.to_string());
        fixture.refused(&value.to_string(), &call, 7, &["io.kubernetes.cri.pod-annotations", "expected a JSON object"]);
    }
    // As a runtime in Go never writes it, but a broken one may: the annotation's text has half a surrogate pair.
    let text = annotated(&fixture, &json!("HERE")).to_string().replace("HERE", "public\\ud800");
    let call = fixture.call("ADD", &fixture.chained(), &pod).input(text);
    fixture.refused("surrogate", &call, 7, &["annotation k8s.v1.cni.cncf.io/networks", "is not a text", "hex escape"]);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
}

#[test]
fn an_annotation_has_its_bounds() {
    let many: Vec<&str> = vec!["public"; 129];
    let many_objects = format!("[{}]", vec!["{\"name\":\"public\"}"; 129].join(","));
    let long = "x".repeat(262_145);
    refuse(&[
        (&long, &["262145 bytes", "at most 262144"]),
        (&"x".repeat(262_144), &["element 1", "key name", "at most 253"]),
        (&many.join(","), &["129 elements", "at most 128"]),
        (&many_objects, &["129 elements", "at most 128"]),
        (&",".repeat(200_000), &["200001 elements"]),
        (&format!("[{}]", vec!["[]"; 80_000].join(",")), &["80000 elements"]),
        (&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), &["element 1"]),
        (&format!("[{{\"name\":\"public\",\"ips\":{}1{}}}]", "[".repeat(50_000), "]".repeat(50_000)), &["key ips"]),
        (&format!("[{{\"name\":\"{}\"}}]", "\u{1b}".repeat(40_000).replace('\u{1b}', "\\u001b")), &["\\u{1b}", "…"]),
    ]);
}
