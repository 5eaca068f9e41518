//! A pod attached to a network from the API server, by the reference plugins and under the plugin's own rights.

use serde_json::{Value, json};

use crate::cluster::Account;
use crate::proxy::Proxy;
use crate::site::Site;

/// A network on the interface `stor0`, with host-local addresses.
fn macvlan(name: &str) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": name, "type": "macvlan", "master": "stor0", "mode": "bridge",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "192.168.10.0/24"}]]},
    })
}

/// The entry of an interface, with the keys that these tests compare.
#[track_caller]
fn entry(status: &Value, interface: &str) -> Value {
    let mut entries = status.as_array().expect("network-status is a list").iter();
    let entry = entries.find(|entry| entry["interface"] == interface);
    let entry = entry.unwrap_or_else(|| panic!("{interface} is not in {status}"));
    json!({"name": entry["name"], "ips": entry["ips"], "mac": entry["mac"], "default": entry["default"] == true})
}

#[test]
fn a_pod_gets_its_network_and_its_status_says_so_by_two_requests() {
    let mut site = Site::start();
    site.add_storage("stor0");
    site.define("public", &macvlan("public"));
    for (name, config, eth0) in
        [("chained", site.chained(), "02:00:00:00:00:01"), ("delegating", site.delegating(), "")]
    {
        let pod = site.pod(name, Some("public@storage"));
        site.add(&config, &pod);
        let address = pod.netns.address("storage");
        let status = site.status(&pod).expect("the pod has a network-status");
        let namespace = &site.namespace;
        assert_eq!(
            entry(&status, "storage"),
            json!({
                "name": format!("{namespace}/public"), "ips": [address], "mac": pod.netns.link("storage").mac,
                "default": false,
            })
        );
        let default = entry(&status, "eth0");
        assert_eq!(default["default"], true);
        assert_eq!(default["ips"], json!(["10.244.0.5"]));
        if !eth0.is_empty() {
            assert_eq!(default["mac"], eth0);
        }
        let requests = site.requests();
        assert_eq!(
            requests[requests.len() - 2..],
            [
                format!("get network-attachment-definitions {namespace}/public 200"),
                format!("patch pods/status {namespace}/{name} 200"),
            ]
        );
        site.del(&config, &pod);
        site.assert_clean();
    }
    assert_eq!(site.requests().len(), 4, "DEL asks nothing: {:?}", site.requests());
}

#[test]
fn a_pod_is_read_only_where_the_runtime_passes_no_annotations() {
    let site = Site::start();
    site.define_stub("public", &json!({}));
    let pod = site.pod("pod", Some("public")).not_annotated();
    site.add(&site.chained(), &pod);
    let namespace = &site.namespace;
    assert_eq!(
        site.requests(),
        [
            format!("get pods {namespace}/pod 200"),
            format!("get network-attachment-definitions {namespace}/public 200"),
            format!("patch pods/status {namespace}/pod 200"),
        ]
    );
    site.del(&site.chained(), &pod);
    site.assert_clean();
}

#[test]
fn all_requests_of_an_add_share_a_connection() {
    let site = Site::with_account(Account::WithEvents);
    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    site.define_stub("public", &json!({}));
    let pod = site.pod("pod", Some("public"));
    site.add(&site.chained(), &pod);
    assert_eq!(proxy.connections(), 1);
    site.del(&site.chained(), &pod);
    assert_eq!(proxy.connections(), 1, "DEL needs none");
}

#[test]
fn a_pod_that_selects_nothing_needs_no_api_server() {
    let site = Site::start();
    // Nobody listens there.
    site.use_server("https://127.0.0.1:1");
    let pod = site.pod("pod", None);
    site.add(&site.chained(), &pod);
    assert_eq!(site.status(&pod), None);
    site.del(&site.chained(), &pod);
    site.assert_clean();
}
