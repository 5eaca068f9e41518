use serde_json::{Value, json};

use crate::cni::Code;
use crate::cni::Version;
use crate::cni::result::CniResult;
use crate::plugins::testing::{Node, Pod, fixed, in_new_netns, ip, json_of, with};

fn config() -> Value {
    let ipam = fixed(&[("10.1.0.5/24", None)], json!([{"dst": "10.9.0.0/16"}]));
    json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam})
}

async fn added(node: &Node, pod: &Pod) -> CniResult {
    let result = node.add(pod, &config()).await.unwrap();
    node.check(pod, &config(), &result).await.unwrap();
    result
}

fn parsed(result: &Value) -> CniResult {
    CniResult::parse("prevResult", &result.to_string(), Version::V1_1_0).unwrap()
}

#[test]
fn each_difference_in_the_kernel_is_told_by_what_it_concerns() {
    // The word PORT stands for the node's end.
    for (on_node, in_pod, expected) in [
        ("link set PORT nomaster", "", "is no port of the bridge br0"),
        ("link set PORT address 02:00:00:00:00:09", "", "has the MAC 02:00:00:00:00:09, and the ADD's result"),
        ("link set br0 address 02:00:00:00:00:09", "", "br0 has the MAC 02:00:00:00:00:09"),
        ("link set br0 promisc on", "", "the bridge br0 is promiscuous, and key \"promiscMode\" is false"),
        ("link del br0", "", "the bridge br0 is missing on this node"),
        ("link del PORT", "", "interface net1 is missing in the pod"),
        ("", "link set net1 address 02:00:00:00:00:09", "interface net1 has the MAC 02:00:00:00:00:09"),
        ("", "address del 10.1.0.5/24 dev net1", "address 10.1.0.5/24 is missing on interface net1"),
        ("", "route del 10.9.0.0/16", "the route to 10.9.0.0/16 is missing on interface net1"),
    ] {
        in_new_netns(|| async {
            let (node, pod) = (Node::new(), Pod::new());
            let result = added(&node, &pod).await;
            if !on_node.is_empty() {
                ip(&on_node.replace("PORT", &result.interfaces()[1].name));
            }
            if !in_pod.is_empty() {
                pod.ip(in_pod);
            }
            let error = node.check(&pod, &config(), &result).await.unwrap_err();
            assert_eq!(error.code, Code::CHECK_FAILED);
            assert!(error.message.contains(expected), "{on_node}{in_pod}: {error:?}");
        });
    }
}

#[test]
fn a_link_of_another_kind_in_place_of_ours_is_found() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let mut result = json_of(&added(&node, &pod).await);
        for interface in 0..3 {
            result["interfaces"][interface].as_object_mut().unwrap().remove("mac");
        }
        pod.ip("link del net1");
        pod.ip("link add net1 type bridge");
        let error = node.check(&pod, &config(), &parsed(&result)).await.unwrap_err();
        assert!(error.message.contains("interface net1 is no veth but of kind \"bridge\""), "{error:?}");
        pod.ip("link del net1");
        pod.ip("link add net1 type veth peer name other");
        let error = node.check(&pod, &config(), &parsed(&result)).await.unwrap_err();
        assert!(error.message.contains("the other end of the pod's interface net1 is missing"), "{error:?}");
        ip("link del br0");
        ip("link add br0 type veth peer name other");
        let error = node.check(&pod, &config(), &parsed(&result)).await.unwrap_err();
        assert!(error.message.contains("br0 is no bridge but of kind \"veth\""), "{error:?}");
    });
}

#[test]
fn a_result_of_another_add_is_not_ours() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let result = json_of(&added(&node, &pod).await);
        let mut other = result.clone();
        other["interfaces"][0]["name"] = json!("br1");
        let error = node.check(&pod, &config(), &parsed(&other)).await.unwrap_err();
        assert!(error.message.contains("prevResult has no bridge br0"), "{error:?}");
        other = result.clone();
        other["interfaces"][1]["name"] = json!("other");
        let error = node.check(&pod, &config(), &parsed(&other)).await.unwrap_err();
        assert!(error.message.ends_with("which prevResult does not have"), "{error:?}");
        other = result;
        other["interfaces"][2]["name"] = json!("net2");
        let error = node.check(&pod, &config(), &parsed(&other)).await.unwrap_err();
        assert!(error.message.contains("prevResult has no interface net1 in a sandbox"), "{error:?}");
    });
}

/// A packet socket (tcpdump) is no flag.
#[test]
fn a_promiscuous_bridge_is_one_that_was_set_so() {
    in_new_netns(|| async {
        let (node, pod) = (Node::new(), Pod::new());
        let promiscuous = with(&config(), json!({"promiscMode": true}));
        let result = node.add(&pod, &promiscuous).await.unwrap();
        node.check(&pod, &promiscuous, &result).await.unwrap();
        assert!(node.check(&pod, &config(), &result).await.is_err());
        ip("link set br0 promisc off");
        assert!(node.check(&pod, &promiscuous, &result).await.is_err());
        node.check(&pod, &config(), &result).await.unwrap();
        // A port that is a VLAN interface's parent, or here a macvlan of mode passthru, makes the bridge receive all.
        ip("link add watcher link br0 type macvlan mode passthru");
        ip("link set watcher up");
        assert!(node.link("br0")["promiscuity"].as_u64().unwrap() > 0);
        node.check(&pod, &config(), &result).await.unwrap();
    });
}
