//! The network card under running pods is made anew, by a driver's restart for one (Multus 1008).

use super::{assert_osds_meet, wave};
use crate::stage::Stage;

#[test]
fn links_whose_master_was_made_anew_come_back_in_running_pods() {
    let stage = Stage::deployed();
    let pods = wave(120);
    stage.start(&pods);
    let addresses: Vec<String> = pods.iter().map(|pod| stage.address(pod, "public")).collect();
    let links: Vec<String> = pods.iter().map(|pod| stage.exec(pod, "cat /sys/class/net/net1/address")).collect();
    let node = stage.node("node-a");
    node.nic("stor0", "delete");
    stage.wait_for("the kernel has taken the links", || {
        pods.iter().filter(|pod| pod.node == node.name).all(|pod| !stage.exec(pod, "ip -o link").contains("net1@"))
    });
    node.nic("stor0", "create");
    stage.wait_for("the links are back", || {
        pods.iter().filter(|pod| pod.node == node.name).all(|pod| stage.exec(pod, "ip -o link").contains("net1@"))
    });
    stage.assert_attached(&pods);
    for ((pod, address), link) in pods.iter().zip(&addresses).zip(&links) {
        assert_eq!(&stage.exec(pod, "cat /sys/class/net/net1/address"), link, "the MAC of {}", pod.name);
        assert!(stage.exec(pod, "ip -o addr show net1").contains(&format!(" {address}/24 ")), "{}", pod.name);
    }
    assert_osds_meet(&stage, &pods);
    stage.wait_for("the repairs are told as events", || {
        stage
            .events(crate::stage::NAMESPACE)
            .iter()
            .any(|event| event.contains("rook-ceph-osd-120") && event.contains("net1"))
    });
    stage.delete(&pods);
    stage.assert_nothing_left();
}
