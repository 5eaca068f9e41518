//! The house: which rooms may know which. The source text is read, so a new `use` that points up fails here by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot read its subject must fail"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room and the rooms that it may use: those on the floors below, and on its own floor what is listed.
const ROOMS: [(&str, &[&str]); 13] = [
    ("cni", &[]),
    ("multinet", &["cni"]),
    ("kernel", &["cni", "multinet"]),
    ("state", &["cni", "multinet"]),
    ("kubeapi", &["cni", "multinet", "state"]),
    ("plugins", &["cni", "multinet", "kernel", "state"]),
    ("delegate", &["cni", "multinet", "kernel", "state", "plugins"]),
    ("engine", &["cni", "multinet", "kernel", "state", "kubeapi", "plugins", "delegate"]),
    ("runtime", &["cni", "state", "kubeapi"]),
    ("install", &["cni", "multinet", "state", "kubeapi", "runtime", "plugins", "delegate", "engine"]),
    ("inspect", &["cni", "multinet", "kernel", "state", "kubeapi", "runtime", "plugins", "delegate", "engine"]),
    (
        "agent",
        &[
            "cni", "multinet", "kernel", "state", "kubeapi", "runtime", "plugins", "delegate", "engine", "install",
            "inspect",
        ],
    ),
    (
        "cli",
        &[
            "cni", "multinet", "kernel", "state", "kubeapi", "runtime", "plugins", "delegate", "engine", "install",
            "inspect", "agent",
        ],
    ),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files of a room, its tests left out: a test may reach further.
fn files(room: &str) -> Vec<PathBuf> {
    fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() {
                collect(&entry, into);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
                into.push(entry);
            }
        }
    }
    let mut found = Vec::new();
    collect(&source().join(room), &mut found);
    assert!(!found.is_empty(), "room {room} has no files");
    found
}

/// A file's code: without comments, and without the test module at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that `text` names by `crate::room` or by `use crate::{room, …}`.
fn rooms_named(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (position, _) in text.match_indices("crate::") {
        let rest = text.get(position + "crate::".len()..).unwrap();
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' => {}
                    letter if depth == 0 && (letter.is_alphanumeric() || letter == '_') => {
                        word.push(letter);
                        continue;
                    }
                    _ => {}
                }
                named.push(std::mem::take(&mut word));
            }
            named.push(word);
        } else {
            named.push(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
        }
    }
    named
}

#[test]
fn dependencies_point_down_only() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let mut wrong = Vec::new();
    for (room, allowed) in &rooms {
        for file in files(room) {
            for named in rooms_named(&code(&file)) {
                let is_room = rooms.contains_key(named.as_str());
                if is_room && named != *room && !allowed.contains(&named.as_str()) {
                    wrong.push(format!("{} uses crate::{named}, which {room} must not know", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_of_the_source_is_a_room_with_rules() {
    for entry in fs::read_dir(source()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        // Programs, which are above all floors as `src/main.rs` is.
        if name == "bin" {
            continue;
        }
        assert!(ROOMS.iter().any(|(room, _)| *room == name), "src/{name} is in no floor of tests/layering.rs");
    }
}

#[test]
fn only_the_kernel_room_has_unsafe_code() {
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "kernel") {
        for file in files(room) {
            let text = code(&file);
            assert!(!text.contains("unsafe {") && !text.contains("allow(unsafe_code"), "unsafe in {}", file.display());
        }
    }
}

#[test]
fn only_the_state_room_writes_files() {
    const WRITERS: [&str; 11] = [
        "fs::write",
        "fs::rename",
        "fs::remove_file",
        "fs::remove_dir",
        "fs::create_dir",
        "File::create",
        ".create(true)",
        ".write(true)",
        ".append(true)",
        "fs::copy",
        "fs::hard_link",
    ];
    // A variable of the kernel: a file below /proc/sys only in appearance, which keeps nothing and is never made.
    let variables = source().join("kernel/sysctl.rs");
    assert!(code(&variables).contains(".write(true)"), "the exception for {} is without use", variables.display());
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "state") {
        for file in files(room).into_iter().filter(|file| *file != variables) {
            let text = code(&file);
            for writer in WRITERS {
                assert!(!text.contains(writer), "{} calls {writer}: files are written in state/", file.display());
            }
        }
    }
}

#[test]
fn variables_of_the_kernel_are_opened_and_never_created() {
    let text = code(&source().join("kernel/sysctl.rs"));
    for creator in ["fs::", "File::create", ".create(", ".create_new(", ".truncate("] {
        let found = text.lines().filter(|line| !line.starts_with("use ")).find(|line| line.contains(creator));
        assert_eq!(found, None, "kernel/sysctl.rs writes variables below /proc/sys, and no files");
    }
}

#[test]
fn netlink_is_spoken_in_kernel_and_processes_start_in_delegate() {
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "kernel") {
        for file in files(room) {
            let text = code(&file);
            assert!(
                !text.contains("netlink_proto") && !text.contains("netlink_packet"),
                "netlink in {}",
                file.display()
            );
        }
    }
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "delegate") {
        for file in files(room) {
            assert!(!code(&file).contains("process::Command"), "{} starts a process", file.display());
        }
    }
}

#[test]
fn the_pure_rooms_do_no_input_or_output() {
    for room in ["cni", "multinet"] {
        for file in files(room) {
            let text = code(&file);
            for word in ["std::fs", "std::net::Tcp", "std::process", "std::env::", "tokio", "nix::", "std::io"] {
                assert!(!text.contains(word), "{} uses {word}: {room} is pure", file.display());
            }
        }
    }
}
