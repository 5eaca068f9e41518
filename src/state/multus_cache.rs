//! Multus's cache: what it attached to a pod before the node moved to rooknet.
//!
//! Multus 3 and 4, thin and thick alike, keep two things below `cniDir` (checked against 3.9.3, 4.2.2 and 4.3.0):
//!
//! - `<cniDir>/<containerID>`, the *scratch file*: a JSON list of delegates in the order of ADD, the default network
//!   first. Of each we read `Bytes` (the configuration, base64), `Name` (`namespace/name`, or the configuration's
//!   name), `ifnameRequest`, and the requests `ipRequest`, `macRequest`, `infinibandGUIDRequest` and `deviceID`. The
//!   interface name is `ifnameRequest`, else CNI_IFNAME for entry 0 and `net<index>` for the others.
//! - `<cniDir>/results/<network>-<containerID>-<ifname>`: libcni's cache of one attachment: the configuration
//!   (base64), CNI_ARGS, capability arguments and the result. libcni before 0.8 wrote the bare result.
//!
//! The scratch file says what to delete, the results what to delete it with. Multus removes the scratch file even when
//! its DEL fails (unless `retryDeleteOnError`), libcni removes a result only after a DEL that succeeded: so results
//! without a scratch file are what a failed DEL left, and are deleted too.
//!
//! A corrupt scratch file is an error, for it hides attachments. A corrupt result is logged and passed over: a plugin
//! must manage a DEL without `prevResult`, and failing would hold the pod back for good.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::files::{self, described, read_text};
use crate::cni::{Error, Object, names};

#[cfg(test)]
mod tests;

/// Bytes of a scratch file, at most: it holds each configuration about three times.
const MAX_SCRATCH_BYTES: u64 = 16 << 20;
/// Bytes of one cached result, at most.
const MAX_RESULT_BYTES: u64 = 4 << 20;
/// Delegates of a scratch file, at most; the annotation allows 128 elements beside the default networks.
const MAX_DELEGATES: usize = 1024;

/// One network that Multus attached.
#[derive(Clone, Debug)]
pub struct CachedAttachment {
    /// The configuration's `name`, by which IPAM and libcni know the network.
    pub network: String,
    /// Multus's name for it: `namespace/name`, or the configuration's name.
    pub reference: String,
    /// The configuration: one plugin or a list, with the selection's `cni-args` and device merged in.
    pub config: String,
    /// CNI_IFNAME of the attachment.
    pub ifname: String,
    /// Whether this is the default network: in chained mode the runtime deletes that one itself.
    pub is_default: bool,
    /// CNI_ARGS of the attachment, when a result is cached.
    pub args: Option<String>,
    /// Capability arguments: those of the ADD when a result is cached, else what the scratch file holds of them
    /// (`ips`, `mac`, `infinibandGUID`, `deviceID`; never `portMappings` and `bandwidth`).
    pub runtime_config: Object,
    /// The result of the ADD, for `prevResult`.
    pub result: Option<Box<RawValue>>,
    /// The file of the cached result, when there is one; [`remove`] removes it, corrupt or not.
    pub result_file: Option<PathBuf>,
}

/// What Multus attached to a container, in the order of ADD (newest last); `None` when it knows nothing of it.
/// `ifname` is CNI_IFNAME of the runtime's call: the default network's.
///
/// # Errors
/// Code 4 for a container id that is none, code 5 when a file or the directory cannot be read, code 6 when the
/// scratch file is corrupt, naming it. Then [`results_of`] may still know the attachments.
pub fn read(cni_dir: &Path, container_id: &str, ifname: &str) -> Result<Option<Vec<CachedAttachment>>, Error> {
    names::container_id(container_id)?;
    let path = cni_dir.join(container_id);
    let Some(text) = read_text(&path, MAX_SCRATCH_BYTES)? else {
        return Ok(Some(results_of(cni_dir, container_id, ifname)?).filter(|found| !found.is_empty()));
    };
    let corrupt = |what: String| Error::decode(format!("{} of Multus is corrupt: {what}", described(&path)));
    let delegates: Vec<Object> = serde_json::from_str(&text).map_err(|error| {
        corrupt(format!("it is not a list of delegates (line {}, column {})", error.line(), error.column()))
    })?;
    if delegates.is_empty() || delegates.len() > MAX_DELEGATES {
        return Err(corrupt(format!("it lists {} delegates, expected are 1 to {MAX_DELEGATES}", delegates.len())));
    }
    let attachments = delegates.iter().enumerate().map(|(index, delegate)| {
        attachment(cni_dir, container_id, ifname, index, delegate)
            .map_err(|error| corrupt(format!("delegate {index}: {}", error.message)))
    });
    attachments.collect::<Result<Vec<_>, _>>().map(Some)
}

/// What libcni's cached results alone say of a container: the default network first, the others in the order in which
/// they were written. Empty when there is none. Corrupt results are logged and passed over.
///
/// # Errors
/// Code 4 for a container id that is none, code 5 when the directory cannot be listed.
pub fn results_of(cni_dir: &Path, container_id: &str, ifname: &str) -> Result<Vec<CachedAttachment>, Error> {
    names::container_id(container_id)?;
    let directory = cni_dir.join("results");
    let infix = format!("-{container_id}-");
    let mut found = Vec::new();
    for path in files::paths(&directory)? {
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(&infix)) {
            continue;
        }
        let written = path.symlink_metadata().and_then(|metadata| metadata.modified());
        let written = written.unwrap_or(SystemTime::UNIX_EPOCH);
        let Some(cached) = cached_result(&path).filter(|cached| cached.container_id == container_id) else { continue };
        let Some(config) = cached.config else { continue };
        let attachment = CachedAttachment {
            reference: cached.network.clone(),
            network: cached.network,
            config,
            is_default: cached.ifname == ifname,
            ifname: cached.ifname,
            args: cached.args,
            runtime_config: cached.runtime_config,
            result: cached.result,
            result_file: Some(path.clone()),
        };
        found.push((!attachment.is_default, written, path, attachment));
    }
    found.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
    Ok(found.into_iter().map(|(.., attachment)| attachment).collect())
}

/// CNI_IFNAME of a pod's default network, which a scratch file does not say: the kubelet's runtimes all use this one.
const DEFAULT_IFNAME: &str = "eth0";

/// Every attachment that Multus made and has not deleted, of all containers: network name, container id, interface.
/// Either half of the cache is enough: people prune the results, and Multus drops a scratch file with its first DEL.
/// Corrupt results are logged and passed over.
///
/// # Errors
/// Code 5 when a directory cannot be listed; one that does not exist has none. Code 6 for a corrupt scratch file, as it
/// hides attachments.
pub fn all_attachments(cni_dir: &Path) -> Result<Vec<(String, String, String)>, Error> {
    let directory = cni_dir.join("results");
    let mut found: Vec<_> = files::names(&directory)?
        .into_iter()
        .filter_map(|name| cached_result(&directory.join(name)))
        .map(|cached| (cached.network, cached.container_id, cached.ifname))
        .collect();
    for container_id in files::names(cni_dir)? {
        if names::container_id(&container_id).is_err() || !cni_dir.join(&container_id).is_file() {
            continue;
        }
        for attachment in read(cni_dir, &container_id, DEFAULT_IFNAME)?.unwrap_or_default() {
            found.push((attachment.network, container_id.clone(), attachment.ifname));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The names of all files of the cache: of a container that Multus knows, corrupt or not, at least one has its id in it.
/// None where there is no cache.
///
/// # Errors
/// Code 5 when a directory cannot be listed.
pub fn file_names(cni_dir: &Path) -> Result<Vec<String>, Error> {
    let mut names = files::names(cni_dir)?;
    names.extend(files::names(&cni_dir.join("results"))?);
    Ok(names)
}

/// Removes a container's cache: the results of `attachments`, then the scratch file, so that a DEL that is killed in
/// between finds the rest.
///
/// # Errors
/// Code 4 for a container id that is none, code 5 when a file cannot be removed; absent ones are fine.
pub fn remove(cni_dir: &Path, container_id: &str, attachments: &[CachedAttachment]) -> Result<(), Error> {
    names::container_id(container_id)?;
    let scratch = cni_dir.join(container_id);
    let results = attachments.iter().filter_map(|attachment| attachment.result_file.as_deref());
    for path in results.chain([scratch.as_path()]) {
        files::remove(path)?;
    }
    Ok(())
}

/// One entry of the scratch file, with its cached result.
fn attachment(
    cni_dir: &Path,
    container_id: &str,
    ifname: &str,
    index: usize,
    delegate: &Object,
) -> Result<CachedAttachment, Error> {
    let config = decode_text("Bytes", &delegate.text("Bytes")?)?;
    let network = Object::parse("the configuration in key Bytes", &config)?.text("name")?;
    let requested = delegate.text("ifnameRequest")?;
    let is_default = index == 0;
    let ifname = match (requested.is_empty(), is_default) {
        (false, _) => requested,
        (true, true) => ifname.to_owned(),
        (true, false) => format!("net{index}"),
    };
    // Both become parts of a path.
    names::network(&network)?;
    names::interface(&ifname)?;
    let path = cni_dir.join("results").join(format!("{network}-{container_id}-{ifname}"));
    let cached = cached_result(&path);
    let result_file = path.symlink_metadata().is_ok().then_some(path);
    let cached = cached.filter(|cached| cached.is_of(&network, container_id, &ifname)).unwrap_or_default();
    let runtime_config = if cached.config.is_some() { cached.runtime_config } else { requests(delegate)? };
    // Multus 4.2 keeps lists read from a file with the known keys only; libcni's copy is whole, but lacks the plugins
    // that were loaded from a directory. So libcni's copy counts when it has the same plugins.
    let config = cached.config.filter(|cached| plugin_types(cached) == plugin_types(&config)).unwrap_or(config);
    let reference = Some(delegate.text("Name")?).filter(|name| !name.is_empty());
    Ok(CachedAttachment {
        reference: reference.unwrap_or_else(|| network.clone()),
        network,
        config,
        ifname,
        is_default,
        args: cached.args,
        runtime_config,
        result: cached.result,
        result_file,
    })
}

/// The capability arguments that a scratch file holds, under their capabilities' names.
fn requests(delegate: &Object) -> Result<Object, Error> {
    let mut runtime_config = Object::new();
    for (key, capability) in [
        ("ipRequest", "ips"),
        ("macRequest", "mac"),
        ("infinibandGUIDRequest", "infinibandGUID"),
        ("deviceID", "deviceID"),
    ] {
        if let Some(value) = delegate.get(key).filter(|value| !["\"\"", "[]"].contains(&value.get())) {
            runtime_config.set(capability, value.to_owned());
        }
    }
    Ok(runtime_config)
}

/// libcni's cache of one attachment.
#[derive(Debug, Default)]
struct CachedResult {
    container_id: String,
    network: String,
    ifname: String,
    config: Option<String>,
    args: Option<String>,
    runtime_config: Object,
    result: Option<Box<RawValue>>,
}

impl CachedResult {
    /// Whether it belongs to this attachment; libcni's old format does not say, its file name does.
    fn is_of(&self, network: &str, container_id: &str, ifname: &str) -> bool {
        self.config.is_none() || (self.network == network && self.container_id == container_id && self.ifname == ifname)
    }
}

/// Reads a cached result; `None` when there is none, or when it is corrupt, which is logged.
fn cached_result(path: &Path) -> Option<CachedResult> {
    let parsed = read_text(path, MAX_RESULT_BYTES).and_then(|text| text.map(|text| parse_result(&text)).transpose());
    parsed.unwrap_or_else(|error| {
        log::warn!("{}, a result cached by Multus, is passed over: {}", described(path), error.message);
        None
    })
}

/// The content of a cached result.
fn parse_result(text: &str) -> Result<CachedResult, Error> {
    let object = Object::parse("it", text)?;
    if !object.has("kind") {
        let result = Some(object.to_raw()?);
        return Ok(CachedResult { result, ..CachedResult::default() });
    }
    if object.text("kind")? != "cniCacheV1" {
        return Err(Error::decode("its kind is not cniCacheV1"));
    }
    let args = object.get_as::<Vec<(String, String)>>("cniArgs")?;
    let cached = CachedResult {
        container_id: object.text("containerId")?,
        network: object.text("networkName")?,
        ifname: object.text("ifName")?,
        config: Some(decode_text("config", &object.text("config")?)?),
        args: args.map(|pairs| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(";")),
        runtime_config: object.get_as("capabilityArgs")?.unwrap_or_default(),
        result: object.get("result").map(ToOwned::to_owned),
    };
    names::network(&cached.network)?;
    names::interface(&cached.ifname)?;
    Ok(cached)
}

/// The types of a configuration's plugins, in order; empty for what is no configuration.
fn plugin_types(config: &str) -> Vec<String> {
    let type_of = |object: &Object| object.text("type").unwrap_or_default();
    let Ok(object) = Object::parse("it", config) else { return Vec::new() };
    match object.get_as::<Vec<Object>>("plugins") {
        Ok(Some(plugins)) => plugins.iter().map(type_of).collect(),
        _ => vec![type_of(&object)],
    }
}

/// A text in base64 under `key`, as Go writes bytes.
fn decode_text(key: &str, text: &str) -> Result<String, Error> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::decode(format!("key {key} does not hold a text in base64")))
}
