//! Answers that never come, or never end: the deadline or the limit of the answer's size ends them.

use std::time::Duration;

use super::{Case, LATER, Scene, both_fail, hurried, modes, side_by_side};
use crate::fixture::assert_error;
use crate::proxy::{Fault, Gate, Passage};
use crate::site::Site;

/// Multus 1461: a server that takes requests and answers none.
#[test]
fn an_answer_that_never_comes_ends_at_the_deadline() {
    side_by_side(&["GET", "PATCH"], |method| {
        let scene = Scene::start();
        scene.disturb(method, 1000, Fault::Never);
        let words = [method, "the deadline has passed", "there was no answer yet"];
        both_fail(&format!("no answer at {method}"), &scene.site, "public", LATER, &words);
        let mut asked = scene.asked();
        asked.sort();
        match *method {
            "GET" => assert_eq!(asked, ["GET public -"; 2]),
            _ => assert_eq!(asked, ["GET public 200", "GET public 200", "PATCH chained -", "PATCH delegating -"]),
        }
    });
}

/// Multus 1461: an answer that comes byte by byte. Such a PATCH has been done when it is given up, so the pod keeps a
/// status until its next ADD writes another.
#[test]
fn an_answer_that_drips_ends_at_the_deadline() {
    side_by_side(&["GET", "PATCH"], |method| {
        let scene = Scene::start();
        let site = &scene.site;
        scene.disturb(method, 1000, Fault::Drip(Duration::from_millis(100)));
        side_by_side(&hurried(site).map(|(mode, config)| (config, site.pod(mode, Some("public")))), |(config, pod)| {
            let add = Case::add(&format!("dripping answer at {method}"), site, config, pod);
            assert_error(&add.end(), LATER, &[method, "the deadline has passed"]);
        });
        site.assert_clean();
        assert_eq!(scene.asked().len(), if *method == "GET" { 2 } else { 4 });
    });
}

/// No report: a body without end must not fill the node's memory.
#[test]
fn an_endless_body_ends_at_the_limit_of_its_size() {
    for method in ["GET", "PATCH"] {
        let scene = Scene::start();
        let site = &scene.site;
        scene.disturb(method, 1000, Fault::Endless);
        for (mode, config) in modes(site) {
            let pod = site.pod(mode, Some("public"));
            let words = [method, "the answer is longer than", "bytes"];
            Case::add(&format!("endless answer at {method}"), site, &config, &pod).fails(5, &words);
            assert_eq!(scene.asked().len(), if method == "GET" { 1 } else { 2 });
        }
    }
}

/// Multus 1461: something listens at the server's address and says nothing, not even in TLS.
#[test]
fn a_port_that_keeps_silent_ends_at_the_deadline() {
    let site = Site::start();
    site.define_stub("public", &serde_json::json!({}));
    let gate = Gate::start(site.cluster.server(), site.node());
    gate.set(Passage::Silent);
    site.use_server(&gate.url());
    both_fail("silent port", &site, "public", LATER, &["GET", "the deadline has passed"]);
    assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
    assert_eq!(site.requests(), Vec::<String>::new());
}
