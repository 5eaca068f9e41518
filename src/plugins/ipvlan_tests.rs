use serde_json::{Value, json};

use crate::cni::result::CniResult;
use crate::cni::{Error, Version};
use crate::kernel::netlink::{IpvlanFlag, IpvlanMode, Kind, NewLink};
use crate::plugins::testing::{GROUP, IFNAME, Node, Pod, fixed, in_new_netns, ip, json_of, native, with};

fn ipvlan(further: Value) -> Value {
    with(&json!({"type": "ipvlan", "master": "port0"}), further)
}

fn addresses() -> Value {
    fixed(&[("10.1.0.5/24", Some("10.1.0.1"))], json!([{"dst": "0.0.0.0/0"}]))
}

/// A cable, for the ipvlans to stand on; whether this kernel has them.
async fn has_ipvlans(node: &Node) -> bool {
    ip("link add port0 type veth peer name port1");
    ip("link set port0 up");
    ip("link set port1 up");
    let parent = node.netlink.link_by_name("port0").await.unwrap().unwrap().index;
    let kind = Kind::Ipvlan { parent, mode: IpvlanMode::L2, flag: IpvlanFlag::Bridge };
    match node.netlink.create_link(&NewLink::new("try0", kind)).await {
        Ok(made) => {
            node.netlink.delete_link(made.index).await.unwrap();
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("load the module ipvlan"), "{error}");
            false
        }
    }
}

async fn links_are_as_configured(node: &Node) {
    for (mode, shown_mode) in [("", "l2"), ("l2", "l2"), ("l3", "l3"), ("l3s", "l3s")] {
        let pod = Pod::new();
        let config = ipvlan(json!({"mode": mode, "mtu": 1400, "ipam": addresses()}));
        let result = node.add(&pod, &config).await.unwrap();
        let shown = pod.link();
        assert_eq!(shown["linkinfo"]["info_data"]["mode"], shown_mode);
        assert_eq!((&shown["mtu"], &shown["group"]), (&json!(1400), &json!(GROUP.to_string())));
        assert_eq!(
            json_of(&result)["interfaces"],
            json!([{"name": IFNAME, "mac": shown["address"], "sandbox": "/run/netns/pod"}])
        );
        assert_eq!(pod.objects("route show default")[0]["gateway"], "10.1.0.1");
        node.check(&pod, &config, &result).await.unwrap();
        pod.ip("link del net1");
    }
}

#[test]
fn the_link_is_as_the_configuration_says_or_the_module_is_named() {
    in_new_netns(|| async {
        let node = Node::new();
        if has_ipvlans(&node).await {
            return links_are_as_configured(&node).await;
        }
        let error = node.add(&Pod::new(), &ipvlan(json!({"ipam": addresses()}))).await.unwrap_err();
        assert!(error.message.contains("load the module ipvlan"), "{error:?}");
    });
}

/// An ADD without `master` and `ipam` behind a plugin that made these interfaces, and said an address.
async fn add_behind(node: &Node, pod: &Pod, interfaces: Value) -> Result<CniResult, Error> {
    let result = json!({"cniVersion": "1.1.0", "interfaces": interfaces, "ips": [{"address": "10.1.0.5/24"}]});
    let previous = CniResult::parse("prevResult", &result.to_string(), Version::V1_1_0).unwrap();
    node.add_behind(pod, &json!({"type": "ipvlan"}), Some(&previous)).await
}

#[test]
fn behind_a_plugin_of_several_interfaces_the_master_must_be_named() {
    in_new_netns(|| async {
        let error = add_behind(&Node::new(), &Pod::new(), json!([{"name": "a"}, {"name": "b"}])).await.unwrap_err();
        assert!(error.message.contains("reports 2 interfaces where it needs to be one"), "{error:?}");
    });
}

#[test]
fn without_addresses_of_ipam_or_of_a_plugin_before_it_is_refused() {
    in_new_netns(|| async {
        let error = Node::new().add(&Pod::new(), &ipvlan(json!({}))).await.unwrap_err();
        assert!(error.message.starts_with("key \"ipam\" is missing"), "{error:?}");
    });
}

#[test]
fn a_wrong_mode_is_refused_by_its_key() {
    let error = native(&ipvlan(json!({"mode": "l4", "ipam": addresses()})), "").unwrap_err();
    assert_eq!(error.message, "key \"mode\" is \"l4\": it must be l2, l3 or l3s");
}

mod vm {
    use super::*;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn the_link_is_as_the_configuration_says() {
        in_new_netns(|| async {
            let node = Node::new();
            assert!(has_ipvlans(&node).await);
            links_are_as_configured(&node).await;
        });
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn behind_another_plugin_master_and_addresses_are_that_plugins() {
        in_new_netns(|| async {
            let (node, pod) = (Node::new(), Pod::new());
            assert!(has_ipvlans(&node).await);
            let result = add_behind(&node, &pod, json!([{"name": "port0"}])).await.unwrap();
            assert_eq!(pod.link()["link_index"], node.link("port0")["ifindex"]);
            assert_eq!(json_of(&result)["ips"], json!([{"interface": 0, "address": "10.1.0.5/24"}]));
        });
    }
}
