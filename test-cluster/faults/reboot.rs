//! A node loses its power (Multus 1387, 1468: pods silently lack their networks after a reboot).

use super::{assert_osds_meet, wave};
use crate::stage::Stage;

#[test]
fn after_a_reboot_pods_have_their_networks_again_and_nothing_of_the_former_boot_is_left() {
    let mut stage = Stage::deployed();
    stage.count();
    let pods = wave(60);
    stage.start(&pods);
    stage.node("node-a").control("reboot", "");
    stage.await_agents();
    for pod in pods.iter().filter(|pod| pod.node == "node-a") {
        stage.wait_for(&format!("{} runs again", pod.name), || {
            let found = stage.api.get(&pod.path());
            found["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0)
                && found["status"]["containerStatuses"][0]["ready"] == true
        });
    }
    stage.await_running(&pods);
    assert_osds_meet(&stage, &pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
}
