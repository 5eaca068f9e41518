//! A node that joins with rooknet's start-up taint, so that no storage pod comes before its networks.

use crate::stage::{Deployment, Stage};

/// The taint.
const TAINT: &str = "rooknet.io/not-ready";

#[test]
fn a_new_nodes_taint_goes_when_its_installation_is_verified_and_others_stay() {
    let stage = Stage::deployed();
    let taint = |key: &str| stage.kubectl(&["taint", "--overwrite", "node", "node-a", &format!("{key}=:NoSchedule")]);
    taint(TAINT);
    taint("example.com/other");
    let taints = || {
        let node = stage.api.get("/api/v1/nodes/node-a");
        let all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        all.iter().map(|taint| taint["key"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert!(taints().contains(&TAINT.to_owned()), "{:?}", taints());
    stage.deploy(Deployment { arguments: vec!["--taint"], ..Deployment::default() });
    stage.wait_for("the taint is gone", || taints() == ["example.com/other"]);
    stage.kubectl(&["taint", "node", "node-a", "example.com/other-"]);
    stage.deploy(Deployment::default());
}
