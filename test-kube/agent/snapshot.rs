//! The snapshot of network definitions: what the plugin does with it, and when it ends.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::token::config;
use super::{Agent, SNAPSHOT, install_rights};
use crate::cluster::{ADMIN, Cluster, project_file};
use crate::proxy::{Gate, Passage};
use crate::site::Site;
use crate::support::Node;

fn path_of(site: &Site, name: &str) -> String {
    let namespace = &site.namespace;
    format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}")
}

/// What the snapshot has of a definition.
fn stored(site: &Site, name: &str) -> Option<Value> {
    let file = format!("{SNAPSHOT}/{}/{name}.json", site.namespace);
    site.node().read(&file).map(|text| serde_json::from_slice(&text).expect("a file of the snapshot is whole"))
}

#[test]
fn the_snapshot_follows_what_is_created_changed_and_deleted_as_whole_objects() {
    let site = Site::start();
    site.define_stub("first", &json!({}));
    let agent = Agent::start(&site);
    agent.wait_until_fresh();
    let object = site.cluster.get(&path_of(&site, "first")).expect_success("the network");
    let mut expected = object.clone();
    expected["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(stored(&site, "first").unwrap(), expected);

    site.define_stub("second", &json!({}));
    agent.wait_until("a new network", || stored(&site, "second").is_some());
    let patch = json!({"metadata": {"annotations": {"example.org/a": "b"}}, "spec": {"config": "{}"}});
    site.cluster.merge_patch(&path_of(&site, "first"), ADMIN, &patch).expect_success("change the network");
    agent.wait_until("the change", || {
        let stored = stored(&site, "first").unwrap();
        stored["spec"]["config"] == "{}" && stored["metadata"]["annotations"]["example.org/a"] == "b"
    });
    site.cluster.delete(&path_of(&site, "second")).expect_success("delete the network");
    agent.wait_until("the end of the deleted network", || stored(&site, "second").is_none());
    assert!(stored(&site, "first").is_some());
}

#[test]
fn an_add_with_an_agent_asks_the_server_for_no_network_and_one_without_asks_again() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let mut agent = Agent::start(&site);
    agent.wait_until_well();
    let pod = site.pod("with", Some("net"));
    site.add(&config(&site), &pod);
    site.del(&config(&site), &pod);
    let patch = |pod: &str| format!("patch pods/status {}/{pod} 200", site.namespace);
    assert_eq!(site.requests(), [patch("with")]);
    agent.end(Signal::SIGTERM);
    assert_eq!(agent.heartbeat(), None, "a clean end");
    let pod = site.pod("without", Some("net"));
    site.add(&config(&site), &pod);
    site.del(&config(&site), &pod);
    let get = format!("get network-attachment-definitions {}/net 200", site.namespace);
    assert_eq!(site.requests(), [patch("with"), get, patch("without")]);
    site.assert_clean();
}

#[test]
fn what_was_missed_while_there_was_no_agent_is_made_good_before_the_next_heartbeat() {
    let site = Site::start();
    site.define_stub("gone", &json!({}));
    site.define_stub("changed", &json!({}));
    let mut agent = Agent::start(&site);
    agent.wait_until_fresh();
    agent.end(Signal::SIGKILL);
    // A killed agent leaves its heartbeat, which runs out by itself; here it is taken away to see the next one.
    std::fs::remove_file(site.node().path(&format!("{SNAPSHOT}/.heartbeat"))).unwrap();
    site.cluster.delete(&path_of(&site, "gone")).expect_success("delete the network");
    let patch = json!({"spec": {"config": "{}"}});
    site.cluster.merge_patch(&path_of(&site, "changed"), ADMIN, &patch).expect_success("change the network");
    site.node().write(&format!("{SNAPSHOT}/nobody/left-over.json"), "{}");
    agent.run();
    agent.wait_until_fresh();
    assert_eq!(stored(&site, "gone"), None);
    assert_eq!(stored(&site, "changed").unwrap()["spec"]["config"], "{}");
    assert_eq!(site.node().entries(&format!("{SNAPSHOT}/nobody")), Vec::<String>::new());
}

#[test]
fn without_the_api_server_there_is_no_heartbeat_be_it_gone_or_silent() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let gate = Gate::start(site.cluster.server(), site.node());
    let agent = Agent::start_with(&site, &gate.url(), &[]);
    agent.wait_until_well();
    for passage in [Passage::Refused, Passage::Silent] {
        gate.set(passage);
        agent.wait_until("the end of the snapshot", || agent.heartbeat().is_none());
        assert_eq!(agent.metric("rooknet_snapshot_live"), Some(0.0));
        let (status, text) = agent.get("/healthz").unwrap();
        assert!(status == 503 && text.contains("snapshot: "), "{text}");
        site.define_stub(&format!("during-{passage:?}").to_lowercase(), &json!({}));
        gate.set(Passage::Open);
        agent.wait_until_fresh();
        assert!(stored(&site, &format!("during-{passage:?}").to_lowercase()).is_some(), "{passage:?}");
        agent.wait_until_well();
    }
}

#[test]
fn an_agent_killed_anywhere_leaves_files_that_are_whole_and_a_next_one_goes_on() {
    let site = Site::start();
    for number in 0..20 {
        site.define_stub(&format!("net-{number}"), &json!({}));
    }
    let mut agent = Agent::new(&site, &site.cluster.server().url(), &[]);
    let points = [
        "agent-credentials.begin",
        "agent-credentials.written",
        "agent-credentials.renamed@2",
        "agent-token.begin",
        "agent-token.written",
        "agent-token.renamed",
        "definition-put.written@7",
        "definition-put.renamed@7",
        "definitions-heartbeat.written",
        "definitions-heartbeat.renamed",
    ];
    for point in points {
        let _ = std::fs::remove_file(site.node().path(&format!("{}/token", super::CREDENTIALS)));
        if point.contains("credentials") {
            let _ = std::fs::remove_dir_all(site.node().path(super::CREDENTIALS));
        }
        agent.environment = vec![("ROOKNET_FAULT".to_owned(), format!("kill:{point}"))];
        agent.run();
        assert_eq!(agent.wait(), None, "it was killed at {point}: {}", agent.log());
        for number in 0..20 {
            if let Some(object) = stored(&site, &format!("net-{number}")) {
                assert_eq!(object["metadata"]["name"], format!("net-{number}"), "{point}");
            }
        }
        assert!(agent.token().is_none_or(|token| token.split('.').count() == 3), "{point}");
    }
    agent.environment.clear();
    agent.run();
    agent.wait_until_well();
    assert_eq!((0..20).filter(|number| stored(&site, &format!("net-{number}")).is_some()).count(), 20);
    let answer = site.cluster.request("GET", "/version", agent.token().unwrap().trim(), "", None);
    assert!(answer.is_success(), "{answer:?}");
}

#[test]
fn a_cluster_without_the_kind_is_told_of_and_waited_for() {
    let cluster = Cluster::empty();
    let node = Node::start("node");
    cluster.join(&node);
    cluster.create_node("node");
    cluster.apply(&project_file("deploy/kustomize/base/rbac.yaml"));
    install_rights(&cluster);
    let mut agent = Agent::of(&cluster, &node, "node", &cluster.server().url(), &[]);
    agent.run();
    agent.wait_until("the kind being missed", || {
        agent.get("/healthz").is_some_and(|(status, text)| {
            status == 503 && text.contains("snapshot: the cluster does not know the kind NetworkAttachmentDefinition")
        })
    });
    assert_eq!(agent.heartbeat(), None);
    agent.wait_until("the token meanwhile", || agent.token().is_some());
    cluster.apply(&project_file("deploy/kustomize/crd/network-attachment-definition.yaml"));
    agent.wait_until_fresh();
}
