//! What needs another kernel: ipvlan, masters that are VLANs or dummies, and bridges that filter VLANs. Few, and most in
//! one order only, since the virtual machine is slow: IPAM, routes and chains are tried with macvlan and bridges on any
//! kernel.

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
    let single = ipvlan("l2", Form::Ranges, Families::V4, Routes::None);
    let in_pod = "ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 address 02:00:00:00:03:02 && \
                  ip link set m0 up && ip link set m1 up";
    vec![
        // Those that take longest first.
        Case::new("ipvlan l2", ipvlan("l2", Form::Ranges, Families::V4, Routes::Default)).mixed(),
        Case::new("a bridge's VLAN with gateways of both families", {
            let ipam = ipam(Form::Ranges, Families::Dual, &[]);
            json!({"type": "bridge", "vlan": 5, "isDefaultGateway": true, "ipam": ipam})
        })
        .mixed(),
        Case::new("ipvlan without mode", with(dual.clone(), &json!({"mode": ""}))).version("0.3.1"),
        Case::new("ipvlan l3", ipvlan("l3", Form::Static, Families::Dual, Routes::Default)).version("1.0.0"),
        Case::new("ipvlan l3s with an MTU", {
            with(ipvlan("l3s", Form::Bounded, Families::V4, Routes::Priority), &json!({"mtu": 1400}))
        })
        .version("0.4.0"),
        Case::new("ipvlan on the default route's link", with(single.clone(), &json!({"master": ""})))
            .check_fails()
            .shows(&["check-of-what-is-there"]),
        Case::new("ipvlan in the pod", with(dual, &json!({"master": "m0", "linkInContainer": true}))).pod(in_pod),
        Case::new("ipvlan whose default route goes", with(single.clone(), &json!({"master": ""})))
            .version("0.3.1")
            .then_host("ip route del default")
            .shows(&["del-without-master"]),
        Case::new("ipvlan of another mode", single.clone())
            .then_pod("ip link set eth0 type ipvlan mode l3")
            .check_fails(),
        Case::new("ipvlan without IPAM", json!({"type": "ipvlan", "master": MASTER})).refused("ipam").late(),
        Case::new("ipvlan with an MTU beyond the master's", with(single.clone(), &json!({"mtu": 9001}))),
        Case::new("ipvlan on a VLAN", with(single.clone(), &json!({"master": "stor0.7"}))).host(VLAN),
        Case::new("macvlan on a dummy", with(single, &json!({"type": "macvlan", "master": "dummy0", "mode": ""})))
            .host("ip link add dummy0 address 02:00:00:00:03:01 type dummy && ip link set dummy0 up"),
        Case::new("a bridge's VLAN, and the bridge does not filter yet", bridge(json!({"vlan": 5})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge && ip link set cni0 up")
            .shows(&["bridge-accepts-routers"]),
        Case::new("a bridge's VLAN, the default one kept", bridge(json!({"vlan": 100, "preserveDefaultVlan": true}))),
        Case::new("a bridge's trunk", bridge(json!({"vlanTrunk": [{"minID": 10, "maxID": 13}, {"id": 20}]}))),
        Case::new("a bridge's trunk and VLAN", bridge(json!({"vlan": 7, "vlanTrunk": [{"id": 20}]}))),
        Case::new("a bridge's empty trunk", bridge(json!({"vlanTrunk": []}))),
    ]
}
