//! Case 1 once more, with addresses from whereabouts instead of per-node ranges: a plugin of another project that rooknet
//! executes, and that asks the API server itself.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::stage::{NAMESPACE, NODES, Stage, mon, osd};

/// Where its own files are on a node: it looks for its configuration there, whatever a network says.
const DIRECTORY: &str = "/etc/cni/net.d/whereabouts.d";

/// The directory with the program `whereabouts` and, below it, the kinds of its objects in `crds`.
fn directory() -> Option<PathBuf> {
    let directory = std::env::var_os("WHEREABOUTS").filter(|path| !path.is_empty()).map(PathBuf::from)?;
    assert!(directory.join("whereabouts").is_file(), "WHEREABOUTS: there is no whereabouts in {}", directory.display());
    Some(directory)
}

/// The networks `public` and `cluster` with one range of addresses for all nodes.
fn definition(name: &str, master: &str, range: &str) -> Value {
    let config = json!({"cniVersion": "1.0.0", "name": format!("rook-{name}"), "type": "macvlan", "master": master,
        "mode": "bridge", "ipam": {"type": "whereabouts", "range": range}});
    json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"config": config.to_string()}})
}

/// The addresses that whereabouts has given away.
fn allocated(stage: &Stage) -> usize {
    let pools = stage.api.get("/apis/whereabouts.cni.cncf.io/v1alpha1/ippools");
    let of = |pool: &Value| pool["spec"]["allocations"].as_object().map_or(0, serde_json::Map::len);
    pools["items"].as_array().map_or(0, |pools| pools.iter().map(of).sum())
}

#[test]
fn pods_of_both_nodes_meet_with_addresses_from_whereabouts_and_give_them_back() {
    let Some(directory) = directory() else {
        println!("skipped: WHEREABOUTS= names no directory with the program whereabouts");
        return;
    };
    let stage = Stage::deployed();
    stage.kubectl(&["apply", "--server-side", "--filename", &directory.join("crds").to_string_lossy()]);
    for node in stage.nodes() {
        let program = directory.join("whereabouts");
        node.shell(&format!("cp {} /opt/cni/bin/whereabouts; mkdir -p {DIRECTORY}", program.display()));
        let kubeconfig = format!("{DIRECTORY}/whereabouts.kubeconfig");
        node.write(&kubeconfig, &stage.kubeconfig_of_node());
        let configuration = json!({"datastore": "kubernetes", "kubernetes": {"kubeconfig": kubeconfig}});
        node.write(&format!("{DIRECTORY}/whereabouts.conf"), &configuration.to_string());
    }
    stage.define_network("public", &definition("public", "stor0", "192.168.10.0/24"));
    stage.define_network("cluster", &definition("cluster", "stor1", "192.168.20.0/24"));

    let pods = [osd(0, NODES[0]), osd(1, NODES[1]), mon("a", NODES[0]), mon("b", NODES[1])];
    stage.start(&pods);
    let mut addresses: Vec<String> = pods.iter().map(|pod| stage.address(pod, "public")).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), pods.len(), "one range for both nodes, and no address twice: {addresses:?}");
    let [osd_a, osd_b, mon_a, mon_b] = &pods;
    for (from, to, network) in
        [(osd_a, osd_b, "cluster"), (osd_b, osd_a, "public"), (mon_a, osd_b, "public"), (mon_b, osd_b, "public")]
    {
        stage.assert_reaches(from, to, network);
    }
    assert_eq!(allocated(&stage), 6);
    stage.delete(&pods);
    stage.assert_nothing_left();
    assert_eq!(allocated(&stage), 0, "addresses that whereabouts still counts as taken");
    for node in stage.nodes() {
        node.shell(&format!("rm -r /opt/cni/bin/whereabouts {DIRECTORY}"));
    }
}
