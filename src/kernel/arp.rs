//! IPv4 addresses that another host of the link has already, found before they are used (RFC 5227, section 2.1.1).
//!
//! An address that two hosts have breaks both of them now and then, for as long as their neighbours' caches last: a
//! storage daemon that loses its peers every few minutes. IPAM cannot know what somebody configured by hand, so the
//! link is asked. The kernel does this for IPv6 by itself (duplicate address detection), and for IPv4 never.
//!
//! The probes go out before the address is on the link: the kernel would answer for it from then on, and a neighbour
//! that hears it would forget the other host. So they are packets of our own, on a packet socket.
//!
//! What no probe can find: a host that does not answer now; whoever is behind a link without carrier; and, for a macvlan,
//! addresses of the link that it stands on, for the kernel carries nothing between these two. An **ipvlan** hears no
//! answer at all: it has its parent's MAC, and the kernel finds the ipvlan among those of one parent by the address that
//! the packet is for, which in an answer to a probe is 0.0.0.0. So the probe is made on its parent, with the parent's
//! MAC; among themselves the kernel keeps the ipvlans of one parent from having the same address.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recvfrom, send, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::netlink::mac_text;
use super::netns::Netns;
use crate::kernel::Error;

/// How often an address is probed for (RFC 5227, section 1.1).
pub const PROBE_NUM: u32 = 3;

/// From one probe to the next: 200 ms. RFC 5227 has 1 to 2 s: see [`Timing::default`].
pub const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How long an answer to the last probe is waited for: 200 ms. RFC 5227 has 2 s: see [`Timing::default`].
pub const ANNOUNCE_WAIT: Duration = Duration::from_millis(200);

/// How long a probe takes, when nobody objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often each address is probed for; at least once, whatever this says.
    pub probes: u32,
    /// From one probe to the next.
    pub interval: Duration,
    /// How long an answer to the last probe is waited for.
    pub announce_wait: Duration,
}

impl Default for Timing {
    /// 3 probes in 400 ms, and 200 ms for the answer to the last: 600 ms in all.
    ///
    /// The times of RFC 5227, 4 to 7 s in all, are made for networks where a switch may keep a port closed for seconds,
    /// and where all hosts start together after a power cut. They would be most of a pod's start. Its section 2.2
    /// foresees shorter ones for quicker networks: on a wired one a host answers within a millisecond, so what the time
    /// is for is a lost packet or a busy host, and each of three probes has a hundred times what an answer needs.
    fn default() -> Self {
        Timing { probes: PROBE_NUM, interval: PROBE_INTERVAL, announce_wait: ANNOUNCE_WAIT }
    }
}

/// Another host has the address, or is about to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: Ipv4Addr,
    /// The other host's MAC, as it says itself (ARP's sender hardware address).
    pub mac: [u8; 6],
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the host with the MAC {} has the address {}", mac_text(&self.mac), self.address)
    }
}

/// Asks all hosts of a link's network whether one of them has one of `addresses`, and answers with the first that
/// does; None when nobody objected within the time of `timing`. All addresses are probed for at the same time.
///
/// `link` is the ifindex of an Ethernet link of `netns`, which is up, has the MAC `mac` and none of the addresses yet.
/// For an ipvlan it is the link that it stands on (see this module). May be dropped at any time. Must be called within
/// a tokio current-thread runtime.
///
/// As section 2.1.1 has it, both is a conflict: any ARP packet from an address, whatever MAC it names (we send none
/// before the address is ours), and a probe for it by another MAC, whose host means to take it, too. Of two hosts that
/// probe at the same time, at most one finds the address free.
///
/// # Errors
/// [`Error::LinkDown`] when the link is down, or is set down meanwhile: silence would say nothing then. When the
/// namespace cannot be entered, or the kernel refuses the socket or a packet: ENODEV when there is no such link, EPERM
/// without CAP_NET_RAW.
pub async fn probe(
    netns: &Netns,
    link: u32,
    mac: [u8; 6],
    addresses: &[Ipv4Addr],
    timing: &Timing,
) -> Result<Option<Conflict>, Error> {
    if addresses.is_empty() {
        return Ok(None);
    }
    let failed = |operation| {
        move |source: io::Error| match source.raw_os_error() {
            Some(libc::ENETDOWN) => Error::LinkDown { index: link, path: netns.path().to_owned() },
            _ => Error::Arp { operation, index: link, path: netns.path().to_owned(), source },
        }
    };
    let socket = netns.inside(|| Socket::open(link))?.map_err(failed("open a socket for"))?;
    let probes: Vec<_> = addresses.iter().map(|address| probe_frame(mac, *address)).collect();
    let mut left = timing.probes;
    loop {
        for probe in &probes {
            socket.send(probe).await.map_err(failed("send"))?;
        }
        left = left.saturating_sub(1);
        let patience = if left == 0 { timing.announce_wait } else { timing.interval };
        match timeout(patience, conflict(&socket, mac, addresses)).await {
            Ok(heard) => return heard.map(Some).map_err(failed("receive")),
            Err(_) if left == 0 => return Ok(None),
            Err(_) => {}
        }
    }
}

/// The next conflict that is heard.
async fn conflict(socket: &Socket, mac: [u8; 6], addresses: &[Ipv4Addr]) -> io::Result<Conflict> {
    loop {
        // What is behind the ARP packet, to fill the shortest Ethernet frame, is cut off.
        let mut frame = [0; FRAME_LENGTH];
        let length = socket.receive(&mut frame).await?;
        let claim = frame.get(..length).and_then(Claim::read).filter(|claim| addresses.contains(&claim.address));
        if let Some(claim) = claim
            && (!claim.probing || claim.mac != mac)
        {
            return Ok(Conflict { address: claim.address, mac: claim.mac });
        }
    }
}

/// Ethernet's header and an ARP packet for IPv4 (RFC 826).
const FRAME_LENGTH: usize = 42;

/// EtherType, hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const FIXED: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4];

const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

/// An ARP probe (RFC 5227, section 1.1): a request from nobody's address, since an address in it would go into the
/// neighbours' caches.
fn probe_frame(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let sender = Ipv4Addr::UNSPECIFIED.octets();
    [&[0xff; 6], &mac[..], &FIXED, &REQUEST, &mac, &sender, &[0; 6], &address.octets()].concat()
}

/// What a packet says about an address.
#[derive(Clone, Copy)]
struct Claim {
    address: Ipv4Addr,
    /// Who says it: the sender hardware address.
    mac: [u8; 6],
    /// The sender asks for the address before using it; otherwise it uses it.
    probing: bool,
}

impl Claim {
    /// None for what is no ARP request or reply for IPv4 on Ethernet.
    fn read(frame: &[u8]) -> Option<Claim> {
        let fixed = frame.get(12..20)?;
        let operation = frame.get(20..22)?;
        let mac = frame.get(22..28)?.try_into().ok()?;
        let sender = Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(28..32)?).ok()?);
        let target = Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(38..42)?).ok()?);
        if fixed != FIXED || (operation != REQUEST && operation != REPLY) {
            return None;
        }
        let probing = operation == REQUEST && sender.is_unspecified();
        Some(Claim { address: if probing { target } else { sender }, mac, probing })
    }
}

/// A packet socket that hears and sends ARP on one link. It does not hear what it sends itself.
struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// In the namespace that this thread is in.
    fn open(link: u32) -> io::Result<Socket> {
        // Without a protocol it hears nothing until it is bound to its link; it would hear those of all links before.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        bind(socket.as_raw_fd(), &arp_on(link)?)?;
        Ok(Socket(driven(socket)?))
    }

    async fn send(&self, frame: &[u8]) -> io::Result<()> {
        let send = |socket: &OwnedFd| Ok(send(socket.as_raw_fd(), frame, MsgFlags::empty())?);
        // The kernel takes a frame as a whole, or not at all.
        self.0.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// The next frame that is meant for this link's host; how many bytes of it fit into `frame`.
    async fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        loop {
            let receive = |socket: &OwnedFd| Ok(recvfrom::<LinkAddr>(socket.as_raw_fd(), frame)?);
            let (length, from) = self.0.async_io(Interest::READABLE, receive).await?;
            // For others are also the frames of VLANs that end at no link of this node (the kernel has taken the tag
            // off by now): the same address in another VLAN is another's business.
            if from.is_none_or(|from| from.pkttype() != libc::PACKET_OTHERHOST) {
                return Ok(length);
            }
        }
    }
}

/// A descriptor that this thread's tokio runtime waits for.
#[allow(unsafe_code, reason = "tokio has no safe call for a descriptor of any kind")]
fn driven(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always says the same descriptor, and it is open for as long as the AsyncFd owns it.
    unsafe { AsyncFd::register(socket) }.map_err(|error| error.into_parts().1)
}

/// All ARP packets of a link, as the address of a packet socket.
#[allow(unsafe_code, reason = "nix makes its LinkAddr from the kernel's structure only")]
fn arp_on(link: u32) -> io::Result<LinkAddr> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(|_| invalid())?,
        sll_protocol: u16::try_from(libc::ETH_P_ARP).map_err(|_| invalid())?.to_be(),
        sll_ifindex: i32::try_from(link).map_err(|_| invalid())?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(|_| invalid())?;
    // SAFETY: the pointer is to a whole `sockaddr_ll` that lives for the call, `length` is its size, and its family is
    // AF_PACKET, for which nix copies exactly this structure.
    unsafe { LinkAddr::from_raw((&raw const address).cast::<libc::sockaddr>(), Some(length)) }.ok_or_else(invalid)
}

#[cfg(test)]
#[path = "arp_tests.rs"]
mod tests;
