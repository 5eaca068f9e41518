//! rooknet is taken off the nodes while pods come and go (Multus 592, 1105, 1146, 1429: an uninstall that bricks nodes).

use super::wave;
use crate::stage::{Deployment, NAMESPACE, Stage};

#[test]
fn an_uninstall_under_load_waits_for_the_last_attached_pod_and_leaves_nothing() {
    let mut stage = Stage::deployed();
    let pods = wave(180);
    stage.start(&pods);
    stage.begin_uninstall();
    // New ones that select networks are refused from now on, and none runs without.
    let refused = wave(190);
    stage.create(&refused);
    stage.wait_for("new pods are refused", || {
        stage
            .warnings(NAMESPACE)
            .iter()
            .any(|event| event.contains("FailedCreatePodSandBox") && event.contains("osd-190"))
    });
    stage.assert_attached(&pods);
    for pod in &refused {
        assert_ne!(stage.api.get(&pod.path())["status"]["phase"], "Running", "{} runs", pod.name);
    }
    // Those that are attached are deleted along our conflist, which is still there.
    stage.delete(&pods);
    stage.delete(&refused);
    stage.await_agents();
    stage.finish_uninstall();
    stage.assert_nothing_left();
    let plain: Vec<_> =
        crate::stage::NODES.into_iter().map(|node| crate::stage::plain(&format!("after-{node}"), node)).collect();
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
