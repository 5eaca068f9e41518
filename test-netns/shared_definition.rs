//! One definition, the same file on every node: each hands out its own ranges, on an interface of another name.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::kinds::{DUAL, Ip, Kind, PUBLIC};
use crate::site::{Mode, Pod, Setup, Site, at_once};

/// Pods of a node: exactly as many as it has IPv4 addresses.
const PODS: u8 = 20;

/// What each node calls its interface on the public network.
const NICS: [&str; 2] = ["stor0", "enp3s0f1"];

/// The node's own address, with which it reaches its pods by an interface beside its network's own.
fn host(ip: Ip, number: u8) -> String {
    format!("{}/{}", ip.host(PUBLIC.number, number, 2), ip.part_length())
}

/// The entries of two nodes, each with [`PODS`] IPv4 addresses and a few more IPv6 ones.
fn node_ranges() -> Value {
    let entry = |number: u8| {
        let sets = DUAL.iter().map(|ip| {
            json!([{
                "subnet": ip.network(PUBLIC.number),
                "rangeStart": ip.host(PUBLIC.number, number, 10),
                "rangeEnd": ip.host(PUBLIC.number, number, 9 + PODS),
            }])
        });
        json!({"ranges": sets.collect::<Vec<_>>(), "host": [host(Ip::V4, number), host(Ip::V6, number)]})
    };
    json!({"node-1": entry(1), "node-2": entry(2)})
}

/// The file that all nodes have.
fn definition() -> String {
    let config = json!({
        "cniVersion": "1.1.0", "name": "rook-public", "type": "macvlan", "mode": "bridge",
        "masterCIDR": [Ip::V4.network(PUBLIC.number), Ip::V6.network(PUBLIC.number)],
        "ipam": {"type": "host-local"},
    });
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "shared", "annotations": {"rooknet.io/node-ranges": node_ranges().to_string()}},
        "spec": {"config": config.to_string()},
    })
    .to_string()
}

/// Two nodes whose interfaces differ in name, and whose own addresses are on interfaces beside them.
fn site(mode: Mode) -> Site {
    let site = Site::start(Setup::new(Kind::Macvlan, mode).families(DUAL), 2);
    for (number, nic) in (1..).zip(NICS) {
        let node = site.node(number);
        if nic != PUBLIC.port {
            node.ok(&["ip", "link", "set", PUBLIC.port, "down"]);
            node.ok(&["ip", "link", "set", PUBLIC.port, "name", nic]);
            node.ok(&["ip", "link", "set", nic, "up"]);
            node.keep_link(nic);
        }
        node.ok(&["ip", "link", "add", "shim0", "link", nic, "type", "macvlan", "mode", "bridge"]);
        node.ok(&["ip", "link", "set", "shim0", "up"]);
        node.keep_link("shim0");
        for ip in DUAL {
            let (_, length) =
                ip.network(PUBLIC.number).split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            ip.assign(&node.host(), nic, &format!("{}/{length}", ip.host(PUBLIC.number, 0, 1 + number)));
            ip.assign(&node.host(), "shim0", &host(*ip, number));
        }
        node.write("/etc/cni/rooknet/networks/rook-ceph/shared.json", definition());
        let mut conflist = site.conflist(number);
        let entry = conflist["plugins"].as_array_mut().unwrap().last_mut().unwrap();
        entry["nodeName"] = json!(format!("node-{number}"));
        node.write("/etc/cni/net.d/10-rooknet.conflist", conflist.to_string());
    }
    site
}

fn one_definition_serves_two_nodes(mode: Mode) {
    let site = site(mode);
    let pods = |number: u8| -> Vec<Pod<'_>> {
        (0..PODS).map(|pod| site.pod(number, &format!("osd-{number}-{pod}"), "shared@public")).collect()
    };
    let (first, second) = (pods(1), pods(2));
    let all: Vec<&Pod<'_>> = first.iter().chain(&second).collect();
    at_once(&all, "add");

    let mut seen = BTreeSet::new();
    for (number, pods) in [(1, &first), (2, &second)] {
        for pod in pods {
            assert_eq!(pod.netns.addresses("public").len(), 2, "one address of each family");
            for ip in DUAL {
                let address = pod.address("public", *ip);
                let part = ip.host(PUBLIC.number, number, 0);
                let part = part.strip_suffix('0').unwrap();
                assert!(address.starts_with(part), "{address} on node {number}");
                assert!(seen.insert(address.clone()), "{address} twice");
            }
        }
    }
    assert_eq!(seen.len(), usize::from(PODS) * 4);

    for (here, there) in first.iter().zip(&second) {
        here.assert_reaches(there, "public", DUAL);
    }
    first[0].assert_reaches(&first[1], "public", DUAL);
    for (number, pods) in [(1, &first), (2, &second)] {
        for ip in DUAL {
            let address = pods[0].address("public", *ip);
            assert!(site.node(number).host().reaches(&address, Some("shim0")), "the node does not reach its {address}");
        }
    }

    // The node's own ranges are all that there is.
    let one_more = site.pod(1, "one-more", "shared@public");
    assert!(one_more.refused("add").contains(site.setup.says_full()), "a 21st address");
    one_more.tool.run("del").expect_success("cnitool del");

    at_once(&all, "check");
    at_once(&all, "del");
    site.assert_clean();
}

#[test]
fn one_definition_serves_two_nodes_without_an_address_twice_chained() {
    one_definition_serves_two_nodes(Mode::Chained);
}

#[test]
fn one_definition_serves_two_nodes_without_an_address_twice_delegating() {
    one_definition_serves_two_nodes(Mode::Delegating);
}
