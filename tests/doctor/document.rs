//! The troubleshooting table of `docs/operations.md` is the one of the program.

use std::path::Path;

use rooknet::inspect::table::{Row, Severity, TABLE};

const BEGIN: &str = "<!-- begin: made from src/inspect/table.rs; UPDATE_DOCUMENTS=1 cargo test --features \
                     cli,fault-injection --test doctor document -->";
const END: &str = "<!-- end -->";

/// The table as Markdown.
fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("| Finding | Cause | Consequence | Cure |\n|---|---|---|---|\n");
    for Row { id, severity, cause, consequence, cure } in rows {
        let note = if *severity == Severity::Advice { " (note)" } else { "" };
        text.push_str(&format!("| `{id}`{note} | {cause} | {consequence} | {cure} |\n"));
    }
    text
}

#[test]
fn the_documented_troubleshooting_table_is_that_of_the_doctor() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let document = std::fs::read_to_string(&path).expect("docs/operations.md");
    let (before, rest) = document.split_once(BEGIN).expect("docs/operations.md has the line that begins the table");
    let (documented, after) = rest.split_once(END).expect("docs/operations.md has the line that ends the table");
    let expected = format!("\n\n{}\n", markdown(TABLE));
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).expect("write docs/operations.md");
    } else {
        assert_eq!(documented, expected, "docs/operations.md: run this with UPDATE_DOCUMENTS=1");
    }
}

#[test]
fn every_key_of_the_report_is_documented_and_no_other() {
    let fixture = crate::fixture::Fixture::start();
    let report = crate::ward::Ward::new(&fixture).looks(&["status"]);
    let mut keys: Vec<&str> = report.as_object().expect("an object").keys().map(String::as_str).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let document = std::fs::read_to_string(&path).expect("docs/operations.md");
    let (_, table) =
        document.split_once("| Key | What |\n|---|---|\n").expect("docs/operations.md has the table of keys");
    let lines = table.lines().take_while(|line| line.starts_with('|'));
    let mut documented: Vec<&str> = lines.filter_map(|line| line.split('`').nth(1)).collect();
    keys.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, keys);
}

#[test]
fn no_cell_of_the_table_breaks_it() {
    for Row { id, cause, consequence, cure, .. } in TABLE {
        for text in [cause, consequence, cure] {
            assert!(!text.contains('|'), "{id}: {text}");
            assert!(!text.contains('\n') && !text.ends_with('.'), "{id}: {text}");
        }
    }
}
