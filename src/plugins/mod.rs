//! Plugins of the reference set, done in this process instead of being executed.
//!
//! Each is equal to its model, v1.9.1 of containernetworking/plugins, in what it does to the node and in what it
//! answers: users have both on one node, and change from one to the other with pods running. Where the model has a
//! fault, ours does what is right, and the module that differs says so.
//!
//! A plugin here is a function on a configuration and an owner; it knows nothing of journals, pods and commands.

pub mod ipam;
