//! Ring 2: the real `rooknetctl` on throw-away nodes, and the plugin that it installs.
//!
//! What a runtime has loaded is asked of a real one, in the cluster's tests: here there is none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

#[path = "../support/mod.rs"]
mod support;

mod install;
mod killed;
mod machine;
mod multus;
mod uninstall;
