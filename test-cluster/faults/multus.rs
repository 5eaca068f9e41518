//! A conflist of Multus lies beside ours (Multus 353, 1108: it wraps itself; 1499).

use super::wave;
use crate::stage::{Deployment, Stage};

/// As Multus's own installer names it: it sorts before ours.
const MULTUS: &str = "/etc/cni/net.d/00-multus.conf";
/// Such a file as its installer generates it.
const CONFIGURATION: &str = r#"{"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus",
    "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig", "delegates": [{"cniVersion": "1.1.0", "name": "pods",
    "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": {"type": "host-local"}}]}]}"#;

#[test]
fn a_conflist_of_multus_beside_ours_is_told_and_replaced_only_when_told_to() {
    let stage = Stage::deployed();
    let node = stage.node("node-a");
    node.write(MULTUS, CONFIGURATION);
    stage.wait_for("the agent tells of it", || {
        stage.agent_page(node.name, "metrics").contains("rooknet_install_verified 0")
    });
    assert_eq!(node.read(MULTUS).as_deref(), Some(CONFIGURATION), "it is left alone");
    // The runtime goes by Multus's configuration now, whose program is missing: nothing starts, and nothing starts
    // without its networks.
    let pods = wave(160);
    stage.create(&pods);
    let elsewhere: Vec<_> = pods.iter().filter(|pod| pod.node != node.name).cloned().collect();
    stage.await_running(&elsewhere);
    for pod in pods.iter().filter(|pod| pod.node == node.name) {
        assert_ne!(stage.api.get(&pod.path())["status"]["phase"], "Running", "{} runs", pod.name);
    }
    stage.deploy(Deployment { arguments: vec!["--replace-multus"], ..Deployment::default() });
    assert_eq!(node.read(MULTUS), None, "it is put aside");
    stage.await_running(&pods);
    stage.delete(&pods);
    stage.assert_nothing_left();
    // And it is there again when rooknet goes, if Multus itself is: without its program no pod would start any more.
    node.shell("cp /opt/cni/bin/loopback /opt/cni/bin/multus");
    stage.uninstall();
    assert_eq!(node.read(MULTUS).as_deref(), Some(CONFIGURATION));
    node.shell(&format!("rm {MULTUS} /opt/cni/bin/multus"));
    stage.deploy(Deployment::default());
}
