//! Default routes of a pod: read, removed, and put back exactly as they were.
//!
//! A default route that is moved to another interface may have to return when the rest of an ADD fails, and it may not
//! have been made by us: everything that it says is kept, not only what we look at. A route that cannot be kept in one
//! piece (several next hops, a next-hop object) is an error before anything is touched.

use std::net::IpAddr;

use netlink_packet_core::{Emitable, NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use super::socket::{Question, attribute, number};
use crate::kernel::Error;

/// Ticks of a route's remaining life in a second (USER_HZ, 100 on every architecture that Kubernetes runs on).
const TICKS_PER_SECOND: u32 = 100;

/// A default route (unicast, table main). Make a new one with [`DefaultRoute::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// IPv6 or IPv4, whatever the gateway's family.
    pub ipv6: bool,
    /// The gateway; None for a route to the link itself. An IPv4 route may have an IPv6 gateway.
    pub gateway: Option<IpAddr>,
    /// ifindex of the device. None only in a route to be added: the kernel finds the gateway's device.
    pub device: Option<u32>,
    /// The metric; a lower one is preferred. None is 0 in IPv4, and 1024 in IPv6 when added.
    pub priority: Option<u32>,
    /// Who made it, a number of `/etc/iproute2/rt_protos` (3 = boot, what `ip route add` and CNI plugins say).
    pub protocol: u8,
    /// The gateway is reached on the link although no address there covers it.
    pub onlink: bool,
    scope: u8,
    tos: u8,
    /// Everything else that it says: metrics, preferred source, preference, …
    rest: Vec<RouteAttribute>,
}

impl DefaultRoute {
    /// A new route by `gateway` and over `device` (an ifindex), as `ip route add default` makes it: protocol boot, the
    /// kernel's usual metric.
    pub fn new(ipv6: bool, gateway: Option<IpAddr>, device: Option<u32>) -> DefaultRoute {
        let scope = if gateway.is_none() && !ipv6 { RouteScope::Link } else { RouteScope::Universe };
        DefaultRoute {
            ipv6,
            gateway,
            device,
            priority: None,
            protocol: RouteProtocol::Boot.into(),
            onlink: false,
            scope: scope.into(),
            tos: 0,
            rest: Vec::new(),
        }
    }

    fn describe(&self) -> String {
        let mut text = format!("the {} default route", family_name(self.ipv6));
        if let Some(gateway) = self.gateway {
            text.push_str(&format!(" by {gateway}"));
        }
        if let Some(device) = self.device {
            text.push_str(&format!(" over ifindex {device}"));
        }
        if let Some(priority) = self.priority {
            text.push_str(&format!(" with metric {priority}"));
        }
        text
    }

    /// Whether both are the same entry of the kernel's table, their remaining life and the like aside.
    fn is_same_entry(&self, other: &DefaultRoute) -> bool {
        let metric = |route: &DefaultRoute| route.priority.unwrap_or(0);
        self.ipv6 == other.ipv6
            && self.gateway == other.gateway
            && self.device == other.device
            && metric(self) == metric(other)
            && self.protocol == other.protocol
            && self.tos == other.tos
    }

    /// The message with what selects a route, and `rest` where given.
    fn message(&self, rest: &[RouteAttribute]) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(self.ipv6),
            tos: self.tos,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: self.protocol.into(),
            scope: self.scope.into(),
            kind: RouteType::Unicast,
            flags: if self.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
            ..RouteHeader::default()
        };
        let attributes = &mut message.attributes;
        match (self.ipv6, self.gateway) {
            (false, Some(IpAddr::V6(gateway))) => attributes.push(RouteAttribute::Via(RouteVia::Inet6(gateway))),
            (_, Some(gateway)) => attributes.push(RouteAttribute::Gateway(gateway.into())),
            (_, None) => {}
        }
        attributes.extend(self.device.map(RouteAttribute::Oif));
        attributes.extend(self.priority.map(RouteAttribute::Priority));
        attributes.extend_from_slice(rest);
        message
    }
}

/// One entry of the kernel's table.
enum Entry {
    Route(Box<DefaultRoute>),
    Unsupported { ipv6: bool, form: &'static str },
}

impl Netlink {
    /// The default routes of table main of both families, IPv4 first, in the kernel's order (a lower metric first).
    /// Routes that refuse (`unreachable default`) are none.
    ///
    /// # Errors
    /// When one of them has several next hops or a next-hop object, so that it could not be put back; when the kernel's
    /// answer fails, is not understood, or changes during each of several readings.
    pub async fn default_routes(&self) -> Result<Vec<DefaultRoute>, Error> {
        let mut routes = self.default_routes_of(false).await?;
        routes.extend(self.default_routes_of(true).await?);
        Ok(routes)
    }

    /// Those of one family.
    ///
    /// # Errors
    /// As [`Netlink::default_routes`].
    pub async fn default_routes_of(&self, ipv6: bool) -> Result<Vec<DefaultRoute>, Error> {
        let mut routes = Vec::new();
        for entry in self.default_entries(ipv6).await? {
            match entry {
                Entry::Route(route) => routes.push(*route),
                Entry::Unsupported { ipv6, form } => {
                    return Err(Error::UnsupportedRoute { family: family_name(ipv6), form });
                }
            }
        }
        Ok(routes)
    }

    /// Adds one.
    ///
    /// # Errors
    /// When the kernel refuses it: errno EEXIST when the table has one of that metric already (for IPv6: one with the
    /// same gateway too), ENETUNREACH when no address of the device covers the gateway.
    pub async fn add_default_route(&self, route: &DefaultRoute) -> Result<(), Error> {
        let object = route.describe();
        let question = Question { operation: "add", object: &object };
        let request = RouteNetlinkMessage::NewRoute(route.message(&route.rest));
        self.socket.ask(question, request, NLM_F_CREATE | NLM_F_EXCL).await.map(drop)
    }

    /// Removes exactly it; Ok when it, or its device, is gone.
    ///
    /// # Errors
    /// When the kernel refuses, or its list cannot be read.
    pub async fn delete_default_route(&self, route: &DefaultRoute) -> Result<(), Error> {
        // To the kernel, no metric means any metric. So a route without one is removed only when it is there.
        if route.priority.unwrap_or(0) == 0 {
            let entries = self.default_entries(route.ipv6).await?;
            let is_there = |entry: &Entry| matches!(entry, Entry::Route(found) if found.is_same_entry(route));
            if !entries.iter().any(is_there) {
                return Ok(());
            }
        }
        let object = route.describe();
        let question = Question { operation: "remove", object: &object };
        // Of the rest only the preferred source selects; some others the kernel would not take in a removal.
        let source: Vec<_> =
            route.rest.iter().filter(|found| matches!(found, RouteAttribute::PrefSource(_))).cloned().collect();
        match self.socket.ask(question, RouteNetlinkMessage::DelRoute(route.message(&source)), 0).await {
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn default_entries(&self, ipv6: bool) -> Result<Vec<Entry>, Error> {
        let object = format!("the {} routes", family_name(ipv6));
        let question = Question { operation: "list", object: &object };
        let mut message = RouteMessage::default();
        message.header.address_family = family(ipv6);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        let answers = match self.socket.list(question, RouteNetlinkMessage::GetRoute(message)).await {
            Ok(answers) => answers,
            // The table is made with its first route; and a kernel may have no IPv6.
            Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for answer in &answers {
            let header = RouteHeader::parse(answer).map_err(|error| question.not_understood(error))?;
            if is_default(&header, answer, ipv6) {
                let message = RouteMessage::parse(answer).map_err(|error| question.not_understood(error))?;
                entries.push(entry(message, ipv6));
            }
        }
        Ok(entries)
    }
}

/// Sorts out what is no default route, before anything that could fail to be understood.
fn is_default(header: &RouteHeader, answer: &[u8], ipv6: bool) -> bool {
    const RTA_TABLE: u16 = 15;
    let table = answer
        .get(header.buffer_len()..)
        .and_then(|attributes| attribute(attributes, RTA_TABLE))
        .and_then(number)
        .unwrap_or_else(|| header.table.into());
    header.address_family == family(ipv6)
        && table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && header.destination_prefix_length == 0
        && header.source_prefix_length == 0
        && header.kind == RouteType::Unicast
        && !header.flags.contains(RouteFlags::Cloned)
}

fn entry(message: RouteMessage, ipv6: bool) -> Entry {
    let RouteMessage { header, attributes, .. } = message;
    let mut route = DefaultRoute {
        ipv6,
        gateway: None,
        device: None,
        priority: None,
        protocol: header.protocol.into(),
        onlink: header.flags.contains(RouteFlags::Onlink),
        scope: header.scope.into(),
        tos: header.tos,
        rest: Vec::new(),
    };
    for found in attributes {
        match found {
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => route.gateway = Some(gateway.into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(gateway)) => route.gateway = Some(gateway.into()),
            RouteAttribute::Via(RouteVia::Inet6(gateway)) => route.gateway = Some(gateway.into()),
            RouteAttribute::Oif(index) => route.device = Some(index),
            RouteAttribute::Priority(priority) => route.priority = Some(priority),
            RouteAttribute::MultiPath(_) => return Entry::Unsupported { ipv6, form: "a multipath route" },
            RouteAttribute::NhId(_) => return Entry::Unsupported { ipv6, form: "one by a next-hop object" },
            // The table is in the header. What remains of its life is given back in another attribute than it is told
            // in; the rest of RTA_CACHEINFO is of the moment.
            RouteAttribute::Table(_) => {}
            RouteAttribute::CacheInfo(info) if ipv6 && (info.expires as i32) > 0 => {
                route.rest.push(RouteAttribute::Expires(info.expires.div_ceil(TICKS_PER_SECOND)));
            }
            RouteAttribute::CacheInfo(_) => {}
            other => route.rest.push(other),
        }
    }
    Entry::Route(Box::new(route))
}

fn family(ipv6: bool) -> AddressFamily {
    if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn family_name(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}
