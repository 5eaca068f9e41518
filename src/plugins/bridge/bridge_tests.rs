use serde_json::{Value, json};

use super::port;
use crate::cni::Code;
use crate::plugins::testing::{IFNAME, Node, Pod, fixed, in_new_netns, ip, json_of, native, requests, with};

fn bridge(further: Value) -> Value {
    with(&json!({"type": "bridge", "bridge": "br0"}), further)
}

/// A gateway with a default route, the usual configuration.
fn usual(address: &str) -> Value {
    bridge(json!({"isDefaultGateway": true, "ipam": fixed(&[(address, None)], json!([]))}))
}

#[test]
fn the_result_has_bridge_port_and_pod_and_the_addresses_on_the_latter() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let result = node.add(&pod, &usual("10.1.0.5/24")).await.unwrap();
        let port = result.interfaces()[1].name.clone();
        assert_eq!(
            json_of(&result),
            json!({
                "cniVersion": "1.1.0",
                "interfaces": [
                    {"name": "br0", "mac": node.link("br0")["address"]},
                    {"name": port, "mac": node.link(&port)["address"]},
                    {"name": IFNAME, "mac": pod.link()["address"], "sandbox": "/run/netns/pod"},
                ],
                "ips": [{"interface": 2, "address": "10.1.0.5/24", "gateway": "10.1.0.1"}],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
            })
        );
        assert_eq!((&pod.link()["operstate"], &node.link(&port)["operstate"]), (&json!("UP"), &json!("UP")));
        assert_eq!(pod.variable("ipv4/conf/net1/arp_notify"), "1");
        assert_eq!(pod.objects("route show default")[0]["gateway"], "10.1.0.1");
    });
}

/// The bridge, the pair, its pod's end; the address, up, the route; the bridge's addresses, the port, the bridge's MAC.
#[test]
fn an_add_on_a_bridge_that_is_there_costs_nine_requests() {
    in_new_netns(|| async {
        let node = Node::new();
        node.add(&Pod::new(), &usual("10.1.0.5/24")).await.unwrap();
        let pod = Pod::new();
        let config = native(&usual("10.1.0.6/24"), "").unwrap();
        let before = requests(&[&node.netlink, &pod.netlink]);
        let created = node.create(&pod, &config, None).await.unwrap();
        let after_create = requests(&[&node.netlink, &pod.netlink]);
        // Older kernels do not answer with the new link.
        assert!((3..=4).contains(&(after_create - before)), "{}", after_create - before);
        // A port that carries packets at the first look.
        pod.ip("link set net1 up");
        port::operational(&node.site(&pod), created.host.as_ref().unwrap()).await.unwrap();
        let before = requests(&[&node.netlink, &pod.netlink]);
        node.configure(&pod, &config, &created, None).await.unwrap();
        assert_eq!(requests(&[&node.netlink, &pod.netlink]) - before, 6);
    });
}

#[test]
fn a_layer_2_interface_is_up_and_has_nothing_else() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let result = json_of(&node.add(&pod, &bridge(json!({"isGateway": true}))).await.unwrap());
        assert_eq!((result.get("ips"), result.get("routes"), result.get("dns")), (None, None, None));
        assert_eq!((&pod.link()["operstate"], pod.variable("ipv4/conf/net1/arp_notify")), (&json!("UP"), "0".into()));
    });
}

#[test]
fn a_disabled_interface_stays_down_and_is_not_waited_for() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let result = node.add(&pod, &bridge(json!({"disableContainerInterface": true}))).await.unwrap();
        assert_eq!(result.interfaces().len(), 3);
        assert!(!pod.link()["flags"].as_array().unwrap().contains(&json!("UP")));
        assert_eq!(json!(result.interfaces()[1].mac), node.link(&result.interfaces()[1].name)["address"]);
    });
}

#[test]
fn duplicates_are_looked_for_when_the_configuration_says_so() {
    in_new_netns(|| async {
        let node = Node::new();
        for (enabled, accept) in [(false, "0"), (true, "1")] {
            let pod = Pod::new();
            let ipam = fixed(&[("fd00:1::5/64", None)], json!([]));
            node.add(&pod, &bridge(json!({"enabledad": enabled, "ipam": ipam}))).await.unwrap();
            assert_eq!(pod.variable("ipv6/conf/net1/accept_dad"), accept);
            assert_eq!(pod.variable("ipv6/conf/net1/enhanced_dad"), "1");
            assert_eq!(pod.variable("ipv4/conf/net1/arp_notify"), "1");
            assert_eq!(pod.objects("-6 address show dev net1 tentative"), Vec::<Value>::new(), "{enabled}");
            pod.ip("link del net1");
        }
    });
}

#[test]
fn an_address_that_another_pod_has_is_refused_where_duplicates_are_looked_for() {
    in_new_netns(|| async {
        let node = Node::new();
        let config = bridge(json!({"enabledad": true, "ipam": fixed(&[("fd00:1::5/64", None)], json!([]))}));
        let first = Pod::new();
        node.add(&first, &config).await.unwrap();
        let error = node.add(&Pod::new(), &config).await.unwrap_err();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER);
        assert!(error.message.contains("the address fd00:1::5"), "{error:?}");
    });
}

#[test]
fn dns_settings_are_the_configurations_or_else_the_ipam_plugins() {
    in_new_netns(|| async {
        let node = Node::new();
        let mut ipam = fixed(&[("10.1.0.5/24", None)], json!([]));
        ipam["dns"] = json!({"domain": "ipam.example"});
        for (own, expected) in [
            (json!({}), Some(json!({"domain": "ipam.example"}))),
            (json!({"domain": "own.example"}), Some(json!({"domain": "own.example"}))),
            (json!({"search": []}), None),
        ] {
            let result = node.add(&Pod::new(), &bridge(json!({"dns": own, "ipam": ipam.clone()}))).await.unwrap();
            assert_eq!(json_of(&result).get("dns"), expected.as_ref(), "{own}");
        }
    });
}

#[test]
fn two_pods_of_one_bridge_reach_each_other_and_isolated_ones_do_not() {
    in_new_netns(|| async {
        let node = Node::new();
        for (isolated, reached) in [(false, true), (true, false)] {
            let pods = [Pod::new(), Pod::new()];
            for (pod, address) in pods.iter().zip(["10.1.0.5/24", "10.1.0.6/24"]) {
                let ipam = fixed(&[(address, None)], json!([]));
                node.add(pod, &bridge(json!({"portIsolation": isolated, "ipam": ipam}))).await.unwrap();
            }
            pods[1].ip("link set lo up");
            let socket = pods[1].netns.inside(|| std::net::UdpSocket::bind("10.1.0.6:5000")).unwrap().unwrap();
            socket.set_nonblocking(true).unwrap();
            let from = pods[0].netns.inside(|| std::net::UdpSocket::bind("10.1.0.5:0")).unwrap().unwrap();
            from.send_to(b"hello", "10.1.0.6:5000").unwrap();
            // The kernel is done with it when the neighbour is found or given up.
            let settled = loop {
                let neighbours = pods[0].objects("neighbour show dev net1");
                let state = neighbours.iter().find(|one| one["dst"] == "10.1.0.6").map(|one| one["state"][0].clone());
                match state.as_ref().and_then(Value::as_str) {
                    Some("INCOMPLETE") => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                    other => break other.map(ToOwned::to_owned),
                }
            };
            assert_eq!(settled.as_deref() == Some("REACHABLE"), reached, "{settled:?}");
            for pod in &pods {
                pod.ip("link del net1");
            }
        }
        ip("link del br0");
    });
}
