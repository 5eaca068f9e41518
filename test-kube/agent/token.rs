//! The plugin's credentials.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Agent, CREDENTIALS};
use crate::cluster::ADMIN;
use crate::site::Site;

/// The plugin's configuration with the credentials that the agent writes.
pub(super) fn config(site: &Site) -> Value {
    let mut config = site.chained();
    config["kubeconfig"] = json!(CREDENTIALS);
    config
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// A pod that only the plugin's own credentials attach: its annotations and its network are asked for.
fn assert_attaches(site: &Site, name: &str) {
    let pod = site.pod(name, Some("net")).not_annotated();
    site.add(&config(site), &pod);
    assert_eq!(site.status(&pod).unwrap().as_array().unwrap().len(), 2);
    site.del(&config(site), &pod);
}

#[test]
fn the_plugin_is_given_a_token_of_its_own_that_is_bound_to_the_node_and_outlives_the_agent() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let mut agent = Agent::start(&site);
    agent.wait_until_well();
    let token = agent.token().unwrap();
    let claims = claims(&token);
    assert_eq!(claims["sub"], "system:serviceaccount:kube-system:rooknet");
    assert_eq!(claims["kubernetes.io"]["node"]["name"], site.node_name.as_str());
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 86_400);
    assert_eq!(agent.metric("rooknet_token_expiry_timestamp_seconds"), claims["exp"].as_f64());
    for (file, mode) in [("token", 0o600), ("ca.crt", 0o600), ("server", 0o600)] {
        let metadata = std::fs::metadata(site.node().path(&format!("{CREDENTIALS}/{file}"))).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    let server = site.node().read(&format!("{CREDENTIALS}/server")).unwrap();
    assert_eq!(String::from_utf8(server).unwrap().trim(), site.cluster.server().url());
    assert_attaches(&site, "with");
    assert_eq!(agent.end(Signal::SIGTERM), Some(0), "{}", agent.log());
    assert_eq!(agent.token(), Some(token));
    assert_attaches(&site, "without");
    site.assert_clean();
}

#[test]
fn whatever_becomes_of_the_files_they_are_made_good() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let agent = Agent::start(&site);
    agent.wait_until_well();
    let directory = site.node().path(CREDENTIALS);
    let renewals = || agent.metric("rooknet_token_renewals_total");
    for (number, spoil) in [
        &(|| std::fs::remove_file(directory.join("token")).unwrap()) as &dyn Fn(),
        &|| std::fs::write(directory.join("token"), "").unwrap(),
        &|| std::fs::write(directory.join("token"), "no token").unwrap(),
        &|| {
            // What is signed by nobody, but has every claim.
            let good = agent.token().unwrap();
            std::fs::write(directory.join("token"), format!("{}x", good.trim())).unwrap();
        },
    ]
    .into_iter()
    .enumerate()
    {
        let (former, before) = (agent.token().unwrap(), renewals());
        spoil();
        agent.wait_until("another token", || renewals() > before);
        let token = agent.token().unwrap();
        assert_ne!(token, former);
        assert_attaches(&site, &format!("pod-{number}"));
    }
    let before = renewals();
    std::fs::remove_file(directory.join("ca.crt")).unwrap();
    std::fs::write(directory.join("server"), "https://192.0.2.1").unwrap();
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap_or_default();
    agent.wait_until("authorities and server", || {
        read("server").trim() == site.cluster.server().url() && read("ca.crt").contains("BEGIN CERTIFICATE")
    });
    assert_eq!(renewals(), before, "the token was good");
    assert_attaches(&site, "last");
}

#[test]
fn a_token_that_serves_is_kept_by_an_agent_that_starts_again_and_another_one_is_not() {
    let site = Site::start();
    let mut agent = Agent::start(&site);
    agent.wait_until_well();
    let token = agent.token().unwrap();
    agent.end(Signal::SIGKILL);
    agent.run();
    agent.wait_until_well();
    assert_eq!(agent.token().unwrap(), token);
    assert_eq!(agent.metric("rooknet_token_renewals_total"), Some(0.0));
    for (what, other) in [
        ("half of its life is over", site.cluster.expiring_in(&token, 3000)),
        ("it is bound to no node", site.cluster.token("kube-system", "rooknet", None)),
    ] {
        agent.end(Signal::SIGKILL);
        site.node().write(&format!("{CREDENTIALS}/token"), &other);
        agent.run();
        agent.wait_until(what, || agent.token().is_some_and(|token| token != other));
        agent.wait_until_well();
    }
}

#[test]
fn a_token_that_the_server_no_longer_takes_is_renewed_when_a_call_says_so() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let agent = Agent::start(&site);
    agent.wait_until_well();
    let former = agent.token().unwrap();
    // The Node object is made anew, with another uid: the token dies with the former.
    let path = format!("/api/v1/nodes/{}", site.node_name);
    site.cluster.delete(&path).expect_success("delete the node");
    site.cluster.create_node(&site.node_name);
    agent.wait_until("the end of the former token", || {
        site.cluster.request("GET", "/version", &former, "", None).status == 401
    });
    let failing = site.pod("failing", Some("net")).not_annotated();
    if agent.token().as_ref() == Some(&former) {
        site.run("ADD", &config(&site), &failing);
    }
    agent.wait_until("another token", || agent.token().is_some_and(|token| token != former));
    assert_attaches(&site, "pod");
    let answer = site.cluster.request("GET", "/version", &agent.token().unwrap(), "", None);
    assert!(answer.is_success(), "{answer:?}");
    let uid = site.cluster.request("GET", &path, ADMIN, "", None).expect_success("the node")["metadata"]["uid"].clone();
    assert_eq!(claims(&agent.token().unwrap())["kubernetes.io"]["node"]["uid"], uid);
}

#[test]
fn a_node_that_rooknet_has_left_gets_no_credentials_from_an_agent_that_lives_on() {
    let site = Site::start();
    let record = |state: &str| {
        json!({
            "format": 1, "state": state, "version": "0.1.0", "mode": "chained", "binDir": "/opt/cni/bin",
            "confDir": "/etc/cni/net.d", "stateDir": "/var/lib/rooknet", "conflist": "00-rooknet.conflist",
            "deployment": "uid-1",
        })
        .to_string()
    };
    let file = format!("{CREDENTIALS}/install.json");
    site.node().write(&file, record("uninstalled"));
    let agent = Agent::start(&site);
    agent.wait_until_well();
    for name in ["token", "ca.crt", "server"] {
        assert!(site.node().read(&format!("{CREDENTIALS}/{name}")).is_none(), "{name}: {}", agent.log());
    }
    site.node().write(&file, record("installed"));
    agent.wait_until("the token of a node that has rooknet again", || agent.token().is_some());
}
