//! Keys that the main plugins have in common, read as Go reads them: every key of a schema is read, needed or not.

use serde_json::value::RawValue;

use super::ipam::read;
use crate::cni::args::Args;
use crate::cni::text::quoted;
use crate::cni::{Error, Object};

/// Keys that any plugin's configuration may have (specification, sections 1 and 3), and those of a list that Multus
/// hands to a single plugin.
const COMMON: [&str; 13] = [
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "args",
    "capabilities",
    "dns",
    "ipam",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "prevResult",
    "runtimeConfig",
];

/// Why the plugin's executable has to be run, when there is a key that is neither one of its own nor of every plugin.
pub(super) fn reason_to_execute(config: &Object, own: &[&str]) -> Option<String> {
    let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
    config.unknown_keys(&known).next().map(unknown)
}

/// Why a key sends a plugin to its executable.
pub(super) fn unknown(key: &str) -> String {
    format!("key {} is not implemented in rooknet itself", quoted(key))
}

/// The object `dns` of a configuration; `None` when nothing is in it.
///
/// # Errors
/// Naming the key that is wrong.
pub(super) fn dns(config: &Object) -> Result<Option<Box<RawValue>>, Error> {
    // Keys that are no part of it are passed over as in Go: it is data for the runtime, and changes nothing here.
    read::dns(config, &mut Vec::new())?.to_raw()
}

/// The key `mtu` in bytes; 0 and absent leave it to the kernel.
///
/// # Errors
/// For a value that no link can have.
pub(super) fn mtu(config: &Object) -> Result<Option<u32>, Error> {
    let mtu: i64 = config.get_as("mtu")?.unwrap_or_default();
    match u32::try_from(mtu) {
        Ok(0) => Ok(None),
        Ok(mtu) if i32::try_from(mtu).is_ok() => Ok(Some(mtu)),
        _ => Err(Error::config(format!("key \"mtu\" is {mtu}: it must be 0, for the kernel's choice, or bytes"))),
    }
}

/// A boolean as Go reads one: no text.
///
/// # Errors
/// Naming the key.
pub(super) fn boolean(config: &Object, key: &str) -> Result<bool, Error> {
    Ok(config.get_as(key)?.unwrap_or_default())
}

/// The MAC that is asked for: the last of those that are given, by the order of the plugin.
pub(super) struct AskedMac {
    asked: Option<(String, String)>,
}

impl AskedMac {
    /// The configuration's own, under `place` for messages.
    pub(super) fn new(place: &str, text: String) -> Self {
        AskedMac { asked: (!text.is_empty()).then(|| (format!("key \"{place}\""), text)) }
    }

    /// MAC of CNI_ARGS.
    ///
    /// # Errors
    /// Code 4 for pairs that the executed plugin would refuse.
    pub(super) fn or_of_args(self, args: &Args) -> Result<Self, Error> {
        read::check_args(args, &["MAC"])?;
        Ok(match args.get("MAC") {
            Some(text) => AskedMac { asked: Some(("MAC of CNI_ARGS".to_owned(), text.to_owned())) },
            None => self,
        })
    }

    /// `args.cni.mac`.
    ///
    /// # Errors
    /// Naming the key, when it is no text.
    pub(super) fn or_of_cni_args(self, config: &Object) -> Result<Self, Error> {
        let args = config.object("args")?.unwrap_or_default();
        let cni = args.object("cni").map_err(|error| error.within("args"))?.unwrap_or_default();
        let text = cni.text("mac").map_err(|error| error.within("args.cni"))?;
        Ok(if text.is_empty() { self } else { AskedMac::new("args.cni.mac", text) })
    }

    /// `runtimeConfig.mac`.
    ///
    /// # Errors
    /// Naming the key, when it is no text.
    pub(super) fn or_of_runtime(self, config: &Object) -> Result<Self, Error> {
        let runtime = config.object("runtimeConfig")?.unwrap_or_default();
        let text = runtime.text("mac").map_err(|error| error.within("runtimeConfig"))?;
        Ok(if text.is_empty() { self } else { AskedMac::new("runtimeConfig.mac", text) })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Naming where it comes from, when it is no MAC of six bytes, or none that an interface can have.
    pub(super) fn parse(self) -> Result<Option<[u8; 6]>, Error> {
        let Some((place, text)) = self.asked else { return Ok(None) };
        let wrong = || {
            Error::config(format!(
                "{place} is {}: it must be a MAC of six bytes, such as 02:00:00:00:00:01",
                quoted(&text)
            ))
        };
        let mac = mac(&text).ok_or_else(wrong)?;
        // Otherwise the kernel says it, without naming anything.
        if mac == [0; 6] || mac.first().is_some_and(|first| first & 1 == 1) {
            return Err(Error::config(format!(
                "{place} is {}: it must be the MAC of one station, neither a group's nor zeros",
                quoted(&text)
            )));
        }
        Ok(Some(mac))
    }
}

/// A MAC of six bytes in one of the forms of Go's `net.ParseMAC`: `02:…`, `02-…`, `0200.0000.0001`.
pub(super) fn mac(text: &str) -> Option<[u8; 6]> {
    let (separator, digits) = match (text.contains('.'), text.contains('-')) {
        (true, _) => ('.', 4),
        (false, true) => ('-', 2),
        (false, false) => (':', 2),
    };
    let mut bytes = Vec::with_capacity(6);
    for group in text.split(separator) {
        if group.len() != digits || !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u16::from_str_radix(group, 16).ok()?;
        let [high, low] = number.to_be_bytes();
        if digits == 4 {
            bytes.push(high);
        }
        bytes.push(low);
    }
    bytes.try_into().ok()
}
