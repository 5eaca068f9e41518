//! rooknet's own configuration: its entry in the node's conflist, as the runtime gives it on stdin.
//!
//! Two parts, because a DEL must work whatever has become of the rest: [`Config`] is what every call needs, and
//! [`super::settings::Settings`] what attaching needs; it is parsed, and can fail, only where it is used. Keys of Multus
//! keep their meaning, so changing `type` is a migration; an unknown key is passed over.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cni::{Error, Object, Version, names, text};
use crate::state::log as node_log;

/// Where the plugin's durable state lies unless `stateDir` says otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/rooknet";
/// Where delegates are searched first unless `binDir` says otherwise (Multus's default).
pub const DEFAULT_BIN_DIR: &str = "/opt/cni/bin";
/// Where Multus keeps its cache unless `cniDir` says otherwise (Multus's default).
pub const DEFAULT_CNI_DIR: &str = "/var/lib/cni/multus";
/// The capability by which a runtime passes a pod's annotations (containerd since 1.5, CRI-O since 1.29).
pub const ANNOTATIONS_CAPABILITY: &str = "io.kubernetes.cri.pod-annotations";
/// Elements of each list in the configuration, at most, but for the runtime's list of its attachments.
pub(super) const MAX_ELEMENTS: usize = 1024;

/// What every call needs of the configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `name`: of the runtime's network; journals carry it.
    pub name: String,
    /// `cniVersion`: of the answer.
    pub version: Version,
    /// `prevResult`, where the runtime gives one.
    pub prev_result: Option<Box<RawValue>>,
    /// `runtimeConfig`, empty when absent.
    pub runtime_config: Object,
    /// `cni.dev/valid-attachments` of a GC: `None` when it is absent or null, which is not the same as empty.
    pub valid_attachments: Option<Vec<ValidAttachment>>,
    /// `stateDir`.
    pub state_dir: PathBuf,
    /// `binDir`, searched before CNI_PATH.
    pub bin_dir: PathBuf,
    /// `cniDir`: Multus's cache, for pods that it attached.
    pub cni_dir: PathBuf,
    /// `native`: this process runs the plugins that it can run. What it has is what a call goes by that ends something;
    /// [`super::settings::Settings`] refuses a value of the wrong type.
    pub native: bool,
    /// `conflictProbe`: new IPv4 addresses are probed for before they are used. As for `native`.
    pub conflict_probe: bool,
    /// The configuration as given.
    pub object: Object,
}

/// One element of `cni.dev/valid-attachments` (specification 1.1.0, GC).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ValidAttachment {
    /// The container's id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface's name: the runtime's CNI_IFNAME.
    pub ifname: String,
}

impl Config {
    /// Parses the text of stdin.
    ///
    /// # Errors
    /// Code 6 when it is not a JSON object, 1 for a version that rooknet does not speak, 7 for a missing or invalid key.
    pub fn parse(input: &str) -> Result<Self> {
        let object = Object::parse("the configuration on stdin", input)?;
        let version: Version =
            object.text("cniVersion").context("configuration on stdin")?.parse().context("configuration on stdin")?;
        let name = object.text("name").context("configuration on stdin")?;
        if name.is_empty() {
            return Err(Error::config(
                "the configuration on stdin has no key \"name\": the runtime injects the name of the conflist",
            )
            .into());
        }
        names::network(&name).context("configuration on stdin: key \"name\"")?;
        let about = || format!("configuration {name:?}");
        Ok(Config {
            version,
            prev_result: object.get("prevResult").map(RawValue::to_owned),
            runtime_config: object.get_as("runtimeConfig").with_context(about)?.unwrap_or_default(),
            valid_attachments: object.get_as("cni.dev/valid-attachments").with_context(about)?,
            state_dir: absolute_path(&object, "stateDir", DEFAULT_STATE_DIR).with_context(about)?,
            bin_dir: absolute_path(&object, "binDir", DEFAULT_BIN_DIR).with_context(about)?,
            cni_dir: absolute_path(&object, "cniDir", DEFAULT_CNI_DIR).with_context(about)?,
            native: object.get("native").is_none() || object.flag("native").unwrap_or(true),
            conflict_probe: object.flag("conflictProbe").unwrap_or(false),
            name,
            object,
        })
    }

    /// Where the log goes and how much of it.
    ///
    /// # Errors
    /// Code 7 for a key of the wrong type or an unknown level.
    pub fn log_settings(&self) -> Result<node_log::Settings> {
        let about = || format!("configuration {:?}", self.name);
        let options: Object = self.object.get_as("logOptions").with_context(about)?.unwrap_or_default();
        let max_size_mb: Option<u64> = options.get_as("maxSize").context("logOptions").with_context(about)?;
        let level = self.object.text("logLevel").with_context(about)?;
        Ok(node_log::Settings {
            file: optional_path(&self.object, "logFile").with_context(about)?,
            level: if level.is_empty() {
                node_log::Level::default()
            } else {
                level
                    .parse::<node_log::Level>()
                    .map_err(|error| Error::config(format!("key \"logLevel\": {error}")))
                    .with_context(about)?
            },
            to_stderr: match self.object.get("logToStderr") {
                None => true,
                Some(_) => self.object.flag("logToStderr").with_context(about)?,
            },
            max_size_bytes: max_size_mb.map(|megabytes| megabytes.saturating_mul(1_000_000)),
        })
    }

    /// Keys of `logOptions` that are accepted and do nothing, for a warning.
    pub fn ignored_log_options(&self) -> Vec<String> {
        let options: Object = self.object.get_as("logOptions").ok().flatten().unwrap_or_default();
        options.iter().map(|(key, _)| key.to_owned()).filter(|key| !key.eq_ignore_ascii_case("maxSize")).collect()
    }

    /// Whether this configuration names a default network of its own: then rooknet attaches it (delegating mode),
    /// otherwise it stands behind the primary plugin and takes its result (chained mode).
    pub fn is_delegating(&self) -> bool {
        // A value of the wrong type is meant as one: the settings refuse it where they are needed.
        let delegates = self.object.list("delegates", MAX_ELEMENTS).map_or(true, |list| !list.is_empty());
        delegates || self.object.text("clusterNetwork").map_or(true, |name| !name.is_empty())
    }
}

/// The version in which an error about `input` is written: the configuration's own wherever that can be read, whatever
/// else is wrong with it (specification, section 4, "Error").
pub fn version_of(input: &str) -> Version {
    let read = || Object::parse("the configuration", input)?.text("cniVersion")?.parse();
    read().unwrap_or(Version::NEWEST)
}

/// The absolute path under `key`, or `default`.
pub(super) fn absolute_path(object: &Object, key: &str, default: &str) -> Result<PathBuf, Error> {
    Ok(optional_path(object, key)?.unwrap_or_else(|| PathBuf::from(default)))
}

/// The absolute path under `key`, if any.
pub(super) fn optional_path(object: &Object, key: &str) -> Result<Option<PathBuf>, Error> {
    let value = object.text(key)?;
    if value.is_empty() {
        return Ok(None);
    }
    if !Path::new(&value).is_absolute() || value.contains('\0') {
        return Err(Error::config(format!(
            "key {key:?} has the wrong value {}: it must be an absolute path",
            text::quoted(&value)
        )));
    }
    Ok(Some(PathBuf::from(value)))
}
