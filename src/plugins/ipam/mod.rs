//! Address management: host-local, which hands out addresses of ranges, and static, which answers what it is told.
//!
//! Both read the whole configuration of the main plugin that calls them, as the executed ones do on stdin, and answer
//! an [`Answer`], which is plain data for a main plugin of this process and JSON for everybody else.

pub mod host_local;
pub mod static_addresses;

mod answer;
pub(super) mod read;

pub use answer::{Answer, IpamAddress, IpamRoute};
