//! What needs no API server: the end of pods, checks, and pods that select nothing.

use serde_json::{Value, json};

use super::{Case, Scene, modes, side_by_side, with};
use crate::fixture::merge;
use crate::proxy::{Fault, Gate, Passage, Rule};
use crate::site::{KUBECONFIG, Pod, Site};

/// What can be the matter with the API server.
const STATES: [&str; 5] = ["alive", "refusing", "silent", "name unknown", "kubeconfig gone"];

/// Both modes, and the delegating one with a default network that only the API server knows.
pub(super) fn configurations(site: &Site) -> [Value; 3] {
    let mut primary = site.fixture.stub_config("pods", &json!({"address": "10.244.0.5/24"}));
    primary["type"] = json!("primary");
    site.define("pods", &primary);
    let mut by_reference = site.delegating();
    by_reference.as_object_mut().unwrap().remove("delegates");
    merge(&mut by_reference, &json!({"clusterNetwork": "pods", "multusNamespace": site.namespace}));
    let [(_, chained), (_, delegating)] = modes(site);
    [chained, delegating, by_reference]
}

/// Puts the way to the API server into a state.
fn put(scene: &Scene, gate: &Gate, state: &str) {
    let site = &scene.site;
    let url = match state {
        "alive" => scene.proxy.url(),
        "mute" => {
            scene.proxy.add(Rule::new(Fault::Never));
            scene.proxy.url()
        }
        "refusing" | "silent" => {
            gate.set(if state == "silent" { Passage::Silent } else { Passage::Refused });
            gate.url()
        }
        _ => "https://nowhere.rooknet.invalid:6443".to_owned(),
    };
    site.use_server(&url);
    if state == "kubeconfig gone" {
        std::fs::remove_file(site.node().path(KUBECONFIG)).expect("remove the kubeconfig");
    }
}

/// Multus 1239, 1080, and a fault of its without a number (DEL with a kubeconfig that cannot be loaded fails): only ADDs
/// need an API server.
#[test]
fn check_status_gc_and_del_ask_no_api_server_whatever_state_it_is_in() {
    let scene = Scene::start();
    let site = &scene.site;
    let gate = Gate::start(site.cluster.server(), site.node());
    for (number, config) in configurations(site).into_iter().enumerate() {
        for state in STATES {
            site.use_server(&scene.proxy.url());
            let pod = site.pod(&format!("pod-{number}-{}", state.replace(' ', "-")), Some("public"));
            let added = Case::add("before the API server is lost", site, &config, &pod).end();
            added.expect_success("ADD");
            scene.asked();
            let (requests, connections) = (site.requests().len(), scene.proxy.connections());

            put(&scene, &gate, state);
            let remembered = with(config.clone(), &json!({"prevResult": added.json()}));
            let case = |operation: &str, config: &Value, pod: &Pod<'_>| {
                let call = site.call(operation, config, pod);
                Case::of(&format!("{operation}, API server {state}, {number}"), site, config, pod, &call)
                    .end()
                    .expect_success(&format!("{operation}, API server {state}"));
            };
            case("CHECK", &remembered, &pod);
            case("STATUS", &config, &pod);
            let alive = json!([{"containerID": pod.id, "ifname": "eth0"}]);
            let collected = with(config.clone(), &json!({"cni.dev/valid-attachments": alive}));
            case("GC", &collected, &pod);
            assert!(pod.netns.interfaces().contains(&"net1".to_owned()), "{state}: what is alive stays");
            case("DEL", &config, &pod);
            site.assert_clean();
            // Again, without a journal.
            case("DEL", &config, &pod);
            site.assert_clean();

            gate.set(Passage::Open);
            let asked = (site.requests().len(), scene.proxy.connections(), scene.asked());
            assert_eq!(asked, (requests, connections, Vec::new()), "{state}: requests");
        }
    }
}

/// Multus 1239: a GC undoes a pod that is gone, without the API server.
#[test]
fn a_gc_undoes_a_pod_that_the_runtime_does_not_know_while_the_api_server_is_dead() {
    let scene = Scene::start();
    let site = &scene.site;
    let gate = Gate::start(site.cluster.server(), site.node());
    for (number, config) in configurations(site).into_iter().enumerate() {
        site.use_server(&scene.proxy.url());
        let pod = site.pod(&format!("pod-{number}"), Some("public"));
        site.add(&config, &pod);
        put(&scene, &gate, "refusing");
        let collected = with(config.clone(), &json!({"cni.dev/valid-attachments": []}));
        let call = site.call("GC", &collected, &pod);
        Case::of(&format!("GC, API server refusing, {number}"), site, &collected, &pod, &call)
            .end()
            .expect_success("GC");
        site.assert_clean();
    }
}

/// Multus 1461: a pod without networks of its own needs no API server, in chained mode not even a request.
#[test]
fn a_pod_that_selects_nothing_starts_in_chained_mode_without_a_request() {
    let scene = Scene::start();
    let site = &scene.site;
    let gate = Gate::start(site.cluster.server(), site.node());
    let config = site.chained();
    for state in STATES {
        put(&scene, &gate, state);
        let pod = site.pod(&format!("pod-{}", state.replace(' ', "-")), None);
        let added = Case::add(&format!("selects nothing, API server {state}"), site, &config, &pod).end();
        added.expect_success(state);
        assert_eq!(site.status(&pod), None, "{state}");
        site.del(&config, &pod);
        assert_eq!(scene.proxy.connections(), 0, "{state}");
    }
    assert_eq!(site.requests(), Vec::<String>::new());
    site.assert_clean();
}

/// Multus 1461: in delegating mode its status is written if it can be. The states side by side, since each waits for
/// the server for a while.
#[test]
fn a_pod_that_selects_nothing_starts_in_delegating_mode_with_or_without_a_status() {
    side_by_side(&[&STATES[..], &["mute"]].concat(), |&state| {
        let scene = Scene::start();
        let site = &scene.site;
        let gate = Gate::start(site.cluster.server(), site.node());
        put(&scene, &gate, state);
        let (config, pod) = (site.delegating(), site.pod("pod", None));
        let add = Case::add(&format!("selects nothing, API server {state}"), site, &config, &pod);
        if state == "alive" {
            add.succeeds(&[]);
            assert_eq!(scene.asked(), ["PATCH pod 200"]);
        } else {
            add.end().expect_success(state);
            assert!(pod.netns.interfaces().contains(&"eth0".to_owned()), "{state}");
            assert_eq!(site.status(&pod), None, "{state}");
            site.del(&config, &pod);
        }
        site.assert_clean();
    });
}
