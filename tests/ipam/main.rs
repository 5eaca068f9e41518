//! host-local and static beside the reference plugins: the same calls, the same answers, the same files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at what it did not expect"
)]

mod configs;
mod faults;
mod life;
mod refusals;
mod shared;
mod statics;
mod twin;
