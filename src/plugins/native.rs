//! Which configurations are answered in this process.
//!
//! A plugin's key that is not implemented here sends it to the executed plugin, as does a key that is not one of the
//! schema: a newer program on the node may know it, and to pass it over would be to guess. What an executed plugin would
//! refuse is refused when it is read, before anything is touched.

use super::ipam::{host_local, static_addresses};
use super::master::Master;
use super::{Created, Site, bridge, ipvlan, keys, macvlan};
use crate::cni::args::Args;
use crate::cni::result::CniResult;
use crate::cni::{Error, Object};
use crate::kernel::netlink::Netlink;
use crate::plugins::ipam::Answer;

/// Who runs a plugin.
#[derive(Clone, Debug)]
pub enum Choice<T> {
    /// This process.
    Native(T),
    /// Its executable; why, as the rest of a sentence: `key "ipMasq" is not implemented`.
    Executed(String),
}

/// A main plugin with its IPAM, every key checked.
#[derive(Clone, Debug)]
pub struct Native {
    /// The main plugin.
    pub main: Main,
    /// Where its addresses come from.
    pub ipam: Ipam,
}

/// A main plugin.
#[derive(Clone, Debug)]
pub enum Main {
    /// A MAC of its own on the master's wire.
    Macvlan(macvlan::Config),
    /// An address of its own behind the master's MAC.
    Ipvlan(ipvlan::Config),
    /// A cable into a switch on the node.
    Bridge(bridge::Config),
}

/// Where a main plugin's addresses come from.
#[derive(Clone, Debug)]
pub enum Ipam {
    /// Nowhere: the link is layer 2.
    None,
    /// Ranges, kept on this node.
    HostLocal(host_local::Config),
    /// The configuration.
    Static(static_addresses::Config),
    /// An executable of this type.
    Executed(String),
}

/// Reads a plugin's configuration as it is on stdin ([`crate::cni::network::Plugin::stdin`]).
///
/// # Errors
/// Code 7, naming the key and what would be right; code 4 for CNI_ARGS; code 1 for the version. Only what the executed
/// plugin would refuse too, or what could never work.
pub fn parse(type_name: &str, config: &Object, args: &Args) -> Result<Choice<Native>, Error> {
    let main = match type_name {
        "macvlan" => macvlan::Config::parse(config, args)?.map(Main::Macvlan),
        "ipvlan" => ipvlan::Config::parse(config)?.map(Main::Ipvlan),
        "bridge" => bridge::Config::parse(config, args)?.map(Main::Bridge),
        _ => return Ok(Choice::Executed(format!("there is no {type_name} in rooknet itself"))),
    };
    let main = match main {
        Choice::Native(main) => main,
        Choice::Executed(reason) => return Ok(Choice::Executed(reason)),
    };
    Ok(parse_ipam(config, args)?.map(|ipam| Native { main, ipam }))
}

fn parse_ipam(config: &Object, args: &Args) -> Result<Choice<Ipam>, Error> {
    let ipam = config.object("ipam")?.unwrap_or_default();
    let type_name = ipam.text("type").map_err(|error| error.within("ipam"))?;
    let (ipam, unknown) = match type_name.as_str() {
        "" => (Ipam::None, None),
        "host-local" => {
            let config = host_local::Config::parse(config, args)?;
            let unknown = config.unknown_keys().first().cloned();
            (Ipam::HostLocal(config), unknown)
        }
        "static" => {
            let config = static_addresses::Config::parse(config, args)?;
            let unknown = config.unknown_keys().first().cloned();
            (Ipam::Static(config), unknown)
        }
        _ => (Ipam::Executed(type_name), None),
    };
    Ok(match unknown {
        Some(key) => Choice::Executed(keys::unknown(&key)),
        None => Choice::Native(ipam),
    })
}

impl<T> Choice<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Choice<U> {
        match self {
            Choice::Native(value) => Choice::Native(change(value)),
            Choice::Executed(reason) => Choice::Executed(reason),
        }
    }
}

impl Main {
    /// The kind of the link in the pod, as `ip -d link` names it.
    pub fn link_kind(&self) -> &'static str {
        match self {
            Main::Macvlan(_) => "macvlan",
            Main::Ipvlan(_) => "ipvlan",
            Main::Bridge(_) => "veth",
        }
    }

    /// The interface of the node on which the link stands; `None` where that is one of the pod's, or a bridge.
    pub(super) fn master_of_node(&self) -> Option<&Master> {
        let master = match self {
            Main::Macvlan(config) => config.master(),
            Main::Ipvlan(config) => config.master(),
            Main::Bridge(_) => return None,
        };
        (!master.in_container).then_some(master)
    }

    /// What is asked of the node before an ADD touches anything: the master, and whether the MTU fits it.
    ///
    /// # Errors
    /// Code 7, naming the key; the kernel's.
    pub async fn prepare(&mut self, node: &Netlink) -> Result<(), Error> {
        match self {
            Main::Macvlan(config) => config.prepare(node).await,
            Main::Ipvlan(config) => config.prepare(node).await,
            Main::Bridge(_) => Ok(()),
        }
    }

    /// The first step of an ADD: the link in the pod, down. `previous` is the result of the plugin before in a chain.
    ///
    /// # Errors
    /// Code 7 for a master that is not there and an MTU above its; code 101 when the name is taken; the kernel's.
    pub async fn create(&self, site: &Site<'_>, previous: Option<&CniResult>) -> Result<Created, Error> {
        match self {
            Main::Macvlan(config) => config.create(site).await,
            Main::Ipvlan(config) => config.create(site, previous).await,
            Main::Bridge(config) => config.create(site).await,
        }
    }

    /// The second step: addresses, link up, routes; IPv6 addresses are tentative then. `answer` is the IPAM plugin's;
    /// `None` without one. The result is of version 1.1.0.
    ///
    /// # Errors
    /// Code 7 for an answer that cannot be configured; the kernel's.
    pub async fn configure(
        &self,
        site: &Site<'_>,
        created: &Created,
        answer: Option<Answer>,
        previous: Option<&CniResult>,
    ) -> Result<CniResult, Error> {
        match self {
            Main::Macvlan(config) => config.configure(site, created, answer).await,
            Main::Ipvlan(config) => config.configure(site, created, answer, previous).await,
            Main::Bridge(config) => config.configure(site, created, answer).await,
        }
    }

    /// CHECK: whether the link, its addresses and its routes are as the ADD's result says.
    ///
    /// # Errors
    /// Code 102, naming what differs.
    pub async fn check(&self, site: &Site<'_>, previous: &CniResult) -> Result<(), Error> {
        match self {
            Main::Macvlan(config) => config.check(site, previous).await,
            Main::Ipvlan(config) => config.check(site, previous).await,
            Main::Bridge(config) => config.check(site, previous).await,
        }
    }

    /// STATUS: what keeps the next ADD from succeeding, as a sentence.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn status(&self, node: &Netlink) -> Result<Option<String>, Error> {
        match self {
            Main::Macvlan(config) => config.master().status(node).await,
            Main::Ipvlan(config) => config.master().status(node).await,
            // The bridge is made when it is needed.
            Main::Bridge(_) => Ok(None),
        }
    }
}
