//! Devices of the kubelet, asked for at the kubelet's own server code (`test-kube/control-plane/pod-resources`).

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::faults::assert_killed;
use crate::fixture::{Fixture, NETWORKS, Pod, Refusal, merge, terminate};
use crate::kubelet::{Kubelet, OF_DEVICE_PLUGINS, SOCKET, make_room};

/// Where network plugins get what device plugins say about their devices.
const OF_NETWORK_PLUGINS: &str = "/var/run/k8s.cni.cncf.io/devinfo/cni";

const TRY_AGAIN_LATER: u64 = 11;
const FORBIDDEN: u64 = 104;
const INTERRUPTED: u64 = 103;

/// Defines the network `rook-ceph/name` of the stub plugin that takes devices of `resource`; `keys` adds to its
/// configuration.
fn define(fixture: &Fixture, name: &str, resource: &str, keys: &Value) {
    let mut config = fixture.stub_config(name, &json!({}));
    merge(&mut config, keys);
    let definition = json!({
        "metadata": {"annotations": {"k8s.v1.cni.cncf.io/resourceName": resource}},
        "spec": {"config": config.to_string()},
    });
    fixture.node.write(&format!("{NETWORKS}/rook-ceph/{name}.json"), definition.to_string());
}

/// A node with the networks `a`, `b` of a resource each, and `plain` of none.
fn start() -> Fixture {
    let fixture = Fixture::start();
    define(&fixture, "a", "intel.com/a", &json!({}));
    define(&fixture, "b", "intel.com/b", &json!({}));
    fixture.define_stub("plain", &json!({}));
    fixture
}

/// What the stub plugin of an interface was told of its device, at ADD and DEL alike.
#[track_caller]
fn device_of(fixture: &Fixture, command: &str, ifname: &str) -> Value {
    let given = fixture.given(command, ifname);
    assert_eq!(given["deviceID"], given["pciBusID"], "{given}");
    given["deviceID"].clone()
}

fn selection(elements: &Value) -> String {
    elements.to_string()
}

#[test]
fn each_network_with_a_resource_gets_a_device_of_it_and_the_others_none() {
    let fixture = start();
    let _kubelet = Kubelet::with_devices(&fixture, &[("intel.com/b", &["b9"]), ("intel.com/a", &["0000:18:02.5"])]);
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("a,plain,b")));
    fixture.add(&config, &pod);
    assert_eq!(device_of(&fixture, "ADD", "net1"), "0000:18:02.5");
    assert_eq!(device_of(&fixture, "ADD", "net2"), Value::Null);
    assert_eq!(device_of(&fixture, "ADD", "net3"), "b9");
    // Nobody declared the capability.
    assert_eq!(fixture.given("ADD", "net1")["runtimeConfig"], Value::Null);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn two_networks_of_one_resource_get_two_devices_and_a_del_needs_no_kubelet() {
    let fixture = start();
    let kubelet = Kubelet::with_devices(&fixture, &[("intel.com/a", &["a2", "a1"]), ("intel.com/a", &["a3"])]);
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("a,a")));
    fixture.add(&config, &pod);
    assert_eq!([device_of(&fixture, "ADD", "net1"), device_of(&fixture, "ADD", "net2")], ["a1", "a2"]);
    drop(kubelet);
    fixture.del(&config, &pod);
    assert_eq!([device_of(&fixture, "DEL", "net1"), device_of(&fixture, "DEL", "net2")], ["a1", "a2"]);
    fixture.assert_clean();
}

#[test]
fn every_plugin_of_a_list_gets_the_device_and_the_capability_where_it_is_declared() {
    let fixture = Fixture::start();
    let stub = fixture.stub_config("list", &json!({}));
    let able = json!({"type": "stub2", "stub": {"record": stub["stub"]["record"]}, "capabilities": {"deviceID": true}});
    let list = json!({"type": null, "plugins": [{"type": "stub", "stub": stub["stub"]}, able]});
    define(&fixture, "list", "intel.com/a", &list);
    let _kubelet = Kubelet::with_devices(&fixture, &[("intel.com/a", &["a1"])]);
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("list")));
    fixture.add(&config, &pod);
    let records = fixture.records_of("ADD", "net1");
    let told: Vec<_> = records.iter().map(|record| &record["stdin"]).collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|stdin| stdin["deviceID"] == "a1" && stdin["pciBusID"] == "a1"), "{told:?}");
    assert_eq!([&told[0]["runtimeConfig"], &told[1]["runtimeConfig"]["deviceID"]], [&Value::Null, &json!("a1")]);
    fixture.del(&config, &pod);
}

#[test]
fn a_device_that_the_pod_asks_for_is_granted_when_it_is_the_pods() {
    let fixture = start();
    let _kubelet = Kubelet::with_devices(&fixture, &[("intel.com/a", &["a1", "a2"])]);
    let networks = selection(&json!([{"name": "a"}, {"name": "a", "deviceID": "a1"}]));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some(&networks)));
    fixture.add(&config, &pod);
    assert_eq!([device_of(&fixture, "ADD", "net1"), device_of(&fixture, "ADD", "net2")], ["a2", "a1"]);
    fixture.del(&config, &pod);
}

#[test]
fn a_pod_without_enough_devices_or_with_anothers_is_refused_before_anything_runs() {
    let fixture = start();
    let _kubelet = Kubelet::with_devices(&fixture, &[("intel.com/a", &["a1"])]);
    let rows: [(&str, Value, u64, &[&str]); 5] = [
        ("none", json!([{"name": "plain"}, {"name": "b"}]), 7, &["rook-ceph/b", "\"intel.com/b\"", "has 0 for 1"]),
        ("too few", json!([{"name": "a"}, {"name": "a"}]), 7, &["rook-ceph/a", "rook-ceph/osd has 1 for 2", "limits"]),
        ("another's", json!([{"name": "a", "deviceID": "other"}]), FORBIDDEN, &["\"other\"", "gave it \"a1\""]),
        ("of another resource", json!([{"name": "b", "deviceID": "a1"}]), FORBIDDEN, &["\"a1\"", "gave it none"]),
        (
            "twice",
            json!([{"name": "a", "deviceID": "a1"}, {"name": "a", "deviceID": "a1"}]),
            7,
            &["\"a1\" a second time"],
        ),
    ];
    for (what, networks, code, words) in rows {
        let pod = fixture.pod("osd", Some(&selection(&networks)));
        fixture.refused_add(what, &fixture.chained(), &pod, code, words);
    }
    let unknown = fixture.pod("new", Some("a"));
    let words = ["does not contain the pod", "rook-ceph/new", SOCKET];
    fixture.refused_add("a pod that the kubelet does not know", &fixture.chained(), &unknown, TRY_AGAIN_LATER, &words);
}

#[test]
fn without_a_kubelet_that_answers_nothing_is_attached() {
    let fixture = start();
    let refused = |what: &str, config: &Value, words: &[&str]| {
        let words = [words, &["network rook-ceph/a", SOCKET]].concat();
        let pod = fixture.pod("osd", Some("plain,a"));
        fixture.refused_add(what, config, &pod, TRY_AGAIN_LATER, &words);
    };
    refused("no socket", &fixture.chained(), &["does not exist", "not running"]);

    let socket = make_room(&fixture);
    let listener = UnixListener::bind(&socket).unwrap();
    let mut soon = fixture.chained();
    soon["deadline"] = json!("200ms");
    refused("no answer", &soon, &["no answer"]);
    drop(listener);
    refused("nobody listens", &fixture.chained(), &["connecting failed"]);

    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let garbage = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    refused("garbage", &fixture.chained(), &["the connection failed"]);
    garbage.join().unwrap();
}

#[test]
fn a_signal_ends_the_waiting_for_the_kubelet() {
    let fixture = start();
    let listener = UnixListener::bind(make_room(&fixture)).unwrap();
    let pod = fixture.pod("osd", Some("a"));
    let call = fixture.call("ADD", &fixture.chained(), &pod).start(&fixture.node);
    let _connected = listener.accept().unwrap();
    terminate(&call);
    Refusal::of("a signal", &call.wait()).expect("a signal", INTERRUPTED, &["a signal", "rook-ceph/osd"]);
    fixture.assert_clean();
}

#[test]
fn whoever_is_no_pod_has_no_devices() {
    let fixture = start();
    let pod = fixture.pod("osd", Some("rook-ceph/a"));
    let call = fixture.call("ADD", &fixture.chained(), &pod).env("CNI_ARGS", "IgnoreUnknown=1");
    fixture.refused("no pod", &call, 7, &["rook-ceph/a", "\"intel.com/a\"", "names no pod"]);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
}

#[test]
fn a_default_network_may_take_a_device_too() {
    let fixture = start();
    let _kubelet = Kubelet::with_devices(&fixture, &[("intel.com/a", &["a1", "a2"])]);
    let mut config = fixture.delegating(&json!({}));
    config.as_object_mut().unwrap().remove("delegates");
    merge(&mut config, &json!({"clusterNetwork": "rook-ceph/a"}));
    let pod = fixture.pod("osd", Some("a"));
    fixture.add(&config, &pod);
    assert_eq!([device_of(&fixture, "ADD", "eth0"), device_of(&fixture, "ADD", "net1")], ["a1", "a2"]);
    fixture.del(&config, &pod);
}

const PCI: &str = r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:18:02.5"}}"#;

/// The networks `a` and `able`, both of `intel.com/a`; `able` takes device information and records it.
fn with_information() -> (Fixture, Kubelet) {
    let fixture = start();
    let able = json!({"capabilities": {"CNIDeviceInfoFile": true}, "stub": {"show": OF_NETWORK_PLUGINS}});
    define(&fixture, "able", "intel.com/a", &able);
    let kubelet = Kubelet::with_devices(&fixture, &[("intel.com/a", &["0000:18:02.5", "0000:18:02.6"])]);
    // The stub plugin wants the directory that it shows to be there.
    std::fs::create_dir_all(fixture.node.path(OF_NETWORK_PLUGINS)).unwrap();
    fixture.node.write(&format!("{OF_DEVICE_PLUGINS}/intel.com-a-0000:18:02.5-device.json"), PCI);
    (fixture, kubelet)
}

fn copies(fixture: &Fixture) -> Vec<String> {
    let mut names = fixture.node.entries(OF_NETWORK_PLUGINS);
    names.sort();
    names
}

#[test]
fn device_information_is_there_for_the_plugin_that_asks_for_it_from_add_to_del() {
    let (fixture, _kubelet) = with_information();
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("able,a")));
    fixture.add(&config, &pod);
    let file = format!("{}@net1.json", pod.id);
    for command in ["ADD", "DEL"] {
        if command == "DEL" {
            fixture.del(&config, &pod);
        }
        let record = &fixture.records_of(command, "net1")[0];
        assert_eq!(record["stdin"]["runtimeConfig"]["CNIDeviceInfoFile"], format!("{OF_NETWORK_PLUGINS}/{file}"));
        assert_eq!(record["shown"], json!([PCI]), "{command}");
        assert_eq!(fixture.given(command, "net2")["runtimeConfig"], Value::Null);
    }
    assert_eq!(copies(&fixture), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn what_a_plugin_writes_where_it_was_told_to_goes_with_the_del() {
    let (fixture, _kubelet) = with_information();
    let config = fixture.chained();
    // Of the second device the device plugin says nothing.
    let networks = selection(&json!([{"name": "able", "deviceID": "0000:18:02.6"}]));
    let pod = fixture.pod("osd", Some(&networks));
    fixture.add(&config, &pod);
    assert_eq!(copies(&fixture), Vec::<String>::new());
    fixture.node.write(&format!("{OF_NETWORK_PLUGINS}/{}@net1.json", pod.id), PCI);
    fixture.node.write(&format!("{OF_NETWORK_PLUGINS}/another"), PCI);
    fixture.del(&config, &pod);
    assert_eq!(copies(&fixture), ["another"]);
}

#[test]
fn a_file_that_the_runtime_names_for_device_information_is_neither_used_nor_removed() {
    let fixture = Fixture::start();
    fixture.node.write("/run/precious", "keep");
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0]["capabilities"] = json!({"CNIDeviceInfoFile": true});
    config["runtimeConfig"]["CNIDeviceInfoFile"] = json!("/run/precious");
    let pod = fixture.pod("osd", None);
    fixture.add(&config, &pod);
    let ours = format!("{OF_NETWORK_PLUGINS}/{}@eth0.json", pod.id);
    assert_eq!(fixture.given("ADD", "eth0")["runtimeConfig"]["CNIDeviceInfoFile"], ours);
    fixture.del(&config, &pod);
    assert_eq!(fixture.node.read("/run/precious").unwrap(), b"keep");
}

#[test]
fn a_failed_add_leaves_no_device_information() {
    let (fixture, _kubelet) = with_information();
    fixture.define_stub("broken", &json!({"failOn": ["ADD"]}));
    let pod = fixture.pod("osd", Some("able,broken"));
    let outcome = fixture.run("ADD", &fixture.chained(), &pod);
    Refusal::of("a failing ADD", &outcome);
    assert_eq!(fixture.records_of("ADD", "net1")[0]["shown"], json!([PCI]));
    assert_eq!(copies(&fixture), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn device_information_of_a_killed_add_goes_with_its_del() {
    let (fixture, _kubelet) = with_information();
    let config = fixture.chained();
    for (at, left) in [("begin", 0), ("written", 1), ("renamed", 1), ("synced", 1)] {
        let pod = fixture.pod("osd", Some("able"));
        let fault = format!("kill:device-info.{at}");
        let outcome = fixture.call("ADD", &config, &pod).env("ROOKNET_FAULT", &fault).run(&fixture.node);
        assert_killed(&outcome, &fault);
        assert_eq!(fixture.node.entries(OF_NETWORK_PLUGINS).len(), left, "{at}");
        fixture.run("DEL", &config, &pod).expect_success("DEL");
        assert_eq!(copies(&fixture), Vec::<String>::new(), "{at}");
        fixture.assert_clean();
    }
}

#[test]
fn device_information_that_cannot_be_written_fails_the_add_and_leaves_nothing() {
    let (fixture, _kubelet) = with_information();
    let pod = fixture.pod("osd", Some("able"));
    let call = fixture.call("ADD", &fixture.chained(), &pod).env("ROOKNET_FAULT", "enospc:device-info");
    let words = ["rook-ceph/able", OF_NETWORK_PLUGINS, "No space left"];
    fixture.refused("no space", &call, 5, &words);
    assert_eq!(copies(&fixture), Vec::<String>::new());
}

/// A pod of the same device again and again: nothing of a former one stays in the way.
#[test]
fn a_pod_can_be_attached_again_with_the_same_device() {
    let (fixture, _kubelet) = with_information();
    let config = fixture.chained();
    let pod: Pod<'_> = fixture.pod("osd", Some("able"));
    for _ in 0..2 {
        fixture.add(&config, &pod);
        fixture.del(&config, &pod);
    }
    assert_eq!(copies(&fixture), Vec::<String>::new());
}
