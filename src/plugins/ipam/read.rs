//! Keys that host-local and static have in common, read as Go reads them.
//!
//! Every key of a schema is read, needed or not, because the executed plugin refuses a value of the wrong type too. A
//! `null` where Go wants a value is refused here as there; the reference crashes on some of them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::value::RawValue;

use super::answer::{Dns, IpamRoute};
use crate::cni::args::Args;
use crate::cni::result::{MAX_ELEMENTS, cidr};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object, Version, names};

/// Keys of a route.
const ROUTE_KEYS: [&str; 7] = ["dst", "gw", "mtu", "advmss", "priority", "table", "scope"];

/// What every plugin's configuration has.
pub(in crate::plugins) struct Common {
    pub(in crate::plugins) network: String,
    pub(in crate::plugins) version: Version,
    /// The object under `ipam`.
    pub(in crate::plugins) ipam: Object,
}

/// # Errors
/// Naming the key that is missing or wrong.
pub(in crate::plugins) fn common(config: &Object) -> Result<Common, Error> {
    let network = config.text("name")?;
    names::network(&network).map_err(|error| error.within("key \"name\""))?;
    let version = config.text("cniVersion")?.parse()?;
    let ipam = config.object("ipam")?.ok_or_else(|| Error::config("key \"ipam\" is missing"))?;
    for key in ["type", "name"] {
        ipam.text(key).map_err(|error| error.within("ipam"))?;
    }
    Ok(Common { network, version, ipam })
}

/// Refuses pairs of CNI_ARGS that the executed plugin would refuse.
///
/// # Errors
/// Code 4, naming the keys.
pub(in crate::plugins) fn check_args(args: &Args, known: &[&str]) -> Result<(), Error> {
    let refused: Vec<&str> = args.refused_by(known).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let refused = shortened(&refused.join(", "));
    Err(Error::environment(format!("CNI_ARGS has unknown keys ({refused}): remove them or add IgnoreUnknown=1")))
}

/// The list of texts under `path` (keys from the outside in), each with its place for messages.
///
/// # Errors
/// Naming the key or element that is wrong.
pub(in crate::plugins) fn texts_at(config: &Object, path: &[&str]) -> Result<Vec<(String, String)>, Error> {
    let Some((key, outer)) = path.split_last() else { return Ok(Vec::new()) };
    let mut object = config.clone();
    for (depth, name) in outer.iter().enumerate() {
        let place = path.get(..depth).unwrap_or_default().join(".");
        let inner = object.object(name).map_err(|error| if depth == 0 { error } else { error.within(&place) })?;
        let Some(inner) = inner else { return Ok(Vec::new()) };
        object = inner;
    }
    let place = outer.join(".");
    let elements = object.list(key, MAX_ELEMENTS).map_err(|error| error.within(&place))?;
    elements.iter().enumerate().map(|(index, element)| text(&format!("{place}.{key}[{index}]"), element)).collect()
}

fn text(place: &str, value: &RawValue) -> Result<(String, String), Error> {
    let text = serde_json::from_str(value.get())
        .map_err(|_| Error::config(format!("{place} is {}: it must be a text", shortened(value.get()))))?;
    Ok((place.to_owned(), text))
}

/// The elements of the list of objects under `key`.
///
/// # Errors
/// Naming key and element.
pub(in crate::plugins) fn objects(object: &Object, key: &str) -> Result<Vec<(String, Object)>, Error> {
    let mut objects = Vec::new();
    for (index, element) in object.list(key, MAX_ELEMENTS)?.iter().enumerate() {
        let place = format!("{key}[{index}]");
        let object = serde_json::from_str(element.get())
            .map_err(|_| Error::config(format!("{place} is {}: it must be an object", shortened(element.get()))))?;
        objects.push((place, object));
    }
    Ok(objects)
}

/// An IP address as Go's `net.ParseIP` reads it: an IPv4-mapped one is an IPv4 address.
pub(in crate::plugins) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The address under `key`; absent and empty are `None`.
///
/// # Errors
/// Naming the key, when the value is not an address.
pub(in crate::plugins) fn ip(object: &Object, key: &str) -> Result<Option<IpAddr>, Error> {
    let text = object.text(key)?;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::config(format!("key \"{key}\" is {}: it must be an IP address", quoted(&text)));
    parse_ip(&text).map(Some).ok_or_else(wrong)
}

/// The address with prefix length under `key`; absent is `None`, and `null` is refused, as in Go.
///
/// # Errors
/// Naming the key.
pub(in crate::plugins) fn network(object: &Object, key: &str) -> Result<Option<IpNetwork>, Error> {
    if !object.has(key) {
        return Ok(None);
    }
    let text = object.text(key)?;
    let wrong = || {
        let wanted = "an address with a prefix length, such as 192.0.2.0/24";
        Error::config(format!("key \"{key}\" is {}: it must be {wanted}", quoted(&text)))
    };
    cidr(&text).map(Some).ok_or_else(wrong)
}

/// The key `routes`. Keys that are not a route's are added to `unknown`.
///
/// # Errors
/// Naming element and key; also for numbers that the kernel does not have (the executed plugin would cut them).
pub(in crate::plugins) fn routes(ipam: &Object, unknown: &mut Vec<String>) -> Result<Vec<IpamRoute>, Error> {
    let mut routes = Vec::new();
    for (place, element) in objects(ipam, "routes")? {
        routes.push(route(&element).map_err(|error| error.within(&place))?);
        unknown.extend(element.unknown_keys(&ROUTE_KEYS).map(|key| format!("ipam.{place}.{key}")));
    }
    Ok(routes)
}

fn route(element: &Object) -> Result<IpamRoute, Error> {
    let destination =
        network(element, "dst")?.ok_or_else(|| Error::config("key \"dst\" is missing: a route needs a destination"))?;
    let number = |key| element.get_as::<u32>(key).map(Option::unwrap_or_default);
    Ok(IpamRoute {
        destination,
        gateway: ip(element, "gw")?,
        mtu: number("mtu")?,
        advmss: number("advmss")?,
        priority: number("priority")?,
        table: element.get_as("table")?,
        scope: element.get_as("scope")?,
    })
}

/// The key `dns`: what is known of it.
///
/// # Errors
/// Naming the key.
pub(in crate::plugins) fn dns(ipam: &Object, unknown: &mut Vec<String>) -> Result<Dns, Error> {
    let Some(object) = ipam.object("dns")? else { return Ok(Dns::default()) };
    let known = ["nameservers", "domain", "search", "options"];
    unknown.extend(object.unknown_keys(&known).map(|key| format!("ipam.dns.{key}")));
    let read = || {
        let texts = |key| object.get_as::<Vec<Option<String>>>(key).map(Option::unwrap_or_default);
        let list = |key| texts(key).map(|texts| texts.into_iter().map(Option::unwrap_or_default).collect());
        Ok(Dns {
            nameservers: list("nameservers")?,
            domain: object.text("domain")?,
            search: list("search")?,
            options: list("options")?,
        })
    };
    read().map_err(|error: Error| error.within("dns"))
}

/// Configurations below 0.3.0 have one address of each family (`ip4`, `ip6`).
///
/// # Errors
/// When `families`, true for IPv4, has one twice.
pub(in crate::plugins) fn one_of_each_family(
    version: Version,
    families: impl Iterator<Item = bool> + Clone,
) -> Result<(), Error> {
    let ipv4 = families.clone().filter(|is_ipv4| *is_ipv4).count();
    let ipv6 = families.filter(|is_ipv4| !is_ipv4).count();
    if version < Version::V0_3_0 && (ipv4 > 1 || ipv6 > 1) {
        return Err(Error::config(format!(
            "key \"cniVersion\" is {version}, which has one address of each family, and the configuration asks for \
             {ipv4} of IPv4 and {ipv6} of IPv6: set it to 0.3.0 or newer"
        )));
    }
    Ok(())
}
