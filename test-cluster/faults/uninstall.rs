//! rooknet is taken off the nodes while pods come and go (Multus 592, 1105, 1146, 1429: an uninstall that bricks nodes).

use super::wave;
use crate::stage::{Deployment, NAMESPACE, NODES, Pod, Stage, plain};

/// Where the plugin looks whether its node is drained.
const DRAINING: &str = "/var/lib/rooknet/draining";

#[test]
fn an_uninstall_under_load_waits_for_the_last_of_its_pods_and_leaves_nothing() {
    let mut stage = Stage::deployed();
    let pods = wave(180);
    stage.start(&pods);
    stage.begin_uninstall();
    for node in NODES {
        stage.wait_for(&format!("{node} is drained"), || stage.node(node).read(DRAINING).is_some());
    }
    // New ones that select networks are refused from now on, and none runs without.
    let refused = wave(190);
    stage.create(&refused);
    stage.wait_for("new pods are refused", || {
        let warnings = stage.warnings(NAMESPACE);
        refused.iter().all(|pod| {
            warnings.iter().any(|event| event.contains("FailedCreatePodSandBox") && event.contains(&pod.name))
        })
    });
    stage.assert_attached(&pods);
    for pod in &refused {
        assert_ne!(stage.api.get(&pod.path())["status"]["phase"], "Running", "{} runs", pod.name);
    }
    // Whoever changes his mind applies the other manifests again.
    stage.deploy(Deployment::default());
    stage.await_running(&refused);
    stage.begin_uninstall();
    // Those that are attached are deleted along our conflist, which is still there.
    stage.delete(&pods);
    stage.delete(&refused);
    stage.await_agents();
    stage.finish_uninstall();
    stage.assert_nothing_left();
    let plain: Vec<Pod> = NODES.into_iter().map(|node| plain(&format!("after-{node}"), node)).collect();
    stage.create(&plain);
    for pod in &plain {
        stage.wait_for(&format!("{} runs", pod.name), || stage.api.get(&pod.path())["status"]["phase"] == "Running");
    }
    stage.delete(&plain);
    // And again there.
    stage.deploy(Deployment::default());
    stage.count();
    let pods = wave(195);
    stage.start(&pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
}
