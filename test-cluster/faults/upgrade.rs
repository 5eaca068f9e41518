//! A new version takes the place of a running one (Multus 1221, 1213: "Text file busy").

use super::wave;
use crate::stage::{Deployment, NAMESPACE, NODES, Stage};

#[test]
fn an_upgrade_while_pods_start_fails_no_sandbox() {
    let stage = Stage::deployed();
    let former = stage.plugin_digest(NODES[0]);
    // A program with something behind its end is another file and runs all the same.
    let next = stage.image_with_another_plugin("next");
    let mut pods = wave(30);
    stage.create(&pods);
    stage.apply(&Deployment { image: Some(next), ..Deployment::default() });
    let mut round = 0;
    stage.wait_for("both nodes have the new plugin while pods start", || {
        if round < 8 {
            let more = wave(40 + 2 * round);
            stage.create(&more);
            pods.extend(more);
            round += 1;
        }
        NODES.iter().all(|node| stage.plugin_digest(node) != former)
    });
    stage.await_agents();
    stage.await_running(&pods);
    let failed: Vec<String> = stage
        .warnings(NAMESPACE)
        .into_iter()
        .filter(|event| event.contains("FailedCreatePodSandBox") || event.contains("FailedToAttachNetworks"))
        .collect();
    assert_eq!(failed, Vec::<String>::new());
    stage.delete(&pods);
    stage.assert_nothing_left();
    // Back to the version of the other cases.
    stage.deploy(Deployment::default());
    stage.wait_for("the former plugin is back", || NODES.iter().all(|node| stage.plugin_digest(node) == former));
}
