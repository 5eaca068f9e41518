//! Networks by the reference plugins, and a node that has what they need.

use serde_json::{Value, json};

use crate::cluster::Account;
use crate::site::Site;

/// The interface by which nodes of [`site`] are on a storage network: macvlans' master.
pub(crate) const MASTER: &str = "stor0";

/// A node on a storage network.
pub(crate) fn site() -> Site {
    site_with(Account::Plain)
}

/// The same with another account's token.
pub(crate) fn site_with(account: Account) -> Site {
    let mut site = Site::with_account(account);
    site.add_storage(MASTER);
    site
}

/// macvlan on [`MASTER`] with addresses of host-local, of each subnet one. It has no name: its definition's is taken.
pub(crate) fn macvlan(subnets: &[&str]) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({
        "cniVersion": "1.1.0", "type": "macvlan", "master": MASTER, "mode": "bridge",
        "ipam": {"type": "host-local", "ranges": ranges},
    })
}

/// bridge for eth0, with a default route.
pub(crate) fn bridge() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "bridge": "cni0", "isGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
    })
}

/// rooknet's configuration in delegating mode with that bridge.
pub(crate) fn delegating(site: &Site) -> Value {
    let mut config = site.delegating();
    config["delegates"] = json!([bridge()]);
    config
}
