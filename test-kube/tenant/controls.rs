//! What a tenant may do: without this, the refusals might have any reason.

use serde_json::json;

use crate::fixture::NETWORKS as FILES;

use super::{DEFAULT_NETWORK, FORBIDDEN, Tenant, element, networks_path, selecting, stub};

#[test]
fn the_tenant_is_one_to_the_api_server_too() {
    let tenant = Tenant::start();
    let network = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "intruder"}, "spec": {"config": "{}"},
    });
    for namespace in [&tenant.other, &tenant.global] {
        assert_eq!(tenant.create(&networks_path(namespace), &network).status, 403);
    }
    let pod = tenant.pod(&json!({}));
    let status = format!("{}/status", tenant.pods_path(&format!("/{}", pod.name)));
    let uid = json!({"metadata": {"uid": "0"}});
    assert_ne!(tenant.cluster().merge_patch(&status, &tenant.token, &uid).status, 200);
}

#[test]
fn networks_of_the_own_namespace_and_of_global_ones_are_attached_in_both_forms() {
    let tenant = Tenant::start();
    let (own, global) = (format!("{}/own", tenant.own()), format!("{}/shared", tenant.global));
    for (selection, expected) in [
        ("own".to_owned(), &own),
        (own.clone(), &own),
        (format!("{own}@eth1"), &own),
        (global.clone(), &global),
        (element(&json!({"name": "own"})), &own),
        (element(&json!({"name": "own", "namespace": null})), &own),
        (element(&json!({"name": "own", "namespace": ""})), &own),
        (element(&json!({"name": "own", "Namespace": tenant.own()})), &own),
        (element(&json!({"name": "shared", "namespace": tenant.global})), &global),
        // The last of a key that is there twice.
        (format!(r#"[{{"name":"own","namespace":"{}","namespace":"{}"}}]"#, tenant.other, tenant.own()), &own),
    ] {
        for config in [tenant.chained(), tenant.delegating()] {
            let names = tenant.attached(&config, &selecting(&selection));
            assert_eq!(names.len(), 2, "{selection}: {names:?}");
            assert_eq!(names[1], **expected, "{selection}");
        }
    }
    tenant.assert_other_untouched();
}

#[test]
fn the_default_network_can_be_replaced_by_the_own_and_by_global_ones() {
    let tenant = Tenant::start();
    let (own, global) = (format!("{}/own", tenant.own()), format!("{}/shared", tenant.global));
    for (text, expected) in [
        (own.clone(), &own),
        (global.clone(), &global),
        (element(&json!({"name": "own", "namespace": tenant.own()})), &own),
    ] {
        let names = tenant.attached(&tenant.delegating(), &json!({DEFAULT_NETWORK: text}));
        assert_eq!(names, [json!(expected)]);
    }
    // A short name is looked up in multusNamespace, here one of those for everybody.
    let mut config = tenant.delegating();
    config["multusNamespace"] = json!(tenant.global);
    assert_eq!(tenant.attached(&config, &json!({DEFAULT_NETWORK: "shared"})), [json!(global)]);
}

#[test]
fn without_isolation_every_namespaces_networks_can_be_named_as_in_multus() {
    let tenant = Tenant::start();
    let other = format!("{}/net", tenant.other);
    for selection in [other.clone(), element(&json!({"name": "net", "namespace": tenant.other}))] {
        for mut config in [tenant.chained(), tenant.delegating()] {
            config["namespaceIsolation"] = json!(false);
            assert_eq!(tenant.attached(&config, &selecting(&selection))[1], other);
        }
    }
    let mut config = tenant.delegating();
    config["namespaceIsolation"] = json!(false);
    assert_eq!(tenant.attached(&config, &json!({DEFAULT_NETWORK: "net"})), [json!(other)]);
}

#[test]
fn isolation_is_the_same_for_networks_that_lie_on_the_node() {
    let tenant = Tenant::start();
    let write = |namespace: &str, name: &str| {
        let definition = json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"config": stub(&tenant.site.fixture, name).to_string()},
        });
        tenant.site.node().write(&format!("{FILES}/{namespace}/{name}.json"), definition.to_string());
    };
    for namespace in [tenant.own(), &tenant.other, &tenant.global] {
        write(namespace, "file");
    }
    for mut config in [tenant.chained(), tenant.delegating()] {
        config["networksDir"] = json!(FILES);
        let words = [tenant.other.as_str(), "namespaceIsolation"];
        for selection in
            [format!("{}/file", tenant.other), element(&json!({"name": "file", "NAMESPACE": tenant.other}))]
        {
            tenant.refused(&selection, &config, &selecting(&selection), FORBIDDEN, &words);
        }
        for namespace in [tenant.own(), &tenant.global] {
            let before = tenant.proxy.exchanges().len();
            let names = tenant.attached(&config, &selecting(&format!("{namespace}/file")));
            assert_eq!(names[1], format!("{namespace}/file"));
            let asked = &tenant.proxy.lines()[before..];
            assert!(!asked.iter().any(|line| line.contains("k8s.cni.cncf.io")), "{asked:?}");
        }
    }
    tenant.assert_other_untouched();
}
