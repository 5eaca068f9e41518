use serde_json::{Value, json};

use super::*;
use crate::kernel::netlink::LinkChange;
use crate::plugins::testing::{GROUP, IFNAME, Node, Pod, in_new_netns, ip, native, variable, with};

const BRIDGE: &str = r#"{"type": "bridge", "bridge": "br0"}"#;

fn config(further: Value) -> Value {
    with(&serde_json::from_str(BRIDGE).unwrap(), further)
}

fn peer(pod: &Pod) -> Peer<'_> {
    Peer { name: IFNAME, inside: Some(&pod.netns), mtu: None, mac: None, group: GROUP }
}

#[test]
fn the_pair_is_as_the_configuration_says() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let config = config(json!({"mtu": 1400, "args": {"cni": {"mac": "02:00:00:00:00:07"}}}));
        let created = node.create(&pod, &native(&config, "").unwrap(), None).await.unwrap();
        let (host, bridge) = (created.host.unwrap(), created.bridge.unwrap());
        let shown = pod.link();
        assert_eq!((&shown["address"], &shown["mtu"]), (&json!("02:00:00:00:00:07"), &json!(1400)));
        assert_eq!((&shown["group"], &shown["operstate"]), (&json!(GROUP.to_string()), &json!("DOWN")));
        assert_eq!((&shown["link_index"], &shown["ifindex"]), (&json!(host.index), &json!(created.link.index)));
        let shown = node.link(&host.name);
        assert_eq!((&shown["master"], &shown["mtu"]), (&json!("br0"), &json!(1400)));
        assert_eq!((&shown["group"], &shown["ifindex"]), (&json!("default"), &json!(host.index)));
        assert_eq!((&shown["link_index"], shown["address"].as_str()), (&json!(created.link.index), Some(&*host.mac)));
        let port = &shown["linkinfo"]["info_slave_data"];
        assert_eq!((&port["hairpin"], &port["isolated"]), (&json!(false), &json!(false)));
        assert!(shown["flags"].as_array().unwrap().contains(&json!("UP")), "{shown}");
        assert_eq!(variable(&format!("ipv6/conf/{}/accept_ra", host.name)), "0");
        assert_eq!(pod.variable("ipv6/conf/net1/accept_ra"), "1");
        assert_eq!((bridge.name.as_str(), created.link.name.as_str()), ("br0", IFNAME));
    });
}

#[test]
fn a_port_gets_its_flags() {
    in_new_netns(|| async {
        let node = Node::new();
        for (hairpin, isolated) in [(true, false), (false, true), (true, true)] {
            let pod = Pod::new();
            let result = node.add(&pod, &config(json!({"hairpinMode": hairpin, "portIsolation": isolated}))).await;
            let shown = node.link(&result.unwrap().interfaces()[1].name);
            let port = &shown["linkinfo"]["info_slave_data"];
            assert_eq!((&port["hairpin"], &port["isolated"]), (&json!(hairpin), &json!(isolated)), "{port}");
        }
    });
}

#[test]
fn the_nodes_end_takes_another_name_when_its_first_one_is_taken() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        ip("link add taken type veth peer name other");
        let (node, pod) = (Node::new(), Pod::new());
        let bridge = node.netlink.link_by_name("br0").await.unwrap().unwrap();
        let mut names = ["taken", "other", "free"].into_iter();
        let made = plug(&node.netlink, bridge.index, peer(&pod), || names.next().unwrap().to_owned()).await.unwrap();
        assert_eq!(made.name, "free");
        let mut asked = 0;
        let never = || {
            asked += 1;
            "taken".to_owned()
        };
        let error = plug(&node.netlink, bridge.index, Peer { name: "net2", ..peer(&pod) }, never).await.unwrap_err();
        assert!(matches!(error, kernel::Error::NameTaken { .. }), "{error}");
        assert_eq!(asked, NAMES);
    });
}

#[test]
fn a_name_that_the_node_has_too_is_free_in_the_pod() {
    in_new_netns(|| async {
        ip("link add net1 type veth peer name peer1");
        let (node, pod) = (Node::new(), Pod::new());
        let result = node.add(&pod, &config(json!({}))).await.unwrap();
        assert_eq!(result.interfaces()[2].name, IFNAME);
        assert_eq!(pod.link()["linkinfo"]["info_kind"], "veth");
    });
}

#[test]
fn a_name_that_the_pod_has_is_refused_and_nothing_is_left_on_the_node() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        for taken in ["link add net1 type veth peer name peer1", "link property add dev lo altname net1"] {
            pod.ip(taken);
            let error = node.add(&pod, &config(json!({}))).await.unwrap_err();
            assert_eq!(error.code, Code::EXISTS, "{error:?}");
            assert!(error.message.contains("the pod has an interface of that name already"), "{error:?}");
            assert_eq!(node.netlink.links().await.unwrap().iter().filter(|link| link.kind == "veth").count(), 0);
            if taken.contains("veth") {
                pod.ip("link del net1");
            }
        }
    });
}

#[test]
fn a_port_that_carries_packets_is_not_waited_for() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let created = node.create(&pod, &native(&config(json!({})), "").unwrap(), None).await.unwrap();
        let host = created.host.unwrap();
        pod.netlink.change_link(created.link.index, &LinkChange::up()).await.unwrap();
        let found = operational(&node.site(&pod), &host).await.unwrap();
        assert_eq!(found, host);
        let before = node.netlink.requests();
        operational(&node.site(&pod), &host).await.unwrap();
        assert_eq!(node.netlink.requests() - before, 1);
    });
}

#[test]
fn a_port_that_carries_nothing_ends_the_add_with_its_name() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let created = node.create(&pod, &native(&config(json!({})), "").unwrap(), None).await.unwrap();
        let host = created.host.unwrap();
        let error = operational(&node.site(&pod), &host).await.unwrap_err();
        let expected = format!("the bridge port {} of the pod's interface net1 carries no packets after", host.name);
        assert!(error.message.starts_with(&expected), "{error:?}");
        let deadline = crate::state::deadline::Deadline::without_signals(Duration::ZERO);
        let error = operational(&Site { deadline: &deadline, ..node.site(&pod) }, &host).await.unwrap_err();
        assert_eq!(error.code, Code::INTERRUPTED);
        ip(&format!("link del {}", host.name));
        let error = operational(&node.site(&pod), &host).await.unwrap_err();
        assert!(error.message.contains("is gone"), "{error:?}");
    });
}

/// On a kernel without VLAN filtering its refusal is what is looked at, and that it leaves no pair.
#[test]
fn a_port_is_in_the_vlans_of_the_configuration_alone() {
    in_new_netns(|| async {
        let node = Node::new();
        let tagged = Vlans::one;
        let untagged = |vlan| Vlans { pvid: true, untagged: true, ..Vlans::one(vlan) };
        for (further, expected) in [
            (json!({"vlan": 100}), vec![untagged(100)]),
            (json!({"vlan": 1}), vec![untagged(1)]),
            (
                json!({"vlan": 100, "preserveDefaultVlan": true}),
                vec![Vlans { untagged: true, ..Vlans::one(1) }, untagged(100)],
            ),
            (
                json!({"vlanTrunk": [{"minID": 5, "maxID": 7}, {"id": 9}]}),
                vec![untagged(1), tagged(5), tagged(6), tagged(7), tagged(9)],
            ),
            (json!({"vlanTrunk": [{"id": 9}], "vlan": 100}), vec![tagged(9), untagged(100)]),
            // As in the reference: the trunk has the last word on a VLAN that is in both.
            (json!({"vlanTrunk": [{"id": 100}], "vlan": 100}), vec![tagged(100)]),
        ] {
            let pod = Pod::new();
            match node.add(&pod, &config(further.clone())).await {
                Ok(result) => assert_eq!(node.vlans_of(&result.interfaces()[1].name).await, expected, "{further}"),
                Err(error) => {
                    assert!(error.message.contains("BRIDGE_VLAN_FILTERING"), "{error:?}");
                    assert_eq!(node.netlink.links().await.unwrap().len(), 1, "the loopback");
                    return;
                }
            }
        }
        ip("link set br0 type bridge vlan_default_pvid 55");
        let result = node.add(&Pod::new(), &config(json!({"vlan": 100}))).await.unwrap();
        assert_eq!(node.vlans_of(&result.interfaces()[1].name).await, [untagged(100)]);
    });
}
