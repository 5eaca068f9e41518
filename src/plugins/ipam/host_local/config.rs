//! host-local's configuration (`backend/allocator/config.go` of the reference).
//!
//! Where it is stricter than the reference, it refuses what could only go wrong later: a gateway of the other family,
//! and a `rangeStart` behind the default end, from which the reference hands out addresses outside of the subnet.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::value::RawValue;

use super::TYPE;
use super::range::{RANGE_KEYS, Range, RangeSet, Written};
use crate::cni::args::Args;
use crate::cni::network::Network;
use crate::cni::result::MAX_ELEMENTS;
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object};
use crate::plugins::ipam::IpamRoute;
use crate::plugins::ipam::read::{self, Common};
use crate::state::host_local::Store;

/// Keys of `ipam`, beside those of a range.
const KEYS: [&str; 6] = ["type", "name", "routes", "dataDir", "resolvConf", "ranges"];

/// A configuration whose every key was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(super) store: Store,
    pub(super) range_sets: Vec<RangeSet>,
    pub(super) requested: Vec<Requested>,
    pub(super) resolv_conf: Option<PathBuf>,
    pub(super) routes: Vec<IpamRoute>,
    unknown: Vec<String>,
}

/// An address that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requested {
    pub(super) ip: IpAddr,
    /// Where it is asked for, for messages.
    pub(super) place: String,
}

impl Config {
    /// Those of a network's plugins that have host-local as their IPAM. `args` is CNI_ARGS.
    ///
    /// # Errors
    /// As [`Config::parse`], and what [`crate::cni::network::Plugin::stdin`] refuses.
    pub fn all_of(network: &Network, args: &str, runtime_config: &Object) -> Result<Vec<Self>, Error> {
        let with_store = network.plugins.iter().filter(|plugin| plugin.ipam_type.as_deref() == Some(TYPE));
        with_store
            .map(|plugin| {
                let input = plugin.stdin(&network.name, network.version, None, runtime_config)?;
                Self::parse(&input, &Args::parse(args)?)
            })
            .collect()
    }

    /// Reads a main plugin's configuration as it is on stdin ([`crate::cni::network::Plugin::stdin`]): keys `name`,
    /// `cniVersion`, `ipam`, `args.cni.ips`, and of `runtimeConfig` `ipRanges`, which come first, and `ips`; and IP of
    /// CNI_ARGS.
    ///
    /// # Errors
    /// Code 7, naming the key and what would be right; code 4 for CNI_ARGS; code 1 for the version.
    pub fn parse(config: &Object, args: &Args) -> Result<Self, Error> {
        let Common { network, version, ipam } = read::common(config)?;
        read::check_args(args, &["IP"])?;
        let requested = requested(config, args)?;

        let mut unknown = Vec::new();
        let mut range_sets = Vec::new();
        let runtime = config.object("runtimeConfig")?.unwrap_or_default();
        read_sets(&runtime, "runtimeConfig.ipRanges", &mut range_sets, &mut unknown)?;
        let old = Written::read(&ipam).map_err(|error| error.within("ipam"))?;
        if old.subnet.is_some() {
            // The form with one range, before there were lists: the first of the configuration's sets.
            let set = Range::complete(&old).and_then(|range| RangeSet::new(vec![range]));
            range_sets.push(("ipam".to_owned(), set.map_err(|error| error.within("ipam"))?));
        }
        read_sets(&ipam, "ipam.ranges", &mut range_sets, &mut unknown)?;
        // STATUS and DEL come without the runtime's ranges.
        let may_come_later = config.object("capabilities")?.unwrap_or_default().flag("ipRanges")?;
        if range_sets.is_empty() && !may_come_later {
            return Err(no_ranges());
        }
        check_sets(&range_sets)?;
        read::one_of_each_family(version, range_sets.iter().map(|(_, set)| set.is_ipv4()))?;

        let routes = read::routes(&ipam, &mut unknown).map_err(|error| error.within("ipam"))?;
        let path = |key| ipam.text(key).map_err(|error| error.within("ipam"));
        let (data_dir, resolv_conf) = (path("dataDir")?, path("resolvConf")?);
        let known: Vec<&str> = KEYS.into_iter().chain(RANGE_KEYS).collect();
        unknown.extend(ipam.unknown_keys(&known).map(|key| format!("ipam.{key}")));
        let data_dir = (!data_dir.is_empty()).then(|| PathBuf::from(data_dir));
        Ok(Config {
            store: Store::new(data_dir.as_deref(), &network),
            range_sets: range_sets.into_iter().map(|(_, set)| set).collect(),
            requested,
            resolv_conf: (!resolv_conf.is_empty()).then(|| resolv_conf.into()),
            routes,
            unknown,
        })
    }

    /// Keys that the plugin does not know and therefore passes over, by their place (`ipam.ranges[0][0].foo`).
    pub fn unknown_keys(&self) -> &[String] {
        &self.unknown
    }

    /// The network's store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Sets of ranges, of each of which an attachment gets an address; none where the runtime is to say them and has not.
    pub fn range_sets(&self) -> &[RangeSet] {
        &self.range_sets
    }
}

/// The addresses that are asked for by IP of CNI_ARGS, `args.cni.ips` and `runtimeConfig.ips`, each once. A prefix
/// length is allowed and has no meaning.
fn requested(config: &Object, args: &Args) -> Result<Vec<Requested>, Error> {
    let mut requested: Vec<Requested> = Vec::new();
    let mut add = |place: &str, ip: IpAddr| {
        if requested.iter().all(|known| known.ip != ip) {
            requested.push(Requested { ip, place: place.to_owned() });
        }
    };
    if let Some(ip) = args.get("IP") {
        let wrong = || Error::environment(format!("CNI_ARGS has IP={}, which is not an IP address", shortened(ip)));
        add("IP of CNI_ARGS", parse_requested(ip).ok_or_else(wrong)?);
    }
    for path in [["args", "cni", "ips"].as_slice(), &["runtimeConfig", "ips"]] {
        for (place, text) in read::texts_at(config, path)? {
            let wrong = || Error::config(format!("{place} is {}: it must be an IP address", quoted(&text)));
            add(&place, parse_requested(&text).ok_or_else(wrong)?);
        }
    }
    Ok(requested)
}

fn parse_requested(text: &str) -> Option<IpAddr> {
    if text.contains('/') { crate::cni::result::cidr(text).map(|network| network.ip()) } else { read::parse_ip(text) }
}

/// Adds the range sets under the last key of `place`, which is a key of `object`, with their places.
fn read_sets(
    object: &Object,
    place: &str,
    into: &mut Vec<(String, RangeSet)>,
    unknown: &mut Vec<String>,
) -> Result<(), Error> {
    let (outer, key) = place.split_once('.').unwrap_or_default();
    let lists = object.list(key, MAX_ELEMENTS).map_err(|error| error.within(outer))?;
    for (index, list) in lists.iter().enumerate() {
        let place = format!("{place}[{index}]");
        let set = read_set(list, &place, unknown)?;
        into.push((place, set));
    }
    Ok(())
}

fn read_set(list: &RawValue, place: &str, unknown: &mut Vec<String>) -> Result<RangeSet, Error> {
    let elements: Vec<Object> = serde_json::from_str(list.get()).map_err(|_| {
        Error::config(format!("{place} is {}: it must be a list of ranges, which are objects", shortened(list.get())))
    })?;
    let mut ranges = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let place = format!("{place}[{index}]");
        let range = Written::read(element).and_then(|written| Range::complete(&written));
        ranges.push(range.map_err(|error| error.within(&place))?);
        unknown.extend(element.unknown_keys(&RANGE_KEYS).map(|key| format!("{place}.{key}")));
    }
    RangeSet::new(ranges).map_err(|error| error.within(place))
}

/// There is nothing to allocate from.
pub(super) fn no_ranges() -> Error {
    Error::config(
        "neither key \"ipam.ranges\" nor \"ipam.subnet\" nor \"runtimeConfig.ipRanges\" has a range: host-local needs \
         one to allocate from",
    )
}

/// # Errors
/// When there are too many ranges, or two sets overlap.
fn check_sets(sets: &[(String, RangeSet)]) -> Result<(), Error> {
    let count = sets.iter().map(|(_, set)| set.ranges().len()).fold(0, usize::saturating_add);
    if count > MAX_ELEMENTS {
        return Err(Error::config(format!("it has {count} ranges: {MAX_ELEMENTS} are the most")));
    }
    for (index, (a_place, a_set)) in sets.iter().enumerate() {
        for (b_place, b_set) in sets.iter().skip(index.saturating_add(1)) {
            if let Some((a, b)) = a_set.overlap(b_set) {
                return Err(Error::config(format!("{a_place} ({a}) and {b_place} ({b}) overlap")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
