//! Delegating mode, Multus's way: where the default network comes from, who may replace it, and every key that a
//! Multus configuration has.

mod keys;

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, assert_error, terminate};

/// Where configurations lie by name unless `confDir` says otherwise.
const CONF_DIR: &str = "/etc/cni/multus/net.d";
/// Multus's annotation that replaces the default network.
const OVERRIDE: &str = "v1.multus-cni.io/default-network";

/// The delegating configuration with `clusterNetwork` in the place of `delegates`.
fn cluster_network(fixture: &Fixture, reference: &str) -> Value {
    let mut config = fixture.delegating(&json!({}));
    config.as_object_mut().unwrap().remove("delegates");
    config["clusterNetwork"] = json!(reference);
    config
}

/// A configuration of the stub plugin with a mark by which a record tells where it came from.
fn marked(fixture: &Fixture, name: &str, mark: &str) -> Value {
    let mut config = fixture.stub_config(name, &json!({}));
    config["mark"] = json!(mark);
    config
}

/// ADD, CHECK and DEL of a pod that selects nothing: the mark of the default network that it got.
#[track_caller]
fn default_network_of(fixture: &Fixture, config: &Value, pod: &Pod<'_>) -> String {
    fixture.forget_records();
    let result = fixture.add(config, pod);
    fixture.check(config, pod, &result).expect_success("CHECK");
    let mark = fixture.given("ADD", "eth0")["mark"].as_str().unwrap().to_owned();
    fixture.del(config, pod);
    fixture.assert_clean();
    mark
}

#[test]
fn cluster_network_is_first_a_definition_in_multus_namespace() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "pods", &marked(&fixture, "pods", "definition"));
    fixture.define("network-system", "pods", &marked(&fixture, "pods", "other definition"));
    fixture.node.write(&format!("{CONF_DIR}/pods.conf"), marked(&fixture, "pods", "file").to_string());
    let mut config = cluster_network(&fixture, "pods");
    assert_eq!(default_network_of(&fixture, &config, &fixture.pod("osd", None)), "definition");
    config["multusNamespace"] = json!("network-system");
    assert_eq!(default_network_of(&fixture, &config, &fixture.pod("osd", None)), "other definition");
}

#[test]
fn cluster_network_is_then_a_configuration_of_that_name_in_conf_dir() {
    let fixture = Fixture::start();
    fixture.define("rook-ceph", "pods", &marked(&fixture, "pods", "of a tenant"));
    let list = json!({"cniVersion": "1.1.0", "name": "pods", "plugins": [marked(&fixture, "pods", "list")]});
    fixture.node.write(&format!("{CONF_DIR}/99.conflist"), list.to_string());
    fixture.node.write(&format!("{CONF_DIR}/00.conf"), marked(&fixture, "pods", "file").to_string());
    let config = cluster_network(&fixture, "pods");
    assert_eq!(default_network_of(&fixture, &config, &fixture.pod("osd", None)), "list");
}

#[test]
fn cluster_network_may_be_a_directory_whose_first_file_counts() {
    let fixture = Fixture::start();
    let directory = "/etc/cni/primary";
    // The meta-plugin's own configuration lies in the directory of what it wraps, and sorts first.
    let own = json!({"name": "k8s-pods", "plugins": [{"type": "rooknet"}]});
    fixture.node.write(&format!("{directory}/00-rooknet.conflist"), own.to_string());
    fixture.node.write(&format!("{directory}/05-notes.txt"), "{");
    fixture.node.write(&format!("{directory}/10-first.conf"), marked(&fixture, "pods", "first").to_string());
    fixture.node.write(&format!("{directory}/20-second.conf"), marked(&fixture, "second", "second").to_string());
    let config = cluster_network(&fixture, directory);
    assert_eq!(default_network_of(&fixture, &config, &fixture.pod("osd", None)), "first");
}

#[test]
fn cluster_network_may_be_an_absolute_file() {
    let fixture = Fixture::start();
    let list = json!({"cniVersion": "1.1.0", "name": "pods", "plugins": [marked(&fixture, "pods", "file")]});
    fixture.node.write("/run/multus/cni/net.d/10-ovn.conflist", list.to_string());
    let config = cluster_network(&fixture, "/run/multus/cni/net.d/10-ovn.conflist");
    assert_eq!(default_network_of(&fixture, &config, &fixture.pod("osd", None)), "file");
}

#[test]
fn a_cluster_network_that_is_nowhere_fails_the_pod_saying_where_was_looked() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let parts = ["clusterNetwork", "kube-system/pods", "networksDir", CONF_DIR];
    fixture.assert_refused(&cluster_network(&fixture, "pods"), &pod, 7, &parts);
    fixture.assert_refused(&cluster_network(&fixture, "/etc/cni/absent"), &pod, 7, &["/etc/cni/absent"]);
    std::fs::create_dir(fixture.node.path("/etc/cni/empty")).unwrap();
    fixture.assert_refused(&cluster_network(&fixture, "/etc/cni/empty"), &pod, 7, &["/etc/cni/empty"]);
    fixture.assert_clean();
}

/// A broken first file passed over would give the pods of one node another primary network than those of the others.
#[test]
fn a_malformed_first_file_of_the_directory_fails_the_pod() {
    let fixture = Fixture::start();
    fixture.node.write("/etc/cni/primary/00-broken.conf", "{");
    fixture.node.write("/etc/cni/primary/10-pods.conf", marked(&fixture, "pods", "second").to_string());
    let config = cluster_network(&fixture, "/etc/cni/primary");
    fixture.assert_refused(&config, &fixture.pod("osd", None), 6, &["00-broken.conf"]);
    fixture.assert_clean();
}

#[test]
fn delegates_and_cluster_network_together_are_refused() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["clusterNetwork"] = json!("pods");
    fixture.assert_refused(&config, &fixture.pod("osd", None), 7, &["\"delegates\"", "\"clusterNetwork\""]);
    fixture.assert_clean();
}

#[test]
fn an_empty_list_of_delegates_is_chained_mode() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    for empty in ["[]", "[ ]", "[\n]", "null"] {
        let mut config = fixture.chained();
        config["delegates"] = Value::Null;
        config["clusterNetwork"] = json!("");
        let pod = fixture.pod("osd", Some("public"));
        let annotations = json!({"io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": "public"}});
        config["runtimeConfig"] = annotations;
        let text = config.to_string().replace("\"delegates\":null", &format!("\"delegates\":{empty}"));
        let call = fixture.call("ADD", &config, &pod).input(text.as_str());
        call.run(&fixture.node).expect_success(&format!("ADD with delegates {empty:?}"));
        call.operation("DEL").run(&fixture.node).expect_success("DEL");
    }
    fixture.assert_clean();
}

#[test]
fn a_previous_result_contradicts_a_default_network_of_our_own() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["prevResult"] = fixture.chained()["prevResult"].clone();
    fixture.assert_refused(&config, &fixture.pod("osd", None), 7, &["prevResult", "delegates"]);
    fixture.assert_clean();
}

#[test]
fn further_delegates_go_to_every_pod_before_the_selection() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let mut config = fixture.delegating(&json!({}));
    for name in ["second", "third"] {
        config["delegates"].as_array_mut().unwrap().push(fixture.stub_config(name, &json!({})));
    }
    let pod = fixture.pod("osd", Some("public@net2"));
    fixture.add(&config, &pod);
    let names = ["eth0", "net1", "net3", "net2"].map(|ifname| fixture.given("ADD", ifname)["name"].clone());
    assert_eq!(names, ["pods", "second", "third", "public"]);
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1", "ADD net3", "ADD net2"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn default_networks_go_to_every_pod_outside_the_system_namespaces() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "storage", &fixture.stub_config("storage", &json!({})));
    fixture.define("rook-ceph", "other", &fixture.stub_config("other", &json!({})));
    fixture.node.write(&format!("{CONF_DIR}/file.conf"), fixture.stub_config("in-conf-dir", &json!({})).to_string());
    let mut config = fixture.delegating(&json!({}));
    config["defaultNetworks"] = json!(["storage", "rook-ceph/other", "in-conf-dir"]);

    let pod = fixture.pod("osd", None);
    fixture.add(&config, &pod);
    let names = ["net1", "net2", "net3"].map(|ifname| fixture.given("ADD", ifname)["name"].clone());
    assert_eq!(names, ["storage", "other", "in-conf-dir"]);
    fixture.del(&config, &pod);

    let attaches_nothing_more = |config: &Value, namespace: &str| {
        let pod = fixture.pod("agent", None).in_namespace(namespace);
        fixture.forget_records();
        fixture.add(config, &pod);
        assert_eq!(fixture.recorded_calls(), ["ADD eth0"], "a pod of {namespace}");
        fixture.del(config, &pod);
    };
    attaches_nothing_more(&config, "kube-system");
    config["systemNamespaces"] = json!(["rook-ceph", "infra"]);
    attaches_nothing_more(&config, "rook-ceph");
    let pod = fixture.pod("agent", None).in_namespace("kube-system");
    fixture.forget_records();
    fixture.add(&config, &pod);
    assert_eq!(fixture.recorded_calls().len(), 4, "a list of one's own replaces kube-system");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn default_networks_in_chained_mode_follow_the_primary() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "storage", &fixture.stub_config("storage", &json!({})));
    let mut config = fixture.chained();
    config["defaultNetworks"] = json!(["storage"]);
    let pod = fixture.pod("osd", None);
    assert_eq!(fixture.add(&config, &pod), config["prevResult"]);
    assert_eq!(fixture.recorded_calls(), ["ADD net1"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn a_default_network_that_is_nowhere_fails_the_pod() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["defaultNetworks"] = json!(["absent"]);
    let parts = ["defaultNetworks", "kube-system/absent"];
    fixture.assert_refused(&config, &fixture.pod("osd", None), 7, &parts);
    fixture.assert_clean();
}

#[test]
fn the_default_network_annotation_replaces_the_default_network() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "other", &marked(&fixture, "other", "short"));
    fixture.define("rook-ceph", "other", &marked(&fixture, "other", "of the pod's namespace"));
    let config = fixture.delegating(&json!({}));
    for (text, mark) in [
        ("other", "short"),
        ("rook-ceph/other", "of the pod's namespace"),
        (r#"[{"name": "other", "namespace": "rook-ceph"}]"#, "of the pod's namespace"),
        ("other@eth0", "short"),
    ] {
        let pod = fixture.pod("osd", None).annotated(OVERRIDE, text);
        assert_eq!(default_network_of(&fixture, &config, &pod), mark, "{text}");
    }
}

#[test]
fn the_default_network_annotation_keeps_further_delegates_and_the_selection() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "other", &fixture.stub_config("other", &json!({})));
    fixture.define_stub("public", &json!({}));
    let mut config = fixture.delegating(&json!({}));
    config["delegates"].as_array_mut().unwrap().push(fixture.stub_config("second", &json!({})));
    let pod = fixture.pod("osd", Some("public")).annotated(OVERRIDE, "other");
    fixture.add(&config, &pod);
    let names = ["eth0", "net1", "net2"].map(|ifname| fixture.given("ADD", ifname)["name"].clone());
    assert_eq!(names, ["other", "second", "public"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn a_default_network_annotation_with_two_networks_or_another_interface_fails_the_pod() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "other", &fixture.stub_config("other", &json!({})));
    let config = fixture.delegating(&json!({}));
    for (text, part) in [("other,other", "2 elements"), ("other@eth1", "\"eth1\""), ("absent", "kube-system/absent")] {
        let pod = fixture.pod("osd", None).annotated(OVERRIDE, text);
        fixture.assert_refused(&config, &pod, 7, &[OVERRIDE, part]);
    }
    fixture.assert_clean();
}

#[test]
fn in_chained_mode_the_default_network_annotation_is_refused_naming_key_and_mode() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "other", &fixture.stub_config("other", &json!({})));
    let config = fixture.chained();
    let pod = fixture.pod("osd", None).annotated(OVERRIDE, "other");
    fixture.assert_refused(&config, &pod, 7, &[OVERRIDE, "chained mode"]);
    let empty = fixture.pod("osd", None).annotated(OVERRIDE, "");
    assert_eq!(fixture.add(&config, &empty), config["prevResult"], "an empty annotation asks for nothing");
    fixture.assert_clean();
}

#[test]
fn auxiliary_chain_is_refused_only_when_its_directory_has_plugins() {
    let fixture = Fixture::start();
    let file = "/run/multus/cni/net.d/10-pods.conf";
    fixture.node.write(file, marked(&fixture, "pods", "file").to_string());
    let mut config = cluster_network(&fixture, file);
    config["auxiliaryCNIChainName"] = json!("vendor-cni-chain");
    let pod = fixture.pod("osd", None);
    assert_eq!(default_network_of(&fixture, &config, &pod), "file", "without the directory");
    fixture.node.write("/run/multus/cni/net.d/vendor-cni-chain/README", "no plugin");
    assert_eq!(default_network_of(&fixture, &config, &pod), "file", "without plugins");
    fixture.node.write("/run/multus/cni/net.d/vendor-cni-chain/10-vendor.conf", "{}");
    fixture.forget_records();
    let parts = ["auxiliaryCNIChainName", "/run/multus/cni/net.d/vendor-cni-chain", "10-vendor.conf"];
    fixture.assert_refused(&config, &pod, 7, &parts);
    let directory = "/run/multus/cni/net.d";
    config["clusterNetwork"] = json!(directory);
    fixture.assert_refused(&config, &pod, 7, &parts);
    fixture.assert_clean();
}

#[test]
fn an_add_that_waits_for_readiness_ends_with_its_deadline_or_a_signal() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["readinessindicatorfile"] = json!("/run/primary/ready");
    config["deadline"] = json!("300ms");
    let pod = fixture.pod("osd", None);
    let parts = ["not ready", "readinessindicatorfile /run/primary/ready", "deadline"];
    fixture.assert_refused(&config, &pod, 11, &parts);

    config["deadline"] = json!("1m");
    let add = fixture.call("ADD", &config, &pod).start(&fixture.node);
    let locked = || fixture.node.held_locks().iter().any(|lock| lock.file.ends_with(&pod.id));
    crate::support::wait_until("the lock of the ADD", crate::fixture::PATIENCE, locked);
    terminate(&add);
    assert_error(&add.wait(), 11, &["/run/primary/ready", "signal"]);
    fixture.assert_clean();
}

#[test]
fn runtime_config_with_go_cnis_capital_keys_reaches_the_default_network_as_it_was_written() {
    let fixture = Fixture::start();
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0]["capabilities"] = json!({"portMappings": true, "dns": true, "bandwidth": false});
    let pod = fixture.pod("osd", None);
    let ports = r#"[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":""}]"#;
    let dns = r#"{"Servers":["10.96.0.10"],"Searches":null,"Options":null}"#;
    let runtime_config = format!(
        r#"{{"io.kubernetes.cri.pod-annotations":{{}},"portMappings":{ports},"dns":{dns},"bandwidth":{{"IngressRate":1}}}}"#
    );
    let mut text = config.clone();
    text["runtimeConfig"] = json!("here");
    let text = text.to_string().replace("\"here\"", &runtime_config);
    fixture.call("ADD", &config, &pod).input(text.as_str()).run(&fixture.node).expect_success("ADD");
    let expected = format!(r#""runtimeConfig":{{"portMappings":{ports},"dns":{dns}}}"#);
    assert!(fixture.record_lines()[0].contains(&expected), "{}", fixture.given("ADD", "eth0"));
    fixture.del(&config, &pod);
    assert_eq!(fixture.given("DEL", "eth0")["runtimeConfig"], fixture.given("ADD", "eth0")["runtimeConfig"]);
    fixture.assert_clean();
}

#[test]
fn a_pod_whose_annotations_were_not_passed_is_refused() {
    let fixture = Fixture::start();
    let capability = "io.kubernetes.cri.pod-annotations";
    for config in [fixture.chained(), fixture.delegating(&json!({}))] {
        let pod = fixture.pod("osd", None);
        let call = fixture.call("ADD", &config, &pod).input(config.to_string());
        let parts = ["rook-ceph/osd", capability, "capabilit"];
        assert_error(&call.run(&fixture.node), 7, &parts);
        assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
        // A nil map of a runtime: a pod without annotations.
        let mut null = config.clone();
        null["runtimeConfig"] = json!({capability: null});
        call.clone().input(null.to_string()).run(&fixture.node).expect_success("ADD without annotations");
        fixture.del(&config, &pod);
        // Nobody's pod, as cnitool calls.
        call.without("CNI_ARGS").run(&fixture.node).expect_success("ADD without a pod");
        fixture.del(&config, &pod);
        fixture.forget_records();
    }
    fixture.assert_clean();
}
