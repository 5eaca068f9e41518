//! The agent's snapshot of definitions in place of the API server's answers, and the agent's hand for events.

use serde_json::{Value, json};

use crate::cluster::Account;
use crate::fixture::NETWORKS;
use crate::networks::{macvlan, site, site_with};
use crate::proxy::Proxy;
use crate::requests::{asked, get, patch, with_networks};
use crate::site::Site;

/// Longer than any test.
const LONG: &str = "600000";

/// As the agent does after a list: the whole objects, as the API server has them.
fn snapshot(site: &Site, names: &[&str]) {
    for name in names {
        let namespace = &site.namespace;
        let path = format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}");
        let object = site.cluster.get(&path).expect_success("the definition");
        site.fixture.stepped(&["put", namespace, name], &object.to_string());
    }
    site.fixture.stepped(&["beat", LONG], "");
}

#[test]
fn an_add_whose_networks_are_in_a_fresh_snapshot_asks_for_none() {
    let site = with_networks(site());
    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    let config = site.chained();
    let pod = site.pod("pod", Some("a,b,a@again"));
    snapshot(&site, &["a", "b"]);
    assert_eq!(asked(&site, &config, &pod), [patch(&pod)]);
    let methods: Vec<String> = proxy.exchanges().into_iter().map(|exchange| exchange.method).collect();
    assert_eq!((methods.as_slice(), proxy.connections()), (&["PATCH".to_owned()][..], 1));
    let record = &site.fixture.calls()[0];
    assert_eq!(record["api"]["requests"], 1);
    assert!(record["api"]["ms"].as_f64().is_some_and(|took| took > 0.0), "{record}");
    site.assert_clean();
}

#[test]
fn what_the_snapshot_lacks_is_asked_of_the_api_server() {
    let site = with_networks(site());
    let config = site.chained();
    snapshot(&site, &["a"]);
    let pod = site.pod("pod", Some("a,b"));
    assert_eq!(asked(&site, &config, &pod), [get(&site, "b"), patch(&pod)]);
    assert_eq!(site.fixture.calls()[0]["api"]["requests"], 2);
    site.fixture.stepped(&["remove", &site.namespace, "a"], "");
    assert_eq!(asked(&site, &config, &pod), [get(&site, "a"), get(&site, "b"), patch(&pod)]);
    site.assert_clean();
}

#[test]
fn a_snapshot_that_is_not_fresh_or_not_roots_alone_is_passed_over() {
    let site = with_networks(site());
    let config = site.chained();
    let pod = site.pod("pod", Some("a"));
    snapshot(&site, &["a"]);
    assert_eq!(asked(&site, &config, &pod), [patch(&pod)]);
    let definitions = "/run/rooknet/definitions";
    let heartbeat = format!("{definitions}/.heartbeat");
    let whole: Value = serde_json::from_slice(&site.node().read(&heartbeat).unwrap()).unwrap();
    let (future, old) = (json!(u64::MAX), json!(0));
    let changed = |key: &str, value: &Value| {
        let mut changed = whole.clone();
        changed[key] = value.clone();
        site.node().write(&heartbeat, changed.to_string());
    };
    let breaks: [(&str, &dyn Fn()); 8] = [
        ("stopped", &|| drop(site.fixture.stepped(&["stop"], ""))),
        ("run out", &|| drop(site.fixture.stepped(&["beat", "0"], ""))),
        ("of the future", &|| changed("at", &future)),
        ("of long ago", &|| changed("at", &old)),
        ("of another boot", &|| changed("boot", &json!("7c6d0f0e-0000-4000-8000-000000000001"))),
        ("no heartbeat", &|| site.node().write(&heartbeat, "{}")),
        ("of another user", &|| drop(site.node().ok(&["chown", "-R", "65534", definitions]))),
        ("writable by others", &|| drop(site.node().ok(&["chmod", "-R", "o+w", definitions]))),
    ];
    for (what, break_it) in breaks {
        break_it();
        assert_eq!(asked(&site, &config, &pod), [get(&site, "a"), patch(&pod)], "{what}");
        site.node().ok(&["chown", "-R", "0", definitions]);
        site.node().ok(&["chmod", "-R", "o-w", definitions]);
        snapshot(&site, &[]);
        assert_eq!(asked(&site, &config, &pod), [patch(&pod)], "after: {what}");
    }
    let object = format!("{definitions}/{}/a.json", site.namespace);
    site.node().ok(&["chmod", "o+w", &object]);
    let added = site.run("ADD", &config, &pod);
    let said = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(said.contains("passing over the agent's snapshot") && said.contains(&object), "{said}");
    site.del(&config, &pod);
    assert_eq!(asked(&site, &config, &pod), [get(&site, "a"), patch(&pod)], "one object");
    site.assert_clean();
}

#[test]
fn networks_dir_comes_first_and_an_unusable_object_last() {
    let site = with_networks(site());
    let mut config = site.chained();
    config["networksDir"] = json!(NETWORKS);
    snapshot(&site, &["a", "b"]);
    site.fixture.define(&site.namespace, "a", &macvlan(&["192.168.30.0/24"]));
    site.fixture.stepped(&["put", &site.namespace, "b"], "{\"kind\": \"Pod\"}");
    let pod = site.pod("pod", Some("a,b"));
    assert_eq!(asked(&site, &config, &pod), [get(&site, "b"), patch(&pod)]);
    let status = site.status(&pod).unwrap();
    assert_eq!(status[1]["ips"], json!(["192.168.30.2"]), "the file's and not the snapshot's");
    site.assert_clean();
}

#[test]
fn errors_say_where_was_looked_and_where_a_definition_was_read() {
    let site = with_networks(site());
    let config = site.chained();
    snapshot(&site, &[]);
    let looked =
        ["/missing", "does not exist: looked in the agent's snapshot /run/rooknet/definitions and at the API server"];
    site.refused_add("no such network", &config, &site.pod("lost", Some("missing")), 7, &looked);
    site.define("broken", &json!({"cniVersion": "1.1.0", "plugins": []}));
    snapshot(&site, &["broken"]);
    let origin = format!("(file /run/rooknet/definitions/{}/broken.json of the agent's snapshot)", site.namespace);
    site.refused_add("a broken one", &config, &site.pod("broken", Some("broken")), 7, &[&origin]);
}

#[test]
fn a_nodes_ranges_come_with_the_snapshot() {
    let site = site();
    let ranges = json!({site.node_name.clone(): [[{"subnet": "192.168.40.0/24"}]]}).to_string();
    let annotations = json!({"rooknet.io/node-ranges": ranges});
    let mut config = macvlan(&[]);
    config["ipam"] = json!({"type": "host-local"});
    site.cluster.create_network(&site.namespace, "shared", &config, &annotations);
    snapshot(&site, &["shared"]);
    let pod = site.pod("pod", Some("shared"));
    let config = site.chained();
    site.add(&config, &pod);
    let address = site.status(&pod).unwrap()[1]["ips"][0].as_str().unwrap().to_owned();
    assert!(address.starts_with("192.168.40."), "{address}");
    assert_eq!(site.requests(), [patch(&pod)]);
    site.del(&config, &pod);
    site.assert_clean();
}

/// The same site with the agent alive, and its last words from the record of calls.
fn told(site: &Site) -> Vec<String> {
    let said = site.fixture.stepped(&["take"], "");
    said.lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect()
}

#[test]
fn while_the_agent_lives_events_are_left_to_it() {
    let site = with_networks(site_with(Account::WithEvents));
    let mut config = site.chained();
    config["events"] = json!(true);
    snapshot(&site, &["a"]);
    let (pod, plain) = (site.pod("pod", Some("a@x")), site.pod("plain", None));
    assert_eq!(asked(&site, &config, &plain), Vec::<String>::new());
    assert_eq!(told(&site), Vec::<String>::new());
    assert_eq!(asked(&site, &config, &pod), [patch(&pod)]);
    let network = format!("{}/a", site.namespace);
    let expected = [
        "AddedInterface Add eth0 [10.244.0.5/24] from k8s-pods".to_owned(),
        format!("AddedInterface Add x [192.168.20.2/24] from {network}"),
    ];
    assert_eq!(told(&site), expected);
    let lost = site.pod("lost", Some("missing"));
    let refusal = site.refused_add("no such network", &config, &lost, 7, &["does not exist"]);
    assert_eq!(told(&site), [format!("FailedToAttachNetworks {}", refusal.message)]);
    assert!(site.requests().iter().all(|line| !line.starts_with("create events")), "{:?}", site.requests());

    site.fixture.stepped(&["stop"], "");
    site.refused_add("without the agent", &config, &lost, 7, &["does not exist"]);
    assert_eq!(told(&site), Vec::<String>::new());
    let created = site.requests().iter().filter(|line| line.starts_with("create events")).count();
    assert_eq!(created, 1);

    config["events"] = json!(false);
    site.fixture.stepped(&["beat", LONG], "");
    site.refused_add("without the key", &config, &lost, 7, &["does not exist"]);
    assert_eq!(told(&site), Vec::<String>::new());
    site.assert_clean();
}
