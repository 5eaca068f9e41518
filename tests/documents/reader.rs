//! Reading the repository: documents as tables, code blocks and headings; the source as constants and literals.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository as text.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A document in one line: for sentences, which may be broken anywhere.
pub(crate) fn prose(path: &str) -> String {
    read(path).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All files below a directory of the repository, as paths from its root, sorted; what is built is passed over.
pub(crate) fn files(directory: &str) -> Vec<String> {
    fn collect(directory: &Path, into: &mut Vec<String>) {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", "corpus", "artifacts"].contains(&name.as_str()) {
                    collect(&path, into);
                }
            } else if name != ".git" {
                into.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(directory), &mut found);
    found.sort();
    assert!(!found.is_empty(), "no files in {directory}");
    found
}

/// All documents.
pub(crate) fn documents() -> Vec<String> {
    files("").into_iter().filter(|path| path.ends_with(".md")).collect()
}

/// The rows of every table of a document whose header begins with these columns, each as its cells.
pub(crate) fn rows(document: &str, header: &[&str]) -> Vec<Vec<String>> {
    let text = read(document);
    let mut rows = Vec::new();
    let mut wanted = false;
    let mut in_table = false;
    for line in text.lines() {
        let Some(inner) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
        if !in_table {
            in_table = true;
            wanted = cells.len() >= header.len() && cells.iter().zip(header).all(|(cell, column)| cell == column);
        } else if wanted && !inner.chars().all(|letter| matches!(letter, '-' | '|' | ' ')) {
            rows.push(cells);
        }
    }
    assert!(!rows.is_empty(), "{document} has no table with the columns {header:?}");
    rows
}

/// What stands in backticks at the beginning of a cell.
pub(crate) fn code(cell: &str) -> String {
    let inner = cell.strip_prefix('`').and_then(|rest| rest.split('`').next());
    inner.unwrap_or_else(|| panic!("{cell:?} does not begin with `…`")).to_owned()
}

/// The code blocks of a document in a language, each with the number of its first line.
pub(crate) fn blocks(document: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, bool)> = None;
    for (line, text) in (1..).zip(read(document).lines()) {
        match (&mut open, text.strip_prefix("```")) {
            (None, Some(name)) => open = Some((line + 1, String::new(), name == language)),
            (Some((start, block, wanted)), Some(_)) => {
                if *wanted {
                    found.push((*start, std::mem::take(block)));
                }
                open = None;
            }
            (Some((_, block, _)), None) => {
                block.push_str(text);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a code block is not closed");
    found
}

/// The anchors of a document's headings, as GitHub makes them.
pub(crate) fn anchors(document: &str) -> Vec<String> {
    let text = read(document);
    let mut in_block = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block && let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
            anchors.push(kept.collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

/// A source file without its comments and its test module.
pub(crate) fn source(path: &str) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The value of a constant of numbers or durations (in seconds), from its line in the source.
pub(crate) fn constant(path: &str, name: &str) -> u64 {
    let text = source(path);
    let declaration = format!("const {name}:");
    let mut found = text.lines().filter(|line| line.contains(&declaration));
    let line = found.next().unwrap_or_else(|| panic!("{path} has no constant {name}"));
    assert!(found.next().is_none(), "{path} has more than one constant {name}");
    let value = line.split_once('=').and_then(|(_, value)| value.trim().strip_suffix(';')).unwrap();
    let value = value.strip_prefix("Duration::from_secs(").and_then(|value| value.strip_suffix(')')).unwrap_or(value);
    let number = |text: &str| {
        text.trim().replace('_', "").parse::<u64>().unwrap_or_else(|_| panic!("{path}: {name} is {value:?}"))
    };
    match value.split_once("<<") {
        Some((base, shift)) => number(base) << number(shift),
        None => value.split('*').map(number).product(),
    }
}

/// The string literals that follow any of `before` directly in a source file.
pub(crate) fn literals_after(path: &str, before: &[&str]) -> Vec<String> {
    // A chain of calls over several lines is one.
    let text = source(path).lines().map(str::trim).collect::<Vec<_>>().join("\n").replace("\n.", ".");
    let mut found = Vec::new();
    for pattern in before {
        for (position, _) in text.match_indices(pattern) {
            let rest = &text[position + pattern.len()..];
            let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
            found.push(rest.split('"').next().unwrap().to_owned());
        }
    }
    found
}

/// The list of texts in `const NAME: […] = […];`.
pub(crate) fn list_constant(path: &str, name: &str) -> Vec<String> {
    let text = source(path);
    let start = text.find(&format!("const {name}:")).unwrap_or_else(|| panic!("{path} has no constant {name}"));
    let declaration = text[start..].split_once("= [").unwrap().1.split(']').next().unwrap();
    declaration.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every text that the program can print: all source files with their literals in one line each.
pub(crate) fn texts_of_the_program() -> String {
    let mut all = String::new();
    for path in files("src").into_iter().filter(|path| path.ends_with(".rs") && !path.ends_with("tests.rs")) {
        let mut lines = source(&path).lines().map(str::to_owned).collect::<Vec<_>>().into_iter();
        // A literal that goes on in the next line: the backslash swallows the indentation.
        while let Some(line) = lines.next() {
            match line.strip_suffix('\\') {
                Some(beginning) => {
                    all.push_str(if all.ends_with('\\') { "" } else { beginning });
                    let mut next = lines.next().unwrap_or_default();
                    while let Some(part) = next.strip_suffix('\\') {
                        all.push_str(part.trim_start());
                        next = lines.next().unwrap_or_default();
                    }
                    all.push_str(next.trim_start());
                }
                None => all.push_str(&line),
            }
            all.push('\n');
        }
    }
    all.replace("\\\"", "\"")
}

/// Compares what a document lists with what the source has.
#[track_caller]
pub(crate) fn assert_same(what: &str, documented: &[String], in_source: &[String]) {
    let count = |list: &[String]| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for item in list {
            *counts.entry(item.clone()).or_insert(0) += 1;
        }
        counts
    };
    let (documented, in_source) = (count(documented), count(in_source));
    let twice: Vec<_> = documented.iter().filter(|(_, count)| **count > 1).map(|(item, _)| item).collect();
    let missing: Vec<_> = in_source.keys().filter(|item| !documented.contains_key(*item)).collect();
    let extra: Vec<_> = documented.keys().filter(|item| !in_source.contains_key(*item)).collect();
    assert!(
        missing.is_empty() && extra.is_empty() && twice.is_empty(),
        "{what}: not documented {missing:?}, documented but not in the source {extra:?}, documented twice {twice:?}"
    );
}
