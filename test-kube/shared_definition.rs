//! One definition in the API server for nodes with different ranges and interface names.

use serde_json::{Value, json};

use crate::site::{Pod, Site};

const ANNOTATION: &str = "rooknet.io/node-ranges";

/// A node with an interface on the storage network.
fn site(interface: &str, address: &str) -> Site {
    let mut site = Site::start();
    site.add_storage(interface);
    site.node().ok(&["ip", "address", "add", address, "dev", interface]);
    site
}

/// The addresses of the pod's network status on `interface`.
fn addresses(site: &Site, pod: &Pod<'_>, interface: &str) -> Vec<String> {
    let status = site.status(pod).expect("network-status");
    let entry = status.as_array().unwrap().iter().find(|entry| entry["interface"] == interface).unwrap();
    entry["ips"].as_array().unwrap().iter().map(|ip| ip.as_str().unwrap().to_owned()).collect()
}

fn ranges(start: u8, end: u8) -> Value {
    json!([
        [{
            "subnet": "192.168.10.0/24",
            "rangeStart": format!("192.168.10.{start}"), "rangeEnd": format!("192.168.10.{end}"),
        }],
        [{"subnet": "fd00:10::/64", "rangeStart": format!("fd00:10::{start}"), "rangeEnd": format!("fd00:10::{end}")}],
    ])
}

#[test]
fn a_definition_of_the_api_server_gives_each_node_its_own_ranges_by_its_name() {
    let (first, second) = (site("stor0", "192.168.10.2/24"), site("enp3s0f1", "192.168.10.3/24"));
    let config = json!({
        "cniVersion": "1.1.0", "name": "rook-public", "type": "macvlan", "mode": "bridge",
        "masterCIDR": "192.168.10.0/24", "ipam": {"type": "host-local"},
    });
    let shares = json!({
        (first.node_name.as_str()): ranges(10, 19),
        (second.node_name.as_str()): {"ranges": ranges(20, 29), "host": "192.168.10.4/24"},
    });
    let annotations = json!({ANNOTATION: shares.to_string()});
    first.cluster.create_network(&first.namespace, "public", &config, &annotations);

    let selection = format!("{}/public@public", first.namespace);
    let of_first = first.pod("osd-0", Some(&selection));
    let of_second = second.pod("osd-1", Some(&selection));
    for (site, pod, number) in [(&first, &of_first, 10), (&second, &of_second, 20)] {
        site.add(&site.chained(), pod);
        let expected = [format!("192.168.10.{number}"), format!("fd00:10::{number}")];
        assert_eq!(addresses(site, pod, "public"), expected, "{}", site.node_name);
    }

    // A node that joins the cluster before it has an entry hands out nothing.
    let third = Site::start();
    let pod = third.pod("osd-2", Some(&selection));
    let words = [ANNOTATION, &third.node_name, &first.node_name, &second.node_name, "of the API server"];
    third.refused_add("a node without an entry", &third.chained(), &pod, 7, &words);

    first.del(&first.chained(), &of_first);
    second.del(&second.chained(), &of_second);
    for site in [&first, &second, &third] {
        site.assert_clean();
    }
}
