//! Which network a pod can reach: by namespace, by name, by a file.

use serde_json::{Value, json};

use super::{DEFAULT_NETWORK, FORBIDDEN, element};
use crate::fixture::{Fixture, NETWORKS, Pod};

/// Networks `public` in three namespaces, and isolation between them.
fn isolated() -> (Fixture, Value, Value) {
    let fixture = Fixture::start();
    for namespace in ["rook-ceph", "other", "default", "kube-system"] {
        fixture.define(namespace, "public", &fixture.stub_config("public", &json!({"of": namespace})));
    }
    let (mut chained, mut delegating) = (fixture.chained(), fixture.delegating(&json!({})));
    chained["namespaceIsolation"] = json!(true);
    delegating["namespaceIsolation"] = json!(true);
    (fixture, chained, delegating)
}

/// An ADD that succeeds, and what its plugins were told by the key `of`.
fn attach(fixture: &Fixture, config: &Value, pod: &Pod<'_>) -> Vec<Value> {
    fixture.forget_records();
    fixture.run("ADD", config, pod).expect_success("ADD");
    let namespaces = fixture.records().iter().map(|record| record["stdin"]["stub"]["of"].clone()).collect();
    fixture.run("DEL", config, pod).expect_success("DEL");
    fixture.assert_clean();
    fixture.forget_records();
    namespaces
}

#[test]
fn under_isolation_a_pod_reaches_its_own_namespace_and_the_global_ones() {
    let (fixture, config, _) = isolated();
    for (selection, namespace) in [
        ("public", "rook-ceph"),
        ("rook-ceph/public", "rook-ceph"),
        ("default/public", "default"),
        (r#"{"name":"public","namespace":"default"}"#, "default"),
    ] {
        let pod = fixture.pod("osd", Some(selection));
        assert_eq!(attach(&fixture, &config, &pod), [namespace], "{selection}");
    }
    let mut config = config.clone();
    config["globalNamespaces"] = json!("x, other ,y");
    let pod = fixture.pod("osd", Some("other/public"));
    assert_eq!(attach(&fixture, &config, &pod), ["other"]);
    // The list says all of it: "default" is global only as long as nothing else is said.
    let pod = fixture.pod("osd", Some("default/public"));
    fixture.refused_add("default", &config, &pod, FORBIDDEN, &["\"default\"", "globalNamespaces"]);
}

#[test]
fn isolation_holds_on_every_path_by_which_a_pod_names_a_network() {
    let (fixture, chained, delegating) = isolated();
    let words = ["namespace \"other\"", "namespace \"rook-ceph\"", "namespaceIsolation", "globalNamespaces"];
    for selection in [
        "other/public",
        " other / public @net1",
        "public,other/public",
        r#"{"name":"public","namespace":"other"}"#,
        r#"[{"name":"public"},{"Name":"public","NAMESPACE":"other"}]"#,
        r#"[{"name":"public","namespace":"rook-ceph","namespace":"other"}]"#,
    ] {
        for config in [&chained, &delegating] {
            fixture.refused_add(selection, config, &fixture.pod("osd", Some(selection)), FORBIDDEN, &words);
        }
    }
    for (replacement, namespace) in [
        ("public", "kube-system"),
        ("kube-system/public", "kube-system"),
        ("other/public", "other"),
        (r#"[{"name":"public","namespace":"other"}]"#, "other"),
    ] {
        let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: replacement}));
        let words = [DEFAULT_NETWORK, &format!("namespace \"{namespace}\""), "namespaceIsolation"];
        fixture.refused_add(replacement, &delegating, &pod, FORBIDDEN, &words);
    }
    let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: "rook-ceph/public"}));
    assert_eq!(attach(&fixture, &delegating, &pod), ["rook-ceph"]);
}

#[test]
fn a_caller_without_a_pod_reaches_global_namespaces_only() {
    let (fixture, config, _) = isolated();
    let pod = fixture.pod("osd", Some("rook-ceph/public"));
    for arguments in ["", "K8S_POD_NAMESPACE=;IgnoreUnknown=1", "K8S_POD_NAMESPACE=rook-ceph;K8S_POD_NAMESPACE=x"] {
        let call = fixture.call("ADD", &config, &pod).env("CNI_ARGS", arguments);
        fixture.refused(arguments, &call, FORBIDDEN, &["namespaceIsolation"]);
    }
    let pod = fixture.pod("osd", Some("public"));
    let call = fixture.call("ADD", &config, &pod).env("CNI_ARGS", "");
    fixture.refused("a short reference", &call, 7, &["element 1", "names no namespace"]);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
}

#[test]
fn the_default_network_is_not_replaced_in_chained_mode() {
    let (fixture, mut config, _) = isolated();
    for isolation in [true, false] {
        config["namespaceIsolation"] = json!(isolation);
        let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: "rook-ceph/public"}));
        fixture.refused_add("replaced", &config, &pod, 7, &[DEFAULT_NETWORK, "chained mode", "primary plugin"]);
    }
    // Malformed, it is an error too, and an empty one says nothing.
    let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: "[null]"}));
    fixture.refused_add("null", &config, &pod, 7, &[DEFAULT_NETWORK, "element 1"]);
    let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: " "}));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
}

#[test]
fn the_default_networks_replacement_is_one_network_on_the_runtimes_interface() {
    let (fixture, _, delegating) = isolated();
    for (replacement, words) in [
        ("rook-ceph/public,default/public", &["has 2 elements", "exactly one network"][..]),
        ("rook-ceph/public@net7", &["\"net7\"", "\"eth0\""]),
        ("[null]", &["element 1", "is null"]),
        ("../rook-ceph/public", &["element 1"]),
        ("rook-ceph/nowhere", &["rook-ceph/nowhere", "does not exist"]),
    ] {
        let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: replacement}));
        let words: Vec<&str> = words.iter().chain(&[DEFAULT_NETWORK]).copied().collect();
        fixture.refused_add(replacement, &delegating, &pod, 7, &words);
    }
}

#[test]
fn names_never_leave_the_directory_of_definitions() {
    let fixture = Fixture::start();
    // What such a name would lead to is there, and would be attached.
    let config = fixture.stub_config("public", &json!({})).to_string();
    for file in ["/etc/cni/rooknet/public.conf", "/etc/cni/rooknet/secret/public.conf"] {
        fixture.node.write(file, &config);
    }
    for name in
        ["Public.conf", "pub_lic.conf", "p\u{fc}blic.conf", "pub\u{456}ic.conf", "a:b.conf", "-public.conf", ".conf"]
    {
        fixture.node.write(&format!("{NETWORKS}/rook-ceph/{name}"), &config);
    }
    fixture.node.write(&format!("{NETWORKS}/Rook/public.conf"), &config);
    let names = [
        "../public",
        "../secret/public",
        "rook-ceph/../public",
        "rook-ceph/../../secret/public",
        "../../rooknet/public",
        "..",
        "../public.conf",
        "/public",
        "/etc/cni/rooknet/public.conf",
        "rook-ceph//public",
        "./public",
        "Public",
        "PUBLIC",
        "Rook/public",
        "pub_lic",
        "p\u{fc}blic",
        "pub\u{456}ic",
        "\u{ff50}ublic",
        "public\u{200b}",
        "pub\u{ad}lic",
        "a:b",
        "-public",
        "public\0",
        "",
    ];
    for name in names {
        let mut selections = vec![element(&json!({"name": name}))];
        if let Some((namespace, name)) = name.rsplit_once('/') {
            selections.push(element(&json!({"name": name, "namespace": namespace})));
        }
        if !name.is_empty() {
            selections.push(name.to_owned());
        }
        for selection in selections {
            // An empty namespace is none: the pod's.
            if selection == r#"[{"name":"public","namespace":""}]"# {
                continue;
            }
            let pod = fixture.pod("osd", Some(&selection));
            fixture.refused_add(&selection, &fixture.chained(), &pod, 7, &["annotation", "element 1"]);
            pod.netns.clone().delete();
        }
    }
}

#[test]
fn a_pods_namespace_never_leaves_the_directory_of_definitions() {
    let fixture = Fixture::start();
    let config = fixture.stub_config("public", &json!({})).to_string();
    fixture.node.write("/etc/cni/rooknet/secret/public.conf", &config);
    fixture.node.write(&format!("{NETWORKS}/public.conf"), &config);
    let pod = fixture.pod("osd", Some("public"));
    for namespace in ["../secret", ".", "..", "/etc/cni/rooknet/secret", "Rook", "a b"] {
        let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=osd");
        let call = fixture.call("ADD", &fixture.chained(), &pod).env("CNI_ARGS", arguments);
        fixture.refused(namespace, &call, 4, &["CNI_ARGS", "K8S_POD_NAMESPACE"]);
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
}

#[test]
fn a_pod_without_a_namespace_is_refused_rather_than_attached_to_nothing() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for arguments in ["K8S_POD_NAME=osd", "K8S_POD_NAME=osd;K8S_POD_NAMESPACE="] {
        let call = fixture.call("ADD", &fixture.chained(), &pod).env("CNI_ARGS", arguments);
        fixture.refused(arguments, &call, 4, &["K8S_POD_NAME=osd and no K8S_POD_NAMESPACE"]);
    }
}

#[test]
fn conf_dir_is_reached_only_by_a_definition_without_configuration_and_under_isolation_by_a_global_one() {
    let fixture = Fixture::start();
    let config = fixture.stub_config("node-only", &json!({"of": "confDir"}));
    fixture.node.write("/etc/cni/multus/net.d/10-node-only.conf", config.to_string());
    let pod = |selection: &str| fixture.pod("osd", Some(selection));
    // Its name alone is not enough.
    let words = ["network rook-ceph/node-only", "does not exist"];
    fixture.refused_add("no definition", &fixture.chained(), &pod("node-only"), 7, &words);

    for namespace in ["rook-ceph", "default"] {
        let definition = json!({"metadata": {"namespace": namespace, "name": "node-only"}, "spec": {"config": " "}});
        fixture.node.write(&format!("{NETWORKS}/{namespace}/node-only.json"), definition.to_string());
    }
    assert_eq!(attach(&fixture, &fixture.chained(), &pod("node-only")), ["confDir"]);
    let mut isolated = fixture.chained();
    isolated["namespaceIsolation"] = json!(true);
    let words = ["network rook-ceph/node-only", "no spec.config", "namespaceIsolation", "global namespace"];
    fixture.refused_add("a tenant's", &isolated, &pod("node-only"), 7, &words);
    assert_eq!(attach(&fixture, &isolated, &pod("default/node-only")), ["confDir"]);
    isolated["globalNamespaces"] = json!("rook-ceph");
    assert_eq!(attach(&fixture, &isolated, &pod("node-only")), ["confDir"]);
}
