//! What happens between ADD and DEL: CHECK must notice or not as the reference plugin does, and DEL must leave the same.

use serde_json::{Value, json};

use super::{Case, with};
use crate::twins::MASTER;

const STORE: &str = "/var/lib/cni/networks/net";

fn dual() -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "10.9.0.0/16"}, {"dst": "fd00:9::/32"}]})
}

fn single() -> Value {
    json!({"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.1"}]})
}

fn macvlan(name: &str, ipam: &Value) -> Case {
    Case::new(format!("macvlan: {name}"), json!({"type": "macvlan", "master": MASTER, "ipam": ipam}))
}

fn bridge(name: &str, more: &Value) -> Case {
    let plugin = with(json!({"type": "bridge", "isGateway": true, "ipam": single()}), more);
    Case::new(format!("bridge: {name}"), plugin)
}

pub(super) fn cases() -> Vec<Case> {
    let on_another = json!({"type": "macvlan", "master": "m0", "ipam": single()});
    let host_end = "$(ls /sys/class/net/cni0/brif)";
    vec![
        macvlan("an address is gone", &dual()).then_pod("ip address del 10.1.0.2/24 dev eth0").check_fails(),
        macvlan("an IPv6 address is gone", &dual()).then_pod("ip address del fd00:1::2/64 dev eth0").check_fails(),
        macvlan("an address more", &dual()).then_pod("ip address add 10.1.0.77/24 dev eth0"),
        macvlan("a route is gone", &dual()).then_pod("ip route del 10.9.0.0/16").check_fails(),
        macvlan("an IPv6 route is gone", &dual()).then_pod("ip -6 route del fd00:9::/32").check_fails(),
        macvlan("a route more", &dual()).then_pod("ip route add 10.8.0.0/16 via 10.1.0.1"),
        macvlan("a route by another gateway", &single())
            .then_pod("ip route replace 10.9.0.0/16 via 10.1.0.9")
            .check_fails(),
        macvlan("the link is gone", &single()).then_pod("ip link delete eth0").check_fails().mixed(),
        macvlan("the link is down", &single()).then_pod("ip link set eth0 down").check_fails(),
        macvlan("the link is of another kind", &single())
            .then_pod("ip link delete eth0 && ip link add eth0 type veth peer name x0")
            .check_fails()
            .shows(&["link-of-another"]),
        macvlan("another MAC", &single()).then_pod("ip link set eth0 address 02:00:00:00:09:09").check_fails(),
        macvlan("another MTU", &single()).then_pod("ip link set eth0 mtu 1400"),
        macvlan("another mode", &single()).then_pod("ip link set eth0 type macvlan mode private").check_fails(),
        macvlan("another group", &single()).then_pod("ip link set eth0 group 0"),
        macvlan("another name", &single())
            .then_pod("ip link set eth0 down && ip link set eth0 name x0")
            .check_fails()
            .shows(&["renamed"]),
        macvlan("the lease is gone", &single()).then_host(&format!("rm {STORE}/10.1.0.2")).check_fails(),
        macvlan("a lease of two is gone", &dual())
            .then_host(&format!("rm {STORE}/10.1.0.2"))
            .shows(&["check-of-each-lease"]),
        macvlan("the lease is another's", &single())
            .then_host(&format!("printf 'other\\r\\neth0' >{STORE}/10.1.0.2"))
            .check_fails(),
        macvlan("the lease is of a former format", &single())
            .then_host(&format!("sed -i 's/\\r//; 2d' {STORE}/10.1.0.2")),
        macvlan("the store is gone", &single())
            .then_host(&format!("rm -r {STORE}"))
            .check_fails()
            .shows(&["del-makes-no-store"]),
        macvlan("the pod is gone", &dual()).then_host("ip netns delete pod").check_fails().mixed(),
        macvlan("ADD twice", &dual()).twice(),
        Case::new("macvlan: the master is gone", on_another.clone())
            .host("ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 && ip link set m0 up")
            .then_host("ip link delete m0")
            .check_fails(),
        Case::new("macvlan: the master has another name", on_another)
            .host("ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 && ip link set m0 up")
            .then_host("ip link set m0 down && ip link set m0 name m9")
            .check_fails(),
        Case::new("macvlan: the default route is gone", json!({"type": "macvlan", "ipam": single()}))
            .then_host("ip route del default")
            .check_fails(),
        bridge("an address is gone", &json!({})).then_pod("ip address del 10.1.0.2/24 dev eth0").check_fails(),
        bridge("a route is gone", &json!({})).then_pod("ip route del 10.9.0.0/16").check_fails(),
        bridge("the link is gone", &json!({})).then_pod("ip link delete eth0").check_fails().mixed(),
        bridge("another MAC", &json!({})).then_pod("ip link set eth0 address 02:00:00:00:09:09").check_fails(),
        bridge("the bridge is gone", &json!({})).then_host("ip link delete cni0").check_fails(),
        bridge("the bridge is promiscuous", &json!({})).then_host("ip link set cni0 promisc on").check_fails(),
        bridge("the bridge has another MAC", &json!({}))
            .then_host("ip link set cni0 address 02:00:00:00:09:09")
            .check_fails(),
        bridge("the port left the bridge", &json!({}))
            .then_host(&format!("ip link set {host_end} nomaster"))
            .check_fails(),
        bridge("the port is another bridge's", &json!({}))
            .then_host(&format!("ip link add b1 type bridge && ip link set {host_end} master b1"))
            .check_fails(),
        bridge("the host's end is gone", &json!({})).then_host(&format!("ip link delete {host_end}")).check_fails(),
        bridge("the gateway is gone", &json!({})).then_host("ip address del 10.1.0.1/24 dev cni0"),
        bridge("the lease is gone", &json!({})).then_host(&format!("rm {STORE}/10.1.0.2")).check_fails(),
        bridge("the pod is gone", &json!({"ipMasq": true})).then_host("ip netns delete pod").check_fails(),
        bridge("the pod is gone, without masquerading", &json!({})).then_host("ip netns delete pod").check_fails(),
        bridge("ADD twice", &json!({})).twice(),
    ]
}
