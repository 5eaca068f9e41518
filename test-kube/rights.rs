//! What the plugin's token may do under `deploy/kustomize`: all that is granted, and nothing else.
//!
//! Each of these fails when a verb is missing and when one is to spare.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Account, Cluster, MERGE_PATCH, pod_path};
use crate::support::wait_until;

/// All verbs of Kubernetes' authorization that are asked for resources.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// API group, resource and subresource: all that the plugin comes near, and what somebody with its token would want.
const RESOURCES: [(&str, &str, &str); 30] = [
    ("", "pods", ""),
    ("", "pods", "status"),
    ("", "pods", "resize"),
    ("", "pods", "ephemeralcontainers"),
    ("", "pods", "binding"),
    ("", "pods", "eviction"),
    ("", "pods", "exec"),
    ("", "pods", "attach"),
    ("", "pods", "log"),
    ("", "pods", "proxy"),
    ("", "pods", "portforward"),
    ("", "nodes", ""),
    ("", "nodes", "status"),
    ("", "nodes", "proxy"),
    ("", "secrets", ""),
    ("", "configmaps", ""),
    ("", "events", ""),
    ("events.k8s.io", "events", ""),
    ("", "namespaces", ""),
    ("", "services", ""),
    ("", "endpoints", ""),
    ("", "serviceaccounts", ""),
    ("", "serviceaccounts", "token"),
    ("k8s.cni.cncf.io", "network-attachment-definitions", ""),
    ("k8s.cni.cncf.io", "network-attachment-definitions", "status"),
    ("apiextensions.k8s.io", "customresourcedefinitions", ""),
    ("rbac.authorization.k8s.io", "clusterroles", ""),
    ("rbac.authorization.k8s.io", "clusterrolebindings", ""),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", ""),
    ("coordination.k8s.io", "leases", ""),
];

/// What an account is granted, as `verb group resource/subresource`.
fn granted(account: Account) -> BTreeSet<String> {
    let mut granted = vec!["get  pods", "patch  pods/status", "get k8s.cni.cncf.io network-attachment-definitions"];
    if account == Account::WithEvents {
        granted.push("create  events");
    }
    granted.into_iter().map(str::to_owned).collect()
}

/// A node of the test's own, and a token of the account that is bound to it.
fn node_token(cluster: &Cluster, account: Account) -> (String, String) {
    let node = cluster.unique_name("node");
    cluster.create_node(&node);
    let token = cluster.node_token(account, &node);
    (node, token)
}

/// The rules that the server finds for the bearer of `token` in a namespace, as `verb group resource`, with the names
/// where a rule has some.
pub(crate) fn rules(cluster: &Cluster, token: &str, namespace: &str) -> BTreeSet<String> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = cluster.request("POST", path, token, "application/json", Some(&review)).expect_success("the review");
    assert_eq!(answer["status"]["incomplete"], false);
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rules = BTreeSet::new();
    for rule in answer["status"]["resourceRules"].as_array().unwrap() {
        for verb in texts(&rule["verbs"]) {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    let names = texts(&rule["resourceNames"]);
                    rules.insert(format!("{verb} {group} {resource} {names:?}").trim_end_matches(" []").to_owned());
                }
            }
        }
    }
    for rule in answer["status"]["nonResourceRules"].as_array().unwrap() {
        rules.insert(format!("{:?} {:?}", texts(&rule["verbs"]), texts(&rule["nonResourceURLs"])));
    }
    rules
}

#[test]
fn the_account_has_the_granted_rules_more_than_any_other_account() {
    let cluster = Cluster::shared();
    let namespace = cluster.unique_name("rules");
    cluster.create_namespace(&namespace);
    let anybody = cluster.token(&namespace, "default", None);
    for account in [Account::Plain, Account::WithEvents] {
        let (_, token) = node_token(cluster, account);
        for place in [namespace.as_str(), "kube-system", "default"] {
            let without = rules(cluster, &anybody, place);
            let with = rules(cluster, &token, place);
            let more: BTreeSet<String> = with.difference(&without).cloned().collect();
            assert_eq!(more, granted(account), "{account:?} in {place}");
            assert!(with.is_superset(&without));
        }
    }
}

/// Of all verbs on all resources those that the bearer of `token` is allowed in a namespace, for an object of this name,
/// as `verb group resource/subresource`.
pub(crate) fn allowed(cluster: &Cluster, token: &str, namespace: &str, name: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for (group, resource, subresource) in RESOURCES {
        for verb in VERBS {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {
                    "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                    "namespace": namespace, "name": name,
                }},
            });
            let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let answer =
                cluster.request("POST", path, token, "application/json", Some(&review)).expect_success("the review");
            if answer["status"]["allowed"] == true {
                allowed.insert(format!("{verb} {group} {resource}/{subresource}").trim_end_matches('/').to_owned());
            }
        }
    }
    allowed
}

#[test]
fn of_all_verbs_on_all_resources_only_the_granted_are_allowed() {
    let cluster = Cluster::shared();
    for account in [Account::Plain, Account::WithEvents] {
        let (_, token) = node_token(cluster, account);
        assert_eq!(allowed(cluster, &token, "default", "any"), granted(account), "{account:?}");
    }
}

#[test]
fn the_roles_as_applied_say_no_more_and_nothing_else_is_bound_to_the_account() {
    let cluster = Cluster::shared();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = cluster.get(&format!("{rbac}/clusterroles/rooknet")).expect_success("the role");
    assert_eq!(
        role["rules"],
        json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
            {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": ["get"]},
        ])
    );
    let role = cluster.get(&format!("{rbac}/clusterroles/eventful-events")).expect_success("the role for events");
    assert_eq!(role["rules"], json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]));

    let mut bound = Vec::new();
    for kind in ["clusterrolebindings", "rolebindings"] {
        let list = cluster.get(&format!("{rbac}/{kind}")).expect_success(kind);
        for binding in list["items"].as_array().unwrap() {
            let mut subjects = binding["subjects"].as_array().into_iter().flatten();
            if subjects.any(|subject| subject["kind"] == "ServiceAccount" && subject["name"] == "rooknet") {
                bound.push(format!("{kind} {}", binding["roleRef"]["name"].as_str().unwrap()));
            }
        }
    }
    assert_eq!(bound, ["clusterrolebindings rooknet"]);
}

#[test]
fn what_is_granted_can_be_done_and_what_is_next_to_it_cannot() {
    let cluster = Cluster::shared();
    let (node, token) = node_token(cluster, Account::Plain);
    let namespace = cluster.unique_name("requests");
    cluster.create_namespace(&namespace);
    cluster.create_pod(&namespace, "pod", &node, &json!({}));
    cluster.create_network(&namespace, "net", &json!({"type": "macvlan"}), &json!({}));
    let status = json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/network-status": "[]"}}});
    let any = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "any"}});
    let pod = pod_path(&namespace, "pod");
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let networks = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions");
    let requests = [
        (200, "GET", pod.clone(), None),
        (200, "GET", format!("{networks}/net"), None),
        (200, "PATCH", format!("{pod}/status"), Some(&status)),
        (403, "GET", format!("{pod}/status"), None),
        (403, "PUT", format!("{pod}/status"), Some(&status)),
        (403, "PATCH", pod.clone(), Some(&status)),
        (403, "PUT", pod.clone(), Some(&status)),
        (403, "DELETE", pod.clone(), None),
        (403, "GET", pods.clone(), None),
        (403, "GET", format!("{pods}?watch=true"), None),
        (403, "POST", pods, Some(&any)),
        (403, "GET", "/api/v1/pods".to_owned(), None),
        (403, "GET", networks.clone(), None),
        (403, "GET", format!("{networks}?watch=true"), None),
        (403, "POST", networks.clone(), Some(&any)),
        (403, "PATCH", format!("{networks}/net"), Some(&status)),
        (403, "DELETE", format!("{networks}/net"), None),
        (403, "GET", format!("/api/v1/nodes/{node}"), None),
        (403, "PATCH", format!("/api/v1/nodes/{node}"), Some(&status)),
        (403, "GET", format!("/api/v1/namespaces/{namespace}/secrets/any"), None),
        (403, "POST", format!("/api/v1/namespaces/{namespace}/events"), Some(&any)),
        (403, "POST", "/api/v1/namespaces/kube-system/serviceaccounts/rooknet/token".to_owned(), Some(&any)),
    ];
    for (expected, method, path, body) in requests {
        let content_type = if method == "PATCH" { MERGE_PATCH } else { "application/json" };
        let answer = cluster.request(method, &path, &token, content_type, body);
        assert_eq!(answer.status, expected, "{method} {path}: {answer:?}");
        // By RBAC, and not by the policy, which would show that RBAC had granted it.
        assert!(!answer.message().contains("ValidatingAdmissionPolicy"), "{method} {path}: {answer:?}");
    }
    assert_eq!(cluster.network_status(&namespace, "pod"), Some(json!([])));
}

#[test]
fn a_token_that_has_expired_or_whose_node_is_gone_is_refused() {
    let cluster = Cluster::shared();
    let (node, token) = node_token(cluster, Account::Plain);
    let path = pod_path("default", "none");
    let get = |token: &str| cluster.request("GET", &path, token, "", None).status;
    assert_eq!(get(&cluster.expiring_in(&token, 60)), 404, "another signature of the same key");
    assert_eq!(get(&cluster.expiring_in(&token, -120)), 401, "expired");
    cluster.delete(&format!("/api/v1/nodes/{node}")).expect_success("delete the node");
    // Each is one that the server never saw, and so has in no cache.
    let mut fresh = (120..).map(|seconds| cluster.expiring_in(&token, seconds));
    wait_until("the refusal of a token whose node is gone", Duration::from_secs(60), || {
        get(&fresh.next().unwrap()) == 401
    });
}
