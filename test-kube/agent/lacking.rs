//! Running pods that lack networks which they select.

use serde_json::{Value, json};

use super::token::config;
use super::{Agent, known, runtime};
use crate::cluster::{ADMIN, MERGE_PATCH, pod_path};
use crate::site::{Pod, Site};
use crate::support::runtime::Runtime;

/// Reports that a pod runs, as its kubelet would.
fn set_running(site: &Site, pod: &Pod<'_>) {
    let path = format!("{}/status", pod_path(&pod.namespace, &pod.name));
    let status = json!({"status": {"phase": "Running"}});
    site.cluster.request("PATCH", &path, ADMIN, MERGE_PATCH, Some(&status)).expect_success("the pod's phase");
}

/// Pods of which it is said that they lack networks.
fn told_of(site: &Site) -> Vec<String> {
    let path = format!("/api/v1/namespaces/{}/events", site.namespace);
    let events = site.cluster.get(&path).expect_success("events")["items"].as_array().unwrap().clone();
    let mut names: Vec<String> = events
        .iter()
        .filter(|event| event["reason"] == "LacksNetworks" && event["type"] == "Warning")
        .map(|event| event["involvedObject"]["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A pod that runs with its networks, one that was never attached, one that selects nothing; all known to the runtime.
fn pods<'a>(site: &'a Site, runtime: &Runtime, config: &Value) -> [Pod<'a>; 3] {
    // The agent that will write one has not started yet.
    site.write_token(&site.token());
    site.define_stub("net", &json!({}));
    let pods = [site.pod("attached", Some("net")), site.pod("lacking", Some("net")), site.pod("plain", None)];
    for pod in &pods {
        runtime.add(known(pod));
        set_running(site, pod);
    }
    site.add(config, &pods[0]);
    pods
}

#[test]
fn a_running_pod_that_nobody_attached_is_told_of_once_and_left_alone() {
    let site = Site::start();
    let runtime = runtime(&site);
    let mut agent = Agent::new(&site, &site.cluster.server().url(), &["--grace", "0s"]);
    let mut plugin = config(&site);
    plugin["kubeconfig"] = site.chained()["kubeconfig"].clone();
    let pods = pods(&site, &runtime, &plugin);
    agent.run();
    agent.wait_until("the event", || told_of(&site) == ["lacking"]);
    assert_eq!(agent.metric("rooknet_pods_lacking_networks"), Some(1.0));
    agent.wait_until_well();
    assert!(agent.log().contains(&format!("pod {}/lacking: The pod runs without networks", site.namespace)));
    // Attached meanwhile: it no longer counts.
    site.add(&plugin, &pods[1]);
    agent.wait_until("the end of the lack", || agent.metric("rooknet_pods_lacking_networks") == Some(0.0));
    assert_eq!(told_of(&site), ["lacking"]);
    for pod in &pods {
        site.cluster.pod(&pod.namespace, &pod.name);
    }
    drop(agent);
    site.del(&plugin, &pods[0]);
    site.del(&plugin, &pods[1]);
    site.assert_clean();
}

#[test]
fn only_when_told_to_it_evicts_such_pods_and_no_disruption_budget_is_broken() {
    let site = Site::start();
    let runtime = runtime(&site);
    let mut agent = Agent::new(&site, &site.cluster.server().url(), &["--grace", "0s", "--evict"]);
    let mut plugin = config(&site);
    plugin["kubeconfig"] = site.chained()["kubeconfig"].clone();
    let pods = pods(&site, &runtime, &plugin);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "test"}}},
    });
    let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", site.namespace);
    site.cluster.post(&path, &budget);
    agent.run();
    agent.wait_until("an eviction that must wait", || {
        agent.metric("rooknet_pod_evictions_total{kind=\"postponed\"}").is_some_and(|count| count >= 1.0)
    });
    assert!(site.cluster.pod(&site.namespace, "lacking")["metadata"]["deletionTimestamp"].is_null());
    site.cluster.delete(&format!("{path}/budget")).expect_success("delete the budget");
    agent.wait_until("the eviction", || {
        let answer = site.cluster.get(&pod_path(&site.namespace, "lacking"));
        answer.status == 404 || answer.body["metadata"]["deletionTimestamp"].is_string()
    });
    for name in ["attached", "plain"] {
        assert!(site.cluster.pod(&site.namespace, name)["metadata"]["deletionTimestamp"].is_null(), "{name}");
    }
    drop(agent);
    site.del(&plugin, &pods[0]);
    site.assert_clean();
}
