use proptest::prelude::*;

use super::*;

fn parse_in_rook(text: &str) -> Result<Vec<Selection>, Error> {
    parse(ANNOTATION, text, Some("rook"))
}

fn one(text: &str) -> Selection {
    let mut selections = parse_in_rook(text).unwrap();
    assert_eq!(selections.len(), 1, "{text}");
    selections.remove(0)
}

/// The one error, which must have code 7, name the annotation and contain every part.
fn refused(text: &str, parts: &[&str]) {
    let error = parse_in_rook(text).unwrap_err();
    assert_eq!(error.code.0, 7, "{text}");
    for part in [ANNOTATION].iter().chain(parts) {
        assert!(error.message.contains(part), "{text}\n{error}\nlacks {part}");
    }
}

fn runtime_config(selection: &Selection) -> Vec<(&str, &str)> {
    selection.runtime_config.iter().map(|(key, value)| (*key, value.get())).collect()
}

#[test]
fn a_blank_annotation_selects_nothing() {
    for text in ["", " ", "\n\t ", "[]", " [ ] "] {
        assert!(parse_in_rook(text).unwrap().is_empty(), "{text:?}");
    }
}

#[test]
fn the_comma_form_takes_namespace_name_and_interface() {
    let selections = parse_in_rook("public, ceph/cluster@clu0 ,\n other.net@x").unwrap();
    let seen: Vec<_> = selections.iter().map(|s| (s.reference(), s.interface.as_deref())).collect();
    let expected = [("rook/public", None), ("ceph/cluster", Some("clu0")), ("rook/other.net", Some("x"))];
    assert_eq!(seen, expected.map(|(reference, interface)| (reference.to_owned(), interface)));
}

#[test]
fn the_same_network_may_be_selected_twice() {
    assert_eq!(parse_in_rook("a,a").unwrap().len(), 2);
    assert_eq!(parse_in_rook(r#"[{"name":"a"},{"name":"a"}]"#).unwrap().len(), 2);
}

#[test]
fn an_empty_element_is_refused_by_its_number() {
    for (text, number) in [("a,", "element 2"), (",a", "element 1"), ("a, ,b", "element 2"), (",", "element 1")] {
        refused(text, &[number, "empty"]);
    }
}

#[test]
fn malformed_references_of_the_comma_form_are_refused() {
    for (text, part) in [
        ("a/b/c", "\"b/c\""),
        ("/a", "namespace"),
        ("a/", "name"),
        ("a@", "interface"),
        ("a@b@c", "more than one"),
        ("A", "\"A\""),
        ("../x", "\"..\""),
        ("a..b", "\"a..b\""),
        ("publіc", "element 1"),
        ("a@eth%d", "interface"),
        ("a@0123456789abcdef", "interface"),
        ("a.b/c", "\"a.b\""),
    ] {
        refused(text, &["element 1", part]);
    }
}

#[test]
fn an_element_without_namespace_needs_the_pods() {
    let error = parse(ANNOTATION, "a", None).unwrap_err();
    assert!(error.message.contains("element 1 (a)") && error.message.contains("namespace"), "{error}");
    assert_eq!(parse(ANNOTATION, "ns/a", None).unwrap()[0].reference(), "ns/a");
}

#[test]
fn every_key_of_an_element_is_read() {
    let selection =
        one(r#"[{"name": "public", "namespace": "ceph", "interface": "pub0", "ips": ["192.0.2.7/24", "2001:db8::7"],
            "mac": "02:00:00:00:00:0A", "infiniband-guid": "24:8a:07:03:00:8d:ae:2f",
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "UDP", "hostIP": "192.0.2.1"},
                             {"hostPort": 1, "containerPort": 65535}],
            "bandwidth": {"ingressRate": 2048, "ingressBurst": 300, "egressRate": 8000},
            "deviceID": "0000:03:02.3", "cni-args": {"big": 18446744073709551616, "z": [1.0]},
            "default-route": ["192.0.2.1", "2001:db8::1"], "org.example.key": 1}]"#);
    assert_eq!(selection.reference(), "ceph/public");
    assert_eq!(selection.interface.as_deref(), Some("pub0"));
    assert_eq!(
        runtime_config(&selection),
        [
            ("ips", r#"["192.0.2.7/24","2001:db8::7"]"#),
            ("mac", r#""02:00:00:00:00:0A""#),
            ("infinibandGUID", r#""24:8a:07:03:00:8d:ae:2f""#),
            (
                "portMappings",
                r#"[{"hostPort":8080,"containerPort":80,"protocol":"udp","hostIP":"192.0.2.1"},{"hostPort":1,"containerPort":65535,"protocol":"tcp"}]"#
            ),
            ("bandwidth", r#"{"ingressRate":2048,"ingressBurst":300,"egressRate":8000,"egressBurst":0}"#),
        ]
    );
    assert_eq!(selection.device_id.as_deref(), Some("0000:03:02.3"));
    let args = selection.cni_args.unwrap().to_raw().unwrap();
    assert_eq!(args.get(), r#"{"big":18446744073709551616,"z":[1.0]}"#, "byte for byte");
    assert_eq!(selection.default_route, ["192.0.2.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert!(selection.takes_default_route && selection.unknown_keys.is_empty());
}

#[test]
fn a_bare_object_is_one_element() {
    assert_eq!(one(r#" {"name": "a", "interfaceRequest": "old0"} "#).interface.as_deref(), Some("old0"));
    assert_eq!(one(r#"{"name":"a","interface":"new0","interfaceRequest":"old0"}"#).interface.as_deref(), Some("new0"));
}

#[test]
fn keys_are_read_as_go_reads_them() {
    let selection = one(r#"{"NAME": "x", "name": "a", "Interface": "i0", "mac": null, "namespace": "", "ips": null}"#);
    assert_eq!((selection.reference().as_str(), selection.interface.as_deref()), ("rook/a", Some("i0")));
    assert!(selection.runtime_config.is_empty() && !selection.takes_default_route);
}

#[test]
fn empty_texts_count_as_absent() {
    let selection =
        one(r#"{"name":"a","mac":"","infiniband-guid":"","interface":"","deviceID":"","ipam-claim-reference":""}"#);
    assert!(selection.runtime_config.is_empty() && selection.interface.is_none() && selection.device_id.is_none());
}

#[test]
fn unknown_keys_are_passed_over_and_told() {
    let selection = one(r#"{"name":"a","interfce":"x","org.example.x":1,"IPS":["192.0.2.1"]}"#);
    assert_eq!(selection.unknown_keys, ["interfce"]);
}

#[test]
fn elements_that_are_not_objects_are_refused() {
    for (text, value) in
        [("[null]", "null"), ("[\"a\"]", "\"a\""), ("[[]]", "[]"), ("[{\"name\":\"a\"},3]", "element 2 is 3")]
    {
        refused(text, &[value, "not an object"]);
    }
    for text in ["[", "{", "\"a\"", "[{\"name\":\"a\"}", "[{}] x", "{\"a\"}"] {
        refused(text, &["is not a JSON list"]);
    }
}

#[test]
fn wrong_values_are_refused_naming_element_key_and_value() {
    let names = |key: &str, value: &str| (format!("\"{key}\":{value}"), key.to_owned(), value.to_owned());
    for (key, value) in [
        ("namespace", "\"A\""),
        ("namespace", "3"),
        ("interface", "\"a/b\""),
        ("interface", "\"..\""),
        ("interface", "[]"),
        ("ips", "[]"),
        ("ips", "\"192.0.2.1\""),
        ("ips", "[1]"),
        ("mac", "\"zz\""),
        ("mac", "\"02:00:00:00:00\""),
        ("mac", "\"02:00:00:00:00:00:00:00\""),
        ("mac", "\"02-00:00:00:00:00\""),
        ("mac", "\"01:00:5e:00:00:01\""),
        ("mac", "\"00:00:00:00:00:00\""),
        ("mac", "5"),
        ("infiniband-guid", "\"02:00:00:00:00:01\""),
        ("deviceID", "\"a b\""),
        ("cni-args", "[]"),
        ("cni-args", "\"a=b\""),
        ("portMappings", "{}"),
        ("bandwidth", "3"),
        ("default-route", "\"192.0.2.1\""),
        ("ipam-claim-reference", "\"A b\""),
    ] {
        let (pair, key, value) = names(key, value);
        refused(
            &format!("[{{\"name\":\"ok\"}},{{\"name\":\"n\",{pair}}}]"),
            &["element 2 (n)", &format!("key {key}"), &value],
        );
    }
}

#[test]
fn wrong_values_inside_a_list_or_object_are_refused_naming_the_inner_one() {
    for (pair, parts) in [
        (r#""ips":["192.0.2.1","x"]"#, ["key ips", "\"x\""]),
        (r#""ips":["192.0.2.1/33"]"#, ["key ips", "192.0.2.1/33"]),
        (r#""ips":["192.0.2.1/+8"]"#, ["key ips", "192.0.2.1/+8"]),
        (r#""ips":["192.0.2.1/255.0.0.0"]"#, ["key ips", "255.0.0.0"]),
        (r#""ips":["2001:db8::1/129"]"#, ["key ips", "/129"]),
        (r#""ips":["fe80::1%eth0"]"#, ["key ips", "fe80::1%eth0"]),
        (r#""portMappings":[null]"#, ["key portMappings", "null"]),
        (r#""portMappings":[{"containerPort":1}]"#, ["portMappings.hostPort", "(absent)"]),
        (r#""portMappings":[{"hostPort":0,"containerPort":1}]"#, ["portMappings.hostPort", "0"]),
        (r#""portMappings":[{"hostPort":1,"containerPort":65536}]"#, ["portMappings.containerPort", "65536"]),
        (r#""portMappings":[{"hostPort":"1","containerPort":1}]"#, ["portMappings.hostPort", "\"1\""]),
        (r#""portMappings":[{"hostPort":1,"containerPort":1,"protocol":"icmp"}]"#, ["portMappings.protocol", "icmp"]),
        (r#""portMappings":[{"hostPort":1,"containerPort":1,"hostIP":"x"}]"#, ["portMappings.hostIP", "\"x\""]),
        (r#""bandwidth":{}"#, ["key bandwidth", "at least one"]),
        (r#""bandwidth":{"ingressRate":-1}"#, ["bandwidth.ingressRate", "-1"]),
        (r#""bandwidth":{"ingressRate":1.5}"#, ["bandwidth.ingressRate", "1.5"]),
        (r#""bandwidth":{"egressRate":9223372036854775808}"#, ["bandwidth.egressRate", "9223372036854775808"]),
        (r#""bandwidth":{"egressBurst":5}"#, ["bandwidth.egressBurst", "needs egressRate"]),
        (r#""bandwidth":{"egressRate":5,"ingressBurst":5}"#, ["bandwidth.ingressBurst", "needs ingressRate"]),
        (r#""default-route":["192.0.2.0/24"]"#, ["key default-route", "192.0.2.0/24"]),
        (r#""default-route":["0.0.0.0"]"#, ["key default-route", "0.0.0.0"]),
        (r#""default-route":["192.0.2.1","192.0.2.2"]"#, ["key default-route", "second gateway"]),
        (r#""default-route":["192.0.2.1","::ffff:192.0.2.2"]"#, ["key default-route", "second gateway"]),
    ] {
        refused(&format!("[{{\"name\":\"n\",{pair}}}]"), &["element 1 (n)", parts[0], parts[1]]);
    }
}

#[test]
fn ips_together_with_an_ipam_claim_are_refused() {
    refused(r#"{"name":"a","ips":["192.0.2.1"],"ipam-claim-reference":"c"}"#, &["ips", "ipam-claim-reference"]);
    let claim = one(r#"{"name":"a","ipam-claim-reference":"vm123.tenantblue"}"#).ipam_claim_reference;
    assert_eq!(claim.as_deref(), Some("vm123.tenantblue"));
}

#[test]
fn an_element_without_name_is_refused() {
    for text in ["[{}]", r#"[{"name":""}]"#, r#"[{"name":null}]"#] {
        refused(text, &["element 1", "key name"]);
    }
    for name in ["\"../x\"", "\"ns/net\"", "\"A\"", "1", "\"pub\\u0456ic\"", "\"a\\u0000\""] {
        refused(&format!("[{{\"name\":{name}}}]"), &["element 1", "key name"]);
    }
}

#[test]
fn values_of_all_notations_of_hardware_addresses_pass() {
    for mac in ["02:00:00:00:00:01", "02-00-00-00-00-01", "0200.0000.0001", "AE:BC:DE:f0:12:34"] {
        let selection = one(&format!("{{\"name\":\"a\",\"mac\":\"{mac}\"}}"));
        assert_eq!(runtime_config(&selection), [("mac", format!("\"{mac}\"").as_str())]);
    }
}

#[test]
fn zeros_of_a_go_client_are_no_limits() {
    let selection = one(
        r#"{"name":"a","bandwidth":{"ingressRate":0,"ingressBurst":0,"egressRate":5,"egressBurst":0},"portMappings":[]}"#,
    );
    let expected = r#"{"ingressRate":0,"ingressBurst":0,"egressRate":5,"egressBurst":0}"#;
    assert_eq!(runtime_config(&selection), [("bandwidth", expected)]);
}

#[test]
fn the_default_route_of_a_family_has_one_owner() {
    let v4 = r#"{"name":"a","default-route":["192.0.2.1"]}"#;
    let v6 = r#"{"name":"b","default-route":["2001:db8::1"]}"#;
    let own = r#"{"name":"c","default-route":[]}"#;
    assert_eq!(parse_in_rook(&format!("[{v4},{v6},{{\"name\":\"d\"}}]")).unwrap().len(), 3);
    assert!(one(own).takes_default_route);
    refused(
        &format!("[{{\"name\":\"x\"}},{v4},{v4}]"),
        &["elements 2 (rook/a) and 3 (rook/a)", "IPv4", "default-route"],
    );
    refused(&format!("[{v6},{v6}]"), &["IPv6"]);
    refused(&format!("[{v4},{own}]"), &["elements 1 (rook/a) and 2 (rook/c)", "IPv4"]);
    refused(&format!("[{own},{own}]"), &["IPv4"]);
}

#[test]
fn the_default_network_annotation_takes_one_element() {
    let key = DEFAULT_NETWORK_ANNOTATION;
    assert_eq!(parse_one(key, "calico", Some("kube-system")).unwrap().unwrap().reference(), "kube-system/calico");
    assert!(parse_one(key, " ", Some("kube-system")).unwrap().is_none());
    let error = parse_one(key, "a,b", Some("kube-system")).unwrap_err();
    assert!(error.message.contains(key) && error.message.contains("2 elements"), "{error}");
}

#[test]
fn the_bounds_are_kept_and_named() {
    let many = |count| vec!["a"; count].join(",");
    assert_eq!(parse_in_rook(&many(MAX_ELEMENTS)).unwrap().len(), MAX_ELEMENTS);
    refused(&many(MAX_ELEMENTS + 1), &["129 elements", "at most 128"]);
    refused(&format!("[{}]", vec!["{}"; MAX_ELEMENTS + 1].join(",")), &["129 elements", "at most 128"]);
    refused(&" ".repeat(MAX_ANNOTATION_BYTES + 1), &["262144"]);
    refused(&"[".repeat(MAX_ANNOTATION_BYTES), &["is not a JSON list"]);
}

#[test]
fn long_and_unprintable_values_are_shortened_and_escaped_in_errors() {
    let error = parse_in_rook(&format!("[{{\"name\":\"{}\\u001b[2J\\n\"}}]", "x".repeat(5000))).unwrap_err();
    assert!(error.message.len() < 700, "{error}");
    let error = parse_in_rook(r#"[{"name":"a\u001b[2J\n"}]"#).unwrap_err();
    assert!(!error.message.contains(['\u{1b}', '\n']), "{error:?}");
    let error = parse_in_rook(&format!("\"{}", "x".repeat(5000))).unwrap_err();
    assert!(error.message.len() < 300, "{error}");
}

/// The parts of an element, and both forms of writing it.
#[derive(Clone, Debug)]
struct Parts {
    namespace: Option<String>,
    name: String,
    interface: Option<String>,
    ips: Vec<String>,
    mac: Option<[u8; 5]>,
    gateway: bool,
}

impl Parts {
    fn comma(&self) -> String {
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let interface = self.interface.as_ref().map(|interface| format!("@{interface}")).unwrap_or_default();
        format!("{namespace}{}{interface}", self.name)
    }

    fn json(&self) -> String {
        let mut keys = vec![format!("\"name\":\"{}\"", self.name)];
        keys.extend(self.namespace.as_ref().map(|namespace| format!("\"namespace\":\"{namespace}\"")));
        keys.extend(self.interface.as_ref().map(|interface| format!("\"interface\": \"{interface}\"")));
        if !self.ips.is_empty() {
            keys.push(format!("\"ips\":{:?}", self.ips));
        }
        keys.extend(self.mac.map(|[a, b, c, d, e]| format!("\"mac\":\"02:{a:02x}:{b:02x}:{c:02X}:{d:02x}:{e:02x}\"")));
        if self.gateway {
            keys.push("\"default-route\":[]".to_owned());
        }
        format!("{{{}}}", keys.join(" , "))
    }

    fn agree(&self, selection: &Selection) -> bool {
        selection.namespace == self.namespace.as_deref().unwrap_or("rook")
            && selection.name == self.name
            && selection.interface == self.interface
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let ip = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        (any::<std::net::Ipv6Addr>(), 0_u8..=128).prop_map(|(ip, length)| format!("{ip}/{length}")),
    ];
    (
        prop::option::of("[a-z]([a-z0-9-]{0,10}[a-z0-9])?"),
        "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z0-9]{1,3}){0,2}",
        prop::option::of("[a-zA-Z][a-zA-Z0-9_.-]{0,14}"),
        prop::collection::vec(ip, 0..4),
        any::<Option<[u8; 5]>>(),
    )
        .prop_map(|(namespace, name, interface, ips, mac)| Parts {
            namespace,
            name,
            interface,
            ips,
            mac,
            gateway: false,
        })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = parse_in_rook(&text);
    }

    #[test]
    fn no_text_made_of_the_annotations_own_letters_makes_the_parser_panic(
        text in "([\\[\\]{}\",:@/ ]|null|\"name\":\"a\"|\"ips\":|\"mac\":|\"bandwidth\":|\"default-route\":|[a-z0-9.:-]{1,4}|\\\\u00){0,40}"
    ) {
        match parse_in_rook(&text) {
            Ok(selections) => prop_assert!(selections.len() <= MAX_ELEMENTS),
            Err(error) => prop_assert!(error.code.0 == 7 && error.message.contains(ANNOTATION)),
        }
    }

    #[test]
    fn no_value_of_any_key_makes_the_parser_panic(key in prop::sample::select(KEYS.to_vec()), value in "\\PC{0,12}|[0-9\\[\\]{}\",.:e-]{0,20}") {
        let _ = parse_in_rook(&format!("[{{\"name\":\"a\",\"{key}\":{value}}}]"));
        let _ = parse_in_rook(&format!("[{{\"name\":\"a\",\"{key}\":[{value:?}]}}]"));
        let _ = parse_in_rook(&format!("[{{\"name\":\"a\",\"{key}\":{value:?}}}]"));
    }

    #[test]
    fn the_comma_form_reads_back_as_written(elements in prop::collection::vec(parts(), 1..8)) {
        let text = elements.iter().map(Parts::comma).collect::<Vec<_>>().join(" , ");
        let selections = parse_in_rook(&text).unwrap();
        prop_assert_eq!(selections.len(), elements.len());
        prop_assert!(elements.iter().zip(&selections).all(|(parts, selection)| parts.agree(selection)));
    }

    #[test]
    fn the_json_form_reads_back_as_written(mut elements in prop::collection::vec(parts(), 1..8), owner in any::<prop::sample::Index>()) {
        let owner = owner.index(elements.len());
        elements[owner].gateway = true;
        let text = format!(" [{}]", elements.iter().map(Parts::json).collect::<Vec<_>>().join(","));
        let selections = parse_in_rook(&text).unwrap();
        prop_assert_eq!(selections.len(), elements.len());
        for (parts, selection) in elements.iter().zip(&selections) {
            prop_assert!(parts.agree(selection));
            prop_assert_eq!(selection.takes_default_route, parts.gateway);
            let ips = selection.runtime_config.iter().find(|(key, _)| *key == "ips");
            let ips: Option<Vec<String>> = ips.map(|(_, value)| serde_json::from_str(value.get()).unwrap());
            prop_assert_eq!(ips.unwrap_or_default(), parts.ips.clone());
            prop_assert_eq!(selection.runtime_config.iter().any(|(key, _)| *key == "mac"), parts.mac.is_some());
        }
    }
}

#[test]
fn each_network_that_a_pod_has_serves_one_element_that_selects_it() {
    let selections = parse(ANNOTATION, "a,b,a@again,c/d", Some("n")).unwrap();
    let rows: [(&[&str], &[&str]); 4] = [
        (&[], &["n/a", "n/b", "n/a", "c/d"]),
        (&["n/a", "c/d"], &["n/b", "n/a"]),
        (&["n/a", "n/a", "n/a", "n/b"], &["c/d"]),
        (&["n/b", "other/x", "c/d", "n/a", "n/a"], &[]),
    ];
    for (had, expected) in rows {
        assert_eq!(missing(&selections, had.iter().copied()), expected, "{had:?}");
    }
}
