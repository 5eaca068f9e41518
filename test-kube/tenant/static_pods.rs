//! What a pod says of where the kubelet has it from: for a static pod no UID is checked, and its status may be missing.
//!
//! The kubelet writes `config.source` over whatever the pod says before it hands annotations to the runtime, so there it
//! can be believed. What the API server has of it, and `config.mirror`, is the word of whoever made the pod.

use serde_json::json;

use crate::fixture::Refusal;
use crate::proxy::{Fault, Rule};

use super::{CONFIG_SOURCE, NETWORKS, TRY_AGAIN_LATER, Tenant, selecting};

const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// What the kubelet calls a static pod: a hash.
const HASH: &str = "5f1a3b7c9d2e4f60817263544536271a";

#[test]
fn the_annotation_config_source_of_a_tenants_pod_is_not_believed() {
    let tenant = Tenant::start();
    for source in ["file", "http", "", "API"] {
        for key in [CONFIG_SOURCE, "Kubernetes.io/config.source", "kubernetes.io/Config.Source"] {
            let annotations = json!({NETWORKS: "own", key: source});
            for passes in [true, false] {
                let what = format!("{key}={source}, passed: {passes}");
                let pod = tenant.pod(&annotations);
                let pod = if passes { pod } else { pod.not_annotated() };
                // The status is one that the pod relies on.
                tenant.proxy.add(Rule::new(Fault::Status(403, None)).method("PATCH").times(1));
                let refusal = Refusal::of(&what, &tenant.site.run("ADD", &tenant.chained(), &pod));
                assert!(refusal.message.contains("network-status was not written"), "{what}: {}", refusal.message);
                tenant.site.assert_clean();
                tenant.site.fixture.forget_records();
                // And the pod is the one of this call or none.
                tenant.exchange(&pod, &annotations);
                tenant.site.refused_add(&what, &tenant.chained(), &pod, TRY_AGAIN_LATER, &["created anew"]);
                tenant.site.fixture.forget_records();
                assert_eq!(tenant.site.status(&pod), None, "{what}");
                pod.netns.delete();
            }
        }
    }
}

#[test]
fn a_pod_cannot_pass_for_the_mirror_of_the_one_that_was_there_before() {
    let tenant = Tenant::start();
    let pod = tenant.pod(&selecting("own")).not_annotated();
    for source in ["api", "file"] {
        tenant.exchange(&pod, &json!({NETWORKS: "own", CONFIG_MIRROR: pod.uid, CONFIG_SOURCE: source}));
        let asked = [format!("GET {}", tenant.pods_path(&format!("/{}", pod.name)))];
        let words = [pod.name.as_str(), pod.uid.as_str(), "created anew"];
        tenant.refused_once(source, &tenant.chained(), &pod, TRY_AGAIN_LATER, &words, &asked);
    }
}

#[test]
fn a_mirror_of_a_real_static_pod_is_one_and_isolation_holds_for_it() {
    let tenant = Tenant::start();
    let annotations = |networks: &str| json!({NETWORKS: networks, CONFIG_MIRROR: HASH, CONFIG_SOURCE: "file"});
    let pod = tenant.pod(&annotations("own")).not_annotated().with_uid(HASH);
    tenant.site.add(&tenant.chained(), &pod);
    assert_eq!(tenant.names(&pod).len(), 2);
    tenant.site.del(&tenant.chained(), &pod);
    let other = format!("{}/net", tenant.other);
    let pod = tenant.pod(&annotations(&other)).not_annotated().with_uid(HASH);
    tenant.site.refused_add("isolation", &tenant.chained(), &pod, super::FORBIDDEN, &[&tenant.other]);
    tenant.assert_other_untouched();
}
