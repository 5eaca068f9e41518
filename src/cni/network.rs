//! A network configuration: one list of plugins, whether it was written as one plugin or as a list.
//!
//! Everything above works on one form, and the journal keeps that form: DEL must run the configuration of the ADD, not
//! today's. So a [`Network`] is read once, each plugin keeps its text as written, and [`Network::to_list`] writes a
//! list that reads back as an equal network. Rules that the specification leaves open follow libcni (`libcni/conf.go`
//! and `libcni/api.go` in containernetworking/cni).

use serde_json::value::RawValue;

use super::text::{quoted, shortened};
use super::{Code, Error, Object, Version, json, names};

/// Plugins of one network, at most.
pub const MAX_PLUGINS: usize = 32;

/// Elements of `cniVersions`, at most.
const MAX_VERSIONS: usize = 64;

/// How deep a delegate may have delegates of its own.
const MAX_NESTING: usize = 8;

/// A network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Key `name`.
    pub name: String,
    /// The highest of `cniVersion` and `cniVersions` that rooknet speaks.
    pub version: Version,
    /// `disableCheck`: CHECK succeeds without a call.
    pub disable_check: bool,
    /// `disableGC`: GC succeeds without a call.
    pub disable_gc: bool,
    /// In the order of ADD; at least one.
    pub plugins: Vec<Plugin>,
    /// The list's keys in their order, with `null` in the place of `plugins`.
    list: Object,
}

/// One plugin of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// Key `type`: the name of the executable.
    pub type_name: String,
    /// Key `ipam.type`, when there is one.
    pub ipam_type: Option<String>,
    /// Keys of `capabilities` that are true, letter case as written.
    pub capabilities: Vec<String>,
    /// The plugin's configuration as written.
    pub object: Object,
}

impl Network {
    /// Parses a configuration; `what` names it in errors (`network rook/public, file …`); `default_name` is taken
    /// when the key `name` is missing or empty. A text with a key `plugins` is a list (specification, section 1),
    /// another one is a single plugin.
    ///
    /// # Errors
    /// Code 6 when the text is not a JSON object; code 1 when no version is one that rooknet speaks; code 7 for
    /// anything else, naming key, element and value.
    pub fn parse(what: &str, text: &str, default_name: Option<&str>) -> Result<Self, Error> {
        Network::parse_with_extra(what, text, default_name, |_| Ok(Vec::new()))
    }

    /// The same, where a list may be completed by further plugins' configurations: unless `loadOnlyInlinedPlugins` is
    /// true, `extra` is asked with the network's name and gives (file name, text) of each, in order. A single plugin
    /// is never completed. Only here may `plugins` be absent or empty, when `extra` gives some.
    ///
    /// # Errors
    /// As [`Network::parse`], naming the file where it is one of `extra`'s; and what `extra` returns.
    pub fn parse_with_extra(
        what: &str,
        text: &str,
        default_name: Option<&str>,
        extra: impl FnOnce(&str) -> Result<Vec<(String, String)>, Error>,
    ) -> Result<Self, Error> {
        let object = Object::parse(what, text)?;
        Network::read(object, default_name, extra).map_err(|error| error.within(what))
    }

    /// Whether any plugin declares `capability`.
    pub fn has_capability(&self, capability: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.capabilities.iter().any(|declared| declared == capability))
    }

    /// The network as one configuration list (raw JSON): what the journal keeps. The list's own keys are in their
    /// order, with the fields as they are now; [`Network::parse`] reads it back as an equal network.
    ///
    /// # Errors
    /// None in practice, as [`Object::to_raw`].
    pub fn to_list(&self) -> Result<Box<RawValue>, Error> {
        let mut list = self.list.clone();
        list.set_value("cniVersion", &self.version.as_str())?;
        list.set_value("name", &self.name)?;
        set_flag(&mut list, "disableCheck", self.disable_check)?;
        set_flag(&mut list, "disableGC", self.disable_gc)?;
        let plugins: Vec<&Object> = self.plugins.iter().map(|plugin| &plugin.object).collect();
        list.set_value("plugins", &plugins)?;
        list.to_raw()
    }

    fn read(
        object: Object,
        default_name: Option<&str>,
        extra: impl FnOnce(&str) -> Result<Vec<(String, String)>, Error>,
    ) -> Result<Self, Error> {
        let name = network_name(&object, default_name)?;
        let version = highest_version(&object)?;
        let disable_check = object.flag("disableCheck")?;
        let disable_gc = object.flag("disableGC")?;
        let has_type = object.get("type").is_some();
        let has_plugins = object.has("plugins");

        let mut plugins = Vec::new();
        let mut list = Object::new();
        if has_type && !has_plugins {
            set_flag(&mut list, "disableCheck", disable_check)?;
            set_flag(&mut list, "disableGC", disable_gc)?;
            plugins.push(Plugin::read(object)?);
        } else {
            for (index, text) in object.list("plugins", MAX_PLUGINS)?.iter().enumerate() {
                plugins.push(Plugin::parse(&format!("plugins[{index}]"), text.get())?);
            }
            list = object;
            if !list.flag("loadOnlyInlinedPlugins")? {
                let inlined = plugins.len();
                for (file, text) in extra(&name)? {
                    plugins.push(Plugin::parse(&file, &text)?);
                }
                if plugins.len() > inlined {
                    // They are inlined now: whoever reads the list again must not add them once more.
                    list.set_value("loadOnlyInlinedPlugins", &true)?;
                }
            }
        }
        if plugins.is_empty() {
            return Err(Error::config(if has_plugins {
                "key \"plugins\" is empty: a network needs at least one plugin"
            } else {
                "it has neither a key \"type\", as a plugin's configuration, nor a key \"plugins\", as a list"
            }));
        }
        if plugins.len() > MAX_PLUGINS {
            return Err(Error::config(format!("it has {} plugins: {MAX_PLUGINS} are the most", plugins.len())));
        }
        list.set_value("cniVersion", &version.as_str())?;
        list.set_value("name", &name)?;
        list.set("plugins", RawValue::NULL.to_owned());
        Ok(Network { name, version, disable_check, disable_gc, plugins, list })
    }
}

impl Plugin {
    /// What goes to this plugin's stdin: the configuration as written with `name` and `cniVersion` set, `prevResult`
    /// when given, and of `runtime_config` the keys whose capability the plugin declares, raw (specification,
    /// section 3, "Deriving request configuration"). As in libcni, a `prevResult` or `runtimeConfig` that the
    /// configuration itself brought stays when there is nothing to put in its place. Capabilities match in their
    /// exact letter case.
    ///
    /// # Errors
    /// None in practice, as [`Object::to_raw`].
    pub fn stdin(
        &self,
        name: &str,
        version: Version,
        prev_result: Option<&RawValue>,
        runtime_config: &Object,
    ) -> Result<Object, Error> {
        let mut config = self.object.clone();
        config.set_value("cniVersion", &version.as_str())?;
        config.set_value("name", &name)?;
        let mut granted = Object::new();
        for (key, value) in runtime_config.iter() {
            if self.capabilities.iter().any(|capability| capability == key) {
                granted.set(key, value.to_owned());
            }
        }
        if !granted.is_empty() {
            config.set("runtimeConfig", granted.to_raw()?);
        }
        if let Some(result) = prev_result {
            config.set("prevResult", result.to_owned());
        }
        Ok(config)
    }

    /// Merges `pairs` into `args.cni` of the configuration (the multi-network standard, 4.1.2.1.6); the given ones win.
    ///
    /// # Errors
    /// Code 7 when `args` or `args.cni` is not an object.
    pub fn merge_cni_args(&mut self, pairs: &Object) -> Result<(), Error> {
        if pairs.is_empty() {
            return Ok(());
        }
        let mut args = self.object.object("args")?.unwrap_or_default();
        let mut cni = args.object("cni").map_err(|error| error.within("args"))?.unwrap_or_default();
        for (key, value) in pairs.iter() {
            cni.set(key, value.to_owned());
        }
        args.set("cni", cni.to_raw()?);
        self.object.set("args", args.to_raw()?);
        Ok(())
    }

    /// Declares a capability, so that the plugin gets its key of `runtimeConfig`.
    ///
    /// # Errors
    /// Code 7 when `capabilities` is not an object.
    pub fn declare(&mut self, capability: &str) -> Result<(), Error> {
        if self.capabilities.iter().any(|declared| declared == capability) {
            return Ok(());
        }
        let mut capabilities = self.object.object("capabilities")?.unwrap_or_default();
        capabilities.set_value(capability, &true)?;
        self.object.set("capabilities", capabilities.to_raw()?);
        self.capabilities = declared_capabilities(&self.object)?;
        Ok(())
    }

    /// Types of the plugins that this plugin may run in its turn, apart from [`Plugin::ipam_type`]: those under
    /// `delegate`, `delegates` and `plugins`, with their IPAM, and theirs. For a policy: where a key is written twice
    /// or in several letter cases, every value is given, as plugins differ in which they take.
    ///
    /// # Errors
    /// Code 7 when a `type` is not a plugin type, or the nesting too deep.
    pub fn nested_types(&self) -> Result<Vec<String>, Error> {
        let mut types = Vec::new();
        ipam_types(&self.object, &mut types)?;
        types.retain(|name| Some(name) != self.ipam_type.as_ref());
        delegate_types(&self.object, &mut types, MAX_NESTING)?;
        Ok(types)
    }

    fn parse(place: &str, text: &str) -> Result<Self, Error> {
        let object = Object::parse(place, text).map_err(|error| error.with_code(Code::INVALID_CONFIG))?;
        Plugin::read(object).map_err(|error| error.within(place))
    }

    fn read(object: Object) -> Result<Self, Error> {
        let type_name = object.text("type")?;
        if type_name.is_empty() {
            return Err(Error::config("key \"type\" is missing: it names the plugin's executable"));
        }
        names::plugin_type(&type_name).map_err(|error| error.within("key \"type\""))?;

        let ipam = object.object("ipam")?.unwrap_or_default();
        let ipam_type = ipam.text("type").map_err(|error| error.within("ipam"))?;
        let ipam_type = (!ipam_type.is_empty()).then_some(ipam_type);
        if let Some(name) = &ipam_type {
            names::plugin_type(name).map_err(|error| error.within("key \"ipam.type\""))?;
        }
        let capabilities = declared_capabilities(&object)?;
        Ok(Plugin { type_name, ipam_type, capabilities, object })
    }
}

fn network_name(object: &Object, default_name: Option<&str>) -> Result<String, Error> {
    let mut name = object.text("name")?;
    if name.is_empty() {
        name = default_name.unwrap_or_default().to_owned();
    }
    if name.is_empty() {
        return Err(Error::config("key \"name\" is missing: a network needs a name"));
    }
    names::network(&name).map_err(|error| error.within("key \"name\""))?;
    Ok(name)
}

/// The highest version that rooknet speaks of those that the configuration lists (specification, section 1, "Version
/// considerations"). Unlike libcni it does not fall back to 0.1.0 when every element of `cniVersions` is too new.
///
/// # Errors
/// Code 1 when rooknet speaks none of them, 7 for an element that is no version.
pub fn highest_version(object: &Object) -> Result<Version, Error> {
    let mut highest = None;
    let mut unknown = None;
    if let Some(text) = object.get_as::<String>("cniVersion")? {
        match text.parse::<Version>() {
            Ok(version) => highest = Some(version),
            Err(error) => unknown = Some(error),
        }
    }
    for (index, value) in object.list("cniVersions", MAX_VERSIONS)?.iter().enumerate() {
        let text: String =
            serde_json::from_str(value.get()).ok().filter(|text: &String| is_version_like(text)).ok_or_else(|| {
                Error::config(format!(
                    "cniVersions[{index}] is {}: it must be a version such as \"1.1.0\"",
                    shortened(value.get())
                ))
            })?;
        match text.parse::<Version>() {
            Ok(version) => highest = highest.max(Some(version)),
            Err(error) => unknown = Some(error),
        }
    }
    match (highest, unknown) {
        (Some(version), _) => Ok(version),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Version::V0_1_0),
    }
}

fn is_version_like(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The keys of `capabilities` that are true. A Go map, so letter case counts; its last duplicate wins.
fn declared_capabilities(object: &Object) -> Result<Vec<String>, Error> {
    let mut declared = Vec::new();
    for (name, value) in object.object("capabilities")?.unwrap_or_default().iter() {
        declared.retain(|other| other != name);
        match value.get() {
            "true" => declared.push(name.to_owned()),
            "false" | "null" => {}
            other => {
                return Err(Error::config(format!(
                    "capability {} has the wrong value {}: it must be true or false",
                    quoted(name),
                    shortened(other)
                )));
            }
        }
    }
    Ok(declared)
}

/// Adds every type under `ipam`.
fn ipam_types(object: &Object, types: &mut Vec<String>) -> Result<(), Error> {
    for ipam in object.get_all("ipam").filter_map(as_object) {
        add_types(&ipam, types).map_err(|error| error.within("ipam"))?;
    }
    Ok(())
}

/// Adds every type of the delegates that a plugin's configuration holds, theirs included.
fn delegate_types(object: &Object, types: &mut Vec<String>, depth: usize) -> Result<(), Error> {
    let mut delegates: Vec<(&str, Object)> = Vec::new();
    for key in ["delegate", "delegates", "plugins"] {
        for value in object.get_all(key) {
            if let Some(delegate) = as_object(value) {
                delegates.push((key, delegate));
            } else if let Ok(elements) = json::elements(value, MAX_PLUGINS) {
                delegates.extend(elements.iter().filter_map(|element| Some((key, as_object(element)?))));
            } else if value.get().starts_with('[') {
                return Err(Error::config(format!("key \"{key}\" has more than {MAX_PLUGINS} elements")));
            }
        }
    }
    if delegates.is_empty() {
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::config(format!("delegates are nested too deep: {MAX_NESTING} levels are the most")));
    };
    for (key, delegate) in delegates {
        add_types(&delegate, types)
            .and_then(|()| ipam_types(&delegate, types))
            .and_then(|()| delegate_types(&delegate, types, depth))
            .map_err(|error| error.within(key))?;
    }
    Ok(())
}

fn add_types(object: &Object, types: &mut Vec<String>) -> Result<(), Error> {
    for value in object.get_all("type") {
        let name: String = serde_json::from_str(value.get()).map_err(|_| {
            Error::config(format!("key \"type\" has the wrong value {}: it must be a text", shortened(value.get())))
        })?;
        if name.is_empty() {
            continue;
        }
        names::plugin_type(&name)?;
        if !types.contains(&name) {
            types.push(name);
        }
    }
    Ok(())
}

fn as_object(value: &RawValue) -> Option<Object> {
    serde_json::from_str(value.get()).ok()
}

/// Sets a flag unless the object says so already, in whatever form.
fn set_flag(object: &mut Object, key: &str, value: bool) -> Result<(), Error> {
    if object.flag(key).ok() == Some(value) {
        return Ok(());
    }
    object.set_value(key, &value)
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
