//! The agent is killed again and again (Multus 1346, 1527).

use super::{assert_osds_meet, wave};
use crate::stage::{NODES, Stage};

#[test]
fn an_agent_killed_in_a_loop_while_pods_start_costs_no_pod_its_networks() {
    let stage = Stage::deployed();
    let mut pods = Vec::new();
    for round in 0..4 {
        let wave = wave(10 + 2 * round);
        stage.create(&wave);
        pods.extend(wave);
        for node in NODES {
            stage.kill_agent(node);
        }
    }
    stage.await_running(&pods);
    assert_osds_meet(&stage, &pods[..4]);
    stage.delete(&pods);
    stage.assert_nothing_left();
    // New pods: those that were killed so often would wait minutes for their next start.
    stage.replace_agents();
}
