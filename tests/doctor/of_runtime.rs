//! What is wrong on the runtime's side.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fixture::NETWORKS_ANNOTATION;
use crate::support::runtime::{KnownSandbox, Runtime, Says};
use crate::ward::{Ward, provoked};

/// Where the runtime listens: not at a usual place, where it would be found by itself.
const SOCKET: &str = "/run/runtime.sock";
const WITH_RUNTIME: &[&str] = &["doctor", "--runtime-socket", SOCKET];

/// A runtime that has loaded our conflist and nothing else.
fn right(ward: &Ward<'_>) -> Says {
    Says { loaded: vec![ward.conflist(&json!({}))], most: 1, ..Says::default() }
}

#[track_caller]
fn is_healthy(ward: &Ward<'_>) {
    let report = ward.looks(WITH_RUNTIME);
    assert_eq!(report["findings"], json!([]), "{report:#}");
}

/// A sandbox that selects nothing.
fn known(id: &str, namespace: &str, name: &str) -> KnownSandbox {
    let [id, namespace, name, uid] = [id, namespace, name, "uid"].map(str::to_owned);
    KnownSandbox { id, namespace, name, uid, ..KnownSandbox::default() }
}

fn other() -> Value {
    json!({"name": "other", "cniVersion": "1.1.0", "plugins": [{"type": "calico"}]})
}

provoked! {
    "runtime-silent": fn a_runtime_that_does_not_listen_is_told_with_its_socket(ward) {
        ward.shows_by(WITH_RUNTIME, "runtime-silent", &[SOCKET]);
    }

    "runtime-not-ready": fn a_runtime_that_is_not_ready_is_told_in_its_words(ward) {
        let runtime = Runtime::start(&ward.fixture.node, SOCKET, right(&ward));
        is_healthy(&ward);
        runtime.says(Says { not_ready: Some("cni plugin not initialized".to_owned()), ..right(&ward) });
        ward.shows_by(WITH_RUNTIME, "runtime-not-ready", &["cni plugin not initialized"]);
    }

    "runtime-loaded-another": fn a_runtime_that_has_loaded_another_text_is_told(ward) {
        let runtime = Runtime::start(&ward.fixture.node, SOCKET, Says { loaded: vec![other()], ..right(&ward) });
        ward.shows_by(WITH_RUNTIME, "runtime-loaded-another", &["other", "calico", "/etc/cni/net.d"]);
        runtime.says(Says { loaded: vec![ward.conflist(&json!({"statusForAll": false}))], ..right(&ward) });
        ward.shows_by(WITH_RUNTIME, "runtime-loaded-another", &["k8s-pods"]);
        runtime.says(Says { loaded: Vec::new(), ..right(&ward) });
        ward.shows_by(WITH_RUNTIME, "runtime-loaded-another", &["nothing"]);
        runtime.says(right(&ward));
        is_healthy(&ward);
    }

    "runtime-loads-several": fn a_runtime_that_loads_more_than_one_configuration_is_told(ward) {
        let loaded = vec![ward.conflist(&json!({})), other()];
        let _runtime = Runtime::start(&ward.fixture.node, SOCKET, Says { loaded, most: 2, ..right(&ward) });
        ward.shows_by(WITH_RUNTIME, "runtime-loads-several", &["k8s-pods", "other", "2"]);
    }

    "pod-lacks-networks": fn a_pod_that_runs_without_a_network_that_it_selects_is_told(ward) {
        let sandbox = |id: &str, name: &str, networks: &str| {
            let annotations = BTreeMap::from([(NETWORKS_ANNOTATION.to_owned(), networks.to_owned())]);
            KnownSandbox { annotations, ..known(id, "rook-ceph", name) }
        };
        let pod = ward.attached("public");
        let attached = sandbox(&pod.id, "osd", "public");
        let host = sandbox("onthehost", "csi", "public");
        let without = sandbox("early", "mon", "public");
        let twice = sandbox(&pod.id, "osd", "public, public@second");
        let none = known("plain", "default", "web");
        let says = |sandboxes| Says { sandboxes, of_host: vec!["onthehost".to_owned()], ..right(&ward) };

        let runtime = Runtime::start(&ward.fixture.node, SOCKET, says(vec![attached.clone(), host.clone(), none]));
        is_healthy(&ward);
        runtime.says(says(vec![attached, host, without]));
        ward.shows_by(WITH_RUNTIME, "pod-lacks-networks", &["rook-ceph/mon", "rook-ceph/public"]);
        runtime.says(says(vec![twice]));
        ward.shows_by(WITH_RUNTIME, "pod-lacks-networks", &["rook-ceph/osd", "rook-ceph/public"]);
        ward.detach(&pod);
    }
}

#[test]
fn an_attachment_whose_container_the_runtime_still_knows_is_not_stale_and_not_undone() {
    let fixture = crate::fixture::Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public");
    let id = pod.id.clone();
    let sandbox = known(&id, "rook-ceph", "osd");
    let runtime = Runtime::start(&fixture.node, SOCKET, Says { sandboxes: vec![sandbox], ..right(&ward) });
    pod.netns.delete();
    is_healthy(&ward);
    let undo = ["attachments", "undo", &id, "--runtime-socket", SOCKET];
    let refused = ward.ctl(&undo);
    assert_eq!(refused.status.code(), Some(4), "{refused}");
    runtime.says(right(&ward));
    ward.shows_by(WITH_RUNTIME, "stale", &[&id]);
    ward.ctl(&undo).expect_success("undo");
    is_healthy(&ward);
}
