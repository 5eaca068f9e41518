//! A tenant that exchanges its pod under the plugin's hands, and one that says itself what only the plugin says.

use serde_json::json;

use crate::cluster::pod_path;
use crate::site::Pod;

use super::{NETWORKS, TRY_AGAIN_LATER, Tenant, selecting};

const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

impl Tenant {
    /// The tenant deletes the pod and makes another of the same name.
    #[track_caller]
    pub(super) fn exchange(&self, pod: &Pod<'_>, annotations: &serde_json::Value) {
        let path = format!("{}?gracePeriodSeconds=0", pod_path(self.own(), &pod.name));
        self.cluster().request("DELETE", &path, &self.token, "", None).expect_success("delete by the tenant");
        self.create(&self.pods_path(""), &self.object(&pod.name, annotations)).expect_success("created anew");
    }
}

#[test]
fn a_pod_that_was_exchanged_gets_nothing_of_the_former_ones() {
    let tenant = Tenant::start();
    for config in [tenant.chained(), tenant.delegating()] {
        let pod = tenant.pod(&selecting("own"));
        tenant.exchange(&pod, &selecting("own"));
        let name = pod.name.clone();
        let words = [name.as_str(), "created anew under the same name"];
        // What was passed is attached before the API server tells: all of that goes again.
        tenant.site.refused_add("passed", &config, &pod, TRY_AGAIN_LATER, &words);
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
        assert_eq!(tenant.site.status(&pod), None);
        tenant.site.fixture.forget_records();
        let pod = pod.not_annotated();
        let asked = [format!("GET {}", tenant.pods_path(&format!("/{}", pod.name)))];
        tenant.refused_once("read", &config, &pod, TRY_AGAIN_LATER, &words, &asked);
    }
}

#[test]
fn what_the_tenant_says_of_its_networks_is_overwritten_and_the_rest_is_kept() {
    let tenant = Tenant::start();
    let forged = json!({
        NETWORKS: "own", STATUS: r#"[{"name":"kube-system/forged","ips":["10.0.0.1"]}]"#,
        "k8s.v1.cni.cncf.io/networks-status": "kept", "example.com/kept": "\u{1f980}",
    });
    for config in [tenant.chained(), tenant.delegating()] {
        let pod = tenant.pod(&forged);
        tenant.site.add(&config, &pod);
        assert_eq!(tenant.names(&pod)[1..], [json!(format!("{}/own", tenant.own()))]);
        let annotations = tenant.cluster().pod(tenant.own(), &pod.name)["metadata"]["annotations"].clone();
        for (key, value) in forged.as_object().unwrap().iter().filter(|(key, _)| *key != STATUS) {
            assert_eq!(annotations[key], *value, "{key}");
        }
        assert_eq!(annotations.as_object().unwrap().len(), forged.as_object().unwrap().len());
        tenant.site.del(&config, &pod);
    }
}

#[test]
fn a_pod_of_the_same_name_in_another_namespace_is_another_pod() {
    let tenant = Tenant::start();
    let theirs = json!({NETWORKS: "net", STATUS: "[]"});
    tenant.cluster().create_pod(&tenant.other, "same", &tenant.site.node_name, &theirs);
    let pod = tenant.named_pod("same", &selecting("own"));
    tenant.site.add(&tenant.chained(), &pod);
    assert_eq!(tenant.names(&pod).len(), 2);
    tenant.site.del(&tenant.chained(), &pod);
    let pod = pod.not_annotated();
    tenant.site.add(&tenant.chained(), &pod);
    tenant.site.del(&tenant.chained(), &pod);
    assert_eq!(tenant.cluster().network_status(&tenant.other, "same"), Some(json!([])));
    tenant.assert_other_untouched();
}
