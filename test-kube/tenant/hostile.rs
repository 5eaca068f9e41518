//! Annotations that are meant to hurt whoever reads them.

use serde_json::json;

use super::{DEFAULT_NETWORK, NETWORKS, Tenant, selecting, stub};

/// A little less than what the API server takes for all annotations of an object.
const MOST: usize = 262_000;

fn hostile() -> Vec<(&'static str, String)> {
    let nested = |open: &str, close: &str| {
        let depth = MOST / (open.len() + close.len());
        format!("{}{}", open.repeat(depth), close.repeat(depth))
    };
    let deep = nested("[", "]");
    vec![
        ("one letter", "a".repeat(MOST)),
        ("one list", format!("[{}", "a".repeat(MOST))),
        ("commas", ",".repeat(MOST)),
        ("elements", vec!["a"; 10_000].join(",")),
        ("the same as JSON", format!("[{}]", vec![r#"{"name":"own"}"#; 10_000].join(","))),
        ("nulls", format!("[{}]", vec!["null"; 10_000].join(","))),
        ("nested lists", deep.clone()),
        ("unclosed lists", "[".repeat(MOST)),
        ("nested objects", nested(r#"{"a":"#, "}")),
        ("unclosed objects", r#"{"a":"#.repeat(MOST / 5)),
        ("a deep name", format!(r#"[{{"name":{}}}]"#, &deep[deep.len() / 4..deep.len() * 3 / 4])),
        ("deep cni-args", format!(r#"[{{"name":"own","cni-args":{}}}]"#, &deep[deep.len() / 4..deep.len() * 3 / 4])),
        ("keys", format!("[{{{}}}]", (0..20_000).map(|key| format!("\"k{key}\":1")).collect::<Vec<_>>().join(","))),
        ("a long name", format!(r#"[{{"name":"{}"}}]"#, "n".repeat(200_000))),
        ("a long key", format!(r#"[{{"{}":1}}]"#, "n".repeat(200_000))),
        ("null", "[null]".to_owned()),
        ("null and more", r#"[null,{"name":"own"}]"#.to_owned()),
        ("a list of lists", r#"[[{"name":"own"}]]"#.to_owned()),
        ("a text", r#""own""#.to_owned()),
        ("texts", r#"["own"]"#.to_owned()),
        ("an empty object", "[{}]".to_owned()),
        ("a number for a name", r#"[{"name":7}]"#.to_owned()),
        ("truth for a name", r#"[{"name":true}]"#.to_owned()),
        ("a number for a namespace", r#"[{"name":"own","namespace":1e400}]"#.to_owned()),
        ("a number for an interface", r#"[{"name":"own","interface":7}]"#.to_owned()),
        ("a number for a MAC", r#"[{"name":"own","mac":7}]"#.to_owned()),
        ("numbers for addresses", r#"[{"name":"own","ips":[1,2]}]"#.to_owned()),
        ("text for addresses", r#"[{"name":"own","ips":"192.0.2.7"}]"#.to_owned()),
        ("text for cni-args", r#"[{"name":"own","cni-args":"{}"}]"#.to_owned()),
        ("a number for a device", r#"[{"name":"own","deviceID":-0}]"#.to_owned()),
        ("text for a route", r#"[{"name":"own","default-route":"192.0.2.1"}]"#.to_owned()),
        ("a lone surrogate", r#"[{"name":"\ud800"}]"#.to_owned()),
        ("two documents", r#"[{"name":"own"}][{"name":"own"}]"#.to_owned()),
        ("a comment", r#"[{"name":"own"}] // more"#.to_owned()),
        ("a terminal's language", "[{\"name\":\"\\u001b[2J\\u202e\\u0007\"}]".to_owned()),
        ("the same raw", "\u{1b}[2J\u{202e}\u{7}own".to_owned()),
        ("a byte order mark", "\u{feff}[{\"name\":\"own\"}]".to_owned()),
        ("nothing but a zero", "\u{0}".to_owned()),
        ("phrases of success", "not found/no such file or directory".to_owned()),
    ]
}

#[test]
fn no_annotation_brings_the_plugin_down_or_floods_its_answer() {
    let tenant = Tenant::start();
    for (what, text) in hostile() {
        tenant.refused(what, &tenant.chained(), &selecting(&text), 7, &[NETWORKS]);
        tenant.refused(what, &tenant.delegating(), &json!({DEFAULT_NETWORK: text}), 7, &[DEFAULT_NETWORK]);
    }
}

#[test]
fn cni_args_that_plugins_cannot_read_do_not_get_to_them() {
    let tenant = Tenant::start();
    // Deeper than Go's parser goes (10,000) and than most others: a plugin that cannot read its input at the ADD cannot
    // at the DEL either, and the pod could never be removed.
    let deep = |depth: usize| {
        let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
        format!(r#"[{{"name":"own","cni-args":{open}1{close}}}]"#)
    };
    for depth in [200, 12_000] {
        let what = format!("{depth} levels");
        tenant.refused(&what, &tenant.chained(), &selecting(&deep(depth)), 7, &[NETWORKS, "cni-args"]);
    }
    assert_eq!(tenant.attached(&tenant.chained(), &selecting(&deep(10))).len(), 2);
}

#[test]
fn other_annotations_decide_nothing_however_they_are_spelled() {
    let tenant = Tenant::start();
    let other = format!("{}/net", tenant.other);
    let annotations = json!({
        "K8s.v1.cni.cncf.io/networks": other, "k8s.v1.cni.cncf.io/Networks": other, "K8S.V1.CNI.CNCF.IO/NETWORKS": other,
        "V1.multus-cni.io/default-network": other, "v1.multus-cni.io/Default-Network": other,
        "k8s.v1.cni.cncf.io/network\u{73}": "own", "networks": other, "k8s.v1.cni.cncf.io/networks-status": "x",
        "large": "x".repeat(200_000),
    });
    for config in [tenant.chained(), tenant.delegating()] {
        assert_eq!(tenant.attached(&config, &annotations)[1..], [json!(format!("{}/own", tenant.own()))]);
    }
    tenant.assert_other_untouched();
}

#[test]
fn a_pod_whose_annotations_leave_no_room_for_its_status_is_rolled_back() {
    let tenant = Tenant::start();
    let pod = tenant.pod(&json!({NETWORKS: "own", "large": "x".repeat(MOST)}));
    let words = ["network-status was not written", "metadata.annotations"];
    for config in [tenant.chained(), tenant.delegating()] {
        tenant.site.refused_add("no room", &config, &pod, 105, &words);
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
        assert_eq!(tenant.site.status(&pod), None);
    }
}

#[test]
fn large_networks_do_not_add_up() {
    let tenant = Tenant::start();
    let mut config = stub(&tenant.site.fixture, "large");
    config["filling"] = json!("x".repeat(900_000));
    let names: Vec<String> = (0..10).map(|number| format!("large-{number}")).collect();
    for name in &names {
        tenant.define(name, &json!({"config": config.to_string()}));
    }
    // Answers are counted as they come, and what is made of one as often as it is selected.
    for (what, selection, words) in [
        ("many", names.join(","), " of the API server"),
        ("one many times", vec!["large-0"; 128].join(","), "/large-0 (of the API server"),
    ] {
        for config in [tenant.chained(), tenant.delegating()] {
            let pod = tenant.pod(&selecting(&selection));
            tenant.site.refused_add(what, &config, &pod, 7, &["/large-", words, "one too many", "8388608 bytes"]);
            assert_eq!(tenant.site.fixture.recorded_calls(), Vec::<String>::new(), "{what}");
        }
    }
    assert_eq!(tenant.attached(&tenant.chained(), &selecting("large-0,large-1,large-0")).len(), 4);
}
