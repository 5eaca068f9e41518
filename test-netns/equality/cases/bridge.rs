//! What a bridge can be told and what it may find on the host.

use serde_json::{Value, json};

use super::{Case, with};

const IPAM: &str = r#"{"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]}"#;

fn bridge(more: &Value) -> Value {
    let ipam: Value = serde_json::from_str(IPAM).expect("JSON");
    with(json!({"type": "bridge", "bridge": "cni0", "ipam": ipam}), more)
}

pub(super) fn cases() -> Vec<Case> {
    let flags = |more: Value| bridge(&more);
    let bare = |more: &Value| with(json!({"type": "bridge", "bridge": "cni0"}), more);
    vec![
        Case::new("a bridge that is there already", flags(json!({"isGateway": true})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge && ip link set cni0 up")
            .mixed()
            .shows(&["bridge-accepts-routers"]),
        Case::new("a bridge that is down", flags(json!({})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge"),
        Case::new("a bridge that has the gateway's address", flags(json!({"isGateway": true})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge && ip address add 10.1.0.1/24 dev cni0"),
        Case::new("another address is replaced", flags(json!({"isGateway": true, "forceAddress": true})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge && ip address add 10.7.0.1/24 dev cni0"),
        Case::new("another address is refused", flags(json!({"isGateway": true})))
            .host("ip link add cni0 address 02:00:00:00:02:01 type bridge && ip address add 10.7.0.1/24 dev cni0")
            .refused("forceAddress")
            .late(),
        Case::new("the bridge's name is taken by another kind", flags(json!({})))
            .host("ip link add cni0 type veth peer name other0")
            .refused("bridge")
            .shows(&["refused-early"]),
        Case::new("disableContainerInterface", bare(&json!({"disableContainerInterface": true})))
            .check_fails()
            .shows(&["check-of-what-is-there"]),
        Case::new("disableContainerInterface with a MAC", bare(&json!({"disableContainerInterface": true})))
            .runtime(json!({"mac": "02:00:00:00:01:03"}))
            .check_fails()
            .shows(&["check-of-what-is-there"]),
        Case::new("a bridge without IPAM", bare(&json!({}))).check_fails().shows(&["check-of-what-is-there"]),
        Case::new("disableContainerInterface with IPAM", flags(json!({"disableContainerInterface": true})))
            .refused("disableContainerInterface")
            .shows(&["refused-early"]),
        Case::new("hairpin and promiscuous", flags(json!({"hairpinMode": true, "promiscMode": true})))
            .refused("hairpinMode")
            .shows(&["refused-early"]),
        Case::new("ipMasq by iptables", flags(json!({"isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables"})))
            .mixed(),
        Case::new("ipMasq by nftables", flags(json!({"isGateway": true, "ipMasq": true, "ipMasqBackend": "nftables"})))
            .mixed(),
        Case::new("ipMasq without a gateway", flags(json!({"ipMasq": true}))),
        Case::new("ipMasq by an unknown program", flags(json!({"ipMasq": true, "ipMasqBackend": "ipfw"})))
            .refused("ipMasqBackend")
            .shows(&["traces-of-undoing"])
            .late(),
        Case::new("macspoofchk", flags(json!({"macspoofchk": true}))).mixed(),
        Case::new("macspoofchk without IPAM", bare(&json!({"macspoofchk": true}))).check_fails(),
        Case::new("macspoofchk with a chosen MAC", flags(json!({"macspoofchk": true})))
            .runtime(json!({"mac": "02:00:00:00:01:03"})),
        Case::new("portIsolation and hairpinMode", flags(json!({"portIsolation": true, "hairpinMode": true}))),
        Case::new("enabledad with gateways", flags(json!({"isGateway": true, "enabledad": true}))),
        Case::new("the MTU of an existing bridge is lower", flags(json!({"mtu": 4000})))
            .host("ip link add cni0 address 02:00:00:00:02:01 mtu 1400 type bridge"),
        Case::new(
            "a default route of its own beside isDefaultGateway",
            bridge(&json!({"isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24",
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}]}})),
        ),
        Case::new(
            "a default route without gateway beside isDefaultGateway",
            bridge(&json!({"isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24",
                "routes": [{"dst": "0.0.0.0/0"}]}})),
        )
        .only_reference_refuses()
        .check_fails()
        .shows(&["default-route-without-gateway"]),
        Case::new(
            "isGateway without a gateway in IPAM",
            bridge(&json!({"isGateway": true, "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"},
                {"address": "fd00:1::5/64"}]}})),
        ),
        Case::new("the bridge plugin's own dns", flags(json!({"dns": {"nameservers": ["192.0.2.99"], "domain": "d"}}))),
        Case::new(
            "the IPAM's dns",
            bridge(&json!({"ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"}],
                "dns": {"nameservers": ["192.0.2.53"], "options": ["ndots:2"]}}})),
        ),
        Case::new("a bridge whose name is at the limit", flags(json!({"bridge": "fifteen-letters"}))),
        Case::new("a bridge whose name is too long", flags(json!({"bridge": "sixteen-letters0"})))
            .refused("bridge")
            .shows(&["refused-early"]),
        Case::new("a VLAN that is none", flags(json!({"vlan": 4095}))).refused("vlan").shows(&["refused-for-ever"]),
        Case::new("a VLAN below none", flags(json!({"vlan": -1}))).refused("vlan").shows(&["refused-for-ever"]),
        Case::new("a trunk without end", flags(json!({"vlanTrunk": [{"minID": 5}]})))
            .refused("vlanTrunk")
            .shows(&["refused-for-ever"]),
        Case::new("a trunk without beginning", flags(json!({"vlanTrunk": [{"maxID": 5}]})))
            .refused("vlanTrunk")
            .shows(&["refused-for-ever"]),
        Case::new("a trunk upside down", flags(json!({"vlanTrunk": [{"minID": 9, "maxID": 5}]})))
            .refused("vlanTrunk")
            .shows(&["refused-for-ever"]),
        Case::new("a trunk beyond all VLANs", flags(json!({"vlanTrunk": [{"id": 5000}]})))
            .refused("vlanTrunk")
            .shows(&["refused-for-ever"]),
        Case::new("a trunk of VLAN 0", flags(json!({"vlanTrunk": [{"minID": 0, "maxID": 5}]})))
            .refused("vlanTrunk")
            .shows(&["refused-for-ever"]),
    ]
}
