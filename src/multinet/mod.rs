//! The multi-network standard v1.3: which networks a pod selects, and what a network attachment definition says. Pure.
//!
//! Pod authors are untrusted, so every value is checked here, once, before anything is planned: behind this room a
//! name can be joined to a path, a MAC address or a port can be handed to a plugin, and an error text can be printed.

pub mod definition;
pub mod interface_names;
pub mod node_ranges;
pub mod object_names;
pub mod selection;
pub mod source;
pub mod status;
