use std::pin::pin;

use futures_util::future::{Either, join, select};

use super::*;
use crate::kernel::netlink::Netlink;
use crate::kernel::testing::{in_new_netns, ip, ip_inside, new_netns, path_of};

const OWN_MAC: [u8; 6] = [0x0a, 0x58, 0x0a, 9, 8, 2];
const HOST_MAC: [u8; 6] = [0x0a, 0x58, 0x0a, 9, 8, 1];
const OTHER_MAC: [u8; 6] = [0x0a, 0x58, 0x0a, 9, 8, 3];
const BROADCAST: [u8; 6] = [0xff; 6];

/// The host at the other end of the cable has it.
const TAKEN: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 1);
const FREE: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 3);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// The last of a sequence of frames: a conflict that shows that those before it were heard, and were none.
const LAST: Conflict = Conflict { address: FREE, mac: [0x0a, 0x58, 0x0a, 9, 8, 99] };

/// A pod with the link net1, and its ifindex. At the other end of the cable is veth0 of this thread's namespace: a
/// host with [`HOST_MAC`] and [`TAKEN`], and what it hears and sends.
async fn pod_and_host() -> (Netns, u32, Socket) {
    let pod = new_netns();
    let (own, host) = (mac_text(&OWN_MAC), mac_text(&HOST_MAC));
    ip(&format!("link add veth0 address {host} type veth peer name net1 address {own} netns {}", path_of(&pod)));
    ip("addr add 10.9.8.1/24 dev veth0");
    ip("link set veth0 up");
    ip_inside(&pod, "link set net1 up");
    let link = Netlink::inside(&pod).unwrap().link_by_name("net1").await.unwrap().unwrap().index;
    let veth0 = Netlink::own().unwrap().link_by_name("veth0").await.unwrap().unwrap().index;
    (pod, link, Socket::open(veth0).unwrap())
}

/// The next ARP frame that the host hears.
async fn heard(host: &Socket) -> Vec<u8> {
    let mut frame = [0; 100];
    let length = host.receive(&mut frame).await.unwrap();
    frame[..length].to_vec()
}

/// An ARP packet of any host.
fn arp(to: [u8; 6], operation: u8, (mac, address): ([u8; 6], Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let packet = [&[0, operation][..], &mac, &address.octets(), &[0; 6], &target.octets()].concat();
    [&to[..], &mac, &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4], &packet].concat()
}

/// An answer to the pod by which another host says that it has [`FREE`].
fn claim_of_free() -> Vec<u8> {
    arp(OWN_MAC, 2, (OTHER_MAC, FREE), NOBODY)
}

/// The first conflict that a probe for [`FREE`] finds when these frames come, and [`LAST`] behind them.
async fn found_amid(frames: &[Vec<u8>]) -> Conflict {
    let (pod, link, host) = pod_and_host().await;
    let others = async {
        // By then the pod listens.
        heard(&host).await;
        for frame in frames.iter().chain([&arp(OWN_MAC, 2, (LAST.mac, LAST.address), NOBODY)]) {
            host.send(frame).await.unwrap();
        }
    };
    let (found, ()) = join(probe(&pod, link, OWN_MAC, &[FREE], &Timing::default()), others).await;
    found.unwrap().unwrap()
}

#[test]
fn a_free_address_is_probed_for_three_times_and_nobody_learns_of_us() {
    in_new_netns(|| async {
        let (pod, link, host) = pod_and_host().await;
        assert_eq!(probe(&pod, link, OWN_MAC, &[FREE, OTHER], &Timing::default()).await.unwrap(), None);
        for address in [FREE, OTHER].repeat(3) {
            assert_eq!(heard(&host).await, arp(BROADCAST, 1, (OWN_MAC, NOBODY), address));
        }
        assert_eq!(ip("-4 neigh show nud all dev veth0"), "");
    });
}

#[test]
fn a_host_that_has_the_address_is_found_with_its_mac() {
    in_new_netns(|| async {
        let (pod, link, _host) = pod_and_host().await;
        let found = probe(&pod, link, OWN_MAC, &[TAKEN], &Timing::default()).await.unwrap().unwrap();
        assert_eq!(found, Conflict { address: TAKEN, mac: HOST_MAC });
        assert_eq!(found.to_string(), "the host with the MAC 0a:58:0a:09:08:01 has the address 10.9.8.1");
    });
}

#[test]
fn one_taken_address_among_several_is_found() {
    in_new_netns(|| async {
        let (pod, link, _host) = pod_and_host().await;
        let found = probe(&pod, link, OWN_MAC, &[FREE, TAKEN, OTHER], &Timing::default()).await.unwrap();
        assert_eq!(found, Some(Conflict { address: TAKEN, mac: HOST_MAC }));
    });
}

#[test]
fn a_host_that_answers_the_last_probe_only_is_found() {
    in_new_netns(|| async {
        let (pod, link, host) = pod_and_host().await;
        let answer = async {
            for _ in 0..3 {
                heard(&host).await;
            }
            host.send(&claim_of_free()).await.unwrap();
        };
        let (found, ()) = join(probe(&pod, link, OWN_MAC, &[FREE], &Timing::default()), answer).await;
        assert_eq!(found.unwrap(), Some(Conflict { address: FREE, mac: OTHER_MAC }));
    });
}

#[test]
fn every_packet_from_the_address_is_a_conflict() {
    let packets = [
        ("an answer", claim_of_free()),
        ("an announcement", arp(BROADCAST, 1, (OTHER_MAC, FREE), FREE)),
        ("an announcement as an answer", arp(BROADCAST, 2, (OTHER_MAC, FREE), FREE)),
        ("a question for another", arp(BROADCAST, 1, (OTHER_MAC, FREE), OTHER)),
        ("one that fills the shortest frame", [claim_of_free(), vec![0xaa; 18]].concat()),
    ];
    for (what, packet) in packets {
        in_new_netns(|| async {
            assert_eq!(found_amid(&[packet]).await, Conflict { address: FREE, mac: OTHER_MAC }, "{what}");
        });
    }
}

/// RFC 5227 looks at the MAC only where the packet is a probe.
#[test]
fn a_host_that_has_the_address_and_our_mac_is_a_conflict_too() {
    in_new_netns(|| async {
        let found = found_amid(&[arp(BROADCAST, 2, (OWN_MAC, FREE), FREE)]).await;
        assert_eq!(found, Conflict { address: FREE, mac: OWN_MAC });
    });
}

#[test]
fn a_simultaneous_probe_of_another_host_is_a_conflict() {
    in_new_netns(|| async {
        let found = found_amid(&[arp(BROADCAST, 1, (OTHER_MAC, NOBODY), FREE)]).await;
        assert_eq!(found, Conflict { address: FREE, mac: OTHER_MAC });
    });
}

#[test]
fn of_two_hosts_that_probe_at_the_same_time_at_most_one_finds_the_address_free() {
    in_new_netns(|| async {
        let (pod, link, _host) = pod_and_host().await;
        let own = Netns::own().unwrap();
        let veth0 = Netlink::own().unwrap().link_by_name("veth0").await.unwrap().unwrap().index;
        let timing = Timing::default();
        let probes =
            join(probe(&pod, link, OWN_MAC, &[FREE], &timing), probe(&own, veth0, HOST_MAC, &[FREE], &timing)).await;
        let found = [probes.0.unwrap(), probes.1.unwrap()];
        let heard = [HOST_MAC, OWN_MAC].map(|mac| Some(Conflict { address: FREE, mac }));
        assert!(found[0] == heard[0] || found[1] == heard[1], "{found:?}");
    });
}

/// A switch sends them back where a macvlan of mode vepa stands on its port.
#[test]
fn our_own_probes_are_no_conflict_when_they_come_back() {
    in_new_netns(|| async {
        let own = arp(BROADCAST, 1, (OWN_MAC, NOBODY), FREE);
        assert_eq!(found_amid(&[own.clone(), own]).await, LAST);
    });
}

#[test]
fn what_others_say_about_other_addresses_is_no_conflict() {
    in_new_netns(|| async {
        let packets = [
            arp(BROADCAST, 1, (OTHER_MAC, OTHER), OTHER),
            arp(BROADCAST, 1, (OTHER_MAC, NOBODY), OTHER),
            // Whoever asks for the address has another one, and does not want this.
            arp(BROADCAST, 1, (OTHER_MAC, OTHER), FREE),
            arp(OWN_MAC, 2, (OTHER_MAC, OTHER), FREE),
            // No probe: that is a question only.
            arp(OWN_MAC, 2, (OTHER_MAC, NOBODY), FREE),
        ];
        assert_eq!(found_amid(&packets).await, LAST);
    });
}

#[test]
fn the_same_address_in_another_vlan_is_no_conflict() {
    in_new_netns(|| async {
        let packet = arp(BROADCAST, 1, (OTHER_MAC, FREE), FREE);
        let (ethernet, rest) = packet.split_at(12);
        // IEEE 802.1Q: VLAN 100; the same of VLAN 0, which is a priority without a VLAN, is a conflict.
        let tagged = |vlan: u8| [ethernet, &[0x81, 0, 0, vlan], rest].concat();
        assert_eq!(found_amid(&[tagged(100)]).await, LAST);
    });
    in_new_netns(|| async {
        let packet = arp(BROADCAST, 1, (OTHER_MAC, FREE), FREE);
        let (ethernet, rest) = packet.split_at(12);
        let priority = [ethernet, &[0x81, 0, 0xe0, 0], rest].concat();
        assert_eq!(found_amid(&[priority]).await, Conflict { address: FREE, mac: OTHER_MAC });
    });
}

#[test]
fn what_is_no_arp_packet_for_ipv4_on_ethernet_is_passed_over() {
    in_new_netns(|| async {
        let claim = claim_of_free();
        let changed = |position: usize, value: u8| {
            let mut packet = claim.clone();
            packet[position] = value;
            packet
        };
        let packets = [
            claim[..14].to_vec(),
            claim[..30].to_vec(),
            claim[..41].to_vec(),
            // InfiniBand, an unknown protocol, longer addresses, an operation that is neither request nor reply.
            changed(15, 32),
            changed(16, 0x86),
            changed(18, 8),
            changed(19, 16),
            changed(21, 8),
            changed(20, 1),
        ];
        assert_eq!(found_amid(&packets).await, LAST);
    });
}

#[test]
fn ipv6_on_the_same_link_does_not_disturb() {
    in_new_netns(|| async {
        let (pod, link, host) = pod_and_host().await;
        ip("-6 addr add fd00::1/64 dev veth0");
        ip_inside(&pod, "-6 addr add fd00::2/64 dev net1");
        let others = async {
            heard(&host).await;
            // An IPv6 packet that would be a conflict, were it ARP.
            let mut packet = claim_of_free();
            packet[12..14].copy_from_slice(&[0x86, 0xdd]);
            host.send(&packet).await.unwrap();
        };
        let (found, ()) = join(probe(&pod, link, OWN_MAC, &[FREE], &Timing::default()), others).await;
        assert_eq!(found.unwrap(), None);
    });
}

#[test]
fn a_link_that_is_down_is_an_error_and_not_silence() {
    in_new_netns(|| async {
        let (pod, link, _host) = pod_and_host().await;
        ip_inside(&pod, "link set net1 down");
        let error = probe(&pod, link, OWN_MAC, &[FREE], &Timing::default()).await.unwrap_err();
        assert!(matches!(error, Error::LinkDown { .. }), "{error}");
        let start = format!("cannot probe for addresses on the link with ifindex {link} of the network namespace ");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().ends_with(": it is down, or was set down meanwhile; set it up first"), "{error}");
        assert_eq!(error.errno(), Some(libc::ENETDOWN));
    });
}

#[test]
fn a_link_that_is_set_down_meanwhile_is_an_error_and_not_silence() {
    in_new_netns(|| async {
        let (pod, link, host) = pod_and_host().await;
        let set_down = async {
            heard(&host).await;
            ip_inside(&pod, "link set net1 down");
        };
        let (found, ()) = join(probe(&pod, link, OWN_MAC, &[FREE], &Timing::default()), set_down).await;
        assert!(matches!(found, Err(Error::LinkDown { .. })), "{found:?}");
    });
}

#[test]
fn a_link_that_is_not_there_is_an_error_that_names_it() {
    in_new_netns(|| async {
        let pod = new_netns();
        let error = probe(&pod, 4711, OWN_MAC, &[FREE], &Timing::default()).await.unwrap_err();
        let start = "cannot open a socket for ARP packets on the link with ifindex 4711 of the network namespace ";
        assert!(error.to_string().starts_with(start), "{error}");
        assert_eq!(error.errno(), Some(libc::ENODEV));
    });
}

#[test]
fn without_an_address_nothing_is_asked() {
    in_new_netns(|| async {
        let pod = new_netns();
        assert_eq!(probe(&pod, 4711, OWN_MAC, &[], &Timing::default()).await.unwrap(), None);
    });
}

#[test]
fn a_probe_that_is_given_up_leaves_no_socket() {
    in_new_netns(|| async {
        let (pod, link, host) = pod_and_host().await;
        let sockets = || {
            let table = pod.inside(|| std::fs::read_to_string("/proc/thread-self/net/packet").unwrap()).unwrap();
            table.lines().count() - 1
        };
        let timing = Timing::default();
        let probing = Box::pin(probe(&pod, link, OWN_MAC, &[FREE], &timing));
        let Either::Right((_, probing)) = select(probing, pin!(heard(&host))).await else {
            panic!("the probe ended before it was heard");
        };
        assert_eq!(sockets(), 1);
        drop(probing);
        assert_eq!(sockets(), 0);
    });
}

mod vm {
    use super::*;

    /// Why [`probe`] wants the parent of an ipvlan.
    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn the_parent_of_an_ipvlan_hears_the_answer_that_the_ipvlan_does_not() {
        in_new_netns(|| async {
            let (pod, parent, _host) = pod_and_host().await;
            ip_inside(&pod, "link add net2 link net1 type ipvlan mode l2");
            ip_inside(&pod, "link set net2 up");
            let inside = Netlink::inside(&pod).unwrap();
            let ipvlan = inside.link_by_name("net2").await.unwrap().unwrap();
            assert_eq!(ipvlan.mac, mac_text(&OWN_MAC));
            let timing = Timing::default();
            assert_eq!(probe(&pod, ipvlan.index, OWN_MAC, &[TAKEN], &timing).await.unwrap(), None);
            let found = probe(&pod, parent, OWN_MAC, &[TAKEN], &timing).await.unwrap();
            assert_eq!(found, Some(Conflict { address: TAKEN, mac: HOST_MAC }));
        });
    }
}
