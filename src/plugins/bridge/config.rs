//! The configuration, every key checked.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::cni::args::Args;
use crate::cni::{Error, Object, names};
use crate::kernel::netlink::Vlans;
use crate::plugins::Choice;
use crate::plugins::ipam::read;
use crate::plugins::keys::{self, AskedMac, boolean};

/// Keys of the configuration, beside those of every plugin.
const KEYS: [&str; 16] = [
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "ipMasqBackend",
    "mtu",
    "hairpinMode",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "macspoofchk",
    "enabledad",
    "disableContainerInterface",
    "portIsolation",
];

/// Keys of an element of `vlanTrunk`.
const TRUNK_KEYS: [&str; 3] = ["minID", "maxID", "id"];

/// The bridge of a configuration that names none.
const DEFAULT_BRIDGE: &str = "cni0";

/// The last VLAN (IEEE 802.1Q keeps 0 and 4095 for itself).
const LAST_VLAN: u16 = 4094;

/// MTUs in bytes that a veth and a bridge take (ETH_MIN_MTU and ETH_MAX_MTU of `linux/if_ether.h`).
const MTUS: std::ops::RangeInclusive<i64> = 68..=65535;

/// A configuration whose every key was checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bridge's name, which may be an alternative one.
    pub(super) bridge: String,
    /// The node has an address on the bridge, and forwards.
    pub(super) is_gateway: bool,
    /// The pod's default route leads there.
    pub(super) is_default_gateway: bool,
    /// Addresses of the bridge that are in the way are removed.
    pub(super) force_address: bool,
    /// In bytes, of both ends of the pair and of a new bridge.
    pub(super) mtu: Option<u32>,
    pub(super) hairpin: bool,
    pub(super) promiscuous: bool,
    /// A new bridge looks at VLAN tags.
    pub(super) vlan_filtering: bool,
    /// The pod's own.
    pub(super) vlan: Option<u16>,
    /// All VLANs of the port, as they are given to it one after another. A later one takes over the flags of an earlier.
    pub(super) vlans: Vec<Vlans>,
    pub(super) preserve_default_vlan: bool,
    /// The kernel looks for another host that has a new IPv6 address (RFC 4862, RFC 7527).
    pub(super) detect_duplicates: bool,
    /// The pod's interface stays down.
    pub(super) disable_container_interface: bool,
    pub(super) isolated: bool,
    /// The pod's MAC.
    pub(super) mac: Option<[u8; 6]>,
    pub(super) has_ipam: bool,
    /// The configuration's DNS settings stand for the IPAM plugin's.
    pub(super) has_dns: bool,
    pub(super) dns: Option<Box<RawValue>>,
}

impl Config {
    /// # Errors
    /// Code 7, naming the key; code 4 for CNI_ARGS.
    pub(in crate::plugins) fn parse(config: &Object, args: &Args) -> Result<Choice<Self>, Error> {
        if let Some(reason) = keys::reason_to_execute(config, &KEYS) {
            return Ok(Choice::Executed(reason));
        }
        config.text("ipMasqBackend")?;
        for key in ["ipMasq", "macspoofchk"] {
            if boolean(config, key)? {
                let reason = format!("key \"{key}\" is true, and rooknet itself makes no firewall rules");
                return Ok(Choice::Executed(reason));
            }
        }
        let ipam = config.object("ipam")?.unwrap_or_default();
        let ipam_type = ipam.text("type").map_err(|error| error.within("ipam"))?;
        let vlan = vlan(config)?;
        let (trunk, unknown) = trunk(config)?;
        if let Some(key) = unknown {
            return Ok(Choice::Executed(keys::unknown(&key)));
        }
        let mac =
            AskedMac::new("mac", String::new()).or_of_args(args)?.or_of_cni_args(config)?.or_of_runtime(config)?;
        let is_default_gateway = boolean(config, "isDefaultGateway")?;
        let config = Config {
            bridge: config.get_as("bridge")?.unwrap_or_else(|| DEFAULT_BRIDGE.to_owned()),
            is_gateway: boolean(config, "isGateway")? || is_default_gateway,
            is_default_gateway,
            force_address: boolean(config, "forceAddress")?,
            mtu: mtu(config)?,
            hairpin: boolean(config, "hairpinMode")?,
            promiscuous: boolean(config, "promiscMode")?,
            // As in the reference: also for a trunk in which nothing is.
            vlan_filtering: vlan.is_some() || config.get("vlanTrunk").is_some(),
            vlan,
            vlans: vlans(vlan, &trunk),
            preserve_default_vlan: boolean(config, "preserveDefaultVlan")?,
            detect_duplicates: boolean(config, "enabledad")?,
            disable_container_interface: boolean(config, "disableContainerInterface")?,
            isolated: boolean(config, "portIsolation")?,
            mac: mac.parse()?,
            has_ipam: !ipam_type.is_empty(),
            has_dns: has_dns(config)?,
            dns: keys::dns(config)?,
        };
        config.refuse_contradictions()?;
        Ok(Choice::Native(config))
    }

    /// Keys that do not go together.
    fn refuse_contradictions(&self) -> Result<(), Error> {
        names::interface(&self.bridge).map_err(|error| error.within("key \"bridge\""))?;
        if self.has_ipam && self.disable_container_interface {
            return Err(Error::config(
                "keys \"ipam\" and \"disableContainerInterface\" do not go together: an interface that stays down has \
                 no use for addresses; remove one of them",
            ));
        }
        if self.hairpin && self.promiscuous {
            return Err(Error::config(
                "keys \"hairpinMode\" and \"promiscMode\" do not go together: pods would get frames twice; set one of \
                 them to false",
            ));
        }
        if let Some(gateway) = self.vlan_gateway(&self.bridge) {
            names::interface(&gateway).map_err(|error| error.within("key \"bridge\" with \"vlan\" and a gateway"))?;
        }
        Ok(())
    }

    /// Whether the node has the gateway's address.
    pub(super) fn has_gateway(&self) -> bool {
        self.is_gateway && self.has_ipam
    }

    /// Whether the gateway's address is on the bridge itself.
    pub(super) fn has_gateway_on_bridge(&self) -> bool {
        self.has_gateway() && self.vlan.is_none()
    }

    /// The interface that has the gateway's address in the pod's VLAN, on the bridge of this name.
    pub(super) fn vlan_gateway(&self, bridge: &str) -> Option<String> {
        self.vlan.filter(|_| self.has_gateway()).map(|vlan| format!("{bridge}.{vlan}"))
    }
}

/// The key `mtu`: what is not above 0 leaves it to the kernel, as in the reference.
fn mtu(config: &Object) -> Result<Option<u32>, Error> {
    let mtu: i64 = config.get_as("mtu")?.unwrap_or_default();
    match u32::try_from(mtu) {
        Ok(bytes) if MTUS.contains(&mtu) => Ok(Some(bytes)),
        _ if mtu <= 0 => Ok(None),
        _ => Err(Error::config(format!(
            "key \"mtu\" is {mtu}: it must be 0, for the kernel's choice, or {} to {} bytes",
            MTUS.start(),
            MTUS.end()
        ))),
    }
}

/// The key `vlan`; 0 and absent are none.
fn vlan(config: &Object) -> Result<Option<u16>, Error> {
    let vlan: i64 = config.get_as("vlan")?.unwrap_or_default();
    match u16::try_from(vlan) {
        Ok(0) => Ok(None),
        Ok(vlan) if vlan <= LAST_VLAN => Ok(Some(vlan)),
        _ => Err(Error::config(format!("key \"vlan\" is {vlan}: it must be 1 to {LAST_VLAN}, or 0 for none"))),
    }
}

/// The key `vlanTrunk`, and the place of a key in it that is not known.
fn trunk(config: &Object) -> Result<(BTreeSet<u16>, Option<String>), Error> {
    let mut trunk = BTreeSet::new();
    let mut unknown = None;
    for (place, element) in read::objects(config, "vlanTrunk")? {
        let read = || {
            let (first, last) = (trunk_vlan(&element, "minID")?, trunk_vlan(&element, "maxID")?);
            let range = match (first, last) {
                (Some(first), Some(last)) if first > last => {
                    return Err(Error::config(format!(
                        "key \"minID\" is {first} and \"maxID\" {last}: the former must not be above the latter"
                    )));
                }
                (Some(first), Some(last)) => Some(first..=last),
                (None, None) => None,
                (None, Some(_)) => return Err(Error::config("key \"minID\" is missing beside \"maxID\"")),
                (Some(_), None) => return Err(Error::config("key \"maxID\" is missing beside \"minID\"")),
            };
            Ok((range, trunk_vlan(&element, "id")?))
        };
        let (range, id) = read().map_err(|error: Error| error.within(&format!("key \"{place}\"")))?;
        trunk.extend(range.into_iter().flatten().chain(id));
        let found = element.unknown_keys(&TRUNK_KEYS).next().map(|key| format!("{place}.{key}"));
        unknown = unknown.or(found);
    }
    Ok((trunk, unknown))
}

fn trunk_vlan(element: &Object, key: &str) -> Result<Option<u16>, Error> {
    let wrong = |id: i64| Error::config(format!("key \"{key}\" is {id}: it must be 1 to {LAST_VLAN}"));
    let valid = |id: i64| u16::try_from(id).ok().filter(|id| (1..=LAST_VLAN).contains(id)).ok_or_else(|| wrong(id));
    element.get_as::<i64>(key)?.map(valid).transpose()
}

/// The VLANs of the port in the reference's order: the pod's own, those of the trunk, and without one of its own
/// VLAN 1 for a trunk's untagged frames.
fn vlans(vlan: Option<u16>, trunk: &BTreeSet<u16>) -> Vec<Vlans> {
    let untagged = |id| Vlans { pvid: true, untagged: true, ..Vlans::one(id) };
    let mut vlans: Vec<Vlans> = vlan.map(untagged).into_iter().collect();
    let mut range: Option<Vlans> = None;
    for id in trunk {
        range = Some(match range {
            Some(open) if open.last.checked_add(1) == Some(*id) => Vlans { last: *id, ..open },
            closed => {
                vlans.extend(closed);
                Vlans::one(*id)
            }
        });
    }
    vlans.extend(range);
    if vlan.is_none() && !trunk.is_empty() {
        vlans.push(untagged(1));
    }
    vlans
}

/// Whether the configuration has DNS settings, which stand for the IPAM plugin's then: as in the reference, also a list
/// in which nothing is.
fn has_dns(config: &Object) -> Result<bool, Error> {
    let Some(dns) = config.object("dns")? else { return Ok(false) };
    let has_list = ["nameservers", "search", "options"].iter().any(|key| dns.get(key).is_some());
    Ok(has_list || !dns.text("domain").map_err(|error| error.within("dns"))?.is_empty())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
