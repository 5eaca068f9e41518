//! host-local's store: one macvlan with an address, while few or many addresses are given away already.

use std::fs;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::contender::{Contender, Who, arguments, delegating};
use crate::figures::Table;
use crate::measure::Case;
use crate::server::Server;
use crate::stage::Stage;

/// The case's name.
pub(crate) const STORE: &str = "one macvlan, store of";
/// Addresses that are given away already.
pub(crate) const SIZES: [u32; 3] = [20, 2_000, 20_000];

/// The first address of 10.200.0.0/16 that is given away.
const FIRST: u32 = u32::from_be_bytes([10, 200, 0, 10]);
/// Where host-local has its networks.
const NETWORKS: &str = "/var/lib/cni/networks";

/// Each contender with each size, all in turn, in half the rounds: the reference's grow long.
pub(crate) fn sizes(stage: &Stage, server: &Server, rounds: usize, table: &mut Table) {
    let mut contenders = Vec::new();
    for size in SIZES {
        let name = fill(stage, size);
        let macvlan = macvlan(&name);
        let conflist = json!({"cniVersion": "1.1.0", "name": name, "plugins": [macvlan]});
        stage.node.write(&format!("/etc/cni/stores/{name}.conflist"), conflist.to_string());
        let rooknet = |who, native: bool| {
            let mut config = delegating("rooknet", &macvlan, &json!({"native": native, "name": name}));
            config["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": {}});
            config["capabilities"] = json!({"io.kubernetes.cri.pod-annotations": true});
            Contender::plugin(stage, who, &format!("{name}-{who:?}"), &config, arguments)
        };
        let all = [
            rooknet(Who::Native, true),
            rooknet(Who::Executed, false),
            Contender::cnitool("/etc/cni/stores", &[(name.clone(), "eth0".to_owned())]),
        ];
        contenders.extend(all.map(|contender| contender.variant(&variant(size))));
    }
    let case = Case {
        stage,
        server,
        name: STORE,
        contenders,
        interfaces: &["eth0"],
        addresses: 1,
        with_server: false,
        rounds: rounds.div_ceil(2),
        preparation: None,
    };
    case.run(table);
    for size in SIZES {
        fs::remove_dir_all(stage.node.path(&format!("{NETWORKS}/{}", name(size)))).expect("remove the store");
    }
}

/// What a row says of the store.
pub(crate) fn variant(size: u32) -> String {
    format!("{size} addresses")
}

fn name(size: u32) -> String {
    format!("store-{size}")
}

fn macvlan(name: &str) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": name, "type": "macvlan", "master": "stor0", "mode": "bridge",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.200.0.0/16"}]]},
    })
}

/// Makes a store as host-local leaves it, with addresses of other pods; its name.
fn fill(stage: &Stage, size: u32) -> String {
    let name = name(size);
    let directory = stage.node.path(&format!("{NETWORKS}/{name}"));
    fs::create_dir_all(&directory).expect("make the store");
    let last = FIRST + size - 1;
    for address in (FIRST..=last).map(Ipv4Addr::from) {
        let owner = format!("{:064x}\r\neth0", u128::from(u32::from(address)) << 64);
        fs::write(directory.join(address.to_string()), owner).expect("give an address away");
    }
    fs::write(directory.join("last_reserved_ip.0"), Ipv4Addr::from(last).to_string()).expect("note the last address");
    name
}
