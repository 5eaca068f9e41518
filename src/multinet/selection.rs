//! The selection annotation: which networks a pod asks for, in both forms of the standard (4.1).
//!
//! The standard says that an invalid annotation shall be ignored. rooknet fails the pod instead, because a storage
//! daemon without its network is worse than one that does not start. So every key of every element is checked here,
//! and an error names annotation, element, key and value.
//!
//! Decisions where the standard leaves room:
//! - Keys are read as Go reads them (any letter case, the last duplicate wins, `null` is absent), because annotations
//!   written for Multus were. An empty text is absent too: templates write `"mac": ""`.
//! - Unknown keys of an element are passed over, as Multus does; those without a period (which the standard reserves)
//!   are kept in [`Selection::unknown_keys`], so that the caller can log what is probably a misspelling.
//! - `default-route` may be an empty list: the attachment keeps the default routes that its own plugins set, and the
//!   others lose theirs. More than one gateway of a family is refused (no ECMP), as in Multus.

use std::net::IpAddr;

use serde_json::value::RawValue;

use super::object_names::{LABEL_RULE, SUBDOMAIN_RULE, is_label, is_subdomain};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object, names};

mod values;

#[cfg(test)]
mod tests;

/// Key of the annotation.
pub const ANNOTATION: &str = "k8s.v1.cni.cncf.io/networks";
/// Multus's annotation that replaces the default network.
pub const DEFAULT_NETWORK_ANNOTATION: &str = "v1.multus-cni.io/default-network";
/// Bytes of an annotation, at most (Kubernetes bounds all annotations of an object to 256 KiB).
pub const MAX_ANNOTATION_BYTES: usize = 262_144;
/// Elements of a selection, at most.
pub const MAX_ELEMENTS: usize = 128;

/// The keys of an element that are read; `interfaceRequest` is the old name of `interface`.
const KEYS: [&str; 13] = [
    "name",
    "namespace",
    "interface",
    "interfaceRequest",
    "ips",
    "mac",
    "infiniband-guid",
    "portMappings",
    "bandwidth",
    "deviceID",
    "cni-args",
    "default-route",
    "ipam-claim-reference",
];

/// One element.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Namespace of the NetworkAttachmentDefinition; the pod's when the element names none. An RFC 1123 label.
    pub namespace: String,
    /// Name of the NetworkAttachmentDefinition. An RFC 1123 subdomain.
    pub name: String,
    /// Interface name asked for.
    pub interface: Option<String>,
    /// Keys for runtimeConfig under their capability's name (`ips`, `mac`, `infinibandGUID`, `portMappings`,
    /// `bandwidth`), in this order, with the checked value in the shape of CNI's CONVENTIONS.md. The network must
    /// declare each of these capabilities (standard, 4.1.2.1.3 to .10): the caller checks it.
    pub runtime_config: Vec<(&'static str, Box<RawValue>)>,
    /// Key `deviceID`: printable ASCII without spaces.
    pub device_id: Option<String>,
    /// Key `cni-args`, to be merged into `args.cni`.
    pub cni_args: Option<Object>,
    /// Gateways of the key `default-route`: at most one of each family.
    pub default_route: Vec<IpAddr>,
    /// Whether the key `default-route` is there, be it with an empty list: then this attachment owns the default
    /// routes of both families, by the gateways that its own plugins chose.
    pub takes_default_route: bool,
    /// Key `ipam-claim-reference`: the name of an IPAMClaim. Never together with `ips`.
    pub ipam_claim_reference: Option<String>,
    /// Keys without a period that the standard does not know: passed over, worth a line in the log. Printable.
    pub unknown_keys: Vec<String>,
}

impl Selection {
    /// `namespace/name`.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether this attachment is to own the default route of a family.
    fn owns_default_route(&self, ipv4: bool) -> bool {
        self.takes_default_route
            && (self.default_route.is_empty() || self.default_route.iter().any(|gateway| gateway.is_ipv4() == ipv4))
    }
}

/// The networks (`namespace/name`) that are selected and not among those that a pod has, in the selection's order. Each
/// that it has serves one element: a network can be selected several times.
pub fn missing<'a>(selections: &[Selection], had: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut missing: Vec<String> = selections.iter().map(Selection::reference).collect();
    for network in had {
        if let Some(position) = missing.iter().position(|wanted| wanted == network) {
            missing.remove(position);
        }
    }
    missing
}

/// Parses the annotation. `default_namespace` is the pod's, `None` when unknown (then an element without namespace is
/// an error). A blank text selects nothing. The default routes of the elements are checked against each other.
///
/// # Errors
/// Code 7, naming annotation, element, key and value, for anything that the standard does not allow, and for a text
/// beyond [`MAX_ANNOTATION_BYTES`] or [`MAX_ELEMENTS`].
pub fn parse(annotation_key: &str, text: &str, default_namespace: Option<&str>) -> Result<Vec<Selection>, Error> {
    if text.len() > MAX_ANNOTATION_BYTES {
        return Err(Error::config(format!(
            "annotation {annotation_key} has {} bytes: at most {MAX_ANNOTATION_BYTES} are allowed",
            text.len()
        )));
    }
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    // The standard's own test (and Multus's) for which of the two forms it is.
    let selections = if text.contains(['[', '{', '"']) {
        parse_json(annotation_key, text, default_namespace)?
    } else {
        parse_comma(annotation_key, text, default_namespace)?
    };
    check_default_routes(annotation_key, &selections)?;
    Ok(selections)
}

/// Parses an annotation that may select one network at most: [`DEFAULT_NETWORK_ANNOTATION`].
///
/// # Errors
/// Those of [`parse`], and code 7 for more than one element.
pub fn parse_one(
    annotation_key: &str,
    text: &str,
    default_namespace: Option<&str>,
) -> Result<Option<Selection>, Error> {
    let mut selections = parse(annotation_key, text, default_namespace)?;
    if selections.len() > 1 {
        return Err(Error::config(format!(
            "annotation {annotation_key} has {} elements: exactly one network can be the default network",
            selections.len()
        )));
    }
    Ok(selections.pop())
}

/// Checks that the default route of each family has one owner at most.
///
/// # Errors
/// Code 7, naming both elements.
pub fn check_default_routes(annotation_key: &str, selections: &[Selection]) -> Result<(), Error> {
    for (family, ipv4) in [("IPv4", true), ("IPv6", false)] {
        let mut owners = (1_usize..).zip(selections).filter(|(_, selection)| selection.owns_default_route(ipv4));
        if let (Some((first, a)), Some((second, b))) = (owners.next(), owners.next()) {
            return Err(Error::config(format!(
                "annotation {annotation_key}, elements {first} ({}) and {second} ({}), key default-route: both take the \
                 {family} default route, a pod can have it on one interface only",
                a.reference(),
                b.reference()
            )));
        }
    }
    Ok(())
}

/// The JSON form: a list of objects, or one object.
fn parse_json(annotation: &str, text: &str, default_namespace: Option<&str>) -> Result<Vec<Selection>, Error> {
    let elements: Vec<&RawValue> = if text.starts_with('{') {
        serde_json::from_str(text).map(|element| vec![element])
    } else {
        serde_json::from_str(text)
    }
    .map_err(|error| {
        Error::config(format!(
            "annotation {annotation} is not a JSON list of objects (line {}, column {}): write [{{\"name\": \"…\"}}], or \
             names separated by commas",
            error.line(),
            error.column()
        ))
    })?;
    check_count(annotation, elements.len())?;
    (1_usize..)
        .zip(elements)
        .map(|(number, text)| Element::parse(annotation, number, text)?.selection(default_namespace))
        .collect()
}

/// The comma form: `[namespace/]name[@interface]`, separated by commas.
fn parse_comma(annotation: &str, text: &str, default_namespace: Option<&str>) -> Result<Vec<Selection>, Error> {
    check_count(annotation, text.split(',').count())?;
    (1_usize..)
        .zip(text.split(','))
        .map(|(number, item)| {
            let item = item.trim();
            let place = Place { annotation, number, label: shortened(item) };
            if item.is_empty() {
                return Err(place.fail("is empty: write [namespace/]name[@interface] between two commas"));
            }
            let (reference, interface) = match item.split_once('@') {
                None => (item, None),
                Some((reference, interface)) => (reference, Some(interface.trim())),
            };
            let (namespace, name) = match reference.split_once('/') {
                None => (None, reference.trim()),
                Some((namespace, name)) => (Some(namespace.trim()), name.trim()),
            };
            if interface.is_some_and(|interface| interface.contains('@')) {
                return Err(place.fail("has more than one '@': write [namespace/]name[@interface]"));
            }
            let interface = interface.map(|name| checked_interface(&place, "interface", name)).transpose()?;
            let (namespace, name) = checked_reference(&place, namespace, name, default_namespace)?;
            Ok(Selection { namespace, name, interface, ..Selection::default() })
        })
        .collect()
}

/// Refuses a selection beyond [`MAX_ELEMENTS`].
fn check_count(annotation: &str, count: usize) -> Result<(), Error> {
    if count > MAX_ELEMENTS {
        return Err(Error::config(format!(
            "annotation {annotation} has {count} elements: at most {MAX_ELEMENTS} networks can be selected"
        )));
    }
    Ok(())
}

/// Where in the annotation an error is.
struct Place<'a> {
    annotation: &'a str,
    /// Counted from 1.
    number: usize,
    /// Printable: what the element is about, as far as it is known.
    label: String,
}

impl Place<'_> {
    /// An error on the element as a whole.
    fn fail(&self, what: &str) -> Error {
        let label = if self.label.is_empty() { String::new() } else { format!(" ({})", self.label) };
        Error::config(format!("annotation {}, element {}{label} {what}", self.annotation, self.number))
    }

    /// An error on one key; `value` is printable, `wrong` says what is wrong with it and what would be right.
    fn fail_at(&self, key: &str, value: &str, wrong: &str) -> Error {
        self.fail(&format!("has a wrong value in key {key}: {value} {wrong}"))
    }
}

/// One element of the JSON form, with its place for errors.
struct Element<'a> {
    place: Place<'a>,
    object: Object,
}

impl<'a> Element<'a> {
    fn parse(annotation: &'a str, number: usize, text: &RawValue) -> Result<Self, Error> {
        let mut place = Place { annotation, number, label: String::new() };
        let object = serde_json::from_str::<Object>(text.get()).map_err(|_| {
            place.fail(&format!("is {} and not an object such as {{\"name\": \"…\"}}", shortened(text.get())))
        })?;
        if let Some(name) = object.get("name").and_then(|name| serde_json::from_str::<String>(name.get()).ok()) {
            place.label = shortened(&name);
        }
        Ok(Element { place, object })
    }

    /// Checks everything.
    fn selection(&self, default_namespace: Option<&str>) -> Result<Selection, Error> {
        let Some(name) = self.text("name")? else {
            return Err(self.place.fail("has no key name: it says which NetworkAttachmentDefinition is meant"));
        };
        let namespace = self.text("namespace")?;
        let (namespace, name) = checked_reference(&self.place, namespace.as_deref(), &name, default_namespace)?;
        let (ips, claim) = (self.ips()?, self.ipam_claim_reference()?);
        if ips.is_some() && claim.is_some() {
            return Err(self.place.fail("has both the key ips and the key ipam-claim-reference: keep one of them"));
        }
        let runtime_config = [
            ("ips", ips),
            ("mac", self.hardware_address("mac", 6)?),
            ("infinibandGUID", self.hardware_address("infiniband-guid", 8)?),
            ("portMappings", self.port_mappings()?),
            ("bandwidth", self.bandwidth()?),
        ];
        let default_route = self.default_route()?;
        Ok(Selection {
            namespace,
            name,
            interface: self.interface()?,
            runtime_config: runtime_config.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
            device_id: self.device_id()?,
            cni_args: self.cni_args()?,
            takes_default_route: default_route.is_some(),
            default_route: default_route.unwrap_or_default(),
            ipam_claim_reference: claim,
            unknown_keys: self.unknown_keys(),
        })
    }

    /// Key `interface`, or its old name where the new one is absent.
    fn interface(&self) -> Result<Option<String>, Error> {
        for key in ["interface", "interfaceRequest"] {
            if let Some(name) = self.text(key)? {
                return checked_interface(&self.place, key, &name).map(Some);
            }
        }
        Ok(None)
    }

    /// Keys that the standard reserves and does not define.
    fn unknown_keys(&self) -> Vec<String> {
        self.object
            .iter()
            .map(|(key, _)| key)
            .filter(|key| !key.contains('.') && !KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)))
            .map(shortened)
            .collect()
    }
}

/// The checked namespace and name of an element.
fn checked_reference(
    place: &Place<'_>,
    namespace: Option<&str>,
    name: &str,
    default_namespace: Option<&str>,
) -> Result<(String, String), Error> {
    if !is_subdomain(name) {
        let wrong = format!("is not the name of a NetworkAttachmentDefinition: use {SUBDOMAIN_RULE}");
        return Err(place.fail_at("name", &quoted(name), &wrong));
    }
    let Some(namespace) = namespace.or(default_namespace) else {
        return Err(
            place.fail("names no namespace, and the pod's is not known: write namespace/name, or the key namespace")
        );
    };
    if !is_label(namespace) {
        let wrong = format!("is not the name of a namespace: use {LABEL_RULE}");
        return Err(place.fail_at("namespace", &quoted(namespace), &wrong));
    }
    Ok((namespace.to_owned(), name.to_owned()))
}

/// The checked interface name of an element.
fn checked_interface(place: &Place<'_>, key: &str, name: &str) -> Result<String, Error> {
    // The rule's own message quotes the value.
    names::interface(name)
        .map_err(|error| place.fail(&format!("has a wrong value in key {key}: {}", error.message)))?;
    Ok(name.to_owned())
}
