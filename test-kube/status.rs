//! The network-status annotation, read back from the API server and compared whole.
//!
//! Here: what becomes of a network's result. `defaults` has the default network and who gets a status at all, `pod`
//! what happens to the rest of the pod and to a former status.

mod defaults;
mod pod;

use serde_json::{Value, json};

use crate::fixture::merge;
use crate::kubelet::{Kubelet, OF_DEVICE_PLUGINS};
use crate::networks::{delegating, macvlan, site};
use crate::site::{Pod, Site};

const PUBLIC: &str = "192.168.20.0/24";

/// The entry of the default network in chained mode, whose result the runtime gives.
fn primary() -> Value {
    json!({
        "name": "k8s-pods", "interface": "eth0", "ips": ["10.244.0.5"], "mac": "02:00:00:00:00:01",
        "default": true, "dns": {}, "gateway": ["10.244.0.1"],
    })
}

/// The MAC address that the kernel shows.
fn mac(pod: &Pod<'_>, interface: &str) -> String {
    pod.netns.link(interface).mac
}

/// The annotation's text as kubectl and the downward API read it.
fn annotation(site: &Site, pod: &Pod<'_>) -> String {
    let path = r"jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}";
    let words = ["get", "pod", &pod.name, "--namespace", &pod.namespace, "--output", path];
    site.cluster.kubectl(&words, "").expect_success("kubectl get pod")
}

/// An ADD in chained mode, whose status has these entries after the default network's, and its DEL.
#[track_caller]
fn chained_status(site: &Site, pod: &Pod<'_>, entries: impl FnOnce() -> Vec<Value>) {
    site.add(&site.chained(), pod);
    let mut expected = vec![primary()];
    expected.extend(entries());
    assert_eq!(site.status(pod), Some(Value::Array(expected)));
    site.del(&site.chained(), pod);
}

#[test]
fn one_network_is_told_word_for_word_and_read_as_rook_reads_it() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let pod = site.pod("osd", Some("public@public"));
    site.add(&site.chained(), &pod);
    let (namespace, mac) = (&site.namespace, mac(&pod, "public"));
    let text = annotation(&site, &pod);
    assert_eq!(
        text,
        format!(
            r#"[{{
    "name": "k8s-pods",
    "interface": "eth0",
    "ips": [
        "10.244.0.5"
    ],
    "mac": "02:00:00:00:00:01",
    "default": true,
    "dns": {{}},
    "gateway": [
        "10.244.0.1"
    ]
}},{{
    "name": "{namespace}/public",
    "interface": "public",
    "ips": [
        "192.168.20.2"
    ],
    "mac": "{mac}",
    "default": false,
    "dns": {{}}
}}]"#
        )
    );
    // Rook's canary has the annotation's text from the downward API, looks for the network by its name, and for its
    // address, without a prefix length, in what `ip` says of the interface.
    let shown: Value =
        serde_json::from_str(&pod.netns.ok(&["ip", "--json", "address", "show", "dev", "public"])).unwrap();
    let status: Vec<Value> = serde_json::from_str(&text).unwrap();
    let entry = status.iter().find(|entry| entry["name"] == format!("{namespace}/public")).unwrap();
    assert_eq!(entry["ips"][0], shown[0]["addr_info"][0]["local"]);
    assert_eq!(shown[0]["addr_info"][0]["prefixlen"], 24);
    site.del(&site.chained(), &pod);
    site.assert_clean();
}

#[test]
fn two_attachments_of_one_network_have_two_entries() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let pod = site.pod("osd", Some("public,public"));
    let name = format!("{}/public", site.namespace);
    chained_status(&site, &pod, || {
        let macs = [mac(&pod, "net1"), mac(&pod, "net2")];
        assert_ne!(macs[0], macs[1]);
        vec![
            json!({
                "name": name, "interface": "net1", "ips": ["192.168.20.2"],
                "mac": macs[0], "default": false, "dns": {},
            }),
            json!({
                "name": name, "interface": "net2", "ips": ["192.168.20.3"],
                "mac": macs[1], "default": false, "dns": {},
            }),
        ]
    });
    site.assert_clean();
}

#[test]
fn a_network_without_addresses_has_no_key_for_them() {
    let site = site();
    let mut network = macvlan(&[]);
    network["ipam"] = json!({});
    site.define("layer2", &network);
    let pod = site.pod("osd", Some("layer2"));
    chained_status(&site, &pod, || {
        assert_eq!(pod.netns.addresses("net1"), Vec::<String>::new());
        vec![json!({
            "name": format!("{}/layer2", site.namespace), "interface": "net1", "mac": mac(&pod, "net1"),
            "default": false, "dns": {},
        })]
    });
    site.assert_clean();
}

#[test]
fn a_default_route_is_told_of_the_network_that_has_it_and_of_no_other() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let elements = json!([{"name": "public", "interface": "public", "default-route": ["192.168.20.1"]}]);
    let pod = site.pod("osd", Some(&elements.to_string()));
    site.add(&delegating(&site), &pod);
    assert_eq!(pod.netns.default_interface(false).as_deref(), Some("public"));
    assert_eq!(
        site.status(&pod).unwrap(),
        json!([
            {
                "name": "pods", "interface": "eth0", "ips": [pod.netns.address("eth0")],
                "mac": mac(&pod, "eth0"), "default": true, "dns": {},
            },
            {
                "name": format!("{}/public", site.namespace), "interface": "public", "ips": ["192.168.20.2"],
                "mac": mac(&pod, "public"), "default": false, "dns": {}, "default-route": ["192.168.20.1"],
            },
        ])
    );
    site.del(&delegating(&site), &pod);
    site.assert_clean();
}

#[test]
fn addresses_of_both_families_are_told_in_canonical_form() {
    let site = site();
    let mut fixed = macvlan(&[]);
    let addresses =
        json!([{"address": "192.168.20.9/24"}, {"address": "FD00:0020:0:0::0009/64", "gateway": "fd00:20::1"}]);
    fixed["ipam"] = json!({"type": "static", "addresses": addresses});
    site.define("fixed", &fixed);
    site.define("ranges", &macvlan(&["192.168.21.0/24", "FD00:0:21::/64"]));
    // As a plugin that is careless about it would print them.
    let careless = json!({
        "cniVersion": "1.0.0", "interfaces": [{"name": "net3", "sandbox": "/run/netns/any"}],
        "ips": [{"interface": 0, "address": "FD00:22:0:0:0:0:0:0A/64"}],
        "routes": [{"dst": "::/0", "gw": "FD00:0022::1"}],
    });
    site.define_stub("careless", &json!({"result": careless}));
    let pod = site.pod("osd", Some("fixed,ranges,careless"));
    let entry = |network: &str, interface: &str, addresses: [&str; 2]| {
        let (namespace, mac) = (&site.namespace, mac(&pod, interface));
        assert_eq!(
            pod.netns.addresses(interface),
            addresses.map(|address| format!("{address}/{}", if address.contains(':') { 64 } else { 24 }))
        );
        json!({
            "name": format!("{namespace}/{network}"), "interface": interface, "ips": addresses,
            "mac": mac, "default": false, "dns": {},
        })
    };
    chained_status(&site, &pod, || {
        vec![
            entry("fixed", "net1", ["192.168.20.9", "fd00:20::9"]),
            entry("ranges", "net2", ["192.168.21.2", "fd00:0:21::2"]),
            json!({
                "name": format!("{}/careless", site.namespace), "interface": "net3", "ips": ["fd00:22::a"],
                "default": false, "dns": {}, "gateway": ["fd00:22::1"],
            }),
        ]
    });
    site.assert_clean();
}

#[test]
fn a_result_without_interfaces_is_told_of_the_interface_that_was_asked_for() {
    let site = site();
    let result = json!({"cniVersion": "1.0.0", "ips": [{"address": "192.168.20.7/24"}]});
    site.define_stub("bare", &json!({"result": result}));
    site.define_stub("empty", &json!({"result": {"cniVersion": "1.0.0"}}));
    let pod = site.pod("osd", Some("bare@here,empty"));
    let namespace = &site.namespace;
    chained_status(&site, &pod, || {
        vec![
            json!({
                "name": format!("{namespace}/bare"), "interface": "here", "ips": ["192.168.20.7"],
                "default": false, "dns": {},
            }),
            json!({"name": format!("{namespace}/empty"), "interface": "net2", "default": false, "dns": {}}),
        ]
    });
    site.assert_clean();
}

#[test]
fn networks_of_every_version_are_told_alike_under_one_conflist() {
    let site = site();
    let versions = [("v031", "0.3.1", 31), ("v040", "0.4.0", 40), ("v100", "1.0.0", 100), ("v110", "1.1.0", 110)];
    for (name, version, third) in versions {
        let mut network = macvlan(&[&format!("192.168.{third}.0/24")]);
        merge(&mut network, &json!({"cniVersion": version, "dns": {"search": ["ceph"]}}));
        site.define(name, &network);
    }
    let pod = site.pod("osd", Some("v031@v031,v040@v040,v100@v100,v110@v110"));
    chained_status(&site, &pod, || {
        let entry = |(name, _, third): (&str, &str, u8)| {
            json!({
                "name": format!("{}/{name}", site.namespace), "interface": name, "ips": [format!("192.168.{third}.2")],
                "mac": mac(&pod, name), "default": false, "dns": {"search": ["ceph"]},
            })
        };
        versions.map(entry).to_vec()
    });
    site.assert_clean();
}

/// By the stub plugin: the reference plugins tell none, macvlan with the key `mtu` neither.
#[test]
fn an_mtu_is_told_where_a_plugin_tells_it_and_otherwise_not() {
    let site = site();
    let mut silent = macvlan(&[PUBLIC]);
    silent["mtu"] = json!(1400);
    site.define("silent", &silent);
    let interface = json!({"name": "net2", "sandbox": "/run/netns/any", "mtu": 1500});
    site.define_stub("telling", &json!({"result": {"cniVersion": "1.1.0", "interfaces": [interface]}}));
    let pod = site.pod("osd", Some("silent,telling"));
    let namespace = &site.namespace;
    chained_status(&site, &pod, || {
        assert_eq!([pod.netns.link("net1").mtu, pod.netns.link("net2").mtu], [1400, 1500]);
        vec![
            json!({
                "name": format!("{namespace}/silent"), "interface": "net1", "ips": ["192.168.20.2"],
                "mac": mac(&pod, "net1"), "default": false, "dns": {},
            }),
            json!({
                "name": format!("{namespace}/telling"), "interface": "net2", "mtu": 1500,
                "default": false, "dns": {},
            }),
        ]
    });
    site.assert_clean();
}

#[test]
fn name_servers_that_a_network_brings_are_told() {
    let site = site();
    let mut network = macvlan(&[PUBLIC]);
    let dns = json!({
        "nameservers": ["192.168.20.53", "fd00:20::53"], "domain": "ceph.example", "search": ["a", "b"],
        "options": ["ndots:2"],
    });
    network["dns"] = dns.clone();
    site.define("public", &network);
    let pod = site.pod("osd", Some("public"));
    chained_status(&site, &pod, || {
        vec![json!({
            "name": format!("{}/public", site.namespace), "interface": "net1", "ips": ["192.168.20.2"],
            "mac": mac(&pod, "net1"), "default": false, "dns": dns,
        })]
    });
    site.assert_clean();
}

#[test]
fn what_a_device_plugin_says_of_a_networks_device_is_told() {
    let site = site();
    let resource = json!({"k8s.v1.cni.cncf.io/resourceName": "intel.com/a"});
    site.cluster.create_network(&site.namespace, "fast", &macvlan(&[PUBLIC]), &resource);
    let pod = site.pod("osd", Some("fast,fast"));
    let devices = json!([{"resource": "intel.com/a", "ids": ["0000:18:02.5", "0000:18:02.6"]}]);
    let containers = json!([{"name": "main", "devices": devices}]);
    let pods = json!([{"namespace": pod.namespace, "name": pod.name, "containers": containers}]);
    let _kubelet = Kubelet::start(&site.fixture, &pods);
    let about = json!({"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:18:02.5"}});
    site.node().write(&format!("{OF_DEVICE_PLUGINS}/intel.com-a-0000:18:02.5-device.json"), about.to_string());
    let name = format!("{}/fast", site.namespace);
    chained_status(&site, &pod, || {
        vec![
            json!({
                "name": name, "interface": "net1", "ips": ["192.168.20.2"], "mac": mac(&pod, "net1"),
                "default": false, "dns": {}, "device-info": about,
            }),
            json!({
                "name": name, "interface": "net2", "ips": ["192.168.20.3"],
                "mac": mac(&pod, "net2"), "default": false, "dns": {},
            }),
        ]
    });
    site.assert_clean();
}
