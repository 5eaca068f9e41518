//! The network-status annotation (standard v1.3, section 5): what a pod's attachments came to, for whoever asks the API
//! server.
//!
//! Its readers decode the whole list into Go structs and drop all of it for one value of a wrong type, so nothing is
//! copied from a plugin unread. The text has Multus's form, indented entries and its order of keys, since people read
//! it in `kubectl describe`. Decisions where standard and Multus differ:
//! - One entry for each attachment, always; Multus writes one for each sandbox interface, and none for a result
//!   without interfaces.
//! - The entry tells of the first sandbox interface (5.1.1), even where a later one has the name of CNI_IFNAME: the
//!   standard says "shall", and its other readers count on it. CNI_IFNAME stands in where the result names none.
//! - Addresses are bare, as in Multus; the standard's example has prefix lengths, its text does not ask for them.
//! - `mtu` and `gateway` are not the standard's keys (5.3 wants a reverse domain name for others). Clients read them, so
//!   they are written: the one deviation. `default-route` is the standard's own key, which Multus leaves out.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::value::RawValue;

use crate::cni::result::{Address, CniResult, Interface};
use crate::cni::text::quoted;
use crate::cni::{self, Code, Object};

/// Key of the annotation.
pub const ANNOTATION: &str = "k8s.v1.cni.cncf.io/network-status";

/// Bytes of the annotation with its key, at most: Kubernetes takes no more for all annotations of an object
/// (`TotalAnnotationSizeLimitB` of k8s.io/apimachinery).
pub const MAX_BYTES: usize = 262_144;

/// One attachment, as the status tells of it.
pub struct Attachment<'a> {
    /// `namespace/name` of the definition; for the default network its configuration's name.
    pub network: &'a str,
    /// CNI_IFNAME.
    pub ifname: &'a str,
    /// Whether it is the cluster's default network.
    pub is_default: bool,
    /// What its plugins answered; `None`: a minimal entry.
    pub result: Option<&'a CniResult>,
    /// Gateways of the selection's `default-route`.
    pub default_route: &'a [IpAddr],
    /// Content of the device-info file, a JSON object.
    pub device_info: Option<&'a RawValue>,
}

/// The annotation's text: a JSON list, one entry for each attachment, in order.
///
/// # Errors
/// Code 5 when the text would be longer than [`MAX_BYTES`] allow; code 6 for a `device_info` that is not an object,
/// naming the network.
pub fn annotation(attachments: &[Attachment<'_>]) -> Result<String, cni::Error> {
    let mut text = String::from("[");
    for attachment in attachments {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&Entry::of(attachment)?.written()?);
        check_size(attachments.len(), &text)?;
    }
    text.push(']');
    check_size(attachments.len(), &text)?;
    Ok(text)
}

fn check_size(attachments: usize, text: &str) -> Result<(), cni::Error> {
    if text.len().saturating_add(ANNOTATION.len()) <= MAX_BYTES {
        return Ok(());
    }
    Err(cni::Error::new(
        Code::IO,
        format!(
            "the status of the pod's {attachments} networks is too long for the annotation {ANNOTATION}: \
             Kubernetes takes {MAX_BYTES} bytes for all annotations of a pod"
        ),
    ))
}

/// One element of the list. The order of the fields is the order in the text.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    name: &'a str,
    interface: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<IpAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    default: bool,
    dns: Object,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateway: Vec<IpAddr>,
    #[serde(skip_serializing_if = "<[IpAddr]>::is_empty")]
    default_route: &'a [IpAddr],
}

impl<'a> Entry<'a> {
    fn of(attachment: &Attachment<'a>) -> Result<Self, cni::Error> {
        if let Some(info) = attachment.device_info {
            Object::parse(&format!("the device information of network {}", quoted(attachment.network)), info.get())?;
        }
        let interface = attachment.result.and_then(first_sandbox_interface);
        let name = interface.as_ref().map_or(attachment.ifname, |interface| &interface.name).to_owned();
        let addresses = attachment.result.map(|result| result.addresses_of(&name)).unwrap_or_default();
        Ok(Entry {
            name: attachment.network,
            ips: addresses.iter().map(|address| address.address.ip()).collect(),
            mac: interface.as_ref().map(|interface| interface.mac.clone()).unwrap_or_default(),
            mtu: interface.and_then(|interface| interface.mtu),
            interface: name,
            default: attachment.is_default,
            dns: attachment.result.map(readable_dns).unwrap_or_default(),
            device_info: attachment.device_info,
            gateway: attachment.result.map(|result| default_gateways(result, &addresses)).unwrap_or_default(),
            default_route: attachment.default_route,
        })
    }

    /// As Multus writes it, indented by four spaces.
    fn written(&self) -> Result<String, cni::Error> {
        let mut bytes = Vec::new();
        let formatter = PrettyFormatter::with_indent(b"    ");
        self.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
            .map_err(|error| cni::Error::decode(format!("the status cannot be written as JSON: {error}")))?;
        String::from_utf8(bytes)
            .map_err(|error| cni::Error::decode(format!("the status cannot be written as JSON: {error}")))
    }
}

/// The interface of which the standard's 5.1.1 speaks.
fn first_sandbox_interface(result: &CniResult) -> Option<Interface> {
    result.interfaces().into_iter().find(|interface| !interface.sandbox.is_empty() && !interface.name.is_empty())
}

/// The gateways of the result's default routes, each once. A route without one means the gateway of its family's
/// addresses, as plugins install it.
fn default_gateways(result: &CniResult, addresses: &[Address]) -> Vec<IpAddr> {
    let mut gateways = Vec::new();
    for route in result.routes().iter().filter(|route| route.destination.prefix() == 0) {
        let is_ipv4 = route.destination.is_ipv4();
        let of_address = || {
            let family = addresses.iter().filter(|address| address.address.is_ipv4() == is_ipv4);
            family.filter_map(|address| address.gateway).next()
        };
        if let Some(gateway) = route.gateway.or_else(of_address)
            && !gateways.contains(&gateway)
        {
            gateways.push(gateway);
        }
    }
    gateways
}

/// The result's `dns` as the plugin wrote it, without the keys that no client could decode.
fn readable_dns(result: &CniResult) -> Object {
    let Some(mut dns) = result.dns().and_then(|raw| serde_json::from_str::<Object>(raw.get()).ok()) else {
        return Object::new();
    };
    // Every spelling and duplicate counts: a decoder stops at the first wrong one, whichever it would keep.
    for key in ["nameservers", "search", "options"] {
        if dns.get_all(key).any(|value| serde_json::from_str::<Vec<Option<String>>>(value.get()).is_err()) {
            dns.remove(key);
        }
    }
    if dns.get_all("domain").any(|value| serde_json::from_str::<String>(value.get()).is_err()) {
        dns.remove("domain");
    }
    dns
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
