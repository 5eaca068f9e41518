//! A result: what an ADD answers, in any version.
//!
//! The text is the truth: a result keeps its object as its plugin wrote it, and what rooknet itself reads of it
//! (interfaces, addresses, routes) is a view, read and checked once when it is parsed. So a result that would make a
//! later step stumble (an index out of range, an address that is none) is refused where its plugin can still be named.
//! Which key is read how follows the types of containernetworking/cni (`pkg/types/{020,040,100}/types.go`,
//! `pkg/types/types.go`).

use std::net::IpAddr;

use ipnetwork::{IpNetwork, Ipv4Network};
use serde_json::value::RawValue;

use super::json::to_raw;
use super::text::quoted;
use super::{Code, Error, Object, Version, convert};

/// Elements of `interfaces`, of `ips` and of each `routes`, at most.
pub const MAX_ELEMENTS: usize = 1024;

/// A result as its plugin wrote it, with a view on what rooknet reads of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CniResult {
    pub(super) version: Version,
    pub(super) object: Object,
    view: View,
}

/// An element of `interfaces` (specification, section 5, "ADD Success").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface's name.
    pub name: String,
    /// The hardware address as written; may be empty.
    pub mac: String,
    /// The path of the interface's netns; empty for one on the host.
    pub sandbox: String,
    /// The MTU in bytes; from version 1.0.0 on, when it is given and not 0.
    pub mtu: Option<u32>,
}

/// An element of `ips`; below 0.3.0 `ip4` or `ip6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Index into [`CniResult::interfaces`]; in range.
    pub interface: Option<usize>,
    /// The address with its prefix length, host bits kept.
    pub address: IpNetwork,
    /// The gateway of the address's subnet; of the same family.
    pub gateway: Option<IpAddr>,
}

/// An element of `routes`; below 0.3.0 of `ip4.routes` or `ip6.routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Key `dst`.
    pub destination: IpNetwork,
    /// Key `gw`; absent, the gateway of the addresses is meant.
    pub gateway: Option<IpAddr>,
}

/// The three forms that results have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// 0.1.0 and 0.2.0: `ip4` and `ip6`.
    Pair,
    /// 0.3.0 to 0.4.0: lists, and `version` in each of `ips`.
    Versioned,
    /// 1.0.0 and 1.1.0: lists.
    Plain,
}

impl Form {
    pub(super) fn of(version: Version) -> Form {
        if version < Version::V0_3_0 {
            Form::Pair
        } else if version < Version::V1_0_0 {
            Form::Versioned
        } else {
            Form::Plain
        }
    }
}

impl CniResult {
    /// Parses a delegate's answer or a `prevResult`; `what` names it in errors. A missing or empty `cniVersion` is
    /// `default` (`pkg/invoke/exec.go`), an intermediate result may be of any version. Keys that are absent or `null`
    /// are empty; everything that the accessors read is checked here.
    ///
    /// # Errors
    /// Code 6, naming element, key and value; also for the empty text, which a plugin that prints nothing leaves.
    pub fn parse(what: &str, text: &str, default: Version) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::decode(format!("{what} is empty: its plugin printed nothing, it must print a result")));
        }
        let object = Object::parse(what, text)?;
        read_version(&object, default)
            .and_then(|version| CniResult::read(version, object))
            .map_err(|error| error.within(what).with_code(Code::DECODE))
    }

    /// The version it is written in.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The interfaces, in order; none below 0.3.0.
    pub fn interfaces(&self) -> Vec<Interface> {
        self.view.interfaces.clone()
    }

    /// The addresses, in order, of every version.
    pub fn addresses(&self) -> Vec<Address> {
        self.view.addresses.clone()
    }

    /// The routes, in order, of every version; below 0.3.0 those of `ip4` first.
    pub fn routes(&self) -> Vec<Route> {
        self.view.routes.clone()
    }

    /// The key `dns`, an object, as written.
    pub fn dns(&self) -> Option<&RawValue> {
        self.object.get("dns")
    }

    /// The addresses of the interface `name` in the sandbox. An address without index counts when there is no other
    /// sandbox interface; below 0.3.0 all count.
    pub fn addresses_of(&self, name: &str) -> Vec<Address> {
        let interfaces = &self.view.interfaces;
        let alone = !interfaces.iter().any(|interface| !interface.sandbox.is_empty() && interface.name != name);
        let belongs = |address: &&Address| match address.interface {
            None => alone,
            Some(index) => {
                interfaces.get(index).is_some_and(|interface| interface.name == name && !interface.sandbox.is_empty())
            }
        };
        self.view.addresses.iter().filter(belongs).cloned().collect()
    }

    /// The result in another version. Keys that the target does not have go, unknown keys stay where their object
    /// still exists, and nothing else is touched.
    ///
    /// # Errors
    /// Code 6 where the target cannot say it at all: 0.1.0 and 0.2.0 need an address.
    pub fn convert(&self, to: Version) -> Result<CniResult, Error> {
        if self.version == to {
            return Ok(self.clone());
        }
        let object = convert::convert(self, to).map_err(|error| error.with_code(Code::DECODE))?;
        CniResult::read(to, object).map_err(|error| error.with_code(Code::DECODE))
    }

    /// The result without the default routes (prefix length 0) of the families given.
    ///
    /// # Errors
    /// None in practice: what is read here was checked by [`CniResult::parse`].
    pub fn without_default_routes(&self, ipv4: bool, ipv6: bool) -> Result<CniResult, Error> {
        let goes =
            |destination: IpNetwork| destination.prefix() == 0 && if destination.is_ipv4() { ipv4 } else { ipv6 };
        let mut object = self.object.clone();
        if Form::of(self.version) == Form::Pair {
            for key in ["ip4", "ip6"] {
                if let Some(mut family) = object.object(key)?
                    && drop_routes(&mut family, goes)?
                {
                    object.set(key, family.to_raw()?);
                }
            }
        } else {
            drop_routes(&mut object, goes)?;
        }
        CniResult::read(self.version, object)
    }

    /// The result with another MAC of the interface `name` in a sandbox: one that was made again on a master whose MAC it
    /// has.
    ///
    /// # Errors
    /// None in practice: what is read here was checked by [`CniResult::parse`].
    pub fn with_mac(&self, name: &str, mac: &str) -> Result<CniResult, Error> {
        let mut object = self.object.clone();
        let mut elements = object.list("interfaces", MAX_ELEMENTS)?;
        for (element, interface) in elements.iter_mut().zip(&self.view.interfaces) {
            if interface.name == name && !interface.sandbox.is_empty() {
                let mut changed = Object::parse("an interface", element.get())?;
                changed.set_value("mac", &mac)?;
                *element = changed.to_raw()?;
            }
        }
        object.set_value("interfaces", &elements)?;
        CniResult::read(self.version, object)
    }

    /// As JSON, byte for byte what the plugin wrote where nothing was changed; `cniVersion` is always there.
    ///
    /// # Errors
    /// None in practice, as [`Object::to_raw`].
    pub fn to_raw(&self) -> Result<Box<RawValue>, Error> {
        self.object.to_raw()
    }

    fn read(version: Version, mut object: Object) -> Result<Self, Error> {
        let view = View::read(version, &object)?;
        if object.text("cniVersion")? != version.as_str() {
            let raw = to_raw(&version.as_str())?;
            if object.has("cniVersion") { object.set("cniVersion", raw) } else { object.set_first("cniVersion", raw) }
        }
        Ok(CniResult { version, object, view })
    }
}

fn read_version(object: &Object, default: Version) -> Result<Version, Error> {
    let text = object.text("cniVersion")?;
    if text.is_empty() { Ok(default) } else { text.parse() }
}

/// What the accessors give.
#[derive(Clone, Debug, Default, PartialEq)]
struct View {
    interfaces: Vec<Interface>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

impl View {
    fn read(version: Version, object: &Object) -> Result<View, Error> {
        let mut view = View::default();
        object.object("dns")?;
        if Form::of(version) == Form::Pair {
            for key in ["ip4", "ip6"] {
                if let Some(family) = object.object(key)? {
                    view.read_family(key, &family).map_err(|error| error.within(key))?;
                }
            }
            return Ok(view);
        }
        view.interfaces = each(object, "interfaces", |element| read_interface(version, element))?;
        let count = view.interfaces.len();
        view.addresses = each(object, "ips", |element| {
            let interface = element.get_as::<usize>("interface")?;
            if let Some(index) = interface
                && index >= count
            {
                return Err(Error::decode(format!(
                    "key \"interface\" is {index}, which is out of range: \"interfaces\" has {count} elements"
                )));
            }
            Ok(Address { interface, ..read_address(element, "address")? })
        })?;
        view.routes = each(object, "routes", read_route)?;
        Ok(view)
    }

    /// `ip4` or `ip6` of the versions below 0.3.0.
    fn read_family(&mut self, key: &str, family: &Object) -> Result<(), Error> {
        let address = read_address(family, "ip")?;
        if address.address.is_ipv4() != (key == "ip4") {
            return Err(Error::decode(format!("key \"ip\" is {}, which is of the other family", address.address)));
        }
        self.addresses.push(address);
        self.routes.extend(each(family, "routes", read_route)?);
        Ok(())
    }
}

/// Reads each element of a list of objects, naming the one that fails.
fn each<T>(object: &Object, key: &str, read: impl Fn(&Object) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let elements = object.list(key, MAX_ELEMENTS)?;
    let read_element = |(index, element): (usize, &RawValue)| {
        let place = format!("{key}[{index}]");
        Object::parse(&place, element.get()).and_then(|element| read(&element).map_err(|error| error.within(&place)))
    };
    elements.iter().map(AsRef::as_ref).enumerate().map(read_element).collect()
}

fn read_interface(version: Version, element: &Object) -> Result<Interface, Error> {
    // Below 1.0.0 the key has no meaning: whatever is there is somebody's own.
    let mtu = if Form::of(version) == Form::Plain { element.get_as::<u32>("mtu")? } else { None };
    Ok(Interface {
        name: element.text("name")?,
        mac: element.text("mac")?,
        sandbox: element.text("sandbox")?,
        mtu: mtu.filter(|mtu| *mtu > 0),
    })
}

fn read_address(element: &Object, key: &str) -> Result<Address, Error> {
    let address = read_cidr(element, key)?;
    let gateway = read_ip(element, "gateway")?;
    if let Some(gateway) = gateway
        && gateway.is_ipv4() != address.is_ipv4()
    {
        return Err(Error::decode(format!("key \"gateway\" is {gateway}, which is not of the family of {address}")));
    }
    Ok(Address { interface: None, address, gateway })
}

fn read_route(element: &Object) -> Result<Route, Error> {
    Ok(Route { destination: read_cidr(element, "dst")?, gateway: read_ip(element, "gw")? })
}

/// The address with prefix length under `key`, which must be there.
pub(super) fn read_cidr(element: &Object, key: &str) -> Result<IpNetwork, Error> {
    let text = element.text(key)?;
    cidr(&text).ok_or_else(|| {
        Error::decode(if text.is_empty() {
            format!("key \"{key}\" is missing: it must be an address with a prefix length, such as 10.0.0.5/24")
        } else {
            format!(
                "key \"{key}\" is {}, which is not an address with a prefix length, such as 10.0.0.5/24",
                quoted(&text)
            )
        })
    })
}

/// The address under `key`; absent and empty are `None`, as Go reads a `net.IP`.
fn read_ip(element: &Object, key: &str) -> Result<Option<IpAddr>, Error> {
    let text = element.text(key)?;
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text
        .parse()
        .map_err(|_| Error::decode(format!("key \"{key}\" is {}, which is not an IP address", quoted(&text))))?;
    Ok(Some(address.to_canonical()))
}

/// An address with prefix length as Go's `net.ParseCIDR` takes it: the length is not optional and not a netmask; an
/// IPv4-mapped IPv6 address is an IPv4 one. ipnetwork's own parser is laxer.
pub fn cidr(text: &str) -> Option<IpNetwork> {
    let (address, prefix) = text.split_once('/')?;
    if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let network = IpNetwork::new(address.parse().ok()?, prefix.parse().ok()?).ok()?;
    let IpAddr::V4(mapped) = network.ip().to_canonical() else { return Some(network) };
    match network {
        IpNetwork::V4(_) => Some(network),
        IpNetwork::V6(_) => Ipv4Network::new(mapped, network.prefix().checked_sub(96)?).ok().map(IpNetwork::V4),
    }
}

/// Drops the routes whose destination `goes`; whether there were any.
fn drop_routes(object: &mut Object, goes: impl Fn(IpNetwork) -> bool) -> Result<bool, Error> {
    let elements = object.list("routes", MAX_ELEMENTS)?;
    let mut kept: Vec<&RawValue> = Vec::with_capacity(elements.len());
    for element in &elements {
        if !goes(read_cidr(&Object::parse("a route", element.get())?, "dst")?) {
            kept.push(element);
        }
    }
    let changed = kept.len() < elements.len();
    if changed {
        object.set_value("routes", &kept)?;
    }
    Ok(changed)
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
