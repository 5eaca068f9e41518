//! The host shim: the node reaches its own pods and the others', and whatever happens to the link is put right.

use serde_json::{Value, json};

use crate::stage::{Stage, definition, host_addresses, macvlan};
use crate::support::{Namespace, Node};

const NETWORK: &str = "rook-ceph/public";
const SELECTION: &str = "public@net1";

fn input(definition: &Value) -> Value {
    json!({"definitions": [definition]})
}

/// The link of a round that found nothing wrong.
#[track_caller]
fn link_of(report: &Value) -> String {
    assert_eq!(report["findings"], json!([]), "{report}");
    assert_eq!(report["shims"][0]["network"], NETWORK, "{report}");
    report["shims"][0]["link"].as_str().unwrap().to_owned()
}

#[track_caller]
fn changes(report: &Value) -> Vec<String> {
    link_of(report);
    report["shims"][0]["changes"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn finding(report: &Value) -> String {
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{report}");
    report["findings"][0]["text"].as_str().unwrap().to_owned()
}

/// Each of a pod's addresses answers the node, which asks with its own one there.
#[track_caller]
fn assert_reaches(node: &Node, link: &str, pod: &Namespace<'_>) {
    for address in pod.addresses("net1") {
        let address = address.split('/').next().unwrap();
        let answers = node.host().reaches(address, None);
        let around = || ["address", "route", "neighbour"].map(|what| node.ok(&["ip", "-6", what, "show"])).join("\n");
        assert!(
            answers,
            "{}: no answer from {address}:\n{}\n{}",
            node.name(),
            around(),
            pod.ok(&["ip", "-6", "neighbour"])
        );
        let way = node.ok(&["ip", "route", "get", address]);
        assert!(way.contains(&format!("dev {link} ")), "{way}");
    }
}

/// `ip -j` of one link.
fn shown(node: &Node, what: &str, link: &str) -> Value {
    serde_json::from_str(&node.ok(&["ip", "-d", "-j", what, "show", "dev", link])).unwrap()
}

#[test]
fn a_node_reaches_its_own_pods_and_those_of_others_and_they_reach_it() {
    let stage = Stage::start(2);
    let definition = macvlan();
    stage.define(&definition);
    let (own, other) = (stage.attached(1, "osd-0", SELECTION), stage.attached(2, "osd-1", SELECTION));
    let (first, second) = (stage.node(1), stage.node(2));
    let address = own.netns.addresses("net1")[0].split('/').next().unwrap().to_owned();
    assert!(!first.host().ping(&address, None), "without the link a node does not reach its own pod");

    let report = stage.repair(1, "shim", &input(&definition));
    let link = link_of(&report);
    assert_eq!(changes(&report), [r#""created""#]);
    assert_reaches(first, &link, &own.netns);
    assert_reaches(first, &link, &other.netns);
    assert!(!second.host().ping(&address, None), "the other node has no link yet");
    stage.repair(2, "shim", &input(&definition));
    assert_reaches(second, &link, &own.netns);
    for address in host_addresses(1) {
        for pod in [&own, &other] {
            assert!(pod.netns.reaches(&address, Some("net1")), "no answer from {address}");
        }
        assert!(second.host().reaches(&address, None), "the nodes reach each other at {address}");
    }
    let seen = first.host().link(&link);
    assert_eq!((seen.kind.as_str(), seen.mtu), ("macvlan", 9000));
    assert_eq!(shown(first, "link", &link)[0]["ifalias"], "rooknet: host access to rook-ceph/public");

    let before = (shown(first, "address", &link), first.host().routes());
    assert_eq!(changes(&stage.repair(1, "shim", &input(&definition))), [""; 0], "a second round has nothing to do");
    assert_eq!((shown(first, "address", &link), first.host().routes()), before);
}

#[test]
fn the_nodes_way_to_others_in_the_subnet_stays_where_it_has_one() {
    let stage = Stage::start(2);
    let definition = macvlan();
    stage.define(&definition);
    let (first, second) = (stage.node(1), stage.node(2));
    first.ok(&["ip", "address", "add", "10.77.200.1/16", "dev", "stor0"]);
    second.ok(&["ip", "address", "add", "10.77.200.2/16", "dev", "stor0"]);
    let (own, other) = (stage.attached(1, "osd-0", SELECTION), stage.attached(2, "osd-1", SELECTION));
    let link = link_of(&stage.repair(1, "shim", &input(&definition)));
    assert_reaches(first, &link, &own.netns);
    assert_reaches(first, &link, &other.netns);
    let way = first.ok(&["ip", "route", "get", "10.77.200.2"]);
    assert!(way.contains("dev stor0 src 10.77.200.1"), "{way}");
    assert!(first.host().reaches("10.77.200.2", None));
    assert!(other.netns.reaches("10.77.200.1", Some("net1")), "pods elsewhere still reach the node's other address");
    // Whoever asks for the address of stor0 is answered by stor0 alone.
    let neighbour = second.ok(&["ip", "neighbour", "show", "10.77.200.1"]);
    second.ok(&["ip", "neighbour", "flush", "all"]);
    assert!(second.host().reaches("10.77.200.1", None));
    let mac = shown(first, "link", "stor0")[0]["address"].as_str().unwrap().to_owned();
    let seen = second.ok(&["ip", "neighbour", "show", "10.77.200.1"]);
    assert!(seen.contains(&mac), "{neighbour} {seen} {mac}");

    // With the address gone, the link is the node's only way to the subnet.
    first.ok(&["ip", "address", "flush", "dev", "stor0"]);
    assert_eq!(changes(&stage.repair(1, "shim", &input(&definition))), [r#"{"restored":"routes"}"#]);
    let way = first.ok(&["ip", "route", "get", "10.77.200.2"]);
    assert!(way.contains(&format!("dev {link} src 10.77.0.11")), "{way}");
    assert!(first.host().reaches("10.77.200.2", None));
}

#[test]
fn whatever_is_done_to_the_link_is_put_right() {
    let stage = Stage::start(1);
    let definition = macvlan();
    stage.define(&definition);
    let pod = stage.attached(1, "osd-0", SELECTION);
    let node = stage.node(1);
    let link = link_of(&stage.repair(1, "shim", &input(&definition)));
    let routes = node.host().routes();
    for (damage, expected) in [
        (vec!["ip", "address", "flush", "dev", &link, "scope", "global"], r#"{"restored":"address"}"#),
        (vec!["ip", "address", "add", "10.99.0.1/24", "dev", &link], r#"{"restored":"address"}"#),
        (vec!["ip", "route", "add", "10.98.0.0/24", "dev", &link], r#"{"restored":"routes"}"#),
        (vec!["ip", "route", "flush", "dev", &link], r#"{"restored":"routes"}"#),
        (vec!["ip", "link", "set", &link, "down"], r#"{"restored":"up"}"#),
        (vec!["ip", "link", "set", &link, "mtu", "1400"], r#"{"restored":"MTU"}"#),
        (vec!["ip", "link", "set", &link, "alias", "other"], ""),
        (vec!["sysctl", "-q", "-w", &format!("net.ipv4.conf.{link}.arp_ignore=0")], r#"{"restored":"variables"}"#),
        (vec!["ip", "link", "set", &link, "type", "macvlan", "mode", "vepa"], r#"{"restored":"master, kind or mode"}"#),
        (vec!["ip", "link", "delete", &link], r#""createdAgain""#),
    ] {
        node.ok(&damage);
        let done = changes(&stage.repair(1, "shim", &input(&definition)));
        assert!(expected.is_empty() || done.iter().any(|done| done == expected), "{damage:?}: {done:?}");
        assert_eq!(changes(&stage.repair(1, "shim", &input(&definition))), [""; 0], "{damage:?}");
        assert_eq!(node.host().routes(), routes, "{damage:?}");
        assert_reaches(node, &link, &pod.netns);
    }
}

#[test]
fn a_link_that_went_with_its_master_comes_back_with_it() {
    let stage = Stage::start(1);
    let definition = macvlan();
    let node = stage.node(1);
    let link = link_of(&stage.repair(1, "shim", &input(&definition)));
    let mac = shown(node, "link", &link)[0]["address"].clone();
    node.ok(&["ip", "link", "delete", "stor0"]);
    assert!(!node.host().interfaces().contains(&link), "the kernel removes it with its master");
    let said = finding(&stage.repair(1, "shim", &input(&definition)));
    assert!(said.contains("\"stor0\" does not exist"), "{said}");
    stage.switch.join(node, "stor0");
    assert_eq!(changes(&stage.repair(1, "shim", &input(&definition))), [r#""createdAgain""#]);
    assert_eq!(shown(node, "link", &link)[0]["address"], mac, "whoever knew it need not learn another MAC");
    stage.define(&definition);
    assert_reaches(node, &link, &stage.attached(1, "osd-0", SELECTION).netns);
}

#[test]
fn without_its_mark_it_goes_and_in_doubt_it_stays() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    let marked = macvlan();
    let mut unmarked = marked.clone();
    unmarked["metadata"]["annotations"]["rooknet.io/host-access"] = json!("false");
    let mut doubtful = marked.clone();
    doubtful["metadata"]["annotations"]["rooknet.io/host-access"] = json!("perhaps");
    let link = link_of(&stage.repair(1, "shim", &input(&marked)));
    let is_there = || node.host().interfaces().contains(&link);
    for doubt in [
        json!({"definitions": [], "complete": false}),
        json!({"definitions": [], "unreadable": [NETWORK]}),
        json!({"definitions": [doubtful]}),
        json!({"definitions": [unmarked], "marked": [NETWORK]}),
    ] {
        assert_eq!(stage.repair(1, "shim", &doubt)["removed"], json!([]), "{doubt}");
        assert!(is_there(), "{doubt}");
    }
    for without in
        [input(&unmarked), json!({"definitions": []}), json!({"definitions": [marked], "trusted": ["other"]})]
    {
        assert_eq!(stage.repair(1, "shim", &without)["removed"], json!([NETWORK]), "{without}");
        assert!(!is_there(), "{without}");
        assert_eq!(node.entries("/var/lib/rooknet/shims"), [""; 0]);
        stage.repair(1, "shim", &input(&marked));
        assert!(is_there());
    }
    assert_eq!(stage.repair(1, "shim-remove-all", &json!({})), json!([NETWORK]));
    assert!(!is_there());
    assert_eq!(node.left_overs(), [""; 0]);
}

#[test]
fn a_foreign_link_of_the_same_name_is_left_alone_and_named() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    let definition = macvlan();
    let link = link_of(&stage.repair(1, "shim", &input(&definition)));
    // What an administrator might have made, while our record says that there is one of ours.
    node.ok(&["ip", "link", "delete", &link]);
    for kind in [vec!["type", "bridge"], vec!["link", "stor0", "type", "macvlan", "mode", "bridge"]] {
        let mut words = vec!["ip", "link", "add", "name", &link];
        words.extend(kind);
        node.ok(&words);
        let before = shown(node, "link", &link);
        let said = finding(&stage.repair(1, "shim", &input(&definition)));
        assert!(said.contains(&link) && said.contains("rename or delete"), "{said}");
        assert_eq!(stage.repair(1, "shim", &json!({"definitions": []}))["removed"], json!([]));
        assert_eq!(shown(node, "link", &link), before);
        node.ok(&["ip", "link", "delete", &link]);
    }
}

#[test]
fn a_master_that_is_a_bridges_port_is_explained() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    node.ok(&["ip", "link", "add", "br0", "type", "bridge"]);
    node.ok(&["ip", "link", "set", "stor0", "master", "br0"]);
    let said = finding(&stage.repair(1, "shim", &input(&macvlan())));
    assert!(said.contains("stor0 is a port of the bridge br0") && said.contains("\"master\": \"br0\""), "{said}");
    node.ok(&["ip", "link", "set", "br0", "up"]);
    let on_bridge = definition(json!({"type": "macvlan", "master": "br0"}));
    link_of(&stage.repair(1, "shim", &input(&on_bridge)));
}

#[test]
fn a_strict_reverse_path_filter_on_the_master_is_told() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    node.ok(&["ip", "address", "add", "10.77.200.1/16", "dev", "stor0"]);
    node.ok(&["sysctl", "-q", "-w", "net.ipv4.conf.stor0.rp_filter=1"]);
    let report = stage.repair(1, "shim", &input(&macvlan()));
    assert_eq!((&report["findings"][0]["weight"], &report["shims"][0]["network"]), (&json!("advice"), &json!(NETWORK)));
    assert!(finding(&report).contains("net.ipv4.conf.stor0.rp_filter=2"), "{report}");
    node.ok(&["sysctl", "-q", "-w", "net.ipv4.conf.stor0.rp_filter=2"]);
    link_of(&stage.repair(1, "shim", &input(&macvlan())));
}

/// Killed at every point, the next round ends where an undisturbed one does, and a removal leaves nothing.
#[test]
fn a_round_that_was_killed_anywhere_is_finished_by_the_next() {
    let stage = Stage::start(1);
    let node = stage.node(1);
    let definition = macvlan();
    let link = link_of(&stage.repair(1, "shim", &input(&definition)));
    let routes = node.host().routes();
    let addresses = node.host().addresses(&link);
    let points = [
        "shim-record.begin",
        "shim-record.renamed",
        "shim.created",
        "shim.named",
        "shim.addressed",
        "shim.up",
        "shim.route",
        "shim.deleted",
        "shim-forget.begin",
        "shim-forget.removed",
    ];
    for point in points {
        let fault = format!("kill:{point}");
        let is_removal = point == "shim.deleted" || point.starts_with("shim-forget");
        if !is_removal {
            stage.repair(1, "shim-remove-all", &json!({}));
        }
        let (repair, wish) = if is_removal { ("shim-remove-all", json!({})) } else { ("shim", input(&definition)) };
        let killed = stage.try_repair(1, repair, &wish, &fault);
        assert!(!killed.success(), "{point} was not passed");
        stage.repair(1, repair, &wish);
        if is_removal {
            assert_eq!(node.left_overs(), [""; 0], "{point}");
            assert_eq!(node.entries("/var/lib/rooknet/shims"), [""; 0], "{point}");
            stage.repair(1, "shim", &input(&definition));
        }
        assert_eq!(node.host().routes(), routes, "{point}");
        assert_eq!(node.host().addresses(&link), addresses, "{point}");
        assert_eq!(changes(&stage.repair(1, "shim", &input(&definition))), [""; 0], "{point}");
    }
    // Killed after the link was made and before it had its alias, and the network is not marked any more.
    stage.repair(1, "shim-remove-all", &json!({}));
    assert!(!stage.try_repair(1, "shim", &input(&definition), "kill:shim.created").success());
    stage.repair(1, "shim", &json!({"definitions": []}));
    assert_eq!(node.left_overs(), [""; 0]);
}

#[test]
fn an_address_that_another_host_has_is_told() {
    let stage = Stage::start(2);
    let other = stage.node(2);
    other.ok(&["ip", "address", "add", "fd77::a:1/64", "dev", "stor0", "nodad"]);
    let definition = macvlan();
    stage.repair(1, "shim", &input(&definition));
    crate::support::wait_until("the end of duplicate address detection", std::time::Duration::from_secs(30), || {
        let report = stage.repair(1, "shim", &input(&definition));
        report["findings"].as_array().unwrap().iter().any(|found| found["text"].as_str().unwrap().contains("fd77::a:1"))
    });
}

mod vm {
    use super::*;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn a_node_reaches_the_pods_of_an_ipvlan() {
        let stage = Stage::start(2);
        let definition = definition(json!({"type": "ipvlan", "master": "stor0", "mode": "l2"}));
        stage.define(&definition);
        let (own, other) = (stage.attached(1, "osd-0", SELECTION), stage.attached(2, "osd-1", SELECTION));
        let link = link_of(&stage.repair(1, "shim", &input(&definition)));
        assert_eq!(stage.node(1).host().link(&link).kind, "ipvlan");
        assert_reaches(stage.node(1), &link, &own.netns);
        assert_reaches(stage.node(1), &link, &other.netns);
        assert_eq!(changes(&stage.repair(1, "shim", &input(&definition))), [""; 0]);
    }
}

#[test]
fn what_the_node_reaches_by_another_way_stays_on_it_whatever_ranges_a_definition_has() {
    let stage = Stage::start(1);
    let (definition, node) = (macvlan(), stage.node(1));
    for line in [
        "link add other0 type bridge",
        "address add 10.50.0.1/24 dev other0",
        "link set other0 up",
        "route add 10.77.2.0/24 via 10.50.0.9",
    ] {
        node.ok(&[&["ip"][..], &line.split(' ').collect::<Vec<_>>()].concat());
    }
    let before = node.host().routes();
    let text = finding(&stage.repair(1, "shim", &input(&definition)));
    assert!(text.contains("this node has a route to 10.77.2.0/24 by other0"), "{text}");
    node.ok(&["ip", "route", "replace", "10.77.2.0/24", "dev", "stor0"]);
    node.ok(&["ip", "route", "add", "10.99.0.0/24", "via", "10.77.2.50", "dev", "stor0", "onlink"]);
    let text = finding(&stage.repair(1, "shim", &input(&definition)));
    assert!(text.contains("10.77.2.50 is the gateway of a route of this node"), "{text}");
    node.ok(&["ip", "route", "del", "10.99.0.0/24"]);
    let needing = json!({"definitions": [&definition], "needed": ["10.77.200.7"]});
    let text = finding(&stage.repair(1, "shim", &needing));
    assert!(text.contains("the API server's address 10.77.200.7"), "{text}");
    node.ok(&["ip", "route", "replace", "10.77.2.0/24", "via", "10.50.0.9"]);
    assert_eq!(node.host().routes(), before, "no route was touched");

    node.ok(&["ip", "route", "replace", "10.77.2.0/24", "dev", "stor0"]);
    link_of(&stage.repair(1, "shim", &input(&definition)));
}
