//! A pod that ran before rooknet came, and goes afterwards.

use super::wave;
use crate::stage::{Deployment, NODES, Stage, plain};

#[test]
fn a_pod_attached_before_the_install_and_deleted_after_frees_its_address() {
    let mut stage = Stage::bare();
    stage.uninstall();
    stage.count();
    let plain: Vec<_> = NODES.into_iter().map(|node| plain(&format!("before-{node}"), node)).collect();
    // It selects networks, and nobody is there who reads that.
    let selecting = wave(150);
    stage.create(&plain);
    stage.create(&selecting);
    for pod in plain.iter().chain(&selecting) {
        stage.wait_for(&format!("{} runs", pod.name), || stage.api.get(&pod.path())["status"]["phase"] == "Running");
    }
    stage.deploy(Deployment::default());
    // What they lack is told: by an event of each pod, and by a metric.
    for pod in &selecting {
        stage.wait_for(&format!("an event says what {} lacks", pod.name), || {
            stage
                .warnings(crate::stage::NAMESPACE)
                .iter()
                .any(|event| event.contains(&pod.name) && event.contains("public"))
        });
    }
    for node in NODES {
        stage.wait_for("the metric counts them", || stage.metric(node, "rooknet_pods_lacking_networks", "") >= 2.0);
    }
    stage.delete(&plain);
    stage.delete(&selecting);
    stage.assert_nothing_left();
}
