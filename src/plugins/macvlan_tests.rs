use serde_json::{Value, json};

use crate::cni::Code;
use crate::plugins::testing::{
    GROUP, IFNAME, Node, Pod, executed, fixed, in_new_netns, ip, json_of, native, requests, with,
};

/// A macvlan over `br0`: a bridge is the one kind of parent that every kernel has.
fn macvlan(further: Value) -> Value {
    with(&json!({"type": "macvlan", "master": "br0"}), further)
}

/// The node's bridge, with carrier: it has a port that is up.
fn master() {
    ip("link add br0 type bridge");
    ip("link add port0 master br0 type veth peer name port1");
    for link in ["br0", "port0", "port1"] {
        ip(&format!("link set {link} up"));
    }
}

#[test]
fn the_link_is_as_the_configuration_says() {
    in_new_netns(|| async {
        master();
        let node = Node::new();
        for (mode, shown_mode) in
            [("", "bridge"), ("bridge", "bridge"), ("private", "private"), ("vepa", "vepa"), ("passthru", "passthru")]
        {
            let pod = Pod::new();
            node.add(&pod, &macvlan(json!({"mode": mode, "mtu": 1400, "bcqueuelen": 2222}))).await.unwrap();
            let shown = pod.link();
            let data = &shown["linkinfo"]["info_data"];
            assert_eq!((&data["mode"], &data["bcqueuelen"]), (&json!(shown_mode), &json!(2222)), "{shown}");
            assert_eq!((&shown["mtu"], &shown["group"]), (&json!(1400), &json!(GROUP.to_string())));
            assert!(shown["flags"].as_array().unwrap().contains(&json!("UP")), "{shown}");
            pod.ip("link del net1");
        }
    });
}

#[test]
fn the_mac_is_the_last_one_of_its_sources() {
    in_new_netns(|| async {
        master();
        let node = Node::new();
        let own = macvlan(json!({"mac": "02:00:00:00:00:01"}));
        let runtime = with(&own, json!({"runtimeConfig": {"mac": "02:00:00:00:00:03"}}));
        for (config, args, expected) in [
            (&own, "", "02:00:00:00:00:01"),
            (&own, "MAC=02:00:00:00:00:02", "02:00:00:00:00:02"),
            (&runtime, "MAC=02:00:00:00:00:02", "02:00:00:00:00:03"),
        ] {
            let pod = Pod::new();
            let created = node.create(&pod, &native(config, args).unwrap(), None).await.unwrap();
            assert_eq!((created.link.mac.as_str(), &pod.link()["address"]), (expected, &json!(expected)));
            pod.ip("link del net1");
        }
    });
}

#[test]
fn the_result_has_the_link_and_its_addresses_on_it() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        let mut ipam = fixed(&[("10.1.0.5/24", Some("10.1.0.1"))], json!([{"dst": "0.0.0.0/0"}]));
        ipam["dns"] = json!({"domain": "dropped.example"});
        let config = macvlan(json!({"ipam": ipam, "dns": {"domain": "own.example"}}));
        let result = node.add(&pod, &config).await.unwrap();
        assert_eq!(
            json_of(&result),
            json!({
                "cniVersion": "1.1.0",
                "interfaces": [{"name": IFNAME, "mac": pod.link()["address"], "sandbox": "/run/netns/pod"}],
                "ips": [{"interface": 0, "address": "10.1.0.5/24", "gateway": "10.1.0.1"}],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dns": {"domain": "own.example"},
            })
        );
        assert_eq!(pod.objects("route show default")[0]["gateway"], "10.1.0.1");
        assert_eq!(pod.variable("ipv4/conf/net1/arp_notify"), "1");
        assert_eq!(pod.variable("ipv6/conf/net1/ndisc_notify"), "1");
        node.check(&pod, &config, &result).await.unwrap();
        let other_mode = with(&config, json!({"mode": "vepa"}));
        assert_eq!(node.check(&pod, &other_mode, &result).await.unwrap_err().code, Code::CHECK_FAILED);
    });
}

#[test]
fn without_a_master_the_default_routes_interface_is_it() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        let error = node.add(&pod, &json!({"type": "macvlan"})).await.unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert!(error.message.starts_with("key \"master\" is missing, and there is no default route"), "{error:?}");
        ip("-6 route add default via fe80::1 dev port1");
        let created = node.create(&pod, &native(&json!({"type": "macvlan"}), "").unwrap(), None).await.unwrap();
        assert_eq!(pod.link()["link_index"], node.link("port1")["ifindex"]);
        pod.netlink.delete_link(created.link.index).await.unwrap();
        // One of IPv4 comes first.
        ip("route add default dev br0");
        node.create(&pod, &native(&json!({"type": "macvlan"}), "").unwrap(), None).await.unwrap();
        assert_eq!(pod.link()["link_index"], node.link("br0")["ifindex"]);
    });
}

#[test]
fn a_master_may_be_in_the_pod_and_have_an_alternative_name() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        pod.ip("link add eth0 type bridge");
        pod.ip("link property add dev eth0 altname storage");
        node.add(&pod, &macvlan(json!({"master": "storage", "linkInContainer": true}))).await.unwrap();
        assert_eq!(pod.link()["link"], "eth0");
        let message = node.add(&pod, &macvlan(json!({"linkInContainer": true}))).await.unwrap_err().message;
        assert!(message.starts_with("the master \"br0\" does not exist in the pod"), "{message}");
        let message = node.add(&pod, &macvlan(json!({}))).await.unwrap_err().message;
        assert!(message.starts_with("the master \"br0\" does not exist on this node"), "{message}");
    });
}

#[test]
fn an_mtu_above_the_masters_is_refused_by_its_key() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        let error = node.add(&pod, &macvlan(json!({"mtu": 9000}))).await.unwrap_err();
        assert!(error.message.starts_with("key \"mtu\" is 9000, and the master br0 has 1500"), "{error:?}");
        assert_eq!(pod.netlink.links().await.unwrap().len(), 1, "the loopback");
    });
}

#[test]
fn what_the_kernel_refuses_names_the_master() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        // Looked up when the ADD was planned, and gone since.
        let mut native = native(&macvlan(json!({})), "").unwrap();
        native.main.prepare(&node.netlink).await.unwrap();
        ip("link del br0");
        let error = node.create(&pod, &native, None).await.unwrap_err();
        assert!(error.message.starts_with("on the master br0: cannot create the macvlan \"net1\""), "{error:?}");
        assert_eq!(pod.netlink.links().await.unwrap().len(), 1, "the loopback");
    });
}

#[test]
fn an_address_that_is_nobodys_is_refused_and_not_reported() {
    in_new_netns(|| async {
        master();
        let node = Node::new();
        for address in ["0.0.0.0/0", "0.0.0.0/24", "::/64"] {
            let config = macvlan(json!({"ipam": fixed(&[(address, None)], json!([]))}));
            let error = node.add(&Pod::new(), &config).await.unwrap_err();
            assert_eq!(error.code, Code::INVALID_CONFIG, "{error:?}");
            assert!(error.message.contains(address), "{error:?}");
        }
    });
}

#[test]
fn a_name_that_the_node_has_too_is_free_in_the_pod() {
    in_new_netns(|| async {
        master();
        ip("link add net1 type veth peer name other");
        let (node, pod) = (Node::new(), Pod::new());
        let result = node.add(&pod, &macvlan(json!({}))).await.unwrap();
        assert_eq!(
            (result.interfaces()[0].name.as_str(), &pod.link()["linkinfo"]["info_kind"]),
            (IFNAME, &json!("macvlan"))
        );
        assert_eq!(pod.netlink.links_of_groups(&[GROUP]).await.unwrap().len(), 1);
    });
}

#[test]
fn a_name_that_the_pod_has_is_refused() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        node.add(&pod, &macvlan(json!({}))).await.unwrap();
        let error = node.add(&pod, &macvlan(json!({}))).await.unwrap_err();
        assert_eq!(error.code, Code::EXISTS);
        assert!(error.message.contains("the pod has an interface of that name already"), "{error:?}");
        assert_eq!(pod.netlink.links_of_groups(&[GROUP]).await.unwrap().len(), 1);
    });
}

#[test]
fn an_ipv6_address_can_be_used_when_the_add_ends_also_without_a_gateway() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        pod.netns.inside(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")).unwrap().unwrap();
        let ipam = fixed(&[("fd00:1::5/64", None)], json!([]));
        node.add(&pod, &macvlan(json!({"ipam": ipam}))).await.unwrap();
        let addresses = pod.objects("-6 address show dev net1 scope global").remove(0)["addr_info"].clone();
        assert_eq!((&addresses[0]["local"], addresses[0].get("tentative")), (&json!("fd00:1::5"), None), "{addresses}");
        assert_eq!(pod.variable("ipv6/conf/net1/disable_ipv6"), "0");
        assert_eq!(pod.variable("ipv6/conf/net1/keep_addr_on_down"), "1");
    });
}

#[test]
fn an_ipv6_address_that_another_host_has_is_refused_by_its_name() {
    in_new_netns(|| async {
        master();
        let node = Node::new();
        let config = macvlan(json!({"ipam": fixed(&[("fd00:1::5/64", None)], json!([]))}));
        let first = Pod::new();
        node.add(&first, &config).await.unwrap();
        let error = node.add(&Pod::new(), &config).await.unwrap_err();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER);
        assert!(error.message.contains("the address fd00:1::5 "), "{error:?}");
        assert!(error.message.contains("is a duplicate"), "{error:?}");
    });
}

#[test]
fn a_route_has_all_that_its_element_says() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        let routes = json!([
            {"dst": "10.9.0.0/16", "mtu": 1300, "advmss": 1200, "priority": 50},
            {"dst": "10.8.0.0/16", "gw": "10.1.0.9", "table": 100},
            {"dst": "10.7.0.1/32", "scope": 253},
        ]);
        // The last one is on the link: a family without a gateway.
        let ipam = fixed(&[("10.1.0.5/24", None)], routes.clone());
        let config = macvlan(json!({"ipam": ipam}));
        let result = node.add(&pod, &config).await.unwrap();
        assert_eq!(json_of(&result)["routes"], routes);
        let first = pod.objects("route show 10.9.0.0/16").remove(0);
        assert_eq!(
            (&first["metrics"][0]["mtu"], &first["metrics"][0]["advmss"]),
            (&json!(1300), &json!(1200)),
            "{first}"
        );
        assert_eq!((&first["metric"], first.get("gateway")), (&json!(50), None));
        assert_eq!(pod.objects("route show table 100").remove(0)["gateway"], "10.1.0.9");
        assert_eq!(pod.objects("route show 10.7.0.1").remove(0)["scope"], "link");
        node.check(&pod, &config, &result).await.unwrap();
    });
}

/// The master, the link, and its look-up; the address, up, the route.
#[test]
fn an_add_costs_six_requests() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        let ipam = fixed(&[("10.1.0.5/24", Some("10.1.0.1"))], json!([{"dst": "0.0.0.0/0"}]));
        node.add(&pod, &macvlan(json!({"ipam": ipam}))).await.unwrap();
        assert_eq!(requests(&[&node.netlink, &pod.netlink]), 6);
    });
}

#[test]
fn a_link_of_layer_2_costs_four_requests() {
    in_new_netns(|| async {
        master();
        let (node, pod) = (Node::new(), Pod::new());
        node.add(&pod, &macvlan(json!({}))).await.unwrap();
        assert_eq!(requests(&[&node.netlink, &pod.netlink]), 4);
        assert_eq!(pod.variable("ipv4/conf/net1/arp_notify"), "0");
    });
}

#[test]
fn a_wrong_value_is_refused_by_its_key_and_an_unknown_key_executed() {
    for (further, expected) in [
        (json!({"mode": "source"}), "key \"mode\" is \"source\": it must be bridge, private, vepa or passthru"),
        (json!({"mtu": -1}), "key \"mtu\" is -1"),
        (json!({"mac": "nonsense"}), "key \"mac\" is \"nonsense\": it must be a MAC"),
        (json!({"linkInContainer": "true"}), "key \"linkInContainer\" has the wrong value"),
        (json!({"bcqueuelen": -1}), "key \"bcqueuelen\" has the wrong value -1"),
    ] {
        let error = native(&macvlan(further), "").unwrap_err();
        assert!(error.message.starts_with(expected), "{error:?}");
    }
    let reason = executed(&macvlan(json!({"portIsolation": true})));
    assert!(reason.starts_with("key \"portIsolation\" is not implemented"), "{reason}");
}
