//! The floor `delegate`, called as the engine calls it, with a stub plugin that records its calls.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

mod bench;
mod chain;
mod exec;
mod faults;
mod stub_plugin;
