//! `rooknetctl status` of all nodes, from a real API server. Nodes and pods are objects that nobody serves: what is
//! judged is what the API server shows.

use serde_json::{Value, json};

use crate::cluster::{ADMIN, Cluster, Kubeconfig, MERGE_PATCH, pod_path};
use crate::fixture::NETWORKS_ANNOTATION;
use crate::site::Site;
use crate::ward::Ward;

/// The rows that are provoked here.
pub(crate) const ROWS: &[&str] =
    &["agent-missing", "agents-differ", "not-verified", "pod-without-status", "pod-not-started"];

const CONFIG: &str = "/run/admin.kubeconfig";
const STATUS: &[&str] = &["status", "--kubeconfig", CONFIG];

/// A node with what an administrator needs.
fn site() -> Site {
    let site = Site::start();
    site.node().write(CONFIG, Kubeconfig::new(site.cluster, &site.cluster.server().url()).to_string());
    site
}

fn patch(cluster: &Cluster, path: &str, body: &Value) {
    cluster.request("PATCH", path, ADMIN, MERGE_PATCH, Some(body)).expect_success(path);
}

/// An agent's pod on the site's node.
fn create_agent(site: &Site, image: &str, is_ready: bool) {
    let name = site.cluster.unique_name("rooknet");
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "rooknet", "uid": "6d1f7b2e-0000-4000-8000-00000000000d",
    });
    let labels = json!({"app.kubernetes.io/name": "rooknet"});
    site.cluster.post(
        &format!("/api/v1/namespaces/{}/pods", site.namespace),
        &json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {
                "nodeName": site.node_name, "automountServiceAccountToken": false,
                "containers": [{"name": "agent", "image": image}],
            },
        }),
    );
    set_phase(site, &name, "Running", is_ready);
}

fn set_phase(site: &Site, pod: &str, phase: &str, is_ready: bool) {
    let ready = if is_ready { "True" } else { "False" };
    let status = json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
    patch(site.cluster, &format!("{}/status", pod_path(&site.namespace, pod)), &status);
}

/// What the report says of the site's node.
fn node_of(site: &Site, report: &Value) -> Value {
    let nodes = report["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["name"] == site.node_name.as_str()).expect("the node is in the report").clone()
}

fn ward(site: &Site) -> Ward<'_> {
    Ward::with_entry(&site.fixture, &json!({}))
}

#[test]
fn a_node_whose_agent_is_missing_or_not_ready_or_of_another_version_is_told() {
    let (with, without) = (site(), site());
    create_agent(&with, "rooknet:1", true);
    let ward = ward(&with);
    let report = ward.looks(STATUS);
    let agent = &node_of(&with, &report)["agent"];
    assert_eq!((&agent["ready"], &agent["image"]), (&json!(true), &json!("rooknet:1")), "{report:#}");
    ward.shows_by(STATUS, "agent-missing", &[&without.node_name]);
    create_agent(&without, "rooknet:2", false);
    ward.shows_by(STATUS, "agent-missing", &[&without.node_name, "not ready"]);
    ward.shows_by(STATUS, "agents-differ", &["rooknet:1", "rooknet:2"]);
    let findings = ward.looks(STATUS)["findings"].to_string();
    assert!(!findings.contains(&with.node_name), "{findings}");
}

#[test]
fn a_node_that_keeps_its_start_up_taint_is_told() {
    let site = site();
    let ward = ward(&site);
    let taint = json!({"spec": {"taints": [{"key": "rooknet.io/not-ready", "effect": "NoSchedule"}]}});
    patch(site.cluster, &format!("/api/v1/nodes/{}", site.node_name), &taint);
    ward.shows_by(STATUS, "not-verified", &[&site.node_name]);
    assert_eq!(node_of(&site, &ward.looks(STATUS))["tainted"], true);
}

#[test]
fn a_running_pod_whose_network_status_lacks_what_it_selects_is_told_until_it_has_it() {
    let site = site();
    let ward = ward(&site);
    let annotations = json!({NETWORKS_ANNOTATION: "public, public@second"});
    site.cluster.create_pod(&site.namespace, "osd", &site.node_name, &annotations);
    set_phase(&site, "osd", "Running", true);
    let (pod, public) = (format!("{}/osd", site.namespace), format!("{}/public", site.namespace));
    ward.shows_by(STATUS, "pod-without-status", &[&pod, &public, &site.node_name]);
    let told = |count: usize| {
        let entries = vec![json!({"name": public, "interface": "net1"}); count];
        let annotations = json!({"k8s.v1.cni.cncf.io/network-status": Value::from(entries).to_string()});
        patch(site.cluster, &pod_path(&site.namespace, "osd"), &json!({"metadata": {"annotations": annotations}}));
    };
    told(1);
    ward.shows_by(STATUS, "pod-without-status", &[&pod, &public]);
    told(2);
    let findings = ward.looks(STATUS)["findings"].to_string();
    assert!(!findings.contains(&pod), "{findings}");
}

#[test]
fn a_pod_that_does_not_start_is_told_in_the_plugins_words() {
    let site = site();
    let ward = ward(&site);
    let annotations = json!({NETWORKS_ANNOTATION: "nowhere"});
    site.cluster.create_pod(&site.namespace, "mon", &site.node_name, &annotations);
    site.cluster.post(
        &format!("/api/v1/namespaces/{}/events", site.namespace),
        &json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "mon.1"}, "type": "Warning",
            "reason": "FailedCreatePodSandBox", "message": "network nowhere does not exist\u{1b}[2J",
            "involvedObject": {"kind": "Pod", "namespace": site.namespace, "name": "mon"},
        }),
    );
    let pod = format!("{}/mon", site.namespace);
    ward.shows_by(STATUS, "pod-not-started", &[&pod, "network nowhere does not exist\\u{1b}[2J"]);
}

#[test]
fn a_definition_that_leaves_nodes_out_is_told_with_their_names() {
    let (one, other) = (site(), site());
    let ward = ward(&one);
    let ranges = json!({one.node_name.clone(): [[{"subnet": "10.2.0.0/24"}]]}).to_string();
    let annotations = json!({"rooknet.io/node-ranges": ranges});
    let config = json!({"cniVersion": "1.0.0", "type": "macvlan", "ipam": {"type": "host-local"}});
    one.cluster.create_network(&one.namespace, "shared", &config, &annotations);
    let network = format!("{}/shared", one.namespace);
    ward.shows_by(STATUS, "definition-without-range", &[&network, &other.node_name]);
}

#[test]
fn the_table_of_all_nodes_has_a_line_for_each_and_says_what_is_not_seen() {
    let site = site();
    create_agent(&site, "rooknet:1", true);
    let outcome = ward(&site).ctl(STATUS);
    let text = String::from_utf8_lossy(&outcome.stdout);
    let line = text.lines().find(|line| line.contains(&site.node_name)).expect("a line of the node");
    assert!(line.contains("ready") && line.contains("rooknet:1"), "{text}");
    assert!(text.contains("Not checked"), "{text}");
}
