//! Default routes that a pod has already, in forms that are met on real nodes.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod};

/// A pod whose primary plugin has made eth0 with two default routes of each family, and `net1` by a veth.
fn pod<'a>(fixture: &'a Fixture, annotation: &Value) -> Pod<'a> {
    fixture.define(
        "rook-ceph",
        "public",
        &fixture.stub_config("public", &json!({"link": "veth", "address": "192.0.2.7/24"})),
    );
    let pod = fixture.pod("osd", Some(&annotation.to_string()));
    let ip = |words: &str| pod.netns.ok(&["ip"].into_iter().chain(words.split(' ')).collect::<Vec<_>>());
    ip("link set lo up");
    ip("link add eth0 type veth peer name eth0peer");
    ip("address add 10.244.0.5/24 dev eth0");
    ip("address add 2001:db8:1::5/64 dev eth0 nodad");
    ip("link set eth0 up");
    ip("link set eth0peer up");
    ip("route add default via 10.244.0.1 dev eth0 metric 50 proto static");
    ip("route add default via 169.254.1.1 dev eth0 metric 60 onlink mtu 1400 src 10.244.0.5");
    ip("-6 route add default via 2001:db8:1::1 dev eth0 metric 70 pref high");
    ip("-6 route add default via fe80::1 dev eth0 metric 1024 proto ra expires 600");
    pod
}

fn shown(pod: &Pod<'_>) -> String {
    let all = format!(
        "{}{}",
        pod.netns.ok(&["ip", "-4", "route", "show", "default"]),
        pod.netns.ok(&["ip", "-6", "route", "show", "default"])
    );
    // What is left of a route's life runs.
    all.split(" expires ")
        .enumerate()
        .map(|(number, part)| if number == 0 { part } else { part.split_once("sec").unwrap().1 })
        .collect()
}

#[test]
fn a_failed_add_puts_every_form_of_default_route_back() {
    let fixture = Fixture::start();
    let pod = pod(&fixture, &json!([{"name": "public", "default-route": ["192.0.2.1", "2001:db8:9::1"]}]));
    let before = shown(&pod);
    // net1 has no IPv6 address: the second gateway is refused after the first route was moved.
    let (_, message) = fixture.run("ADD", &fixture.chained(), &pod).error();
    assert!(message.contains("2001:db8:9::1"), "{message}");
    assert_eq!(shown(&pod), before);
    assert_eq!(pod.netns.interfaces(), ["eth0", "eth0peer"]);
}

#[test]
fn the_other_familys_default_routes_are_left_alone() {
    let fixture = Fixture::start();
    let pod = pod(&fixture, &json!([{"name": "public", "default-route": ["192.0.2.1"]}]));
    // Two routers of one metric: a route of several next hops, which rooknet does not edit.
    pod.netns.ok(&["ip", "-6", "route", "append", "default", "via", "2001:db8:1::2", "dev", "eth0", "metric", "70"]);
    let before = pod.netns.ok(&["ip", "-6", "route", "show", "default"]);
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.run("CHECK", &fixture.chained(), &pod).expect_success("CHECK");
    assert_eq!(
        pod.netns.ok(&["ip", "-4", "route", "show", "default"]).trim(),
        "default via 192.0.2.1 dev net1 linkdown"
    );
    assert_eq!(
        pod.netns.ok(&["ip", "-6", "route", "show", "default"]).replace(char::is_numeric, ""),
        before.replace(char::is_numeric, "")
    );
}

/// CRI-O calls CHECK after each ADD: what moved must not be missed by the plugins that had made it.
#[test]
fn the_reference_plugins_check_holds_after_the_default_route_has_moved() {
    for (route, gateways) in [(json!([]), "dev net1"), (json!(["192.0.2.9"]), "via 192.0.2.9 dev net1")] {
        let fixture = Fixture::start();
        crate::masters::add_storage(&fixture);
        let network = |name: &str, subnet: &str, more: &Value| {
            let mut network = json!({
                "cniVersion": "1.0.0", "name": name,
                "ipam": {"type": "host-local", "subnet": subnet, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "198.51.100.0/24"}]},
            });
            crate::fixture::merge(&mut network, more);
            network
        };
        let bridge = network(
            "pods",
            "10.9.0.0/24",
            &json!({"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false}),
        );
        let macvlan = json!({"type": "macvlan", "master": "storage0"});
        fixture.define("rook-ceph", "public", &network("public", "192.0.2.0/24", &macvlan));
        // Its default route loses, whoever made it.
        let mut other = network("other", "203.0.113.0/24", &macvlan);
        other["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0", "priority": 77}]);
        fixture.define("rook-ceph", "other", &other);
        let mut config = fixture.delegating(&json!({}));
        config["delegates"] = json!([bridge]);
        config["cniVersion"] = json!("1.0.0");
        let annotation = json!([{"name": "other"}, {"name": "public", "interface": "net1", "default-route": route}]);
        let pod = fixture.pod("osd", Some(&annotation.to_string()));
        // The second network of the two wants the first's automatic name.
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success("ADD");
        let routes = pod.netns.ok(&["ip", "route", "show", "default"]);
        assert!(routes.contains(gateways) && routes.lines().count() == 1, "{routes}");
        config["prevResult"] = added.json();
        fixture.run("CHECK", &config, &pod).expect_success("CHECK");
        fixture.run("DEL", &config, &pod).expect_success("DEL");
        fixture.node.ok(&["ip", "link", "delete", "cni0"]);
        fixture.assert_clean();
    }
}
