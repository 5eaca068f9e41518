//! Addresses of a link: listed with their state, added, removed, and waited for.
//!
//! A new IPv6 address is tentative until duplicate address detection ends, a second or two after the link came up (RFC
//! 4862, section 5.4). The kernel announces the end to listeners of a multicast group; but such a listener hears every
//! address of the namespace, may lose messages, and would have to look first anyhow. So the list is read until it says
//! what is wanted: a reading costs some ten microseconds.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink_packet_core::{Emitable, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::time::sleep_until;

use super::Netlink;
use super::socket::{Question, attribute};
use crate::kernel::Error;

/// The first pause between two readings. Where nothing is to be detected the kernel is done within a millisecond.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause between two readings: each doubles up to it.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// The longest prefix of an IPv4 network that has a broadcast address (RFC 3021).
const LONGEST_WITH_BROADCAST: u8 = 30;

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The address and its prefix, host bits included.
    pub network: IpNetwork,
    /// Not to be used yet, or never: duplicate address detection has not ended, or it failed.
    pub tentative: bool,
    /// Duplicate address detection failed: another host has it.
    pub duplicate: bool,
}

/// Whether the kernel looks for another host that has a new address. It does so for IPv6 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateDetection {
    /// As `accept_dad` of the link says.
    Usual,
    /// Never (IFA_F_NODAD).
    Skipped,
}

impl Netlink {
    /// The addresses of a link, link-local ones and those still under duplicate detection included. A link that is gone
    /// has none. The kernel offers only a list; it lists this link alone where it can (Linux 4.20).
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn addresses(&self, index: u32) -> Result<Vec<IpNetwork>, Error> {
        Ok(self.link_addresses(index).await?.into_iter().map(|address| address.network).collect())
    }

    /// As [`Self::addresses`], each with its state.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn link_addresses(&self, index: u32) -> Result<Vec<LinkAddress>, Error> {
        let object = format!("the addresses of the link with ifindex {index}");
        let mut addresses = match self.listed_addresses(&object, index).await {
            Ok(addresses) => addresses,
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        addresses.retain(|(of, _)| *of == index);
        Ok(addresses.into_iter().map(|(_, address)| address).collect())
    }

    /// The addresses of all links of the netns, each with its link's ifindex: one reading, however many links there are.
    ///
    /// # Errors
    /// As [`Self::links`].
    pub async fn all_addresses(&self) -> Result<Vec<(u32, IpNetwork)>, Error> {
        let addresses = self.listed_addresses("all addresses", 0).await?;
        Ok(addresses.into_iter().map(|(index, address)| (index, address.network)).collect())
    }

    /// The kernel's list, which may hold more than the link that was asked for; 0 asks for all.
    async fn listed_addresses(&self, object: &str, index: u32) -> Result<Vec<(u32, LinkAddress)>, Error> {
        let question = Question { operation: "list", object };
        let mut message = AddressMessage::default();
        message.header.index = index;
        let answers = self.socket.list(question, RouteNetlinkMessage::GetAddress(message)).await?;
        let mut addresses = Vec::new();
        for answer in &answers {
            let header = AddressHeader::parse(answer).map_err(|error| question.not_understood(error))?;
            if matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
                let network = parse(&header, answer).ok_or_else(|| question.not_understood("an address"))?;
                let address = LinkAddress {
                    network,
                    tentative: header.flags.contains(AddressHeaderFlags::Tentative),
                    duplicate: header.flags.contains(AddressHeaderFlags::Dadfailed),
                };
                addresses.push((header.index, address));
            }
        }
        Ok(addresses)
    }

    /// Adds an address to a link, with scope global. An IPv4 address gets its network's last address as broadcast up
    /// to a prefix of 30 (RFC 3021).
    ///
    /// # Errors
    /// When the kernel refuses: errno EEXIST when the link has it, ENODEV when the link is gone, EACCES for an IPv6
    /// address while `disable_ipv6` is 1.
    pub async fn add_address(
        &self,
        index: u32,
        address: IpNetwork,
        detection: DuplicateDetection,
    ) -> Result<(), Error> {
        let object = format!("the address {address} to the link with ifindex {index}");
        let question = Question { operation: "add", object: &object };
        let mut message = message(index, address);
        if detection == DuplicateDetection::Skipped {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        if let IpNetwork::V4(v4) = address
            && v4.prefix() <= LONGEST_WITH_BROADCAST
        {
            message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
        }
        let request = RouteNetlinkMessage::NewAddress(message);
        self.socket.ask(question, request, NLM_F_CREATE | NLM_F_EXCL).await.map(drop)
    }

    /// Removes exactly this address (of this prefix) from a link; Ok when it, or the link, is gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn delete_address(&self, index: u32, address: IpNetwork) -> Result<(), Error> {
        let object = format!("the address {address} from the link with ifindex {index}");
        let question = Question { operation: "remove", object: &object };
        let request = RouteNetlinkMessage::DelAddress(message(index, address));
        match self.socket.ask(question, request, 0).await {
            Err(error) if matches!(error.errno(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Waits until no address of a link is tentative, but not after `deadline`; the answer is those that still are,
    /// so it is empty when all are settled. An address stays tentative for as long as its link has no carrier. Must be
    /// called within a tokio runtime with timers.
    ///
    /// # Errors
    /// [`Error::DuplicateAddress`] for the first address that another host has; otherwise as [`Self::links`].
    pub async fn settle_addresses(&self, index: u32, deadline: Instant) -> Result<Vec<IpNetwork>, Error> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let addresses = self.link_addresses(index).await?;
            if let Some(address) = addresses.iter().find(|address| address.duplicate) {
                return Err(Error::DuplicateAddress { address: address.network.ip(), index });
            }
            let tentative: Vec<_> =
                addresses.into_iter().filter(|address| address.tentative).map(|address| address.network).collect();
            let now = Instant::now();
            if tentative.is_empty() || now >= deadline {
                return Ok(tentative);
            }
            let next = now.checked_add(pause).map_or(deadline, |next| next.min(deadline));
            sleep_until(next.into()).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

/// What selects an address.
fn message(index: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.prefix_len = address.prefix();
    message.attributes.push(AddressAttribute::Local(address.ip()));
    message.attributes.push(AddressAttribute::Address(address.ip()));
    message
}

fn parse(header: &AddressHeader, answer: &[u8]) -> Option<IpNetwork> {
    let attributes = answer.get(header.buffer_len()..)?;
    // On a point-to-point link IFA_ADDRESS is the other end, IFA_LOCAL always ours where it is given.
    let value = attribute(attributes, libc::IFA_LOCAL).or_else(|| attribute(attributes, libc::IFA_ADDRESS))?;
    let address = match header.family {
        AddressFamily::Inet => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
    };
    IpNetwork::new(address, header.prefix_len).ok()
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
