//! Configurations that must be refused, each with the key that rooknet must name.

use serde_json::{Value, json};

use super::Case;
use crate::twins::MASTER;

pub(super) fn cases() -> Vec<Case> {
    let macvlan = |key: &str, value: Value| {
        let mut plugin = json!({"type": "macvlan", "master": MASTER});
        plugin[key] = value;
        plugin
    };
    let bridge = |key: &str, value: Value| {
        let mut plugin = json!({"type": "bridge"});
        plugin[key] = value;
        plugin
    };
    let ipam = |ipam: Value| macvlan("ipam", ipam);
    let range = |range: Value| ipam(json!({"type": "host-local", "ranges": [[range]]}));
    let route = |route: Value| ipam(json!({"type": "host-local", "subnet": "10.1.0.0/24", "routes": [route]}));
    let table: Vec<(&str, Value, &'static str)> = vec![
        ("an unknown mode", macvlan("mode", json!("tunnel")), "mode"),
        ("a mode that is no text", macvlan("mode", json!(7)), "mode"),
        ("a master that is not there", macvlan("master", json!("nowhere0")), "master"),
        ("an MTU beyond the master's", macvlan("mtu", json!(9001)), "mtu"),
        ("a negative MTU", macvlan("mtu", json!(-1)), "mtu"),
        ("an MTU that is no number", macvlan("mtu", json!("1500")), "mtu"),
        ("an MTU below the kernel's minimum", macvlan("mtu", json!(20)), "mtu"),
        ("a MAC that is none", macvlan("mac", json!("02:00:00:00:01")), "mac"),
        ("a MAC of a group", macvlan("mac", json!("01:00:5e:00:00:01")), "mac"),
        ("a MAC of zeros", macvlan("mac", json!("00:00:00:00:00:00")), "mac"),
        ("a queue length below zero", macvlan("bcqueuelen", json!(-1)), "bcqueuelen"),
        ("linkInContainer that is no flag", macvlan("linkInContainer", json!("true")), "linkInContainer"),
        ("an IPAM plugin that is not there", ipam(json!({"type": "nobody"})), "type"),
        ("isGateway that is no flag", bridge("isGateway", json!("true")), "isGateway"),
        ("a bridge that is no text", bridge("bridge", json!(7)), "bridge"),
        ("a bridge's MTU that is no number", bridge("mtu", json!("9000")), "mtu"),
        ("no range", ipam(json!({"type": "host-local"})), "ranges"),
        ("an empty list of ranges", ipam(json!({"type": "host-local", "ranges": []})), "ranges"),
        ("a subnet that is none", range(json!({"subnet": "10.1.0.0"})), "subnet"),
        ("a subnet with host bits", range(json!({"subnet": "10.1.0.5/24"})), "subnet"),
        ("a subnet too small", range(json!({"subnet": "10.1.0.0/31"})), "subnet"),
        ("an IPv6 subnet too small", range(json!({"subnet": "fd00:1::/127"})), "subnet"),
        ("a beginning outside", range(json!({"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"})), "rangeStart"),
        ("an end outside", range(json!({"subnet": "10.1.0.0/24", "rangeEnd": "10.2.0.1"})), "rangeEnd"),
        (
            "an end before the beginning",
            range(json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.5"})),
            "rangeEnd",
        ),
        ("a beginning that is no address", range(json!({"subnet": "10.1.0.0/24", "rangeStart": "x"})), "rangeStart"),
        ("a gateway that is no address", range(json!({"subnet": "10.1.0.0/24", "gateway": "x"})), "gateway"),
        (
            "two sets that overlap",
            ipam(json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/16"}]]})),
            "ranges",
        ),
        (
            "two families in a set",
            ipam(json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00:1::/64"}]]})),
            "ranges",
        ),
        ("a route that is none", route(json!({"dst": "10.9.0.0"})), "dst"),
        ("a route without destination", route(json!({"gw": "10.1.0.1"})), "dst"),
        ("a gateway of a route that is no address", route(json!({"dst": "10.9.0.0/16", "gw": "x"})), "gw"),
        ("a gateway of a route out of reach", route(json!({"dst": "10.9.0.0/16", "gw": "10.5.0.1"})), "routes"),
        (
            "a resolv.conf that is not there",
            ipam(json!({"type": "host-local", "subnet": "10.1.0.0/24", "resolvConf": "/run/nothing"})),
            "resolvConf",
        ),
        (
            "a static address without length",
            ipam(json!({"type": "static", "addresses": [{"address": "10.1.0.5"}]})),
            "address",
        ),
        (
            "a static address that is none",
            ipam(json!({"type": "static", "addresses": [{"address": "x/24"}]})),
            "address",
        ),
        (
            "a static gateway that is none",
            ipam(json!({"type": "static", "addresses": [{"address": "10.1.0.5/24", "gateway": "x"}]})),
            "gateway",
        ),
        ("addresses that are no list", ipam(json!({"type": "static", "addresses": "10.1.0.5/24"})), "addresses"),
    ];
    let with_table = |(name, plugin, key): (&str, Value, &'static str)| {
        let ipam = plugin["ipam"]["type"].as_str().unwrap_or_default().to_owned();
        let case = Case::new(name, plugin).refused(key);
        match name {
            "a gateway of a route out of reach" => case.late(),
            "a route without destination" => case.late().shows(&["refused-early"]),
            "a resolv.conf that is not there" => case.late().shows(&["refused-early"]),
            // No text, no number, no flag: DEL cannot read it either.
            "a mode that is no text"
            | "an MTU that is no number"
            | "a queue length below zero"
            | "isGateway that is no flag"
            | "a bridge that is no text"
            | "a bridge's MTU that is no number"
            | "linkInContainer that is no flag" => case.shows(&["refused-for-ever"]),
            "an IPAM plugin that is not there" => case.late().shows(&["program-missing"]),
            _ => match ipam.as_str() {
                "static" => case.late(),
                "host-local" => case.late().shows(&["refused-for-ever"]),
                _ => case,
            },
        }
    };
    let mut cases: Vec<Case> = table.into_iter().map(with_table).collect();
    let both = || ipam(json!({"type": "host-local", "subnet": "10.1.0.0/24"}));
    cases.push(
        Case::new("a MAC by the runtime that is none", both())
            .runtime(json!({"mac": "xx"}))
            .refused("mac")
            .shows(&["refused-early"]),
    );
    cases.push(
        Case::new("a MAC by CNI_ARGS that is none", both())
            .args("IgnoreUnknown=1;MAC=xx")
            .refused("MAC")
            .shows(&["refused-early"]),
    );
    cases.push(
        Case::new("an address by CNI_ARGS that is none", both())
            .args("IgnoreUnknown=1;IP=x")
            .refused("IP")
            .late()
            .shows(&["refused-for-ever"]),
    );
    cases.push(Case::new("an unknown key of CNI_ARGS", both()).args("COLOUR=red").refused("COLOUR"));
    cases.push(
        Case::new("no address is left", ipam(json!({"type": "host-local", "subnet": "10.1.0.0/30"})))
            .host("mkdir -p /var/lib/cni/networks/net && printf 'other\\r\\neth0' >/var/lib/cni/networks/net/10.1.0.2")
            .refused("ranges")
            .late(),
    );
    cases.push(
        Case::new("the pod has the interface already", both())
            .pod("ip link add eth0 type veth peer name x")
            .refused("eth0")
            .shows(&["link-of-another", "refused-early"]),
    );
    // Refused before the kernel is asked for an ipvlan, so that it need not have one.
    let ipvlan = |key: &'static str, value: &str| {
        let mut plugin =
            json!({"type": "ipvlan", "master": MASTER, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}});
        plugin[key] = json!(value);
        Case::new(format!("ipvlan with the {key} {value}"), plugin).refused(key).shows(&["refused-early"])
    };
    cases.push(
        Case::new("no default route for a master", json!({"type": "macvlan"}))
            .host("ip route del default")
            .refused("master"),
    );
    cases.extend([ipvlan("mode", "l4"), ipvlan("master", "nowhere0")]);
    cases
}
