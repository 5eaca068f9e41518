use serde_json::{Value, json};

use crate::cni::{Code, Error};
use crate::plugins::testing::{Node, Pod, fixed, in_new_netns, ip, path_of};

fn probing() -> Node {
    Node { conflict_probe: true, ..Node::new() }
}

/// The plugin's configuration with that one address.
fn with_address(mut config: Value, address: &str) -> Value {
    config["ipam"] = fixed(&[(address, None)], json!([]));
    config
}

/// The ADD of a pod whose address was found at `mac`.
fn assert_found(error: &Error, address: &str, mac: &Value) {
    assert_eq!(error.code, Code::TRY_AGAIN_LATER, "{error:?}");
    for text in [address, mac.as_str().unwrap(), "interface net1 was to get"] {
        assert!(error.message.contains(text), "{error:?} does not say {text}");
    }
}

/// Two pods, to which IPAM gives the same address, and a third with an address of its own.
async fn the_second_is_refused(config: Value) {
    let (node, first) = (probing(), Pod::new());
    let same = with_address(config.clone(), "10.1.0.5/24");
    node.add(&first, &same).await.unwrap();
    let error = node.add(&Pod::new(), &same).await.unwrap_err();
    assert_found(&error, "10.1.0.5", &first.link()["address"]);
    let third = Pod::new();
    node.add(&third, &with_address(config, "10.1.0.6/24")).await.unwrap();
    assert_eq!(third.link()["operstate"], "UP");
    assert_eq!(third.objects("address show dev net1")[0]["addr_info"][0]["local"], "10.1.0.6");
}

#[test]
fn a_macvlan_finds_the_pod_that_has_its_address() {
    in_new_netns(|| async {
        ip("link add port0 type veth peer name port1");
        ip("link set port0 up");
        ip("link set port1 up");
        the_second_is_refused(json!({"type": "macvlan", "master": "port0"})).await;
    });
}

#[test]
fn a_port_of_a_bridge_finds_the_pod_that_has_its_address() {
    in_new_netns(|| async { the_second_is_refused(json!({"type": "bridge"})).await });
}

#[test]
fn an_address_is_not_asked_for_unless_the_key_says_so() {
    in_new_netns(|| async {
        let node = Node::new();
        let same = with_address(json!({"type": "bridge"}), "10.1.0.5/24");
        node.add(&Pod::new(), &same).await.unwrap();
        node.add(&Pod::new(), &same).await.unwrap();
    });
}

mod vm {
    use super::*;

    /// The master is where `ip` makes it; at the other end of its cable is a host with an address.
    async fn the_host_is_found(node: &Node, pod: &Pod, ip: impl Fn(&str) -> String, config: Value) {
        let host = Pod::new();
        ip(&format!("link add port0 type veth peer name net1 netns {}", path_of(&host.netns)));
        ip("link set port0 up");
        host.ip("address add 10.1.0.5/24 dev net1");
        host.ip("link set net1 up");
        let error = node.add(pod, &with_address(config.clone(), "10.1.0.5/24")).await.unwrap_err();
        assert_found(&error, "10.1.0.5", &host.link()["address"]);
        pod.ip("link delete net1");
        node.add(pod, &with_address(config, "10.1.0.6/24")).await.unwrap();
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn an_ipvlan_finds_the_host_that_has_its_address_by_its_master_on_the_node() {
        in_new_netns(|| async {
            the_host_is_found(&probing(), &Pod::new(), ip, json!({"type": "ipvlan", "master": "port0"})).await;
        });
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn an_ipvlan_finds_the_host_that_has_its_address_by_its_master_in_the_pod() {
        in_new_netns(|| async {
            let pod = Pod::new();
            let config = json!({"type": "ipvlan", "master": "port0", "linkInContainer": true});
            the_host_is_found(&probing(), &pod, |arguments| pod.ip(arguments), config).await;
        });
    }
}
