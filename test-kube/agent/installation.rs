//! The installation, as the agent keeps it.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Agent, KUBECONFIG, known, runtime};
use crate::cluster::{ADMIN, MERGE_PATCH};
use crate::site::Site;

const PRIMARY: &str = "/etc/cni/net.d/10-pods.conflist";
const OURS: &str = "/etc/cni/net.d/00-rooknet.conflist";

fn primary(subnet: &str) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]},
        }],
    })
}

/// An agent that installs what was built, and does not ask a runtime, since there is none.
fn installing<'a>(site: &'a Site, words: &[&str]) -> Agent<'a> {
    let mut agent = Agent::new(site, &site.cluster.server().url(), words);
    agent.words.retain(|word| word != "--no-install");
    let more = ["--no-verify-runtime", "--plugin", env!("CARGO_BIN_EXE_rooknet")];
    agent.words.extend(more.map(str::to_owned));
    assert!(agent.words.contains(&KUBECONFIG.to_owned()));
    agent
}

fn conflist(site: &Site) -> Option<Value> {
    site.node().read(OURS).map(|text| serde_json::from_slice(&text).expect("a conflist is whole"))
}

/// What a container that is gone has left: a journal, written long ago as far as anybody can tell.
fn leave_behind(site: &Site, name: &str) {
    let config = site.chained();
    let pod = site.pod(name, Some("net"));
    site.add(&config, &pod);
    let journal = format!("/var/lib/rooknet/attachments/{}@eth0.json", pod.id);
    site.node().ok(&["touch", "--date", "-1 hour", &journal]);
    site.node().ok(&["ip", "netns", "delete", &pod.id]);
}

fn taints(site: &Site) -> Vec<String> {
    let node = site.cluster.get(&format!("/api/v1/nodes/{}", site.node_name)).expect_success("the node");
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints.iter().map(|taint| taint["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_was_installed_is_kept_and_follows_the_primary_and_stays_when_the_agent_goes() {
    let site = Site::start();
    site.node().write(PRIMARY, primary("10.244.1.0/24").to_string());
    let mut agent = installing(&site, &[]);
    agent.run();
    agent.wait_until_well();
    let installed = conflist(&site).expect("it was installed");
    assert_eq!(installed["name"], "pods");
    let entry = installed["plugins"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&entry["type"], &entry["kubeconfig"], &entry["nodeName"]),
        (&json!("rooknet"), &json!("/etc/cni/rooknet"), &json!(site.node_name))
    );
    assert_eq!(agent.metric("rooknet_install_verified"), Some(1.0));
    site.node().write(PRIMARY, primary("10.244.9.0/24").to_string());
    let follows = |site: &Site| {
        conflist(site).is_some_and(|list| list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"] == "10.244.9.0/24")
    };
    agent.wait_until("the primary's new text", || follows(&site));
    std::fs::remove_file(site.node().path(OURS)).unwrap();
    agent.wait_until("the conflist again", || follows(&site));
    std::fs::remove_file(site.node().path("/opt/cni/bin/rooknet")).unwrap();
    agent.wait_until("the plugin again", || site.node().path("/opt/cni/bin/rooknet").exists());
    agent.wait_until_well();
    assert_eq!(agent.end(Signal::SIGTERM), Some(0), "{}", agent.log());
    assert!(follows(&site) && site.node().path("/opt/cni/bin/rooknet").exists());
}

#[test]
fn the_startup_taint_goes_once_the_installation_is_in_place_and_no_other_taint_does() {
    let site = Site::start();
    let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
    let path = format!("/api/v1/nodes/{}", site.node_name);
    let patch =
        json!({"spec": {"taints": [taint("example.org/a"), taint("rooknet.io/not-ready"), taint("example.org/b")]}});
    site.cluster.request("PATCH", &path, ADMIN, MERGE_PATCH, Some(&patch)).expect_success("taint the node");
    let mut agent = installing(&site, &["--taint"]);
    agent.run();
    agent.wait_until("the missing primary being named", || {
        agent.get("/healthz").is_some_and(|(status, text)| status == 503 && text.contains("installation: "))
    });
    let before = taints(&site);
    for key in ["example.org/a", "rooknet.io/not-ready", "example.org/b"] {
        assert!(before.iter().any(|taint| taint == key), "{before:?}");
    }
    assert_eq!(agent.metric("rooknet_install_verified"), Some(0.0));
    site.node().write(PRIMARY, primary("10.244.1.0/24").to_string());
    agent.wait_until("the end of the taint", || !taints(&site).contains(&"rooknet.io/not-ready".to_owned()));
    let after: Vec<String> = before.into_iter().filter(|taint| taint != "rooknet.io/not-ready").collect();
    assert_eq!(taints(&site), after);
    agent.wait_until_well();
}

#[test]
fn what_a_container_that_is_gone_has_left_is_collected_and_a_living_ones_is_not() {
    let site = Site::start();
    let runtime = runtime(&site);
    site.write_token(&site.token());
    site.define_stub("net", &json!({}));
    let living = site.pod("living", Some("net"));
    runtime.add(known(&living));
    site.add(&site.chained(), &living);
    leave_behind(&site, "gone");
    assert_eq!(site.node().journals().len(), 2);
    site.node().write(PRIMARY, primary("10.244.1.0/24").to_string());
    let mut agent = installing(&site, &[]);
    agent.run();
    agent.wait_until("the end of the stale journal", || site.node().journals().len() == 1);
    assert!(site.node().journals()[0].starts_with(&living.id), "{:?}", site.node().journals());
    agent.wait_until("it being counted", || agent.metric("rooknet_repairs_total{kind=\"stale\"}") == Some(1.0));
    agent.wait_until_well();
    drop(agent);
    site.write_token(&site.token());
    site.del(&site.chained(), &living);
    site.assert_clean();
}
