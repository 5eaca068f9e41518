//! bridge: a pod's cable into a switch on its node (`plugins/main/bridge` of the reference).
//!
//! `ipMasq` and `macspoofchk` need firewall rules, which are made by a program and not by a request to the kernel: a
//! configuration that has one of them is executed.
//!
//! What differs, on purpose:
//! - A failed ADD leaves nothing (the caller deletes what was made); the reference leaves the pair.
//! - A bridge that is up is taken as it is: the reference writes `accept_ra` at every ADD, also of a bridge that an
//!   administrator made, and that gets its own address by it.
//! - The port is looked at every few milliseconds; the reference looks again after 50, and after 500 more.
//! - A bridge that somebody watches (tcpdump) is not promiscuous for a CHECK: only the flag counts.
//! - A bridge whose last port is gone has no MAC, and an ADD that makes it a gateway gives it one: there the reference
//!   fails.
//! - A default route without a gateway: [`gateway`].
//!
//! | File | Subject |
//! |---|---|
//! | `config` | the keys |
//! | `device` | the bridge |
//! | `port` | the pair, and its end on the bridge |
//! | `gateway` | the node's addresses, forwarding |
//! | `check` | CHECK |
//! | `random` | names and MACs |

mod check;
mod config;
mod device;
mod gateway;
mod port;
mod random;

pub(super) use config::Config;

use super::ipam::Answer;
use super::{Created, Site, conflict, interface};
use crate::cni::result::CniResult;
use crate::cni::{Code, Error};
use crate::kernel::netlink::{Link, LinkChange};
use crate::kernel::sysctl::Family;

impl Config {
    pub(super) async fn create(&self, site: &Site<'_>) -> Result<Created, Error> {
        let bridge = device::ensure(site.node, self).await?;
        let pair = port::connect(site, &bridge, self).await?;
        Ok(Created { link: pair.pod, master: None, host: Some(pair.host), bridge: Some(bridge.link) })
    }

    pub(super) async fn configure(
        &self,
        site: &Site<'_>,
        created: &Created,
        answer: Option<Answer>,
    ) -> Result<CniResult, Error> {
        let (Some(host), Some(bridge)) = (&created.host, &created.bridge) else {
            return Err(Error::new(Code::INTERNAL, "the bridge plugin's first step made neither bridge nor port"));
        };
        let link = &created.link;
        let mut vlan_gateway = None;
        let answer = match answer {
            Some(mut answer) => {
                gateway::complete(self, &mut answer)?;
                conflict::probe_on(site, link, &answer).await?;
                self.improve(site)?;
                interface::configure(site, link, &answer).await?;
                if self.is_gateway {
                    vlan_gateway = gateway::ensure(site.node, self, bridge, &answer).await?;
                }
                answer
            }
            None => {
                if !self.disable_container_interface {
                    site.pod.change_link(link.index, &LinkChange::up()).await?;
                }
                Answer::default()
            }
        };
        let host = if self.disable_container_interface {
            refreshed(site, host).await?
        } else {
            port::operational(site, host).await?
        };
        let on_node = interface::Interface::on_node;
        // A bridge without an address of the node has the lowest of its ports' MACs.
        let mut interfaces =
            vec![on_node(&refreshed(site, bridge).await?), on_node(&host), interface::Interface::in_pod(site, link)];
        interfaces.extend(vlan_gateway.as_ref().map(on_node));
        let dns = if self.has_dns { self.dns.as_deref() } else { answer.dns.as_deref() };
        interface::result(&interfaces, 2, &answer, dns)
    }

    pub(super) async fn check(&self, site: &Site<'_>, previous: &CniResult) -> Result<(), Error> {
        check::check(self, site, previous).await
    }

    /// Variables of the pod's interface.
    fn improve(&self, site: &Site<'_>) -> Result<(), Error> {
        const ANNOUNCE: (Family, &str, &str) = (Family::Ipv4, "arp_notify", "1");
        if self.detect_duplicates {
            let detect = [(Family::Ipv6, "enhanced_dad", "1"), (Family::Ipv6, "accept_dad", "1"), ANNOUNCE];
            return interface::improve(site, &detect);
        }
        interface::improve(site, &[(Family::Ipv6, "accept_dad", "0"), ANNOUNCE])
    }
}

/// A link of the node as it is now.
async fn refreshed(site: &Site<'_>, link: &Link) -> Result<Link, Error> {
    let gone = || Error::new(Code::IO, format!("the interface {} is gone: who deleted it?", link.name));
    site.node.link_by_index(link.index).await?.ok_or_else(gone)
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;
