//! Corner cases of macvlan, host-local and static, by hand.

use serde_json::{Value, json};

use super::{Case, with};
use crate::twins::{MASTER, OTHER_NAME};

fn macvlan(ipam: &Value) -> Value {
    json!({"type": "macvlan", "master": MASTER, "ipam": ipam})
}

fn host_local(more: &Value) -> Value {
    macvlan(&with(json!({"type": "host-local"}), more))
}

fn addresses(list: &[&str]) -> Value {
    let list: Vec<Value> = list.iter().map(|address| json!({"address": address})).collect();
    macvlan(&json!({"type": "static", "addresses": list}))
}

/// A lease of another container.
fn leased(addresses: &str) -> String {
    format!(
        "mkdir -p /var/lib/cni/networks/net && cd /var/lib/cni/networks/net && \
         for address in {addresses}; do printf 'other\\r\\neth0' >$address; chmod 600 $address; done"
    )
}

/// Another pod on the same master has the address that will be the first.
const DUPLICATE: &str = "ip netns add other && \
    ip link add link stor0 name eth0 netns other address 02:00:00:00:05:01 type macvlan mode bridge && \
    ip -n other link set eth0 up && ip -n other address add fd00:1::2/64 dev eth0 nodad";

pub(super) fn cases() -> Vec<Case> {
    let small = json!({"ranges": [[{"subnet": "10.1.0.0/29"}]]});
    let both = json!({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    let routes = |routes: Value| with(json!({"subnet": "10.1.0.0/24"}), &json!({"routes": routes}));
    let mut cases = vec![
        // macvlan
        Case::new("the master is the default route's", json!({"type": "macvlan"})),
        Case::new("the pod is the master's place", json!({"type": "macvlan", "master": "m0", "linkInContainer": true}))
            .pod("ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 address 02:00:00:00:03:02")
            .mixed(),
        Case::new("the pod's default route leads to the master", json!({"type": "macvlan", "linkInContainer": true}))
            .pod(
                "ip link add m0 address 02:00:00:00:03:01 type veth peer name m1 address 02:00:00:00:03:02 && \
                 ip link set m0 up && ip address add 10.5.0.2/24 dev m0 && ip route add default via 10.5.0.1",
            ),
        Case::new("only IPv6 has a default route", json!({"type": "macvlan"})).host(
            "ip route del default && ip address add fd00:5::2/64 dev stor0 nodad && ip route add default via fd00:5::1",
        ),
        Case::new("the master by an alternative name", json!({"type": "macvlan", "master": OTHER_NAME}))
            .host(&format!("ip link property add dev {MASTER} altname {OTHER_NAME}")),
        Case::new("an IPv6 address is another's", host_local(&json!({"subnet": "fd00:1::/64"})))
            .host(DUPLICATE)
            .refused("address")
            .late(),
        Case::new("the master is down", host_local(&json!({"subnet": "10.1.0.0/24"}))).host("ip link set stor0 down"),
        Case::new("the master is down, and the address one of IPv6", host_local(&json!({"subnet": "fd00:1::/64"})))
            .host("ip link set stor0 down")
            .only_rooknet_refuses()
            .shows(&["no-carrier"]),
        Case::new(
            "the address 0.0.0.0",
            json!({"type": "macvlan", "master": MASTER,
                "ipam": {"type": "static", "addresses": [{"address": "0.0.0.0/0"}]}}),
        )
        .check_fails()
        .only_rooknet_refuses()
        .shows(&["nobodys-address"]),
        Case::new("a queue length of its own", json!({"type": "macvlan", "master": MASTER, "bcqueuelen": 2000})),
        Case::new("the host has the pod's name", host_local(&both)).host("ip link add eth0 type veth peer name other0"),
        Case::new("a MAC in capitals", json!({"type": "macvlan", "master": MASTER, "mac": "02:00:00:00:AB:CD"})),
        Case::new("a MAC with hyphens", json!({"type": "macvlan", "master": MASTER, "mac": "02-00-00-00-ab-cd"})),
        Case::new("an MTU of 0", json!({"type": "macvlan", "master": MASTER, "mtu": 0})),
        Case::new("an unknown key", json!({"type": "macvlan", "master": MASTER, "colour": "red"})).unknown_key(),
        Case::new("macvlan's own dns", with(host_local(&both), &json!({"dns": {"nameservers": ["192.0.2.99"]}}))),
        Case::new("IPv6 is off in the pod", host_local(&both))
            .pod("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"),
        Case::new("IPv6 is off in the pod, no IPAM", json!({"type": "macvlan", "master": MASTER}))
            .pod("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"),
        Case::new("loopback is up already", host_local(&both)).pod("ip link set lo up"),
        // host-local
        Case::new("the first addresses are taken", host_local(&both))
            .host(&leased("10.1.0.2 10.1.0.3 fd00:1::2"))
            .mixed(),
        Case::new("round robin goes on", host_local(&both)).host(
            "mkdir -p /var/lib/cni/networks/net && cd /var/lib/cni/networks/net && \
             printf 10.1.0.40 >last_reserved_ip.0 && \
             printf fd00:1::40 >last_reserved_ip.1 && chmod 600 last_reserved_ip.*",
        ),
        Case::new("round robin at the end of the range", host_local(&small)).host(
            "mkdir -p /var/lib/cni/networks/net && cd /var/lib/cni/networks/net && \
             printf 10.1.0.6 >last_reserved_ip.0 && chmod 600 last_reserved_ip.0",
        ),
        Case::new("the last address was of a former range", host_local(&small)).host(
            "mkdir -p /var/lib/cni/networks/net && cd /var/lib/cni/networks/net && \
             printf 10.9.9.9 >last_reserved_ip.0 && chmod 600 last_reserved_ip.0",
        ),
        Case::new("the last address is no address", host_local(&small)).host(
            "mkdir -p /var/lib/cni/networks/net && cd /var/lib/cni/networks/net && \
             printf nonsense >last_reserved_ip.0 && chmod 600 last_reserved_ip.0",
        ),
        Case::new("one address is left", host_local(&small)).host(&leased("10.1.0.2 10.1.0.3 10.1.0.5 10.1.0.6")),
        Case::new("the smallest subnet", host_local(&json!({"subnet": "10.1.0.0/30"}))),
        Case::new("the smallest IPv6 subnet", host_local(&json!({"subnet": "fd00:1::/126"}))),
        Case::new(
            "the range begins at the gateway",
            host_local(&json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.2"})),
        ),
        Case::new(
            "the range is one address",
            host_local(&json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.9"})),
        ),
        Case::new(
            "the range ends at the broadcast",
            host_local(&json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.255", "rangeEnd": "10.1.0.255"})),
        ),
        Case::new("an odd prefix length", host_local(&json!({"subnet": "10.1.128.0/17"}))),
        Case::new("an address by CNI_ARGS", host_local(&both)).args("IgnoreUnknown=1;IP=10.1.0.42").mixed(),
        Case::new(
            "addresses by args.cni",
            with(host_local(&both), &json!({"args": {"cni": {"ips": ["10.1.0.43", "fd00:1::43"]}}})),
        ),
        Case::new("an address with a length by ips", host_local(&both)).runtime(json!({"ips": ["10.1.0.44/24"]})),
        Case::new(
            "addresses by all three ways",
            with(
                host_local(&json!({"ranges": [[{"subnet": "10.1.0.0/24"}],
            [{"subnet": "10.2.0.0/24"}], [{"subnet": "fd00:1::/64"}]]})),
                &json!({"args": {"cni": {"ips": ["10.2.0.43"]}}}),
            ),
        )
        .args("IgnoreUnknown=1;IP=10.1.0.42")
        .runtime(json!({"ips": ["fd00:1::44"]})),
        Case::new("a requested address is taken", host_local(&both))
            .host(&leased("10.1.0.42"))
            .args("IgnoreUnknown=1;IP=10.1.0.42")
            .refused("IP")
            .late(),
        Case::new("a requested address is in no range", host_local(&both))
            .runtime(json!({"ips": ["10.8.0.1"]}))
            .refused("ips")
            .late(),
        Case::new("the requested address is the gateway", host_local(&both))
            .runtime(json!({"ips": ["10.1.0.1"]}))
            .refused("ips")
            .late(),
        Case::new("ranges by the runtime alone", host_local(&json!({})))
            .runtime(json!({"ipRanges": [[{"subnet": "10.4.0.0/24"}], [{"subnet": "fd00:4::/64"}]]}))
            .mixed(),
        // Routes
        Case::new(
            "a route in another table",
            host_local(&routes(json!([{"dst": "10.9.0.0/16", "gw": "10.1.0.1", "table": 100}]))),
        )
        .check_fails()
        .shows(&["check-of-what-is-there"]),
        Case::new("a route on the link", host_local(&routes(json!([{"dst": "10.9.0.0/16", "scope": 253}]))))
            .refused("routes")
            .late(),
        Case::new("the same route twice", host_local(&routes(json!([{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16"}]))))
            .refused("routes")
            .late(),
        Case::new("a route to one address", host_local(&routes(json!([{"dst": "10.9.0.1/32"}])))),
        Case::new("a route with host bits", host_local(&routes(json!([{"dst": "10.9.0.7/16"}]))))
            .refused("routes")
            .late(),
        Case::new(
            "two default routes by priority",
            host_local(&routes(json!([{"dst": "0.0.0.0/0", "priority": 5},
            {"dst": "0.0.0.0/0", "gw": "10.1.0.2", "priority": 6}]))),
        ),
        Case::new(
            "routes of a family without address",
            host_local(&routes(json!([{"dst": "0.0.0.0/0"}, {"dst": "fd00:9::/32"}]))),
        ),
        // static
        Case::new(
            "two addresses of a family",
            addresses(&["10.1.0.5/24", "10.1.0.6/24", "fd00:1::5/64", "fd00:1::6/64"]),
        )
        .mixed()
        .shows(&["tentative"]),
        Case::new("an address of one", addresses(&["10.1.0.5/32", "fd00:1::5/128"]))
            .check_fails()
            .shows(&["tentative", "check-of-what-is-there"]),
        Case::new("an address of two", addresses(&["10.1.0.4/31", "fd00:1::4/127"])).shows(&["tentative"]),
        Case::new("an address of four", addresses(&["10.1.0.5/30"])),
        Case::new("the same address twice", addresses(&["10.1.0.5/24", "10.1.0.5/24"])).refused("addresses").late(),
        Case::new("no address at all", addresses(&[])).refused("ipam").late(),
        Case::new("an address more by CNI_ARGS", addresses(&["10.1.0.5/24"]))
            .args("IgnoreUnknown=1;IP=10.2.0.5/24,fd00:2::5/64;GATEWAY=10.2.0.1,10.1.0.1")
            .shows(&["tentative"]),
        Case::new(
            "other addresses by args.cni",
            with(addresses(&["10.1.0.5/24"]), &json!({"args": {"cni": {"ips": ["10.2.0.9/24"]}}})),
        ),
        Case::new("an IPv4 address in IPv6's clothes", addresses(&["::ffff:10.1.0.5/120"])),
        // CNI_ARGS and names
        Case::new("args that nobody knows", host_local(&both)).args("IgnoreUnknown=1;COLOUR=red"),
    ];
    cases.push(Case::new("version 0.3.1 with everything", host_local(&both)).version("0.3.1").mixed());
    cases
}
