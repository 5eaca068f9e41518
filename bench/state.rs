//! What a contender made of a pod, in a form in which it can be compared: without what differs by nature (MACs, the
//! host's part of addresses, ifindexes, random names).

use std::collections::BTreeMap;

use crate::stage::{Pod, Stage};
use crate::support::Namespace;

/// Variables that the reference plugins set.
const VARIABLES: &str = "cd /proc/sys/net; grep . ipv4/conf/*/arp_notify \
    ipv6/conf/*/ndisc_notify ipv6/conf/*/accept_dad ipv6/conf/*/keep_addr_on_down ipv6/conf/*/disable_ipv6";

/// A pod's links, addresses, routes and variables, a line for each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    links: BTreeMap<String, String>,
    addresses: BTreeMap<String, Vec<String>>,
    routes: Vec<String>,
    variables: Vec<String>,
}

impl State {
    /// `has_groups`: whether its links must be in groups, or must not.
    pub(crate) fn of(stage: &Stage, pod: &Pod, has_groups: bool) -> State {
        let netns = stage.netns(pod);
        let (mut links, mut addresses) = (BTreeMap::new(), BTreeMap::new());
        for link in netns.links().iter().filter(|link| link.name != "lo") {
            assert_eq!(link.group != "default", has_groups, "{}: the group {}", pod.name, link.group);
            let mode = link.data("mode").unwrap_or_default();
            let below = below(stage, link.all["link_index"].as_u64());
            links.insert(
                link.name.clone(),
                format!("{} {mode} over {below}, mtu {}, up: {}", link.kind, link.mtu, link.up),
            );
            addresses.insert(link.name.clone(), netns.addresses(&link.name).iter().map(|text| network(text)).collect());
        }
        State { links, addresses, routes: routes(&netns), variables: variables(&netns) }
    }

    /// All interfaces are there, each with so many addresses.
    pub(crate) fn expect_whole(&self, who: &str, interfaces: &[&str], addresses: usize) {
        let names: Vec<&str> = self.links.keys().map(String::as_str).collect();
        assert_eq!(names, interfaces, "{who}: the interfaces after its ADD");
        for (interface, found) in &self.addresses {
            assert_eq!(found.len(), addresses, "{who}: the addresses of {interface} after its ADD");
        }
    }
}

/// A link of the node as its pod's side sees it: a name that a test gave, or what a veth's other end is.
fn below(stage: &Stage, index: Option<u64>) -> String {
    let links = stage.node.host().links();
    let Some(link) = links.into_iter().find(|link| Some(link.index) == index) else {
        return "nothing".to_owned();
    };
    if link.name.starts_with("stor") {
        return link.name;
    }
    let ports_bridge = link.all["master"].as_str().unwrap_or("no bridge");
    let accept_ra = stage.node.ok(&["cat", &format!("/proc/sys/net/ipv6/conf/{}/accept_ra", link.name)]);
    format!("a {} in {ports_bridge} (up: {}, accept_ra {})", link.kind, link.up, accept_ra.trim())
}

/// The network part of an address, roughly: all up to its last separator but one, or the last `::`.
fn network(address: &str) -> String {
    let (address, length) = address.split_once('/').expect("an address with its length");
    let known = match address.split_once("::") {
        Some((known, _)) => known.to_owned(),
        None => address.split('.').take(2).collect::<Vec<_>>().join("."),
    };
    format!("{known} and a host/{length}")
}

fn routes(netns: &Namespace<'_>) -> Vec<String> {
    let routes = netns.routes().into_iter();
    routes
        .map(|route| {
            format!("{} via {:?} dev {} metric {:?}", route.destination, route.gateway, route.interface, route.metric)
        })
        .collect()
}

fn variables(netns: &Namespace<'_>) -> Vec<String> {
    let text = netns.ok(&["sh", "-c", VARIABLES]);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Two contenders made the same.
pub(crate) fn expect_equal(case: &str, one: (&str, &State), other: (&str, &State)) {
    let ((one_name, one), (other_name, other)) = (one, other);
    assert!(one == other, "{case}: {one_name} and {other_name} made different pods:\n{one:#?}\n{other:#?}");
}

/// Nothing is left of a pod: no link, no address in host-local's store, no journal.
pub(crate) fn expect_nothing(stage: &Stage, who: &str, pod: &Pod) {
    assert_eq!(stage.netns(pod).interfaces(), Vec::<String>::new(), "{who}: links after its DEL");
    let leases = stage.node.host_local_addresses();
    let left: Vec<_> =
        leases.iter().filter(|lease| lease.container == pod.id() || lease.container.starts_with("cnitool-")).collect();
    assert!(left.is_empty(), "{who}: addresses after its DEL: {left:?}");
    assert_eq!(stage.node.journals(), Vec::<String>::new(), "{who}: journals after its DEL");
}
