//! Plugins of the reference set, done in this process instead of being executed.
//!
//! Each is equal to its model, v1.9.1 of containernetworking/plugins, in what it does to the node and in what it
//! answers: users have both on one node, and change from one to the other with pods running. Where the model has a
//! fault, ours does what is right, and the module that differs says so.
//!
//! A plugin here is a function on a configuration and a [`Site`]; it knows nothing of journals, pods and commands. So a
//! main plugin has no DEL: it makes its link in the interface group of its caller, who deletes the links of a container
//! together, since the kernel waits once for each request and not for each link. What an ADD made when it fails half-way
//! is undone in the same way.
//!
//! An ADD has two steps, between which the caller gets addresses, from a plugin of this process or from an executed
//! one: [`Main::create`], then [`Main::configure`].
//!
//! | File | Subject |
//! |---|---|
//! | `native` | which configurations are answered here |
//! | `macvlan`, `ipvlan`, `bridge` | the main plugins |
//! | `master` | the interface on which macvlan and ipvlan build |
//! | `creation` | a link in the pod, under its name |
//! | `interface` | addresses, routes and variables of a pod's interface |
//! | `on_node` | a link on the node beside those of its pods |
//! | `again` | a pod's link that went with its master, made again |
//! | `carrier` | the wait until a link carries packets |
//! | `conflict` | the probe for IPv4 addresses that another host has |
//! | `keys` | keys that the main plugins have in common |
//! | `check` | what is compared by every CHECK |
//! | `site` | where, and for whom |
//! | `ipam` | host-local and static |

pub mod ipam;

mod again;
mod bridge;
mod carrier;
mod check;
mod conflict;
mod creation;
mod interface;
mod ipvlan;
mod keys;
mod macvlan;
mod master;
mod native;
mod on_node;
mod site;

#[cfg(test)]
mod testing;

pub use again::Again;
pub use interface::settle;
pub use native::{Choice, Ipam, Main, Native, parse};
pub use on_node::OnNode;
pub use site::{Created, Site};

/// The types of the main plugins that may be answered here.
pub const MAIN_TYPES: [&str; 3] = ["macvlan", "ipvlan", "bridge"];
