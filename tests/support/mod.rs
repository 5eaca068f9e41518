//! What the tests that need a kernel stand on: throw-away nodes, the switches between them, and calls of CNI plugins.
//!
//! - [`Node`]: a network and a mount namespace of its own, with private and empty /var/lib/cni, /var/lib/rooknet, /var/lib/kubelet,
//!   /etc/cni, /opt/cni/bin and /run; see `test-netns/node-init.sh`.
//! - [`Switch`]: a bridge in a network namespace of its own that joins nodes, as a storage network does.
//! - [`Namespace`]: a network namespace on a node (a pod's, or the node's own) and what can be asked of it.
//! - [`CniTool`] and [`PluginCall`]: an attachment by way of libcni, or one call of one plugin.
//!
//! Nothing outlives the test: when the test process ends, by whatever signal, the pipes to its nodes close, and each
//! node kills its processes and takes its namespaces along.
//!
//! It is synchronous and knows nothing of rooknet's own types, so that a fault in these cannot hide itself.
#![allow(dead_code, unused_imports, reason = "each of the test programs that include this uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that cannot prepare its surroundings must fail at once, with the place"
)]

mod call;
mod namespace;
mod node;
#[cfg(feature = "cli")]
pub(crate) mod runtime;

pub(crate) use call::{CniTool, Outcome, PluginCall, RunningCall, kill_points, run, tools, traced};
pub(crate) use namespace::{Link, Namespace, Route};
pub(crate) use node::{HeldLock, Lease, Node, Process, Switch, kernel_has, wait_until};
