//! static: the addresses that it is told.
//!
//! Equal to the reference (`plugins/ipam/static`), two of whose rules surprise and are kept, because configurations
//! rely on what comes of them:
//!
//! - `args.cni.ips`, and after them `runtimeConfig.ips`, **replace** the addresses and have no gateways: those of the
//!   configuration and of CNI_ARGS are lost.
//! - GATEWAY of CNI_ARGS is given to addresses of CNI_ARGS alone, and to each whose subnet has it.

use std::net::IpAddr;

use serde_json::value::RawValue;

use super::answer::{Answer, IpamAddress, IpamRoute};
use super::read::{self, Common};
use crate::cni::args::Args;
use crate::cni::result::{CniResult, cidr};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Code, Error, Object};

/// Keys of `ipam`.
const KEYS: [&str; 5] = ["type", "name", "routes", "addresses", "dns"];

/// Keys of an element of `addresses`; the reference reads `version` and makes nothing of it.
const ADDRESS_KEYS: [&str; 3] = ["address", "gateway", "version"];

/// A configuration whose every key was checked.
#[derive(Clone, Debug)]
pub struct Config {
    addresses: Vec<IpamAddress>,
    routes: Vec<IpamRoute>,
    dns: Option<Box<RawValue>>,
    unknown: Vec<String>,
}

impl Config {
    /// Reads a main plugin's configuration as it is on stdin ([`crate::cni::network::Plugin::stdin`]): keys `name`,
    /// `cniVersion`, `ipam`, `args.cni.ips`, `runtimeConfig.ips`; and IP and GATEWAY of CNI_ARGS, lists with commas.
    ///
    /// # Errors
    /// Code 7, naming the key and what would be right; code 4 for CNI_ARGS; code 1 for the version.
    pub fn parse(config: &Object, args: &Args) -> Result<Self, Error> {
        let Common { version, ipam, .. } = read::common(config)?;
        read::check_args(args, &["IP", "GATEWAY"])?;
        let mut unknown: Vec<String> = ipam.unknown_keys(&KEYS).map(|key| format!("ipam.{key}")).collect();
        let within = |error: Error| error.within("ipam");
        let written = written(&ipam, &mut unknown).map_err(within)?;
        let from_args = from_args(args)?;

        // The last source that names addresses stands alone.
        let mut replaced: Option<Vec<IpamAddress>> = None;
        for path in [["args", "cni", "ips"].as_slice(), &["runtimeConfig", "ips"]] {
            let texts = read::texts_at(config, path)?;
            if !texts.is_empty() {
                let parse = |(place, text): &(String, String)| {
                    let address =
                        cidr(text).ok_or_else(|| Error::config(format!("{place} is {}{NO_CIDR}", quoted(text))))?;
                    Ok(IpamAddress { address, gateway: None })
                };
                replaced = Some(texts.iter().map(parse).collect::<Result<_, Error>>()?);
            }
        }
        let addresses = match replaced {
            Some(addresses) => addresses,
            None => written
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(within)?
                .into_iter()
                .chain(from_args)
                .collect(),
        };
        read::one_of_each_family(version, addresses.iter().map(|ip| ip.address.is_ipv4()))?;
        let routes = read::routes(&ipam, &mut unknown).map_err(within)?;
        let dns = read::dns(&ipam, &mut unknown).map_err(within)?.to_raw()?;
        Ok(Config { addresses, routes, dns, unknown })
    }

    /// Keys that the plugin does not know and therefore passes over, by their place (`ipam.addresses[0].foo`).
    pub fn unknown_keys(&self) -> &[String] {
        &self.unknown
    }

    /// What the plugin answers to an ADD. There is nothing to release.
    pub fn answer(&self) -> Answer {
        Answer { addresses: self.addresses.clone(), routes: self.routes.clone(), dns: self.dns.clone() }
    }

    /// CHECK: an address of the configuration that the result of the ADD has too must have its gateway there. One that
    /// the result does not have is none of the plugin's business, as in the reference.
    ///
    /// # Errors
    /// Code 102, naming address and gateways.
    pub fn check(&self, previous: &CniResult) -> Result<(), Error> {
        let previous = previous.addresses();
        for ours in &self.addresses {
            let Some(gateway) = ours.gateway else { continue };
            // The first of its kind decides, as in the reference.
            let theirs = previous.iter().find(|theirs| theirs.address.ip() == ours.address.ip());
            if let Some(theirs) = theirs.filter(|theirs| theirs.gateway != Some(gateway)) {
                let has = theirs.gateway.map_or_else(|| "none".to_owned(), |gateway| gateway.to_string());
                let address = ours.address.ip();
                let message =
                    format!("the gateway of {address} is {gateway} by configuration, and {has} in prevResult");
                return Err(Error::new(Code::CHECK_FAILED, message));
            }
        }
        Ok(())
    }
}

/// The end of the sentence on a text that is no address.
const NO_CIDR: &str = ": it must be an address with a prefix length, such as 192.0.2.5/24";

/// The key `addresses`. Whether each is an address is only of interest when nothing replaces it, as in the reference;
/// its other keys are checked here.
fn written(ipam: &Object, unknown: &mut Vec<String>) -> Result<Vec<Result<IpamAddress, Error>>, Error> {
    let mut addresses = Vec::new();
    for (place, element) in read::objects(ipam, "addresses")? {
        let read = || {
            // Go matches a key that is written exactly like a field first, and this field is none of text.
            if element.iter().any(|(key, _)| key == "Address") {
                return Err(Error::config("key \"Address\" must be written \"address\""));
            }
            element.text("version")?;
            Ok((element.text("address")?, read::ip(&element, "gateway")?))
        };
        let (text, gateway) = read().map_err(|error: Error| error.within(&place))?;
        addresses.push(address(&text, gateway).map_err(|error| error.within(&place)));
        unknown.extend(element.unknown_keys(&ADDRESS_KEYS).map(|key| format!("ipam.{place}.{key}")));
    }
    Ok(addresses)
}

/// # Errors
/// When there is no address, or the gateway is of the other family (which the reference passes on).
fn address(text: &str, gateway: Option<IpAddr>) -> Result<IpamAddress, Error> {
    let address = cidr(text).ok_or_else(|| Error::config(format!("key \"address\" is {}{NO_CIDR}", quoted(text))))?;
    match gateway {
        Some(gateway) if gateway.is_ipv4() != address.is_ipv4() => {
            Err(Error::config(format!("key \"gateway\" is {gateway}, which is not of the family of {address}")))
        }
        gateway => Ok(IpamAddress { address, gateway }),
    }
}

/// The addresses of CNI_ARGS, with its gateways.
fn from_args(args: &Args) -> Result<Vec<IpamAddress>, Error> {
    let mut addresses = Vec::new();
    for item in args.get("IP").into_iter().flat_map(|ips| ips.split(',')).map(str::trim) {
        let wrong = || Error::environment(format!("CNI_ARGS has the IP {}{NO_CIDR}", shortened(item)));
        addresses.push(IpamAddress { address: cidr(item).ok_or_else(wrong)?, gateway: None });
    }
    for item in args.get("GATEWAY").into_iter().flat_map(|ips| ips.split(',')).map(str::trim) {
        let wrong =
            || Error::environment(format!("CNI_ARGS has the GATEWAY {}: it must be an IP address", shortened(item)));
        let gateway = read::parse_ip(item).ok_or_else(wrong)?;
        for ip in addresses.iter_mut().filter(|ip| ip.address.contains(gateway)) {
            ip.gateway = Some(gateway);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
#[path = "static_tests.rs"]
mod tests;
