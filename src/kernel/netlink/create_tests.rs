use netlink_packet_core::Emitable;
use serde_json::json;

use super::*;
use crate::kernel::netlink::{KindDetails, LinkChange};
use crate::kernel::testing::{in_new_netns, ip, ip_inside, link_shown, macvlan, new_netns, parent, requests};

const MAC: [u8; 6] = [0x0a, 0x58, 0x0a, 0xf4, 0, 5];

/// Whether this kernel answers NLM_F_ECHO with the new link (Linux 6.2), which saves a look-up.
fn echoes_new_links() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(2))
}

#[test]
fn a_macvlan_is_made_inside_under_its_final_name_with_all_that_was_asked() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        let modes = [
            (MacvlanMode::Bridge, "bridge"),
            (MacvlanMode::Private, "private"),
            (MacvlanMode::Vepa, "vepa"),
            (MacvlanMode::Passthru, "passthru"),
        ];
        for (mode, shown_mode) in modes {
            let kind = Kind::Macvlan { parent, mode, bc_queue_len: Some(2222) };
            // In this mode the link has its parent's MAC.
            let mac = (mode != MacvlanMode::Passthru).then_some(MAC);
            let new = NewLink { mtu: Some(1400), mac, group: 0x7000_0001, ..NewLink::new("net1", kind) };
            let link = host.create_link_inside(&new, &pod, &inside).await.unwrap();
            let shown = link_shown(&pod, "net1");
            assert_eq!(shown["linkinfo"]["info_kind"], "macvlan");
            assert_eq!(shown["linkinfo"]["info_data"]["mode"], shown_mode);
            assert_eq!(shown["linkinfo"]["info_data"]["bcqueuelen"], 2222, "{shown}");
            assert_eq!((&shown["mtu"], &shown["ifindex"]), (&json!(1400), &json!(link.index)));
            assert_eq!(shown["link_index"], json!(parent));
            assert_eq!(shown["group"], json!(0x7000_0001.to_string()));
            assert_eq!(shown["address"], json!(link.mac));
            assert!(mac.is_none() || link.mac == "0a:58:0a:f4:00:05", "{link:?}");
            assert_eq!(shown["flags"].as_array().unwrap().iter().find(|flag| *flag == "UP"), None);
            assert_eq!((link.name.as_str(), link.kind.as_str(), link.group), ("net1", "macvlan", 0x7000_0001));
            assert!(host.link_by_name("net1").await.unwrap().is_none());
            inside.delete_link(link.index).await.unwrap();
        }
    });
}

#[test]
fn a_new_link_takes_its_parents_mtu_and_a_mac_of_its_own_when_none_is_given() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let parent = parent(&host).await;
        host.change_link(parent, &LinkChange { mtu: Some(1300), ..LinkChange::default() }).await.unwrap();
        let link = host.create_link(&macvlan("net1", parent)).await.unwrap();
        assert_eq!((link.mtu, link.group), (1300, 0));
        assert_ne!(link.mac, host.link_by_index(parent).await.unwrap().unwrap().mac);
    });
}

#[test]
fn a_name_that_the_node_has_too_is_free_in_the_pod_where_the_kernel_looks_there() {
    in_new_netns(|| async {
        ip("link add net1 type veth peer name peer1");
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        match host.create_link_inside(&macvlan("net1", parent), &pod, &inside).await {
            Ok(link) => assert_eq!(link.name, "net1"),
            // Before Linux 6.15: the way that is left is the one by a temporary name.
            Err(error) => {
                assert!(matches!(error, Error::NameTaken { .. }), "{error}");
                let link = host.create_link_inside(&macvlan("temporary0", parent), &pod, &inside).await.unwrap();
                inside.rename_link(link.index, "net1").await.unwrap();
            }
        }
        assert_eq!(link_shown(&pod, "net1")["linkinfo"]["info_kind"], "macvlan");
    });
}

#[test]
fn a_taken_name_is_told_apart_from_every_other_refusal() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        host.create_link_inside(&macvlan("net1", parent), &pod, &inside).await.unwrap();
        ip_inside(&pod, "link property add dev net1 altname net2");
        for name in ["net1", "net2"] {
            let error = host.create_link_inside(&macvlan(name, parent), &pod, &inside).await.unwrap_err();
            assert!(matches!(error, Error::NameTaken { .. }), "{error}");
            assert_eq!(error.errno(), Some(libc::EEXIST));
            let expected = format!("cannot create the macvlan \"{name}\" over the link with ifindex {parent}: ");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    });
}

#[test]
fn a_missing_parent_is_named() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let error = host.create_link_inside(&macvlan("net1", 4711), &pod, &inside).await.unwrap_err();
        assert!(matches!(error, Error::NoParent { parent: 4711, .. }), "{error}");
        assert!(error.to_string().contains("there is no link with ifindex 4711"), "{error}");
    });
}

#[test]
fn an_impossible_name_is_refused_before_the_kernel_is_asked() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let parent = parent(&host).await;
        let before = host.requests();
        for name in ["", "sixteen--letters", "net%d", "a/b", "a b", "."] {
            let peer = Peer { name, inside: None, mtu: None, mac: None, group: 0 };
            for new in [macvlan(name, parent), NewLink::new("net1", Kind::Veth { peer })] {
                let error = host.create_link(&new).await.unwrap_err();
                assert!(matches!(error, Error::Name { .. }), "{error}");
                assert!(error.to_string().starts_with("cannot create a link: \""), "{error}");
            }
        }
        assert_eq!(host.requests(), before);
    });
}

#[test]
fn an_mtu_above_the_parents_is_the_kernels_own_error() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let parent = parent(&host).await;
        let error = host.create_link(&NewLink { mtu: Some(9000), ..macvlan("net1", parent) }).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
        assert!(host.link_by_name("net1").await.unwrap().is_none());
    });
}

#[test]
fn a_link_is_made_in_a_namespace_whose_path_and_processes_are_gone() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        assert!(!crate::kernel::netns::is_inhabited(&pod.identity()));
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        let link = host.create_link_inside(&macvlan("net1", parent), &pod, &inside).await.unwrap();
        assert_eq!(inside.link_by_index(link.index).await.unwrap(), Some(link));
    });
}

#[test]
fn a_veth_pair_is_made_with_its_far_end_inside_and_its_near_end_in_the_bridge() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let own = Netns::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let bridge = parent(&host).await;
        let before = requests(&[&host, &inside]);
        let peer = Peer { name: "net1", inside: Some(&pod), mtu: Some(1400), mac: Some(MAC), group: 0x7000_0001 };
        let near = NewLink {
            mtu: Some(1400),
            master: Some(bridge),
            up: true,
            ..NewLink::new("veth0a1b2c3d", Kind::Veth { peer })
        };
        let near = host.create_link(&near).await.unwrap();
        let expected = if echoes_new_links() { 1 } else { 2 };
        assert_eq!(requests(&[&host, &inside]) - before, expected);
        let shown = link_shown(&own, "veth0a1b2c3d");
        assert_eq!((&shown["master"], &shown["mtu"]), (&json!("parent0"), &json!(1400)));
        assert_eq!((&shown["group"], &shown["ifindex"]), (&json!("default"), &json!(near.index)));
        assert!(shown["flags"].as_array().unwrap().contains(&json!("UP")), "{shown}");
        let far = link_shown(&pod, "net1");
        assert_eq!((&far["address"], &far["mtu"]), (&json!("0a:58:0a:f4:00:05"), &json!(1400)));
        assert_eq!((&far["group"], &far["link_index"]), (&json!(0x7000_0001.to_string()), &json!(near.index)));
        assert!(!far["flags"].as_array().unwrap().contains(&json!("UP")), "{far}");
        assert_eq!(
            host.link_details(near.index).await.unwrap().unwrap().parent,
            far["ifindex"].as_u64().map(|i| i as u32)
        );
    });
}

#[test]
fn a_veth_pair_is_also_made_from_inside_with_its_far_end_on_the_node() {
    in_new_netns(|| async {
        let own = Netns::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let peer = Peer { name: "veth0", inside: Some(&own), mtu: None, mac: None, group: 0 };
        let link = inside.create_link(&NewLink::new("net1", Kind::Veth { peer })).await.unwrap();
        assert_eq!(link_shown(&own, "veth0")["link_index"], json!(link.index));
        let error = inside.create_link(&NewLink::new("net2", Kind::Veth { peer })).await.unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
        assert!(error.to_string().contains("the veth pair \"net2\" and \"veth0\""), "{error}");
        assert!(inside.link_by_name("net2").await.unwrap().is_none());
    });
}

/// A bridge that looks at VLAN tags or not, made and looked at.
async fn make_bridge(vlan_filtering: bool) -> Result<(), Error> {
    let host = Netlink::own().unwrap();
    let own = Netns::own().unwrap();
    let new = NewLink { mtu: Some(1400), mac: Some(MAC), ..NewLink::new("br0", Kind::Bridge { vlan_filtering }) };
    let bridge = match host.create_link(&new).await {
        Ok(bridge) => bridge,
        Err(error) => {
            assert_eq!(host.link_by_name("br0").await.unwrap(), None);
            return Err(error);
        }
    };
    assert_eq!((bridge.kind.as_str(), bridge.mtu, bridge.mac.as_str()), ("bridge", 1400, "0a:58:0a:f4:00:05"));
    let shown = link_shown(&own, "br0")["linkinfo"]["info_data"]["vlan_filtering"].as_u64();
    assert_eq!(shown.unwrap_or(0), u64::from(vlan_filtering));
    Ok(())
}

#[test]
fn a_bridge_is_made() {
    in_new_netns(|| async { make_bridge(false).await.unwrap() });
}

/// An ipvlan of each mode and flag, made inside a pod and looked at.
async fn make_ipvlans() -> Result<(), Error> {
    let host = Netlink::own().unwrap();
    let pod = new_netns();
    let inside = Netlink::inside(&pod).unwrap();
    let parent = parent(&host).await;
    let modes = [(IpvlanMode::L2, "l2"), (IpvlanMode::L3, "l3"), (IpvlanMode::L3s, "l3s")];
    let flags = [(IpvlanFlag::Bridge, "bridge"), (IpvlanFlag::Private, "private"), (IpvlanFlag::Vepa, "vepa")];
    for ((mode, shown_mode), (flag, shown_flag)) in modes.into_iter().flat_map(|m| flags.map(|f| (m, f))) {
        let kind = Kind::Ipvlan { parent, mode, flag };
        let new = NewLink { mtu: Some(1400), group: 0x7000_0001, ..NewLink::new("net1", kind) };
        let link = host.create_link_inside(&new, &pod, &inside).await?;
        let shown = link_shown(&pod, "net1");
        assert_eq!(shown["linkinfo"]["info_kind"], "ipvlan");
        let data = &shown["linkinfo"]["info_data"];
        assert_eq!((&data["mode"], &data[shown_flag]), (&json!(shown_mode), &json!(true)), "{shown}");
        assert_eq!((&shown["mtu"], &shown["group"]), (&json!(1400), &json!(0x7000_0001.to_string())));
        assert_eq!(link.mac, host.link_by_index(parent).await.unwrap().unwrap().mac);
        let details = inside.link_details(link.index).await.unwrap().unwrap();
        assert_eq!(details.kind, KindDetails::Ipvlan(Some(mode)));
        assert_eq!((details.parent, details.parent_elsewhere), (Some(parent), true));
        inside.delete_link(link.index).await.unwrap();
    }
    Ok(())
}

async fn make_dummy() -> Result<(), Error> {
    let link = Netlink::own().unwrap().create_link(&NewLink::new("net1", Kind::Dummy)).await?;
    assert_eq!((link.kind.as_str(), link.name.as_str()), ("dummy", "net1"));
    Ok(())
}

/// What this kernel may lack is made all the same, or refused in words that say what lacks. That it is made is shown in
/// [`vm`].
#[test]
fn what_this_kernel_lacks_is_named() {
    in_new_netns(|| async {
        for (made, kind) in [(make_ipvlans().await, "ipvlan"), (make_dummy().await, "dummy")] {
            let Err(error) = made else { continue };
            assert!(matches!(error, Error::UnsupportedKind { .. }), "{error}");
            let end = format!("this kernel has no links of kind {kind}; load the module {kind}");
            assert!(error.to_string().ends_with(&end), "{error}");
        }
        if let Err(error) = make_bridge(true).await {
            assert!(matches!(error, Error::NoVlanFiltering { .. }), "{error}");
        }
    });
}

mod vm {
    use super::*;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn an_ipvlan_is_made_inside_with_all_that_was_asked() {
        in_new_netns(|| async { make_ipvlans().await.unwrap() });
    }

    #[test]
    #[ignore = "needs dummy: make test-vm"]
    fn a_dummy_is_made() {
        in_new_netns(|| async { make_dummy().await.unwrap() });
    }

    #[test]
    #[ignore = "needs VLAN filtering: make test-vm"]
    fn a_bridge_is_made_with_vlan_filtering() {
        in_new_netns(|| async { make_bridge(true).await.unwrap() });
    }
}

fn bytes_of(new: &NewLink<'_>) -> Vec<u8> {
    let message = new.message(None);
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len().saturating_add(4)).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The numbers are those of `linux/if_link.h`: this kernel may have no ipvlan that could say what it got.
#[test]
fn an_ipvlan_is_asked_for_as_the_kernels_header_wants_it() {
    let modes = [(IpvlanMode::L2, 0_u16), (IpvlanMode::L3, 1), (IpvlanMode::L3s, 2)];
    let flags = [(IpvlanFlag::Bridge, 0_u16), (IpvlanFlag::Private, 1), (IpvlanFlag::Vepa, 2)];
    for ((mode, mode_number), (flag, flag_number)) in modes.into_iter().flat_map(|m| flags.map(|f| (m, f))) {
        let kind = Kind::Ipvlan { parent: 7, mode, flag };
        let new = NewLink { mtu: Some(1400), group: 9, ..NewLink::new("net1", kind) };
        let data =
            [attribute_bytes(1, &mode_number.to_ne_bytes()), attribute_bytes(2, &flag_number.to_ne_bytes())].concat();
        let info = [attribute_bytes(1, b"ipvlan\0"), attribute_bytes(2, &data)].concat();
        let expected = [
            vec![0; 16],
            attribute_bytes(3, b"net1\0"),
            attribute_bytes(4, &1400_u32.to_ne_bytes()),
            attribute_bytes(27, &9_u32.to_ne_bytes()),
            attribute_bytes(5, &7_u32.to_ne_bytes()),
            attribute_bytes(18, &info),
        ];
        assert_eq!(bytes_of(&new), expected.concat(), "{mode:?} {flag:?}");
    }
}
