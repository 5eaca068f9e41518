//! What a pod's networks cost, beside other ways to have them and beside what the kernel itself takes.
//!
//! `make bench` runs it: see docs/performance.md. All contenders of a case run in turn, in changing order, so that
//! whatever else the machine does meets all of them; a figure is only worth something beside another of the same run.
//! Nothing here is asserted about times. What a contender made is: one that does less than the others ends it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a benchmark stops at what it did not expect, as tests do"
)]

#[path = "../test-kube/cluster/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests with an API server use all of it")]
mod cluster;
#[path = "../tests/support/mod.rs"]
mod support;

mod cases;
mod contender;
mod counts;
mod crowd;
mod figures;
mod goals;
mod measure;
mod networks;
mod server;
mod stage;
mod state;
mod stores;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::Instant;

use figures::Table;
use server::Server;
use stage::{Programs, Stage};

/// Rounds without BENCH_ROUNDS.
const ROUNDS: usize = 40;

fn main() {
    let start = Instant::now();
    let rounds = env::var("BENCH_ROUNDS").map_or(ROUNDS, |text| {
        text.parse().ok().filter(|rounds| *rounds > 0).expect("BENCH_ROUNDS is a number of rounds, 1 or more")
    });
    let wanted = env::var("BENCH_CASES").unwrap_or_default();
    let stage = Stage::start(Programs::from_environment());
    let server = Server::start(&stage);

    let mut table = Table::default();
    type Case = fn(&Stage, &Server, usize, &mut Table);
    let cases: [(&str, Case); 7] = [
        ("files", cases::from_files),
        ("server", cases::with_server),
        ("l2", cases::layer_2),
        ("ipv6", cases::ipv6),
        ("dad", cases::ipv6_with_detection),
        ("store", stores::sizes),
        ("crowd", crowd::many_pods),
    ];
    let mut failed = None;
    for (name, case) in cases {
        if wanted.is_empty() || wanted.split(',').any(|wanted| wanted == name) {
            let began = Instant::now();
            // A case adds its rows when it is through: what the cases before it measured is worth its print.
            failed = catch_unwind(AssertUnwindSafe(|| case(&stage, &server, rounds, &mut table))).err();
            eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
            if failed.is_some() {
                break;
            }
        }
    }
    print!("{table}");
    println!();
    goals::print(&table);
    println!();
    if stage.programs.multus.is_none() {
        println!("Multus thin is left out: MULTUS names no program.");
    }
    println!("{rounds} rounds, {:.0} s", start.elapsed().as_secs_f64());
    if let Some(failure) = failed {
        println!("The case after these failed: see above. What follows it was not measured.");
        drop(stage);
        resume_unwind(failure);
    }
}

/// The program that a variable names, as a path that holds on the nodes.
fn program(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)?;
    let found = path.canonicalize().unwrap_or_else(|error| panic!("{variable}={}: {error}", path.display()));
    Some(found)
}
