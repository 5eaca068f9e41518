//! The keys of our entry, and who gives them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::value::RawValue;

use super::Options;
use crate::cni::Object;
use crate::cni::text::printable_path;
use crate::state::installation;

/// The file of the administrator with keys for our entry.
const OPTIONS: &str = "options.json";

/// The keys of our entry: the options' own, then the administrator's file, then the command line.
pub(super) fn of(options: &Options) -> Result<Vec<(String, Box<RawValue>)>> {
    let mut keys = Object::new();
    if let Some(kubeconfig) = &options.kubeconfig {
        keys.set_value("kubeconfig", kubeconfig)?;
    }
    if let Some(name) = &options.node_name {
        keys.set_value("nodeName", name)?;
    }
    keys.set_value("logFile", &options.log_file)?;
    if options.state_dir != Path::new(crate::engine::config::DEFAULT_STATE_DIR) {
        keys.set_value("stateDir", &options.state_dir)?;
    }
    if options.bin_dir != Path::new(crate::engine::config::DEFAULT_BIN_DIR) {
        keys.set_value("binDir", &options.bin_dir)?;
    }
    let file = options.config_dir.join(OPTIONS);
    if let Some(text) = installation::read_conf(&options.config_dir, OPTIONS)? {
        let about = || printable_path(&file);
        let object = Object::parse("it", &text).with_context(about)?;
        for (key, value) in object.iter() {
            keys.set(key, value.to_owned());
        }
    }
    // Sorted, as they come back from the record: the same keys are the same text.
    let given: BTreeMap<&String, &Box<RawValue>> = options.keys.iter().map(|(key, value)| (key, value)).collect();
    for (key, value) in given {
        keys.set(key, value.clone());
    }
    Ok(keys.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// The same as they are kept in the record.
pub(super) fn values(keys: &[(String, Box<RawValue>)]) -> Result<BTreeMap<String, serde_json::Value>> {
    let value = |value: &RawValue| serde_json::from_str(value.get());
    keys.iter().map(|(key, raw)| Ok((key.clone(), value(raw)?))).collect()
}
