//! Ring 3: the agent's repairs of a node, with real links, pods and traffic on throw-away nodes.
//!
//! Tests in a module `vm` need ipvlan, which the running kernel may lack. They are marked `#[ignore]`, and
//! `make test-vm` runs exactly these under Debian's kernel.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod masters;
mod shim;
mod stage;
mod stale;
