//! One node's entry: its range sets, and the node's own addresses.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{MAX_HOST_ADDRESSES, MAX_RANGES};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object, json};

/// How an entry is written, for error messages.
const FORM: &str = "write the range sets as host-local takes them, [[{\"subnet\": \"192.168.10.0/24\"}]], or \
                    {\"ranges\": [[…]], \"host\": \"192.168.10.2/24\"}";

/// The entry of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// The node's name: an RFC 1123 subdomain.
    pub node: String,
    /// The range sets: a pod gets one address of each. At least one set, each with at least one range, all of a family.
    pub sets: Vec<Vec<Range>>,
    /// The node's own addresses on the network, with their prefix lengths; pods never get them.
    pub hosts: Vec<IpNetwork>,
}

/// Consecutive addresses of one subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The subnet, without host bits.
    pub subnet: IpNetwork,
    /// The first address.
    pub start: IpAddr,
    /// The last address.
    pub end: IpAddr,
    /// The gateway as written; see [`Range::gateway`].
    pub gateway: Option<IpAddr>,
}

impl NodeEntry {
    /// Parses the entry of `node`.
    ///
    /// # Errors
    /// Code 7, naming range set, range, key and value.
    pub(super) fn parse(node: &str, value: &RawValue) -> Result<Self, Error> {
        let wrong = || Error::config(format!("its entry is {}: {FORM}", shortened(value.get())));
        let (sets, hosts) = if value.get().starts_with('{') {
            let object: Object = serde_json::from_str(value.get()).map_err(|_| wrong())?;
            known_keys(&object, &["ranges", "host"])?;
            let sets = object.get("ranges").ok_or_else(|| Error::config(format!("key ranges is missing: {FORM}")))?;
            (range_sets(sets)?, hosts(&object)?)
        } else if value.get().starts_with('[') {
            (range_sets(value)?, Vec::new())
        } else {
            return Err(wrong());
        };
        let entry = NodeEntry { node: node.to_owned(), sets, hosts };
        for host in &entry.hosts {
            let Some(range) = entry.ranges().find(|range| range.subnet.contains(host.ip())) else {
                return Err(Error::config(format!(
                    "key host has {host}, which is in no subnet of the entry's own ranges: pods would not reach it"
                )));
            };
            if !is_usable(range.subnet, host.ip()) {
                return Err(Error::config(format!(
                    "key host has {host}, which names the subnet {} itself or all of its hosts: give the node an \
                     address in it",
                    range.subnet
                )));
            }
        }
        Ok(entry)
    }

    /// Every range, of all sets.
    pub fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.sets.iter().flatten()
    }

    /// Whether a pod could be given this address.
    pub fn gives(&self, address: IpAddr) -> bool {
        self.ranges().any(|range| range.gives(address))
    }
}

impl Range {
    fn parse(value: &RawValue) -> Result<Self, Error> {
        let object: Object = serde_json::from_str(value.get()).map_err(|_| {
            Error::config(format!(
                "it is {} and not an object such as {{\"subnet\": \"192.168.10.0/24\", \"rangeStart\": \
                 \"192.168.10.10\", \"rangeEnd\": \"192.168.10.99\"}}",
                shortened(value.get())
            ))
        })?;
        known_keys(&object, &["subnet", "rangeStart", "rangeEnd", "gateway"])?;
        let subnet = subnet(&object)?;
        let start = address(&object, "rangeStart", subnet)?.unwrap_or_else(|| first(subnet));
        let end = address(&object, "rangeEnd", subnet)?.unwrap_or_else(|| last(subnet));
        let gateway = address(&object, "gateway", subnet)?;
        if start > end {
            return Err(Error::config(format!("rangeStart {start} comes after rangeEnd {end}: exchange them")));
        }
        Ok(Range { subnet, start, end, gateway })
    }

    /// The gateway that host-local reports with an address of this range: the subnet's first address unless one is
    /// given. No pod of this range is given it.
    pub fn gateway(&self) -> IpAddr {
        self.gateway.unwrap_or_else(|| first(self.subnet))
    }

    /// Whether a pod could be given this address.
    pub fn gives(&self, address: IpAddr) -> bool {
        (self.start..=self.end).contains(&address) && address != self.gateway()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// As host-local reads it.
impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("subnet", &self.subnet.to_string())?;
        map.serialize_entry("rangeStart", &self.start)?;
        map.serialize_entry("rangeEnd", &self.end)?;
        if let Some(gateway) = &self.gateway {
            map.serialize_entry("gateway", gateway)?;
        }
        map.end()
    }
}

/// Refuses a key that means nothing: it is a misspelt one, and its range would be larger than meant.
fn known_keys(object: &Object, known: &[&str]) -> Result<(), Error> {
    for (key, _) in object.iter() {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            return Err(Error::config(format!(
                "it has the key {}, which means nothing here: use {}",
                quoted(key),
                known.join(", ")
            )));
        }
    }
    Ok(())
}

fn range_sets(value: &RawValue) -> Result<Vec<Vec<Range>>, Error> {
    let list = |value: &RawValue, what: &str| {
        json::elements(value, MAX_RANGES).ok().filter(|elements| !elements.is_empty()).ok_or_else(|| {
            Error::config(format!(
                "{what} {} and not a list of 1 to {MAX_RANGES} elements: {FORM}",
                shortened(value.get())
            ))
        })
    };
    let mut sets: Vec<Vec<Range>> = Vec::new();
    let mut count = 0_usize;
    for (number, set) in (1_usize..).zip(list(value, "its range sets are")?) {
        let mut ranges: Vec<Range> = Vec::new();
        for (position, range) in (1_usize..).zip(list(&set, &format!("its range set {number} is"))?) {
            let place = format!("range {position} of set {number}");
            let range = Range::parse(&range).map_err(|error| error.within(&place))?;
            if ranges.first().is_some_and(|other| other.subnet.is_ipv4() != range.subnet.is_ipv4()) {
                return Err(Error::config(format!(
                    "{place}: {} is of another family than the set's first range: give each family a set of its own, \
                     [[…], […]]",
                    range.subnet
                )));
            }
            ranges.push(range);
        }
        count = count.saturating_add(ranges.len());
        sets.push(ranges);
    }
    if count > MAX_RANGES {
        return Err(Error::config(format!("it has {count} ranges: {MAX_RANGES} are the most of a node")));
    }
    Ok(sets)
}

/// Key `host`: one address, or a list of them.
fn hosts(object: &Object) -> Result<Vec<IpNetwork>, Error> {
    let Some(value) = object.get("host") else { return Ok(Vec::new()) };
    let elements = if value.get().starts_with('[') {
        json::elements(value, MAX_HOST_ADDRESSES)
            .map_err(|_| Error::config(format!("key host has more than {MAX_HOST_ADDRESSES} addresses")))?
    } else {
        vec![value.to_owned()]
    };
    elements
        .iter()
        .map(|element| {
            serde_json::from_str::<String>(element.get()).ok().and_then(|text| network(&text)).ok_or_else(|| {
                Error::config(format!(
                    "key host has {}: write the node's address with its prefix length, such as \"192.168.10.2/24\", or a \
                     list of such addresses",
                    shortened(element.get())
                ))
            })
        })
        .collect()
}

fn subnet(object: &Object) -> Result<IpNetwork, Error> {
    let text = object.text("subnet")?;
    let Some(subnet) = network(&text) else {
        return Err(Error::config(format!(
            "key subnet has {}: write a network, such as \"192.168.10.0/24\" or \"fd00:10::/64\"",
            quoted(&text)
        )));
    };
    if subnet.ip() != subnet.network() {
        return Err(Error::config(format!(
            "key subnet has {subnet}, which has host bits: the network is {}/{}",
            subnet.network(),
            subnet.prefix()
        )));
    }
    let most = if subnet.is_ipv4() { 30 } else { 126 };
    if subnet.prefix() > most {
        return Err(Error::config(format!(
            "key subnet has {subnet}, which is too small: its prefix length may be {most} at most"
        )));
    }
    Ok(subnet)
}

/// The address under `key`, which must be one that a host of the subnet can have.
fn address(object: &Object, key: &str, subnet: IpNetwork) -> Result<Option<IpAddr>, Error> {
    let text = object.text(key)?;
    if text.is_empty() {
        return Ok(None);
    }
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(Error::config(format!("key {key} has {}, which is not an IP address", quoted(&text))));
    };
    if !subnet.contains(address) || !is_usable(subnet, address) {
        return Err(Error::config(format!("key {key} has {address}, which is not a host's address in {subnet}")));
    }
    Ok(Some(address))
}

/// An address with its prefix length, which ipnetwork's own parser does not ask for. IPv4 in the clothes of IPv6 is
/// refused: host-local would take it for the other family.
fn network(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || address != address.to_canonical() {
        return None;
    }
    IpNetwork::new(address, prefix.parse().ok()?).ok()
}

/// Whether a host can have this address of the subnet: not the subnet's own, and not IPv4's broadcast.
fn is_usable(subnet: IpNetwork, address: IpAddr) -> bool {
    address != subnet.network() && !(subnet.is_ipv4() && address == subnet.broadcast())
}

/// The first address of a subnet that a host can have.
fn first(subnet: IpNetwork) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(address) => IpAddr::V4(u32::from(address).saturating_add(1).into()),
        IpAddr::V6(address) => IpAddr::V6(u128::from(address).saturating_add(1).into()),
    }
}

/// The last one.
fn last(subnet: IpNetwork) -> IpAddr {
    match subnet.broadcast() {
        IpAddr::V4(address) => IpAddr::V4(u32::from(address).saturating_sub(1).into()),
        IpAddr::V6(address) => IpAddr::V6(address),
    }
}
