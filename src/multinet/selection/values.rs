//! The values of a selection's keys: each checked as the standard says, and turned into what a plugin gets.
//!
//! The shapes are those of CNI's CONVENTIONS.md and of Multus: `ips` and the hardware addresses go on as written,
//! `portMappings` and `bandwidth` are written anew from the checked values. Two differences from Multus: a protocol is
//! handed on in lower case and `tcp` is written out where it was left out (the standard's default; the reference
//! portmap plugin puts the text into a firewall rule as it is, where an empty or an upper-case one does not work).

use std::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::super::object_names::{SUBDOMAIN_RULE, is_subdomain};
use super::Element;
use crate::cni::json::{MAX_LEVELS, is_too_deep, to_raw};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object};

/// Bytes of a `deviceID`, at most. Real ones are PCI addresses or UUIDs.
const MAX_DEVICE_ID: usize = 253;

/// One entry of `portMappings` for runtimeConfig.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PortMapping {
    host_port: u16,
    container_port: u16,
    protocol: String,
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none")]
    host_ip: Option<String>,
}

/// `bandwidth` for runtimeConfig: bits per second and bits, 0 for no limit. Multus always writes all four.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bandwidth {
    ingress_rate: u64,
    ingress_burst: u64,
    egress_rate: u64,
    egress_burst: u64,
}

impl Element<'_> {
    /// The value of `key` as a `T`; absent and `null` are `None`. `right` completes "is not …" in the error.
    fn value<T: DeserializeOwned>(&self, key: &str, right: &str) -> Result<Option<T>, Error> {
        let Some(raw) = self.object.get(key) else { return Ok(None) };
        serde_json::from_str(raw.get())
            .map(Some)
            .map_err(|_| self.place.fail_at(key, &shortened(raw.get()), &format!("is not {right}")))
    }

    /// A text; the empty one counts as absent.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.value::<String>(key, "a text in quotes")?.filter(|text| !text.is_empty()))
    }

    /// `ips`: at least one address, each with or without a prefix length; handed on as written.
    pub(super) fn ips(&self) -> Result<Option<Box<RawValue>>, Error> {
        let Some(ips) = self.value::<Vec<String>>("ips", "a list of texts such as [\"192.0.2.7/24\"]")? else {
            return Ok(None);
        };
        if ips.is_empty() {
            return Err(self.place.fail_at("ips", "[]", "is empty: give at least one address, or leave the key out"));
        }
        for ip in &ips {
            if !is_address(ip) {
                let wrong =
                    "is not an IP address with or without a prefix length, such as \"192.0.2.7/24\" or \"2001:db8::7\"";
                return Err(self.place.fail_at("ips", &quoted(ip), wrong));
            }
        }
        to_raw(&ips).map(Some)
    }

    /// `mac` or `infiniband-guid`: `length` bytes in one of the notations of Go's net.ParseMAC, which the plugins
    /// use; handed on as written.
    pub(super) fn hardware_address(&self, key: &str, length: usize) -> Result<Option<Box<RawValue>>, Error> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let right = match length {
            6 => "a MAC address: write six bytes, such as \"02:00:00:00:00:01\"",
            _ => "an InfiniBand GUID: write eight bytes, such as \"24:8a:07:03:00:8d:ae:2f\"",
        };
        let Some(bytes) = hardware_address(&text).filter(|bytes| bytes.len() == length) else {
            return Err(self.place.fail_at(key, &quoted(&text), &format!("is not {right}")));
        };
        // The kernel refuses these two with EADDRNOTAVAIL, after other networks are attached already.
        let is_group = bytes.first().is_some_and(|byte| byte & 1 == 1);
        if length == 6 && (is_group || bytes.iter().all(|byte| *byte == 0)) {
            let wrong = "cannot be an interface's address: it must not be zero, and its first byte must be even";
            return Err(self.place.fail_at(key, &quoted(&text), wrong));
        }
        to_raw(&text).map(Some)
    }

    /// `portMappings`. An empty list is absent, as in Multus.
    pub(super) fn port_mappings(&self) -> Result<Option<Box<RawValue>>, Error> {
        const KEY: &str = "portMappings";
        let Some(entries) = self.value::<Vec<Object>>(KEY, "a list of objects with hostPort and containerPort")? else {
            return Ok(None);
        };
        if entries.is_empty() {
            return Ok(None);
        }
        let mappings = entries.iter().map(|entry| {
            let text = |key: &str| match entry.get_as::<String>(key) {
                Ok(text) => Ok(text.filter(|text| !text.is_empty())),
                Err(_) => Err(self.wrong_in(KEY, key, entry.get(key), "is not a text in quotes")),
            };
            let port = |key: &str| match entry.get_as::<u16>(key) {
                Ok(Some(port)) if port > 0 => Ok(port),
                _ => Err(self.wrong_in(KEY, key, entry.get(key), "is not a port number from 1 to 65535")),
            };
            let protocol = text("protocol")?.unwrap_or_else(|| "tcp".to_owned()).to_ascii_lowercase();
            if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
                return Err(self.wrong_in(KEY, "protocol", entry.get("protocol"), "is not TCP, UDP or SCTP"));
            }
            let host_ip = text("hostIP")?;
            if host_ip.as_ref().is_some_and(|ip| ip.parse::<IpAddr>().is_err()) {
                return Err(self.wrong_in(KEY, "hostIP", entry.get("hostIP"), "is not an IP address"));
            }
            Ok(PortMapping { host_port: port("hostPort")?, container_port: port("containerPort")?, protocol, host_ip })
        });
        to_raw(&mappings.collect::<Result<Vec<_>, Error>>()?).map(Some)
    }

    /// `bandwidth`: at least one of its keys; a burst needs its rate. 0 stands for absent: Go clients write it so.
    pub(super) fn bandwidth(&self) -> Result<Option<Box<RawValue>>, Error> {
        const KEY: &str = "bandwidth";
        const KEYS: [&str; 4] = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];
        let Some(object) = self.value::<Object>(KEY, "an object such as {\"ingressRate\": 1000000}")? else {
            return Ok(None);
        };
        if !KEYS.iter().any(|key| object.get(key).is_some()) {
            let wrong = format!("limits nothing: give at least one of {}", KEYS.join(", "));
            return Err(self.place.fail_at(KEY, "it", &wrong));
        }
        // i64: every plugin that reads these is a Go program, most of them with signed integers.
        let number = |key: &str| match object.get_as::<i64>(key).map(|value| u64::try_from(value.unwrap_or_default())) {
            Ok(Ok(number)) => Ok(number),
            _ => {
                Err(self.wrong_in(KEY, key, object.get(key), "is not a whole number, zero or more, of at most 63 bits"))
            }
        };
        let bandwidth = Bandwidth {
            ingress_rate: number("ingressRate")?,
            ingress_burst: number("ingressBurst")?,
            egress_rate: number("egressRate")?,
            egress_burst: number("egressBurst")?,
        };
        for (rate, burst, of) in [
            (bandwidth.ingress_rate, bandwidth.ingress_burst, "ingress"),
            (bandwidth.egress_rate, bandwidth.egress_burst, "egress"),
        ] {
            if burst > 0 && rate == 0 {
                let wrong = format!("needs {of}Rate beside it: a burst without a rate limits nothing");
                return Err(self.place.fail_at(&format!("{KEY}.{of}Burst"), &burst.to_string(), &wrong));
            }
        }
        to_raw(&bandwidth).map(Some)
    }

    /// `deviceID`.
    pub(super) fn device_id(&self) -> Result<Option<String>, Error> {
        let Some(id) = self.text("deviceID")? else { return Ok(None) };
        if id.len() > MAX_DEVICE_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            let wrong =
                format!("is not a device: use at most {MAX_DEVICE_ID} printable ASCII characters without spaces");
            return Err(self.place.fail_at("deviceID", &quoted(&id), &wrong));
        }
        Ok(Some(id))
    }

    /// `cni-args`: an object, whatever is in it, as long as plugins can read it.
    pub(super) fn cni_args(&self) -> Result<Option<Object>, Error> {
        const KEY: &str = "cni-args";
        if let Some(raw) = self.object.get(KEY).filter(|raw| is_too_deep(raw.get())) {
            let wrong = format!("has more than {MAX_LEVELS} levels of lists and objects, which plugins cannot read");
            return Err(self.place.fail_at(KEY, &shortened(raw.get()), &wrong));
        }
        self.value(KEY, "an object such as {\"key\": \"value\"}")
    }

    /// `default-route`: the gateways, at most one of each family; an empty list is allowed.
    pub(super) fn default_route(&self) -> Result<Option<Vec<IpAddr>>, Error> {
        const KEY: &str = "default-route";
        let Some(texts) = self.value::<Vec<String>>(KEY, "a list of gateways such as [\"192.0.2.1\"]")? else {
            return Ok(None);
        };
        let mut gateways: Vec<IpAddr> = Vec::new();
        for text in &texts {
            // Canonical: Go takes ::ffff:192.0.2.1 for IPv4, so the families must be counted in the same way.
            let gateway = text.parse::<IpAddr>().map(|gateway| gateway.to_canonical());
            let Some(gateway) = gateway.ok().filter(|ip| !ip.is_unspecified() && !ip.is_multicast()) else {
                let wrong = "is not the IP address of a gateway, such as \"192.0.2.1\", without a prefix length";
                return Err(self.place.fail_at(KEY, &quoted(text), wrong));
            };
            if gateways.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
                let wrong = "is a second gateway of its family: give one for IPv4 and one for IPv6 at most";
                return Err(self.place.fail_at(KEY, &quoted(text), wrong));
            }
            gateways.push(gateway);
        }
        Ok(Some(gateways))
    }

    /// `ipam-claim-reference`: the name of an IPAMClaim.
    pub(super) fn ipam_claim_reference(&self) -> Result<Option<String>, Error> {
        let Some(name) = self.text("ipam-claim-reference")? else { return Ok(None) };
        if !is_subdomain(&name) {
            let wrong = format!("is not the name of an IPAMClaim: use {SUBDOMAIN_RULE}");
            return Err(self.place.fail_at("ipam-claim-reference", &quoted(&name), &wrong));
        }
        Ok(Some(name))
    }

    /// The error of a key within a key.
    fn wrong_in(&self, outer: &str, key: &str, value: Option<&RawValue>, wrong: &str) -> Error {
        let value = value.map_or_else(|| "(absent)".to_owned(), |value| shortened(value.get()));
        self.place.fail_at(&format!("{outer}.{key}"), &value, wrong)
    }
}

/// Whether `text` is an IP address, with or without a prefix length.
fn is_address(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().is_ok();
    };
    let digits = length.bytes().all(|byte| byte.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    match (address.parse::<IpAddr>(), length.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) => digits && length <= 32,
        (Ok(IpAddr::V6(_)), Ok(length)) => digits && length <= 128,
        _ => false,
    }
}

/// The bytes of a hardware address in the notations `01:23:…`, `01-23-…` and `0123.4567.…`.
fn hardware_address(text: &str) -> Option<Vec<u8>> {
    let (separator, group) = match text.find([':', '-', '.']).map(|at| text.as_bytes().get(at).copied()) {
        Some(Some(b':')) => (':', 2),
        Some(Some(b'-')) => ('-', 2),
        Some(Some(b'.')) => ('.', 4),
        _ => return None,
    };
    let mut bytes = Vec::new();
    for part in text.split(separator) {
        if part.len() != group || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for pair in part.as_bytes().chunks(2) {
            bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
        }
    }
    Some(bytes)
}
