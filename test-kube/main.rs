//! Ring 4: a real Kubernetes API server, with the rights and the policy of `deploy/kustomize` in force.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]

#[path = "../tests/process/agent_step.rs"]
#[allow(dead_code, reason = "the process tests use all of it")]
mod agent_step;
#[path = "../tests/process/fixture.rs"]
#[allow(dead_code, reason = "the process tests use all of it")]
mod fixture;
#[path = "../tests/process/kubelet.rs"]
#[allow(dead_code, reason = "the process tests use all of it")]
mod kubelet;
#[path = "../tests/documents/reader.rs"]
#[allow(dead_code, reason = "the tests of the documents use all of it")]
mod reader;
#[path = "../tests/support/mod.rs"]
mod support;

mod access;
mod agent;
mod agent_rights;
mod attach;
mod cluster;
mod crowd;
mod definitions;
mod documents;
mod events;
mod faults;
mod garbage;
mod helpers;
mod installation;
mod manifests;
mod measure;
mod networks;
mod policy;
mod proxy;
mod requests;
mod rights;
mod secrets;
mod shared_definition;
mod site;
mod snapshot;
mod status;
mod tenant;
mod yaml;
