//! Routes that an attachment brings, in any table: added, and listed for comparison.
//!
//! Apart from [`DefaultRoute`](super::DefaultRoute), which is somebody else's route that must come back unchanged: these
//! are our own and say no more than a CNI result can. So what else the kernel lists of them is passed over, and nothing
//! in it can make the list unreadable.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{Emitable, NLM_F_CREATE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteType,
    RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use super::socket::{Question, attribute, number};
use crate::kernel::Error;

/// A unicast route over one link. Make a new one with [`Route::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; a prefix of 0 is the default route. The kernel refuses an IPv4 destination with host bits.
    pub destination: IpNetwork,
    /// ifindex of the link.
    pub device: u32,
    /// The gateway; None when the destination is on the link. An IPv4 route may have an IPv6 gateway (Linux 5.2).
    pub gateway: Option<IpAddr>,
    /// The routing table; 254 is main.
    pub table: u32,
    /// A number of `/etc/iproute2/rt_scopes`: 0 universe, 253 link. IPv6 has only 0.
    pub scope: u8,
    /// The address that the node's own packets on it bear (`src`); None leaves the choice to the kernel.
    pub source: Option<IpAddr>,
    /// Who made it, a number of `/etc/iproute2/rt_protos`: [`Route::BOOT`] for ours, 2 for the kernel's own.
    pub protocol: u8,
    /// The metric; a lower one is preferred. None is 0 in IPv4, and 1024 in IPv6 when added.
    pub priority: Option<u32>,
    /// The largest packet on this route, in bytes.
    pub mtu: Option<u32>,
    /// The largest TCP segment that is announced on this route, in bytes.
    pub advmss: Option<u32>,
}

impl Route {
    /// Table main, as the kernel's table of names has it.
    pub const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

    /// Who makes routes by `ip route add` and in CNI plugins.
    pub const BOOT: u8 = 3;

    /// A route of scope universe in table main, as the reference plugins make it.
    pub fn new(destination: IpNetwork, device: u32, gateway: Option<IpAddr>) -> Route {
        Route {
            destination,
            device,
            gateway,
            table: Route::MAIN_TABLE,
            scope: 0,
            source: None,
            protocol: Route::BOOT,
            priority: None,
            mtu: None,
            advmss: None,
        }
    }

    fn describe(&self) -> String {
        let mut text = format!("the route to {}", self.destination);
        if let Some(gateway) = self.gateway {
            // Writing to a String cannot fail.
            let _ = write!(text, " by {gateway}");
        }
        let _ = write!(text, " over ifindex {}", self.device);
        if let Some(priority) = self.priority {
            let _ = write!(text, " with metric {priority}");
        }
        if self.table != Route::MAIN_TABLE {
            let _ = write!(text, " in table {}", self.table);
        }
        text
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: if self.destination.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet },
            destination_prefix_length: self.destination.prefix(),
            protocol: RouteProtocol::from(self.protocol),
            scope: self.scope.into(),
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Destination(self.destination.ip().into()));
        attributes.push(RouteAttribute::Oif(self.device));
        attributes.push(RouteAttribute::Table(self.table));
        match (self.destination, self.gateway) {
            (IpNetwork::V4(_), Some(IpAddr::V6(gateway))) => {
                attributes.push(RouteAttribute::Via(RouteVia::Inet6(gateway)));
            }
            (_, Some(gateway)) => attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway))),
            (_, None) => {}
        }
        attributes.extend(self.source.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source))));
        attributes.extend(self.priority.map(RouteAttribute::Priority));
        let metrics: Vec<_> =
            self.mtu.map(RouteMetric::Mtu).into_iter().chain(self.advmss.map(RouteMetric::Advmss)).collect();
        attributes.extend((!metrics.is_empty()).then_some(RouteAttribute::Metrics(metrics)));
        message
    }
}

impl Netlink {
    /// Adds a route (protocol boot). As with the reference plugins, one that differs from an existing route only in its
    /// gateway joins it as a further next hop in IPv6, and goes before it in IPv4.
    ///
    /// # Errors
    /// When the kernel refuses: errno EEXIST when this very route is there, ENETUNREACH when no address of the link
    /// covers the gateway, ENETDOWN when the link is down, EINVAL for an IPv4 destination with host bits.
    pub async fn add_route(&self, route: &Route) -> Result<(), Error> {
        let object = route.describe();
        let question = Question { operation: "add", object: &object };
        self.socket.ask(question, RouteNetlinkMessage::NewRoute(route.message()), NLM_F_CREATE).await.map(drop)
    }

    /// Removes a route: the first with all that `route` says of destination, link, gateway, table, scope, source, metric
    /// and protocol. Ok when there is none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn delete_route(&self, route: &Route) -> Result<(), Error> {
        let object = route.describe();
        let question = Question { operation: "remove", object: &object };
        let selected = Route { mtu: None, advmss: None, ..*route };
        match self.socket.ask(question, RouteNetlinkMessage::DelRoute(selected.message()), 0).await {
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// The unicast routes over a link, in all tables, IPv4 first. Of a route with several next hops each one over this
    /// link is listed; a route by a next-hop object too, as what the object says.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn routes_of_link(&self, index: u32) -> Result<Vec<Route>, Error> {
        self.list_routes(Some(index)).await
    }

    /// The unicast routes of the namespace as [`Self::routes_of_link`] has them, over all links.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn routes(&self) -> Result<Vec<Route>, Error> {
        self.list_routes(None).await
    }

    async fn list_routes(&self, over: Option<u32>) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let object = over.map_or("the routes".to_owned(), |index| format!("the routes over ifindex {index}"));
            let question = Question { operation: "list", object: &object };
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.attributes.extend(over.map(RouteAttribute::Oif));
            let answers = match self.socket.list(question, RouteNetlinkMessage::GetRoute(message)).await {
                Ok(answers) => answers,
                // The link is gone; the first table is made with its first route; a kernel may have no IPv6.
                Err(error)
                    if matches!(
                        error.errno(),
                        Some(libc::ENODEV | libc::ENOENT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT)
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            for answer in &answers {
                let header = RouteHeader::parse(answer).map_err(|error| question.not_understood(error))?;
                let is_wanted = header.address_family == family
                    && header.kind == RouteType::Unicast
                    && !header.flags.contains(RouteFlags::Cloned);
                if is_wanted {
                    let found = parse(&header, answer, over).ok_or_else(|| question.not_understood("a route"))?;
                    routes.extend(found);
                }
            }
        }
        Ok(routes)
    }
}

/// The next hops of one route that go over the link, or all.
fn parse(header: &RouteHeader, answer: &[u8], over: Option<u32>) -> Option<Vec<Route>> {
    const RTAX_MTU: u16 = 2;
    const RTAX_ADVMSS: u16 = 8;
    let ipv6 = header.address_family == AddressFamily::Inet6;
    let attributes = answer.get(header.buffer_len()..)?;
    let number_in = |kind| attribute(attributes, kind).and_then(number);
    let metrics = attribute(attributes, libc::RTA_METRICS).unwrap_or_default();
    let destination = match attribute(attributes, libc::RTA_DST) {
        Some(value) => address(value)?,
        None if ipv6 => IpAddr::from([0_u8; 16]),
        None => IpAddr::from([0_u8; 4]),
    };
    let whole = Route {
        destination: IpNetwork::new(destination, header.destination_prefix_length).ok()?,
        device: 0,
        gateway: None,
        table: number_in(libc::RTA_TABLE).unwrap_or_else(|| header.table.into()),
        scope: header.scope.into(),
        source: match attribute(attributes, libc::RTA_PREFSRC) {
            Some(value) => Some(address(value)?),
            None => None,
        },
        protocol: header.protocol.into(),
        priority: number_in(libc::RTA_PRIORITY),
        mtu: attribute(metrics, RTAX_MTU).and_then(number),
        advmss: attribute(metrics, RTAX_ADVMSS).and_then(number),
    };
    let hops = match attribute(attributes, libc::RTA_MULTIPATH) {
        Some(hops) => next_hops(hops)?,
        // Without a link it leads nowhere: a next-hop object that drops.
        None => match number_in(libc::RTA_OIF) {
            Some(device) => vec![(device, gateway(attributes)?)],
            None => Vec::new(),
        },
    };
    let over_link = hops.into_iter().filter(|(device, _)| over.is_none_or(|index| *device == index));
    Some(over_link.map(|(device, gateway)| Route { device, gateway, ..whole }).collect())
}

/// ifindex and gateway of each next hop (`struct rtnexthop`: length, flags, weight, ifindex; attributes then).
fn next_hops(mut bytes: &[u8]) -> Option<Vec<(u32, Option<IpAddr>)>> {
    const HEADER: usize = 8;
    let mut hops = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let device = number(bytes.get(4..HEADER)?)?;
        hops.push((device, gateway(bytes.get(HEADER..length)?)?));
        // The next one begins at a multiple of four, which the last one need not fill.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(hops)
}

/// The gateway among a route's or a next hop's attributes, where it has one.
fn gateway(attributes: &[u8]) -> Option<Option<IpAddr>> {
    /// RTA_VIA of `linux/rtnetlink.h`: a family of 16 bits, and the address.
    const RTA_VIA: u16 = 18;
    match (attribute(attributes, libc::RTA_GATEWAY), attribute(attributes, RTA_VIA)) {
        (Some(value), _) => address(value).map(Some),
        (None, Some(via)) => address(via.get(2..)?).map(Some),
        (None, None) => Some(None),
    }
}

fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
