//! `rooknetctl status`, `attachments` and `doctor` as programs, on throw-away nodes with the real plugin: every row of
//! the troubleshooting table is provoked, found with its cause, and gone when it is cured.
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

#[path = "../../test-kube/cluster/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of the API server use all of it")]
mod cluster;
#[path = "../process/fixture.rs"]
#[allow(dead_code, reason = "the process tests use all of it")]
mod fixture;
#[path = "../../test-kube/proxy/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of the API server use all of it")]
mod proxy;
#[path = "../../test-kube/site.rs"]
#[allow(dead_code, reason = "the tests of the API server use all of it")]
mod site;
#[path = "../support/mod.rs"]
mod support;

mod attachments;
mod document;
mod every_node;
mod of_api;
mod of_attachments;
mod of_definitions;
mod of_installation;
mod of_runtime;
mod status;
mod ward;

use std::collections::BTreeSet;

use rooknet::inspect::table::TABLE;

#[test]
fn every_row_of_the_troubleshooting_table_is_provoked_by_a_test() {
    let provoked: BTreeSet<&str> = [
        of_installation::ROWS,
        of_attachments::ROWS,
        of_definitions::ROWS,
        of_runtime::ROWS,
        of_api::ROWS,
        every_node::ROWS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect();
    let rows: BTreeSet<&str> = TABLE.iter().map(|row| row.id).collect();
    assert_eq!(rows.len(), TABLE.len(), "two rows have one name");
    assert_eq!(provoked, rows);
}
