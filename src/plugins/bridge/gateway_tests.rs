use serde_json::{Value, json};

use super::*;
use crate::plugins::testing::{Node, Pod, fixed, in_new_netns, ip, json_of, native, objects, variable, with};

fn gateway(further: Value) -> Value {
    with(&json!({"type": "bridge", "bridge": "br0", "isGateway": true}), further)
}

/// A gateway for pods with these addresses, whose gateways are not given.
fn for_pods(addresses: &[&str]) -> Value {
    let addresses: Vec<_> = addresses.iter().map(|address| (*address, None)).collect();
    gateway(json!({"ipam": fixed(&addresses, json!([]))}))
}

/// The addresses of scope global of a link of the node, in the kernel's order.
fn addresses_of(name: &str) -> Vec<String> {
    let infos = objects("ip", &format!("address show dev {name}")).remove(0)["addr_info"].as_array().unwrap().clone();
    let global = infos.iter().filter(|info| info["scope"] == "global");
    global.map(|info| format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"])).collect()
}

#[test]
fn the_first_address_of_each_network_is_the_gateway_and_the_node_forwards() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        assert_eq!((variable("ipv4/ip_forward"), variable("ipv6/conf/all/forwarding")), ("0".into(), "0".into()));
        let result = node.add(&pod, &for_pods(&["10.1.0.5/24"])).await.unwrap();
        assert_eq!((variable("ipv4/ip_forward"), variable("ipv6/conf/all/forwarding")), ("1".into(), "0".into()));
        assert_eq!(json_of(&result)["ips"], json!([{"interface": 2, "address": "10.1.0.5/24", "gateway": "10.1.0.1"}]));
        let config = for_pods(&["fd00:1::5/64", "10.1.0.6/24"]);
        let result = node.add(&Pod::new(), &config).await.unwrap();
        assert_eq!(variable("ipv6/conf/all/forwarding"), "1");
        assert_eq!(json_of(&result)["ips"][0]["gateway"], "fd00:1::1");
        assert_eq!(addresses_of("br0"), ["10.1.0.1/24", "fd00:1::1/64"]);
        assert_eq!(json_of(&result).get("routes"), None);
    });
}

#[test]
fn a_gateway_that_the_ipam_plugin_gives_is_the_nodes_address() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let config = gateway(json!({"ipam": fixed(&[("10.1.0.5/24", Some("10.1.0.99"))], json!([]))}));
        node.add(&pod, &config).await.unwrap();
        assert_eq!(addresses_of("br0"), ["10.1.0.99/24"]);
        // Its broadcast address, as the reference's.
        assert_eq!(objects("ip", "address show dev br0").remove(0)["addr_info"][0]["broadcast"], "10.1.0.255");
    });
}

#[test]
fn without_is_gateway_the_node_has_no_address_and_does_not_forward() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let config = with(&for_pods(&["10.1.0.5/24"]), json!({"isGateway": false}));
        let result = node.add(&pod, &config).await.unwrap();
        assert_eq!((addresses_of("br0"), variable("ipv4/ip_forward")), (vec![], "0".into()));
        assert_eq!(json_of(&result)["ips"][0].get("gateway"), None);
    });
}

#[test]
fn each_family_gets_a_default_route_unless_there_is_one() {
    in_new_netns(|| async {
        let node = Node::new();
        let default = |gateway: &str| json!({"dst": "0.0.0.0/0", "gw": gateway});
        let ipv6 = json!({"dst": "::/0", "gw": "fd00:1::1"});
        for (routes, expected) in [
            (json!([]), json!([default("10.1.0.1"), ipv6.clone()])),
            (json!([default("10.1.0.77")]), json!([default("10.1.0.77"), ipv6.clone()])),
            // The reference adds it twice, and fails.
            (json!([{"dst": "0.0.0.0/0"}]), json!([{"dst": "0.0.0.0/0"}, ipv6.clone()])),
            (json!([{"dst": "0.0.0.0/1"}]), json!([{"dst": "0.0.0.0/1"}, default("10.1.0.1"), ipv6])),
        ] {
            let pod = Pod::new();
            let addresses = [("10.1.0.5/24", None), ("10.1.0.6/24", None), ("fd00:1::5/64", None)];
            let config = with(&gateway(json!({"isDefaultGateway": true})), json!({"ipam": fixed(&addresses, routes)}));
            let result = json_of(&node.add(&pod, &config).await.unwrap());
            assert_eq!(result["routes"], expected);
            let by = pod.objects("route show default").remove(0)["gateway"].as_str().unwrap().to_owned();
            assert_eq!(by, expected[0]["gw"].as_str().unwrap_or("10.1.0.1"));
            assert_eq!(pod.objects("route show default").len(), 1);
            assert_eq!(pod.objects("-6 route show default").remove(0)["gateway"], "fd00:1::1");
        }
    });
}

#[test]
fn another_address_is_in_the_way_unless_it_may_be_replaced() {
    in_new_netns(|| async {
        let node = Node::new();
        ip("link add br0 type bridge");
        ip("address add 10.9.0.1/24 dev br0");
        ip("address add fd00:9::1/64 dev br0");
        ip("address add fd00:1::ffff/112 dev br0");
        for (address, other) in [("10.1.0.5/24", "10.9.0.1/24"), ("fd00:1::5/64", "fd00:1::ffff/112")] {
            let pod = Pod::new();
            let error = node.add(&pod, &for_pods(&[address])).await.unwrap_err();
            assert!(
                error.message.starts_with(&format!("br0 has the address {other}, and the gateway of")),
                "{error:?}"
            );
            assert!(error.message.contains("\"forceAddress\": true"), "{error:?}");
        }
        let config = with(&for_pods(&["10.1.0.5/24", "fd00:1::5/64"]), json!({"forceAddress": true}));
        node.add(&Pod::new(), &config).await.unwrap();
        assert_eq!(addresses_of("br0"), ["10.1.0.1/24", "fd00:1::1/64", "fd00:9::1/64"]);
    });
}

#[test]
fn a_gateway_that_is_there_is_read_and_not_written() {
    in_new_netns(|| async {
        let node = Node::new();
        node.add(&Pod::new(), &for_pods(&["10.1.0.5/24"])).await.unwrap();
        let config = native(&for_pods(&["10.1.0.6/24"]), "").unwrap();
        let pod = Pod::new();
        let created = node.create(&pod, &config, None).await.unwrap();
        // A MAC that is set with an address would be that of the look-up.
        ip("link set br0 address 02:00:00:00:00:99");
        node.configure(&pod, &config, &created, None).await.unwrap();
        assert_eq!(node.link("br0")["address"], "02:00:00:00:00:99");
    });
}

#[test]
fn the_mac_of_a_bridge_that_was_there_is_set_with_its_first_gateway() {
    in_new_netns(|| async {
        let node = Node::new();
        ip("link add br0 up type bridge");
        let before = node.link("br0")["address"].clone();
        let result = node.add(&Pod::new(), &for_pods(&["10.1.0.5/24"])).await.unwrap();
        assert_eq!((&node.link("br0")["address"], json!(result.interfaces()[0].mac)), (&before, before.clone()));
        ip("link add lowest address 00:00:00:00:00:01 master br0 type veth peer name other");
        assert_eq!(node.link("br0")["address"], before, "it is its own");
    });
}

/// The kernel takes the MAC away with the last port.
#[test]
fn a_bridge_that_lost_its_ports_becomes_a_gateway_with_a_mac_of_its_own() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let first = node.add(&pod, &json!({"type": "bridge", "bridge": "br0"})).await.unwrap();
        ip(&format!("link del {}", first.interfaces()[1].name));
        assert_eq!(node.link("br0")["address"], "00:00:00:00:00:00");
        let result = node.add(&pod, &for_pods(&["10.1.0.5/24"])).await.unwrap();
        let interfaces = result.interfaces();
        assert_eq!(json!(interfaces[0].mac), node.link("br0")["address"]);
        assert_ne!(interfaces[0].mac, interfaces[1].mac);
        ip(&format!("link del {}", interfaces[1].name));
        assert_eq!(json!(interfaces[0].mac), node.link("br0")["address"], "it is its own");
    });
}

#[test]
fn the_mac_in_the_result_is_that_of_a_bridge_that_follows_its_ports() {
    in_new_netns(|| async {
        let node = Node::new();
        let result = node.add(&Pod::new(), &json!({"type": "bridge", "bridge": "br0"})).await.unwrap();
        let interfaces = result.interfaces();
        assert_eq!(json!(interfaces[0].mac), node.link("br0")["address"]);
        assert_eq!(interfaces[0].mac, interfaces[1].mac, "the only port's");
    });
}

#[test]
fn a_network_without_a_first_address_needs_a_given_gateway() {
    let last = "255.255.255.255/32".parse().unwrap();
    assert_eq!(first_of(last), None);
    assert_eq!(first_of("10.1.0.5/32".parse().unwrap()), Some("10.1.0.6".parse().unwrap()), "as in the reference");
    assert_eq!(first_of("fd00:1::5/64".parse().unwrap()), Some("fd00:1::1".parse().unwrap()));
}

/// On a kernel without VLAN filtering its refusal is what is looked at.
#[test]
fn the_gateway_of_a_vlan_is_an_interface_of_its_own() {
    in_new_netns(|| async {
        let node = Node::new();
        let config = |address: &str| with(&for_pods(&[address]), json!({"vlan": 100, "mtu": 1400}));
        let result = match node.add(&Pod::new(), &config("10.1.0.5/24")).await {
            Ok(result) => result,
            Err(error) => return assert!(error.message.contains("BRIDGE_VLAN_FILTERING"), "{error:?}"),
        };
        let shown = node.link("br0.100");
        let interfaces = result.interfaces();
        assert_eq!((interfaces.len(), interfaces[3].name.as_str()), (4, "br0.100"));
        assert_eq!((json!(interfaces[3].mac), &shown["mtu"]), (shown["address"].clone(), &json!(1400)));
        assert_eq!((addresses_of("br0.100"), addresses_of("br0")), (vec!["10.1.0.1/24".to_owned()], vec![]));
        let port = shown["link"].as_str().unwrap();
        let untagged = [Vlans { pvid: true, untagged: true, ..Vlans::one(100) }];
        assert_eq!(node.vlans_of(port).await, untagged);
        assert_eq!((&node.link(port)["master"], &shown["operstate"]), (&json!("br0"), &json!("UP")));
        assert_eq!(variable(&format!("ipv6/conf/{port}/accept_ra")), "0");
        // The next pod finds it; one that a killed ADD left half-made is completed.
        ip("link set br0.100 down");
        put_back(port);
        node.add(&Pod::new(), &config("10.1.0.6/24")).await.unwrap();
        assert_eq!(node.vlans_of(port).await, untagged);
        assert_eq!(node.link("br0.100")["ifindex"], shown["ifindex"]);
    });
}

/// Puts a port back into the VLAN in which it began.
fn put_back(port: &str) {
    for (verb, rest) in [("del", "vid 100"), ("add", "vid 1 pvid untagged")] {
        let words = ["vlan", verb, "dev", port].into_iter().chain(rest.split(' '));
        assert!(std::process::Command::new("bridge").args(words).status().unwrap().success());
    }
}

/// The way of the interface that does not need VLANs: it is made once, and completed when it is down.
#[test]
fn an_interface_of_a_vlan_that_somebody_made_otherwise_is_taken_as_it_is() {
    in_new_netns(|| async {
        let node = Node::new();
        ip("link add br0 type bridge");
        ip("link add br0.100 type bridge");
        let config = with(&for_pods(&["10.1.0.5/24"]), json!({"vlan": 100}));
        let config = match native(&config, "").unwrap().main {
            crate::plugins::Main::Bridge(config) => config,
            other => panic!("{other:?}"),
        };
        let bridge = node.netlink.link_by_name("br0").await.unwrap().unwrap();
        let found = vlan_interface(&node.netlink, &config, &bridge, 100, "br0.100").await.unwrap();
        assert_eq!((found.kind.as_str(), node.link("br0.100")["operstate"].as_str()), ("bridge", Some("DOWN")));
        ip("link del br0.100");
        let made = make_vlan_interface(&node.netlink, &bridge, "br0.100").await.unwrap();
        let again = make_vlan_interface(&node.netlink, &bridge, "br0.100").await.unwrap();
        assert_eq!((&again.link, made.link.kind.as_str()), (&made.link, "veth"));
        let ports = node.netlink.links().await.unwrap();
        assert_eq!(ports.iter().filter(|link| link.kind == "veth").count(), 2, "one pair: {ports:?}");
    });
}
