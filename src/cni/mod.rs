//! The CNI protocol: what a call, a configuration, a result and an error look like in every version of the
//! specification (0.1.0 to 1.1.0). Pure: nothing here touches a file, a socket or the environment.
//!
//! Configurations and results are kept as raw JSON ([`json::Object`]) and only looked into: a meta-plugin relays
//! what it does not understand, byte for byte.

pub mod args;
pub mod error;
pub mod json;
pub mod names;
pub mod network;
pub mod request;
pub mod result;
pub mod text;
pub mod version;

mod convert;

pub use error::{Code, Error};
pub use json::Object;
pub use version::Version;
