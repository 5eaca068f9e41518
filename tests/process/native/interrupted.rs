//! A wait in the middle of an ADD that a signal or the deadline ends: code 103, nothing stays, and nobody waits again.

use std::fs::File;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::faults::{LIMIT, send, until_it_has_open};
use crate::fixture::{Fixture, Refusal, merge};
use crate::support::wait_until;

/// The code of a call that a signal or its deadline ended.
const INTERRUPTED: u64 = 103;

/// `fast` by bridge, and then `slow` by macvlan with this subnet.
fn start(subnet: &str, keys: &Value) -> (Fixture, Value) {
    let fixture = Fixture::without_programs();
    fixture.define_macvlan("slow", subnet);
    let mut config = fixture.chained();
    merge(&mut config, keys);
    (fixture, config)
}

const BOTH: &str = "bridged@fast, slow@slow";

#[test]
fn a_signal_during_a_wait_for_an_address_rolls_back() {
    for (what, keys, subnet, words) in [
        ("duplicate address detection", json!({}), "fd00:1::/64", "during duplicate address detection"),
        ("the probe", json!({"conflictProbe": true}), "10.9.0.0/24", "during the probe for addresses"),
    ] {
        let (fixture, config) = start(subnet, &keys);
        let pod = fixture.pod("osd", Some(BOTH));
        let add = fixture.call("ADD", &config, &pod).start(&fixture.node);
        wait_until("an address of the slow network", LIMIT, || fixture.leases().contains(&"slow slow".to_owned()));
        send(&add, Signal::SIGTERM);
        Refusal::of(what, &add.wait()).expect(
            what,
            INTERRUPTED,
            &["rook-ceph/slow", "interface slow", "signal", words],
        );
        fixture.assert_clean();
    }
}

#[test]
fn a_deadline_during_a_wait_for_an_address_is_named_as_such() {
    for (what, keys, subnet, words) in [
        ("duplicate address detection", json!({}), "fd00:1::/64", "during duplicate address detection"),
        ("the probe", json!({"conflictProbe": true}), "10.9.0.0/24", "during the probe for addresses"),
    ] {
        let (fixture, mut config) = start(subnet, &keys);
        config["deadline"] = json!("400ms");
        let pod = fixture.pod("osd", Some("slow@slow"));
        fixture.refused(what, &fixture.call("ADD", &config, &pod), INTERRUPTED, &["rook-ceph/slow", "deadline", words]);
    }
}

#[test]
fn a_signal_during_the_wait_for_a_stores_lock_ends_the_add_while_the_lock_is_held() {
    let (fixture, config) = start("10.9.0.0/24", &json!({}));
    let lock = "/var/lib/cni/networks/slow/lock";
    fixture.node.write(lock, "");
    let holder = File::open(fixture.node.path(lock)).unwrap();
    holder.lock().unwrap();
    let pod = fixture.pod("osd", Some(BOTH));
    let add = fixture.call("ADD", &config, &pod).start(&fixture.node);
    until_it_has_open(&add, lock);
    send(&add, Signal::SIGTERM);
    let words = ["rook-ceph/slow", "interface slow", "signal", lock];
    let refusal = Refusal::of("the lock", &add.wait()).expect("the lock", INTERRUPTED, &words);
    assert!(!refusal.message.contains("rollback"), "{}", refusal.message);
    drop(holder);
    fixture.assert_clean();
}
