//! rooknet's configuration on this node: the conflist in which its entry stands, and the installation's record.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::{Finding, Place, table};
use crate::cni::names::OWN_TYPE;
use crate::cni::network::Network;
use crate::cni::text::printable_path;
use crate::cni::{Error, Object, Version};
use crate::engine::collect::Collector;
use crate::engine::config::{DEFAULT_BIN_DIR, DEFAULT_STATE_DIR};
use crate::engine::settings::Settings;
use crate::state::files::{self, described};
use crate::state::installation::{self, DEFAULT_CONF_DIR, Mode, Record};
use crate::state::{host, networks};

/// Our conflist's usual name.
const CONFLIST: &str = "00-rooknet.conflist";
/// Bytes of a conflist, at most.
const SIZE_LIMIT: u64 = networks::MAX_NETWORK_BYTES;

/// rooknet's entry on this node, for people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The conflist.
    pub path: PathBuf,
    /// Its `name`: the network of the runtime.
    pub name: String,
    /// Its `cniVersion`.
    pub cni_version: String,
    /// How it uses the primary network: `chained` or `delegating`.
    pub mode: &'static str,
}

/// The primary network.
#[derive(Clone, Debug, Serialize)]
pub struct Primary {
    /// Its name.
    pub name: String,
    /// The file that it was taken from; `None` without a record of the installation.
    pub file: Option<String>,
}

/// What is known of the configuration, for the other parts of an examination.
pub(super) struct Known {
    pub(super) bin_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) node: String,
    pub(super) shown: Option<Configuration>,
    pub(super) primary: Option<Primary>,
    /// The conflist with rooknet's entry, byte for byte.
    pub(super) source: Option<String>,
    /// A network of rooknet's entry alone: to run its STATUS.
    pub(super) own: Option<Network>,
    /// `None` when the entry is missing or invalid.
    pub(super) settings: Option<Settings>,
    /// By the entry, or by the defaults without one.
    pub(super) collector: Collector,
}

/// Reads it. What is wrong becomes findings; the rest of the examination goes on with the defaults.
pub(super) fn read(place: &Place) -> Result<(Known, Vec<Finding>)> {
    let mut findings = Vec::new();
    let record = installation::read(&place.config_dir).unwrap_or_else(|error| {
        findings.push(Finding::of(&table::CONFIGURATION_INVALID, error));
        None
    });
    let of_record = |path: fn(&Record) -> &PathBuf| record.as_ref().map(|record| path(record).clone());
    let conf_dir = place.conf_dir.clone().or_else(|| of_record(|record| &record.conf_dir));
    let conf_dir = conf_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_CONF_DIR));
    let bin_dir = place.bin_dir.clone().or_else(|| of_record(|record| &record.bin_dir));
    let bin_dir = bin_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_BIN_DIR));
    let state_dir = place.state_dir.clone().or_else(|| of_record(|record| &record.state_dir));
    let state_dir = state_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR));

    let found = find(&conf_dir, record.as_ref(), &mut findings);
    let mut known = Known {
        collector: Collector::without_entry(OWN_TYPE, &state_dir, &bin_dir)?,
        state_dir,
        node: record.as_ref().and_then(recorded_name).unwrap_or_else(host::name),
        shown: None,
        primary: None,
        source: None,
        own: None,
        settings: None,
        bin_dir,
    };
    if let Some(found) = found {
        use_entry(&mut known, found, place.state_dir.as_deref(), &mut findings);
    }
    known.primary = primary(record.as_ref(), known.shown.as_ref());
    Ok((known, findings))
}

/// The node's name as it was installed: where the conflist is gone, nothing else has it, and a host's may be another.
fn recorded_name(record: &Record) -> Option<String> {
    record.keys.get("nodeName").and_then(serde_json::Value::as_str).map(str::to_owned)
}

/// A conflist with rooknet's entry.
struct Found {
    path: PathBuf,
    text: String,
    name: String,
    version: Version,
    own: Object,
}

/// Finds the conflist with rooknet's entry, and judges where it stands.
fn find(conf_dir: &Path, record: Option<&Record>, findings: &mut Vec<Finding>) -> Option<Found> {
    let mut names = match files::names(conf_dir) {
        Ok(names) => names,
        Err(error) => {
            findings.push(Finding::of(&table::NOT_INSTALLED, error));
            return None;
        }
    };
    names.retain(|name| [".conf", ".conflist", ".json"].iter().any(|extension| name.ends_with(extension)));
    names.sort();
    let usual = record.map_or(CONFLIST, |record| record.conflist.as_str());
    // The usual one first: a copy of somebody's behind it is not what counts.
    let ordered = names.iter().filter(|name| *name == usual).chain(names.iter().filter(|name| *name != usual));
    let mut found = None;
    for name in ordered {
        let path = conf_dir.join(name);
        match entry(&path) {
            Ok(Some(own)) => {
                found = Some(own);
                break;
            }
            Ok(None) => {}
            Err(error) if name == usual => findings.push(Finding::of(&table::CONFIGURATION_INVALID, error)),
            // Somebody else's: it matters only when it comes first, and then that is said.
            Err(_) => {}
        }
    }
    let Some(found) = found else {
        if findings.is_empty() {
            let directory = printable_path(conf_dir);
            findings.push(Finding::of(
                &table::NOT_INSTALLED,
                format_args!("no file in {directory} has an entry of type {OWN_TYPE:?}"),
            ));
        }
        return None;
    };
    if let Some(first) = names.first().map(|name| conf_dir.join(name)).filter(|first| *first != found.path) {
        findings.push(Finding::of(
            &table::NOT_FIRST,
            format_args!("{} comes before {}", described(&first), described(&found.path)),
        ));
    }
    Some(found)
}

/// rooknet's entry in a file; `None` when it has none. Not by [`Network::parse`]: to that, a meta-plugin is no plugin.
fn entry(path: &Path) -> Result<Option<Found>, Error> {
    let about = described(path);
    let Some(text) = files::read_text(path, SIZE_LIMIT)? else { return Ok(None) };
    let list = Object::parse(&about, &text)?;
    let is_own = |plugin: &Object| plugin.text("type").is_ok_and(|found| found == OWN_TYPE);
    let plugins = list.get_as::<Vec<Object>>("plugins").map_err(|error| error.within(&about))?;
    let own = match plugins {
        Some(plugins) => plugins.into_iter().find(is_own),
        None => is_own(&list).then(|| list.clone()),
    };
    let Some(mut own) = own else { return Ok(None) };
    let read = || -> Result<(String, Version), Error> { Ok((list.text("name")?, list.text("cniVersion")?.parse()?)) };
    let (name, version) = read().map_err(|error| error.within(&about))?;
    own.set_value("name", &name)?;
    own.set_value("cniVersion", &version.as_str())?;
    Ok(Some(Found { path: path.to_owned(), text, name, version, own }))
}

fn use_entry(known: &mut Known, found: Found, state_dir: Option<&Path>, findings: &mut Vec<Finding>) {
    let Found { path, text, name, version, mut own } = found;
    known.source = Some(text);
    known.own = runnable(&own).ok();
    let collector = (|| -> Result<Collector> {
        if let Some(state_dir) = state_dir {
            own.set_value("stateDir", &state_dir)?;
        }
        Collector::new(own.to_raw()?.get())
    })();
    let collector = match collector {
        Ok(collector) => collector,
        Err(error) => {
            findings.push(invalid(&path, &error));
            return;
        }
    };
    let settings = Settings::parse(collector.config()).map_err(|error| findings.push(invalid(&path, &error))).ok();
    known.state_dir.clone_from(&collector.config().state_dir);
    known.node = settings.as_ref().map_or_else(host::name, Settings::node_name);
    if !version.has_gc_and_status() {
        let about = described(&path);
        findings.push(Finding::of(&table::VERSION_OLD, format_args!("{about} has cniVersion {version}")));
    }
    let mode = if collector.config().is_delegating() { Mode::Delegating } else { Mode::Chained };
    known.shown = Some(Configuration { path, name, cni_version: version.to_string(), mode: mode.as_str() });
    known.settings = settings;
    known.collector = collector;
}

/// A network of rooknet's entry alone, by which its STATUS is run as any plugin's. It takes its type back only after it
/// was parsed: no network may have rooknet as its plugin.
fn runnable(own: &Object) -> Result<Network, Error> {
    let mut other = own.clone();
    other.set_value("type", &"other")?;
    let mut network = Network::parse("rooknet's entry", other.to_raw()?.get(), None)?;
    for plugin in &mut network.plugins {
        OWN_TYPE.clone_into(&mut plugin.type_name);
        plugin.object.set_value("type", &OWN_TYPE)?;
    }
    Ok(network)
}

fn invalid(path: &Path, error: &anyhow::Error) -> Finding {
    Finding::of(&table::CONFIGURATION_INVALID, format_args!("{}: {error:#}", described(path)))
}

fn primary(record: Option<&Record>, shown: Option<&Configuration>) -> Option<Primary> {
    let recorded = record.and_then(|record| record.primary.as_ref());
    match recorded {
        Some(primary) => Some(Primary { name: primary.name.clone(), file: Some(primary.file.clone()) }),
        None => shown.map(|shown| Primary { name: shown.name.clone(), file: None }),
    }
}
