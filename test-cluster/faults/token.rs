//! The plugin's token is old, or expired (Multus 852, 929, 1263, 1367).

use super::wave;
use crate::stage::{Deployment, NODES, Stage};

/// An hour in seconds.
const HOUR: i64 = 3600;

#[test]
fn an_hour_old_token_serves_without_the_agent() {
    let stage = Stage::deployed();
    stage.remove_agents();
    for node in NODES {
        stage.age_token(node, HOUR);
    }
    let pods = wave(70);
    stage.start(&pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
    stage.deploy(Deployment::default());
}

#[test]
fn an_expired_token_is_renewed_and_until_then_no_pod_starts_without_its_networks() {
    let stage = Stage::deployed();
    stage.remove_agents();
    for node in NODES {
        stage.age_token(node, 25 * HOUR);
    }
    let pods = wave(80);
    stage.create(&pods);
    stage.wait_for("the plugin's refusal is told", || {
        stage.warnings(crate::stage::NAMESPACE).iter().any(|event| event.contains("FailedCreatePodSandBox"))
    });
    for pod in &pods {
        assert_ne!(stage.api.get(&pod.path())["status"]["phase"], "Running", "{} runs", pod.name);
    }
    stage.deploy(Deployment::default());
    stage.await_running(&pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
}
