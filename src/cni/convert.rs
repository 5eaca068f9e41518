//! Conversion of results between versions.
//!
//! A conversion edits the object that the plugin wrote and leaves alone what both versions have: that is what keeps
//! unknown keys, big integers and the order of keys. What goes and what comes follows the converters of
//! containernetworking/cni (`pkg/types/{020,040,100}/types.go`), which write known keys only. Where they differ:
//!
//! - an address's family is read from the address, never from `ips[].version`, which a plugin may have got wrong;
//! - a key that the source version does not have, but the target does (`mtu` of an interface in a 0.4.0 result, `ip4`
//!   in a 1.0.0 one), is dropped: it was never checked, and in the target it would begin to mean something.

use ipnetwork::IpNetwork;
use serde_json::value::RawValue;

use super::json::to_raw;
use super::result::{CniResult, Form, MAX_ELEMENTS, read_cidr};
use super::{Error, Object, Version};

/// Keys of an interface that came with 1.0.0 or 1.1.0 (the reference types do not tell these two apart).
const PLAIN_INTERFACE_KEYS: [&str; 3] = ["mtu", "socketPath", "pciID"];

/// Keys of a route that versions below 0.3.0 do not have.
const LATER_ROUTE_KEYS: [&str; 5] = ["mtu", "advmss", "priority", "table", "scope"];

/// The object of `result` in the version `to`, `cniVersion` included.
///
/// # Errors
/// When the target needs an address and there is none.
pub(super) fn convert(result: &CniResult, to: Version) -> Result<Object, Error> {
    let mut object = result.object.clone();
    match (Form::of(result.version), Form::of(to)) {
        (Form::Pair, Form::Pair) | (Form::Versioned, Form::Versioned) | (Form::Plain, Form::Plain) => {}
        (Form::Pair, target) => pair_to_lists(&mut object, target)?,
        (_, Form::Pair) => lists_to_pair(&mut object, to)?,
        (Form::Versioned, Form::Plain) => {
            edit_each(&mut object, "ips", |address| {
                address.remove("version");
                Ok(())
            })?;
            drop_plain_interface_keys(&mut object)?;
            drop_empty_dns(&mut object)?;
        }
        (Form::Plain, Form::Versioned) => {
            edit_each(&mut object, "ips", |address| {
                let family = family(read_cidr(address, "address")?);
                if address.get_as::<String>("version").ok().flatten().as_deref() == Some(family) {
                    return Ok(());
                }
                address.set_first("version", to_raw(&family)?);
                Ok(())
            })?;
            drop_plain_interface_keys(&mut object)?;
            add_dns(&mut object)?;
        }
    }
    object.set_value("cniVersion", &to.as_str())?;
    Ok(object)
}

/// `ip4` and `ip6` become elements of `ips`, their routes elements of `routes`, IPv4 first.
fn pair_to_lists(object: &mut Object, target: Form) -> Result<(), Error> {
    for key in ["interfaces", "ips", "routes"] {
        object.remove(key);
    }
    let mut addresses = Vec::new();
    let mut routes = Vec::new();
    for (key, family) in [("ip4", "4"), ("ip6", "6")] {
        let Some(mut address) = object.object(key)? else { continue };
        routes.extend(address.list("routes", MAX_ELEMENTS)?);
        for key in ["routes", "version", "interface"] {
            address.remove(key);
        }
        rename(&mut address, "ip", "address");
        if target == Form::Versioned {
            address.set_first("version", to_raw(&family)?);
        }
        addresses.push(address);
    }
    let mut lists = Vec::new();
    if !addresses.is_empty() {
        lists.push(("ips", to_raw(&addresses)?));
    }
    if !routes.is_empty() {
        lists.push(("routes", to_raw(&routes)?));
    }
    object.replace(&["ip4", "ip6"], lists);
    if target == Form::Plain { drop_empty_dns(object) } else { add_dns(object) }
}

/// The first address of each family becomes `ip4` or `ip6` and takes the routes of its family; the other addresses,
/// the routes of a family without an address and the interfaces cannot be said.
fn lists_to_pair(object: &mut Object, to: Version) -> Result<(), Error> {
    let mut pair: [Option<Object>; 2] = [None, None];
    let [ip4, ip6] = &mut pair;
    for element in object.list("ips", MAX_ELEMENTS)? {
        let mut address = Object::parse("an element of ips", element.get())?;
        let slot = if read_cidr(&address, "address")?.is_ipv4() { &mut *ip4 } else { &mut *ip6 };
        if slot.is_some() {
            continue;
        }
        for key in ["interface", "version", "routes"] {
            address.remove(key);
        }
        rename(&mut address, "address", "ip");
        *slot = Some(address);
    }
    if ip4.is_none() && ip6.is_none() {
        return Err(Error::decode(format!(
            "the result has no address and cannot be written in version {to}: use cniVersion 0.3.0 or later"
        )));
    }

    edit_each(object, "routes", |route| {
        for key in LATER_ROUTE_KEYS {
            route.remove(key);
        }
        Ok(())
    })?;
    let mut routes: [Vec<Box<RawValue>>; 2] = [Vec::new(), Vec::new()];
    let [routes4, routes6] = &mut routes;
    for element in object.list("routes", MAX_ELEMENTS)? {
        let is_ipv4 = read_cidr(&Object::parse("an element of routes", element.get())?, "dst")?.is_ipv4();
        if is_ipv4 { routes4.push(element) } else { routes6.push(element) }
    }

    let mut members = Vec::new();
    for (key, (address, routes)) in ["ip4", "ip6"].into_iter().zip(pair.into_iter().zip(routes)) {
        let Some(mut address) = address else { continue };
        if !routes.is_empty() {
            address.set_value("routes", &routes)?;
        }
        members.push((key, address.to_raw()?));
    }
    for key in ["interfaces", "routes", "ip4", "ip6"] {
        object.remove(key);
    }
    object.replace(&["ips"], members);
    add_dns(object)
}

fn family(address: IpNetwork) -> &'static str {
    if address.is_ipv4() { "4" } else { "6" }
}

fn drop_plain_interface_keys(object: &mut Object) -> Result<(), Error> {
    edit_each(object, "interfaces", |interface| {
        for key in PLAIN_INTERFACE_KEYS {
            interface.remove(key);
        }
        Ok(())
    })
}

/// Up to 0.4.0 the reference types always write `dns`, and what reads them may count on it.
fn add_dns(object: &mut Object) -> Result<(), Error> {
    if object.get("dns").is_none() {
        object.set("dns", Object::new().to_raw()?);
    }
    Ok(())
}

/// From 1.0.0 on an empty `dns` is left out.
fn drop_empty_dns(object: &mut Object) -> Result<(), Error> {
    if object.object("dns")?.is_some_and(|dns| dns.is_empty()) {
        object.remove("dns");
    }
    Ok(())
}

fn rename(object: &mut Object, from: &str, to: &str) {
    if let Some(value) = object.get(from).map(ToOwned::to_owned) {
        object.replace(&[from], vec![(to, value)]);
    }
}

/// Edits each object of a list; an object that stays as it is keeps its bytes, and so does a list of such objects.
fn edit_each(object: &mut Object, key: &str, edit: impl Fn(&mut Object) -> Result<(), Error>) -> Result<(), Error> {
    let mut elements = object.list(key, MAX_ELEMENTS)?;
    let mut changed = false;
    for element in &mut elements {
        let before = Object::parse(key, element.get())?;
        let mut after = before.clone();
        edit(&mut after)?;
        if after != before {
            *element = after.to_raw()?;
            changed = true;
        }
    }
    if changed {
        object.set_value(key, &elements)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
