//! What rooknet keeps on the node: files, locks, the journal and the log. The only room that writes files.
//!
//! Everything here expects to be killed at any instruction and to be run again: a file is whole or absent, a lock goes
//! with its holder, and what a killed process left behind is recognised by its name and its owner's death.

pub mod calls;
pub mod deadline;
pub mod definitions;
pub mod device_info;
pub mod draining;
mod error;
pub mod fault;
pub mod files;
pub mod host;
pub mod host_local;
#[cfg(feature = "cli")]
pub mod installation;
pub mod journal;
pub mod lock;
pub mod log;
pub mod multus_cache;
pub mod networks;
#[cfg(feature = "cli")]
pub mod placing;
mod process;
pub mod shims;

#[cfg(test)]
pub(crate) mod testing;

pub use error::Error;

/// Where locks lie, and what the agent and the plugin tell each other: a tmpfs, so that a reboot clears it.
pub const RUN_DIR: &str = "/run/rooknet";
