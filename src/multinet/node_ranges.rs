//! Address ranges for each node (`rooknet.io/node-ranges`): what keeps two nodes from handing out the same address.
//!
//! One definition serves all nodes, and host-local knows only its own. So the annotation of the definition has an entry
//! for each node, and every node checks **all** of them against each other before it hands out anything: a mistake in
//! the entry of one node is an address given twice on another, which nobody sees until two daemons answer for it. That
//! is also why nothing here is passed over: a misspelt key in a range would mean the whole subnet.
//!
//! An entry is the list of range sets that host-local takes as `ranges`, or an object that has it under `ranges` beside
//! `host`, the node's own address on that network, which pods never get:
//!
//! ```json
//! {
//!   "node-a": [[{"subnet": "192.168.10.0/24", "rangeStart": "192.168.10.10", "rangeEnd": "192.168.10.99"}]],
//!   "node-b": {
//!     "ranges": [[{"subnet": "192.168.10.0/24", "rangeStart": "192.168.10.110", "rangeEnd": "192.168.10.199"}]],
//!     "host": "192.168.10.3/24"
//!   }
//! }
//! ```
//!
//! Defaults and bounds of a range are host-local's (`plugins/ipam/host-local/backend/allocator/range.go` of
//! containernetworking/plugins): without `rangeStart` the first address of the subnet, without `rangeEnd` the last one
//! (IPv4: before the broadcast address), without `gateway` the first, which host-local hands to no pod **of that range**.

mod entry;

use std::net::IpAddr;

use serde_json::value::RawValue;

pub use entry::{NodeEntry, Range};

use super::object_names::{SUBDOMAIN_RULE, is_subdomain};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object};

/// Key of the annotation.
pub const ANNOTATION: &str = "rooknet.io/node-ranges";
/// Bytes of the annotation, at most (Kubernetes bounds all annotations of an object to 256 KiB).
pub const MAX_BYTES: usize = 262_144;
/// Nodes of the annotation, at most.
pub const MAX_NODES: usize = 4096;
/// Ranges of a node, at most, in all its sets together.
pub const MAX_RANGES: usize = 64;
/// Addresses of the node itself, at most.
pub const MAX_HOST_ADDRESSES: usize = 16;

/// Nodes that the error of a missing entry names.
const NAMED_NODES: usize = 8;

/// The entries of all nodes, checked against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRanges {
    entries: Vec<NodeEntry>,
}

/// What one node may hand out, and what the others may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeShare {
    own: NodeEntry,
    others: Vec<NodeEntry>,
}

impl NodeRanges {
    /// Parses the annotation and checks every entry, and all of them against each other: no range overlaps another one,
    /// of whichever node, and no gateway and no node's own address lies where pods could be given it.
    ///
    /// # Errors
    /// Code 7, naming the annotation, the nodes, and the ranges or addresses.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|error| error.within(&format!("annotation {ANNOTATION}")))
    }

    fn read(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_BYTES {
            return Err(Error::config(format!("it has {} bytes: at most {MAX_BYTES} are allowed", text.len())));
        }
        let Ok(object) = serde_json::from_str::<Object>(text) else {
            let found = if text.trim().is_empty() { "empty".to_owned() } else { shortened(text) };
            return Err(Error::config(format!(
                "it is {found} and not a JSON object of at most {MAX_NODES} nodes, such as \
                 {{\"node-a\": [[{{\"subnet\": \"192.168.10.0/24\"}}]]}}",
            )));
        };
        let mut entries: Vec<NodeEntry> = Vec::new();
        for (node, value) in object.iter() {
            if !is_subdomain(node) {
                return Err(Error::config(format!("{} is not the name of a node: use {SUBDOMAIN_RULE}", quoted(node))));
            }
            entries.push(NodeEntry::parse(node, value).map_err(|error| error.within(&format!("node {node}")))?);
        }
        entries.sort_by(|a, b| a.node.cmp(&b.node));
        for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
            if entry.node == next.node {
                return Err(Error::config(format!("node {} has two entries: keep one of them", entry.node)));
            }
        }
        check_together(&entries)?;
        Ok(NodeRanges { entries })
    }

    /// What is `node`'s.
    ///
    /// # Errors
    /// Code 7 when it has no entry, naming those that have one.
    pub fn share_of(self, node: &str) -> Result<NodeShare, Error> {
        let names: Vec<String> = self.entries.iter().map(|entry| entry.node.clone()).collect();
        let (mut own, others): (Vec<NodeEntry>, Vec<NodeEntry>) =
            self.entries.into_iter().partition(|entry| entry.node == node);
        let Some(own) = own.pop() else {
            let mut known = names.iter().take(NAMED_NODES).cloned().collect::<Vec<_>>().join(", ");
            if known.is_empty() {
                "none".clone_into(&mut known);
            }
            let more = names.len().saturating_sub(NAMED_NODES);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            return Err(Error::config(format!(
                "annotation {ANNOTATION} has no entry for this node, {}, but for {known}{more}: add one with a range of \
                 its own, or correct the key \"nodeName\" of this node's configuration",
                quoted(node)
            )));
        };
        Ok(NodeShare { own, others })
    }
}

impl NodeShare {
    /// The node's own entry.
    pub fn own(&self) -> &NodeEntry {
        &self.own
    }

    /// The ranges of all nodes, this one's first: every address that a pod of the network may have.
    pub fn ranges_of_all(&self) -> impl Iterator<Item = &Range> {
        std::iter::once(&self.own).chain(&self.others).flat_map(NodeEntry::ranges)
    }

    /// The node's ranges in the form of host-local's `runtimeConfig.ipRanges`, with every start and end written out.
    ///
    /// # Errors
    /// None in practice: texts have a JSON form.
    pub fn ip_ranges(&self) -> Result<Box<RawValue>, Error> {
        let mut object = Object::new();
        object.set_value("ipRanges", &self.own.sets)?;
        Ok(object.get("ipRanges").unwrap_or(RawValue::NULL).to_owned())
    }

    /// Checks an address that a pod asks for, with or without its prefix length: one that is not this node's to give
    /// must be refused, whatever the plugin would say of it.
    ///
    /// # Errors
    /// Code 7, naming this node's ranges, and the node to which the address belongs when there is one.
    pub fn check_request(&self, asked: &str) -> Result<(), Error> {
        let plain = asked.split_once('/').map_or(asked, |(address, _)| address);
        let Ok(address) = plain.parse::<IpAddr>().map(|address| address.to_canonical()) else {
            return Err(Error::config(format!("the pod asks for {}, which is not an IP address", quoted(asked))));
        };
        if self.own.gives(address) {
            return Ok(());
        }
        let node = &self.own.node;
        let whose = match self.others.iter().find(|entry| entry.gives(address)) {
            Some(other) => format!(", but among those of node {}: have the pod run there", other.node),
            None => ": ask for one of these".to_owned(),
        };
        let ranges = self.own.ranges().map(Range::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::config(format!(
            "the pod asks for the address {address}, which is not among those that annotation {ANNOTATION} lets this \
             node, {node}, hand out ({}){whose}",
            shortened(&ranges)
        )))
    }
}

/// A range and whose it is.
#[derive(Clone, Copy)]
struct Owned<'a> {
    node: &'a str,
    range: &'a Range,
}

/// Checks ranges, gateways and the nodes' own addresses of all entries against each other. Each comparison is with a
/// neighbour in the order of addresses, so that thousands of nodes cost no more than sorting them.
fn check_together(entries: &[NodeEntry]) -> Result<(), Error> {
    let mut ranges: Vec<Owned<'_>> =
        entries.iter().flat_map(|entry| entry.ranges().map(|range| Owned { node: &entry.node, range })).collect();
    // IPv4 comes before IPv6, and each range ends where it began: in one family.
    ranges.sort_by_key(|owned| owned.range.start);
    for (lower, upper) in ranges.iter().zip(ranges.iter().skip(1)) {
        if upper.range.start <= lower.range.end {
            let (a, b) = if upper.node < lower.node { (upper, lower) } else { (lower, upper) };
            return Err(Error::config(format!(
                "the ranges {} of node {} and {} of node {} overlap, and the same address would be handed out twice: \
                 part them",
                a.range, a.node, b.range, b.node
            )));
        }
    }
    for entry in entries {
        for range in entry.ranges() {
            let gateway = range.gateway();
            let Some(taken) = giver(&ranges, gateway) else { continue };
            let why = match range.gateway {
                Some(_) => String::new(),
                None => format!(" (the first address of {}, since {range} names none)", range.subnet),
            };
            return Err(Error::config(format!(
                "the gateway {gateway} of node {}{why} lies in the range {} of node {}, whose pods could be given it: \
                 shorten that range, or name the gateway there too",
                entry.node, taken.range, taken.node
            )));
        }
        for host in entry.hosts.iter().map(ipnetwork::IpNetwork::ip) {
            if let Some(taken) = giver(&ranges, host) {
                return Err(Error::config(format!(
                    "the host address {host} of node {} lies in the range {} of node {}, whose pods could be given it: \
                     shorten that range, or choose another address",
                    entry.node, taken.range, taken.node
                )));
            }
        }
    }
    let mut hosts: Vec<(IpAddr, &str)> =
        entries.iter().flat_map(|entry| entry.hosts.iter().map(|host| (host.ip(), entry.node.as_str()))).collect();
    hosts.sort_unstable();
    for ((address, node), (next, other)) in hosts.iter().zip(hosts.iter().skip(1)) {
        if address == next {
            return Err(Error::config(format!(
                "the host address {address} is that of node {node} and of node {other}: each needs its own"
            )));
        }
    }
    Ok(())
}

/// The range of which a pod could be given `address`; `ranges` are in the order of their starts and do not overlap.
fn giver<'a>(ranges: &[Owned<'a>], address: IpAddr) -> Option<Owned<'a>> {
    let before = ranges.partition_point(|owned| owned.range.start <= address);
    let owned = ranges.get(before.checked_sub(1)?)?;
    owned.range.gives(address).then_some(*owned)
}

#[cfg(test)]
mod tests;
