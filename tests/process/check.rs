//! CHECK: every attachment is compared with its ADD, in the kernel and by its plugins.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, assert_error, journal_path, merge};

/// Our code for a difference between journal and kernel.
const CHECK_FAILED: u64 = 102;

/// A pod with `public` (IPv4) on net1 and `cluster` (IPv6) on clu0, attached in chained mode.
fn attached(fixture: &Fixture) -> (Value, Pod<'_>) {
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    fixture.define_stub("cluster", &json!({"address": "fd00:2::7/64"}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public, cluster@clu0")));
    fixture.add(&config, &pod);
    fixture.forget_records();
    (config, pod)
}

#[test]
fn an_unchanged_pod_passes_as_often_as_it_is_asked() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    for _ in 0..2 {
        let checked = fixture.check(&config, &pod, &config["prevResult"]);
        assert_eq!(checked.expect_success("CHECK"), "");
    }
    assert_eq!(fixture.recorded_calls(), ["CHECK net1", "CHECK clu0", "CHECK net1", "CHECK clu0"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn a_plugin_gets_its_own_networks_result_and_the_adds_configuration() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    // Whatever the definition says by now.
    fixture.define_stub("public", &json!({"address": "198.51.100.7/24"}));
    fixture.check(&config, &pod, &config["prevResult"]).expect_success("CHECK");
    let record = &fixture.records_of("CHECK", "net1")[0];
    assert_eq!(record["stdin"]["prevResult"]["ips"][0]["address"], "192.0.2.7/24");
    assert_eq!(record["stdin"]["prevResult"]["interfaces"][0]["name"], "net1");
    assert_eq!(record["stdin"]["stub"]["address"], "192.0.2.7/24");
    assert_eq!(record["env"]["CNI_NETNS"], pod.netns.path());
    fixture.del(&config, &pod);
}

#[test]
fn a_missing_interface_is_found() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    pod.netns.ok(&["ip", "link", "delete", "clu0"]);
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, CHECK_FAILED, &["rook-ceph/cluster", "interface clu0 is missing"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn a_renamed_interface_is_found() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    pod.netns.ok(&["ip", "link", "set", "net1", "name", "other"]);
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, CHECK_FAILED, &["rook-ceph/public", "interface net1 is missing"]);
}

#[test]
fn an_interface_in_anothers_place_is_found() {
    for kind in ["bridge", "veth"] {
        let fixture = Fixture::start();
        let (config, pod) = attached(&fixture);
        pod.netns.ok(&["ip", "link", "delete", "net1"]);
        // It takes the first one's index again if nothing else does so before.
        pod.netns.ok(&["ip", "link", "add", "other", "type", "bridge"]);
        pod.netns.ok(&["ip", "link", "add", "net1", "type", kind]);
        pod.netns.ok(&["ip", "address", "add", "192.0.2.7/24", "dev", "net1"]);
        let checked = fixture.check(&config, &pod, &config["prevResult"]);
        assert_error(&checked, CHECK_FAILED, &["rook-ceph/public", "interface net1 is another one", kind]);
    }
}

#[test]
fn a_missing_address_of_either_family_is_found() {
    for (interface, address, network) in
        [("net1", "192.0.2.7/24", "rook-ceph/public"), ("clu0", "fd00:2::7/64", "rook-ceph/cluster")]
    {
        let fixture = Fixture::start();
        let (config, pod) = attached(&fixture);
        pod.netns.ok(&["ip", "address", "delete", address, "dev", interface]);
        let checked = fixture.check(&config, &pod, &config["prevResult"]);
        assert_error(&checked, CHECK_FAILED, &[network, interface, &format!("address {address} is missing")]);
        fixture.del(&config, &pod);
        fixture.assert_clean();
    }
}

#[test]
fn an_address_of_another_prefix_length_is_not_the_same() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    pod.netns.ok(&["ip", "address", "delete", "192.0.2.7/24", "dev", "net1"]);
    pod.netns.ok(&["ip", "address", "add", "192.0.2.7/32", "dev", "net1"]);
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, CHECK_FAILED, &["address 192.0.2.7/24 is missing"]);
}

#[test]
fn every_difference_is_reported() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    pod.netns.ok(&["ip", "link", "delete", "net1"]);
    pod.netns.ok(&["ip", "address", "flush", "dev", "clu0", "scope", "global"]);
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    let parts = ["rook-ceph/public", "net1 is missing", "rook-ceph/cluster", "fd00:2::7/64 is missing"];
    assert_error(&checked, CHECK_FAILED, &parts);
}

#[test]
fn a_default_route_that_is_gone_or_elsewhere_is_found() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some(r#"[{"name": "public", "default-route": ["192.0.2.1"]}]"#));
    fixture.add(&config, &pod);
    let check = || fixture.check(&config, &pod, &config["prevResult"]);
    check().expect_success("CHECK");
    pod.netns.ok(&["ip", "route", "delete", "default"]);
    let parts = ["rook-ceph/public", "default route through 192.0.2.1 on interface net1 is missing"];
    assert_error(&check(), CHECK_FAILED, &parts);
    pod.netns.ok(&["ip", "route", "add", "default", "via", "192.0.2.2", "dev", "net1"]);
    assert_error(&check(), CHECK_FAILED, &parts);
    pod.netns.ok(&["ip", "route", "replace", "default", "via", "192.0.2.1", "dev", "net1"]);
    check().expect_success("CHECK with the route restored");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn another_network_namespace_than_the_adds_is_found() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    let other = fixture.node.add_netns("other");
    let mut checked = config.clone();
    merge(&mut checked, &json!({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {}}}));
    let call = fixture.call("CHECK", &config, &pod).input(checked.to_string());
    let wrong = call.clone().env("CNI_NETNS", other.path());
    assert_error(&wrong.run(&fixture.node), CHECK_FAILED, &["CNI_NETNS", "network namespace of its ADD"]);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new(), "no plugin looks into a stranger's namespace");
    for path in [fixture.node.host().path(), "/run/netns/absent".to_owned(), "/etc/passwd".to_owned()] {
        assert_error(&call.clone().env("CNI_NETNS", &path).run(&fixture.node), 4, &["CNI_NETNS", &path]);
    }
    // The same namespace under another path is the same.
    let alias = format!("/proc/self/root{}", pod.netns.path());
    call.env("CNI_NETNS", &alias).run(&fixture.node).expect_success("CHECK by another path");
    fixture.del(&config, &pod);
}

#[test]
fn a_journal_of_another_boot_is_found() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    fixture.change_journal(&pod, &json!({"bootId": "11111111-2222-4333-8444-555555555555"}));
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, CHECK_FAILED, &["network namespace of its ADD"]);
}

#[test]
fn a_plugins_own_failure_is_passed_on_after_all_were_asked() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"failOn": ["CHECK"], "error": {"code": 142, "msg": "the tunnel is down"}}));
    fixture.define_stub("cluster", &json!({}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public, cluster"));
    fixture.add(&config, &pod);
    fixture.forget_records();
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, 142, &["rook-ceph/public", "interface net1", "the tunnel is down"]);
    assert_eq!(fixture.recorded_calls(), ["CHECK net1", "CHECK net2"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn the_default_network_of_delegating_mode_is_checked_too() {
    let fixture = Fixture::start();
    let config = fixture.delegating(&json!({"address": "10.244.0.7/24"}));
    let pod = fixture.pod("osd", None);
    let result = fixture.add(&config, &pod);
    pod.netns.ok(&["ip", "address", "flush", "dev", "eth0"]);
    let checked = fixture.check(&config, &pod, &result);
    assert_error(&checked, CHECK_FAILED, &["network pods", "address 10.244.0.7/24 is missing on interface eth0"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

/// CRI-O CHECKs after every ADD: a plugin that has no CHECK must not fail it, and the kernel is looked at all the same.
#[test]
fn plugins_without_check_are_not_called_but_their_links_are_looked_at() {
    for keys in [
        json!({"ipam": {"type": "whereabouts"}}),
        json!({"disableCheck": true}),
        json!({"disableCheck": "true"}),
        json!({"cniVersion": "0.3.1"}),
    ] {
        let fixture = Fixture::start();
        fixture.node.install("whereabouts", std::path::Path::new(env!("CARGO_BIN_EXE_rooknet-stub-plugin")));
        let mut network = fixture.stub_config("public", &json!({"address": "192.0.2.7/24", "failOn": ["CHECK"]}));
        merge(&mut network, &keys);
        fixture.define("rook-ceph", "public", &network);
        let config = fixture.chained();
        let pod = fixture.pod("osd", Some("public"));
        fixture.add(&config, &pod);
        fixture.check(&config, &pod, &config["prevResult"]).expect_success(&format!("CHECK with {keys}"));
        assert_eq!(fixture.recorded_calls(), ["ADD net1"], "{keys}");
        pod.netns.ok(&["ip", "address", "flush", "dev", "net1"]);
        let checked = fixture.check(&config, &pod, &config["prevResult"]);
        assert_error(&checked, CHECK_FAILED, &["rook-ceph/public", "192.0.2.7/24 is missing"]);
        fixture.del(&config, &pod);
        fixture.assert_clean();
    }
}

#[test]
fn a_configuration_below_0_4_0_has_no_check() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    let mut old = config.clone();
    old["cniVersion"] = json!("0.3.1");
    old["prevResult"] = json!({"cniVersion": "0.3.1"});
    assert_error(&fixture.run("CHECK", &old, &pod), 1, &["0.4.0", "0.3.1"]);
    fixture.del(&config, &pod);
}

#[test]
fn a_check_without_previous_result_is_refused() {
    let fixture = Fixture::start();
    let (mut config, pod) = attached(&fixture);
    config.as_object_mut().unwrap().remove("prevResult");
    assert_error(&fixture.run("CHECK", &config, &pod), 7, &["prevResult"]);
}

#[test]
fn without_a_journal_a_pod_that_should_have_networks_fails() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (chained, delegating) = (fixture.chained(), fixture.delegating(&json!({})));
    let result = &chained["prevResult"];
    let selecting = fixture.pod("osd", Some("public"));
    let parts = [selecting.id.as_str(), "no journal"];
    assert_error(&fixture.check(&chained, &selecting, result), 3, &parts);
    assert_error(&fixture.check(&delegating, &selecting, result), 3, &parts);
    let plain = fixture.pod("osd", None);
    fixture.check(&chained, &plain, result).expect_success("CHECK of a pod without networks");
    assert_error(&fixture.check(&delegating, &plain, result), 3, &[&plain.id, "default network"]);
    // A runtime that passes no annotations to CHECK: nothing is known to be missing.
    let call = fixture.call("CHECK", &chained, &selecting).input(chained.to_string());
    call.run(&fixture.node).expect_success("CHECK without annotations");
    fixture.assert_clean();
}

#[test]
fn an_add_that_was_killed_is_found_and_its_del_cleans_up() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public, cluster"));
    let killed = fixture.call("ADD", &config, &pod).env("ROOKNET_FAULT", "kill:add.attached").run(&fixture.node);
    assert!(!killed.success() && fixture.has_journal(&pod));
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, CHECK_FAILED, &["did not finish"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn a_corrupt_journal_is_found_and_kept() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    fixture.node.write(&journal_path(&pod), "{\"format\": 1");
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    assert_error(&checked, CHECK_FAILED, &["journal", &pod.id, "cannot be read"]);
    assert!(fixture.has_journal(&pod));
}
