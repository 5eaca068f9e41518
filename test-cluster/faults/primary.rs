//! The primary network's conflist is absent at boot, comes late, changes, or is damaged (Multus 1387, 1499, 1155).

use super::wave;
use crate::stage::Stage;

/// Where the primary's conflist is.
const PRIMARY: &str = "/etc/cni/net.d/10-primary.conflist";
/// Where ours is.
const OURS: &str = "/etc/cni/net.d/00-rooknet.conflist";

#[test]
fn a_primary_that_comes_late_after_a_boot_is_waited_for() {
    let stage = Stage::deployed();
    let node = stage.node("node-a");
    let primary = node.read(PRIMARY).expect("the primary's conflist");
    node.shell(&format!("mv {PRIMARY} /etc/cni/primary.away; rm {OURS}"));
    let pods = wave(90);
    node.control("stop", "containerd");
    node.control("start", "containerd");
    stage.create(&pods);
    // On the other node they start; here there is nothing by which a pod could start.
    let elsewhere: Vec<_> = pods.iter().filter(|pod| pod.node != node.name).cloned().collect();
    stage.await_running(&elsewhere);
    for pod in pods.iter().filter(|pod| pod.node == node.name) {
        assert_ne!(stage.api.get(&pod.path())["status"]["phase"], "Running", "{} runs", pod.name);
    }
    assert_eq!(node.read(OURS), None, "a conflist without a primary");
    node.shell(&format!("mv /etc/cni/primary.away {PRIMARY}"));
    assert_eq!(node.read(PRIMARY), Some(primary));
    stage.await_running(&pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
}

#[test]
fn what_the_primarys_installer_writes_anew_is_followed() {
    let stage = Stage::deployed();
    let former = stage.nodes().clone().map(|node| node.read(PRIMARY).expect("the primary's conflist"));
    for (node, former) in stage.nodes().iter().zip(&former) {
        let with_mtu = former.replace("\"isGateway\": true", "\"isGateway\": true, \"mtu\": 1400");
        assert_ne!(former, &with_mtu);
        node.write(PRIMARY, &with_mtu);
        stage.wait_for("our conflist follows", || node.read(OURS).is_some_and(|text| text.contains("1400")));
    }
    let pods = wave(100);
    stage.start(&pods);
    for pod in &pods {
        assert_eq!(stage.exec(pod, "cat /sys/class/net/eth0/mtu").trim(), "1400", "{}", pod.name);
    }
    for (node, former) in stage.nodes().iter().zip(&former) {
        node.write(PRIMARY, former);
        stage.wait_for("our conflist follows back", || node.read(OURS).is_some_and(|text| !text.contains("1400")));
    }
    stage.delete(&pods);
    stage.assert_nothing_left();
}

#[test]
fn a_damaged_primary_changes_nothing() {
    let stage = Stage::deployed();
    let node = stage.node("node-b");
    let (former, ours) = (node.read(PRIMARY).expect("the primary's conflist"), node.read(OURS));
    let faults = stage.metric(node.name, "rooknet_install_verified", "");
    assert!((faults - 1.0).abs() < f64::EPSILON, "it is verified");
    for damaged in ["", "{\"cniVersion\": \"1.1.0\", \"name\": \"pods\", \"plug"] {
        node.write(PRIMARY, damaged);
        stage.wait_for("the agent tells of it", || {
            stage.agent_page(node.name, "metrics").contains("rooknet_install_verified 0")
        });
        assert_eq!(node.read(OURS), ours, "our conflist after {damaged:?}");
        let pods = wave(110);
        stage.start(&pods);
        stage.delete(&pods);
    }
    node.write(PRIMARY, &former);
    stage.wait_for("the agent is content again", || {
        stage.agent_page(node.name, "metrics").contains("rooknet_install_verified 1")
    });
    stage.assert_nothing_left();
}
