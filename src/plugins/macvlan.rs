//! macvlan: a MAC of its own on the master's wire (`plugins/main/macvlan` of the reference).
//!
//! What differs, on purpose: a failed ADD leaves no link (the caller deletes what was made), and a DEL needs no master.

use serde_json::value::RawValue;

use super::check::{self, failed};
use super::ipam::Answer;
use super::keys::{self, AskedMac};
use super::master::Master;
use super::{Choice, Created, Site, conflict, creation, interface};
use crate::cni::args::Args;
use crate::cni::result::CniResult;
use crate::cni::text::quoted;
use crate::cni::{Error, Object};
use crate::kernel::netlink::{Kind, KindDetails, Link, LinkChange, LinkDetails, MacvlanMode, Netlink, NewLink};
use crate::kernel::sysctl::Family;

/// Keys of the configuration, beside those of every plugin.
const KEYS: [&str; 6] = ["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"];

/// Variables by which the kernel announces new addresses, and a link that comes up.
pub(super) const ANNOUNCE: [(Family, &str, &str); 2] =
    [(Family::Ipv4, "arp_notify", "1"), (Family::Ipv6, "ndisc_notify", "1")];

/// A configuration whose every key was checked.
#[derive(Clone, Debug)]
pub struct Config {
    master: Master,
    mode: MacvlanMode,
    mtu: Option<u32>,
    mac: Option<[u8; 6]>,
    bc_queue_len: Option<u32>,
    dns: Option<Box<RawValue>>,
}

impl Config {
    /// # Errors
    /// Code 7, naming the key; code 4 for CNI_ARGS.
    pub(super) fn parse(config: &Object, args: &Args) -> Result<Choice<Self>, Error> {
        if let Some(reason) = keys::reason_to_execute(config, &KEYS) {
            return Ok(Choice::Executed(reason));
        }
        let bc_queue_len: u32 = config.get_as("bcqueuelen")?.unwrap_or_default();
        let mac = AskedMac::new("mac", config.text("mac")?).or_of_args(args)?.or_of_runtime(config)?;
        Ok(Choice::Native(Config {
            master: Master::parse(config)?,
            mode: mode(&config.text("mode")?)?,
            mtu: keys::mtu(config)?,
            mac: mac.parse()?,
            bc_queue_len: (bc_queue_len > 0).then_some(bc_queue_len),
            dns: keys::dns(config)?,
        }))
    }

    pub(super) fn master(&self) -> &Master {
        &self.master
    }

    pub(super) async fn prepare(&mut self, node: &Netlink) -> Result<(), Error> {
        if let Some(parent) = self.master.prepare(node).await? {
            check_mtu(self.mtu, parent)?;
        }
        Ok(())
    }

    pub(super) async fn create(&self, site: &Site<'_>) -> Result<Created, Error> {
        let parent = self.master.find(site).await?;
        check_mtu(self.mtu, &parent)?;
        let new = self.new_link(&parent, site.ifname, site.group);
        let link = creation::create_on(&parent, site, self.master.netlink(site), &new).await?;
        Ok(Created { link, master: Some(parent), host: None, bridge: None })
    }

    /// The link that this configuration makes on `parent`.
    pub(super) fn new_link<'a>(&self, parent: &Link, name: &'a str, group: u32) -> NewLink<'a> {
        let kind = Kind::Macvlan { parent: parent.index, mode: self.mode, bc_queue_len: self.bc_queue_len };
        NewLink { mtu: self.mtu, mac: self.mac, group, ..NewLink::new(name, kind) }
    }

    /// The same with the MAC and the MTU of an interface that was there, where they are known.
    pub(super) fn remade(&self, mac: Option<[u8; 6]>, mtu: Option<u32>) -> Self {
        Config { mac: mac.or(self.mac), mtu: mtu.or(self.mtu), ..self.clone() }
    }

    pub(super) fn mode(&self) -> MacvlanMode {
        self.mode
    }

    pub(super) fn mtu(&self) -> Option<u32> {
        self.mtu
    }

    /// Whether a link has the configuration's mode; `None` when it is of another kind.
    pub(super) fn has_same_mode(&self, link: &LinkDetails) -> Option<bool> {
        match link.kind {
            KindDetails::Macvlan(mode) => Some(mode == Some(self.mode)),
            _ => None,
        }
    }

    pub(super) async fn configure(
        &self,
        site: &Site<'_>,
        created: &Created,
        answer: Option<Answer>,
    ) -> Result<CniResult, Error> {
        let link = &created.link;
        let answer = match answer {
            Some(answer) => {
                conflict::probe_on(site, link, &answer).await?;
                interface::improve(site, &ANNOUNCE)?;
                interface::configure(site, link, &answer).await?;
                answer
            }
            None => {
                site.pod.change_link(link.index, &LinkChange::up()).await?;
                Answer::default()
            }
        };
        interface::result(&[interface::Interface::in_pod(site, link)], 0, &answer, self.dns.as_deref())
    }

    pub(super) async fn check(&self, site: &Site<'_>, previous: &CniResult) -> Result<(), Error> {
        let link = check::link(site, previous).await?;
        self.master.find(site).await.map_err(|error| failed(error.message))?;
        check::kind(site, &link, "macvlan", self.has_same_mode(&link))?;
        check::addresses_and_routes(site, &link, previous).await
    }
}

fn mode(text: &str) -> Result<MacvlanMode, Error> {
    Ok(match text {
        "" | "bridge" => MacvlanMode::Bridge,
        "private" => MacvlanMode::Private,
        "vepa" => MacvlanMode::Vepa,
        "passthru" => MacvlanMode::Passthru,
        _ => {
            return Err(Error::config(format!(
                "key \"mode\" is {}: it must be bridge, private, vepa or passthru",
                quoted(text)
            )));
        }
    })
}

/// # Errors
/// Code 7, when the MTU is above the parent's.
fn check_mtu(mtu: Option<u32>, parent: &Link) -> Result<(), Error> {
    match mtu {
        Some(mtu) if mtu > parent.mtu => Err(Error::config(format!(
            "key \"mtu\" is {mtu}, and the master {} has {}: it must not be more, or raise the master's",
            parent.name, parent.mtu
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "macvlan_tests.rs"]
mod tests;
