//! What needs another kernel: ipvlan, masters that are VLANs, and bridges that filter VLANs. Few, and each
//! in one order only, since the virtual machine is slow.

use serde_json::{Value, json};

use super::ipam::{Families, Form, Routes, ipam};
use super::{Case, with};
use crate::twins::MASTER;

const VLAN: &str =
    "ip link add link stor0 name stor0.7 address 02:00:00:00:04:01 type vlan id 7 && ip link set stor0.7 up";

/// All cases of the virtual machine.
pub(crate) fn in_the_virtual_machine() -> Vec<Case> {
    let ipvlan = |mode: &str, form: Form, families: Families, routes: Routes| {
        let mut plugin = json!({"type": "ipvlan", "master": MASTER, "mode": mode});
        if let Some(ipam) = ipam(form, families, &routes.of(families)) {
            plugin["ipam"] = ipam;
        }
        plugin
    };
    let bridge = |more: Value| {
        let ipam = ipam(Form::Ranges, Families::V4, &[]).unwrap_or_default();
        with(json!({"type": "bridge", "ipam": ipam}), &more)
    };
    let dual = ipvlan("l2", Form::Ranges, Families::Dual, Routes::Gateway);
    vec![
        Case::new("ipvlan l2", ipvlan("l2", Form::Ranges, Families::V4, Routes::Default)).mixed(),
        Case::new("ipvlan without mode", with(dual.clone(), &json!({"mode": ""}))).version("0.3.1"),
        Case::new("ipvlan l3", ipvlan("l3", Form::StaticWithoutGateway, Families::Dual, Routes::Default)).version("1.0.0"),
        Case::new("ipvlan l3s", ipvlan("l3s", Form::Bounded, Families::V4, Routes::Priority)).version("0.4.0"),
        Case::new("ipvlan with an MTU", with(dual.clone(), &json!({"mtu": 1400}))),
        Case::new("ipvlan on the default route's link", {
            let mut plugin = ipvlan("l2", Form::Ranges, Families::V4, Routes::None);
            if let Some(object) = plugin.as_object_mut() {
                object.remove("master");
            }
            plugin
        })
        .check_fails(),
        Case::new("ipvlan in the pod", with(dual.clone(), &json!({"master": "m0", "linkInContainer": true})))
            .pod("ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 address 02:00:00:00:03:02 && ip link set m0 up && ip link set m1 up"),
        Case::new("ipvlan with several sets", ipvlan("l2", Form::SeveralSets, Families::Dual, Routes::None)),
        Case::new("ipvlan without IPAM", json!({"type": "ipvlan", "master": MASTER})).refused("ipam").late(),
        Case::new("ipvlan of an unknown mode", with(dual.clone(), &json!({"mode": "l4"}))).refused("mode").shows(&["traces-of-undoing"]),
        Case::new("macvlan on a VLAN", json!({"type": "macvlan", "master": "stor0.7",
            "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}})).host(VLAN),
        Case::new("ipvlan on a VLAN", json!({"type": "ipvlan", "master": "stor0.7",
            "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}})).host(VLAN),
        Case::new("ipvlan in the pod, by its default route", with(dual.clone(), &json!({"master": "", "linkInContainer": true})))
            .pod("ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 && ip link set m0 up && ip link set m1 up && \
                  ip address add 10.5.0.2/24 dev m0 && ip route add default via 10.5.0.1").check_fails(),
        Case::new("ipvlan whose default route goes", with(dual.clone(), &json!({"master": ""}))).version("0.3.1")
            .then_host("ip route del default"),
        Case::new("ipvlan whose link goes", dual.clone()).then_pod("ip link delete eth0").check_fails(),
        Case::new("ipvlan of another mode", dual.clone()).then_pod("ip link set eth0 type ipvlan mode l3").check_fails(),
        Case::new("ipvlan and tuning", dual.clone()).chained(json!({"type": "tuning", "mtu": 1300})),
        Case::new("ipvlan with routes' MTU", ipvlan("l2", Form::Static, Families::Dual, Routes::Mtu)).version("1.0.0"),
        Case::new("ipvlan with an MTU beyond the master's", with(dual.clone(), &json!({"mtu": 9001}))).refused("mtu").shows(&["traces-of-undoing"]),
        Case::new("ipvlan on nothing", with(dual.clone(), &json!({"master": "nowhere0"}))).refused("master"),
        Case::new("a bridge's VLAN with gateways of both families", with(json!({"type": "bridge", "vlan": 5,
            "isDefaultGateway": true}), &json!({"ipam": ipam(Form::Ranges, Families::Dual, &[])}))),
        Case::new("a bridge that does not filter yet", bridge(json!({"vlan": 5})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge && ip link set cni0 up"),
        Case::new("a bridge's VLAN", bridge(json!({"vlan": 100}))),
        Case::new("a bridge's VLAN with a gateway", bridge(json!({"vlan": 100, "isGateway": true}))).mixed(),
        Case::new("a bridge's VLAN, the default one kept", bridge(json!({"vlan": 100, "preserveDefaultVlan": true}))),
        Case::new("a bridge's trunk", bridge(json!({"vlanTrunk": [{"minID": 10, "maxID": 13}, {"id": 20}]}))),
        Case::new("a bridge's trunk and VLAN", bridge(json!({"vlan": 7, "vlanTrunk": [{"id": 20}]}))),
        Case::new("a bridge's trunk, the default VLAN kept", bridge(json!({"preserveDefaultVlan": true, "vlanTrunk": [{"id": 20}]}))),
        Case::new("a bridge's empty trunk", bridge(json!({"vlanTrunk": []}))),
    ]
}
