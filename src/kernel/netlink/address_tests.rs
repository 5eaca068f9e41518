use serde_json::{Value, json};

use super::*;
use crate::kernel::netlink::{Kind, LinkChange, NewLink, Peer};
use crate::kernel::netns::Netns;
use crate::kernel::testing::{in_new_netns, ip, ip_inside, link_shown, new_netns, objects};

const LONG: Duration = Duration::from_secs(20);

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn after(duration: Duration) -> Instant {
    Instant::now().checked_add(duration).unwrap()
}

/// A veth pair whose ends are up: net1 here, its other end in another namespace. Without a link-local address here,
/// which would come at some time of its own.
async fn cable(netlink: &Netlink) -> (u32, Netns) {
    let pod = new_netns();
    let peer = Peer { name: "net1", inside: Some(&pod), mtu: None, mac: None, group: 0 };
    let near = NewLink { up: true, ..NewLink::new("net1", Kind::Veth { peer }) };
    let index = netlink.create_link(&near).await.unwrap().index;
    ip("link set net1 addrgenmode none");
    ip_inside(&pod, "link set net1 up");
    (index, pod)
}

/// What `ip` says about the addresses of net1, one object each.
fn shown() -> Vec<Value> {
    objects("ip", "address show dev net1").remove(0)["addr_info"].as_array().unwrap().clone()
}

#[test]
fn an_ipv4_address_gets_the_broadcast_of_its_network_up_to_a_prefix_of_30() {
    in_new_netns(|| async {
        ip("link add net1 type bridge");
        let netlink = Netlink::own().unwrap();
        let index = netlink.link_by_name("net1").await.unwrap().unwrap().index;
        for (text, broadcast) in [
            ("10.1.2.3/24", json!("10.1.2.255")),
            ("10.9.0.5/30", json!("10.9.0.7")),
            ("10.9.1.4/31", Value::Null),
            ("10.9.2.4/32", Value::Null),
        ] {
            netlink.add_address(index, network(text), DuplicateDetection::Usual).await.unwrap();
            let found =
                shown().into_iter().find(|address| text.starts_with(address["local"].as_str().unwrap())).unwrap();
            assert_eq!(found["broadcast"], broadcast, "{text}");
            assert_eq!((&found["prefixlen"], &found["scope"]), (&json!(network(text).prefix()), &json!("global")));
            assert!(found.get("address").is_none(), "a point-to-point address: {found}");
        }
    });
}

/// `ip address add` with the same words is the measure.
#[test]
fn an_address_is_what_ip_would_make() {
    in_new_netns(|| async {
        ip("link add net1 type veth peer name peer1");
        let netlink = Netlink::own().unwrap();
        let index = netlink.link_by_name("net1").await.unwrap().unwrap().index;
        for (words, text, detection) in [
            ("10.1.2.3/24 broadcast +", "10.1.2.3/24", DuplicateDetection::Usual),
            ("fd00::1/64", "fd00::1/64", DuplicateDetection::Usual),
            ("fd00::1/64 nodad", "fd00::1/64", DuplicateDetection::Skipped),
            ("fd00::1/128", "fd00::1/128", DuplicateDetection::Usual),
        ] {
            ip(&format!("address add {words} dev net1"));
            let expected = shown();
            netlink.delete_address(index, network(text)).await.unwrap();
            assert_eq!(shown(), Vec::<Value>::new());
            netlink.delete_address(index, network(text)).await.unwrap();
            netlink.add_address(index, network(text), detection).await.unwrap();
            let mut found = shown();
            // What `ip` calls the label is the link's name where none was given.
            found.iter_mut().zip(&expected).for_each(|(found, expected)| found["label"] = expected["label"].clone());
            let normal = |list: &[Value]| {
                list.iter()
                    .map(|a| {
                        json!([
                            a["local"],
                            a["prefixlen"],
                            a["scope"],
                            a["broadcast"],
                            a["nodad"],
                            a["tentative"],
                            a["valid_life_time"]
                        ])
                    })
                    .collect::<Vec<_>>()
            };
            assert_eq!(normal(&found), normal(&expected), "{words}");
            netlink.delete_address(index, network(text)).await.unwrap();
        }
        netlink.delete_address(4711, network("10.1.2.3/24")).await.unwrap();
    });
}

#[test]
fn an_address_that_is_there_or_a_link_that_is_not_is_an_error_with_the_address() {
    in_new_netns(|| async {
        ip("link add net1 type bridge");
        let netlink = Netlink::own().unwrap();
        let index = netlink.link_by_name("net1").await.unwrap().unwrap().index;
        for text in ["10.1.2.3/24", "fd00::1/64"] {
            netlink.add_address(index, network(text), DuplicateDetection::Usual).await.unwrap();
            let error = netlink.add_address(index, network(text), DuplicateDetection::Usual).await.unwrap_err();
            assert_eq!(error.errno(), Some(libc::EEXIST), "{error}");
            let start = format!("cannot add the address {text} to the link with ifindex {index}: ");
            assert!(error.to_string().starts_with(&start), "{error}");
            let error = netlink.add_address(4711, network(text), DuplicateDetection::Usual).await.unwrap_err();
            assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
        }
    });
}

#[test]
fn addresses_are_waited_for_until_none_is_tentative() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let (index, _pod) = cable(&netlink).await;
        netlink.add_address(index, network("fd00::1/64"), DuplicateDetection::Usual).await.unwrap();
        let unsettled = netlink.link_addresses(index).await.unwrap();
        let ours = unsettled.iter().find(|address| address.network == network("fd00::1/64")).unwrap();
        assert!(ours.tentative && !ours.duplicate, "{ours:?}");
        assert_eq!(netlink.settle_addresses(index, after(LONG)).await.unwrap(), []);
        let settled = netlink.link_addresses(index).await.unwrap();
        assert!(settled.iter().any(|address| address.network == network("fd00::1/64")));
        assert!(settled.iter().all(|address| !address.tentative && !address.duplicate), "{settled:?}");
    });
}

#[test]
fn nothing_is_waited_for_where_nothing_is_detected() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let (index, _pod) = cable(&netlink).await;
        netlink.add_address(index, network("10.1.2.3/24"), DuplicateDetection::Usual).await.unwrap();
        netlink.add_address(index, network("fd00::1/64"), DuplicateDetection::Skipped).await.unwrap();
        let before = netlink.requests();
        assert_eq!(netlink.settle_addresses(index, after(LONG)).await.unwrap(), []);
        assert_eq!(netlink.requests() - before, 1);
    });
}

#[test]
fn a_deadline_ends_the_wait_and_names_what_is_still_tentative() {
    in_new_netns(|| async {
        // Its other end stays down: without carrier nothing is ever detected.
        ip("link add net1 type veth peer name peer1");
        ip("link set net1 up");
        let netlink = Netlink::own().unwrap();
        let index = netlink.link_by_name("net1").await.unwrap().unwrap().index;
        netlink.add_address(index, network("fd00::1/64"), DuplicateDetection::Usual).await.unwrap();
        let tentative = netlink.settle_addresses(index, after(Duration::from_millis(50))).await.unwrap();
        assert_eq!(tentative, [network("fd00::1/64")]);
        assert_eq!(netlink.settle_addresses(index, Instant::now()).await.unwrap(), [network("fd00::1/64")]);
        assert!(!netlink.link_details(index).await.unwrap().unwrap().operational);
    });
}

#[test]
fn an_address_that_another_host_has_is_an_error_that_names_it() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        let (index, pod) = cable(&netlink).await;
        ip_inside(&pod, "address add fd00::7/64 dev net1 nodad");
        let change = LinkChange { up: Some(false), ..LinkChange::default() };
        netlink.change_link(index, &change).await.unwrap();
        // As an ADD does it: the addresses first, the link up then.
        for text in ["fd00::6/64", "fd00::7/64"] {
            netlink.add_address(index, network(text), DuplicateDetection::Usual).await.unwrap();
        }
        netlink.change_link(index, &LinkChange::up()).await.unwrap();
        let error = netlink.settle_addresses(index, after(LONG)).await.unwrap_err();
        let Error::DuplicateAddress { address, index: named } = error else { panic!("{error}") };
        assert_eq!((address, named), ("fd00::7".parse().unwrap(), index));
        let start = format!("the address fd00::7 of the link with ifindex {index} is a duplicate: another host");
        assert!(error.to_string().starts_with(&start), "{error}");
        let found = netlink.link_addresses(index).await.unwrap();
        let marked: Vec<_> = found.iter().filter(|found| found.duplicate).map(|found| found.network).collect();
        assert_eq!(marked, [network("fd00::7/64")]);
        assert!(shown().iter().any(|found| found["local"] == "fd00::7" && found["dadfailed"] == true), "{:?}", shown());
        assert_eq!(link_shown(&pod, "net1")["ifname"], "net1");
    });
}
