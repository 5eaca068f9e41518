//! What is printed: tables for people, JSON for programs; colour and progress on a terminal only.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cni::text::printable;

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Tables for people
    #[default]
    Table,
    /// One JSON document, whose keys stay
    Json,
}

/// The argument that every printing subcommand has.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Output {
    /// What to print
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(super) output: Form,
}

/// Prints a text and a line feed.
///
/// # Errors
/// When nobody reads it.
pub(super) fn line(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("the output cannot be written")
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`line`].
pub(super) fn json<T: Serialize>(value: &T) -> Result<()> {
    line(&serde_json::to_string_pretty(value).context("the output cannot be made")?)
}

/// A table with these headings. Cells that others may have written are to go through [`cell`].
pub(super) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    // What goes into a file or a pipe is not broken into lines.
    if let Some(width) = width() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

/// A cell of text that others may have written.
pub(super) fn cell(text: &str) -> String {
    printable(text)
}

/// Columns of the terminal that stdout is; `None` when it is none.
fn width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok())
}

/// Whether stdout may be coloured: a terminal, and the user has not set NO_COLOR.
pub(super) fn may_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
