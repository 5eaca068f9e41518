use serde_json::Value;

use super::*;
use crate::kernel::netlink::{DuplicateDetection, LinkChange, NewLink};
use crate::kernel::testing::{in_new_netns, ip, macvlan, new_netns, objects, parent, requests};

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn gateway(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

/// A veth pair that is up, with addresses; the ifindex of net1. Without link-local addresses, which would come at some
/// time of their own, and with routes.
async fn with_addresses(netlink: &Netlink) -> u32 {
    ip("link add net1 type veth peer name peer1");
    ip("link set net1 addrgenmode none");
    ip("link set peer1 up");
    ip("link set net1 up");
    ip("address add 10.1.0.2/24 dev net1");
    ip("address add fd00:1::2/64 dev net1 nodad");
    netlink.link_by_name("net1").await.unwrap().unwrap().index
}

/// All routes over net1 but those of table local, which the kernel makes for an IPv6 address when it gets round to it.
fn shown() -> [Vec<Value>; 2] {
    ["-4", "-6"].map(|family| {
        let mut routes = objects("ip", &format!("{family} route show table all dev net1"));
        routes.retain(|route| route["table"] != "local");
        routes
    })
}

/// `ip -d -j route` prints all that a route says. The words after "route add" are the measure.
#[test]
fn a_route_is_what_ip_would_make_and_is_listed_as_it_was_added() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let device = with_addresses(&netlink).await;
        let new = |destination: &str, by: &str| {
            Route::new(network(destination), device, (!by.is_empty()).then(|| by.parse().unwrap()))
        };
        let cases = [
            ("10.2.0.0/16 via 10.1.0.1", new("10.2.0.0/16", "10.1.0.1")),
            ("default via 10.1.0.1", new("0.0.0.0/0", "10.1.0.1")),
            ("default via 10.1.0.1 metric 100", Route { priority: Some(100), ..new("0.0.0.0/0", "10.1.0.1") }),
            ("10.3.0.0/16 scope link", Route { scope: 253, ..new("10.3.0.0/16", "") }),
            ("10.3.1.0/24 src 10.1.0.2", Route { source: gateway("10.1.0.2"), scope: 253, ..new("10.3.1.0/24", "") }),
            ("10.3.2.0/24 scope global proto static", Route { protocol: 4, ..new("10.3.2.0/24", "") }),
            ("10.3.0.0/16 scope global", new("10.3.0.0/16", "")),
            ("10.4.0.1/32 via 10.1.0.1 table 99", Route { table: 99, ..new("10.4.0.1/32", "10.1.0.1") }),
            ("10.4.0.0/24 via 10.1.0.1 table 70000", Route { table: 70000, ..new("10.4.0.0/24", "10.1.0.1") }),
            (
                "10.5.0.0/16 via 10.1.0.1 mtu 1300 advmss 1200",
                Route { mtu: Some(1300), advmss: Some(1200), ..new("10.5.0.0/16", "10.1.0.1") },
            ),
            ("10.6.0.0/16 via inet6 fd00:1::1", new("10.6.0.0/16", "fd00:1::1")),
            ("fd00:2::/64 via fd00:1::1", Route { priority: Some(1024), ..new("fd00:2::/64", "fd00:1::1") }),
            ("default via fd00:1::1 metric 7", Route { priority: Some(7), ..new("::/0", "fd00:1::1") }),
            ("fd00:3::/64 metric 8", Route { priority: Some(8), ..new("fd00:3::/64", "") }),
            (
                "fd00:4::/64 via fd00:1::1 table 99 mtu 1300 advmss 1200 metric 5",
                Route {
                    table: 99,
                    mtu: Some(1300),
                    advmss: Some(1200),
                    priority: Some(5),
                    ..new("fd00:4::/64", "fd00:1::1")
                },
            ),
        ];
        let before = shown();
        for (words, route) in cases {
            let family = if route.destination.is_ipv6() { "-6" } else { "-4" };
            ip(&format!("{family} route add {words} dev net1"));
            let expected = shown();
            assert_ne!(expected, before, "{words}");
            let listed = netlink.routes_of_link(device).await.unwrap();
            assert!(listed.contains(&route), "{words}: {listed:?}");
            ip(&format!("{family} route del {words} dev net1"));
            assert_eq!(shown(), before, "{words}");
            netlink.add_route(&route).await.unwrap();
            assert_eq!(shown(), expected, "{words}");
            let error = netlink.add_route(&route).await.unwrap_err();
            assert_eq!(error.errno(), Some(libc::EEXIST), "{words}: {error}");
            netlink.delete_route(&Route { destination: network("10.99.0.0/16"), ..route }).await.unwrap();
            netlink.delete_route(&Route { protocol: 99, ..route }).await.unwrap();
            assert_eq!(shown(), expected, "{words}: another one was removed");
            netlink.delete_route(&route).await.unwrap();
            assert_eq!(shown(), before, "{words}");
            netlink.delete_route(&route).await.unwrap();
        }
    });
}

#[test]
fn the_list_has_a_links_own_routes_of_all_tables_and_no_others() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let device = with_addresses(&netlink).await;
        ip("address add 10.7.0.2/24 dev peer1");
        ip("route add 10.8.0.0/24 via 10.1.0.1 table 99");
        ip("route add 10.9.0.0/24 nexthop via 10.7.0.1 dev peer1 nexthop via 10.1.0.9 dev net1 weight 3");
        ip("-6 route add fd00:9::/64 nexthop via fd00:1::9 dev net1 nexthop via fd00:1::8 dev net1");
        ip("route add unreachable 10.66.0.0/16");
        ip("nexthop add id 1 via 10.1.0.7 dev net1");
        ip("route add 10.10.0.0/24 nhid 1");
        let listed = netlink.routes_of_link(device).await.unwrap();
        let has = |destination: &str, by: Option<IpAddr>, table: u32| {
            let is_it =
                |route: &&Route| (route.destination, route.gateway, route.table) == (network(destination), by, table);
            listed.iter().filter(is_it).count()
        };
        assert_eq!(has("10.1.0.0/24", None, Route::MAIN_TABLE), 1, "the address's own: {listed:?}");
        assert_eq!(has("10.8.0.0/24", gateway("10.1.0.1"), 99), 1);
        assert_eq!(has("10.9.0.0/24", gateway("10.1.0.9"), Route::MAIN_TABLE), 1);
        assert_eq!(has("10.10.0.0/24", gateway("10.1.0.7"), Route::MAIN_TABLE), 1);
        for by in ["fd00:1::9", "fd00:1::8"] {
            assert_eq!(has("fd00:9::/64", gateway(by), Route::MAIN_TABLE), 1, "{listed:?}");
        }
        let ipv4 = listed.iter().filter(|route| route.destination.is_ipv4()).count();
        assert_eq!(ipv4, 4, "no route of peer1, none that refuses, none of table local: {listed:?}");
        assert_eq!(netlink.routes_of_link(4711).await.unwrap(), []);
    });
}

#[test]
fn a_refused_route_is_named_with_the_kernels_words() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let device = with_addresses(&netlink).await;
        let refusal = |route: Route| {
            let netlink = &netlink;
            async move { netlink.add_route(&route).await.unwrap_err() }
        };
        let route = Route::new(network("10.2.0.0/16"), device, gateway("192.0.2.1"));
        let error = refusal(Route { priority: Some(5), table: 99, ..route }).await;
        assert_eq!(error.errno(), Some(libc::ENETUNREACH), "{error}");
        let start = format!(
            "cannot add the route to 10.2.0.0/16 by 192.0.2.1 over ifindex {device} with metric 5 in table 99: "
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        let error = refusal(Route::new(network("10.2.0.1/16"), device, None)).await;
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
        let error = refusal(Route::new(network("10.2.0.0/16"), 4711, None)).await;
        assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
        ip("link set net1 down");
        let error = refusal(Route::new(network("10.2.0.0/16"), device, None)).await;
        assert_eq!(error.errno(), Some(libc::ENETDOWN), "{error}");
    });
}

/// What it costs does not depend on the machine: two for the link, one for each address and route, one for up.
#[test]
fn a_macvlan_with_two_addresses_and_two_routes_costs_seven_requests() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        let before = requests(&[&host, &inside]);
        let new = NewLink { mtu: Some(1400), group: 0x7000_0001, ..macvlan("net1", parent) };
        let link = host.create_link_inside(&new, &pod, &inside).await.unwrap();
        for address in ["10.1.0.2/24", "fd00:1::2/64"] {
            inside.add_address(link.index, network(address), DuplicateDetection::Skipped).await.unwrap();
        }
        inside.change_link(link.index, &LinkChange::up()).await.unwrap();
        for (destination, by) in [("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd00:1::1")] {
            inside.add_route(&Route::new(network(destination), link.index, gateway(by))).await.unwrap();
        }
        assert_eq!(requests(&[&host, &inside]) - before, 7);
    });
}

#[test]
fn a_cut_next_hop_is_not_understood_and_does_not_hang() {
    let hop = |length: u16, device: u32| [&length.to_ne_bytes()[..], &[0, 0], &device.to_ne_bytes()].concat();
    assert_eq!(next_hops(&[hop(8, 5), hop(8, 6)].concat()), Some(vec![(5, None), (6, None)]));
    for cut in [vec![8], hop(0, 5), hop(7, 5), hop(9, 5), hop(8, 5)[..6].to_vec()] {
        assert_eq!(next_hops(&cut), None, "{cut:?}");
    }
}
