use serde_json::{Value, json};

use super::*;
use crate::kernel::netlink::KindDetails;
use crate::kernel::netns::Netns;
use crate::kernel::testing::{in_new_netns, ip, link_shown, objects};

/// A bridge with a port; the ifindex of both.
async fn with_port(netlink: &Netlink) -> (u32, u32) {
    ip("link add br0 type bridge");
    ip("link add veth0 type veth peer name net1");
    ip("link set veth0 master br0");
    let bridge = netlink.link_by_name("br0").await.unwrap().unwrap().index;
    (bridge, netlink.link_by_name("veth0").await.unwrap().unwrap().index)
}

#[test]
fn the_flags_of_a_port_are_changed_by_one_request_and_only_those_asked_for() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let own = Netns::own().unwrap();
        let (_, port) = with_port(&netlink).await;
        let flags = || {
            let shown = link_shown(&own, "veth0");
            let data = &shown["linkinfo"]["info_slave_data"];
            (data["hairpin"].as_bool().unwrap(), data["isolated"].as_bool().unwrap())
        };
        assert_eq!(flags(), (false, false));
        let before = netlink.requests();
        netlink.change_port(port, &PortChange { hairpin: Some(true), isolated: Some(true) }).await.unwrap();
        assert_eq!(netlink.requests() - before, 1);
        assert_eq!(flags(), (true, true));
        netlink.change_port(port, &PortChange { hairpin: Some(false), isolated: None }).await.unwrap();
        assert_eq!(flags(), (false, true));
        netlink.change_port(port, &PortChange { hairpin: None, isolated: Some(false) }).await.unwrap();
        assert_eq!(flags(), (false, false));
    });
}

#[test]
fn what_is_no_port_is_an_error_that_names_it() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        with_port(&netlink).await;
        let other = netlink.link_by_name("net1").await.unwrap().unwrap().index;
        let change = PortChange { hairpin: Some(true), isolated: Some(false) };
        let error = netlink.change_port(other, &change).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
        let start =
            format!("cannot change the bridge port of the link with ifindex {other} (hairpin on, isolated off): ");
        assert!(error.to_string().starts_with(&start), "{error}");
        let error = netlink.add_port_vlans(other, &[Vlans::one(7)]).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
        assert_eq!(netlink.port_vlans(other).await.unwrap(), []);
        let error = netlink.add_port_vlans(4711, &[Vlans::one(7)]).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
    });
}

/// Where it has it, [`vm`] shows what it does.
#[test]
fn a_kernel_that_was_built_without_vlan_filtering_is_named() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let (bridge, port) = with_port(&netlink).await;
        let Err(error) = netlink.set_vlan_filtering(bridge, true).await else { return };
        assert!(matches!(error, Error::NoVlanFiltering { .. }), "{error}");
        let expected = format!(
            "cannot switch VLAN filtering of the bridge with ifindex {bridge} on: this kernel was built without VLAN \
             filtering (BRIDGE_VLAN_FILTERING)"
        );
        assert_eq!(error.to_string(), expected);
        let error = netlink.add_port_vlans(port, &[Vlans::one(7)]).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
        assert_eq!(netlink.port_vlans(port).await.unwrap(), []);
    });
}

/// The numbers are those of `linux/if_bridge.h`: this kernel may have no VLANs that could say what it got.
#[test]
fn vlans_are_asked_for_as_the_kernels_header_wants_it() {
    let access = Vlans { pvid: true, untagged: true, ..Vlans::one(100) };
    let message = vlan_message(7, &[access, Vlans { last: 203, ..Vlans::one(200) }]);
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    let half = |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>();
    let mut header = vec![0; 16];
    header[0] = 7;
    header[4..8].copy_from_slice(&7_u32.to_ne_bytes());
    let info = |flags: u16, id: u16| half(&[8, 2, flags, id]);
    let expected = [header, half(&[28, 26]), info(2 | 4, 100), info(8, 200), info(16, 203)].concat();
    assert_eq!(bytes, expected);
}

mod vm {
    use super::*;

    /// As [`with_port`], and the bridge looks at VLAN tags.
    async fn with_filtering_port(netlink: &Netlink) -> (u32, u32) {
        let (bridge, port) = with_port(netlink).await;
        netlink.set_vlan_filtering(bridge, true).await.unwrap();
        (bridge, port)
    }

    /// Id and flags of each entry that `bridge vlan` shows for veth0.
    fn vlans_shown() -> Vec<Value> {
        let ports = objects("bridge", "vlan show dev veth0");
        let vlans = ports.first().map(|port| port["vlans"].as_array().unwrap().clone()).unwrap_or_default();
        vlans.iter().map(|vlan| json!([vlan["vlan"], vlan["vlanEnd"], vlan["flags"]])).collect()
    }

    #[test]
    #[ignore = "needs VLAN filtering: make test-vm"]
    fn vlans_are_added_and_removed_as_ranges_by_one_request_each() {
        in_new_netns(|| async {
            let netlink = Netlink::own().unwrap();
            let (_, port) = with_filtering_port(&netlink).await;
            let access_flags = json!(["PVID", "Egress Untagged"]);
            assert_eq!(vlans_shown(), [json!([1, null, access_flags])]);
            let before = netlink.requests();
            let access = Vlans { pvid: true, untagged: true, ..Vlans::one(100) };
            let trunk = Vlans { last: 203, ..Vlans::one(200) };
            netlink.add_port_vlans(port, &[access, trunk, Vlans::one(4094)]).await.unwrap();
            netlink.delete_port_vlans(port, &[Vlans::one(1), Vlans { last: 202, ..Vlans::one(201) }]).await.unwrap();
            assert_eq!(netlink.requests() - before, 2);
            let expected = [
                json!([100, null, access_flags]),
                json!([200, null, null]),
                json!([203, null, null]),
                json!([4094, null, null]),
            ];
            assert_eq!(vlans_shown(), expected);
            let listed = [access, Vlans::one(200), Vlans::one(203), Vlans::one(4094)];
            assert_eq!(netlink.port_vlans(port).await.unwrap(), listed);
            netlink.delete_port_vlans(port, &[Vlans::one(1)]).await.unwrap();
            assert_eq!(netlink.port_vlans(port).await.unwrap(), listed);
        });
    }

    #[test]
    #[ignore = "needs VLAN filtering: make test-vm"]
    fn a_removal_of_vlans_never_deletes_the_link() {
        in_new_netns(|| async {
            let netlink = Netlink::own().unwrap();
            let (_, port) = with_filtering_port(&netlink).await;
            netlink.delete_port_vlans(port, &[Vlans { last: 4094, ..Vlans::one(1) }]).await.unwrap();
            assert_eq!(netlink.port_vlans(port).await.unwrap(), []);
            assert!(netlink.link_by_index(port).await.unwrap().is_some());
        });
    }

    #[test]
    #[ignore = "needs VLAN filtering: make test-vm"]
    fn an_impossible_vlan_is_an_error_that_names_it() {
        in_new_netns(|| async {
            let netlink = Netlink::own().unwrap();
            let (_, port) = with_filtering_port(&netlink).await;
            for vlans in [Vlans::one(0), Vlans::one(4095), Vlans { last: 9, pvid: true, ..Vlans::one(8) }] {
                let error = netlink.add_port_vlans(port, &[vlans]).await.unwrap_err();
                assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
            }
            let error = netlink.add_port_vlans(port, &[Vlans { last: 5000, ..Vlans::one(9) }]).await.unwrap_err();
            let start = format!("cannot add VLANs 9-5000 to the bridge port of the link with ifindex {port}: ");
            assert!(error.to_string().starts_with(&start), "{error}");
        });
    }

    #[test]
    #[ignore = "needs VLAN filtering: make test-vm"]
    fn vlan_filtering_is_switched_on_a_bridge_that_is_there_and_none_is_made() {
        in_new_netns(|| async {
            let netlink = Netlink::own().unwrap();
            let own = Netns::own().unwrap();
            let (bridge, port) = with_filtering_port(&netlink).await;
            for (on, shown) in [(false, 0), (true, 1)] {
                netlink.set_vlan_filtering(bridge, on).await.unwrap();
                assert_eq!(link_shown(&own, "br0")["linkinfo"]["info_data"]["vlan_filtering"], shown);
                let details = netlink.link_details(bridge).await.unwrap().unwrap();
                assert_eq!(details.kind, KindDetails::Bridge { vlan_filtering: on, default_vlan: 1 });
            }
            let error = netlink.set_vlan_filtering(4711, true).await.unwrap_err();
            assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
            let error = netlink.set_vlan_filtering(port, true).await.unwrap_err();
            assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
            let start = format!("cannot switch VLAN filtering of the bridge with ifindex {port} on: ");
            assert!(error.to_string().starts_with(&start), "{error}");
        });
    }
}
