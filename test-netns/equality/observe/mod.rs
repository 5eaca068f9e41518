//! What a plugin leaves to be seen: the kernel's state in the pod and on the host, and files.
//!
//! Everything is made into maps by what identifies a thing (a route by destination, gateway, interface, table and
//! metric), so that one missing route is one difference and not a shift of all that follow.

mod files;
mod network;

use serde_json::{Value, json};

use crate::compare::volatile::Volatile;
use crate::support::{Namespace, Node};

pub(crate) use network::tentative;

/// An observation of one node and its pod, without what is volatile, with what was volatile in it.
pub(crate) struct Observation {
    /// `pod`, `host`, `files`.
    pub(crate) state: Value,
    /// For the result, which has names and MACs too.
    pub(crate) volatile: Volatile,
}

/// Looks at the node, and at the pod if there is one.
pub(crate) fn observe(node: &Node, pod: Option<&Namespace<'_>>) -> Observation {
    let pod = pod.map(network::look).unwrap_or_default();
    let host = network::look(&node.host());
    let volatile = Volatile::of(&pod.links(), &host.links());
    let state = json!({
        "pod": volatile.without(&pod.by_identity(), "pod"),
        "host": volatile.without(&host.by_identity(), "host"),
        "files": volatile.without(&files::below(node, "/var/lib/cni"), ""),
    });
    Observation { state, volatile }
}
