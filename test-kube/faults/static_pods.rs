//! Static pods: the kubelet has them from a file, and the API server has a mirror of them, sooner or later.

use serde_json::{Value, json};

use super::{Case, Scene, modes, with};
use crate::fixture::{NETWORKS, NETWORKS_ANNOTATION};
use crate::proxy::{Gate, Passage};
use crate::site::Pod;

/// The uid that the kubelet gives the pod itself, which is not its mirror's.
const STATIC_UID: &str = "0123456789abcdef0123456789abcdef";

fn annotations(network: &str) -> Value {
    json!({
        NETWORKS_ANNOTATION: network,
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.hash": STATIC_UID,
        "kubernetes.io/config.mirror": STATIC_UID,
    })
}

/// The network's configuration lies on the node too, for when there is no API server.
fn define_on_node(scene: &Scene, config: Value) -> Value {
    let site = &scene.site;
    site.fixture.define(&site.namespace, "local", &site.fixture.stub_config("local", &json!({})));
    with(config, &json!({"networksDir": NETWORKS}))
}

/// An ADD that succeeds; its pod stays attached.
fn attached(case: &str, scene: &Scene, config: &Value, pod: &Pod<'_>) {
    Case::add(case, &scene.site, config, pod).end().expect_success(case);
    assert!(pod.netns.interfaces().contains(&"net1".to_owned()), "{case}");
}

/// Multus 1497: the mirror has another uid, so none is sent, and the status is written.
#[test]
fn the_mirror_of_a_static_pod_gets_the_status_without_a_uid() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        for is_passed in [true, false] {
            let pod = site.annotated_pod(&format!("{mode}-{is_passed}"), annotations("public")).with_uid(STATIC_UID);
            let pod = if is_passed { pod } else { pod.not_annotated() };
            Case::add("static pod with its mirror", site, &config, &pod).succeeds(&["public"]);
            let mut expected = vec!["GET public 200".to_owned(), format!("PATCH {} 200", pod.name)];
            if !is_passed {
                expected.insert(0, format!("GET {} 200", pod.name));
            }
            assert_eq!(scene.asked(), expected);
            let body = scene.proxy.exchanges().pop().unwrap().body;
            assert!(body.contains("network-status") && !body.contains("uid"), "{body}");
        }
    }
    site.assert_clean();
}

/// Multus 1497: the kubelet may start the pod before it has made the mirror.
#[test]
fn a_static_pod_starts_without_its_mirror() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.annotated_pod(mode, annotations("public")).with_uid(STATIC_UID);
        site.cluster.delete_pod(&pod.namespace, &pod.name);
        attached("static pod without its mirror", &scene, &config, &pod);
        assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {mode} 404")]);
        site.del(&config, &pod);
    }
    site.assert_clean();
}

/// Multus 1461: a static pod may be the API server itself.
#[test]
fn a_static_pod_with_its_networks_on_the_node_starts_while_the_api_server_is_dead() {
    let scene = Scene::start();
    let site = &scene.site;
    let gate = Gate::start(site.cluster.server(), site.node());
    gate.set(Passage::Refused);
    site.use_server(&gate.url());
    let configs = modes(site).map(|(mode, config)| (mode, define_on_node(&scene, config)));
    let pods = configs.each_ref().map(|(mode, _)| site.annotated_pod(mode, annotations("local")).with_uid(STATIC_UID));
    // Side by side, since each waits for the server for a while.
    let cases: Vec<Case<'_>> = configs
        .iter()
        .zip(&pods)
        .map(|((_, config), pod)| Case::add("static pod, API server dead", site, config, pod))
        .collect();
    for (case, pod) in cases.into_iter().zip(&pods) {
        let config = case.config;
        case.end().expect_success("static pod, API server dead");
        assert!(pod.netns.interfaces().contains(&"net1".to_owned()));
        assert_eq!(site.status(pod), None);
        site.del(config, pod);
    }
    site.assert_clean();
}
