//! Pods that are gone, or others by now.

use serde_json::{Value, json};

use super::{Case, LATER, Scene, at_gate, define_held, modes};
use crate::fixture::NETWORKS_ANNOTATION;
use crate::site::{Pod, Site};

/// No plugin was called.
#[track_caller]
fn assert_nothing_called(site: &Site) {
    assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
}

/// The pod is deleted and created anew under the same name; the new one's uid.
fn recreate(site: &Site, pod: &Pod<'_>) -> String {
    site.cluster.delete_pod(&pod.namespace, &pod.name);
    let annotations = json!({NETWORKS_ANNOTATION: "public"});
    site.cluster.create_pod(&pod.namespace, &pod.name, &site.node_name, &annotations)
}

/// Nothing was written to the pod that has this uid.
#[track_caller]
fn assert_untouched(site: &Site, pod: &Pod<'_>, uid: &str) {
    let found = site.cluster.pod(&pod.namespace, &pod.name);
    assert_eq!(found["metadata"]["uid"], uid);
    assert_eq!(found["metadata"]["annotations"], json!({NETWORKS_ANNOTATION: "public"}));
}

/// Multus 1497: the pod is missing from the start, and its annotations must be asked for. Multus makes up a result.
#[test]
fn a_pod_that_does_not_exist_is_refused_before_anything_is_attached() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public")).not_annotated();
        site.cluster.delete_pod(&pod.namespace, &pod.name);
        let name = format!("{}/{mode}", site.namespace);
        let words = ["GET pod", &name, "404 NotFound", "deleted"];
        Case::add("pod missing", site, &config, &pod).fails(LATER, &words);
        assert_eq!(scene.asked(), [format!("GET {mode} 404")]);
        assert_nothing_called(site);
    }
}

/// Multus 1497: the pod goes between the plan and the status.
#[test]
fn a_pod_that_is_deleted_during_the_add_is_undone() {
    let scene = Scene::start();
    let site = &scene.site;
    define_held(site, "held");
    for (mode, config) in modes(site) {
        for is_passed in [true, false] {
            let pod = site.pod(&format!("{mode}-{is_passed}"), Some("held"));
            let pod = if is_passed { pod } else { pod.not_annotated() };
            let add = Case::add("pod deleted during the ADD", site, &config, &pod);
            let held = at_gate(site, "held");
            site.cluster.delete_pod(&pod.namespace, &pod.name);
            drop(held);
            add.fails(LATER, &["network-status was not written", "PATCH", "404 NotFound", "deleted"]);
            let mut expected = vec!["GET held 200".to_owned(), format!("PATCH {} 404", pod.name)];
            if !is_passed {
                expected.insert(0, format!("GET {} 200", pod.name));
            }
            assert_eq!(scene.asked(), expected);
        }
    }
}

/// Multus 1497, 855: the pod was created anew before the ADD of the former one. Its status is not this ADD's to write.
#[test]
fn a_pod_that_was_created_anew_before_the_add_is_found_out_by_the_patch() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let uid = recreate(site, &pod);
        let words = ["network-status was not written", "PATCH", "422 Invalid", "metadata.uid", "created anew"];
        Case::add("pod created anew before the ADD", site, &config, &pod).fails(LATER, &words);
        assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {mode} 422")]);
        assert_untouched(site, &pod, &uid);
    }
}

/// Multus 1497, 855: the same during the ADD, also where the uid is the one that the API server told.
#[test]
fn a_pod_that_is_created_anew_during_the_add_is_found_out_by_the_patch() {
    let scene = Scene::start();
    let site = &scene.site;
    define_held(site, "held");
    for (mode, config) in modes(site) {
        for kind in ["passed", "asked", "no-uid"] {
            let pod = site.pod(&format!("{mode}-{kind}"), Some("held"));
            let pod = match kind {
                "passed" => pod,
                "asked" => pod.not_annotated(),
                _ => pod.not_annotated().with_uid(""),
            };
            let add = Case::add(&format!("pod created anew during the ADD, {kind}"), site, &config, &pod);
            let held = at_gate(site, "held");
            let uid = recreate(site, &pod);
            drop(held);
            add.fails(LATER, &["network-status was not written", "PATCH", "422 Invalid", "created anew"]);
            assert_eq!(scene.asked().pop(), Some(format!("PATCH {} 422", pod.name)));
            assert_untouched(site, &pod, &uid);
        }
    }
}

/// Multus 1497: where the pod is asked for, another uid is seen before anything is attached.
#[test]
fn a_pod_that_was_created_anew_is_refused_before_anything_is_attached_where_it_is_read() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public")).not_annotated();
        let uid = recreate(site, &pod);
        let words = [&*uid, &*pod.uid, "created anew"];
        Case::add("pod created anew, read", site, &config, &pod).fails(LATER, &words);
        assert_eq!(scene.asked(), [format!("GET {mode} 200")]);
        assert_nothing_called(site);
        assert_untouched(site, &pod, &uid);
    }
}

/// Multus 855: what others write to the pod during the ADD stays, since nothing is read and written back.
#[test]
fn what_others_write_during_the_add_is_kept() {
    let scene = Scene::start();
    let site = &scene.site;
    define_held(site, "held");
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("held"));
        let add = Case::add("pod changed during the ADD", site, &config, &pod);
        let held = at_gate(site, "held");
        let path = crate::cluster::pod_path(&pod.namespace, &pod.name);
        let change = json!({"metadata": {"annotations": {"other": "value"}, "labels": {"late": "yes"}}});
        site.cluster.merge_patch(&path, crate::cluster::ADMIN, &change).expect_success("change the pod");
        drop(held);
        add.succeeds(&["held"]);
        assert_eq!(scene.asked(), ["GET held 200".to_owned(), format!("PATCH {mode} 200")]);
        let found: Value = site.cluster.pod(&pod.namespace, &pod.name);
        assert_eq!(found["metadata"]["annotations"]["other"], "value");
        assert_eq!(found["metadata"]["labels"]["late"], "yes");
    }
    site.assert_clean();
}
