//! Networks of several plugins, and IPAM by a plugin that rooknet does not have in itself.

use serde_json::{Value, json};

use super::Case;
use crate::twins::{MASTER, OTHER_IPAM};

fn main(kind: &str, ipam: &Value) -> Value {
    match kind {
        "bridge" => json!({"type": "bridge", "isGateway": true, "ipam": ipam}),
        kind => json!({"type": kind, "master": MASTER, "ipam": ipam}),
    }
}

pub(super) fn cases() -> Vec<Case> {
    let dual = json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}]]});
    let single = json!({"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "10.9.0.0/16"}]});
    let other = json!({"type": OTHER_IPAM, "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"},
        {"address": "fd00:1::5/64", "gateway": "fd00:1::1"}], "routes": [{"dst": "10.9.0.0/16"}],
        "dns": {"nameservers": ["192.0.2.53"]}});
    let tuning = json!({"type": "tuning", "mtu": 1300, "sysctl": {"net.ipv4.conf.IFNAME.arp_ignore": "1"}});
    let mut cases = Vec::new();
    for kind in ["macvlan", "bridge"] {
        cases.extend([
            Case::new(format!("{kind} and tuning"), main(kind, &dual)).chained(tuning.clone()).mixed(),
            Case::new(format!("{kind} and tuning, version 0.3.1"), main(kind, &single))
                .version("0.3.1")
                .chained(tuning.clone()),
            Case::new(format!("{kind} and tuning that fails"), main(kind, &single))
                .chained(json!({"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.nothing": "1"}}))
                .refused("nothing")
                .late()
                .shows(&["refused-and-released"]),
            Case::new(format!("{kind} with IPAM by another plugin"), main(kind, &other)).mixed(),
            Case::new(format!("{kind} with IPAM by another plugin, version 0.4.0"), main(kind, &other))
                .version("0.4.0"),
            Case::new(
                format!("{kind} with IPAM by another plugin that fails"),
                main(
                    kind,
                    &json!({"type": OTHER_IPAM,
                "addresses": [{"address": "x"}]}),
                ),
            )
            .refused("address")
            .late(),
        ]);
    }
    cases
}
