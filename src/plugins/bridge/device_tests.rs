use serde_json::{Value, json};

use crate::cni::Code;
use crate::kernel::netlink::Netlink;
use crate::kernel::testing::twice_at_once;
use crate::plugins::Main;
use crate::plugins::bridge::Config;
use crate::plugins::testing::{Node, Pod, in_new_netns, ip, native, variable, with};

fn config(value: Value) -> Config {
    match native(&value, "").unwrap().main {
        Main::Bridge(config) => config,
        other => panic!("{other:?}"),
    }
}

fn has_flag(link: &Value, flag: &str) -> bool {
    link["flags"].as_array().unwrap().contains(&json!(flag))
}

#[test]
fn a_bridge_that_is_missing_is_made_as_the_configuration_says() {
    in_new_netns(|| async {
        let node = Node::new();
        let config = config(json!({"type": "bridge", "bridge": "br0", "mtu": 1400, "promiscMode": true}));
        let made = super::ensure(&node.netlink, &config).await.unwrap();
        let shown = node.link("br0");
        assert_eq!((&shown["linkinfo"]["info_kind"], &shown["mtu"]), (&json!("bridge"), &json!(1400)));
        assert_eq!((&shown["ifindex"], &shown["address"]), (&json!(made.link.index), &json!(made.link.mac)));
        assert!(has_flag(&shown, "UP") && has_flag(&shown, "PROMISC"), "{shown}");
        assert_eq!(shown["group"], "default");
        assert_eq!(variable("ipv6/conf/br0/accept_ra"), "0");
    });
}

#[test]
fn a_bridge_that_is_as_wanted_costs_one_request_and_keeps_what_is_its_administrators() {
    in_new_netns(|| async {
        ip("link add br0 mtu 1300 type bridge");
        ip("link set br0 up promisc on");
        let node = Node::new();
        let wanted = config(json!({"type": "bridge", "bridge": "br0", "mtu": 1400, "promiscMode": true}));
        super::ensure(&node.netlink, &wanted).await.unwrap();
        assert_eq!(node.netlink.requests(), 1);
        // As in the reference, promiscMode false takes nothing back.
        super::ensure(&node.netlink, &config(json!({"type": "bridge", "bridge": "br0"}))).await.unwrap();
        assert_eq!(node.netlink.requests(), 2);
        let shown = node.link("br0");
        assert_eq!(shown["mtu"], 1300);
        assert!(has_flag(&shown, "PROMISC"), "{shown}");
        assert_eq!(variable("ipv6/conf/br0/accept_ra"), "1");
    });
}

#[test]
fn a_bridge_that_is_down_is_completed() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        let node = Node::new();
        let wanted = config(json!({"type": "bridge", "bridge": "br0", "promiscMode": true}));
        super::ensure(&node.netlink, &wanted).await.unwrap();
        assert_eq!(node.netlink.requests(), 2);
        let shown = node.link("br0");
        assert!(has_flag(&shown, "UP") && has_flag(&shown, "PROMISC"), "{shown}");
        assert_eq!(variable("ipv6/conf/br0/accept_ra"), "0");
    });
}

#[test]
fn a_bridge_is_found_by_an_alternative_name() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        ip("link property add dev br0 altname storage");
        let node = Node::new();
        let found =
            super::ensure(&node.netlink, &config(json!({"type": "bridge", "bridge": "storage"}))).await.unwrap();
        assert_eq!(found.link.name, "br0");
    });
}

#[test]
fn a_link_that_is_no_bridge_is_refused_and_left_alone() {
    in_new_netns(|| async {
        ip("link add br0 type veth peer name other");
        let (node, pod) = (Node::new(), Pod::new());
        let before = node.link("br0");
        let error = node.add(&pod, &json!({"type": "bridge", "bridge": "br0"})).await.unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        let expected = "key \"bridge\" is \"br0\", which is no bridge on this node but veth: name another";
        assert!(error.message.starts_with(expected), "{error:?}");
        assert_eq!(node.link("br0"), before);
    });
}

/// A gateway's bridge must not change its MAC with its ports.
#[test]
fn the_mac_of_a_gateways_bridge_is_set_when_it_is_made() {
    in_new_netns(|| async {
        let node = Node::new();
        let ipam = json!({"type": "static", "addresses": [{"address": "10.1.0.5/24"}]});
        for (bridge, further, stays) in [
            ("br0", json!({"isGateway": true, "ipam": ipam.clone()}), true),
            ("br1", json!({"isGateway": false, "ipam": ipam}), false),
            ("br2", json!({"isGateway": true}), false),
        ] {
            let config = with(&json!({"type": "bridge", "bridge": bridge}), further);
            let made = super::ensure(&node.netlink, &self::config(config)).await.unwrap();
            ip(&format!("link add {bridge}p address 00:00:00:00:00:01 master {bridge} type veth peer name {bridge}q"));
            let is_same = node.link(bridge)["address"] == json!(made.link.mac);
            assert_eq!(is_same, stays, "{bridge}");
        }
    });
}

#[test]
fn two_adds_at_once_share_one_bridge() {
    in_new_netns(|| async {
        let node = Node::new();
        let config = config(json!({"type": "bridge", "bridge": "br0"}));
        let [one, two] = twice_at_once(|| async {
            let netlink = Netlink::own().unwrap();
            super::ensure(&netlink, &config).await.unwrap().link.index
        });
        assert_eq!(one, two);
        // One that looked before the other made it.
        let late = super::make(&node.netlink, &config).await.unwrap();
        assert_eq!(json!(late.link.index), node.link("br0")["ifindex"]);
        let value = json!({"type": "bridge", "bridge": "br0"});
        let [one, two] = twice_at_once(|| async {
            let (node, pod) = (Node::new(), Pod::new());
            node.add(&pod, &value).await.unwrap().interfaces().remove(0).name
        });
        assert_eq!(one, two);
        assert_eq!(node.netlink.links().await.unwrap().iter().filter(|link| link.kind == "bridge").count(), 1);
    });
}

#[test]
fn a_name_that_is_taken_while_the_bridge_is_made_by_something_else_is_refused() {
    in_new_netns(|| async {
        let node = Node::new();
        let config = config(json!({"type": "bridge", "bridge": "br0"}));
        ip("link add br0 type veth peer name other");
        // As if the look-up had come before the veth.
        let made = super::make(&node.netlink, &config).await.unwrap();
        assert_eq!(made.link.kind, "veth");
        assert!(super::ensure(&node.netlink, &config).await.is_err());
    });
}

/// On a kernel without VLAN filtering its refusal is what is looked at.
#[test]
fn only_a_new_bridge_is_told_to_look_at_vlan_tags() {
    in_new_netns(|| async {
        let node = Node::new();
        ip("link add br0 type bridge");
        for trunk in [json!({"vlan": 100}), json!({"vlanTrunk": []})] {
            let value = with(&json!({"type": "bridge", "bridge": "br0"}), trunk.clone());
            super::ensure(&node.netlink, &config(value)).await.unwrap();
            assert_eq!(node.link("br0")["linkinfo"]["info_data"]["vlan_filtering"].as_u64().unwrap_or(0), 0);
            let value = with(&json!({"type": "bridge", "bridge": "br1"}), trunk);
            match super::ensure(&node.netlink, &config(value)).await {
                Ok(made) => {
                    assert_eq!(node.link("br1")["linkinfo"]["info_data"]["vlan_filtering"], 1);
                    node.netlink.delete_link(made.link.index).await.unwrap();
                }
                Err(error) => assert!(error.message.contains("BRIDGE_VLAN_FILTERING"), "{error:?}"),
            }
        }
    });
}
