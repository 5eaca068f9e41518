//! Tokens and kubeconfigs that are not good any more, or change during an ADD.

use serde_json::json;

use super::{Case, REFUSED, Scene, modes};
use crate::cluster::{ADMIN, MERGE_PATCH, pod_path};
use crate::fixture::NETWORKS;
use crate::proxy::{Fault, Hold};
use crate::site::{KUBECONFIG, Site};
use crate::support::wait_until;

/// What a refused token's message has: the file to look at, what may be the matter, and what to do.
const ADVICE: [&str; 4] = ["(2 tries): 401 Unauthorized", KUBECONFIG, "expired", "renew them"];

/// Multus 852, 929, 1263, 1367: a copied token expires, and nobody says so.
#[test]
fn an_expired_token_is_refused_with_what_to_do_and_the_next_add_takes_its_successor() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        site.write_token(&site.cluster.expiring_in(&site.token(), -120));
        let request = format!("GET network-attachment-definition {}/public", site.namespace);
        let words = [&[&*request], &ADVICE[..]].concat();
        Case::add("expired token", site, &config, &pod).fails(REFUSED, &words);
        assert_eq!(scene.asked(), ["GET public 401", "GET public 401"]);
        site.write_token(&site.token());
        site.fixture.forget_records();
        Case::add("expired token, renewed", site, &config, &pod).succeeds(&["public"]);
        assert_eq!(scene.asked(), ["GET public 200".to_owned(), format!("PATCH {mode} 200")]);
    }
}

/// Multus 852, 1263: a token that is rotated while it is in use.
#[test]
fn a_token_rotated_between_two_requests_costs_one_more_try() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        let barrier = Hold::new();
        scene.disturb("PATCH", 1, Fault::Hold(barrier.clone()));
        scene.disturb("PATCH", 1, Fault::Status(401, None));
        let add = Case::add("token rotated during the ADD", site, &config, &pod);
        scene.wait_for("PATCH", 1);
        let new = site.token();
        site.write_token(&new);
        barrier.release();
        add.succeeds(&["public"]);
        assert_eq!(
            scene.asked(),
            ["GET public 200".to_owned(), format!("PATCH {mode} 401"), format!("PATCH {mode} 200")]
        );
        assert_eq!(scene.proxy.exchanges().pop().unwrap().authorization, format!("Bearer {new}"));
        site.assert_clean();
    }
}

/// Multus 929, 1367: the real thing. A token bound to a Node object dies with that object.
#[test]
fn a_token_that_the_server_revokes_during_an_add_is_replaced_by_the_one_in_the_file() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        // The server keeps a token that it has seen for ten seconds: this one it sees for the first time when it is dead.
        let (seen, unseen) = (site.token(), site.token());
        let (at_get, at_patch) = (Hold::new(), Hold::new());
        site.write_token(&seen);
        scene.disturb("GET", 1, Fault::Hold(at_get.clone()));
        scene.disturb("PATCH", 1, Fault::Hold(at_patch.clone()));
        let add = Case::add("token revoked during the ADD", site, &config, &pod);
        scene.wait_for("GET", 1);
        site.write_token(&unseen);
        at_get.release();
        scene.wait_for("PATCH", 1);
        recreate_node(site);
        site.write_token(&site.token());
        at_patch.release();
        add.succeeds(&["public"]);
        assert_eq!(
            scene.asked(),
            ["GET public 200".to_owned(), format!("PATCH {mode} 401"), format!("PATCH {mode} 200")]
        );
        let bearers: Vec<String> = scene.proxy.exchanges().into_iter().map(|one| one.authorization).collect();
        assert_eq!(bearers[bearers.len() - 3..][..2], [format!("Bearer {seen}"), format!("Bearer {unseen}")]);
        site.assert_clean();
    }
}

/// Deletes the site's Node object and makes another one of that name; returns when tokens of the former are dead.
fn recreate_node(site: &Site) {
    let former = site.token();
    site.cluster.delete(&format!("/api/v1/nodes/{}", site.node_name)).expect_success("delete the node");
    site.cluster.create_node(&site.node_name);
    let path = format!("{}/status?dryRun=All", pod_path(&site.namespace, "nobody"));
    let mut seconds = 3000;
    wait_until("the end of the former node's tokens", super::PATIENCE, || {
        // Each time another token, since the server remembers those that it let in.
        seconds += 1;
        let token = site.cluster.expiring_in(&former, seconds);
        site.cluster.request("PATCH", &path, &token, MERGE_PATCH, Some(&json!({}))).status == 401
    });
    assert_ne!(site.cluster.request("PATCH", &path, ADMIN, MERGE_PATCH, Some(&json!({}))).status, 401);
}

/// Multus 852, 929, 1263, 1367: no token is ever good. Two tries, and the ADD is undone.
#[test]
fn a_token_that_is_refused_twice_fails_the_add_before_and_after_attaching() {
    for method in ["GET", "PATCH"] {
        let scene = Scene::start();
        let site = &scene.site;
        scene.disturb(method, 100, Fault::Status(401, None));
        for (mode, config) in modes(site) {
            let pod = site.pod(mode, Some("public"));
            let words = [&[method], &ADVICE[..]].concat();
            Case::add(&format!("401 for ever at {method}"), site, &config, &pod).fails(REFUSED, &words);
            let expected = match method {
                "GET" => vec!["GET public 401".to_owned(); 2],
                _ => vec!["GET public 200".to_owned(), format!("PATCH {mode} 401"), format!("PATCH {mode} 401")],
            };
            assert_eq!(scene.asked(), expected);
            let attached = site.fixture.recorded_calls().iter().any(|call| call.starts_with("ADD"));
            assert_eq!(attached, method == "PATCH", "{:?}", site.fixture.recorded_calls());
            site.fixture.forget_records();
        }
    }
}

/// Multus 1263, 1367: the thin kubeconfig is written anew as a whole, here with another server.
#[test]
fn a_kubeconfig_that_is_replaced_during_an_add_is_followed_to_its_new_server() {
    let scene = Scene::start();
    let site = &scene.site;
    for (mode, config) in modes(site) {
        let pod = site.pod(mode, Some("public"));
        site.use_server(&scene.proxy.url());
        let barrier = Hold::new();
        scene.disturb("GET", 1, Fault::Hold(barrier.clone()));
        scene.disturb("GET", 1, Fault::Status(401, None));
        let before = site.requests().len();
        let add = Case::add("kubeconfig replaced during the ADD", site, &config, &pod);
        scene.wait_for("GET", 1);
        site.use_server(&site.cluster.server().url());
        barrier.release();
        add.succeeds(&["public"]);
        assert_eq!(scene.asked(), ["GET public 401"], "then nothing more");
        assert_eq!(
            site.requests()[before..],
            [
                format!("get network-attachment-definitions {}/public 200", site.namespace),
                format!("patch pods/status {}/{mode} 200", site.namespace)
            ]
        );
        site.assert_clean();
    }
}

/// Multus 852: with its networks as files a pod needs a token for its status alone, and does not run without.
#[test]
fn an_expired_token_undoes_a_pod_whose_networks_are_files() {
    let scene = Scene::start();
    let site = &scene.site;
    site.fixture.define(&site.namespace, "local", &site.fixture.stub_config("local", &json!({})));
    site.write_token(&site.cluster.expiring_in(&site.token(), -120));
    for (mode, config) in modes(site) {
        let config = super::with(config, &json!({"networksDir": NETWORKS}));
        let pod = site.pod(mode, Some("local"));
        let words = [&["network-status was not written"], &ADVICE[..]].concat();
        Case::add("expired token at the PATCH", site, &config, &pod).fails(REFUSED, &words);
        assert_eq!(scene.asked(), [format!("PATCH {mode} 401"), format!("PATCH {mode} 401")]);
    }
}
