//! What calls cost that rooknet serves by itself: counts that are the same on every machine and under any load. Whoever
//! changes one here knows what it is for.

use serde_json::{Value, json};

use super::{Cost, logging};
use crate::faults::Primary;
use crate::fixture::{Fixture, Pod};

/// `public` and `cluster` by macvlan, the primary's eth0 in the pod.
fn start() -> (Fixture, Value) {
    let fixture = Fixture::without_programs();
    let config = logging(fixture.chained(), "debug");
    (fixture, config)
}

fn cost(fixture: &Fixture, operation: &str, config: &Value, pod: &Pod<'_>) -> Cost {
    let outcome = fixture.run(operation, config, pod);
    outcome.expect_success(operation);
    Cost::of(&outcome)
}

/// The journal's file and its directory before anything is touched; its results, of which the kernel may lose the rename.
const FSYNCS_OF_ADD: u64 = 3;
/// The directory, when the journal is gone.
const FSYNCS_OF_DEL: u64 = 1;

#[test]
fn an_osd_behind_a_primary_costs_no_program() {
    let (fixture, config) = start();
    // The first call makes the state directory.
    cost(&fixture, "ADD", &config, &fixture.pod("first", Some("public")));
    let pod = fixture.pod("osd", Some("public@public, cluster@cluster"));
    Primary::attach(&pod);
    let added = cost(&fixture, "ADD", &config, &pod);
    let checked = cost(&fixture, "CHECK", &config, &pod);
    let deleted = cost(&fixture, "DEL", &config, &pod);
    Primary::detach(&pod);
    assert_eq!(added, Cost { netlink_requests: 11, fsyncs: FSYNCS_OF_ADD, programs: 0 });
    assert_eq!(checked, Cost { netlink_requests: 14, fsyncs: 0, programs: 0 });
    assert_eq!(deleted, Cost { netlink_requests: 3, fsyncs: FSYNCS_OF_DEL, programs: 0 });
}

#[test]
fn an_osd_with_its_default_network_costs_no_program() {
    let (fixture, mut config) = start();
    config.as_object_mut().unwrap().remove("prevResult");
    config["delegates"] = json!([super::bridged()]);
    // The first call makes the state directory and the bridge.
    cost(&fixture, "ADD", &config, &fixture.pod("first", None));
    let pod = fixture.pod("osd", Some("public@public, cluster@cluster"));
    let added = cost(&fixture, "ADD", &config, &pod);
    let deleted = cost(&fixture, "DEL", &config, &pod);
    assert_eq!(added, Cost { netlink_requests: 19, fsyncs: FSYNCS_OF_ADD, programs: 0 });
    // One for all three links.
    assert_eq!(deleted, Cost { netlink_requests: 3, fsyncs: FSYNCS_OF_DEL, programs: 0 });
}

#[test]
fn calls_that_concern_no_pod_cost_little() {
    let (fixture, config) = start();
    let pod = fixture.pod("osd", Some("public@public, cluster@cluster"));
    cost(&fixture, "ADD", &config, &pod);
    let gc = fixture.collect(&config, Some(&[&pod]));
    gc.expect_success("GC");
    assert_eq!(Cost::of(&gc), Cost { netlink_requests: 0, fsyncs: 0, programs: 0 });
    let status = fixture.node_call("STATUS", &config);
    status.expect_success("STATUS");
    // Masters, of each network that has one.
    assert_eq!(Cost::of(&status), Cost { netlink_requests: 2, fsyncs: 0, programs: 0 });
}
