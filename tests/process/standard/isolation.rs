//! 7.4: a network that namespace isolation forbids fails the pod, by whatever path it was named.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS, both_forms};

/// Our code for what a policy forbids.
const FORBIDDEN: u64 = 104;

fn isolated(mut config: Value) -> Value {
    config["namespaceIsolation"] = json!(true);
    config
}

fn define_without_config(fixture: &Fixture, namespace: &str, name: &str) {
    let definition = json!({"metadata": {"namespace": namespace, "name": name}});
    fixture.node.write(&format!("{NETWORKS}/{namespace}/{name}.json"), definition.to_string());
}

/// ADD and DEL succeed, with the one network on `ifname`.
#[track_caller]
fn assert_allowed(fixture: &Fixture, config: &Value, namespace: &str, selection: &str, ifname: &str) {
    let pod = fixture.pod("osd", Some(selection)).in_namespace(namespace);
    fixture.add(config, &pod);
    assert!(pod.netns.interfaces().contains(&ifname.to_owned()));
    fixture.del(config, &pod);
}

#[test]
fn section_7_4_another_namespaces_network_is_forbidden_in_both_forms() {
    let fixture = Fixture::start();
    fixture.define("tenant-b", "public", &fixture.stub_config("public", &json!({})));
    for config in [isolated(fixture.chained()), isolated(fixture.delegating(&json!({})))] {
        for form in both_forms("tenant-b", "public", "net1") {
            let parts = ["\"tenant-b\"", "\"rook-ceph\"", "namespaceIsolation", "globalNamespaces"];
            fixture.assert_refused(&config, &fixture.pod("osd", Some(&form)), FORBIDDEN, &parts);
        }
    }
    fixture.assert_clean();
}

#[test]
fn section_7_4_one_forbidden_network_among_allowed_ones_fails_all() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define("tenant-b", "cluster", &fixture.stub_config("cluster", &json!({})));
    let pod = fixture.pod("osd", Some("public, tenant-b/cluster, public"));
    fixture.assert_refused(&isolated(fixture.chained()), &pod, FORBIDDEN, &["\"tenant-b\""]);
    fixture.assert_clean();
}

#[test]
fn section_7_4_whether_a_forbidden_network_exists_is_not_told() {
    let fixture = Fixture::start();
    fixture.define("tenant-b", "secret", &fixture.stub_config("secret", &json!({})));
    let messages = ["tenant-b/secret", "tenant-b/absent"].map(|selection| {
        let pod = fixture.pod("osd", Some(selection));
        fixture.run("ADD", &isolated(fixture.chained()), &pod).error()
    });
    assert_eq!(messages[0], messages[1]);
    fixture.assert_clean();
}

#[test]
fn section_7_4_the_pods_own_namespace_and_global_ones_are_allowed() {
    let fixture = Fixture::start();
    for namespace in ["rook-ceph", "default", "shared"] {
        fixture.define(namespace, "public", &fixture.stub_config("public", &json!({})));
    }
    let config = isolated(fixture.chained());
    assert_allowed(&fixture, &config, "rook-ceph", "public", "net1");
    assert_allowed(&fixture, &config, "rook-ceph", "rook-ceph/public", "net1");
    assert_allowed(&fixture, &config, "rook-ceph", "default/public", "net1");
    let mut listed = config.clone();
    listed["globalNamespaces"] = json!("other, shared");
    assert_allowed(&fixture, &listed, "rook-ceph", "shared/public", "net1");
    // A list of one's own replaces `default`, as in Multus.
    let pod = fixture.pod("osd", Some("default/public"));
    fixture.assert_refused(&listed, &pod, FORBIDDEN, &["\"default\""]);
    fixture.assert_clean();
}

#[test]
fn section_7_4_without_isolation_every_namespace_is_allowed() {
    let fixture = Fixture::start();
    fixture.define("tenant-b", "public", &fixture.stub_config("public", &json!({})));
    assert_allowed(&fixture, &fixture.chained(), "rook-ceph", "tenant-b/public", "net1");
    fixture.assert_clean();
}

#[test]
fn section_7_4_a_pod_of_unknown_namespace_may_name_global_networks_only() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define("default", "public", &fixture.stub_config("public", &json!({})));
    let config = isolated(fixture.chained());
    let forbidden = fixture.pod("osd", Some("rook-ceph/public"));
    let call = fixture.call("ADD", &config, &forbidden).without("CNI_ARGS");
    crate::fixture::assert_error(&call.run(&fixture.node), FORBIDDEN, &["\"rook-ceph\""]);
    let allowed = fixture.pod("osd", Some("default/public"));
    let call = fixture.call("ADD", &config, &allowed).without("CNI_ARGS");
    call.run(&fixture.node).expect_success("ADD");
    call.operation("DEL").run(&fixture.node).expect_success("DEL");
    fixture.assert_clean();
}

/// In Multus the override bypasses isolation.
#[test]
fn section_7_4_the_default_network_annotation_is_isolated_too() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "other", &fixture.stub_config("other", &json!({})));
    fixture.define_stub("own", &json!({}));
    let key = "v1.multus-cni.io/default-network";
    let mut config = isolated(fixture.delegating(&json!({})));
    for text in ["other", "kube-system/other", r#"[{"name": "other"}]"#] {
        let pod = fixture.pod("osd", None).annotated(key, text);
        fixture.assert_refused(&config, &pod, FORBIDDEN, &[key, "\"kube-system\"", "\"rook-ceph\""]);
    }
    let own = fixture.pod("osd", None).annotated(key, "rook-ceph/own");
    fixture.add(&config, &own);
    assert_eq!(fixture.given("ADD", "eth0")["name"], "own");
    fixture.del(&config, &own);
    config["globalNamespaces"] = json!("kube-system");
    let global = fixture.pod("osd", None).annotated(key, "other");
    fixture.forget_records();
    fixture.add(&config, &global);
    assert_eq!(fixture.given("ADD", "eth0")["name"], "other");
    fixture.del(&config, &global);
    fixture.assert_clean();
}

/// The files in `confDir` are the node's: under isolation no tenant's definition may stand for one.
#[test]
fn section_7_4_a_definition_without_configuration_reaches_conf_dir_from_a_global_namespace_only() {
    let fixture = Fixture::start();
    let file = fixture.stub_config("pods", &json!({})).to_string();
    fixture.node.write("/etc/cni/multus/net.d/pods.conf", file);
    define_without_config(&fixture, "rook-ceph", "pods");
    define_without_config(&fixture, "default", "pods");
    let config = isolated(fixture.chained());
    for form in both_forms("rook-ceph", "pods", "net1") {
        let parts = ["rook-ceph/pods", "confDir", "namespaceIsolation"];
        fixture.assert_refused(&config, &fixture.pod("osd", Some(&form)), 7, &parts);
    }
    assert_allowed(&fixture, &config, "rook-ceph", "default/pods", "net1");
    assert_allowed(&fixture, &fixture.chained(), "rook-ceph", "pods", "net1");
    fixture.assert_clean();
}

#[test]
fn section_7_4_networks_of_the_nodes_own_configuration_are_not_the_pods_word() {
    let fixture = Fixture::start();
    fixture.define("kube-system", "storage", &fixture.stub_config("storage", &json!({})));
    let mut config = isolated(fixture.delegating(&json!({})));
    config["defaultNetworks"] = json!(["storage"]);
    assert_allowed(&fixture, &config, "rook-ceph", "", "net1");
    fixture.assert_clean();
}
