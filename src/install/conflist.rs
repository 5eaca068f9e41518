//! Our conflist, made of the primary network's configuration and our entry. No I/O.
//!
//! `name` stays the primary's: host-local's store, a runtime's cached results and its GC go by it, and another one makes
//! a runtime tear down running pods. Every plugin stays the text that its author wrote.

use serde_json::value::RawValue;

use crate::cni::names::OWN_TYPE;
use crate::cni::network::{self, Network};
use crate::cni::{Error, Object, Version, json};
use crate::engine::config::{ANNOTATIONS_CAPABILITY, Config};
use crate::engine::settings::Settings;
use crate::state::installation::Mode;

/// Plugins of a network, at most, ours included.
const MOST: usize = 64;

/// Keys of our entry that an administrator may set. A misspelt one would be passed over by the plugin, and with it a
/// policy: so no other is taken here.
pub const KEYS: [&str; 23] = [
    "allowedPlugins",
    "binDir",
    "cniDir",
    "confDir",
    "conflictProbe",
    "deadline",
    "defaultNetworks",
    "events",
    "globalNamespaces",
    "kubeconfig",
    "logFile",
    "logLevel",
    "logOptions",
    "logToStderr",
    "multusNamespace",
    "namespaceIsolation",
    "native",
    "networksDir",
    "nodeName",
    "readinessindicatorfile",
    "statusForAll",
    "statusStrict",
    "systemNamespaces",
];

/// A network that pods have without us.
#[derive(Clone, Debug)]
pub(super) struct Primary {
    /// Its name.
    pub(super) name: String,
    /// The highest version that it lists and rooknet speaks.
    pub(super) version: Version,
    /// Its plugins' types.
    pub(super) types: Vec<String>,
    /// All capabilities that its plugins declare.
    capabilities: Vec<String>,
    /// The list, with all its plugins in it: a plugin alone is a list of one.
    list: Object,
    /// The plugins, as written.
    plugins: Vec<Box<RawValue>>,
}

impl Primary {
    /// Reads a configuration: a list, or a plugin alone. `extra` is asked with the network's name for the plugins that
    /// a runtime adds to the list.
    pub(super) fn read(
        file: &str,
        text: &str,
        extra: impl FnOnce(&str) -> Result<Vec<(String, String)>, String>,
    ) -> Result<Self, String> {
        let checked = Network::parse_with_extra("it", text, None, |name| extra(name).map_err(Error::config))
            .map_err(|error| error.message)?;
        let object = Object::parse("it", text).map_err(|error| error.message)?;
        if text.len() > crate::engine::MAX_INPUT_BYTES || json::is_too_deep(text) {
            return Err("it is too long or too deep for a plugin's input".to_owned());
        }
        let is_list = object.has("plugins");
        if is_list && !file.ends_with(".conflist") && file.contains('.') && super::survey::is_read(file) {
            return Err("it is a list of plugins, and runtimes read lists only from files named .conflist".to_owned());
        }
        let inlined = object.list("plugins", MOST).map_err(|error| error.message)?;
        let make = || -> Result<(Object, Vec<Box<RawValue>>), Error> {
            if !is_list {
                let mut list = Object::new();
                // As libcni makes a list of a plugin.
                for key in ["cniVersion", "name"] {
                    if let Some(value) = object.get(key) {
                        list.set(key, value.to_owned());
                    }
                }
                return Ok((list, vec![object.to_raw()?]));
            }
            let mut list = object.clone();
            let mut plugins = inlined;
            for plugin in checked.plugins.iter().skip(plugins.len()) {
                plugins.push(plugin.object.to_raw()?);
                // They are inlined now; a runtime that read ours would add them once more.
                list.set_value("loadOnlyInlinedPlugins", &true)?;
            }
            Ok((list, plugins))
        };
        let (mut list, plugins) = make().map_err(|error| error.message)?;
        list.set("plugins", RawValue::NULL.to_owned());
        let mut capabilities: Vec<String> = Vec::new();
        for capability in checked.plugins.iter().flat_map(|plugin| &plugin.capabilities) {
            if !capabilities.contains(capability) {
                capabilities.push(capability.clone());
            }
        }
        let types = checked.plugins.iter().map(|plugin| plugin.type_name.clone()).collect();
        Ok(Primary { name: checked.name, version: checked.version, types, capabilities, list, plugins })
    }

    /// Our conflist: with `keys` in our entry, in their order.
    ///
    /// # Errors
    /// A key that is none of [`KEYS`], or a value that the plugin would refuse.
    pub(super) fn with_rooknet(&self, mode: Mode, keys: &[(String, Box<RawValue>)]) -> Result<String, Error> {
        let mut entry = Object::new();
        entry.set_value("type", &OWN_TYPE)?;
        let mut capabilities = Object::new();
        capabilities.set_value(ANNOTATIONS_CAPABILITY, &true)?;
        if mode == Mode::Delegating {
            for capability in &self.capabilities {
                capabilities.set_value(capability, &true)?;
            }
        }
        entry.set("capabilities", capabilities.to_raw()?);
        for (key, value) in keys {
            let known = KEYS.iter().chain(&["stateDir"]).find(|known| known.eq_ignore_ascii_case(key));
            let Some(known) = known else {
                return Err(Error::config(format!(
                    "{} is no key that can be set: these can: {}",
                    crate::cni::text::quoted(key),
                    KEYS.join(", ")
                )));
            };
            entry.set(known, value.clone());
        }
        let mut list = self.list.clone();
        let plugins = match mode {
            Mode::Chained => {
                let mut plugins = self.plugins.clone();
                plugins.push(entry.to_raw()?);
                plugins
            }
            Mode::Delegating => {
                let mut primary = self.list.clone();
                primary.set_value("plugins", &self.plugins)?;
                entry.set_value("delegates", &[primary])?;
                // They are about the primary's plugins, and stay with them.
                for key in ["disableCheck", "disableGC"] {
                    list.remove(key);
                }
                vec![entry.to_raw()?]
            }
        };
        self.check(&entry)?;
        list.set_value("plugins", &plugins)?;
        let text = serde_json::to_string_pretty(&list)
            .map_err(|error| Error::decode(format!("the conflist cannot be written as JSON: {error}")))?;
        Ok(text + "\n")
    }

    /// The text of our entry as a runtime hands it to the plugin.
    ///
    /// # Errors
    /// None in practice.
    fn input(&self, entry: &Object) -> Result<String, Error> {
        let mut input = entry.clone();
        input.set_value("cniVersion", &self.version.as_str())?;
        input.set_value("name", &self.name)?;
        Ok(input.to_raw()?.get().to_owned())
    }

    /// What the plugin would say to its entry.
    fn check(&self, entry: &Object) -> Result<(), Error> {
        let wrong = |error: anyhow::Error| Error::config(format!("the plugin would refuse its entry: {error:#}"));
        let config = Config::parse(&self.input(entry)?).map_err(wrong)?;
        config.log_settings().map_err(wrong)?;
        Settings::parse(&config).map_err(wrong)?;
        Ok(())
    }
}

/// Our entry in the text of our conflist, as the runtime hands it to the plugin: what `engine::collect` goes by.
///
/// # Errors
/// When the text is no conflist of ours.
pub fn entry_of(text: &str) -> Result<String, Error> {
    let list = Object::parse("our conflist", text)?;
    let plugins = list.list("plugins", MOST)?;
    let mut entries = plugins.iter().filter_map(|plugin| Object::parse("plugin", plugin.get()).ok());
    let entry = entries.find(|entry| entry.text("type").is_ok_and(|type_name| type_name == OWN_TYPE));
    let mut input = entry.ok_or_else(|| Error::config("our conflist has no plugin of type rooknet"))?;
    input.set_value("cniVersion", &network::highest_version(&list)?.as_str())?;
    input.set_value("name", &list.text("name")?)?;
    Ok(input.to_raw()?.get().to_owned())
}

#[cfg(test)]
#[path = "conflist_tests.rs"]
mod tests;
