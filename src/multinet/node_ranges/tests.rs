use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(value: &Value) -> Result<NodeRanges, Error> {
    NodeRanges::parse(&value.to_string())
}

/// 192.168.10.`start` to .`end`.
fn range(start: u8, end: u8) -> Value {
    json!({
        "subnet": "192.168.10.0/24",
        "rangeStart": format!("192.168.10.{start}"),
        "rangeEnd": format!("192.168.10.{end}"),
    })
}

fn two_nodes() -> Value {
    json!({
        "node-a": [[range(10, 99)], [{"subnet": "fd00:10::/64", "rangeStart": "fd00:10::a:0", "rangeEnd": "fd00:10::a:ffff"}]],
        "node-b": {
            "ranges": [[range(110, 149), range(160, 199)]],
            "host": "192.168.10.3/24",
        },
    })
}

#[track_caller]
fn assert_refused(value: &Value, words: &[&str]) {
    let error = parse(value).expect_err(&format!("{value} is accepted"));
    assert_eq!(error.code.0, 7, "{value}: {error}");
    for word in words.iter().chain(&["annotation rooknet.io/node-ranges"]) {
        assert!(error.message.contains(word), "{word:?} is not in the error of {value}: {error}");
    }
}

#[test]
fn each_node_gets_its_own_entry_as_host_local_reads_it() {
    let share = parse(&two_nodes()).unwrap().share_of("node-a").unwrap();
    let expected = json!([
        [{"subnet": "192.168.10.0/24", "rangeStart": "192.168.10.10", "rangeEnd": "192.168.10.99"}],
        [{"subnet": "fd00:10::/64", "rangeStart": "fd00:10::a:0", "rangeEnd": "fd00:10::a:ffff"}],
    ]);
    assert_eq!(serde_json::from_str::<Value>(share.ip_ranges().unwrap().get()).unwrap(), expected);
    assert!(share.own().hosts.is_empty());

    let share = parse(&two_nodes()).unwrap().share_of("node-b").unwrap();
    assert_eq!(share.own().hosts, ["192.168.10.3/24".parse().unwrap()]);
    assert_eq!(
        share.own().ranges().map(Range::to_string).collect::<Vec<_>>(),
        ["192.168.10.110-192.168.10.149", "192.168.10.160-192.168.10.199"]
    );
}

#[test]
fn what_a_range_leaves_out_is_host_locals_default_and_written_out() {
    for (subnet, start, end) in [
        ("192.168.10.0/24", "192.168.10.1", "192.168.10.254"),
        ("192.168.10.8/30", "192.168.10.9", "192.168.10.10"),
        ("fd00:10::/64", "fd00:10::1", "fd00:10::ffff:ffff:ffff:ffff"),
        ("fd00:10::/126", "fd00:10::1", "fd00:10::3"),
    ] {
        let value = json!({"node-a": [[{"subnet": subnet, "gateway": null, "rangeStart": ""}]]});
        let share = parse(&value).unwrap().share_of("node-a").unwrap();
        let expected = json!([[{"subnet": subnet, "rangeStart": start, "rangeEnd": end}]]);
        assert_eq!(serde_json::from_str::<Value>(share.ip_ranges().unwrap().get()).unwrap(), expected);
    }
}

#[test]
fn a_gateway_is_handed_on_as_it_was_written() {
    let mut value = range(10, 99);
    value["gateway"] = json!("192.168.10.254");
    let share = parse(&json!({"node-a": [[value]]})).unwrap().share_of("node-a").unwrap();
    assert!(share.ip_ranges().unwrap().get().contains(r#""gateway":"192.168.10.254""#));
}

#[test]
fn a_node_without_an_entry_is_refused_naming_those_that_have_one() {
    let error = parse(&two_nodes()).unwrap().share_of("node-c").unwrap_err();
    assert_eq!(error.code.0, 7);
    for word in [ANNOTATION, "\"node-c\"", "node-a, node-b:", "nodeName"] {
        assert!(error.message.contains(word), "{error}");
    }
    let error = parse(&json!({})).unwrap().share_of("node-c").unwrap_err();
    assert!(error.message.contains("but for none"), "{error}");

    let many: serde_json::Map<String, Value> = (1..=20_u8)
        .map(|number| (format!("n{number:02}"), json!([[{"subnet": format!("10.0.{number}.0/24")}]])))
        .collect();
    let error = parse(&Value::Object(many)).unwrap().share_of("node-c").unwrap_err();
    assert!(error.message.contains("n08 and 12 more") && !error.message.contains("n09"), "{error}");
}

#[test]
fn an_annotation_that_is_no_object_of_entries_is_refused() {
    for text in ["", " ", "[]", "null", "node-a", "{", "{\"a\": }"] {
        let error = NodeRanges::parse(text).unwrap_err();
        assert!(error.code.0 == 7 && error.message.contains(ANNOTATION), "{text:?}: {error}");
    }
    for entry in [json!(null), json!("192.168.10.0/24"), json!(7), json!(true)] {
        assert_refused(&json!({"node-a": entry}), &["node node-a: its entry is", "\"ranges\": [[…]]"]);
    }
    assert_refused(&json!({"node-a": [range(1, 9)]}), &["node node-a: its range set 1 is", "not a list"]);
    assert_refused(&json!({"node-a": []}), &["its range sets are []", "1 to 64"]);
    assert_refused(&json!({"node-a": [[]]}), &["its range set 1 is []"]);
    assert_refused(&json!({"node-a": [[7]]}), &["node-a: range 1 of set 1: it is 7"]);
    assert_refused(&json!({"node-a": {"host": "192.168.10.3/24"}}), &["key ranges is missing"]);
    assert_refused(&json!({"Node A": [[range(1, 9)]]}), &["\"Node A\" is not the name of a node"]);
    let twice = r#"{"node-a": [[{"subnet": "10.0.0.0/24"}]], "node-a": [[{"subnet": "10.1.0.0/24"}]]}"#;
    assert!(NodeRanges::parse(twice).unwrap_err().message.contains("node node-a has two entries"));
}

#[test]
fn a_wrong_range_is_refused_naming_node_place_key_and_value() {
    let with = |key: &str, value: Value| {
        let mut range = range(10, 99);
        range[key] = value;
        json!({"node-a": [[{"subnet": "10.0.0.0/24"}], [range]]})
    };
    let place = "node node-a: range 1 of set 2: ";
    for (key, value, words) in [
        ("subnet", json!("192.168.10.0"), &["key subnet", "192.168.10.0"][..]),
        ("subnet", json!(""), &["key subnet"]),
        ("subnet", json!(7), &["\"subnet\"", "7"]),
        ("subnet", json!("192.168.10.0/255.255.255.0"), &["key subnet"]),
        ("subnet", json!("::ffff:192.168.10.0/120"), &["key subnet"]),
        ("subnet", json!("192.168.10.5/24"), &["host bits", "192.168.10.0/24"]),
        ("subnet", json!("192.168.10.98/31"), &["too small", "30"]),
        ("subnet", json!("fd00::/127"), &["too small", "126"]),
        ("rangeStart", json!("192.168.11.1"), &["key rangeStart has 192.168.11.1", "192.168.10.0/24"]),
        ("rangeStart", json!("192.168.10.0"), &["not a host's address"]),
        ("rangeStart", json!("192.168.10.100"), &["192.168.10.100 comes after rangeEnd 192.168.10.99"]),
        ("rangeEnd", json!("192.168.10.255"), &["key rangeEnd", "not a host's address"]),
        ("rangeEnd", json!("fd00::1"), &["key rangeEnd has fd00::1"]),
        ("rangeEnd", json!("192.168.10.099"), &["key rangeEnd", "not an IP address"]),
        ("gateway", json!("10.0.0.1"), &["key gateway has 10.0.0.1"]),
        ("gateway", json!(["192.168.10.1"]), &["\"gateway\""]),
        ("rangeBegin", json!("192.168.10.10"), &["\"rangeBegin\", which means nothing here", "rangeStart"]),
    ] {
        assert_refused(&with(key, value), &[&[place], words].concat());
    }
    let mixed = json!({"node-a": [[range(10, 99), {"subnet": "fd00::/64"}]]});
    assert_refused(&mixed, &["range 2 of set 1: fd00::/64 is of another family"]);
}

#[test]
fn a_wrong_host_address_is_refused_naming_it() {
    let with = |host: Value| json!({"node-a": {"ranges": [[range(10, 99)]], "host": host}});
    for (host, words) in [
        (json!("192.168.10.3"), &["key host has", "prefix length"][..]),
        (json!(7), &["key host has 7"]),
        (json!(["192.168.10.3/24", 7]), &["key host has 7"]),
        (json!(vec!["192.168.10.3/24"; 17]), &["more than 16"]),
        (json!("10.0.0.1/24"), &["10.0.0.1/24, which is in no subnet"]),
        (json!("fd00::1/64"), &["in no subnet"]),
        (json!("192.168.10.0/24"), &["names the subnet 192.168.10.0/24 itself"]),
        (json!("192.168.10.255/32"), &["names the subnet"]),
        (json!("192.168.10.99/24"), &["host address 192.168.10.99 of node node-a", "192.168.10.10-192.168.10.99"]),
        (json!(["192.168.10.3/24", "192.168.10.3/32"]), &["192.168.10.3 is that of node node-a and of node node-a"]),
    ] {
        assert_refused(&with(host), words);
    }
    let unknown = json!({"node-a": {"ranges": [[range(10, 99)]], "hosts": "192.168.10.3/24"}});
    assert_refused(&unknown, &["\"hosts\", which means nothing"]);
    for host in [json!("192.168.10.3/24"), json!("192.168.10.3/32"), json!([]), json!(null)] {
        parse(&with(host)).unwrap();
    }
}

#[test]
fn ranges_that_overlap_are_refused_naming_both_nodes_and_both_ranges() {
    for (a, b) in [
        (range(10, 99), range(99, 120)),
        (range(10, 99), range(20, 30)),
        (range(10, 99), range(10, 99)),
        (range(10, 99), range(1, 254)),
        (range(10, 99), json!({"subnet": "192.168.10.0/25"})),
        (json!({"subnet": "fd00::/64"}), json!({"subnet": "fd00::/112", "rangeStart": "fd00::ff"})),
    ] {
        let value = json!({"node-a": [[a]], "node-b": [[{"subnet": "10.9.0.0/24"}], [b]]});
        assert_refused(&value, &["of node node-a and", "of node node-b overlap"]);
    }
    assert_refused(
        &json!({"node-a": [[range(10, 99)]], "node-b": [[range(50, 120)]]}),
        &["192.168.10.10-192.168.10.99 of node node-a and 192.168.10.50-192.168.10.120 of node node-b"],
    );
    assert_refused(&json!({"node-a": [[range(10, 20)], [range(20, 30)]]}), &["of node node-a and", "overlap"]);
    // One that is not beside the larger range in the order of starts.
    assert_refused(
        &json!({"node-a": [[range(10, 200)]], "node-b": [[range(210, 220)]], "node-c": [[range(150, 160)]]}),
        &["192.168.10.10-192.168.10.200 of node node-a", "192.168.10.150-192.168.10.160 of node node-c"],
    );
}

#[test]
fn a_gateway_that_another_nodes_pods_could_be_given_is_refused() {
    let with_gateway = |start: u8, end: u8, gateway: &str| {
        let mut range = range(start, end);
        range["gateway"] = json!(gateway);
        range
    };
    assert_refused(
        &json!({"node-a": [[with_gateway(110, 120, "192.168.10.50")]], "node-b": [[range(10, 99)]]}),
        &["gateway 192.168.10.50 of node node-a", "192.168.10.10-192.168.10.99 of node node-b"],
    );
    // node-b names no gateway: its pods are told the first address, which node-a's pods could have.
    assert_refused(
        &json!({"node-a": [[with_gateway(1, 99, "192.168.10.254")]], "node-b": [[range(110, 120)]]}),
        &["gateway 192.168.10.1 of node node-b (the first address of 192.168.10.0/24", "node node-a"],
    );
    // Of one node too: host-local leaves out a range's own gateway only.
    assert_refused(
        &json!({"node-a": [[range(10, 20), with_gateway(30, 40, "192.168.10.15")]]}),
        &["gateway 192.168.10.15 of node node-a", "192.168.10.10-192.168.10.20 of node node-a"],
    );
    // The same gateway everywhere is what host-local leaves out, also in the middle of a range.
    parse(&json!({
        "node-a": [[with_gateway(10, 99, "192.168.10.50")]],
        "node-b": [[with_gateway(110, 120, "192.168.10.50")]],
    }))
    .unwrap();
    parse(&json!({"node-a": [[range(1, 99)]], "node-b": [[range(110, 120)]]})).unwrap();
}

#[test]
fn a_host_address_that_pods_could_be_given_is_refused_whichever_node_they_are_on() {
    let with =
        |host: &str| json!({"node-a": {"ranges": [[range(10, 99)]], "host": host}, "node-b": [[range(110, 199)]]});
    assert_refused(
        &with("192.168.10.120/24"),
        &["host address 192.168.10.120 of node node-a", "192.168.10.110-192.168.10.199 of node node-b"],
    );
    parse(&with("192.168.10.100/24")).unwrap();
    // The node is the gateway of its own pods, who are never given that.
    parse(&with("192.168.10.1/24")).unwrap();
    assert_refused(
        &json!({
            "node-a": {"ranges": [[range(10, 99)]], "host": "192.168.10.3/24"},
            "node-b": {"ranges": [[range(110, 199)]], "host": ["192.168.10.4/24", "192.168.10.3/24"]},
        }),
        &["192.168.10.3 is that of node node-a and of node node-b"],
    );
}

#[test]
fn an_address_that_a_pod_asks_for_is_this_nodes_to_give_or_refused() {
    let share = parse(&two_nodes()).unwrap().share_of("node-a").unwrap();
    for good in ["192.168.10.10", "192.168.10.99/24", "fd00:10::a:5", "fd00:10:0::000a:0005/64", "::ffff:192.168.10.20"]
    {
        share.check_request(good).unwrap();
    }
    for (asked, words) in [
        ("192.168.10.9", &["192.168.10.9", "node-a", "192.168.10.10-192.168.10.99"][..]),
        ("192.168.10.120/24", &["192.168.10.120", "those of node node-b"]),
        ("192.168.10.1", &["192.168.10.1"]),
        ("10.0.0.1", &["10.0.0.1"]),
        ("nonsense", &["\"nonsense\""]),
    ] {
        let error = share.check_request(asked).unwrap_err();
        assert_eq!(error.code.0, 7);
        assert!(words.iter().all(|word| error.message.contains(word)), "{asked}: {error}");
    }
}

#[test]
fn what_is_beyond_a_bound_is_refused_naming_it() {
    let error = NodeRanges::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err();
    assert!(error.message.contains("262144"), "{error}");
    let set: Vec<Value> = (0..33_u8).map(|number| json!({"subnet": format!("10.{number}.0.0/24")})).collect();
    let other: Vec<Value> = (0..33_u8).map(|number| json!({"subnet": format!("10.1{number:02}.0.0/24")})).collect();
    assert_refused(&json!({"node-a": [set, other]}), &["it has 66 ranges: 64"]);
    let long: Vec<Value> = (0..65_u8).map(|number| json!([{"subnet": format!("10.{number}.0.0/24")}])).collect();
    assert_refused(&json!({"node-a": long}), &["1 to 64"]);
    let many: Vec<String> = (0..=MAX_NODES).map(|number| format!("\"n{number}\":[]")).collect();
    let error = NodeRanges::parse(&format!("{{{}}}", many.join(","))).unwrap_err();
    assert!(error.message.contains("at most 4096 nodes"), "{error}");
}

#[test]
fn hostile_text_is_printable_and_short_in_errors() {
    let hostile = "\u{202e}\n".repeat(2_000);
    for value in [
        json!({hostile.as_str(): [[range(1, 9)]]}),
        json!({"node-a": hostile}),
        json!({"node-a": [[{"subnet": hostile}]]}),
        json!({"node-a": [[{hostile.as_str(): 1}]]}),
        json!({"node-a": {"ranges": [[range(1, 9)]], "host": hostile}}),
    ] {
        let message = parse(&value).unwrap_err().message;
        assert!(message.len() < 2_000 && !message.contains(['\u{202e}', '\n']), "{message}");
    }
}

/// A node's ranges as numbers of hosts in 10.0.0.0/24: (start, length).
fn some_ranges() -> impl Strategy<Value = Vec<Vec<(u8, u8)>>> {
    prop::collection::vec(prop::collection::vec((1_u8..250, 0_u8..40), 1..4), 1..6)
}

proptest! {
    #[test]
    fn accepted_ranges_give_each_address_to_one_node_at_most_and_to_no_gateway_or_host(
        nodes in some_ranges(), gateway in 1_u8..254, host in 1_u8..254,
    ) {
        let mut annotation = serde_json::Map::new();
        for (number, ranges) in nodes.iter().enumerate() {
            let set: Vec<Value> = ranges
                .iter()
                .map(|(start, length)| {
                    let end = start.saturating_add(*length).min(254);
                    json!({
                        "subnet": "10.0.0.0/24", "gateway": format!("10.0.0.{gateway}"),
                        "rangeStart": format!("10.0.0.{start}"), "rangeEnd": format!("10.0.0.{end}"),
                    })
                })
                .collect();
            let host = if number == 0 { json!([format!("10.0.0.{host}/24")]) } else { json!([]) };
            annotation.insert(format!("node-{number}"), json!({"ranges": [set], "host": host}));
        }
        // Counted address by address, without what the parser compares.
        let mut givers = [0_usize; 256];
        let mut overlap = false;
        for (start, length) in nodes.iter().flatten() {
            for address in *start..=start.saturating_add(*length).min(254) {
                overlap |= givers[usize::from(address)] > 0;
                givers[usize::from(address)] = 1;
            }
        }
        let host_is_given = givers[usize::from(host)] > 0 && host != gateway;
        let parsed = parse(&Value::Object(annotation));
        prop_assert_eq!(parsed.is_ok(), !overlap && !host_is_given, "{:?}", parsed);
        if let Ok(parsed) = parsed {
            for address in 1..=254_u8 {
                let owners = (0..nodes.len())
                    .filter(|number| {
                        let share = parsed.clone().share_of(&format!("node-{number}")).unwrap();
                        share.check_request(&format!("10.0.0.{address}")).is_ok()
                    })
                    .count();
                let expected = if address == gateway { 0 } else { givers[usize::from(address)] };
                prop_assert_eq!(owners, expected, "10.0.0.{}", address);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}", keys in "[\\[\\]{}\":,a-d0-9./]{0,80}") {
        let _ = NodeRanges::parse(&text);
        let _ = NodeRanges::parse(&format!("{{\"node-a\": {keys}}}"));
        let _ = NodeRanges::parse(&json!({"node-a": [[{"subnet": text, "rangeStart": keys}]]}).to_string());
    }
}
