//! The cases of a single storage pod: eth0, `public` and `cluster`, attached and detached.

use serde_json::json;

use crate::contender::{Contender, Who, annotated, arguments, delegating};
use crate::figures::Table;
use crate::measure::Case;
use crate::networks::{Addresses, INTERFACES, NAMESPACE, NETWORKS, definition};
use crate::server::Server;
use crate::stage::Stage;

/// Networks in files.
pub(crate) const FILES: &str = "networks in files";
/// Networks and status by the API server.
pub(crate) const SERVER: &str = "networks by API server";

/// Without duplicate address detection: what is measured is work, and not a wait of up to two seconds that the kernel
/// makes longer or shorter at random (RFC 4862, section 5.4.2).
const NO_DETECTION: &str = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad";

/// eth0 by bridge, the others by macvlan, IPv4 by host-local.
pub(crate) fn from_files(stage: &Stage, server: &Server, rounds: usize, table: &mut Table) {
    let mut contenders = contenders(stage, Addresses::Ipv4, "files");
    // A node of the benchmark keeps its state in memory, where a sync costs nothing.
    let directory = StateDirectory::make();
    let keys = json!({"stateDir": directory.0});
    contenders.push(rooknet(stage, Who::NativeOnDisk, Addresses::Ipv4, "files", &keys));
    let case = Case { name: FILES, contenders, rounds, ..plain(stage, server) };
    case.run(table);
}

/// The same with the real API server: definitions and the pod's status.
pub(crate) fn with_server(stage: &Stage, server: &Server, rounds: usize, table: &mut Table) {
    let contenders = server.contenders(stage);
    let case = Case { name: SERVER, contenders, rounds, with_server: true, ..plain(stage, server) };
    case.run(table);
}

/// Links without addresses.
pub(crate) fn layer_2(stage: &Stage, server: &Server, rounds: usize, table: &mut Table) {
    let contenders = contenders(stage, Addresses::None, "l2");
    let case = Case { name: "L2 only", contenders, rounds, addresses: 0, ..plain(stage, server) };
    case.run(table);
}

/// IPv6 in place of IPv4.
pub(crate) fn ipv6(stage: &Stage, server: &Server, rounds: usize, table: &mut Table) {
    let contenders = contenders(stage, Addresses::Ipv6, "ipv6");
    let preparation = Some(NO_DETECTION);
    let case = Case { name: "IPv6, no detection", contenders, rounds, preparation, ..plain(stage, server) };
    case.run(table);
}

/// The same with the kernel's usual wait, in a twentieth of the rounds: each takes seconds.
pub(crate) fn ipv6_with_detection(stage: &Stage, server: &Server, rounds: usize, table: &mut Table) {
    let mut contenders = contenders(stage, Addresses::Ipv6, "ipv6");
    contenders.retain(|contender| contender.who != Who::Executed);
    let rounds = rounds.div_ceil(20);
    let case = Case { name: "IPv6, detection of others", contenders, rounds, ..plain(stage, server) };
    case.run(table);
}

fn plain<'a>(stage: &'a Stage, server: &'a Server) -> Case<'a> {
    Case {
        stage,
        server,
        name: "",
        contenders: Vec::new(),
        interfaces: &INTERFACES,
        addresses: 1,
        with_server: false,
        rounds: 0,
        preparation: None,
    }
}

/// The contenders of [`from_files`] but the one with its state on the disk.
pub(crate) fn contenders_from_files(stage: &Stage) -> Vec<Contender> {
    contenders(stage, Addresses::Ipv4, "files")
}

/// All that need no API server. `name` is a directory's.
fn contenders(stage: &Stage, addresses: Addresses, name: &str) -> Vec<Contender> {
    for network in NETWORKS.iter().filter(|network| !network.is_eth0()) {
        let file = format!("{}/{NAMESPACE}/{}.json", definitions(name), network.name);
        stage.node.write(&file, definition(network, addresses).to_string());
    }
    let conflists = format!("/etc/cni/{name}");
    for network in NETWORKS {
        let conflist = json!({"cniVersion": "1.1.0", "name": network.name, "plugins": [network.config(addresses)]});
        stage.node.write(&format!("{conflists}/{}.conflist", network.name), conflist.to_string());
    }
    let networks = NETWORKS.map(|network| (network.name.to_owned(), network.interface.to_owned()));
    vec![
        Contender::floor(stage, addresses),
        rooknet(stage, Who::Native, addresses, name, &json!({})),
        rooknet(stage, Who::Executed, addresses, name, &json!({"native": false})),
        Contender::cnitool(&conflists, &networks),
    ]
}

fn definitions(name: &str) -> String {
    format!("/etc/cni/rooknet/{name}")
}

/// rooknet with definitions in files.
fn rooknet(stage: &Stage, who: Who, addresses: Addresses, name: &str, keys: &serde_json::Value) -> Contender {
    let mut config = delegating("rooknet", &NETWORKS[0].config(addresses), &annotated());
    config["networksDir"] = json!(definitions(name));
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Contender::plugin(stage, who, &format!("{name}-{who:?}"), &config, arguments)
}

/// A directory on the machine's disk, beside the program that is measured. Removed with all that is in it.
struct StateDirectory(String);

impl StateDirectory {
    fn make() -> Self {
        let directory = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-state");
        std::fs::create_dir_all(directory).expect("a directory for rooknet's state");
        Self(directory.to_owned())
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // What is left of a failed run is found by the next.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
