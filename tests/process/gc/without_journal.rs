//! GC and what no journal of ours knows: addresses of pods that live all the same.

use serde_json::{Value, json};

use super::{define, given_to, holds, lists_given, store, taken};
use crate::fixture::{Fixture, assert_error, valid};

/// Multus's cache.
const CACHE: &str = "/var/lib/cni/multus";
/// `{"cniVersion":"1.1.0","name":"public","type":"stub"}` in base64, as Go writes bytes.
const PUBLIC: &str = "eyJjbmlWZXJzaW9uIjoiMS4xLjAiLCJuYW1lIjoicHVibGljIiwidHlwZSI6InN0dWIifQ==";

/// An address that a plugin gave away without us.
fn take(fixture: &Fixture, network: &str, owner: &str) {
    fixture.node.write(&format!("{}/{owner}", store(network)), "");
}

#[test]
fn the_default_network_of_delegating_mode_collects_without_any_journal() {
    let fixture = Fixture::start();
    let config = fixture.delegating(&json!({}));
    fixture.node.write(&format!("{}/lost@eth0", store("pods")), "");
    fixture.gc(&config, &json!([])).expect_success("GC");
    let record = &fixture.records_of("GC", "")[0];
    assert_eq!((&record["stdin"]["name"], &record["stdin"]["cni.dev/valid-attachments"]), (&json!("pods"), &json!([])));
    assert_eq!(record["stdin"].get("runtimeConfig"), None);
    for variable in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        assert_eq!(record["env"].get(variable).and_then(Value::as_str).unwrap_or_default(), "", "{variable}");
    }
    assert_eq!(taken(&fixture, "pods"), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn pods_that_multus_attached_are_in_the_list_by_either_half_of_its_cache() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&config, &pod);
    let result = json!({
        "kind": "cniCacheV1", "containerId": "a-result", "config": PUBLIC, "ifName": "net3", "networkName": "public",
        "netns": "/run/netns/x", "cniArgs": [], "result": {"cniVersion": "1.0.0"},
    });
    fixture.node.write(&format!("{CACHE}/results/public-a-result-net3"), result.to_string());
    fixture.node.write(&format!("{CACHE}/results/public-broken-net1"), "{");
    // The results of this one were pruned by a person.
    let scratch = json!([{"Name": "pods", "Bytes": PUBLIC}, {"Name": "rook-ceph/public", "Bytes": PUBLIC}]);
    fixture.node.write(&format!("{CACHE}/b-scratch"), scratch.to_string());
    let of_multus = ["a-result@net3", "b-scratch@eth0", "b-scratch@net1"];
    for owner in of_multus {
        take(&fixture, "public", owner);
    }
    fixture.gc(&config, &valid(&[&pod])).expect_success("GC");
    let alive: Vec<String> = of_multus.into_iter().map(str::to_owned).chain([holds(&pod, "net1")]).collect();
    assert_eq!(lists_given(&fixture), [given_to("public", &alive)]);
    assert_eq!(taken(&fixture, "public"), alive);
}

#[test]
fn a_corrupt_scratch_file_of_multus_keeps_plugins_from_collecting() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let (alive, dead) = (fixture.pod("osd", Some("public")), fixture.pod("osd", Some("public")));
    fixture.add(&config, &alive);
    fixture.add(&config, &dead);
    fixture.node.write(&format!("{CACHE}/multus1"), "[");
    take(&fixture, "public", "multus1@net1");
    let gc = fixture.gc(&config, &valid(&[&alive]));
    assert_error(&gc, 6, &["GC was not called", &format!("{CACHE}/multus1")]);
    assert_eq!(lists_given(&fixture), []);
    assert_eq!(taken(&fixture, "public"), ["multus1@net1".to_owned(), holds(&alive, "net1")], "the dead one's is gone");
}

/// Pods of the plain primary plugin, from before rooknet was put in front of it.
#[test]
fn the_runtimes_list_keeps_default_network_pods_that_have_no_journal() {
    let fixture = Fixture::start();
    let config = fixture.delegating(&json!({}));
    let pod = fixture.pod("osd", None);
    fixture.add(&config, &pod);
    for owner in ["before@eth0", "lost@eth0"] {
        take(&fixture, "pods", owner);
    }
    let list = json!([{"containerID": pod.id, "ifname": "eth0"}, {"containerID": "before", "ifname": "eth0"}]);
    fixture.gc(&config, &list).expect_success("GC");
    let given = fixture.given("GC", "")["cni.dev/valid-attachments"].clone();
    assert_eq!(given.as_array().map(Vec::len), Some(2), "each once: {given}");
    assert_eq!(taken(&fixture, "pods"), ["before@eth0".to_owned(), holds(&pod, "eth0")]);
}

#[test]
fn without_a_list_the_default_network_does_not_collect() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.delegating(&json!({}));
    let (pod, dead) = (fixture.pod("osd", Some("public")), fixture.pod("osd", Some("public")));
    fixture.add(&config, &pod);
    fixture.add(&config, &dead);
    take(&fixture, "pods", "before@eth0");
    dead.netns.clone().delete();
    fixture.gc(&config, &Value::Null).expect_success("GC");
    assert_eq!(lists_given(&fixture), [given_to("public", &[holds(&pod, "net1")])]);
    assert_eq!(
        taken(&fixture, "pods"),
        ["before@eth0".to_owned(), holds(&pod, "eth0")],
        "the dead one's by its journal"
    );
}

/// In chained mode the primary plugin's addresses lie under the runtime's network name.
#[test]
fn a_network_with_the_primarys_name_keeps_the_primarys_addresses() {
    let fixture = Fixture::start();
    let config = fixture.chained();
    let name = config["name"].as_str().unwrap();
    fixture.define("rook-ceph", "public", &fixture.stub_config(name, &json!({})));
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&config, &pod);
    for owner in [holds(&pod, "eth0"), "before@eth0".to_owned(), "lost@eth0".to_owned()] {
        take(&fixture, name, &owner);
    }
    fixture.gc(&config, &Value::Null).expect_success("GC without a list");
    assert_eq!(lists_given(&fixture), []);
    let list = json!([{"containerID": pod.id, "ifname": "eth0"}, {"containerID": "before", "ifname": "eth0"}]);
    fixture.gc(&config, &list).expect_success("GC");
    assert_eq!(taken(&fixture, name), ["before@eth0".to_owned(), holds(&pod, "eth0"), holds(&pod, "net1")]);
}
