//! The network configurations that a runtime has really loaded: `cniconfig` of containerd's verbose status, which is
//! go-cni's `ConfigResult`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::cni::Object;
use crate::cni::text::shortened_to;

/// Characters of a parser's reason, at most.
const LONGEST: usize = 160;

/// Elements of a list, at most.
const MOST: usize = 256;

/// What a runtime has loaded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Where it searches plugins.
    pub bin_dirs: Vec<PathBuf>,
    /// Where it reads configurations.
    pub conf_dir: PathBuf,
    /// How many configurations it loads; 0 means all of them.
    pub max_configurations: i64,
    /// Networks in the order in which a pod gets them, without the loopback that runtimes add by themselves.
    pub networks: Vec<LoadedNetwork>,
}

/// One network that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedNetwork {
    /// Its name.
    pub name: String,
    /// Its version, as the runtime negotiated it.
    pub version: String,
    /// Its plugins' types, in order.
    pub types: Vec<String>,
    /// The configuration list as it was read, byte for byte.
    pub source: String,
    /// The interface that pods get.
    pub interface: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigResult {
    #[serde(default, deserialize_with = "or_empty")]
    plugin_dirs: Vec<PathBuf>,
    #[serde(default)]
    plugin_conf_dir: PathBuf,
    #[serde(default)]
    plugin_max_conf_num: i64,
    #[serde(default, deserialize_with = "or_empty")]
    networks: Vec<ConfNetwork>,
}

#[derive(Deserialize)]
struct ConfNetwork {
    #[serde(rename = "Config")]
    config: ConfList,
    #[serde(rename = "IFName", default)]
    interface: String,
}

#[derive(Deserialize)]
struct ConfList {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "CNIVersion", default)]
    version: String,
    #[serde(rename = "Plugins", default, deserialize_with = "or_empty")]
    plugins: Vec<Conf>,
    #[serde(rename = "Source", default)]
    source: String,
}

#[derive(Deserialize)]
struct Conf {
    #[serde(rename = "Network")]
    network: Option<Box<RawValue>>,
}

/// Go writes an empty list as null.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

impl Loaded {
    /// Reads `cniconfig`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |reason: String| format!("cniconfig: {}", shortened_to(LONGEST, &reason));
        let result: ConfigResult = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if result.networks.len() > MOST {
            return Err(wrong(format!("more than {MOST} networks")));
        }
        let networks = result.networks.into_iter().map(LoadedNetwork::from);
        Ok(Loaded {
            bin_dirs: result.plugin_dirs,
            conf_dir: result.plugin_conf_dir,
            max_configurations: result.plugin_max_conf_num,
            networks: networks.filter(|network| network.interface != "lo").collect(),
        })
    }

    /// The network that pods get as their default one.
    pub fn default_network(&self) -> Option<&LoadedNetwork> {
        self.networks.first()
    }
}

impl From<ConfNetwork> for LoadedNetwork {
    fn from(network: ConfNetwork) -> Self {
        let ConfList { name, version, plugins, source } = network.config;
        let type_of = |conf: Conf| Object::parse("plugin", conf.network?.get()).ok()?.text("type").ok();
        let types = plugins.into_iter().map(|plugin| type_of(plugin).unwrap_or_default()).collect();
        LoadedNetwork { name, version, types, source, interface: network.interface }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_of_the_runtime_is_left_out_and_the_order_stays() {
        let text = r#"{"PluginDirs": ["/opt/cni/bin"], "PluginConfDir": "/etc/cni/net.d", "PluginMaxConfNum": 1,
            "Prefix": "eth", "Networks": [
            {"Config": {"Name": "cni-loopback", "CNIVersion": "0.3.1",
             "Plugins": [{"Network": {"type": "loopback", "ipam": {}, "dns": {}}, "Source": "{}"}],
             "Source": "{}"}, "IFName": "lo"},
            {"Config": {"Name": "cbr0", "CNIVersion": "1.1.0",
             "Plugins": [{"Network": {"cniVersion": "1.1.0", "name": "cbr0", "type": "ptp"}, "Source": "{}"},
                         {"Network": {"type": "rooknet"}, "Source": "{}"}],
             "Source": "{\"name\": \"cbr0\"}"}, "IFName": "eth0"}]}"#;
        let loaded = Loaded::parse(text).unwrap();
        assert_eq!(loaded.max_configurations, 1);
        assert_eq!(loaded.bin_dirs, [PathBuf::from("/opt/cni/bin")]);
        assert_eq!(
            loaded.networks,
            [LoadedNetwork {
                name: "cbr0".into(),
                version: "1.1.0".into(),
                types: vec!["ptp".into(), "rooknet".into()],
                source: r#"{"name": "cbr0"}"#.into(),
                interface: "eth0".into(),
            }]
        );
    }

    #[test]
    fn nothing_loaded_is_an_empty_list_as_go_writes_it() {
        let loaded = Loaded::parse(r#"{"PluginDirs": null, "PluginMaxConfNum": 0, "Networks": null}"#).unwrap();
        assert_eq!(loaded.default_network(), None);
        assert_eq!(loaded.max_configurations, 0);
    }
}
