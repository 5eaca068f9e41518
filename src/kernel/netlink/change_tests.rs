use serde_json::{Value, json};

use super::*;
use crate::kernel::netns::Netns;
use crate::kernel::testing::{in_new_netns, ip, link_shown, parent};

fn has_flag(shown: &Value, flag: &str) -> bool {
    shown["flags"].as_array().unwrap().contains(&json!(flag))
}

#[test]
fn several_changes_are_made_by_one_request() {
    in_new_netns(|| async {
        ip("link add veth0 type veth peer name net1");
        let netlink = Netlink::own().unwrap();
        let own = Netns::own().unwrap();
        let bridge = parent(&netlink).await;
        let index = netlink.link_by_name("veth0").await.unwrap().unwrap().index;
        let before = netlink.requests();
        let change = LinkChange {
            up: Some(true),
            promiscuous: Some(true),
            mtu: Some(1400),
            mac: Some([2, 0, 0, 0, 0, 9]),
            master: Some(bridge),
        };
        netlink.change_link(index, &change).await.unwrap();
        assert_eq!(netlink.requests() - before, 1);
        let shown = link_shown(&own, "veth0");
        assert!(has_flag(&shown, "UP") && has_flag(&shown, "PROMISC"), "{shown}");
        assert_eq!((&shown["mtu"], &shown["address"]), (&json!(1400), &json!("02:00:00:00:00:09")));
        assert_eq!(shown["master"], "parent0");

        let back = LinkChange { up: Some(false), promiscuous: Some(false), master: Some(0), ..LinkChange::default() };
        netlink.change_link(index, &back).await.unwrap();
        let shown = link_shown(&own, "veth0");
        assert!(!has_flag(&shown, "UP") && !has_flag(&shown, "PROMISC"), "{shown}");
        assert_eq!((&shown["mtu"], &shown["master"]), (&json!(1400), &Value::Null));
    });
}

#[test]
fn a_refused_change_lists_what_was_asked() {
    in_new_netns(|| async {
        ip("link add veth0 type veth peer name net1");
        let netlink = Netlink::own().unwrap();
        let index = netlink.link_by_name("veth0").await.unwrap().unwrap().index;
        let change = LinkChange { master: Some(4711), mtu: Some(1400), ..LinkChange::up() };
        let error = netlink.change_link(index, &change).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
        let start = format!(
            "cannot change the link with ifindex {index} (MTU 1400, the link with ifindex 4711 as master, up): "
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        let error = netlink.change_link(4711, &LinkChange::up()).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
    });
}

#[test]
fn an_alias_is_set_replaced_and_cut_to_what_the_kernel_takes() {
    in_new_netns(|| async {
        ip("link add veth0 type veth peer name net1");
        let netlink = Netlink::own().unwrap();
        let index = netlink.link_by_name("veth0").await.unwrap().unwrap().index;
        for words in ["rooknet: rook-ceph/public", "ä", &"ä".repeat(200)] {
            netlink.set_alias(index, words).await.unwrap();
            let alias = netlink.link_details(index).await.unwrap().unwrap().alias;
            assert_eq!(alias, cut_alias(words));
            assert_eq!(alias.len(), words.len().min(254), "whole characters: {alias}");
        }
        let error = netlink.set_alias(4711, "gone").await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
    });
}
