//! STATUS of native networks: what only new pods would feel is said in the log, and fails under `statusStrict` alone.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS};
use crate::status::assert_only_strict_fails;

/// A macvlan of this version whose master is missing, or whose only two addresses are taken.
fn unusable(fixture: &Fixture, version: &str, is_full: bool) -> Value {
    let mut config = fixture.macvlan_config("worn", "10.1.0.0/30");
    config["cniVersion"] = json!(version);
    if is_full {
        config["ipam"]["rangeStart"] = json!("10.1.0.2");
        fixture.node.write("/var/lib/cni/networks/worn/10.1.0.2", "some\r\neth0");
    } else {
        config["master"] = json!("eth9");
    }
    config
}

const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

fn parts(is_full: bool) -> &'static [&'static str] {
    if is_full { &["10.1.0.2"] } else { &["master", "eth9"] }
}

#[test]
fn a_full_range_or_a_missing_master_of_the_default_network_fails_only_when_strict() {
    for is_full in [true, false] {
        let fixture = Fixture::without_programs();
        for version in VERSIONS {
            let mut config = fixture.chained();
            config.as_object_mut().unwrap().remove("prevResult");
            config["delegates"] = json!([unusable(&fixture, version, is_full)]);
            assert_only_strict_fails(&fixture, &config, parts(is_full));

            config.as_object_mut().unwrap().remove("delegates");
            let name = format!("worn-{}", version.replace('.', "-"));
            // Under a directory of its own: in networksDir it would be found as any pod's.
            config["clusterNetwork"] = json!(name);
            config["networksDir"] = json!("/etc/cni/default-networks");
            let definition = unusable(&fixture, version, is_full).to_string();
            fixture.node.write(&format!("/etc/cni/default-networks/kube-system/{name}.conf"), definition);
            assert_only_strict_fails(&fixture, &config, parts(is_full));
        }
        fixture.assert_nothing_of_pods();
    }
}

#[test]
fn a_full_range_or_a_missing_master_of_a_definition_fails_only_when_strict() {
    for is_full in [true, false] {
        for version in VERSIONS {
            let fixture = Fixture::without_programs();
            let definition = unusable(&fixture, version, is_full).to_string();
            fixture.node.write(&format!("{NETWORKS}/rook-ceph/worn.conf"), definition);
            let expected: Vec<&str> = parts(is_full).iter().copied().chain(["rook-ceph/worn"]).collect();
            assert_only_strict_fails(&fixture, &fixture.chained(), &expected);
        }
    }
}

impl Fixture {
    /// Nothing was made but what the test wrote.
    #[track_caller]
    fn assert_nothing_of_pods(&self) {
        assert_eq!((self.node.journals(), self.node.processes()), (Vec::new(), Vec::new()));
        assert!(self.node.host_local_addresses().iter().all(|lease| lease.container == "some"));
    }
}
