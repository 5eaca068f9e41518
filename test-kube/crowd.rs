//! Many pods of a node at once, as after a reboot: each status is right, and nobody asks more than was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::networks::{delegating, macvlan, site};
use crate::site::{Pod, Site};

const PODS: usize = 100;
const AT_ONCE: usize = 16;

/// Runs one operation for all pods, so many at a time; all must succeed.
fn for_all(site: &Site, operation: &str, config: &Value, pods: &[Pod<'_>]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                    site.run(operation, config, pod).expect_success(&format!("{operation} {}", pod.name));
                }
            });
        }
    });
}

/// The entry that the kernel's state of one interface asks for.
fn entry(pod: &Pod<'_>, network: &str, interface: &str, gateway: Option<&str>) -> Value {
    let link = pod.netns.link(interface);
    let mut entry = json!({
        "name": network, "interface": interface, "ips": [pod.netns.address(interface)],
        "mac": link.mac, "default": gateway.is_some(), "dns": {},
    });
    if let Some(gateway) = gateway {
        entry["gateway"] = json!([gateway]);
    }
    entry
}

#[test]
fn a_hundred_pods_sixteen_at_a_time_have_right_statuses_for_the_promised_requests() {
    let site = site();
    site.define("public", &macvlan(&["192.168.20.0/24"]));
    site.define("cluster", &macvlan(&["192.168.21.0/24"]));
    let config = delegating(&site);
    let pods: Vec<Pod<'_>> =
        (0..PODS).map(|number| site.pod(&format!("osd-{number}"), Some("public@public,cluster@cluster"))).collect();
    for_all(&site, "ADD", &config, &pods);

    let mut expected = BTreeMap::new();
    for pod in &pods {
        let place = format!("{}/{}", pod.namespace, pod.name);
        *expected.entry(format!("patch pods/status {place} 200")).or_insert(0) += 1;
        for network in ["public", "cluster"] {
            let get = format!("get network-attachment-definitions {}/{network} 200", site.namespace);
            *expected.entry(get).or_insert(0) += 1;
        }
    }
    let mut asked = BTreeMap::new();
    for line in site.requests() {
        *asked.entry(line).or_insert(0) += 1;
    }
    assert_eq!(asked, expected);

    let mut addresses = BTreeSet::new();
    for pod in &pods {
        let status = site.status(pod).expect("a network-status");
        let network = |name: &str| format!("{}/{name}", site.namespace);
        let by_kernel = json!([
            entry(pod, "pods", "eth0", Some("10.244.1.1")),
            entry(pod, &network("public"), "public", None),
            entry(pod, &network("cluster"), "cluster", None),
        ]);
        assert_eq!(status, by_kernel, "{}", pod.name);
        for entry in status.as_array().unwrap() {
            addresses.insert(entry["ips"][0].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(addresses.len(), 3 * PODS, "all are distinct");

    for_all(&site, "DEL", &config, &pods);
    assert_eq!(site.requests().len(), 3 * PODS, "a DEL asks nobody");
    site.assert_clean();
}
