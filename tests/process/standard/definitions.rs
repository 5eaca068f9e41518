//! 3.4: where a network's configuration comes from, and the name that it gets.

use serde_json::{Value, json};

use crate::fixture::{Fixture, assert_error, both_forms};

/// Where configurations lie by name unless `confDir` says otherwise.
const CONF_DIR: &str = "/etc/cni/multus/net.d";

/// A definition without `spec.config`: the network lies on the node's disk.
fn define_without_config(fixture: &Fixture, namespace: &str, name: &str) {
    let definition = json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": name},
    });
    fixture.node.write(&format!("{}/{namespace}/{name}.json", crate::fixture::NETWORKS), definition.to_string());
}

/// A configuration by the stub plugin under another type name, so that the record tells which file was taken.
fn of_type(fixture: &Fixture, name: &str, plugin_type: &str) -> Value {
    let mut config = fixture.stub_config(name, &json!({}));
    config["type"] = json!(plugin_type);
    config
}

fn list(name: &str, plugin: &Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": name, "plugins": [plugin]})
}

/// Attaches `rook-ceph/public` in both forms and says which plugin type was run for it.
#[track_caller]
fn type_that_is_run(fixture: &Fixture) -> Vec<String> {
    let config = fixture.chained();
    let mut types = Vec::new();
    for form in both_forms("rook-ceph", "public", "pub0") {
        let pod = fixture.pod("osd", Some(&form));
        fixture.forget_records();
        fixture.add(&config, &pod);
        types.push(fixture.given("ADD", "pub0")["type"].as_str().unwrap().to_owned());
        fixture.del(&config, &pod);
    }
    fixture.assert_clean();
    types
}

#[test]
fn section_3_4_1_spec_config_comes_before_a_file_of_that_name() {
    let fixture = Fixture::start();
    fixture.define("rook-ceph", "public", &of_type(&fixture, "public", "stub"));
    let other = list("public", &of_type(&fixture, "public", "stub2"));
    fixture.node.write(&format!("{CONF_DIR}/00-public.conflist"), other.to_string());
    assert_eq!(type_that_is_run(&fixture), ["stub", "stub"]);
}

#[test]
fn section_3_4_1_without_spec_config_a_conflist_comes_before_a_conf() {
    let fixture = Fixture::start();
    define_without_config(&fixture, "rook-ceph", "public");
    fixture.node.write(&format!("{CONF_DIR}/00-public.conf"), of_type(&fixture, "public", "stub2").to_string());
    let first = list("public", &of_type(&fixture, "public", "stub"));
    fixture.node.write(&format!("{CONF_DIR}/99-any-file-name.conflist"), first.to_string());
    assert_eq!(type_that_is_run(&fixture), ["stub", "stub"]);
}

#[test]
fn section_3_4_1_without_spec_config_and_conflist_a_conf_is_taken() {
    let fixture = Fixture::start();
    define_without_config(&fixture, "rook-ceph", "public");
    let other = list("other", &of_type(&fixture, "other", "stub"));
    fixture.node.write(&format!("{CONF_DIR}/00-other.conflist"), other.to_string());
    fixture.node.write(&format!("{CONF_DIR}/any-file-name.conf"), of_type(&fixture, "public", "stub2").to_string());
    assert_eq!(type_that_is_run(&fixture), ["stub2", "stub2"]);
}

#[test]
fn section_3_4_1_the_directory_of_files_is_conf_dir() {
    let fixture = Fixture::start();
    define_without_config(&fixture, "rook-ceph", "public");
    fixture.node.write("/etc/cni/elsewhere/public.conf", of_type(&fixture, "public", "stub2").to_string());
    let mut config = fixture.chained();
    config["confDir"] = json!("/etc/cni/elsewhere");
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&config, &pod);
    assert_eq!(fixture.given("ADD", "net1")["type"], "stub2");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn section_3_4_1_a_malformed_file_fails_only_the_network_that_it_names() {
    let fixture = Fixture::start();
    define_without_config(&fixture, "rook-ceph", "public");
    define_without_config(&fixture, "rook-ceph", "broken");
    define_without_config(&fixture, "rook-ceph", "typeless");
    for (file, text) in [
        ("00-broken.conflist", "{\"name\": \"broken\", \"plugins\": ["),
        ("01-binary.conf", "\u{0}\u{1}"),
        ("02-typeless.conf", "{\"name\": \"typeless\"}"),
        ("03-empty.conflist", ""),
    ] {
        fixture.node.write(&format!("{CONF_DIR}/{file}"), text);
    }
    fixture.node.write(&format!("{CONF_DIR}/99-public.conf"), of_type(&fixture, "public", "stub").to_string());

    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public"));
    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD beside malformed files");
    let log = String::from_utf8_lossy(&added.stderr).into_owned();
    for file in ["00-broken.conflist", "01-binary.conf", "03-empty.conflist"] {
        assert!(log.contains(file), "{file} is not logged: {log}");
    }
    fixture.del(&config, &pod);

    for form in both_forms("rook-ceph", "broken", "net1") {
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&form)), 6, &["00-broken.conflist"]);
    }
    for form in both_forms("rook-ceph", "typeless", "net1") {
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&form)), 7, &["02-typeless.conf", "type"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_3_4_1_a_network_that_is_nowhere_fails_the_pod() {
    let fixture = Fixture::start();
    define_without_config(&fixture, "rook-ceph", "public");
    let config = fixture.chained();
    for form in both_forms("rook-ceph", "public", "net1") {
        let parts = ["rook-ceph/public", "spec.config", CONF_DIR];
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&form)), 7, &parts);
    }
    for form in both_forms("rook-ceph", "absent", "net1") {
        let parts = ["rook-ceph/absent", "does not exist", crate::fixture::NETWORKS];
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&form)), 7, &parts);
    }
    fixture.assert_clean();
}

#[test]
fn section_3_4_2_a_missing_name_is_the_definitions() {
    let fixture = Fixture::start();
    let mut plugin = fixture.stub_config("", &json!({}));
    plugin.as_object_mut().unwrap().remove("name");
    fixture.define("rook-ceph", "single", &plugin);
    fixture.define("rook-ceph", "list", &json!({"cniVersion": "1.1.0", "plugins": [plugin]}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("single, list"));
    fixture.add(&config, &pod);
    fixture.del(&config, &pod);
    for command in ["ADD", "DEL"] {
        assert_eq!(fixture.given(command, "net1")["name"], "single");
        assert_eq!(fixture.given(command, "net2")["name"], "list");
    }
    fixture.assert_clean();
}

#[test]
fn section_3_4_2_a_name_of_the_configuration_stays() {
    let fixture = Fixture::start();
    fixture.define("rook-ceph", "public", &fixture.stub_config("storage", &json!({})));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&config, &pod);
    assert_eq!(fixture.given("ADD", "net1")["name"], "storage");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn section_3_4_1_a_malformed_spec_config_fails_the_pod_naming_the_definition() {
    let fixture = Fixture::start();
    for (config, code) in [(json!("{"), 6), (json!({"name": "public"}), 7), (json!({"type": "stub", "name": "a/b"}), 7)]
    {
        let text = config.as_str().map_or_else(|| config.to_string(), str::to_owned);
        let definition = json!({"metadata": {"namespace": "rook-ceph", "name": "public"}, "spec": {"config": text}});
        fixture.node.write(&format!("{}/rook-ceph/public.json", crate::fixture::NETWORKS), definition.to_string());
        let pod = fixture.pod("osd", Some("public"));
        let outcome = fixture.run("ADD", &fixture.chained(), &pod);
        assert_error(&outcome, code, &["rook-ceph/public"]);
    }
    fixture.assert_clean();
}
