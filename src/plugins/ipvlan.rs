//! ipvlan: an address of its own behind the master's MAC (`plugins/main/ipvlan` of the reference).
//!
//! Behind another plugin of its chain it may do without `master` and `ipam`: it takes them from that plugin's result.
//!
//! What differs, on purpose: as in [`super::macvlan`]. An MTU beyond the master's is taken, as the kernel does.

use serde_json::value::RawValue;

use super::check::{self, failed};
use super::ipam::Answer;
use super::macvlan::ANNOUNCE;
use super::master::Master;
use super::{Choice, Created, Site, conflict, creation, interface, keys};
use crate::cni::result::CniResult;
use crate::cni::text::quoted;
use crate::cni::{Error, Object};
use crate::kernel::netlink::{IpvlanFlag, IpvlanMode, Kind, KindDetails, Link, LinkDetails, Netlink, NewLink};

/// Keys of the configuration, beside those of every plugin.
const KEYS: [&str; 4] = ["master", "mode", "mtu", "linkInContainer"];

/// A configuration whose every key was checked.
#[derive(Clone, Debug)]
pub struct Config {
    master: Master,
    mode: IpvlanMode,
    mtu: Option<u32>,
    has_ipam: bool,
    dns: Option<Box<RawValue>>,
}

impl Config {
    /// # Errors
    /// Code 7, naming the key.
    pub(super) fn parse(config: &Object) -> Result<Choice<Self>, Error> {
        if let Some(reason) = keys::reason_to_execute(config, &KEYS) {
            return Ok(Choice::Executed(reason));
        }
        let ipam = config.object("ipam")?.unwrap_or_default().text("type")?;
        Ok(Choice::Native(Config {
            master: Master::parse(config)?,
            mode: mode(&config.text("mode")?)?,
            mtu: keys::mtu(config)?,
            has_ipam: !ipam.is_empty(),
            dns: keys::dns(config)?,
        }))
    }

    pub(super) fn master(&self) -> &Master {
        &self.master
    }

    /// Finds the master, where it is not the business of the plugin before.
    pub(super) async fn prepare(&mut self, node: &Netlink) -> Result<(), Error> {
        if self.master.name.is_some() {
            self.master.prepare(node).await?;
        }
        Ok(())
    }

    /// The master of this ADD.
    fn master_behind(&self, previous: Option<&CniResult>) -> Result<Master, Error> {
        let (None, Some(previous)) = (&self.master.name, previous) else { return Ok(self.master.clone()) };
        match previous.interfaces().as_slice() {
            [only] if !only.name.is_empty() => Ok(self.master.named(only.name.clone())),
            interfaces => Err(Error::config(format!(
                "key \"master\" is missing, and the plugin before ipvlan reports {} interfaces where it needs to be one: \
                 name the master",
                interfaces.len()
            ))),
        }
    }

    pub(super) async fn create(&self, site: &Site<'_>, previous: Option<&CniResult>) -> Result<Created, Error> {
        self.addresses(None, previous)?;
        let master = self.master_behind(previous)?;
        let parent = master.find(site).await?;
        self.create_on(&master, parent, site).await
    }

    async fn create_on(&self, master: &Master, parent: Link, site: &Site<'_>) -> Result<Created, Error> {
        let new = self.new_link(&parent, site.ifname, site.group);
        let link = creation::create_on(&parent, site, master.netlink(site), &new).await?;
        Ok(Created { link, master: Some(parent), host: None, bridge: None })
    }

    /// As [`Self::create`], of an ADD whose addresses are known.
    pub(super) async fn create_again(&self, site: &Site<'_>) -> Result<Created, Error> {
        let parent = self.master.find(site).await?;
        self.create_on(&self.master, parent, site).await
    }

    /// The link that this configuration makes on `parent`.
    pub(super) fn new_link<'a>(&self, parent: &Link, name: &'a str, group: u32) -> NewLink<'a> {
        let kind = Kind::Ipvlan { parent: parent.index, mode: self.mode, flag: IpvlanFlag::Bridge };
        NewLink { mtu: self.mtu, group, ..NewLink::new(name, kind) }
    }

    /// The same with the MTU of an interface that was there, where it is known.
    pub(super) fn remade(&self, mtu: Option<u32>) -> Self {
        Config { mtu: mtu.or(self.mtu), ..self.clone() }
    }

    pub(super) fn mtu(&self) -> Option<u32> {
        self.mtu
    }

    /// Whether a link has the configuration's mode; `None` when it is of another kind.
    pub(super) fn has_same_mode(&self, link: &LinkDetails) -> Option<bool> {
        match link.kind {
            KindDetails::Ipvlan(mode) => Some(mode == Some(self.mode)),
            _ => None,
        }
    }

    pub(super) async fn configure(
        &self,
        site: &Site<'_>,
        created: &Created,
        answer: Option<Answer>,
        previous: Option<&CniResult>,
    ) -> Result<CniResult, Error> {
        let answer = self.addresses(answer, previous)?.unwrap_or_default();
        if let Some(master) = &created.master {
            conflict::probe_on_master(site, master, self.master.in_container, &answer).await?;
        }
        interface::improve(site, &ANNOUNCE)?;
        interface::configure(site, &created.link, &answer).await?;
        interface::result(&[interface::Interface::in_pod(site, &created.link)], 0, &answer, self.dns.as_deref())
    }

    /// The IPAM plugin's answer, or what the plugin before says; `None` as long as the former is not there.
    ///
    /// # Errors
    /// Code 7, when there will be neither.
    fn addresses(&self, answer: Option<Answer>, previous: Option<&CniResult>) -> Result<Option<Answer>, Error> {
        if answer.is_some() || self.has_ipam {
            return Ok(answer);
        }
        match previous {
            Some(previous) if !previous.addresses().is_empty() => Ok(Some(Answer::try_from(previous)?)),
            _ => Err(Error::config(
                "key \"ipam\" is missing: ipvlan needs addresses, from it or from a plugin before it in the list",
            )),
        }
    }

    pub(super) async fn check(&self, site: &Site<'_>, previous: &CniResult) -> Result<(), Error> {
        let link = check::link(site, previous).await?;
        if self.master.name.is_some() {
            self.master.find(site).await.map_err(|error| failed(error.message))?;
        }
        check::kind(site, &link, "ipvlan", self.has_same_mode(&link))?;
        check::addresses_and_routes(site, &link, previous).await
    }
}

fn mode(text: &str) -> Result<IpvlanMode, Error> {
    Ok(match text {
        "" | "l2" => IpvlanMode::L2,
        "l3" => IpvlanMode::L3,
        "l3s" => IpvlanMode::L3s,
        _ => return Err(Error::config(format!("key \"mode\" is {}: it must be l2, l3 or l3s", quoted(text)))),
    })
}

#[cfg(test)]
#[path = "ipvlan_tests.rs"]
mod tests;
