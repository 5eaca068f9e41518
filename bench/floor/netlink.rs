//! Requests on a blocking netlink socket, one after another, each until its acknowledgement.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use ipnetwork::IpNetwork;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use crate::plan::{Kind, Link};

/// Bytes that one answer of the kernel has at most.
const ANSWER: usize = 32 * 1024;

/// Between two looks at whether an address is usable.
const PAUSE: Duration = Duration::from_millis(1);

/// A socket in the namespace in which it was opened.
pub(crate) struct Netlink {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Netlink {
    pub(crate) fn open() -> Netlink {
        Netlink { socket: Socket::new(NETLINK_ROUTE).expect("a netlink socket"), buffer: Vec::with_capacity(ANSWER) }
    }

    /// Makes a link in the pod, whole: under its name, with its group, and with its other end in the bridge.
    pub(crate) fn create(&mut self, link: &Link<'_>, group: u32, netns: &File) {
        let mut inside = LinkMessage::default();
        inside.header.index = link.index;
        inside.attributes = vec![
            LinkAttribute::IfName(link.name.to_owned()),
            LinkAttribute::NetNsFd(netns.as_raw_fd()),
            LinkAttribute::Group(group),
        ];
        let message = match link.kind {
            Kind::Veth { peer, bridge } => {
                let mut outside = LinkMessage::default();
                outside.header.flags = LinkFlags::Up;
                outside.header.change_mask = LinkFlags::Up;
                let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside)));
                outside.attributes = vec![
                    LinkAttribute::IfName(peer.to_owned()),
                    LinkAttribute::Controller(bridge),
                    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), data]),
                ];
                outside
            }
            Kind::Macvlan { parent } => {
                let data = LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]));
                inside.attributes.push(LinkAttribute::Link(parent));
                inside.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), data]));
                inside
            }
        };
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL);
    }

    pub(crate) fn add_address(&mut self, index: u32, address: &IpNetwork) {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix();
        message.header.family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
        message.attributes = vec![AddressAttribute::Local(address.ip()), AddressAttribute::Address(address.ip())];
        if let IpNetwork::V4(address) = address {
            message.attributes.push(AddressAttribute::Broadcast(address.broadcast()));
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL);
    }

    pub(crate) fn set_up(&mut self, index: u32) {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(message), 0);
    }

    pub(crate) fn add_default_route(&mut self, gateway: IpAddr) {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: if gateway.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet },
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Boot,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL);
    }

    pub(crate) fn delete_group(&mut self, group: u32) {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        self.request(RouteNetlinkMessage::DelLink(message), 0);
    }

    /// Waits for the end of duplicate address detection (RFC 4862, section 5.4) of the link's global addresses.
    pub(crate) fn wait_until_usable(&mut self, index: u32) {
        while self.has_tentative(index) {
            thread::sleep(PAUSE);
        }
    }

    fn has_tentative(&mut self, index: u32) -> bool {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        let mut found = false;
        self.send(RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP);
        self.receive(|answer| {
            if let RouteNetlinkMessage::NewAddress(address) = answer {
                // 0 is RT_SCOPE_UNIVERSE: the kernel's own link-local address is not waited for.
                let is_meant = address.header.index == index && u8::from(address.header.scope) == 0;
                found |= is_meant && address.header.flags.contains(AddressHeaderFlags::Tentative);
            }
        });
        found
    }

    fn request(&mut self, request: RouteNetlinkMessage, flags: u16) {
        self.send(request, NLM_F_ACK | flags);
        self.receive(|_| {});
    }

    fn send(&mut self, request: RouteNetlinkMessage, flags: u16) {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).expect("send a request");
    }

    /// Until the acknowledgement, or the end of a list.
    fn receive(&mut self, mut each: impl FnMut(RouteNetlinkMessage)) {
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0).expect("the kernel's answer");
            let mut rest = self.buffer.as_slice();
            while !rest.is_empty() {
                let message: NetlinkMessage<RouteNetlinkMessage> =
                    NetlinkMessage::deserialize(rest).expect("a netlink message");
                let length = usize::try_from(message.header.length).expect("a length fits").next_multiple_of(4);
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => each(answer),
                    NetlinkPayload::Done(_) => return,
                    NetlinkPayload::Error(error) if error.code.is_none() => return,
                    NetlinkPayload::Error(error) => panic!("the kernel refuses: {}", error.to_io()),
                    _ => {}
                }
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}
