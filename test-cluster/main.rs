//! rooknet in a real Kubernetes of two nodes, in which the kubelet and containerd do the calling.
//!
//! `make test-cluster` brings the cluster up, runs these cases one after another, and takes it down again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot prepare its surroundings must fail at once, with the place"
)]

mod attach;
mod crowd;
mod faults;
mod shim;
mod stage;
#[path = "../tests/support/mod.rs"]
mod support;
mod whereabouts;
