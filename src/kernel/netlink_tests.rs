use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use ipnetwork::IpNetwork;

use super::*;
use crate::kernel::testing::{in_new_netns, ip};

fn addresses(texts: &[&str]) -> Vec<IpNetwork> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

async fn index_of(netlink: &Netlink, name: &str) -> u32 {
    netlink.link_by_name(name).await.unwrap().unwrap().index
}

/// A veth pair with addresses that default routes can use.
fn with_addresses() {
    ip("link add net1 type veth peer name peer1");
    ip("link set peer1 up");
    ip("link set net1 up");
    ip("address add 10.1.0.2/24 dev net1");
    ip("address add fd00:1::2/64 dev net1 nodad");
}

#[test]
fn a_link_is_found_by_name_and_by_index_with_all_it_says() {
    in_new_netns(|| async {
        ip("link add br0 type bridge");
        ip("link add net1 link br0 address 0a:58:0a:f4:00:05 mtu 1400 group 77 type macvlan mode bridge");
        let netlink = Netlink::own().unwrap();
        let link = netlink.link_by_name("net1").await.unwrap().unwrap();
        let expected = Link {
            index: link.index,
            name: "net1".into(),
            kind: "macvlan".into(),
            group: 77,
            mac: "0a:58:0a:f4:00:05".into(),
            mtu: 1400,
        };
        assert_eq!(link, expected);
        assert_eq!(netlink.link_by_index(link.index).await.unwrap(), Some(expected));
        assert_eq!(netlink.link_by_name("lo").await.unwrap().unwrap().kind, "");
    });
}

#[test]
fn a_missing_link_is_none_and_so_is_an_impossible_one() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        for name in ["net1", "", "a-name-longer-than-15", "a\0b", "net%d"] {
            assert_eq!(netlink.link_by_name(name).await.unwrap(), None, "{name:?}");
        }
        for index in [0, 4711, u32::MAX] {
            assert_eq!(netlink.link_by_index(index).await.unwrap(), None, "{index}");
        }
    });
}

#[test]
fn an_alternative_name_is_not_taken_for_the_name() {
    in_new_netns(|| async {
        ip("link add eth0 type veth peer name peer0");
        ip("link property add dev eth0 altname net1");
        assert_eq!(Netlink::own().unwrap().link_by_name("net1").await.unwrap(), None);
    });
}

#[test]
fn a_link_is_found_under_an_alternative_name_of_any_length() {
    in_new_netns(|| async {
        ip("link add eth0 type veth peer name peer0");
        let netlink = Netlink::own().unwrap();
        for length in [4, 15, 16, 127] {
            let name = "n".repeat(length);
            assert_eq!(netlink.link_by_any_name(&name).await.unwrap(), None, "{length}");
            ip(&format!("link property add dev eth0 altname {name}"));
            assert_eq!(netlink.link_by_any_name(&name).await.unwrap().unwrap().name, "eth0", "{length}");
        }
        assert_eq!(netlink.link_by_any_name(&"n".repeat(128)).await.unwrap(), None);
    });
}

/// rtnetlink's own requests never return here.
#[test]
fn a_link_whose_alias_or_name_is_no_utf8_is_read_all_the_same() {
    in_new_netns(|| async {
        ip("link add net1 type veth peer name peer1");
        let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        for arguments in [["link", "set", "net1", "alias"], ["link", "set", "peer1", "name"]] {
            assert!(Command::new("ip").args(arguments).arg(bytes).status().unwrap().success());
        }
        let netlink = Netlink::own().unwrap();
        let link = netlink.link_by_name("net1").await.unwrap().unwrap();
        assert_eq!(link.kind, "veth");
        assert_eq!(netlink.links().await.unwrap().len(), 3);
        netlink.delete_link(link.index).await.unwrap();
    });
}

#[test]
fn a_group_is_set_listed_and_left_alone_by_others() {
    in_new_netns(|| async {
        for name in ["br-a", "br-b", "br-c"] {
            ip(&format!("link add {name} type bridge"));
        }
        let netlink = Netlink::own().unwrap();
        for name in ["br-a", "br-c"] {
            let index = index_of(&netlink, name).await;
            netlink.set_group(index, 0x7000_0001).await.unwrap();
        }
        let names: Vec<_> =
            netlink.links_of_groups(&[0x7000_0001]).await.unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names, ["br-a", "br-c"]);
        assert!(netlink.links_of_groups(&[5]).await.unwrap().is_empty());
        let error = netlink.set_group(4711, 1).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV));
        assert!(error.to_string().starts_with("cannot set the group of the link with ifindex 4711: "), "{error}");
    });
}

#[test]
fn a_deletion_is_idempotent() {
    in_new_netns(|| async {
        ip("link add net1 type veth peer name peer1");
        let netlink = Netlink::own().unwrap();
        let index = index_of(&netlink, "net1").await;
        netlink.delete_link(index).await.unwrap();
        netlink.delete_link(index).await.unwrap();
        assert_eq!(netlink.link_by_name("peer1").await.unwrap(), None);
    });
}

#[test]
fn what_cannot_be_deleted_is_an_error_with_the_kernels_reason() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let index = index_of(&netlink, "lo").await;
        let error = netlink.delete_link(index).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
    });
}

#[test]
fn addresses_are_those_of_one_link_and_of_both_families() {
    in_new_netns(|| async {
        with_addresses();
        ip("address add 10.1.0.3/24 dev net1");
        ip("address add 10.9.0.1 peer 10.9.0.2/32 dev net1");
        ip("address add 10.2.0.1/24 dev peer1");
        let netlink = Netlink::own().unwrap();
        let mut found = netlink.addresses(index_of(&netlink, "net1").await).await.unwrap();
        found.retain(|address| !matches!(address, IpNetwork::V6(v6) if v6.ip().is_unicast_link_local()));
        found.sort();
        assert_eq!(found, addresses(&["10.1.0.2/24", "10.1.0.3/24", "10.9.0.1/32", "fd00:1::2/64"]));
        assert!(netlink.addresses(4711).await.unwrap().is_empty());

        let (net1, peer1) = (index_of(&netlink, "net1").await, index_of(&netlink, "peer1").await);
        let all = netlink.all_addresses().await.unwrap();
        for (index, address) in [(net1, "10.1.0.2/24"), (net1, "fd00:1::2/64"), (peer1, "10.2.0.1/24")] {
            assert!(all.contains(&(index, address.parse().unwrap())), "{address} in {all:?}");
        }
    });
}

#[test]
fn a_long_list_arrives_whole() {
    in_new_netns(|| async {
        ip("link add net1 type bridge");
        let batch: String =
            (0..2000_u32).map(|n| format!("address add 10.{}.{}.1/32 dev net1\n", n / 250, n % 250)).collect();
        let file = std::env::temp_dir().join(format!("rooknet-batch-{}", std::process::id()));
        std::fs::write(&file, batch).unwrap();
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        let netlink = Netlink::own().unwrap();
        let index = index_of(&netlink, "net1").await;
        assert_eq!(netlink.addresses(index).await.unwrap().len(), 2000);
    });
}

#[test]
fn a_socket_made_inside_stays_there() {
    let host = Netns::own().unwrap();
    in_new_netns(|| async {
        ip("link add only-here type bridge");
        let inside = Netlink::inside(&Netns::own().unwrap()).unwrap();
        let outside = Netlink::inside(&host).unwrap();
        assert!(inside.link_by_name("only-here").await.unwrap().is_some());
        assert!(outside.link_by_name("only-here").await.unwrap().is_none());
        assert!(Netns::open(Path::new("/proc/thread-self/ns/net")).unwrap().unwrap().is_own().unwrap());
    });
}

#[test]
fn there_is_no_default_route_where_none_was_made() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        assert_eq!(netlink.default_routes().await.unwrap(), []);
        with_addresses();
        ip("route add unreachable default metric 9999");
        ip("route add default dev net1 table 99");
        ip("route add 0.0.0.0/1 dev net1");
        assert_eq!(netlink.default_routes().await.unwrap(), []);
    });
}

#[test]
fn default_routes_of_both_families_are_read() {
    in_new_netns(|| async {
        with_addresses();
        ip("route add default via 10.1.0.1 dev net1");
        ip("route add default dev net1 metric 50");
        ip("-6 route add default via fd00:1::1 dev net1 metric 7 proto ra");
        let netlink = Netlink::own().unwrap();
        let device = Some(index_of(&netlink, "net1").await);
        let routes = netlink.default_routes().await.unwrap();
        let seen: Vec<_> = routes.iter().map(|r| (r.ipv6, r.gateway, r.device, r.priority, r.protocol)).collect();
        let gateway = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(
            seen,
            [
                (false, gateway("10.1.0.1"), device, None, 3),
                (false, None, device, Some(50), 3),
                (true, gateway("fd00:1::1"), device, Some(7), 9),
            ]
        );
    });
}

/// `ip -d route` prints all that a route says: the text before a removal and after putting it back must not differ.
#[test]
fn a_removed_default_route_is_put_back_exactly() {
    let cases = [
        "route add default via 10.1.0.1 dev net1",
        "route add default via 10.1.0.1 dev net1 metric 100 proto dhcp src 10.1.0.2 mtu 1300 advmss 1200",
        "route add default via 192.0.2.1 dev net1 onlink",
        "route add default dev net1 scope link metric 3",
        "route add default via inet6 fe80::1 dev net1",
        "route add default tos 0x10 via 10.1.0.1 dev net1",
        "route add default via 10.1.0.1 dev net1 congctl reno",
        "-6 route add default via fd00:1::1 dev net1",
        "-6 route add default via fe80::1 dev net1 proto ra metric 20 pref high mtu 1280 hoplimit 33",
        "-6 route add default dev net1 metric 9",
        "-6 route add default via fd00:9::1 dev net1 onlink",
    ];
    for case in cases {
        in_new_netns(|| async {
            with_addresses();
            ip(case);
            let shown = || ip("-4 -d route show default") + &ip("-6 -d route show default");
            let before = shown();
            let netlink = Netlink::own().unwrap();
            let routes = netlink.default_routes().await.unwrap();
            assert_eq!(routes.len(), 1, "{case}");
            netlink.delete_default_route(&routes[0]).await.unwrap();
            assert_eq!(shown(), "", "{case}");
            netlink.delete_default_route(&routes[0]).await.unwrap();
            netlink.add_default_route(&routes[0]).await.unwrap();
            assert_eq!(shown(), before, "{case}");
            let error = netlink.add_default_route(&routes[0]).await.unwrap_err();
            assert_eq!(error.errno(), Some(libc::EEXIST), "{case}");
        });
    }
}

#[test]
fn a_route_with_a_life_keeps_about_what_remains_of_it() {
    in_new_netns(|| async {
        with_addresses();
        ip("-6 route add default via fe80::1 dev net1 expires 500");
        let netlink = Netlink::own().unwrap();
        let routes = netlink.default_routes().await.unwrap();
        netlink.delete_default_route(&routes[0]).await.unwrap();
        netlink.add_default_route(&routes[0]).await.unwrap();
        let shown = ip("-6 route show default");
        let life: u32 = shown.split("expires ").nth(1).unwrap().split("sec").next().unwrap().parse().unwrap();
        assert!((490..=500).contains(&life), "{shown}");
    });
}

#[test]
fn a_removal_takes_no_other_route_of_that_gateway() {
    in_new_netns(|| async {
        with_addresses();
        ip("route add default via 10.1.0.1 dev net1");
        ip("route add default via 10.1.0.1 dev net1 metric 100");
        let netlink = Netlink::own().unwrap();
        let routes = netlink.default_routes().await.unwrap();
        for _ in 0..2 {
            netlink.delete_default_route(&routes[0]).await.unwrap();
            assert_eq!(netlink.default_routes().await.unwrap(), routes[1..]);
        }
    });
}

#[test]
fn a_new_default_route_is_what_ip_would_make() {
    in_new_netns(|| async {
        with_addresses();
        let netlink = Netlink::own().unwrap();
        let device = index_of(&netlink, "net1").await;
        let gateway = |text: &str| Some(text.parse().unwrap());
        netlink.add_default_route(&DefaultRoute::new(false, gateway("10.1.0.1"), Some(device))).await.unwrap();
        netlink.add_default_route(&DefaultRoute::new(true, gateway("fd00:1::1"), None)).await.unwrap();
        let mut direct = DefaultRoute::new(false, None, Some(device));
        direct.priority = Some(5);
        netlink.add_default_route(&direct).await.unwrap();
        let shown: Vec<String> = (ip("-4 route show default") + &ip("-6 route show default"))
            .lines()
            .map(|line| line.trim().to_owned())
            .collect();
        assert_eq!(
            shown,
            [
                "default via 10.1.0.1 dev net1",
                "default dev net1 scope link metric 5",
                "default via fd00:1::1 dev net1 metric 1024 pref medium"
            ]
        );
    });
}

#[test]
fn a_gateway_out_of_reach_is_an_error_with_the_kernels_words() {
    in_new_netns(|| async {
        with_addresses();
        let netlink = Netlink::own().unwrap();
        let route = DefaultRoute::new(false, Some("192.0.2.1".parse().unwrap()), None);
        let error = netlink.add_default_route(&route).await.unwrap_err().to_string();
        let expected = "cannot add the IPv4 default route by 192.0.2.1: Network is unreachable (os error 101) \
                        (Nexthop has invalid gateway)";
        assert_eq!(error, expected);
    });
}

#[test]
fn a_multipath_route_is_refused_not_mangled() {
    in_new_netns(|| async {
        with_addresses();
        ip("route add default nexthop via 10.1.0.1 dev net1 nexthop via 10.1.0.9 dev net1");
        let error = Netlink::own().unwrap().default_routes().await.unwrap_err();
        assert!(error.to_string().starts_with("the IPv4 default route is a multipath route"), "{error}");
        ip("route del default");
        ip("nexthop add id 1 via 10.1.0.1 dev net1");
        ip("route add default nhid 1");
        let error = Netlink::own().unwrap().default_routes().await.unwrap_err();
        assert!(error.to_string().contains("next-hop object"), "{error}");
    });
}

#[test]
fn every_name_by_which_a_link_is_found_is_listed() {
    in_new_netns(|| async {
        ip("link add here type veth peer name there");
        ip("link property add dev here altname public altname an-alternative-name-longer-than-fifteen");
        let names = Netlink::own().unwrap().names().await.unwrap();
        let expected = ["an-alternative-name-longer-than-fifteen", "here", "lo", "public", "there"];
        assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    });
}
