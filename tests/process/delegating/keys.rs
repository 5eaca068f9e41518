//! Multus's configuration keys: all are accepted, so that changing `type` is a migration.

use serde_json::{Value, json};

use crate::fixture::{Fixture, merge};

/// Every key of a Multus configuration, beside those that say which networks there are. `kubeconfig` needs a server for
/// a pod that selects networks: the tests of ring 4 have one.
fn all_keys() -> Value {
    json!({
        "confDir": "/etc/cni/multus/net.d",
        "cniDir": "/var/lib/cni/multus",
        "binDir": "/opt/cni/bin",
        "logFile": "/run/multus.log",
        "logLevel": "verbose",
        "logToStderr": false,
        "logOptions": {"maxAge": 5, "maxSize": 100, "maxBackups": 5, "compress": true},
        "runtimeConfig": {"portMappings": null},
        "capabilities": {"portMappings": true, "bandwidth": true},
        "readinessindicatorfile": "/run/primary/ready",
        "namespaceIsolation": false,
        "globalNamespaces": "default, rook-ceph",
        "systemNamespaces": ["kube-system"],
        "multusNamespace": "kube-system",
        "retryDeleteOnError": true,
        "auxiliaryCNIChainName": "vendor-cni-chain",
    })
}

#[test]
fn every_multus_key_is_accepted_beside_delegates() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.node.write("/run/primary/ready", "");
    let mut config = fixture.delegating(&json!({}));
    merge(&mut config, &all_keys());
    let pod = fixture.pod("osd", Some("public"));
    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD");
    assert_eq!(String::from_utf8_lossy(&added.stderr), "", "logToStderr is off");
    fixture.check(&config, &pod, &added.json()).expect_success("CHECK");
    fixture.node_call("STATUS", &config).expect_success("STATUS");
    fixture.del(&config, &pod);
    fixture.gc(&config, &json!([])).expect_success("GC");
    let log = String::from_utf8(fixture.node.read("/run/multus.log").expect("logFile is written")).unwrap();
    assert!(log.contains("network=rook-ceph/public"), "{log}");
    fixture.assert_clean();
}

#[test]
fn every_multus_key_is_accepted_beside_cluster_network() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "pods", &fixture.stub_config("pods", &json!({})));
    fixture.define("kube-system", "everywhere", &fixture.stub_config("everywhere", &json!({})));
    fixture.node.write("/run/primary/ready", "");
    let mut config = fixture.chained();
    config.as_object_mut().unwrap().remove("prevResult");
    merge(&mut config, &all_keys());
    merge(&mut config, &json!({"clusterNetwork": "pods", "defaultNetworks": ["everywhere"], "delegates": []}));
    let pod = fixture.pod("osd", None);
    let result = fixture.add(&config, &pod);
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1"]);
    fixture.check(&config, &pod, &result).expect_success("CHECK");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn an_entry_of_multus_shim_works_when_its_type_is_changed() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let primary = json!({
        "cniVersion": "0.3.1", "name": "cbr0", "type": "primary", "capabilities": {"portMappings": true},
        "stub": fixture.stub_config("", &json!({"address": "10.244.0.7/24"}))["stub"],
    });
    fixture.node.write("/host/run/multus/cni/net.d/10-flannel.conflist", primary_list(&primary).to_string());
    // As Multus's own configuration manager writes it, with the type changed and networksDir in the API server's place.
    let config = json!({
        "cniVersion": "0.3.1", "name": "multus-cni-network", "type": "rooknet", "networksDir": crate::fixture::NETWORKS,
        "capabilities": {"portMappings": true, "io.kubernetes.cri.pod-annotations": true},
        "logLevel": "verbose", "logToStderr": true,
        "clusterNetwork": "/host/run/multus/cni/net.d/10-flannel.conflist",
        "daemonSocketDir": "/run/multus/socket", "socketDir": "/host/run/multus/socket", "chrootDir": "/hostroot",
        "multusAutoconfigDir": "/host/etc/cni/net.d", "multusConfigFile": "auto", "metricsPort": 9091,
        "perNodeCertificate": {"enabled": false}, "type-of-nothing": {"any": [1, {"thing": null}]},
    });
    let pod = fixture.pod("osd", Some("public"));
    let result = fixture.add(&config, &pod);
    assert_eq!(result["cniVersion"], "0.3.1");
    assert_eq!((&result["ips"][0]["version"], &result["ips"][0]["address"]), (&json!("4"), &json!("10.244.0.7/24")));
    fixture.del(&config, &pod);
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]);
    fixture.assert_clean();
}

fn primary_list(plugin: &Value) -> Value {
    json!({"cniVersion": "0.3.1", "name": "cbr0", "plugins": [plugin]})
}

#[test]
fn unknown_keys_are_passed_over_whatever_they_hold() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let unknown = json!({"ips": 7, "ipam": [], "master": null, "mtu": "large", "example.com/own": {"a": [{}]}, "": ""});
    for mut config in [fixture.chained(), fixture.delegating(&json!({}))] {
        merge(&mut config, &unknown);
        let pod = fixture.pod("osd", Some("public"));
        let result = fixture.add(&config, &pod);
        fixture.check(&config, &pod, &result).expect_success("CHECK");
        fixture.node_call("STATUS", &config).expect_success("STATUS");
        fixture.gc(&config, &json!([{"containerID": pod.id, "ifname": "eth0"}])).expect_success("GC");
        fixture.del(&config, &pod);
    }
    fixture.assert_clean();
}

#[test]
fn a_known_key_of_the_wrong_type_fails_the_pod_naming_key_and_value() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    for (key, value, shown) in [
        ("kubeconfig", json!(7), "7"),
        ("kubeconfig", json!("relative"), "relative"),
        ("confDir", json!(["/a"]), "[\"/a\"]"),
        ("confDir", json!("relative/dir"), "relative/dir"),
        ("cniDir", json!(7), "7"),
        ("binDir", json!("bin"), "bin"),
        ("stateDir", json!(false), "false"),
        ("networksDir", json!({}), "{}"),
        ("clusterNetwork", json!(7), "7"),
        ("defaultNetworks", json!("public"), "\"public\""),
        ("defaultNetworks", json!([7]), "[7]"),
        ("delegates", json!({}), "{}"),
        ("logFile", json!("log"), "log"),
        ("logLevel", json!("loud"), "loud"),
        ("logToStderr", json!("perhaps"), "perhaps"),
        ("logOptions", json!([]), "[]"),
        ("logOptions", json!({"maxSize": "big"}), "\"big\""),
        ("readinessindicatorfile", json!(true), "true"),
        ("namespaceIsolation", json!("yes"), "yes"),
        ("globalNamespaces", json!(["default"]), "[\"default\"]"),
        ("systemNamespaces", json!("kube-system"), "\"kube-system\""),
        ("multusNamespace", json!(1), "1"),
        ("retryDeleteOnError", json!(1), "1"),
        ("auxiliaryCNIChainName", json!(1), "1"),
        ("allowedPlugins", json!("stub"), "\"stub\""),
        ("deadline", json!("soon"), "soon"),
        ("deadline", json!(0), "0"),
        ("native", json!("in part"), "in part"),
        ("nodeName", json!(5), "5"),
        ("statusForAll", json!(5), "5"),
        ("statusStrict", json!(5), "5"),
        ("events", json!(5), "5"),
    ] {
        let mut config = fixture.chained();
        config[key] = value;
        fixture.assert_refused(&config, &pod, 7, &[key, shown]);
    }
    fixture.assert_clean();
}

/// What ends something must work whatever has become of the configuration since the ADD.
#[test]
fn wrong_keys_for_attaching_do_not_hold_a_del_back() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&fixture.chained(), &pod);
    let mut config = fixture.chained();
    let wrong = json!({
        "confDir": 7, "networksDir": [], "logLevel": "loud", "logOptions": 7, "defaultNetworks": 7, "deadline": "soon",
        "namespaceIsolation": 7, "kubeconfig": 7, "delegates": 7,
    });
    merge(&mut config, &wrong);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}
