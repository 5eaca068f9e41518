//! A status that the API server will not have: everything is undone, and the message has its reason.
//!
//! Multus logs the failure and leaves the pod with all its interfaces and without a status.

use serde_json::{Value, json};

use super::{Case, PATIENCE, REFUSED, Scene, modes};
use crate::cluster::Cluster;
use crate::fixture::{NETWORKS_ANNOTATION, merge};
use crate::proxy::Fault;
use crate::site::{Pod, Site};
use crate::support::wait_until;

/// Grants a user of any kind (`subject` as a RoleBinding has it, `user` as the server calls it) these verbs on these
/// resources of the site's namespace, and waits until it holds.
pub(super) fn grant(site: &Site, subject: &Value, user: &str, rights: &[(&str, &str, &str)]) {
    let (namespace, cluster) = (&site.namespace, site.cluster);
    let name = cluster.unique_name("role");
    let group = "rbac.authorization.k8s.io";
    let rules: Vec<Value> = rights
        .iter()
        .map(|(group, resource, verb)| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]}))
        .collect();
    let path = format!("/apis/{group}/v1/namespaces/{namespace}");
    cluster.post(&format!("{path}/roles"), &json!({"metadata": {"name": name}, "rules": rules}));
    let role = json!({"apiGroup": group, "kind": "Role", "name": name});
    let binding = json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]});
    cluster.post(&format!("{path}/rolebindings"), &binding);
    for right in rights {
        wait_until("the role", PATIENCE, || is_allowed(cluster, namespace, user, right));
    }
}

fn is_allowed(cluster: &Cluster, namespace: &str, user: &str, &(group, resource, verb): &(&str, &str, &str)) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = json!({
        "namespace": namespace, "group": group, "resource": resource, "subresource": subresource, "verb": verb,
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    });
    cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)["status"]["allowed"] == true
}

/// The ADD attaches everything, its PATCH is refused, and everything is undone.
fn undone(case: &str, scene: &Scene, config: &Value, pod: &Pod<'_>, words: &[&str], status: u16) {
    let site = &scene.site;
    let name = format!("PATCH pod {}/{}/status", pod.namespace, pod.name);
    let words = [&["network-status was not written", &name], words].concat();
    Case::add(case, site, config, pod).fails(REFUSED, &words);
    assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {} {status}", pod.name)]);
    let calls = site.fixture.recorded_calls();
    assert!(calls.contains(&"ADD net1".to_owned()) && calls.contains(&"DEL net1".to_owned()), "{calls:?}");
    site.fixture.forget_records();
}

/// Multus 181, the other way round: an account that has fewer rights than the plugin needs.
#[test]
fn an_account_that_may_not_patch_the_status_is_told_so() {
    let scene = Scene::start();
    let site = &scene.site;
    let subject = json!({"kind": "ServiceAccount", "name": "default", "namespace": site.namespace});
    let user = format!("system:serviceaccount:{}:default", site.namespace);
    grant(site, &subject, &user, &[("k8s.cni.cncf.io", "network-attachment-definitions", "get")]);
    site.write_token(&site.cluster.token(&site.namespace, "default", None));
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let words = ["403 Forbidden", &user, "cannot patch resource", "pods/status"];
        undone("status forbidden by RBAC", &scene, &config, &pod, &words, 403);
    }
}

/// Multus 181: an account that may not even read networks fails before anything is attached.
#[test]
fn an_account_that_may_not_read_networks_is_told_so_before_anything_is_attached() {
    let scene = Scene::start();
    let site = &scene.site;
    let user = format!("system:serviceaccount:{}:default", site.namespace);
    site.write_token(&site.cluster.token(&site.namespace, "default", None));
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let words = ["GET network-attachment-definition", "403 Forbidden", &user, "cannot get resource"];
        Case::add("network forbidden by RBAC", site, &config, &pod).fails(REFUSED, &words);
        assert_eq!(scene.asked(), ["GET public 403"]);
        assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
    }
}

/// Multus 181: a node's token is good for that node's own pods.
#[test]
fn the_status_of_another_nodes_pod_is_refused_by_the_policy() {
    let scene = Scene::start();
    let site = &scene.site;
    let other = site.cluster.unique_name("node");
    site.cluster.create_node(&other);
    site.write_token(&site.cluster.node_token(site.account, &other));
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let words = ["403 Forbidden", "ValidatingAdmissionPolicy", &other, &site.node_name];
        undone("status of another node's pod", &scene, &config, &pod, &words, 403);
    }
}

/// Multus 852: the token of a file that nobody bound to a node.
#[test]
fn a_token_without_a_node_is_refused_by_the_policy_with_what_to_do() {
    let scene = Scene::start();
    let site = &scene.site;
    site.write_token(&site.cluster.token("kube-system", site.account.name(), None));
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let words = ["403 Forbidden", "not bound to a node", "boundObjectRef"];
        undone("token without a node", &scene, &config, &pod, &words, 403);
    }
}

/// Multus 855: the server's own rules. Annotations of 256 KiB are all that an object may have.
#[test]
fn a_status_for_which_the_pod_has_no_room_is_refused_by_the_server() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let room = 20;
        let fixed = json!({NETWORKS_ANNOTATION: "public"});
        let used = NETWORKS_ANNOTATION.len() + "public".len() + "filler".len();
        let mut annotations = fixed.clone();
        merge(&mut annotations, &json!({"filler": "x".repeat(256 * 1024 - used - room)}));
        let mut pod = site.annotated_pod(mode, annotations);
        // A runtime's input is no place for the rest.
        pod.annotations = Some(fixed);
        undone(
            "no room for the status",
            &scene,
            &config,
            &pod,
            &["422 Invalid", "metadata.annotations", "Too long"],
            422,
        );
    }
}

/// Multus 855: any other 422 is not taken for a pod that was created anew, and is not tried again.
#[test]
fn another_422_is_no_pod_that_was_created_anew() {
    let scene = Scene::start();
    scene.disturb("PATCH", 2, Fault::Status(422, None));
    for (mode, config) in modes(&scene.site) {
        let pod = scene.site.pod(mode, Some("public"));
        undone("422 of a webhook", &scene, &config, &pod, &["422", "the proxy answers 422"], 422);
    }
}
