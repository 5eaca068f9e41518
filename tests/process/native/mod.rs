//! Networks that rooknet runs itself, with real interfaces: what a pod or a kill makes of them, and what they need.

mod chains;
mod conflicts;
mod costs;
mod executed_ipam;
mod interrupted;
mod links;
mod refusals;
mod status;

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod};
use crate::support::Outcome;

/// A selection of all networks of [`Fixture::define_native_networks`], whose interfaces have their names.
const ALL: &str = "public@public, cluster@cluster, bridged@bridged";
/// The interfaces of it, sorted.
const INTERFACES: [&str; 3] = ["bridged", "cluster", "public"];

impl Fixture {
    /// A node without any program but rooknet: what is attached here, rooknet attaches itself. With its networks.
    fn without_programs() -> Self {
        let fixture = Fixture::start();
        fixture.define_native_networks();
        fixture.node.ok(&["sh", "-c", "cd /opt/cni/bin && for name in *; do [ $name = rooknet ] || rm $name; done"]);
        fixture
    }

    /// `public` and `cluster` by macvlan, `bridged` by bridge, all with host-local.
    fn define_native_networks(&self) {
        self.define_macvlan("public", "10.1.0.0/24");
        self.define_macvlan("cluster", "10.2.0.0/24");
        self.define("rook-ceph", "bridged", &bridged());
    }

    /// A pod that has all of them.
    fn attached(&self, name: &str) -> Pod<'_> {
        let pod = self.pod(name, Some(ALL));
        self.run("ADD", &self.chained(), &pod).expect_success("ADD");
        assert_eq!(pod.netns.interfaces(), INTERFACES);
        pod
    }
}

fn bridged() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "bridged", "type": "bridge", "bridge": "cni9", "isGateway": true,
        "ipam": {"type": "host-local", "subnet": "10.3.0.0/24"},
    })
}

/// rooknet's configuration with every plugin executed.
fn executed(mut config: Value) -> Value {
    config["native"] = json!(false);
    config
}

/// The same with the log at this level.
fn logging(mut config: Value, level: &str) -> Value {
    config["logLevel"] = json!(level);
    config
}

/// What rooknet wrote to its log.
fn log(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stderr).into_owned()
}

/// What a call cost, as its log says at level debug.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    netlink_requests: u64,
    fsyncs: u64,
    programs: u64,
}

impl Cost {
    #[track_caller]
    fn of(outcome: &Outcome) -> Cost {
        let log = log(outcome);
        let line = log.lines().find(|line| line.contains(" fsyncs, ")).unwrap_or_else(|| panic!("no cost in: {log}"));
        let (_, line) = line.split_once(" took ").unwrap_or_default();
        let numbers = line.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
        let [netlink_requests, fsyncs, programs] = numbers[..] else { panic!("no cost in the log: {log}") };
        Cost { netlink_requests, fsyncs, programs }
    }
}
