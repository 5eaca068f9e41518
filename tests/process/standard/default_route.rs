//! 4.1.2.1.9: the pod's default routes go through the interface that the selection says, in the kernel.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, assert_error};

/// Gives the pod what a primary plugin would have: eth0 with addresses and default routes of both families.
fn give_eth0(pod: &Pod<'_>) {
    // A fresh IPv6 address is of no use while its duplicates are looked for, and nobody else is here.
    pod.netns.ok(&["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"]);
    pod.netns.ok(&["ip", "link", "add", "eth0", "type", "bridge"]);
    pod.netns.ok(&["ip", "link", "set", "eth0", "up"]);
    pod.netns.ok(&["ip", "address", "add", "10.244.0.5/24", "dev", "eth0"]);
    pod.netns.ok(&["ip", "address", "add", "fd00:244::5/64", "dev", "eth0"]);
    pod.netns.ok(&["ip", "route", "add", "default", "via", "10.244.0.1", "dev", "eth0", "metric", "7", "mtu", "1400"]);
    pod.netns.ok(&["ip", "route", "add", "default", "via", "fd00:244::1", "dev", "eth0", "metric", "70"]);
}

/// The pod's default routes of both families, as `ip` prints them.
fn default_routes(pod: &Pod<'_>) -> [Vec<String>; 2] {
    ["-4", "-6"].map(|family| {
        let text = pod.netns.ok(&["ip", family, "route", "show", "default"]);
        text.lines().map(|line| line.trim().replace(" linkdown", "")).collect()
    })
}

/// `gateway dev interface` of the default routes of a family.
fn gateways(pod: &Pod<'_>, ipv6: bool) -> Vec<String> {
    let routes = &default_routes(pod)[usize::from(ipv6)];
    let word_after = |route: &str, word: &str| {
        route.split_whitespace().skip_while(|found| *found != word).nth(1).unwrap_or_default().to_owned()
    };
    routes.iter().map(|route| format!("{} {}", word_after(route, "via"), word_after(route, "dev"))).collect()
}

/// The chained configuration with the default routes of both families in the primary plugin's result.
fn chained(fixture: &Fixture) -> Value {
    let mut config = fixture.chained();
    let result = &mut config["prevResult"];
    result["ips"] = json!([
        {"interface": 0, "address": "10.244.0.5/24", "gateway": "10.244.0.1"},
        {"interface": 0, "address": "fd00:244::5/64", "gateway": "fd00:244::1"},
    ]);
    result["routes"] = json!([
        {"dst": "0.0.0.0/0", "gw": "10.244.0.1"}, {"dst": "10.96.0.0/12"}, {"dst": "::/0", "gw": "fd00:244::1"},
    ]);
    config
}

/// A dual-stack network by the reference plugins bridge and host-local, with what is set in `keys` and `ipam`.
fn define_bridge(fixture: &Fixture, name: &str, keys: &Value, ipam: &Value) {
    let mut network = json!({
        "cniVersion": "1.1.0", "name": name, "type": "bridge", "bridge": "br-storage",
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}], [{"subnet": "fd00:2::/64", "gateway": "fd00:2::1"}]],
        },
    });
    crate::fixture::merge(&mut network, keys);
    crate::fixture::merge(&mut network["ipam"], ipam);
    fixture.define("rook-ceph", name, &network);
}

/// CHECK agrees with what ADD printed; DEL leaves eth0 alone, which is not ours.
#[track_caller]
fn check_and_delete(fixture: &Fixture, config: &Value, pod: &Pod<'_>, printed: &Value) {
    fixture.check(config, pod, printed).expect_success("CHECK with the printed result");
    fixture.run("DEL", config, pod).expect_success("DEL");
    assert_eq!(pod.netns.interfaces(), ["eth0"]);
    pod.netns.ok(&["ip", "link", "delete", "eth0"]);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_default_route_takes_over_ipv4_and_leaves_ipv6() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    let config = chained(&fixture);
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": ["192.0.2.1"]}]"#));
    give_eth0(&pod);
    let before = default_routes(&pod);
    let printed = fixture.add(&config, &pod);
    assert_eq!(gateways(&pod, false), ["192.0.2.1 net1"]);
    assert_eq!(default_routes(&pod)[1], before[1]);
    let mut expected = config["prevResult"].clone();
    expected["routes"] = json!([{"dst": "10.96.0.0/12"}, {"dst": "::/0", "gw": "fd00:244::1"}]);
    assert_eq!(printed, expected, "the route that went elsewhere is no longer the primary's");
    check_and_delete(&fixture, &config, &pod, &printed);
}

#[test]
fn section_4_1_2_1_9_default_route_takes_over_ipv6_and_leaves_ipv4() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "fd00:2::7/64"}));
    let config = chained(&fixture);
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": ["fd00:2::1"]}]"#));
    give_eth0(&pod);
    let before = default_routes(&pod);
    let printed = fixture.add(&config, &pod);
    assert_eq!(gateways(&pod, true), ["fd00:2::1 net1"]);
    assert_eq!(default_routes(&pod)[0], before[0]);
    let mut expected = config["prevResult"].clone();
    expected["routes"] = json!([{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}, {"dst": "10.96.0.0/12"}]);
    assert_eq!(printed, expected);
    check_and_delete(&fixture, &config, &pod, &printed);
}

#[test]
fn section_4_1_2_1_9_default_route_takes_over_both_families_on_a_real_network() {
    let fixture = Fixture::start();
    define_bridge(&fixture, "public", &json!({}), &json!({}));
    let config = chained(&fixture);
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": ["192.0.2.1", "fd00:2::1"]}]"#));
    give_eth0(&pod);
    let printed = fixture.add(&config, &pod);
    assert_eq!(gateways(&pod, false), ["192.0.2.1 net1"]);
    assert_eq!(gateways(&pod, true), ["fd00:2::1 net1"]);
    assert_eq!(printed["routes"], json!([{"dst": "10.96.0.0/12"}]));
    check_and_delete(&fixture, &config, &pod, &printed);
}

#[test]
fn section_4_1_2_1_9_each_family_may_have_an_owner_of_its_own() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    fixture.define_stub("cluster", &json!({"address": "fd00:2::7/64"}));
    let config = chained(&fixture);
    let selection = r#"[{"name": "cluster", "default-route": ["fd00:2::1"]},
                        {"name": "public", "default-route": ["192.0.2.1"]}]"#;
    let pod = fixture.pod("osd", Some(selection));
    give_eth0(&pod);
    let printed = fixture.add(&config, &pod);
    assert_eq!(
        (gateways(&pod, false), gateways(&pod, true)),
        (vec!["192.0.2.1 net2".into()], vec!["fd00:2::1 net1".into()])
    );
    check_and_delete(&fixture, &config, &pod, &printed);
}

#[test]
fn section_4_1_2_1_9_a_second_owner_of_a_family_fails_before_anything_is_attached() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    let config = fixture.chained();
    for (first, second, family) in [
        (r#"["192.0.2.1"]"#, r#"["198.51.100.1"]"#, "IPv4"),
        (r#"["192.0.2.1"]"#, "[]", "IPv4"),
        ("[]", "[]", "IPv4"),
        (r#"["fd00:2::1"]"#, r#"["192.0.2.1", "fd00:2::1"]"#, "IPv6"),
    ] {
        let text = format!(
            r#"[{{"name": "public", "default-route": {first}}}, {{"name": "cluster", "default-route": {second}}}]"#
        );
        let parts = ["elements 1 (rook-ceph/public) and 2 (rook-ceph/cluster)", "default-route", family];
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&text)), 7, &parts);
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_the_default_networks_replacement_and_a_network_cannot_both_own_a_family() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "other", &fixture.stub_config("other", &json!({"address": "10.9.0.5/24"})));
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    let pod = fixture
        .pod("osd", Some(r#"[{"name": "public", "default-route": ["192.0.2.1"]}]"#))
        .annotated("v1.multus-cni.io/default-network", r#"[{"name": "other", "default-route": ["10.9.0.1"]}]"#);
    let parts = ["kube-system/other", "rook-ceph/public", "default-route", "IPv4"];
    fixture.assert_refused(&fixture.delegating(&json!({})), &pod, 7, &parts);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_gateways_are_addresses_at_most_one_of_each_family() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    for value in [
        r#""192.0.2.1""#,
        r#"["192.0.2.1/24"]"#,
        r#"["0.0.0.0"]"#,
        r#"["::"]"#,
        r#"["224.0.0.1"]"#,
        r#"["gateway"]"#,
        r#"["192.0.2.1", "192.0.2.2"]"#,
        r#"["192.0.2.1", "::ffff:192.0.2.2"]"#,
        "[1]",
    ] {
        let text = format!(r#"[{{"name": "public", "default-route": {value}}}]"#);
        fixture.assert_refused(
            &config,
            &fixture.pod("osd", Some(&text)),
            7,
            &["element 1 (public)", "key default-route"],
        );
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_an_empty_list_means_the_routes_that_the_network_itself_makes() {
    let fixture = Fixture::start();
    define_bridge(&fixture, "public", &json!({"isGateway": true}), &json!({"routes": [{"dst": "0.0.0.0/0"}]}));
    let config = chained(&fixture);
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": []}]"#));
    give_eth0(&pod);
    let before = default_routes(&pod);
    let printed = fixture.add(&config, &pod);
    assert_eq!(gateways(&pod, false), ["192.0.2.1 net1"]);
    assert_eq!(default_routes(&pod)[1], before[1], "the network makes no IPv6 default route");
    assert_eq!(printed["routes"], json!([{"dst": "10.96.0.0/12"}, {"dst": "::/0", "gw": "fd00:244::1"}]));
    check_and_delete(&fixture, &config, &pod, &printed);
}

#[test]
fn section_4_1_2_1_9_an_empty_list_for_a_network_without_default_routes_fails_and_undoes() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": []}]"#));
    give_eth0(&pod);
    let before = default_routes(&pod);
    assert_error(&fixture.run("ADD", &chained(&fixture), &pod), 7, &["interface net1", "default-route"]);
    assert_eq!(default_routes(&pod), before);
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "DEL net1"]);
    pod.netns.ok(&["ip", "link", "delete", "eth0"]);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_a_gateway_that_cannot_be_reached_fails_and_the_former_routes_come_back() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    fixture.define_stub("cluster", &json!({"address": "fd00:2::7/64"}));
    let config = chained(&fixture);
    for selection in [
        r#"[{"name": "public", "default-route": ["203.0.113.1"]}]"#,
        r#"[{"name": "cluster", "default-route": ["fd00:99::1"]}]"#,
        // The first of the two succeeds, and has to be taken back.
        r#"[{"name": "public", "default-route": ["192.0.2.1"]}, {"name": "cluster", "default-route": ["fd00:99::1"]}]"#,
    ] {
        let pod = fixture.pod("osd", Some(selection));
        give_eth0(&pod);
        let before = default_routes(&pod);
        assert!(!before[0].is_empty() && !before[1].is_empty());
        let (_, message) = fixture.run("ADD", &config, &pod).error();
        assert!(message.contains("default-route of interface net"), "{message}");
        assert_eq!(default_routes(&pod), before, "metric and mtu included");
        assert_eq!(pod.netns.interfaces(), ["eth0"]);
        pod.netns.delete();
    }
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_an_add_that_fails_after_the_routes_have_moved_puts_them_back() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": ["192.0.2.1"]}]"#));
    give_eth0(&pod);
    let before = default_routes(&pod);
    let full_disk = fixture.call("ADD", &chained(&fixture), &pod).env("ROOKNET_FAULT", "enospc:journal-results");
    assert_error(&full_disk.run(&fixture.node), 5, &["No space left"]);
    assert_eq!(default_routes(&pod), before);
    pod.netns.ok(&["ip", "link", "delete", "eth0"]);
    fixture.assert_clean();
}

#[test]
fn section_4_1_2_1_9_the_default_networks_own_result_loses_the_route_that_moved() {
    let fixture = Fixture::start();
    let routes = json!({"routes": [{"dst": "0.0.0.0/0"}, {"dst": "198.51.100.0/24"}, {"dst": "::/0"}]});
    define_bridge(&fixture, "pods", &json!({"isGateway": true}), &routes);
    fixture.define_stub("public", &json!({"address": "203.0.113.7/24"}));
    let mut config = fixture.delegating(&json!({}));
    config.as_object_mut().unwrap().remove("delegates");
    config["clusterNetwork"] = json!("rook-ceph/pods");
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": ["203.0.113.1"]}]"#));
    let printed = fixture.add(&config, &pod);
    assert_eq!(
        (gateways(&pod, false), gateways(&pod, true)),
        (vec!["203.0.113.1 net1".into()], vec!["fd00:2::1 eth0".into()])
    );
    let destinations: Vec<&Value> = printed["routes"].as_array().unwrap().iter().map(|route| &route["dst"]).collect();
    assert_eq!(destinations, ["198.51.100.0/24", "::/0"]);
    // The reference plugins' own CHECK looks for every route of the result that it is given.
    fixture.check(&config, &pod, &printed).expect_success("CHECK");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}
