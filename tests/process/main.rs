//! Ring 2: the real `rooknet` on throw-away nodes, with a stub plugin that records its calls and does what it is told.
//!
//! What a file proves stands in its name; [`fixture`] has the node, the networks and the calls that all of them use.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod about;
mod agent_step;
mod bad_input;
mod calls;
mod check;
mod cni_cases;
mod collect;
mod concurrency;
mod default_routes;
mod delegating;
mod devices;
mod disk;
mod draining;
mod faults;
mod fixture;
mod gc;
mod gc_unseen;
mod hostile_network;
mod hostile_pod;
mod identity;
mod journals;
mod kill_matrix;
mod kubeconfig;
mod kubelet;
mod life;
mod log;
mod master_networks;
mod masters;
mod multus_cache;
mod native;
mod node_ranges;
mod orphans;
mod retries;
mod signals;
mod snapshot;
mod standard;
mod status;
mod undeletable;
mod untrusted;
mod versions;
