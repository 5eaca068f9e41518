//! The Kubernetes API, as far as the plugin needs it, and the kubelet's own socket: the only room that opens a
//! connection.
//!
//! A client of its own on hyper and rustls, because what the general clients bring (watches, caches, discovery) costs
//! more crates than the rest of the plugin has, in a program that starts as root with every pod.

#[cfg(feature = "cli")]
pub mod claims;
pub mod client;
mod connect;
pub mod credentials;
mod error;
pub mod events;
mod exchange;
mod failure;
pub mod grpc;
#[cfg(feature = "cli")]
pub mod kube_client;
mod kubeconfig;
pub mod networks;
pub mod pod_resources;
pub mod pods;
mod pool;
mod retry;
mod server;
mod tls;
pub mod version;
mod yaml;

#[cfg(test)]
mod testing;

pub use client::{Client, Usage};
pub use error::Error;
pub use networks::ApiNetworks;
