//! Ranges of addresses, and the order in which they are tried (`backend/allocator` of the reference).

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::cni::text::quoted;
use crate::cni::{Error, Object};
use crate::plugins::ipam::read;

/// Keys of a range.
pub(super) const RANGE_KEYS: [&str; 4] = ["subnet", "rangeStart", "rangeEnd", "gateway"];

/// A range as written: every key is a valid address, nothing more is known.
pub(super) struct Written {
    pub(super) subnet: Option<IpNetwork>,
    start: Option<IpAddr>,
    end: Option<IpAddr>,
    gateway: Option<IpAddr>,
}

impl Written {
    /// # Errors
    /// Naming the key whose value is not an address.
    pub(super) fn read(object: &Object) -> Result<Self, Error> {
        let subnet = read::network(object, "subnet")?;
        let text = object.text("subnet")?;
        if subnet.is_some_and(|subnet| subnet.is_ipv4()) && text.contains(':') {
            return Err(Error::config(format!(
                "key \"subnet\" is {}, an IPv4-mapped network: write it as an IPv4 network",
                quoted(&text)
            )));
        }
        Ok(Written {
            subnet,
            start: read::ip(object, "rangeStart")?,
            end: read::ip(object, "rangeEnd")?,
            gateway: read::ip(object, "gateway")?,
        })
    }
}

/// Consecutive addresses of one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    subnet: IpNetwork,
    start: IpAddr,
    end: IpAddr,
    gateway: IpAddr,
}

impl Range {
    /// Completes a range: the gateway is by default the subnet's first address, the start too (the gateway is passed
    /// over), and the end the last one, in IPv4 the one before the broadcast address. An end or start that is written
    /// may be any address of the subnet, as in the reference.
    ///
    /// # Errors
    /// Naming the key that is missing or does not fit the subnet.
    pub(super) fn complete(written: &Written) -> Result<Self, Error> {
        let subnet = written
            .subnet
            .ok_or_else(|| Error::config("key \"subnet\" is missing: a range needs the network that it is part of"))?;
        let longest = if subnet.is_ipv4() { 30 } else { 126 };
        if subnet.prefix() > longest {
            return Err(Error::config(format!(
                "key \"subnet\" is {subnet}, which is too small to allocate from: /{longest} is the longest prefix"
            )));
        }
        if subnet.ip() != subnet.network() {
            return Err(Error::config(format!(
                "key \"subnet\" is {subnet}, which has host bits set: the network is {}/{}",
                subnet.network(),
                subnet.prefix()
            )));
        }
        let first = successor(subnet.ip());
        let gateway = written.gateway.unwrap_or(first);
        if gateway.is_ipv4() != subnet.is_ipv4() {
            return Err(Error::config(format!(
                "key \"gateway\" is {gateway}, which is not of the family of the subnet {subnet}"
            )));
        }
        let range = Range { subnet, start: written.start.unwrap_or(first), end: last(subnet), gateway };
        let range = Range { end: written.end.unwrap_or(range.end), ..range };
        for (key, ip) in [("rangeStart", range.start), ("rangeEnd", range.end)] {
            if !subnet.contains(ip) {
                return Err(Error::config(format!("key \"{key}\" is {ip}, which is not in the subnet {subnet}")));
            }
        }
        if range.start > range.end {
            return Err(Error::config(format!(
                "key \"rangeStart\" is {}, which is after \"rangeEnd\", {}",
                range.start, range.end
            )));
        }
        Ok(range)
    }

    /// Whether an address is between start and end.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.start.is_ipv4() && self.start <= ip && ip <= self.end
    }

    /// The gateway, which is never handed out.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// `ip` with the subnet's prefix length.
    pub fn with_prefix(&self, ip: IpAddr) -> Option<IpNetwork> {
        IpNetwork::new(ip, self.subnet.prefix()).ok()
    }

    /// How many addresses there are to hand out.
    pub fn capacity(&self) -> u128 {
        let all = number(self.end).saturating_sub(number(self.start)).saturating_add(1);
        all.saturating_sub(u128::from(self.contains(self.gateway)))
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.start.is_ipv4() == other.start.is_ipv4() && self.start <= other.end && other.start <= self.end
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// How much of a range set is taken. A range of IPv6 can have more than can be counted: then `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many addresses there are to hand out.
    pub capacity: u64,
    /// How many of them are taken.
    pub used: u64,
    /// How many are left.
    pub free: u64,
}

/// Ranges of one family, of which an attachment gets one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl RangeSet {
    /// # Errors
    /// When there is no range, two overlap, or the families differ.
    pub(super) fn new(ranges: Vec<Range>) -> Result<Self, Error> {
        let Some(first) = ranges.first() else {
            return Err(Error::config("it has no range: a range set needs at least one"));
        };
        if let Some(other) = ranges.iter().find(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(Error::config(format!(
                "the ranges {first} and {other} are of different families: use a range set for each family"
            )));
        }
        // In order of their starts, ranges that overlap at all overlap with a neighbour.
        let mut sorted: Vec<&Range> = ranges.iter().collect();
        sorted.sort_by_key(|range| range.start);
        for pair in sorted.windows(2) {
            if let [a, b] = pair
                && a.overlaps(b)
            {
                return Err(Error::config(format!("the ranges {a} and {b} overlap")));
            }
        }
        Ok(RangeSet(ranges))
    }

    /// Its ranges, in order.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// Whether its addresses are IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.0.first().is_some_and(|range| range.start.is_ipv4())
    }

    /// The range that has an address.
    pub fn range_of(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(ip))
    }

    /// Whether the two have addresses in common, and in which ranges.
    pub(super) fn overlap(&self, other: &RangeSet) -> Option<(Range, Range)> {
        self.0.iter().find_map(|a| other.0.iter().find(|b| a.overlaps(b)).map(|b| (*a, *b)))
    }

    /// How many addresses there are to hand out.
    pub fn capacity(&self) -> u128 {
        self.0.iter().map(Range::capacity).fold(0, u128::saturating_add)
    }

    /// How many of the `taken` addresses are of this set, and how many are left. A gateway is none to hand out, whoever
    /// has taken it.
    pub fn usage(&self, taken: &[IpAddr]) -> Usage {
        let counts = |ip: &&IpAddr| self.range_of(**ip).is_some_and(|range| range.gateway() != **ip);
        let used = u64::try_from(taken.iter().filter(counts).count()).unwrap_or(u64::MAX);
        let capacity = u64::try_from(self.capacity()).unwrap_or(u64::MAX);
        Usage { capacity, used, free: capacity.saturating_sub(used) }
    }

    /// Every address of the set once, with its range, in the order in which they are tried: from the one after `last`
    /// on, over the end of each range to the start of the next; from the first range's start when `last` is not of
    /// this set. Gateways are left out.
    pub fn candidates(&self, last: Option<IpAddr>) -> Candidates<'_> {
        let first = self.0.first().map(|range| (0, range.start));
        let after = last.and_then(|last| {
            let index = self.0.iter().position(|range| range.contains(last))?;
            self.after((index, last))
        });
        Candidates { set: self, start: None, next: after.or(first) }
    }

    fn after(&self, (index, ip): (usize, IpAddr)) -> Option<(usize, IpAddr)> {
        if self.0.get(index)?.end != ip {
            return Some((index, successor(ip)));
        }
        let index = index.saturating_add(1).checked_rem(self.0.len())?;
        Some((index, self.0.get(index)?.start))
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{range}")?;
        }
        Ok(())
    }
}

/// See [`RangeSet::candidates`].
#[derive(Debug)]
pub struct Candidates<'a> {
    set: &'a RangeSet,
    /// Where the round began, once it did.
    start: Option<(usize, IpAddr)>,
    next: Option<(usize, IpAddr)>,
}

impl<'a> Iterator for Candidates<'a> {
    type Item = (IpAddr, &'a Range);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let position = self.next?;
            if self.start == Some(position) {
                self.next = None;
                return None;
            }
            self.start = self.start.or(Some(position));
            self.next = self.set.after(position);
            let (index, ip) = position;
            let range = self.set.0.get(index)?;
            if ip != range.gateway {
                return Some((ip, range));
            }
        }
    }
}

/// The next address; the last one's is itself, which no range asks for: its end stops the search.
fn successor(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map_or(ip, Into::into).into(),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map_or(ip, Into::into).into(),
    }
}

/// The last address of a subnet that is handed out by default.
fn last(subnet: IpNetwork) -> IpAddr {
    match subnet {
        IpNetwork::V4(subnet) => IpAddr::V4(u32::from(subnet.broadcast()).saturating_sub(1).into()),
        IpNetwork::V6(subnet) => subnet.broadcast().into(),
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
