//! One step of what an agent does with the plugin's state, as a process: so that a test runs it on a throw-away node, and
//! kills it at any point.
//!
//! | Arguments | stdin | What |
//! |---|---|---|
//! | `drain REASON`, `undrain` | | `state::draining` |
//! | `put NAMESPACE NAME`, `remove NAMESPACE NAME`, `retain NAMESPACE/NAME…`, `beat MS`, `stop` | put: the object | `state::definitions` |
//! | `take`, `look` | | `state::calls`: one record a line, then one line for each of its events; `look` does not end it |
//! | `list` | the conflist entry | `engine::collect`: one journal a line |
//! | `undo ID IFNAME always\|never\|gone` | the conflist entry | prints the outcome |
//! | `undo-corrupt ID IFNAME NETNS`, `forget ID IFNAME REASON` | the conflist entry | prints the outcome |

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program: it shall stop at what it did not expect"
)]

use std::env;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rooknet::engine::collect::{Collector, is_gone};
use rooknet::engine::config::DEFAULT_STATE_DIR;
use rooknet::state::deadline::Deadline;
use rooknet::state::definitions::Snapshot;
use rooknet::state::journal::Key;
use rooknet::state::log::{self, Level, Settings};
use rooknet::state::{RUN_DIR, calls, draining};

fn main() {
    log::init(&Settings { level: Level::default(), to_stderr: true, ..Settings::default() });
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (state_dir, run_dir) = (Path::new(DEFAULT_STATE_DIR), Path::new(RUN_DIR));
    let snapshot = Snapshot::new(run_dir);
    match arguments.as_slice() {
        ["drain", reason] => drop(draining::begin(state_dir, reason).unwrap()),
        ["undrain"] => println!("{}", draining::end(state_dir).unwrap()),
        ["put", namespace, name] => drop(snapshot.put(namespace, name, &input()).unwrap()),
        ["remove", namespace, name] => snapshot.remove(namespace, name).unwrap(),
        ["retain", known @ ..] => {
            let known = known.iter().map(|one| one.split_once('/').unwrap());
            let known = known.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).collect();
            println!("{}", snapshot.retain(&known).unwrap());
        }
        ["beat", milliseconds] => snapshot.beat(Duration::from_millis(milliseconds.parse().unwrap()), true).unwrap(),
        ["stop"] => snapshot.stop().unwrap(),
        ["take"] => take(run_dir, true),
        ["look"] => take(run_dir, false),
        collecting => collect(collecting),
    }
}

fn take(run_dir: &Path, is_done: bool) {
    let Some(taken) = calls::take(run_dir).unwrap() else { return };
    for record in &taken.records {
        println!("{}", serde_json::to_string(record).unwrap());
        for event in record.events() {
            println!("{} {}", event.reason, event.message);
        }
    }
    if is_done {
        taken.done().unwrap();
    }
}

fn collect(arguments: &[&str]) {
    let collector = Collector::new(&input()).unwrap();
    let key = |container: &str, ifname: &str| Key { container_id: container.to_owned(), ifname: ifname.to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deadline = Deadline::without_signals(Duration::from_secs(20));
    let outcome = match arguments {
        ["list"] => {
            for listed in collector.list().unwrap() {
                println!("{}", serde_json::to_string(&listed).unwrap());
            }
            return;
        }
        ["undo", container, ifname, due] => {
            let key = key(container, ifname);
            let undone = collector.undo(&key, &deadline, |journal| match *due {
                "always" => Ok(true),
                "never" => Ok(false),
                _ => is_gone(journal),
            });
            runtime.block_on(undone)
        }
        ["undo-corrupt", container, ifname, netns] => {
            runtime.block_on(collector.undo_corrupt(&key(container, ifname), netns, &deadline))
        }
        ["forget", container, ifname, reason] => collector.forget(&key(container, ifname), reason),
        other => panic!("no such step: {other:?}"),
    };
    println!("{:?}", outcome.unwrap());
}

fn input() -> String {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).unwrap();
    text
}
