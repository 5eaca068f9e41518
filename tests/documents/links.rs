//! What documents point at exists, and what does not belong into a repository is in none of its files.

use std::path::{Component, Path, PathBuf};

use crate::reader::{anchors, blocks, documents, files, read, root};

/// The targets of a document's links, code blocks left out.
fn targets(document: &str) -> Vec<String> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in read(document).lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()));
        }
    }
    found
}

/// A relative path from a document, as one from the root.
fn resolved(document: &str, target: &str) -> PathBuf {
    let mut path = Path::new(document).parent().unwrap().to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{document}: the link {target} leaves the repository"),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let mut seen = 0;
    for document in documents() {
        for target in targets(&document).iter().filter(|target| !target.starts_with("https://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { PathBuf::from(&document) } else { resolved(&document, path) };
            assert!(root().join(&path).exists(), "{document}: the link {target} leads nowhere");
            if !anchor.is_empty() {
                let anchors = anchors(&path.to_string_lossy());
                assert!(anchors.iter().any(|found| found == anchor), "{document}: {target}: there are {anchors:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn paths_and_targets_that_documents_name_exist() {
    let makefile = read("Makefile");
    for document in documents() {
        let text = read(&document);
        for (position, _) in text.match_indices("make ") {
            let is_command = text[..position].ends_with(['`', '\n']) || text[..position].ends_with("$(");
            let target: String = text[position + "make ".len()..]
                .trim_start_matches("--silent ")
                .chars()
                .take_while(|letter| letter.is_ascii_lowercase() || *letter == '-')
                .collect();
            if is_command && !target.is_empty() {
                assert!(makefile.contains(&format!("\n{target}:")), "{document}: make {target} is no target");
            }
        }
        for path in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "docs/", "conf/", "test-netns/", "engine/", "delegate/", "multinet/"]
                .iter()
                .any(|folder| path.starts_with(folder));
            let is_file = path.ends_with(".rs") || path.ends_with(".md") || path.ends_with(".conflist");
            if is_path && is_file {
                let exists = root().join(path).exists() || root().join("src").join(path).exists();
                assert!(exists, "{document}: {path} does not exist");
            }
        }
    }
}

#[test]
fn no_file_has_paths_of_a_machine_in_it() {
    // Put together, or this file would be one.
    let forbidden = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]].map(|parts| parts.concat());
    for path in files("").iter().filter(|path| !path.ends_with(".lock")) {
        // What is not text has no such words either.
        let Ok(text) = std::fs::read_to_string(root().join(path)) else { continue };
        for word in &forbidden {
            let found = text.match_indices(word.as_str()).any(|(position, _)| {
                // `/proc/PID/root/…` is the kernel's.
                !text[..position]
                    .ends_with(|letter: char| letter.is_alphanumeric() || matches!(letter, '}' | '.' | '"'))
            });
            assert!(!found, "{path} has {word} in it");
        }
    }
}

#[test]
fn decisions_are_numbered_dated_and_complete() {
    let decisions = files("docs/decisions");
    assert!(decisions.len() >= 6);
    for (number, path) in (1..).zip(&decisions) {
        let text = read(path);
        assert!(path.starts_with(&format!("docs/decisions/{number:04}-")), "{path} is not number {number}");
        assert!(text.starts_with(&format!("# {number}. ")), "{path} has no heading with its number");
        let date = text.lines().nth(2).unwrap_or_default();
        let is_date = date.len() == 10 && date.chars().all(|letter| letter.is_ascii_digit() || letter == '-');
        assert!(is_date, "{path} has no date in its third line");
        for part in ["**The obvious way**", "**Instead**", "**Because**", "**The price**"] {
            assert!(text.contains(part), "{path} has no part {part}");
        }
    }
}

#[test]
fn code_blocks_say_what_they_are() {
    for document in documents() {
        let all: usize = ["json", "text", "sh", "yaml"].iter().map(|language| blocks(&document, language).len()).sum();
        let unnamed = blocks(&document, "").len();
        let fences = read(&document).lines().filter(|line| line.starts_with("```")).count();
        // The picture in the README is of no language.
        assert!((all + unnamed) * 2 == fences && (unnamed == 0 || document == "README.md"), "{document}");
    }
}
