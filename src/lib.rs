//! rooknet: a CNI meta-plugin that gives storage pods networks of their own.
//!
//! The house has floors, and dependencies point down only (`tests/layering.rs` checks it):
//!
//! | Floor | Rooms | What lives there |
//! |---|---|---|
//! | 7 | `cli` | rooknetctl's subcommands: arguments and printing (feature `cli`, as the next two floors) |
//! | 6 | `agent`, `install`, `inspect` | what keeps a node healthy; what puts rooknet there and takes it away; what is seen and wrong there |
//! | 5 | [`engine`] | one CNI call as a story: plan, add, del, check, gc, status |
//! | 4 | [`delegate`] | one network: its plugins in order, each a process of its own |
//! | 3 | [`plugins`] | plugins of the reference set, done in this process: host-local, static |
//! | 2 | [`kernel`], [`state`], [`kubeapi`], `runtime` | adapters: namespaces and netlink; files, locks, journal, log; the API server; the container runtime (feature `cli`) |
//! | 1 | [`cni`], [`multinet`] | pure types and rules, no I/O |
//!
//! A room uses the floors below it. On one floor, `multinet` knows `cni`, `kernel` and `state` do not know each
//! other, and `kubeapi` knows `state` (its deadline, its bounded reading of files).

#[cfg(feature = "cli")]
pub mod agent;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cni;
pub mod delegate;
pub mod engine;
#[cfg(feature = "cli")]
pub mod inspect;
#[cfg(feature = "cli")]
pub mod install;
pub mod kernel;
pub mod kubeapi;
pub mod multinet;
pub mod plugins;
#[cfg(feature = "cli")]
pub mod runtime;
pub mod state;
