//! A call that is ended from outside at the moment of the PATCH.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::json;

use super::{Case, INTERRUPTED, Scene, modes};
use crate::fixture::terminate;
use crate::proxy::Fault;

/// Multus 1239, and a fault of its without a number (a failed status write leaves all interfaces): the runtime gives up.
#[test]
fn sigterm_during_the_patch_undoes_the_add() {
    let scene = Scene::start();
    let site = &scene.site;
    scene.disturb("PATCH", 2, Fault::Never);
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let add = Case::add("SIGTERM during the PATCH", site, &config, &pod);
        scene.wait_for("PATCH", 1);
        terminate(&add.call);
        add.fails(INTERRUPTED, &["PATCH", "signal"]);
        assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {mode} -")]);
        let calls = site.fixture.recorded_calls();
        assert!(calls.contains(&"DEL net1".to_owned()), "{calls:?}");
        site.fixture.forget_records();
    }
}

/// Multus 1087, 948: what a killed ADD began is known to whoever comes next, a DEL or another ADD.
#[test]
fn sigkill_during_the_patch_leaves_nothing_to_the_del_or_the_add_that_follows() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        for next in ["DEL", "ADD"] {
            let pod = site.pod(&format!("{mode}-{}", next.to_lowercase()), Some("public"));
            scene.disturb("PATCH", 1, Fault::Never);
            let mut add = Case::add("SIGKILL during the PATCH", site, &config, &pod);
            scene.wait_for("PATCH", 1);
            add.call.kill();
            assert_eq!(add.end().status.signal(), Some(9));
            assert!(pod.netns.interfaces().contains(&"net1".to_owned()), "it was killed too early");
            assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {} -", pod.name)]);
            if next == "DEL" {
                site.del(&config, &pod);
                assert_eq!(scene.asked(), Vec::<String>::new(), "a DEL asks nobody");
            } else {
                Case::add("the ADD that follows", site, &config, &pod).succeeds(&["public"]);
                assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {} 200", pod.name)]);
            }
            site.assert_clean();
        }
    }
}

/// Multus 1087, 948: killed between the status and the journal's completion.
#[test]
fn sigkill_after_the_patch_leaves_nothing_to_the_del_or_the_add_that_follows() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        for next in ["DEL", "ADD"] {
            let pod = site.pod(&format!("{mode}-{}", next.to_lowercase()), Some("public"));
            let call = site.call("ADD", &config, &pod).env("ROOKNET_FAULT", "kill:add.reported");
            let killed = Case::of("SIGKILL after the PATCH", site, &config, &pod, &call).end();
            assert_eq!(killed.status.signal(), Some(9), "{killed}");
            assert!(site.status(&pod).is_some());
            assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {} 200", pod.name)]);
            if next == "ADD" {
                Case::add("the ADD that follows", site, &config, &pod).succeeds(&["public"]);
            } else {
                site.del(&config, &pod);
            }
            site.assert_clean();
            scene.asked();
        }
    }
}

/// Multus 1239: the runtime gives up while the answer of a GET is awaited; nothing has been attached.
#[test]
fn sigterm_during_a_get_ends_the_add_before_anything_is_attached() {
    let scene = Scene::start();
    let site = &scene.site;
    scene.disturb("GET", 2, Fault::Never);
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let add = Case::add("SIGTERM during the GET", site, &config, &pod);
        scene.wait_for("GET", 1);
        terminate(&add.call);
        add.fails(INTERRUPTED, &["GET", "signal"]);
        assert_eq!(scene.asked(), ["GET public -"]);
        assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
    }
}

/// Multus 1239: a rollback whose plugin fails is reported with its cause, and the DEL that follows ends it.
#[test]
fn a_refused_status_and_a_failing_plugin_are_both_reported() {
    let scene = Scene::start();
    let site = &scene.site;
    scene.disturb("PATCH", 2, Fault::Status(422, None));
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        site.fixture.overrule("stub", Some(&json!({"failOn": ["DEL"]})));
        let outcome = Case::add("status refused, rollback fails", site, &config, &pod).end();
        let (code, message) = outcome.error();
        assert_eq!(code, super::REFUSED, "{message}");
        for part in ["PATCH", "422", "rollback is incomplete", "stub fails DEL"] {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        site.fixture.overrule("stub", None);
        site.del(&config, &pod);
        site.assert_clean();
    }
}
