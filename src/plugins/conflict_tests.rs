use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Value, json};

use crate::cni::Code;
use crate::kernel::netns::Netns;
use crate::kernel::testing::{new_netns, path_of};
use crate::plugins::testing::{Node, Pod, fixed, in_new_netns, ip, ip_inside};
use crate::state::deadline::Deadline;

const HOST_MAC: &str = "02:00:00:00:0a:01";
/// The other host has it.
const TAKEN: &str = "10.1.0.1/24";
const FREE: &str = "10.1.0.5/24";

/// A node that probes, whose bridge br0 is the pods' network, and another host there.
fn node_and_host() -> (Node, Netns) {
    let host = new_netns();
    ip("link add br0 type bridge");
    ip(&format!("link add port0 master br0 type veth peer name eth0 address {HOST_MAC} netns {}", path_of(&host)));
    for link in ["br0", "port0"] {
        ip(&format!("link set {link} up"));
    }
    ip_inside(&host, &format!("addr add {TAKEN} dev eth0"));
    ip_inside(&host, "link set eth0 up");
    (Node { conflict_probe: true, ..Node::new() }, host)
}

/// A network of each plugin on br0, with these addresses.
fn networks(addresses: &[&str]) -> [Value; 2] {
    let addresses: Vec<(&str, Option<&str>)> = addresses.iter().map(|address| (*address, None)).collect();
    let ipam = fixed(&addresses, json!([]));
    [
        json!({"type": "macvlan", "master": "br0", "ipam": ipam}),
        json!({"type": "bridge", "bridge": "br0", "ipam": ipam, "enabledad": true}),
    ]
}

/// Lets the pod send an ARP request for the other host. (The kernel's own announcement of an address is lost where a
/// bridge's port does not forward yet.)
fn asks_for_the_host(pod: &Pod) {
    let socket = pod.netns.inside(|| UdpSocket::bind("10.1.0.5:0").unwrap()).unwrap();
    socket.send_to(&[], "10.1.0.1:9").unwrap();
}

/// All ARP requests that a host hears.
struct Ears(OwnedFd);

impl Ears {
    fn of(host: &Netns) -> Ears {
        let open =
            || socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).unwrap();
        let socket = host.inside(open).unwrap();
        // A test fails rather than waits for ever.
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(20)).unwrap();
        Ears(socket)
    }

    /// The sender and the target of the next one.
    fn next(&self) -> (Ipv4Addr, Ipv4Addr) {
        loop {
            let mut frame = [0; 128];
            let length = recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty()).expect("an ARP request in time");
            let address = |at: std::ops::Range<usize>| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at]).unwrap());
            if length >= 42 && frame[12..14] == [8, 6] && frame[20..22] == [0, 1] {
                return (address(28..32), address(38..42));
            }
        }
    }
}

#[test]
fn an_address_that_another_host_has_is_refused_with_its_mac() {
    in_new_netns(|| async {
        let (node, _host) = node_and_host();
        for config in networks(&[FREE, TAKEN]) {
            let pod = Pod::new();
            let error = node.add(&pod, &config).await.unwrap_err();
            assert_eq!(error.code, Code::TRY_AGAIN_LATER, "{error}");
            for part in [HOST_MAC, "10.1.0.1", "net1"] {
                assert!(error.message.contains(part), "{part} is not in {error}");
            }
            assert!(!error.message.contains("10.1.0.5"), "{error}");
            assert_eq!(pod.objects("-4 address show dev net1"), Vec::<Value>::new(), "no address was used");
        }
    });
}

#[test]
fn a_free_address_is_probed_for_three_times_before_it_is_used() {
    in_new_netns(|| async {
        let (node, host) = node_and_host();
        let free = Ipv4Addr::new(10, 1, 0, 5);
        for config in networks(&[FREE, "fd00:1::5/64"]) {
            let (pod, ears) = (Pod::new(), Ears::of(&host));
            node.add(&pod, &config).await.unwrap();
            asks_for_the_host(&pod);
            let heard = [ears.next(), ears.next(), ears.next()];
            assert_eq!(heard, [(Ipv4Addr::UNSPECIFIED, free); 3], "{config}");
            assert_eq!(ears.next().0, free, "used after the probes only: {config}");
            let shown = pod.objects("address show dev net1 scope global").remove(0);
            let has = |address: &Value| (address["local"].clone(), address["tentative"].clone());
            // `ip` shows an empty one for each that is of another scope.
            let addresses: Vec<_> = shown["addr_info"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|shown| shown["local"].is_string())
                .map(has)
                .collect();
            let usable = |address: &str| (json!(address), Value::Null);
            assert_eq!(addresses, [usable("10.1.0.5"), usable("fd00:1::5")], "{shown}");
            assert_eq!(pod.link()["operstate"], "UP");
            // Its namespace goes some time after it, and the address is to be free for the other plugin.
            pod.ip("link del net1");
        }
    });
}

#[test]
fn unless_it_is_asked_for_nobody_is_probed() {
    in_new_netns(|| async {
        let (node, host) = node_and_host();
        let node = Node { conflict_probe: false, ..node };
        for config in networks(&[FREE]) {
            let (pod, ears) = (Pod::new(), Ears::of(&host));
            node.add(&pod, &config).await.unwrap();
            let free = Ipv4Addr::new(10, 1, 0, 5);
            asks_for_the_host(&pod);
            assert_eq!(ears.next().0, free, "{config}");
            pod.ip("link del net1");
        }
        // What the key is for.
        for config in networks(&[TAKEN]) {
            node.add(&Pod::new(), &config).await.unwrap();
        }
    });
}

#[test]
fn two_pods_that_probe_for_one_address_at_once_do_not_both_get_it() {
    in_new_netns(|| async {
        let (node, _host) = node_and_host();
        let (first, second) = (Pod::new(), Pod::new());
        let [macvlan, bridge] = networks(&[FREE]);
        let (first, second) = futures_util::future::join(node.add(&first, &macvlan), node.add(&second, &bridge)).await;
        assert!(first.is_err() || second.is_err(), "{first:?} {second:?}");
    });
}

#[test]
fn a_deadline_ends_the_probe() {
    in_new_netns(|| async {
        let (_, _host) = node_and_host();
        for config in networks(&[FREE]) {
            let node = Node {
                deadline: Deadline::without_signals(Duration::from_millis(100)),
                conflict_probe: true,
                ..Node::new()
            };
            let error = node.add(&Pod::new(), &config).await.unwrap_err();
            assert_eq!(error.code, Code::INTERRUPTED, "{error}");
            assert!(error.message.contains("during the probe"), "{error}");
        }
    });
}

#[test]
fn silence_without_carrier_is_no_answer() {
    in_new_netns(|| async {
        let (node, _host) = node_and_host();
        ip("link set port0 down");
        let [macvlan, _] = networks(&[FREE]);
        let error = node.add(&Pod::new(), &macvlan).await.unwrap_err();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER, "{error}");
        assert!(error.message.contains("net1") && error.message.contains("carrier"), "{error}");
    });
}

mod vm {
    use super::*;

    /// The master is where `ip` makes it; at the other end of its cable is a host with an address.
    async fn the_host_is_found(node: &Node, pod: &Pod, ip: impl Fn(&str) -> String, config: Value) {
        let host = Pod::new();
        ip(&format!("link add port0 type veth peer name net1 netns {}", path_of(&host.netns)));
        ip("link set port0 up");
        host.ip("address add 10.1.0.5/24 dev net1");
        host.ip("link set net1 up");
        let with_address = |address| {
            let mut config = config.clone();
            config["ipam"] = fixed(&[(address, None)], json!([]));
            config
        };
        let error = node.add(pod, &with_address("10.1.0.5/24")).await.unwrap_err();
        assert_eq!(error.code, Code::TRY_AGAIN_LATER, "{error:?}");
        let mac = host.link()["address"].clone();
        for text in ["10.1.0.5", mac.as_str().unwrap(), "interface net1 was to get"] {
            assert!(error.message.contains(text), "{error:?} does not say {text}");
        }
        pod.ip("link delete net1");
        node.add(pod, &with_address("10.1.0.6/24")).await.unwrap();
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn an_ipvlan_finds_the_host_that_has_its_address_by_its_master_on_the_node() {
        in_new_netns(|| async {
            the_host_is_found(
                &Node { conflict_probe: true, ..Node::new() },
                &Pod::new(),
                ip,
                json!({"type": "ipvlan", "master": "port0"}),
            )
            .await;
        });
    }

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn an_ipvlan_finds_the_host_that_has_its_address_by_its_master_in_the_pod() {
        in_new_netns(|| async {
            let pod = Pod::new();
            let config = json!({"type": "ipvlan", "master": "port0", "linkInContainer": true});
            the_host_is_found(
                &Node { conflict_probe: true, ..Node::new() },
                &pod,
                |arguments| pod.ip(arguments),
                config,
            )
            .await;
        });
    }
}
