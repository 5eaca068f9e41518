//! The default network's entry in both modes, and who gets a status without having selected anything.

use serde_json::{Value, json};

use super::{PUBLIC, mac, primary};
use crate::fixture::NETWORKS_ANNOTATION;
use crate::networks::{bridge, delegating, macvlan, site};
use crate::proxy::{Fault, Proxy, Rule};
use crate::site::{Pod, Site};

/// The annotation by which a pod replaces the default network.
const OVERRIDE_ANNOTATION: &str = "v1.multus-cni.io/default-network";

/// What the bridge of [`delegating`] comes to, under a name.
fn by_bridge(pod: &Pod<'_>, name: &str) -> Value {
    json!({
        "name": name, "interface": "eth0", "ips": [pod.netns.address("eth0")], "mac": mac(pod, "eth0"),
        "default": true, "dns": {}, "gateway": ["10.244.1.1"],
    })
}

fn public(site: &Site, pod: &Pod<'_>) -> Value {
    json!({
        "name": format!("{}/public", site.namespace), "interface": "net1", "ips": [pod.netns.address("net1")],
        "mac": mac(pod, "net1"), "default": false, "dns": {},
    })
}

/// The configuration with a `clusterNetwork` in place of its `delegates`.
fn by_reference(site: &Site, reference: &str) -> Value {
    let mut config = site.delegating();
    config.as_object_mut().unwrap().remove("delegates");
    config["clusterNetwork"] = json!(reference);
    config
}

#[test]
fn the_default_network_has_its_configurations_name_wherever_that_is_from() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    site.define("eth", &bridge());
    let reference = format!("{}/eth", site.namespace);
    for (what, config) in [("delegates", delegating(&site)), ("a definition", by_reference(&site, &reference))] {
        let pod = site.pod(&site.cluster.unique_name("osd"), Some("public"));
        site.add(&config, &pod);
        assert_eq!(site.status(&pod), Some(json!([by_bridge(&pod, "pods"), public(&site, &pod)])), "{what}");
        site.del(&config, &pod);
    }
    let pod = site.pod("chained", Some("public"));
    site.add(&site.chained(), &pod);
    assert_eq!(site.status(&pod), Some(json!([primary(), public(&site, &pod)])));
    site.del(&site.chained(), &pod);
    site.assert_clean();
}

#[test]
fn a_default_network_that_the_pod_chose_has_its_definitions_name() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let mut other = bridge();
    other["name"] = json!("inner");
    site.define("other", &other);
    let reference = format!("{}/other", site.namespace);
    let annotations = json!({NETWORKS_ANNOTATION: "public", OVERRIDE_ANNOTATION: reference});
    let pod = site.annotated_pod("osd", annotations);
    site.add(&delegating(&site), &pod);
    assert_eq!(site.status(&pod), Some(json!([by_bridge(&pod, &reference), public(&site, &pod)])));
    site.del(&delegating(&site), &pod);
    site.assert_clean();
}

#[test]
fn a_pod_that_selects_nothing_is_told_of_its_default_network_in_delegating_mode() {
    let site = site();
    let pod = site.pod("osd", None);
    site.add(&delegating(&site), &pod);
    assert_eq!(site.status(&pod), Some(json!([by_bridge(&pod, "pods")])));
    site.del(&delegating(&site), &pod);
    site.assert_clean();
}

#[test]
fn status_for_all_is_for_pods_that_select_nothing_in_chained_mode() {
    let site = site();
    let mut config = site.chained();
    for (value, expected) in [(json!(true), Some(json!([primary()]))), (json!(false), None)] {
        config["statusForAll"] = value;
        let pod = site.pod(&site.cluster.unique_name("osd"), None);
        site.add(&config, &pod);
        assert_eq!(site.status(&pod), expected);
        site.del(&config, &pod);
    }
    site.assert_clean();
}

#[test]
fn default_networks_are_told_to_pods_that_select_nothing_where_it_is_possible() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let mut config = site.chained();
    config["defaultNetworks"] = json!([format!("{}/public", site.namespace)]);
    let pod = site.pod("osd", None);
    site.add(&config, &pod);
    assert_eq!(site.status(&pod), Some(json!([primary(), public(&site, &pod)])));
    site.del(&config, &pod);

    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    proxy.add(Rule::new(Fault::Status(403, None)).method("PATCH"));
    let untold = site.pod("untold", None);
    let added = site.run("ADD", &config, &untold);
    added.expect_success("ADD");
    assert!(String::from_utf8_lossy(&added.stderr).contains("the pod starts without"), "{added}");
    assert_eq!(untold.netns.interfaces(), ["net1"]);
    assert_eq!(site.status(&untold), None);
    site.del(&config, &untold);
    // It is not the account or the server: who selects something must be told.
    let selecting = site.pod("selecting", Some("public"));
    site.refused_add("a status that is needed", &config, &selecting, 105, &["network-status was not written"]);
    site.assert_clean();
}
