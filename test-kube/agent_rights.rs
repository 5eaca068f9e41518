//! What the agent's token may do: all that is granted and nothing else, and of that only what concerns its own node.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::{ADMIN, AGENT, Answer, Cluster};
use crate::rights::{allowed, rules};

const TOKENS: &str = "/api/v1/namespaces/kube-system/serviceaccounts/rooknet/token";

/// An agent as the DaemonSet runs it: its node, and the token of its pod.
struct Agent {
    cluster: &'static Cluster,
    node: String,
    node_uid: String,
    token: String,
}

impl Agent {
    fn start() -> Self {
        let cluster = Cluster::shared();
        let node = cluster.unique_name("node");
        let node_uid = cluster.create_node(&node);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("agent-on-{node}")},
            "spec": {
                "nodeName": node, "serviceAccountName": AGENT,
                "containers": [{"name": "agent", "image": "none"}],
            },
        });
        let pod = cluster.post("/api/v1/namespaces/kube-system/pods", &pod)["metadata"].clone();
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]});
        let token = cluster.token("kube-system", AGENT, Some(&bound));
        Self { cluster, node, node_uid, token }
    }

    fn request_token(&self, path: &str, bound: &Value) -> Answer {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 86400, "boundObjectRef": bound},
        });
        self.cluster.request("POST", path, &self.token, "application/json", Some(&request))
    }

    fn patch_node(&self, node: &str, patch: &Value) -> Answer {
        self.cluster.merge_patch(&format!("/api/v1/nodes/{node}"), &self.token, patch)
    }
}

/// What the agent is granted everywhere.
fn granted() -> BTreeSet<String> {
    let granted = [
        "get  nodes",
        "patch  nodes",
        "get  pods",
        "list  pods",
        "watch  pods",
        "create  pods/eviction",
        "list k8s.cni.cncf.io network-attachment-definitions",
        "watch k8s.cni.cncf.io network-attachment-definitions",
        "create  events",
    ];
    granted.map(str::to_owned).into()
}

/// The same with the one right that it has in one namespace on one object.
fn granted_beside(token: &str) -> BTreeSet<String> {
    let mut granted = granted();
    granted.insert(token.to_owned());
    granted
}

#[test]
fn the_agent_has_the_granted_rules_more_than_any_other_account() {
    let agent = Agent::start();
    let namespace = agent.cluster.unique_name("rules");
    agent.cluster.create_namespace(&namespace);
    let anybody = agent.cluster.token(&namespace, "default", None);
    for (place, expected) in [
        (namespace.as_str(), granted()),
        ("kube-system", granted_beside("create  serviceaccounts/token [\"rooknet\"]")),
    ] {
        let without = rules(agent.cluster, &anybody, place);
        let with = rules(agent.cluster, &agent.token, place);
        let more: BTreeSet<String> = with.difference(&without).cloned().collect();
        assert_eq!(more, expected, "{place}");
    }
}

#[test]
fn of_all_verbs_on_all_resources_the_agent_is_allowed_only_the_granted() {
    let agent = Agent::start();
    for (namespace, name, expected) in [
        ("default", "rooknet", granted()),
        ("kube-system", "rooknet-agent", granted()),
        ("kube-system", "rooknet", granted_beside("create  serviceaccounts/token")),
    ] {
        assert_eq!(allowed(agent.cluster, &agent.token, namespace, name), expected, "{namespace}/{name}");
    }
}

#[test]
fn the_agent_gets_tokens_of_the_plugin_that_are_bound_to_its_own_node_and_no_others() {
    let agent = Agent::start();
    let node = json!({"apiVersion": "v1", "kind": "Node", "name": agent.node, "uid": agent.node_uid});
    let answer = agent.request_token(TOKENS, &node).expect_success("a token bound to its node");
    assert!(answer["status"]["token"].is_string(), "{answer}");

    let other = agent.cluster.unique_name("node");
    let uid = agent.cluster.create_node(&other);
    let other = json!({"apiVersion": "v1", "kind": "Node", "name": other, "uid": uid});
    for bound in [other, Value::Null] {
        let answer = agent.request_token(TOKENS, &bound);
        let said = format!("rooknet's agent on the node {} may request tokens only", agent.node);
        assert!(answer.status == 403 && answer.message().contains(&said), "{bound}: {answer:?}");
    }
    let answer = agent.request_token(&TOKENS.replace("rooknet", AGENT), &node);
    assert!(answer.status == 403 && !answer.message().contains("Policy"), "another account's: {answer:?}");
}

#[test]
fn the_agent_changes_rooknets_taints_on_its_own_node_and_nothing_else() {
    let agent = Agent::start();
    let path = format!("/api/v1/nodes/{}", agent.node);
    // The server's own: a node that was just created is not ready.
    let present = agent.cluster.get(&path).expect_success("the node")["spec"]["taints"].clone();
    let own = json!({"key": "rooknet.io/starting", "effect": "NoSchedule"});
    let others = json!({"key": "example.com/maintenance", "effect": "NoExecute"});
    let taints = |more: &[&Value]| -> Value {
        let taints: Vec<&Value> = present.as_array().into_iter().flatten().chain(more.iter().copied()).collect();
        json!({"spec": {"taints": taints}})
    };
    agent.patch_node(&agent.node, &taints(&[&own])).expect_success("its own taint");
    agent.patch_node(&agent.node, &taints(&[])).expect_success("without it");

    for (patch, said) in [
        (taints(&[&own, &others]), "may change no taint of a node but those whose key begins with rooknet.io/"),
        (
            json!({"spec": {"taints": [own]}}),
            "may change no taint of a node but those whose key begins with rooknet.io/",
        ),
        (json!({"spec": {"unschedulable": true}}), "may change nothing of a node but its taints"),
        (json!({"metadata": {"labels": {"a": "b"}}}), "may change no label and no annotation of a node"),
        (json!({"metadata": {"annotations": {"a": "b"}}}), "may change no label and no annotation of a node"),
        (json!({"metadata": {"finalizers": ["example.com/a"]}}), "may change no finalizer and no owner reference"),
    ] {
        let answer = agent.patch_node(&agent.node, &patch);
        assert!(answer.status == 403 && answer.message().contains(said), "{patch}: {answer:?}");
    }

    let admin = agent.cluster.merge_patch(&path, ADMIN, &taints(&[&others]));
    admin.expect_success("a taint of the administrator's");
    agent.patch_node(&agent.node, &taints(&[&others, &own])).expect_success("beside another's");
    let answer = agent.patch_node(&agent.node, &taints(&[&own]));
    assert!(answer.status == 403 && answer.message().contains("may change no taint"), "{answer:?}");

    let other = agent.cluster.unique_name("node");
    agent.cluster.create_node(&other);
    let answer = agent.patch_node(&other, &taints(&[&own]));
    let said = format!("rooknet's agent on the node {} may not change the node {other}", agent.node);
    assert!(answer.status == 403 && answer.message().contains(&said), "{answer:?}");
}
