//! How often the API server is asked, from its audit log, and over how many connections.

use serde_json::{Value, json};

use crate::cluster::Account;
use crate::fixture::{NETWORKS, PATIENCE};
use crate::networks::{delegating, macvlan, site, site_with};
use crate::proxy::{Fault, Hold, Proxy, Rule};
use crate::site::{Pod, Site};
use crate::support::wait_until;

/// A node, and the networks `a`, `b` and `c` in the API server.
pub(crate) fn with_networks(site: Site) -> Site {
    for (name, subnet) in [("a", "192.168.20.0/24"), ("b", "192.168.21.0/24"), ("c", "192.168.22.0/24")] {
        site.define(name, &macvlan(&[subnet]));
    }
    site
}

/// What the API server is asked at an ADD and the DEL after it, the requests that leave together sorted by name.
#[track_caller]
pub(crate) fn asked(site: &Site, config: &Value, pod: &Pod<'_>) -> Vec<String> {
    let before = site.requests().len();
    site.add(config, pod);
    let mut asked = site.requests().split_off(before);
    site.del(config, pod);
    assert_eq!(site.requests().len(), before + asked.len(), "a DEL asks nobody");
    let together = asked.iter().take_while(|line| line.contains("network-attachment-definitions")).count();
    asked[..together].sort();
    asked
}

/// The line of the audit log that says so.
pub(crate) fn get(site: &Site, network: &str) -> String {
    format!("get network-attachment-definitions {}/{network} 200", site.namespace)
}

/// The line of the audit log for a pod's network-status.
pub(crate) fn patch(pod: &Pod<'_>) -> String {
    format!("patch pods/status {}/{} 200", pod.namespace, pod.name)
}

#[test]
fn each_distinct_network_is_read_once_and_the_status_is_written_once() {
    let site = with_networks(site());
    let all = json!([{"name": "c"}, {"name": "a"}, {"name": "b", "namespace": site.namespace}]).to_string();
    let rows: [(&str, &str, &[&str]); 5] = [
        ("one", "a", &["a"]),
        ("two", "a,b", &["a", "b"]),
        ("three", &all, &["a", "b", "c"]),
        ("twice", "a,a", &["a"]),
        ("both", "a@x,b,a@y", &["a", "b"]),
    ];
    for (name, selection, networks) in rows {
        let pod = site.pod(name, Some(selection));
        let mut expected: Vec<String> = networks.iter().map(|network| get(&site, network)).collect();
        expected.push(patch(&pod));
        assert_eq!(asked(&site, &site.chained(), &pod), expected, "{selection}");
    }
    site.assert_clean();
}

#[test]
fn what_lies_in_networks_dir_is_not_asked_for() {
    let site = with_networks(site());
    let mut config = site.chained();
    config["networksDir"] = json!(NETWORKS);
    site.fixture.define(&site.namespace, "a", &macvlan(&["192.168.30.0/24"]));
    let pod = site.pod("pod", Some("a,b"));
    assert_eq!(asked(&site, &config, &pod), [get(&site, "b"), patch(&pod)]);
    let status = site.status(&pod).unwrap();
    assert_eq!(status[1]["ips"], json!(["192.168.30.2"]), "the file's and not the API server's");
    let on_disk = site.pod("on-disk", Some("a"));
    assert_eq!(asked(&site, &config, &on_disk), [patch(&on_disk)]);
    site.assert_clean();
}

#[test]
fn a_pod_is_read_once_and_only_where_its_annotations_were_not_passed() {
    let site = with_networks(site());
    let pod = site.pod("pod", Some("a")).not_annotated();
    let get_pod = format!("get pods {}/pod 200", pod.namespace);
    assert_eq!(asked(&site, &site.chained(), &pod), [get_pod, get(&site, "a"), patch(&pod)]);
    let plain = site.pod("plain", None).not_annotated();
    assert_eq!(asked(&site, &site.chained(), &plain), [format!("get pods {}/plain 200", plain.namespace)]);
    site.assert_clean();
}

#[test]
fn a_pod_that_selects_nothing_costs_nothing_in_chained_mode_and_a_patch_in_delegating_mode() {
    let site = site();
    let pod = site.pod("pod", None);
    assert_eq!(asked(&site, &site.chained(), &pod), Vec::<String>::new());
    assert_eq!(site.status(&pod), None);
    assert_eq!(asked(&site, &delegating(&site), &pod), [patch(&pod)]);
    site.assert_clean();
}

#[test]
fn a_default_network_of_the_api_server_is_read_once_for_all_that_name_it() {
    let site = with_networks(site());
    let network = format!("{}/a", site.namespace);
    let mut config = site.delegating();
    config.as_object_mut().unwrap().remove("delegates");
    config["clusterNetwork"] = json!(network);
    config["defaultNetworks"] = json!([network]);
    let pod = site.pod("pod", Some("a,b"));
    assert_eq!(asked(&site, &config, &pod), [get(&site, "a"), get(&site, "b"), patch(&pod)]);
    site.assert_clean();
}

#[test]
fn events_add_one_request_for_each_attachment() {
    let site = with_networks(site_with(Account::WithEvents));
    let mut config = site.chained();
    config["events"] = json!(true);
    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    // Else the server's own log could end before an event that nobody waits for.
    let hold = Hold::new();
    proxy.add(Rule::new(Fault::Hold(hold.clone())).method("PATCH"));
    let pod = site.pod("pod", Some("a,b"));
    let adding = site.call("ADD", &config, &pod).start(site.node());
    let created = || proxy.exchanges().iter().filter(|found| found.method == "POST" && found.status.is_some()).count();
    wait_until("three events", PATIENCE, || created() == 3);
    hold.release();
    adding.wait().expect_success("ADD");
    let mut asked = site.requests();
    asked.sort();
    let event = format!("create events {}/ 201", site.namespace);
    // The server notes an event under its name, which it makes itself.
    let asked: Vec<String> =
        asked.into_iter().map(|line| if line.starts_with("create events ") { event.clone() } else { line }).collect();
    assert_eq!(asked, [event.clone(), event.clone(), event, get(&site, "a"), get(&site, "b"), patch(&pod)]);
    site.del(&config, &pod);
    assert_eq!(site.requests().len(), asked.len());
    site.assert_clean();
}

#[test]
fn check_gc_and_status_ask_nobody() {
    let site = with_networks(site());
    for mut config in [site.chained(), delegating(&site)] {
        let pod = site.pod(&site.cluster.unique_name("pod"), Some("a"));
        let result = site.add(&config, &pod);
        let before = site.requests();
        site.fixture.node_call("STATUS", &config).expect_success("STATUS");
        let list = json!([{"containerID": pod.id, "ifname": "eth0"}]);
        site.fixture.gc(&config, &list).expect_success("GC");
        let mut check = config.clone();
        check["prevResult"] = result;
        site.run("CHECK", &check, &pod).expect_success("CHECK");
        site.fixture.gc(&config, &json!([])).expect_success("GC of all");
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
        // What a runtime passes with a DEL.
        config["prevResult"] = check["prevResult"].take();
        site.run("DEL", &config, &pod).expect_success("DEL of what is gone");
        assert_eq!(site.requests(), before);
    }
    site.assert_clean();
}

/// Three networks are asked for at once, by one connection, which carries the rest as well.
#[test]
fn one_connection_serves_a_whole_add() {
    let site = with_networks(site());
    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    let hold = Hold::new();
    proxy.add(Rule::new(Fault::Hold(hold.clone())).path("/network-attachment-definitions/"));
    let pod = site.pod("pod", Some("a,b,c")).not_annotated();
    let adding = site.call("ADD", &site.chained(), &pod).start(site.node());
    wait_until("three requests in flight", PATIENCE, || {
        proxy.exchanges().iter().filter(|found| found.status.is_none()).count() == 3
    });
    hold.release();
    adding.wait().expect_success("ADD");
    let exchanges = proxy.exchanges();
    let methods: Vec<&str> = exchanges.iter().map(|exchange| exchange.method.as_str()).collect();
    assert_eq!(methods, ["GET", "GET", "GET", "GET", "PATCH"], "the pod, three networks, the status");
    assert!(exchanges.iter().all(|exchange| exchange.connection == 1 && exchange.is_http2), "{exchanges:?}");
    assert_eq!(proxy.connections(), 1);
    site.del(&site.chained(), &pod);
    assert_eq!(proxy.connections(), 1, "none for the DEL");
    site.assert_clean();
}
