//! Case 1 and 2: Rook's pods on both nodes, with the agent and without it.

use crate::stage::{Deployment, NAMESPACE, NODES, PLUGIN, Pod, Stage, address_in, mon, osd, plain};

/// An OSD and a mon on each node.
fn daemons() -> Vec<Pod> {
    vec![osd(0, "node-a"), osd(1, "node-b"), mon("a", "node-a"), mon("b", "node-b")]
}

/// Every address is of the node's own range, and every pair of pods meets on each network that both have, from node to
/// node and on one.
#[track_caller]
fn assert_they_meet(stage: &Stage, pods: &[Pod]) {
    let [osd_a, osd_b, mon_a, mon_b] = pods else { panic!("four pods") };
    for pod in pods {
        assert!(address_in("public", pod.node, &stage.address(pod, "public")), "public of {}", pod.name);
    }
    for (from, to, network) in [
        (osd_a, osd_b, "pods"),
        (osd_a, osd_b, "public"),
        (osd_b, osd_a, "cluster"),
        (mon_a, osd_b, "public"),
        (mon_b, osd_b, "public"),
    ] {
        stage.assert_reaches(from, to, network);
    }
}

#[test]
fn rooks_pods_of_both_nodes_meet_on_their_networks_and_the_plugin_asks_for_nothing() {
    let stage = Stage::deployed();
    let pods = daemons();
    let audit = stage.audit();
    stage.start(&pods);
    assert_they_meet(&stage, &pods);
    let mut expected: Vec<String> =
        pods.iter().map(|pod| format!("patch pods/status {NAMESPACE}/{} 200", pod.name)).collect();
    expected.sort();
    let mut requests = audit.requests(PLUGIN);
    requests.sort();
    assert_eq!(requests, expected, "one PATCH for each pod, and nothing else");
    stage.delete(&pods);
    assert_eq!(audit.requests(PLUGIN).len(), expected.len(), "a DEL asks for nothing");
    stage.assert_nothing_left();
}

#[test]
fn a_pod_that_selects_nothing_costs_no_request() {
    let stage = Stage::deployed();
    let pods: Vec<Pod> = NODES.into_iter().map(|node| plain(node, node)).collect();
    let audit = stage.audit();
    stage.start(&pods);
    stage.delete(&pods);
    assert_eq!(audit.requests(PLUGIN), Vec::<String>::new());
    stage.assert_nothing_left();
}

#[test]
fn a_canarys_init_container_reads_its_status_by_the_downward_api() {
    let stage = Stage::deployed();
    let canary = osd(7, "node-b").with_canary();
    stage.start(std::slice::from_ref(&canary));
    let logs = stage.kubectl(&["logs", "--namespace", NAMESPACE, &canary.name, "--container", "canary"]);
    let (status, addresses) = logs.split_once("---").expect("the canary's two parts");
    let told: serde_json::Value = serde_json::from_str(status).unwrap_or_else(|error| panic!("{error}: {status}"));
    assert_eq!(told, stage.network_status(&canary));
    for network in ["public", "cluster"] {
        // As Rook matches them: by bare address, on the interface that the status names.
        let (interface, address) = (canary.interface(network), stage.address(&canary, network));
        let is_there =
            addresses.lines().any(|line| line.contains(&interface) && line.contains(&format!(" {address}/")));
        assert!(is_there, "{address} on {interface} in {addresses}");
    }
    stage.delete(&[canary]);
    stage.assert_nothing_left();
}

#[test]
fn without_the_agent_pods_get_their_networks_all_the_same() {
    let stage = Stage::deployed();
    stage.remove_agents();
    let pods = daemons();
    let audit = stage.audit();
    stage.start(&pods);
    assert_they_meet(&stage, &pods);
    let requests = audit.requests(PLUGIN);
    let of = |verb: &str| requests.iter().filter(|request| request.starts_with(verb)).count();
    assert_eq!(of("patch pods/status"), pods.len(), "{requests:?}");
    // The snapshot stops counting a moment after the agent, so some of these may still be from there.
    assert!(of("get network-attachment-definitions") <= 6 && of("get pods") == 0, "{requests:?}");
    stage.delete(&pods);
    stage.assert_nothing_left();
    stage.deploy(Deployment::default());
}
