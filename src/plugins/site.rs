//! Where a plugin works, and for whom.

use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::Netns;
use crate::state::deadline::Deadline;

/// One interface of one container, and the two namespaces that it concerns.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// CNI_CONTAINERID.
    pub container_id: &'a str,
    /// CNI_IFNAME.
    pub ifname: &'a str,
    /// CNI_NETNS, as results name it.
    pub sandbox: &'a str,
    /// A socket in the node's namespace.
    pub node: &'a Netlink,
    /// The pod's namespace.
    pub netns: &'a Netns,
    /// A socket in the pod's namespace.
    pub pod: &'a Netlink,
    /// The interface group (IFLA_GROUP) of every link that is made in the pod. Host-side ends keep group 0.
    pub group: u32,
    /// Whether new IPv4 addresses are probed for before they are used (RFC 5227).
    pub conflict_probe: bool,
    /// When to give up.
    pub deadline: &'a Deadline,
}

/// What the first step of an ADD made.
#[derive(Clone, Debug)]
pub struct Created {
    /// The link in the pod, down.
    pub link: Link,
    /// The link on which it stands.
    pub master: Option<Link>,
    /// The other end of a veth pair, in the node's namespace.
    pub host: Option<Link>,
    /// The bridge whose port it is, in the node's namespace.
    pub bridge: Option<Link>,
}
