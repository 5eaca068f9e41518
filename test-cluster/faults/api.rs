//! The API server is away while pods go.

use std::time::{Duration, Instant};

use super::wave;
use crate::stage::{NODES, Stage};

/// How long it is away.
const AWAY: Duration = Duration::from_secs(60);

#[test]
fn pods_that_go_while_the_api_server_is_away_leave_nothing() {
    let stage = Stage::deployed();
    let pods = wave(130);
    stage.start(&pods);
    for pod in &pods {
        stage.api.delete(&pod.path());
    }
    stage.control_api("stop");
    let start = Instant::now();
    // By then the kubelet knows: their journals go without an API server.
    for node in NODES {
        stage.wait_for("the pods are detached", || !stage.node(node).holdings().contains_key("journal"));
    }
    stage.is_so_within(AWAY.saturating_sub(start.elapsed()), || false);
    stage.control_api("start");
    stage.await_gone(&pods);
    stage.await_agents();
    let pods = wave(140);
    stage.start(&pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
}
