//! Ring 3: real plugins, real interfaces and real traffic, on throw-away nodes.
//!
//! Tests in a module `vm` need kernel modules (ipvlan, 8021q) that the running kernel may lack. They are marked
//! `#[ignore]`, and `make test-vm` runs exactly these under Debian's kernel.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

#[path = "../tests/support/mod.rs"]
mod support;

mod crowd;
mod demo;
mod kill;
mod kinds;
mod life;
mod shared_definition;
mod sharing;
mod site;
mod storage;
mod surroundings;
