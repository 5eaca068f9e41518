//! Pods with NET_ADMIN in their own network namespace, who do there what they like before their DEL comes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fixture::{Fixture, Pod};
use crate::support::Namespace;

/// Altnames until the kernel takes no more: its answer about the link is then as long as it gets.
fn flood_with_altnames(netns: &Namespace<'_>, interface: &str) {
    let batch: String =
        (0..700).map(|number| format!("link property add dev {interface} altname {number:0>127}\n")).collect();
    let mut command = netns.command("ip");
    command.args(["-force", "-batch", "-"]);
    // That it ends in errors is the point: the list is full.
    crate::support::run(command, batch.as_bytes());
}

#[test]
fn a_del_is_not_held_up_by_a_link_with_as_many_names_as_the_kernel_takes() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"link": "veth"}));
    let pod = fixture.pod("osd", Some("public"));
    let config = fixture.chained();
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    pod.netns.ok(&["ip", "link", "set", "net1", "down"]);
    pod.netns.ok(&["ip", "link", "set", "net1", "name", "mine"]);
    flood_with_altnames(&pod.netns, "mine");

    let started = Instant::now();
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(!pod.netns.interfaces().contains(&"mine".to_owned()), "{:?}", pod.netns.interfaces());
}

/// A network whose plugin is known to make a veth, on a pod that has attached it.
fn attached_veth(fixture: &Fixture) -> Pod<'_> {
    fixture.node.install("bridge", Path::new(env!("CARGO_BIN_EXE_rooknet-stub-plugin")));
    let mut config = fixture.stub_config("public", &json!({"link": "veth"}));
    config["type"] = json!("bridge");
    fixture.define("rook-ceph", "public", &config);
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    pod
}

#[test]
fn a_del_is_not_held_up_by_a_loopback_that_has_the_attachments_name() {
    for words in [
        &["ip", "link", "set", "lo", "name", "net1"][..],
        &["ip", "link", "property", "add", "dev", "lo", "altname", "net1"],
    ] {
        let fixture = Fixture::start();
        let pod = attached_veth(&fixture);
        pod.netns.ok(&["ip", "link", "set", "net1", "down"]);
        pod.netns.ok(&["ip", "link", "set", "net1", "name", "mine"]);
        pod.netns.ok(words);

        fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
        assert!(!pod.netns.interfaces().contains(&"mine".to_owned()), "{:?}", pod.netns.interfaces());
        assert!(fixture.taken().is_empty() && fixture.node.journals().is_empty());
    }
}

#[test]
fn a_del_that_fails_for_its_own_reasons_is_not_tried_without_the_namespace() {
    let fixture = Fixture::start();
    let pod = attached_veth(&fixture);
    fixture.forget_records();
    fixture.node.write("/opt/cni/bin/bridge.stub.json", json!({"failOn": ["DEL"]}).to_string());
    fixture.run("DEL", &fixture.chained(), &pod).error();
    assert_eq!(fixture.recorded_calls(), ["DEL net1"]);
    std::fs::remove_file(fixture.node.path("/opt/cni/bin/bridge.stub.json")).unwrap();
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
}

#[test]
fn a_del_of_the_reference_macvlan_is_not_held_up_by_any_of_it() {
    const RENAMED: [&str; 1] = ["link set net1 name mine"];
    for (words, flood) in [
        (&[RENAMED[0], "link set lo name net1"][..], false),
        (&[RENAMED[0], "link property add dev lo altname net1"], false),
        (&RENAMED, true),
        (&[], true),
    ] {
        let fixture = Fixture::start();
        crate::masters::add_storage(&fixture);
        fixture.define("rook-ceph", "public", &crate::masters::macvlan("storage0"));
        let pod = fixture.pod("osd", Some("public"));
        fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
        for words in words {
            pod.netns.ok(&["ip"].into_iter().chain(words.split(' ')).collect::<Vec<_>>());
        }
        if flood {
            flood_with_altnames(&pod.netns, if words.is_empty() { "net1" } else { "mine" });
        }
        fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
        assert_eq!(pod.netns.links().len(), 1, "the loopback");
        assert!(fixture.node.host_local_addresses().is_empty() && fixture.node.journals().is_empty());
    }
}
