//! Case 5: the host shim. A process in a node's own namespace reaches pods on their storage network.

use crate::stage::{Deployment, NODES, Stage, host_address, osd};

#[test]
fn a_node_reaches_the_public_addresses_of_its_own_pods_and_of_the_other_nodes() {
    let stage = Stage::deployed();
    let pods = [osd(170, "node-a"), osd(171, "node-b")];
    stage.start(&pods);
    let address_of = |number: usize| stage.address(&pods[number], "public");
    let (own, other) = (address_of(0), address_of(1));
    let node = stage.node("node-a");
    let reaches = |address: &str| node.enter(&["ping", "-c", "1", "-W", "2", address]).success();
    assert!(!reaches(&own), "without a shim the node reaches its own pod, so that the case shows nothing");
    stage.deploy(Deployment { arguments: vec!["--host-access=rook-ceph/public"], ..Deployment::default() });
    for address in [&own, &other] {
        stage.wait_for(&format!("the node reaches {address}"), || reaches(address));
    }
    for node in NODES {
        let host = host_address("public", node);
        let addresses = stage.node(node).shell("ip -o -4 address");
        assert!(addresses.contains(&format!(" {host}/32 ")), "{node} has {host}: {addresses}");
    }
    // A pod answers the node's own address, and reaches it by itself.
    stage.exec(&pods[0], &format!("ping -c 1 -W 5 -I net1 {}", host_address("public", "node-a")));
    stage.deploy(Deployment::default());
    stage.wait_for("the shim goes when it is no longer asked for", || !reaches(&own));
    stage.delete(&pods);
    stage.assert_nothing_left();
}
