//! Ceph's pods on their networks: what they have, whom they reach, and which way their default route leads.

use serde_json::json;

use crate::kinds::{Beyond, CLUSTER, DUAL, Ip, Kind, Net, PUBLIC};
use crate::site::{MON, Mode, NAMESPACE, OSD, Pod, Setup, Site, VERSIONS, at_once, network};

/// An OSD, and where a network can be shared a mon, on each of two nodes: they have what they select and nothing else,
/// OSDs meet on public and cluster and mons on public, with large packets; nothing is left of them.
fn pods_of_two_nodes_meet(setup: Setup) {
    let site = Site::start(setup, 2);
    let osds = [site.pod(1, "osd-0", OSD), site.pod(2, "osd-1", OSD)];
    let mons: Vec<Pod<'_>> = match setup.kind.is_shared() {
        true => vec![site.pod(1, "mon-a", MON), site.pod(2, "mon-b", MON)],
        false => Vec::new(),
    };
    let pods: Vec<&Pod<'_>> = osds.iter().chain(&mons).collect();
    at_once(&pods, "add");

    for osd in &osds {
        has_interfaces(osd, &["cluster", "eth0", "public"], setup);
    }
    for mon in &mons {
        has_interfaces(mon, &["eth0", "public"], setup);
    }
    for interface in ["eth0", "public", "cluster"] {
        osds[0].assert_reaches(&osds[1], interface, setup.families);
    }
    for interface in ["public", "cluster"] {
        large_packets_pass(&osds[1], &osds[0], interface, setup.families);
    }
    if let [mon_a, mon_b] = mons.as_slice() {
        mon_a.assert_reaches(mon_b, "public", setup.families);
        // On one node, and from node to node.
        mon_a.assert_reaches(&osds[0], "public", setup.families);
        mon_b.assert_reaches(&osds[0], "public", setup.families);
    }
    // In ipvlan's mode l3 the node itself routes between its networks, and a rule of its firewall must stop what shall
    // not pass.
    if setup.kind != Kind::IpvlanL3 {
        for mon in &mons {
            does_not_reach_cluster(mon, &osds, setup.families);
        }
    }

    if setup.version != "0.3.1" {
        at_once(&pods, "check");
    }
    at_once(&pods, "del");
    site.assert_clean();
}

#[track_caller]
fn has_interfaces(pod: &Pod<'_>, names: &[&str], setup: Setup) {
    assert_eq!(pod.netns.interfaces(), names);
    for name in names {
        let link = pod.netns.link(name);
        let (kind, mtu) = if *name == "eth0" { ("veth", 1500) } else { (setup.kind.of_link(), 9000) };
        assert_eq!((link.kind.as_str(), link.mtu, link.up), (kind, mtu, true), "{name}");
        assert_eq!(pod.netns.addresses(name).len(), setup.families.len(), "addresses of {name}");
    }
}

/// A packet of the whole MTU passes without being fragmented.
#[track_caller]
fn large_packets_pass(from: &Pod<'_>, to: &Pod<'_>, interface: &str, families: &[Ip]) {
    for ip in families {
        let (size, address) = (ip.ping_size(9000).to_string(), to.address(interface, *ip));
        from.netns.ok(&["ping", "-n", "-q", "-c", "1", "-W", "10", "-M", "do", "-s", &size, "-I", interface, &address]);
    }
}

/// By its own routes and by way of eth0 a mon gets no answer from the OSDs' cluster addresses. (Asked through `public`
/// an OSD would answer: a Linux host does, for each of its addresses on each of its interfaces.)
#[track_caller]
fn does_not_reach_cluster(mon: &Pod<'_>, osds: &[Pod<'_>], families: &[Ip]) {
    for ip in families {
        let cluster = ip.network(CLUSTER.number);
        assert!(mon.netns.routes().iter().all(|route| route.destination != cluster), "a route to {cluster}");
        for (osd, interface) in osds.iter().zip([None, Some("eth0")]) {
            let address = osd.address("cluster", *ip);
            assert!(!mon.netns.ping(&address, interface), "the mon reaches {address} by {interface:?}");
        }
    }
}

/// The default routes of the families in `moved` go through `public`, the others through eth0, and so does traffic.
fn default_route_leads(setup: Setup, moved: &[Ip]) {
    let site = Site::start(setup, 1);
    // Held until the end.
    let _router = site.add_router();
    let gateways: Vec<String> = moved.iter().map(|ip| ip.gateway(PUBLIC.number)).collect();
    let selection = json!([
        {"name": "public", "interface": "public", "default-route": gateways},
        {"name": "cluster", "interface": "cluster"},
    ]);
    let (pod, plain) = (site.pod(1, "osd-0", &selection.to_string()), site.pod(1, "osd-1", OSD));
    let printed = at_once(&[&pod, &plain], "add");

    for ip in setup.families {
        let (public, eth0) = (ip.beyond(Beyond::Router), ip.beyond(Beyond::Node));
        let (interface, reached, unreached) =
            if moved.contains(ip) { ("public", public, eth0) } else { ("eth0", eth0, public) };
        assert_eq!(default_interfaces(&pod, *ip), [interface], "{ip:?}");
        assert_eq!(default_interfaces(&plain, *ip), ["eth0"], "{ip:?}");
        assert!(pod.netns.reaches(reached, None), "no answer from {reached} by {interface}");
        assert!(!pod.netns.ping(unreached, None), "an answer from {unreached}, to which {interface} does not lead");
        assert!(plain.netns.reaches(eth0, None), "no answer from {eth0} by the primary's default route");
        // The runtime must not be told of a default route that is not there: the primary's CHECK would miss it.
        let is_told = printed[0].contains(&format!("\"{}\"", ip.everywhere()));
        assert_eq!(is_told, !moved.contains(ip), "{ip:?} in {}", printed[0]);
    }
    at_once(&[&pod, &plain], "check");
    at_once(&[&pod, &plain], "del");
    site.assert_clean();
}

/// The interfaces of all default routes of a family.
fn default_interfaces(pod: &Pod<'_>, ip: Ip) -> Vec<String> {
    let is_default = |gateway: &Option<String>| gateway.as_deref().is_some_and(|gateway| ip.is_of(gateway));
    let routes = pod.netns.routes().into_iter();
    routes
        .filter(|route| route.destination == "default" && is_default(&route.gateway))
        .map(|route| route.interface)
        .collect()
}

/// A conflist of each version with networks of each version, written as Rook's documentation does: without a name.
fn versions_mix(mode: Mode) {
    for version in VERSIONS {
        let setup = Setup::new(Kind::Macvlan, mode).families(DUAL).version(version);
        let site = Site::start(setup, 1);
        let mut selection = Vec::new();
        for (number, of_network) in (30..).zip(VERSIONS) {
            // A network of its own each, IPv4: a plugin waits a second for each IPv6 address.
            let name = format!("storage-{of_network}");
            let net = Net { number, ..PUBLIC };
            site.define(1, NAMESPACE, &name, &network(Setup::new(Kind::Macvlan, mode).version(of_network), net, 1));
            selection.push(name);
        }
        let pod = site.pod(1, "pod", &selection.join(","));
        let result = pod.add();

        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["ips"].as_array().map(Vec::len), Some(2), "{result}");
        assert_eq!(pod.netns.interfaces(), ["eth0", "net1", "net2", "net3", "net4"]);
        for (number, interface) in (30..).zip(["net1", "net2", "net3", "net4"]) {
            assert_eq!(pod.netns.addresses(interface), [format!("10.{number}.1.10/16")]);
        }
        if version != "0.3.1" {
            pod.check();
        }
        pod.del();
        site.assert_clean();
    }
}

#[test]
fn pods_of_two_nodes_meet_chained_ipv4() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Chained));
}

#[test]
fn pods_of_two_nodes_meet_chained_ipv6() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Chained).families(&[Ip::V6]));
}

#[test]
fn pods_of_two_nodes_meet_chained_dual_stack() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Chained).families(DUAL));
}

#[test]
fn pods_of_two_nodes_meet_delegating_ipv4() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Delegating));
}

#[test]
fn pods_of_two_nodes_meet_delegating_ipv6() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Delegating).families(&[Ip::V6]));
}

#[test]
fn pods_of_two_nodes_meet_delegating_dual_stack() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Delegating).families(DUAL));
}

#[test]
fn pods_of_two_nodes_meet_by_executed_plugins() {
    pods_of_two_nodes_meet(Setup::new(Kind::Macvlan, Mode::Delegating).families(DUAL).executed());
}

#[test]
fn the_default_route_moves_to_public_chained_ipv4() {
    default_route_leads(Setup::new(Kind::Macvlan, Mode::Chained), &[Ip::V4]);
}

#[test]
fn the_default_route_moves_to_public_chained_dual_stack() {
    default_route_leads(Setup::new(Kind::Macvlan, Mode::Chained).families(DUAL), DUAL);
}

#[test]
fn the_default_route_moves_to_public_delegating_ipv6() {
    default_route_leads(Setup::new(Kind::Macvlan, Mode::Delegating).families(&[Ip::V6]), &[Ip::V6]);
}

#[test]
fn the_default_route_moves_to_public_by_executed_plugins() {
    default_route_leads(Setup::new(Kind::Macvlan, Mode::Chained).executed(), &[Ip::V4]);
}

#[test]
fn the_default_routes_of_the_families_part() {
    default_route_leads(Setup::new(Kind::Macvlan, Mode::Delegating).families(DUAL), &[Ip::V4]);
    default_route_leads(Setup::new(Kind::Macvlan, Mode::Delegating).families(DUAL), &[Ip::V6]);
}

#[test]
fn every_version_of_conflist_and_networks_goes_together_chained() {
    versions_mix(Mode::Chained);
}

#[test]
fn every_version_of_conflist_and_networks_goes_together_delegating() {
    versions_mix(Mode::Delegating);
}

mod vm {
    //! See the front page of `main.rs`.
    use super::{Mode, default_route_leads, pods_of_two_nodes_meet};
    use crate::kinds::{DUAL, Ip, Kind};
    use crate::site::Setup;

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn pods_of_two_nodes_meet_by_ipvlan_l2_dual_stack() {
        pods_of_two_nodes_meet(Setup::new(Kind::IpvlanL2, Mode::Chained).families(DUAL));
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn pods_of_two_nodes_meet_by_ipvlan_l3_ipv6() {
        pods_of_two_nodes_meet(Setup::new(Kind::IpvlanL3, Mode::Delegating).families(&[Ip::V6]));
    }

    #[test]
    #[ignore = "needs 8021q: make test-vm"]
    fn pods_of_two_nodes_meet_by_vlan() {
        pods_of_two_nodes_meet(Setup::new(Kind::Vlan, Mode::Delegating));
    }

    #[test]
    #[ignore = "needs 8021q: make test-vm"]
    fn pods_of_two_nodes_meet_by_macvlan_on_a_vlan() {
        pods_of_two_nodes_meet(Setup::new(Kind::MacvlanOnVlan, Mode::Chained));
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn the_default_route_moves_to_public_by_ipvlan_l2() {
        default_route_leads(Setup::new(Kind::IpvlanL2, Mode::Delegating), &[Ip::V4]);
    }
}
