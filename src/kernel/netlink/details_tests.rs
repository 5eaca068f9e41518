use super::*;
use crate::kernel::testing::{in_new_netns, ip, new_netns, path_of};

async fn details(netlink: &Netlink, name: &str) -> LinkDetails {
    let index = netlink.link_by_name(name).await.unwrap().unwrap().index;
    netlink.link_details(index).await.unwrap().unwrap()
}

#[test]
fn a_macvlan_says_its_parent_mode_and_state() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        let netlink = Netlink::own().unwrap();
        let parent = netlink.link_by_name("br0").await.unwrap().unwrap().index;
        for (text, mode) in [
            ("bridge", Some(MacvlanMode::Bridge)),
            ("private", Some(MacvlanMode::Private)),
            ("vepa", Some(MacvlanMode::Vepa)),
            ("passthru", Some(MacvlanMode::Passthru)),
            ("source", None),
        ] {
            ip(&format!("link add net1 link br0 type macvlan mode {text}"));
            let found = details(&netlink, "net1").await;
            assert_eq!(found.kind, KindDetails::Macvlan(mode), "{text}");
            assert_eq!((found.parent, found.parent_elsewhere, found.master), (Some(parent), false, None));
            assert!(!found.up && !found.operational && !found.promiscuous);
            assert_eq!((found.link.name.as_str(), found.alias.as_str()), ("net1", ""));
            ip("link del net1");
        }
        assert_eq!(netlink.link_details(4711).await.unwrap(), None);
        assert_eq!(netlink.link_details(0).await.unwrap(), None);
    });
}

#[test]
fn a_port_says_its_bridge_its_other_end_and_whether_it_carries_packets() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        ip("link add veth0 type veth peer name net1");
        ip("link set veth0 master br0 up promisc on");
        let netlink = Netlink::own().unwrap();
        let port = details(&netlink, "veth0").await;
        let peer = details(&netlink, "net1").await;
        let bridge = details(&netlink, "br0").await;
        assert_eq!((port.parent, port.master), (Some(peer.link.index), Some(bridge.link.index)));
        assert!(port.up && !port.operational && port.promiscuous, "{port:?}");
        assert_eq!(port.kind, KindDetails::Other);
        assert!(matches!(bridge.kind, KindDetails::Bridge { vlan_filtering: false, .. }), "{:?}", bridge.kind);
        ip("link set net1 up");
        assert!(details(&netlink, "veth0").await.up);
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        ip(&format!("link add veth1 type veth peer name veth2 netns {}", path_of(&pod)));
        assert!(details(&inside, "veth2").await.parent_elsewhere);
    });
}

#[test]
fn the_numbers_of_an_ipvlans_mode_are_those_of_the_kernels_header() {
    let data = |mode: u16| [&6_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), &mode.to_ne_bytes(), &[0, 0]].concat();
    let modes = [Some(IpvlanMode::L2), Some(IpvlanMode::L3), Some(IpvlanMode::L3s), None];
    for (number, mode) in (0_u16..).zip(modes) {
        assert_eq!(kind_details("ipvlan", &data(number)), KindDetails::Ipvlan(mode));
    }
}

#[test]
fn a_bridge_says_whether_it_looks_at_vlan_tags_and_where_a_new_port_goes() {
    for (vlan_filtering, default_vlan) in [(true, 1_u16), (false, 1), (true, 0), (true, 4094)] {
        let data = [
            &5_u16.to_ne_bytes()[..],
            &7_u16.to_ne_bytes(),
            &[vlan_filtering.into(), 0, 0, 0],
            &6_u16.to_ne_bytes(),
            &39_u16.to_ne_bytes(),
            &default_vlan.to_ne_bytes(),
            &[0, 0],
        ];
        assert_eq!(kind_details("bridge", &data.concat()), KindDetails::Bridge { vlan_filtering, default_vlan });
    }
    assert_eq!(kind_details("bridge", &[]), KindDetails::Bridge { vlan_filtering: false, default_vlan: 0 });
}

#[test]
fn details_are_found_under_any_name_of_a_link() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        ip("link property add dev br0 altname storage-bridge0");
        let netlink = Netlink::own().unwrap();
        let by_name = netlink.link_details_by_any_name("br0").await.unwrap().unwrap();
        assert!(matches!(by_name.kind, KindDetails::Bridge { .. }), "{by_name:?}");
        assert_eq!(netlink.link_details_by_any_name("storage-bridge0").await.unwrap(), Some(by_name));
        for name in ["br1", "", "a name that no link can have"] {
            assert_eq!(netlink.link_details_by_any_name(name).await.unwrap(), None, "{name}");
        }
    });
}
