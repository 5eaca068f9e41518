//! 4.1 and 4.2: the selection annotation in both forms, and what its keys do that name no capability.

use serde_json::{Value, json};

use crate::fixture::{Fixture, both_forms};

/// Which network came to which interface, in the order of ADD.
fn attached(fixture: &Fixture) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = fixture.records();
    let adds = records.iter().filter(|record| record["command"] == "ADD");
    adds.map(|record| (text(&record["stdin"]["name"]), text(&record["env"]["CNI_IFNAME"]))).collect()
}

#[test]
fn section_4_1_an_empty_annotation_selects_nothing() {
    let fixture = Fixture::start();
    let config = fixture.chained();
    for text in ["", "  \n", "[]", " [ ] "] {
        let pod = fixture.pod("osd", Some(text));
        assert_eq!(fixture.add(&config, &pod), config["prevResult"], "{text:?}");
        assert!(!fixture.has_journal(&pod), "{text:?}");
        fixture.check(&config, &pod, &config["prevResult"]).expect_success("CHECK");
        fixture.del(&config, &pod);
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn section_4_1_the_comma_form_and_the_json_form_mean_the_same() {
    let fixture = Fixture::start();
    fixture.define_stub("public.storage", &json!({}));
    fixture.define("tenant-b", "cluster", &fixture.stub_config("cluster", &json!({})));
    let config = fixture.chained();
    let expected = [("public.storage", "net1"), ("cluster", "clu0")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    for text in [
        "public.storage,tenant-b/cluster@clu0",
        "  public.storage ,\n tenant-b/cluster@clu0 ",
        "rook-ceph/public.storage, tenant-b/cluster@clu0",
        r#"[{"name": "public.storage"}, {"name": "cluster", "namespace": "tenant-b", "interface": "clu0"}]"#,
        r#"[{"NAME": "public.storage", "mac": ""},
            {"name": "cluster", "namespace": "tenant-b", "interfaceRequest": "clu0", "example.com/own": 1}]"#,
    ] {
        let pod = fixture.pod("osd", Some(text));
        fixture.forget_records();
        assert_eq!(fixture.add(&config, &pod), config["prevResult"]);
        assert_eq!(attached(&fixture), expected, "{text}");
        fixture.del(&config, &pod);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_one_object_without_a_list_is_one_element() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some(r#"{"name": "public", "interface": "pub0"}"#));
    fixture.add(&config, &pod);
    assert_eq!(attached(&fixture), [("public".to_owned(), "pub0".to_owned())]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

/// The standard says that it shall be ignored; a storage daemon must not start without its network.
#[test]
fn section_4_1_an_invalid_annotation_fails_the_pod_naming_the_element() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    for (text, part) in [
        ("public,", "element 2"),
        (",", "element 1"),
        ("public,,public", "element 2"),
        ("public@a@b", "more than one '@'"),
        ("public@", "interface"),
        ("Public", "\"Public\""),
        ("../public", "\"..\""),
        ("rook-ceph/../public", "\"../public\""),
        ("rook_ceph/public", "\"rook_ceph\""),
        ("[null]", "element 1 is null"),
        ("[1]", "element 1 is 1"),
        ("[\"public\"]", "element 1 is \"public\""),
        ("{", "not a JSON list"),
        ("[{\"name\":\"public\"}", "not a JSON list"),
        (r#"[{"name":"public"},{"namespace":"rook-ceph"}]"#, "element 2 has no key name"),
        (r#"[{"name":"public"},{"name":7}]"#, "element 2"),
        (r#"[{"name":"public","namespace":[]}]"#, "key namespace"),
        (r#"[{"name":"public","interface":1}]"#, "key interface"),
        (r#"[{"name":"public","deviceID":"a b"}]"#, "key deviceID"),
    ] {
        let pod = fixture.pod("osd", Some(text));
        let parts = ["annotation k8s.v1.cni.cncf.io/networks", part];
        fixture.assert_refused(&config, &pod, 7, &parts);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_5_interface_becomes_cni_ifname_and_the_links_name() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    for form in both_forms("rook-ceph", "public", "pub-0_storage.1") {
        let pod = fixture.pod("osd", Some(&form));
        fixture.forget_records();
        fixture.add(&config, &pod);
        assert_eq!(pod.netns.interfaces(), ["pub-0_storage.1"]);
        fixture.del(&config, &pod);
        assert_eq!(fixture.recorded_calls(), ["ADD pub-0_storage.1", "DEL pub-0_storage.1"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_5_a_duplicate_interface_fails_before_anything_is_attached() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    for config in [fixture.chained(), fixture.delegating(&json!({}))] {
        for (text, parts) in [
            ("public@x, cluster@x", ["\"x\"", "1 and 2"]),
            ("cluster, public@eth0", ["\"eth0\"", "CNI_IFNAME"]),
            (r#"[{"name":"public","interface":"x"},{"name":"public","interface":"x"}]"#, ["\"x\"", "1 and 2"]),
            (r#"[{"name":"public","interface":"eth0"}]"#, ["\"eth0\"", "CNI_IFNAME"]),
        ] {
            fixture.assert_refused(&config, &fixture.pod("osd", Some(text)), 7, &parts);
        }
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_5_a_name_that_the_kernel_or_cni_does_not_take_fails() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    for name in ["net%d", "a-name-too-long-", "a/b", "a:b", ".", "..", "n\u{f6}t1", "a\tb"] {
        let text = json!([{"name": "public", "interface": name}]).to_string();
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&text)), 7, &["key interface", "interface name"]);
    }
    for name in ["net%d", "a-name-too-long-", "a/b", "a:b"] {
        let text = format!("public@{name}");
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&text)), 7, &["element 1"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_6_cni_args_merge_into_args_cni_and_the_pods_win() {
    let fixture = Fixture::start();
    let mut network = fixture.stub_config("public", &json!({}));
    network["args"] = json!({"cni": {"kept": "network's", "both": "network's"}, "labels": [1]});
    fixture.define("rook-ceph", "public", &network);
    fixture.define_stub("cluster", &json!({}));
    let config = fixture.chained();
    let selection = r#"[{"name": "public", "cni-args": {"both": "pod's", "big": 18446744073709551616}},
                        {"name": "cluster"}]"#;
    let pod = fixture.pod("osd", Some(selection));
    fixture.add(&config, &pod);
    // JSON numbers of that size do not survive most parsers: the record's own text tells.
    let merged = r#""args":{"cni":{"both":"pod's","kept":"network's","big":18446744073709551616},"labels":[1]}"#;
    assert!(fixture.record_lines()[0].contains(merged), "{}", fixture.given("ADD", "net1"));
    assert_eq!(fixture.given("ADD", "net2").get("args"), None, "another network's arguments");
    fixture.del(&config, &pod);
    assert_eq!(fixture.given("DEL", "net1")["args"]["cni"]["both"], "pod's", "DEL has the ADD's arguments");
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_6_cni_args_reach_every_plugin_of_the_network() {
    let fixture = Fixture::start();
    let first = fixture.stub_config("public", &json!({}));
    // The second of a chain passes the first one's result on.
    let second = json!({"type": "stub2", "stub": {"record": first["stub"]["record"]}, "args": {"cni": null}});
    let network = json!({"cniVersion": "1.1.0", "name": "public", "plugins": [first, second]});
    fixture.define("rook-ceph", "public", &network);
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "cni-args": {"zone": "a"}}]"#));
    fixture.add(&config, &pod);
    let records = fixture.records_of("ADD", "net1");
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(record["stdin"]["args"], json!({"cni": {"zone": "a"}}));
    }
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_6_cni_args_that_are_no_object_fail() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    for value in ["\"text\"", "[]", "[{\"a\": 1}]", "1", "true"] {
        let text = format!(r#"[{{"name": "public", "cni-args": {value}}}]"#);
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&text)), 7, &["element 1 (public)", "key cni-args"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_6_a_network_whose_own_args_are_no_object_fails() {
    let fixture = Fixture::start();
    let config = fixture.chained();
    for args in [json!("text"), json!([]), json!({"cni": "text"}), json!({"cni": [1]})] {
        let mut network = fixture.stub_config("public", &json!({}));
        network["args"] = args;
        fixture.define("rook-ceph", "public", &network);
        let pod = fixture.pod("osd", Some(r#"[{"name": "public", "cni-args": {"a": 1}}]"#));
        fixture.assert_refused(&config, &pod, 7, &["rook-ceph/public", "args"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_11_and_8_ipam_claim_reference_is_passed_on_to_the_plugins() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    let selection = r#"[{"name": "public", "ipam-claim-reference": "osd-0.claim", "cni-args": {"a": 1}}]"#;
    let pod = fixture.pod("osd", Some(selection));
    fixture.add(&config, &pod);
    let expected = json!({"cni": {"a": 1, "ipam-claim-reference": "osd-0.claim"}});
    assert_eq!(fixture.given("ADD", "net1")["args"], expected);
    fixture.del(&config, &pod);
    assert_eq!(fixture.given("DEL", "net1")["args"], expected);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_11_ipam_claim_reference_with_ips_or_a_bad_name_fails() {
    let fixture = Fixture::start();
    let mut network = fixture.stub_config("public", &json!({}));
    network["capabilities"] = json!({"ips": true});
    fixture.define("rook-ceph", "public", &network);
    let config = fixture.chained();
    for (keys, part) in [
        (
            r#""ipam-claim-reference": "a", "ips": ["192.0.2.7/24"]"#,
            "both the key ips and the key ipam-claim-reference",
        ),
        (r#""ipam-claim-reference": "A b""#, "key ipam-claim-reference"),
        (r#""ipam-claim-reference": ["a"]"#, "key ipam-claim-reference"),
    ] {
        let text = format!(r#"[{{"name": "public", {keys}}}]"#);
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&text)), 7, &[part]);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_2_1_automatic_names_skip_those_that_are_taken() {
    let fixture = Fixture::start();
    for name in ["a", "b", "c"] {
        fixture.define_stub(name, &json!({}));
    }
    let chained = fixture.chained();
    let delegating = fixture.delegating(&json!({}));
    for (config, first) in [(&chained, None), (&delegating, Some(("pods", "eth0")))] {
        for (text, expected) in [
            ("a, b, c", ["net1", "net2", "net3"]),
            ("a@net2, b, c", ["net2", "net3", "net4"]),
            ("a, b@net1, c", ["net2", "net1", "net3"]),
            (r#"[{"name":"a","interface":"net2"},{"name":"b"},{"name":"c"}]"#, ["net2", "net3", "net4"]),
        ] {
            let pod = fixture.pod("osd", Some(text));
            fixture.forget_records();
            fixture.add(config, &pod);
            let names = ["a", "b", "c"].into_iter().zip(expected);
            let expected: Vec<(String, String)> =
                first.into_iter().chain(names).map(|(name, ifname)| (name.to_owned(), ifname.to_owned())).collect();
            assert_eq!(attached(&fixture), expected, "{text}");
            fixture.del(config, &pod);
        }
    }
    fixture.assert_clean();
}

#[test]
fn section_4_2_1_one_network_twice_gets_two_interfaces() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    for text in ["public, public", r#"[{"name": "public"}, {"name": "public"}]"#] {
        let pod = fixture.pod("osd", Some(text));
        fixture.add(&config, &pod);
        assert_eq!(pod.netns.interfaces(), ["net1", "net2"]);
        fixture.del(&config, &pod);
    }
    fixture.assert_clean();
}
