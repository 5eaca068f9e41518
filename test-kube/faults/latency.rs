//! A slow API server: the ADD takes as long, and succeeds.

use std::time::Duration;

use serde_json::json;

use super::{Case, Scene, modes};
use crate::proxy::{Fault, Hold, Rule};

fn slowed_by(latency: Duration) {
    let scene = Scene::start();
    let site = &scene.site;
    scene.proxy.add(Rule::new(Fault::Delay(latency)));
    let modes = modes(site);
    let pods = modes.each_ref().map(|(mode, _)| site.pod(mode, Some("public")));
    // Side by side: the second mode need not wait for the first one's server.
    let cases: Vec<Case<'_>> = modes
        .iter()
        .zip(&pods)
        .map(|((_, config), pod)| Case::add(&format!("{latency:?} at each request"), site, config, pod))
        .collect();
    for case in cases {
        case.succeeds(&["public"]);
    }
    let mut asked = scene.asked();
    asked.sort();
    assert_eq!(asked, ["GET public 200", "GET public 200", "PATCH chained 200", "PATCH delegating 200"]);
    site.assert_clean();
}

/// Multus 1461: 300 ms of latency fail its ADD, which waits 250 ms.
#[test]
fn three_hundred_milliseconds_at_each_request_are_waited_for() {
    slowed_by(Duration::from_millis(300));
}

/// Multus 1461, 1344: an API server under load.
#[test]
fn three_seconds_at_each_request_are_waited_for() {
    slowed_by(Duration::from_secs(3));
}

/// Multus 1344, 452: requests one after another make a slow server slower.
#[test]
fn three_networks_are_asked_for_before_the_first_answer() {
    let scene = Scene::start();
    let site = &scene.site;
    for network in ["a", "b"] {
        site.define_stub(network, &json!({}));
    }
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public,a,b,a@again"));
        let barrier = Hold::new();
        scene.disturb("GET", 3, Fault::Hold(barrier.clone()));
        let add = Case::add("three networks together", site, &config, &pod);
        scene.wait_for("GET", 3);
        barrier.release();
        add.succeeds(&["public", "a", "b", "a"]);
        let mut asked = scene.asked();
        asked[..3].sort();
        assert_eq!(asked, ["GET a 200", "GET b 200", "GET public 200", &format!("PATCH {mode} 200")]);
    }
    assert_eq!(scene.proxy.connections(), 2, "one for each ADD");
    site.assert_clean();
}

/// Multus 1461: many pods start when a node does, and none waits for another's requests.
#[test]
fn two_pods_are_attached_at_once_while_the_server_is_slow() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pods = ["one", "two"].map(|name| site.pod(&format!("{mode}-{name}"), Some("public")));
        for method in ["GET", "PATCH"] {
            let latency = Duration::from_millis(300);
            scene.proxy.add(Rule::new(Fault::Delay(latency)).method(method));
        }
        let barrier = Hold::new();
        scene.disturb("PATCH", 2, Fault::Hold(barrier.clone()));
        let cases: Vec<Case<'_>> = pods.iter().map(|pod| Case::add("two pods at once", site, &config, pod)).collect();
        // Both are where the other has its networks and no answer yet.
        scene.wait_for("PATCH", 2);
        barrier.release();
        for case in cases {
            case.succeeds(&["public"]);
        }
        assert_eq!(scene.asked().len(), 4);
        scene.proxy.relent();
    }
    site.assert_clean();
}
