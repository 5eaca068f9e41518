//! One network: its plugins in order, each run by this process (room `plugins`) or a process of its own.
//!
//! Who runs which is decided once for a call, from the configuration alone (`runners`), before anything is touched. At
//! most one plugin of a network is run by this process, the one that makes the interface; so a DEL has two parts, before
//! and after that interface goes, and whoever undoes several networks deletes their interfaces together in between.
//!
//! What shaped the rest: **a runtime kills only rooknet**, and a plugin starts further plugins (its IPAM) that know
//! nothing of us. So every plugin runs as the leader of a process group, everything is decided about that group as a
//! whole, and no member of it is left when a call returns (`group`). A plugin that was started does nothing until it
//! has read its configuration, which gives the moment to note its group in the container's lock file: killed before
//! the note, rooknet leaves a plugin that reads an empty configuration and fails; killed after it, the DEL that follows
//! finds the group (`exec`).
//!
//! The rest follows libcni, with its faults mended: a plugin that stays busy is an error and no empty success, DEL goes
//! on past errors, and every output is bounded (`output`).
//!
//! | File | Subject |
//! |---|---|
//! | `chain` | ADD, CHECK, GC and STATUS: which plugins, in which order, with which `prevResult` |
//! | `detach` | DEL, in two parts where this process makes the interface |
//! | `runners` | who runs which plugin |
//! | `native` | a plugin of this process, with its IPAM, which may be an executable |
//! | `answer` | what a plugin's exit status and output mean |
//! | `exec` | one run of one executable: start, note, feed, drain, end |
//! | `group` | a process group: wait for its leader, kill it, wait for all of it |
//! | `output` | bounded stdout; stderr to the log, its tail for the error |
//! | `search` | where executables are, and what to install when they are not |
//! | `masters` | the node's interfaces that networks build on: by name, or by an address (`masterCIDR`) |
//! | `ranges` | this node's share of addresses, for host-local |
//! | `version` | what an executable says of itself, for who installs it |
//! | `failure` | what can go wrong, typed, and as a CNI error |

mod answer;
mod chain;
mod detach;
mod exec;
mod failure;
mod group;
mod masters;
mod native;
mod output;
mod ranges;
mod runners;
mod search;
#[cfg(feature = "cli")]
mod version;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;

pub use chain::{Added, add, check, gc, status};
pub use detach::{del, del_above_link, del_below_link};
pub use exec::programs_of_process;
pub use failure::{Call, Failed, Failure};
pub use group::Exit;
pub use masters::{MAX_CIDRS, check as check_masters, resolve as resolve_masters};
pub use output::{MAX_LOGGED_STDERR, MAX_STDOUT, STDERR_TAIL};
pub use ranges::give as give_ranges;
pub use runners::{Runners, choose};
pub use search::{Missing, find_executables};
#[cfg(feature = "cli")]
pub use version::{Answer, rooknet_version, version};

pub use crate::plugins::settle;

use crate::cni::Object;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::state::deadline::Deadline;
use crate::state::lock::ContainerLock;

/// What a network's plugins run with.
///
/// GC and STATUS concern no container: they leave `container_id`, `netns`, `ifname`, `args` and `runtime_config`
/// unread.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// CNI_CONTAINERID.
    pub container_id: &'a str,
    /// CNI_NETNS; empty on DEL when the namespace is gone.
    pub netns: &'a str,
    /// CNI_IFNAME of this attachment.
    pub ifname: &'a str,
    /// CNI_ARGS of this attachment.
    pub args: String,
    /// Where executables are searched, in order; also the plugins' CNI_PATH, by which they find their IPAM.
    pub path: &'a [PathBuf],
    /// TRACEPARENT, TRACESTATE and BAGGAGE as the runtime gave them.
    pub trace: &'a [(&'static str, OsString)],
    /// By capability; each plugin gets the keys that it declares.
    pub runtime_config: &'a Object,
    /// The container's lock: told which process group runs. Plugins inherit its descriptor by themselves. `None` where
    /// no container is concerned.
    pub lock: Option<&'a ContainerLock>,
    /// Who runs the network's plugins.
    pub runners: &'a Runners,
    /// Where this process works itself. `None` where no plugin of its own can be run.
    pub ground: Option<Ground<'a>>,
    /// When to give up.
    pub deadline: &'a Deadline,
}

/// Where plugins of this process work.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// A socket in the node's namespace.
    pub node: &'a Netlink,
    /// The pod's namespace, and a socket in it; `None` when it is gone, and for GC and STATUS.
    pub pod: Option<(&'a Netns, &'a Netlink)>,
    /// The interface group of the links that are made in the pod.
    pub group: u32,
    /// Whether new IPv4 addresses are probed for (RFC 5227).
    pub conflict_probe: bool,
}

/// An attachment that is alive: what GC's plugins must keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// CNI_CONTAINERID of its ADD.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME of its ADD.
    pub ifname: String,
}
