//! Answers that are worth another try, and connections that end in the middle of one.

use super::{Case, LATER, Scene, both_fail, modes, side_by_side};
use crate::proxy::{Closing, Fault};

/// Disturbs the first `times` requests of a method; each costs one try, which is shown so, and the ADD succeeds.
fn tried_again(case: &str, scene: &Scene, method: &str, times: usize, fault: &Fault, shown: &str) {
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(&format!("{mode}-{}", scene.proxy.connections()), Some("public"));
        scene.disturb(method, times, fault.clone());
        Case::add(&format!("{case} at {method}"), site, &config, &pod).succeeds(&["public"]);
        let name = if method == "GET" { "public" } else { &*pod.name };
        let mut expected = vec!["GET public 200".to_owned(), format!("PATCH {} 200", pod.name)];
        let at = usize::from(method == "PATCH");
        for _ in 0..times {
            expected.insert(at, format!("{method} {name} {shown}"));
        }
        assert_eq!(scene.asked(), expected, "{case}");
    }
    site.assert_clean();
}

/// Multus 855: a write at the same moment. The merge patch names no version, so the same one is sent again.
#[test]
fn a_conflict_is_patched_again() {
    let scene = Scene::start();
    tried_again("409 once", &scene, "PATCH", 1, &Fault::Status(409, None), "409");
    tried_again("409 three times", &scene, "PATCH", 3, &Fault::Status(409, None), "409");
    let sent: Vec<String> =
        scene.proxy.exchanges().into_iter().map(|one| one.body).filter(|body| !body.is_empty()).collect();
    assert!(sent.iter().all(|body| !body.contains("resourceVersion")), "{sent:?}");
}

/// Multus 855, 1461: a server that asks for patience gets it.
#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    side_by_side(&["GET", "PATCH"], |method| {
        tried_again("429 with Retry-After", &Scene::start(), method, 1, &Fault::Status(429, Some(1)), "429");
    });
}

/// Multus 1461: a control plane that is being updated.
#[test]
fn a_server_that_fails_now_and_then_is_asked_again() {
    let scene = Scene::start();
    for method in ["GET", "PATCH"] {
        for status in [500, 502, 503, 504] {
            let shown = status.to_string();
            tried_again(&format!("{status} twice"), &scene, method, 2, &Fault::Status(status, None), &shown);
        }
    }
}

/// Multus 1461: the end of all patience is the deadline, and the runtime hears what the server said last.
#[test]
fn a_server_that_fails_for_ever_fails_the_add_with_its_own_words() {
    side_by_side(&["GET", "PATCH"], |method| {
        let scene = Scene::start();
        scene.disturb(method, 1000, Fault::Status(503, None));
        let words = [method, "the deadline has passed", "503", "the proxy answers 503"];
        both_fail(&format!("503 for ever at {method}"), &scene.site, "public", LATER, &words);
        let asked = scene.asked();
        let refused = asked.iter().filter(|line| line.ends_with(" 503")).count();
        assert!(refused > 4, "{asked:?}");
        assert_eq!(asked.len() - refused, if *method == "PATCH" { 2 } else { 0 }, "{asked:?}");
    });
}

/// Multus 1461: a server that wants to be left alone for longer than there is time.
#[test]
fn a_retry_after_past_the_deadline_fails_the_add_at_once() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        scene.disturb("PATCH", 1, Fault::Status(429, Some(600)));
        Case::add("429 past the deadline", site, &config, &pod).fails(LATER, &["PATCH", "429", "600 s"]);
        assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {mode} 429")]);
    }
}

/// Multus 1461, 855: a load balancer that drops connections, with either version of HTTP. A PATCH whose answer is lost
/// has been done already, and is done again.
#[test]
fn a_connection_cut_in_the_middle_of_an_answer_is_opened_again() {
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let scene = Scene::speaking(protocols);
        for method in ["GET", "PATCH"] {
            tried_again(&format!("half an answer, {}", protocols[0]), &scene, method, 1, &Fault::Cut, "200");
            tried_again(&format!("no answer, {}", protocols[0]), &scene, method, 1, &Fault::Swallow, "-");
        }
        let is_http2 = protocols[0] == "h2";
        assert!(scene.proxy.exchanges().iter().all(|exchange| exchange.is_http2 == is_http2));
    }
}

/// Multus 1461: a server that says goodbye after each answer, as it does when it ends or sheds load.
#[test]
fn a_connection_that_is_closed_after_each_request_is_opened_again() {
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let scene = Scene::speaking(protocols);
        let site = &scene.site;
        scene.proxy.close_connections(Closing::Announced(1));
        for (mode, config) in modes(site) {
            let pod = site.pod(mode, Some("public"));
            let name = format!("closed after each request, {}", protocols[0]);
            Case::add(&name, site, &config, &pod).succeeds(&["public"]);
            assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {mode} 200")]);
        }
        assert_eq!(scene.proxy.connections(), 4, "{protocols:?}");
        site.assert_clean();
    }
}

/// Multus 1461: the same without a word.
#[test]
fn a_connection_that_is_dropped_after_each_answer_is_opened_again() {
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let scene = Scene::speaking(protocols);
        let site = &scene.site;
        scene.proxy.close_connections(Closing::Abrupt(1));
        for (mode, config) in modes(site) {
            let pod = site.pod(mode, Some("public"));
            let name = format!("dropped after each answer, {}", protocols[0]);
            Case::add(&name, site, &config, &pod).succeeds(&["public"]);
            // Whether a request is on its way when the connection ends is chance; then it is sent once more.
            let asked = scene.asked();
            let gets = asked.iter().take_while(|line| line.starts_with("GET public ")).count();
            let patches = asked.iter().filter(|line| line.starts_with(&format!("PATCH {mode} "))).count();
            assert_eq!(gets + patches, asked.len(), "{asked:?}");
            assert!((1..=2).contains(&gets) && (1..=2).contains(&patches), "{asked:?}");
        }
        site.assert_clean();
    }
}
