//! The admission policies, both ways: what the plugin does passes, and whatever else its token could do is refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::{ADMIN, Account, Answer, Cluster, pod_path};

/// The annotation that the plugin writes.
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// A node with a token that is bound to it, and a namespace for its pods.
struct Case {
    cluster: &'static Cluster,
    node: String,
    token: String,
    namespace: String,
}

impl Case {
    fn new(account: Account) -> Self {
        let cluster = Cluster::shared();
        let (node, namespace) = (cluster.unique_name("node"), cluster.unique_name("policy"));
        cluster.create_node(&node);
        cluster.create_namespace(&namespace);
        Self { cluster, token: cluster.node_token(account, &node), node, namespace }
    }

    /// A pod with some annotations on a node; its name.
    fn pod(&self, node: &str) -> String {
        let name = self.cluster.unique_name("pod");
        self.cluster.create_pod(&self.namespace, &name, node, &json!({"kept": "1", STATUS: "[]"}));
        name
    }

    fn patch(&self, pod: &str, token: &str, patch: &Value) -> Answer {
        self.cluster.merge_patch(&format!("{}/status", pod_path(&self.namespace, pod)), token, patch)
    }

    /// The pod without what changes with every request.
    fn content(&self, pod: &str) -> Value {
        let mut pod = self.cluster.pod(&self.namespace, pod);
        for key in ["resourceVersion", "managedFields"] {
            pod["metadata"].as_object_mut().unwrap().remove(key);
        }
        pod
    }

    /// The patch is refused by the policy with these words and changes nothing; as the administrator's it succeeds.
    #[track_caller]
    fn assert_refused(&self, what: &str, pod: &str, token: &str, patch: &Value, words: &str) {
        let before = self.content(pod);
        let answer = self.patch(pod, token, patch);
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
        let message = answer.message();
        assert!(message.contains("ValidatingAdmissionPolicy 'rooknet'"), "{what}: {message}");
        assert!(message.contains(words), "{what}: {words:?} is missing in: {message}");
        assert_eq!(self.content(pod), before, "{what}");
        let by_admin = self.patch(pod, ADMIN, patch);
        assert!(by_admin.is_success(), "{what}, by the administrator: {by_admin:?}");
        assert_ne!(self.content(pod), before, "{what}: the administrator's request must change something");
    }
}

fn status(text: &str) -> Value {
    json!({"metadata": {"annotations": {STATUS: text}}})
}

#[test]
fn the_network_status_of_a_pod_of_the_own_node_can_be_written_changed_and_removed() {
    let case = Case::new(Account::Plain);
    let pod = case.pod(&case.node);
    for text in [json!("[1]"), json!("[2]"), Value::Null] {
        let patch = json!({"metadata": {"annotations": {STATUS: text}}});
        case.patch(&pod, &case.token, &patch).expect_success("patch");
        let annotations = case.content(&pod)["metadata"]["annotations"].clone();
        assert_eq!(annotations[STATUS], text);
        assert_eq!(annotations["kept"], "1");
    }
}

#[test]
fn the_first_annotation_of_a_pod_can_be_its_network_status() {
    let case = Case::new(Account::Plain);
    let uid = case.cluster.create_pod(&case.namespace, "bare", &case.node, &json!({}));
    let mut patch = status("[]");
    patch["metadata"]["uid"] = json!(uid);
    case.patch("bare", &case.token, &patch).expect_success("with the pod's uid");
    assert_eq!(case.content("bare")["metadata"]["annotations"], json!({STATUS: "[]"}));
}

#[test]
fn other_kinds_of_patches_do_the_same() {
    let case = Case::new(Account::Plain);
    let path = |pod: &str| format!("{}/status", pod_path(&case.namespace, pod));
    let patches = [
        ("application/strategic-merge-patch+json", status("[1]"), json!({"metadata": {"labels": {"new": "1"}}})),
        (
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/metadata/annotations/k8s.v1.cni.cncf.io~1network-status", "value": "[1]"}]),
            json!([{"op": "remove", "path": "/metadata/annotations/kept"}]),
        ),
    ];
    for (kind, good, bad) in patches {
        let pod = case.pod(&case.node);
        let refused = case.cluster.request("PATCH", &path(&pod), &case.token, kind, Some(&bad));
        assert_eq!(refused.status, 403, "{kind}: {refused:?}");
        case.cluster.request("PATCH", &path(&pod), &case.token, kind, Some(&good)).expect_success(kind);
        assert_eq!(case.cluster.network_status(&case.namespace, &pod), Some(json!([1])));
    }
}

#[test]
fn a_pod_that_is_being_deleted_still_gets_its_status() {
    let case = Case::new(Account::Plain);
    let pod = case.pod(&case.node);
    case.cluster.delete(&pod_path(&case.namespace, &pod)).expect_success("delete with the grace period");
    assert!(case.content(&pod)["metadata"]["deletionTimestamp"].is_string(), "it waits for its kubelet");
    case.patch(&pod, &case.token, &status("[1]")).expect_success("patch");
    assert_eq!(case.cluster.network_status(&case.namespace, &pod), Some(json!([1])));
}

#[test]
fn pods_of_other_nodes_and_of_none_are_refused() {
    let case = Case::new(Account::Plain);
    let (other, nowhere) = (case.pod("another-node"), case.pod(""));
    let words = format!("rooknet on the node {} may not change a pod of the node another-node.", case.node);
    case.assert_refused("another node's", &other, &case.token, &status("[1]"), &words);
    let words = format!("rooknet on the node {} may not change a pod of no node.", case.node);
    case.assert_refused("of no node", &nowhere, &case.token, &status("[1]"), &words);
}

#[test]
fn a_token_that_is_bound_to_no_node_changes_no_pod() {
    let case = Case::new(Account::Plain);
    let token = case.cluster.token("kube-system", "rooknet", None);
    for node in [case.node.as_str(), ""] {
        let pod = case.pod(node);
        case.assert_refused(node, &pod, &token, &status("[1]"), "token is not bound to a node");
    }
}

#[test]
fn every_other_change_of_the_metadata_is_refused() {
    let case = Case::new(Account::Plain);
    let label = "rooknet may change no label";
    let annotation = "rooknet may change no annotation of a pod but k8s.v1.cni.cncf.io/network-status.";
    let patches = [
        ("a new label", json!({"labels": {"new": "1"}}), label),
        ("another value of a label", json!({"labels": {"app": "other"}}), label),
        ("no label any more", json!({"labels": null}), label),
        ("the status and a label", json!({"labels": {"new": "1"}, "annotations": {STATUS: "[1]"}}), label),
        ("a finalizer", json!({"finalizers": ["example.com/wait"]}), "rooknet may change no finalizer"),
        ("generateName", json!({"generateName": "other-"}), "rooknet may not change generateName"),
        ("a new annotation", json!({"annotations": {"new": "1"}}), annotation),
        ("another value of an annotation", json!({"annotations": {"kept": "2"}}), annotation),
        ("one annotation less", json!({"annotations": {"kept": null}}), annotation),
        ("one annotation instead of another", json!({"annotations": {"kept": null, "new": "1"}}), annotation),
        ("no annotation any more", json!({"annotations": null}), annotation),
        ("the status and another annotation", json!({"annotations": {STATUS: "[1]", "new": "1"}}), annotation),
        ("the selection", json!({"annotations": {"k8s.v1.cni.cncf.io/networks": "kube-system/any"}}), annotation),
    ];
    for (what, metadata, words) in patches {
        let pod = case.pod(&case.node);
        case.assert_refused(what, &pod, &case.token, &json!({"metadata": metadata}), words);
    }
}

#[test]
fn a_finalizer_that_is_there_cannot_be_removed() {
    let case = Case::new(Account::Plain);
    let pod = case.pod(&case.node);
    case.patch(&pod, ADMIN, &json!({"metadata": {"finalizers": ["example.com/wait"]}})).expect_success("a finalizer");
    let patch = json!({"metadata": {"finalizers": null}});
    case.assert_refused("no finalizer", &pod, &case.token, &patch, "rooknet may change no finalizer");
}

#[test]
fn every_change_of_the_status_is_refused() {
    let case = Case::new(Account::Plain);
    let container = json!([{
        "name": "main", "image": "none", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }]);
    let condition = json!([{"type": "Ready", "status": "True", "lastTransitionTime": null, "lastProbeTime": null}]);
    let statuses = [
        json!({"phase": "Running"}),
        json!({"phase": "Failed", "message": "so it seems"}),
        json!({"reason": "Evicted"}),
        json!({"message": "hello"}),
        json!({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]}),
        json!({"startTime": "2026-01-01T00:00:00Z"}),
        json!({"conditions": condition}),
        json!({"containerStatuses": container}),
        json!({"observedGeneration": 7}),
    ];
    for status in statuses {
        let pod = case.pod(&case.node);
        let patch = json!({"status": status, "metadata": {"annotations": {STATUS: "[1]"}}});
        case.assert_refused(&status.to_string(), &pod, &case.token, &patch, "nothing in the status of a pod");
    }
}

#[test]
fn what_the_server_itself_keeps_is_not_changed_either() {
    let case = Case::new(Account::Plain);
    let owner =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "other", "uid": "6d1f7b2e-0000-4000-8000-000000000001"}]);
    let patches = [
        json!({"spec": {"nodeName": "another-node"}}),
        json!({"spec": {"containers": [{"name": "main", "image": "other"}]}}),
        json!({"spec": {"activeDeadlineSeconds": 1}}),
        json!({"metadata": {"ownerReferences": owner}}),
        json!({"metadata": {"generation": 99}}),
        json!({"metadata": {"name": "other"}}),
        json!({"metadata": {"namespace": "default"}}),
        json!({"metadata": {"uid": "6d1f7b2e-0000-4000-8000-000000000001"}}),
        json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}),
        json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}),
        json!({"metadata": {"deletionGracePeriodSeconds": 0}}),
        json!({"metadata": {"selfLink": "/other"}}),
    ];
    for patch in patches {
        let pod = case.pod(&case.node);
        let before = case.content(&pod);
        // Some are passed over, some are refused: either way nothing comes of them.
        let answer = case.patch(&pod, &case.token, &patch);
        assert!(answer.status < 500, "{patch}: {answer:?}");
        assert_eq!(case.content(&pod), before, "{patch}: {answer:?}");
    }
}

#[test]
fn a_token_is_bound_to_its_node_and_not_to_what_it_writes() {
    let (one, two) = (Case::new(Account::Plain), Case::new(Account::Plain));
    let (of_one, of_two) = (one.pod(&one.node), two.pod(&two.node));
    one.patch(&of_one, &one.token, &status("[1]")).expect_success("the first node's own");
    two.patch(&of_two, &two.token, &status("[1]")).expect_success("the second node's own");
    assert_eq!(one.patch(&of_one, &two.token, &status("[2]")).status, 403);
    assert_eq!(two.patch(&of_two, &one.token, &status("[2]")).status, 403);
}

#[test]
fn events_are_about_pods_from_the_own_node_and_in_rooknets_name() {
    let case = Case::new(Account::WithEvents);
    let pod = case.pod(&case.node);
    let event = |kind: &str, host: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "AddedInterface", "message": "hello",
            "metadata": {"name": case.cluster.unique_name("event"), "namespace": case.namespace},
            "involvedObject": {"apiVersion": "v1", "kind": kind, "namespace": case.namespace, "name": pod},
            "source": {"component": "rooknet", "host": host},
        })
    };
    let path = format!("/api/v1/namespaces/{}/events", case.namespace);
    let post = |token: &str, event: &Value| case.cluster.request("POST", &path, token, "application/json", Some(event));
    let unbound = case.cluster.token("kube-system", "eventful", None);
    let by = |component: &str, reporting: &str| {
        let mut event = event("Pod", &case.node);
        event["source"]["component"] = json!(component);
        event["reportingComponent"] = json!(reporting);
        event
    };
    let refused = [
        ("another kind", &case.token, event("ConfigMap", &case.node), "about pods only"),
        ("another host", &case.token, event("Pod", "another-node"), "whose source.host is that node"),
        ("no host", &case.token, event("Pod", ""), "whose source.host is that node"),
        ("another component", &case.token, by("kubelet", ""), "in its own name only"),
        ("another reporting component", &case.token, by("rooknet", "kubelet"), "in its own name only"),
        ("a token of no node", &unbound, event("Pod", &case.node), "token is not bound to a node"),
    ];
    for (what, token, event, words) in refused {
        let answer = post(token, &event);
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
        assert!(answer.message().contains(words), "{what}: {answer:?}");
        assert_eq!(post(ADMIN, &event).status, 201, "{what}, by the administrator");
    }
    let own = by("rooknet", "rooknet");
    post(&case.token, &own).expect_success("its own");

    let events = case.cluster.get(&path).expect_success("events");
    let hosts: BTreeSet<&str> =
        events["items"].as_array().unwrap().iter().filter_map(|event| event["source"]["host"].as_str()).collect();
    assert!(hosts.contains(case.node.as_str()), "{hosts:?}");
    // The same account writes statuses as the other one does.
    case.patch(&pod, &case.token, &status("[1]")).expect_success("the status");
    let label = json!({"metadata": {"labels": {"new": "1"}}});
    assert_eq!(case.patch(&pod, &case.token, &label).status, 403);
}
