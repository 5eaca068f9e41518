//! Who runs each plugin of a network: this process, or its executable.

use crate::cni::args::Args;
use crate::cni::network::{Network, Plugin};
use crate::cni::{Error, Object};
use crate::kernel::netlink::Netlink;
use crate::plugins::{self, Choice, Ipam, MAIN_TYPES, Native};

/// Who runs each plugin of a network. The default: executables.
#[derive(Clone, Debug, Default)]
pub struct Runners {
    native: Option<(usize, Box<Native>)>,
    /// Why a plugin that this process could run is executed.
    reason: Option<String>,
}

impl Runners {
    /// All plugins are executed.
    pub const EXECUTED: &Runners = &Runners { native: None, reason: None };

    /// Whether this process makes the network's interface.
    pub fn is_native(&self) -> bool {
        self.native.is_some()
    }

    /// Whether no executable is needed.
    pub fn are_all_native(&self, network: &Network) -> bool {
        let mut plugins = network.plugins.iter().enumerate();
        plugins.all(|(position, plugin)| self.executables(position, plugin).is_empty())
    }

    /// Why a plugin that this process could run is executed, as a sentence; for the log.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Lets the plugin of this process ask the node for what it needs, before anything is touched.
    ///
    /// # Errors
    /// Code 7, naming plugin and key, for a master that is missing or an MTU above its; the kernel's.
    pub(super) async fn prepare(&mut self, network: &Network, node: &Netlink) -> Result<(), Error> {
        let Some((position, native)) = &mut self.native else { return Ok(()) };
        let name = network.plugins.get(*position).map(|plugin| plugin.type_name.as_str()).unwrap_or_default();
        native.main.prepare(node).await.map_err(|error| error.within(&format!("plugin {name}")))
    }

    /// Where in the network the plugin of this process stands.
    pub(super) fn position(&self) -> Option<usize> {
        self.native.as_ref().map(|(position, _)| *position)
    }

    /// The plugin of this process, and where in the network it stands.
    pub fn native(&self) -> Option<(usize, &Native)> {
        self.native.as_ref().map(|(position, native)| (*position, native.as_ref()))
    }

    /// The plugin at this position, when this process runs it.
    pub(super) fn at(&self, position: usize) -> Option<&Native> {
        self.native.as_ref().filter(|(found, _)| *found == position).map(|(_, native)| native.as_ref())
    }

    /// The types of the executables that plugin number `position` needs.
    pub(super) fn executables<'a>(&'a self, position: usize, plugin: &'a Plugin) -> Vec<&'a str> {
        match self.at(position) {
            Some(Native { ipam: Ipam::Executed(type_name), .. }) => vec![type_name],
            Some(_) => Vec::new(),
            None => {
                let ipam = plugin.ipam_type.as_deref().filter(|name| !name.is_empty());
                std::iter::once(plugin.type_name.as_str()).chain(ipam).collect()
            }
        }
    }
}

/// Decides who runs the plugins of `network`, with these CNI_ARGS and this runtimeConfig.
///
/// # Errors
/// As [`plugins::parse`], naming the plugin: a configuration that no program would take.
pub fn choose(network: &Network, args: &str, runtime_config: &Object) -> Result<Runners, Error> {
    let mut runners = Runners::default();
    let args = Args::parse(args)?;
    let candidates =
        network.plugins.iter().enumerate().filter(|(_, plugin)| MAIN_TYPES.contains(&plugin.type_name.as_str()));
    for (position, plugin) in candidates {
        let about = || format!("plugin {}", plugin.type_name);
        if runners.is_native() {
            let reason = "two plugins of the list make the interface, which rooknet leaves to the executed ones";
            return Ok(Runners { native: None, reason: Some(reason.to_owned()) });
        }
        let input = plugin.stdin(&network.name, network.version, None, runtime_config)?;
        match plugins::parse(&plugin.type_name, &input, &args).map_err(|error| error.within(&about()))? {
            Choice::Native(native) => runners.native = Some((position, Box::new(native))),
            Choice::Executed(reason) => runners.reason = Some(format!("{}: {reason}", about())),
        }
    }
    Ok(runners)
}
