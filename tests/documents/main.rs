//! Documents and examples say what the code does: tables are compared with the source, examples are loaded by the real
//! parsers. When one of these fails, the message says which line of which document is missing, wrong or too many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that cannot read its subject must fail"
)]

mod examples;
mod links;
mod messages;
mod reader;
mod tables;
