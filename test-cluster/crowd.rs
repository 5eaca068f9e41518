//! Case 4: many pods at once.

use crate::stage::{NODES, Pod, Stage, osd};

#[test]
fn sixty_pods_come_and_go_at_once_and_nothing_is_left() {
    let stage = Stage::deployed();
    let before: Vec<f64> =
        NODES.iter().map(|node| stage.metric(node, "rooknet_calls_total", "command=\"ADD\"")).collect();
    let pods: Vec<Pod> = (0..60).map(|number| osd(200 + number, NODES[number as usize % NODES.len()])).collect();
    stage.create(&pods);
    for pod in &pods {
        stage.wait_for(&format!("{} runs", pod.name), || stage.api.get(&pod.path())["status"]["phase"] == "Running");
    }
    // Each was told of three interfaces, and no address was given twice.
    let mut addresses: Vec<String> = Vec::new();
    for pod in &pods {
        let status = stage.network_status(pod);
        assert_eq!(status.as_array().map(Vec::len), Some(3), "{}: {status}", pod.name);
        addresses.extend(["public", "cluster"].map(|network| stage.address(pod, network)));
    }
    addresses.sort();
    let all = addresses.len();
    addresses.dedup();
    assert_eq!((all, addresses.len()), (120, 120), "addresses were given twice");
    for (node, before) in NODES.into_iter().zip(before) {
        stage.wait_for("the metrics count the calls", || {
            stage.metric(node, "rooknet_calls_total", "command=\"ADD\"") >= before + 30.0
        });
        stage.tell_durations(node);
    }
    stage.delete(&pods);
    stage.assert_nothing_left();
}
