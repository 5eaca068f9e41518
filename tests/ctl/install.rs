//! What an install does to a node, and what it leaves alone.

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::machine::{CONF, LIMIT, Machine, OURS, PLUGIN, PRIMARY, RECORD, primary};

#[test]
fn a_pod_gets_its_networks_by_what_was_installed_and_the_primarys_file_is_left_alone() {
    let machine = Machine::start();
    let before = machine.node.read(PRIMARY);
    let report = machine.install(&[]);
    assert_eq!((&report["outcome"], &report["primary"]["name"]), (&json!("installed"), &json!("pods")));
    assert_eq!(machine.node.read(PRIMARY), before);
    let netns = machine.node.add_netns("osd");
    // cnitool takes the first configuration of that name, as a runtime does.
    machine.storage_pod(&netns).run("add").expect_success("ADD");
    let names = netns.interfaces();
    assert!(names.contains(&"eth0".to_owned()) && names.contains(&"public".to_owned()), "{names:?}");
    machine.storage_pod(&netns).run("del").expect_success("DEL");
    assert_eq!(machine.node.left_overs(), Vec::<String>::new());
}

#[test]
fn an_install_again_changes_nothing_and_keeps_what_was_given() {
    let machine = Machine::start();
    machine.install(&["--set", "namespaceIsolation=true", "--node-name", "node-7"]);
    let before = |file: &str| std::fs::metadata(machine.node.path(file)).unwrap().mtime_nsec();
    let times = [OURS, PLUGIN, RECORD].map(before);
    let report = machine.ctl("install", &["--output", "json"]);
    report.expect_success("install again");
    assert_eq!(report.json()["changes"], json!([]));
    assert_eq!([OURS, PLUGIN, RECORD].map(before), times);
    let entry = |machine: &Machine| machine.json(OURS)["plugins"][1].clone();
    assert_eq!(
        (&entry(&machine)["namespaceIsolation"], &entry(&machine)["nodeName"]),
        (&json!(true), &json!("node-7"))
    );
    machine.install(&["--unset", "namespaceIsolation"]);
    assert_eq!(entry(&machine)["namespaceIsolation"], Value::Null);
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let machine = Machine::start();
    let text = machine.ctl("install", &["--dry-run"]).expect_success("dry run");
    for word in ["would: write /etc/cni/net.d/00-rooknet.conflist", "would: place the plugin /opt/cni/bin/rooknet"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(machine.node.entries(CONF), ["10-pods.conflist"]);
    assert!(machine.node.read(PLUGIN).is_none() && machine.node.read(RECORD).is_none());
}

/// Multus 1221, 1213.
#[test]
fn a_plugin_that_is_running_is_replaced_and_runs_on() {
    let machine = Machine::start();
    machine.install(&[]);
    let mut command = machine.node.command(PLUGIN);
    // It waits for its configuration.
    let mut running = command
        .env("CNI_COMMAND", "STATUS")
        .env("CNI_PATH", "/opt/cni/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let executable = format!("/proc/{}/exe", running.id());
    let is_plugin = || std::fs::read_link(&executable).is_ok_and(|path| path.ends_with("opt/cni/bin/rooknet"));
    crate::support::wait_until("the plugin runs", LIMIT, is_plugin);
    let next = machine.other_plugin();
    let report = machine.install(&["--plugin", &next]);
    assert_eq!(report["changes"], json!(["place the plugin /opt/cni/bin/rooknet"]));
    assert_eq!(machine.node.read(PLUGIN), machine.node.read(&next));
    assert!(running.try_wait().unwrap().is_none(), "the running plugin was ended");
    drop(running.stdin.take());
    running.wait_with_output().unwrap();
    machine.assert_answers();
}

#[test]
fn a_plugin_that_does_not_answer_never_takes_the_place_of_one_that_does() {
    let machine = Machine::start();
    machine.install(&[]);
    let former = machine.node.read(PLUGIN);
    for (name, content) in [
        ("fails", "#!/bin/sh\nexit 3\n"),
        ("answers nonsense", "#!/bin/sh\necho yes\n"),
        ("is for another machine", "\u{7f}ELF nothing that runs here"),
        ("speaks old versions only", "#!/bin/sh\necho '{\"supportedVersions\": [\"0.1.0\"]}'\n"),
    ] {
        let other = machine.program("/run/other/rooknet", content.as_bytes());
        let outcome = machine.ctl("install", &["--plugin", &other]);
        assert_eq!(outcome.status.code(), Some(1), "{name}: {outcome}");
        assert!(String::from_utf8_lossy(&outcome.stderr).contains("was not installed"), "{name}: {outcome}");
        assert_eq!(machine.node.read(PLUGIN), former, "{name}");
        let left = machine.node.entries("/opt/cni/bin");
        assert!(!left.iter().any(|name| name.starts_with(".rooknet")), "{name}: {left:?}");
    }
}

/// Multus 1155, 1499: the primary's file is absent, late, rewritten, damaged, or another one's.
#[test]
fn our_conflist_follows_the_primary_and_outlives_its_absence_and_damage() {
    let machine = Machine::start();
    std::fs::remove_file(machine.node.path(PRIMARY)).unwrap();
    machine.node.write(&format!("{CONF}/99-loopback.conf"), r#"{"cniVersion":"1.1.0","name":"lo","type":"loopback"}"#);
    let outcome = machine.ctl("install", &["--output", "json"]);
    assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    assert_eq!(outcome.json()["findings"][0]["kind"], "no-primary", "{outcome}");
    assert_eq!(machine.node.entries(CONF), ["99-loopback.conf"]);

    machine.node.write(PRIMARY, primary("pods").to_string());
    machine.install(&[]);
    let good = machine.json(OURS);
    for damaged in ["", "{\"cniVersion\": \"1.1.0\", \"name\": \"po", "{\"cniVersion\": \"1.1.0\", \"name\": \"pods\"}"]
    {
        machine.node.write(PRIMARY, damaged);
        let outcome = machine.ctl("install", &["--output", "json"]);
        assert_eq!(outcome.json()["findings"][0]["kind"], "malformed", "{damaged:?}: {outcome}");
        assert_eq!(machine.json(OURS), good, "{damaged:?}");
    }
    let mut changed = primary("pods");
    changed["plugins"][0]["mtu"] = json!(1400);
    machine.node.write(PRIMARY, changed.to_string());
    machine.install(&[]);
    assert_eq!(machine.json(OURS)["plugins"][0]["mtu"], 1400);

    // Another network in its place may tear down pods; what a person says is done.
    machine.node.write(PRIMARY, primary("other").to_string());
    let outcome = machine.ctl("install", &["--output", "json"]);
    assert_eq!(outcome.json()["findings"][0]["kind"], "primary-changed", "{outcome}");
    assert_eq!(machine.json(OURS)["name"], "pods");
    machine.install(&["--primary", "other"]);
    assert_eq!(machine.json(OURS)["name"], "other");
}

#[test]
fn our_file_comes_first_whatever_the_others_are_called() {
    let machine = Machine::start();
    machine.install(&[]);
    std::fs::rename(machine.node.path(PRIMARY), machine.node.path("/etc/cni/net.d/00-a.conflist")).unwrap();
    machine.install(&[]);
    assert_eq!(machine.node.entries(CONF), ["00-00-rooknet.conflist", "00-a.conflist"]);
    machine.uninstall(&[]);
    assert_eq!(machine.node.entries(CONF), ["00-a.conflist"]);
}
