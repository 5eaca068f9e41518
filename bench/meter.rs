//! Runs programs and prints what they took together: as its last line on stderr `WALL CPU RESIDENT`, in microseconds,
//! microseconds, and kilobytes of the largest process. What they start and wait for is in it.
//!
//! It is a process of its own because the kernel tells resources of ended children only as a sum over all of them; and
//! a small one because a child begins with its parent's memory, and the kernel's peak counts that.
//!
//! ```text
//! rooknet-meter AT-A-TIME STEP [-- STEP]…       STEP = [VARIABLE=VALUE…] [<INPUT] PROGRAM [ARGUMENT…]
//! ```
//!
//! With AT-A-TIME 1 the steps run in order. INPUT is the file that the program gets as stdin; its stdout and stderr are
//! this program's. A program that fails ends this one.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    reason = "a program of the benchmark: it stops at what it did not expect, and the benchmark with it"
)]

use std::env;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let [at_a_time, steps @ ..] = words.as_slice() else { panic!("rooknet-meter AT-A-TIME STEP [-- STEP]…") };
    let at_a_time: usize = at_a_time.parse().expect("AT-A-TIME is a number");
    let mut steps: Vec<Command> = steps.split(|word| word == "--").map(command).collect();
    let start = Instant::now();
    if at_a_time > 1 {
        let steps = Mutex::new(steps);
        thread::scope(|scope| {
            for _ in 0..at_a_time {
                scope.spawn(|| {
                    while let Some(mut step) = take(&steps) {
                        run(&mut step);
                    }
                });
            }
        });
    } else {
        steps.iter_mut().for_each(run);
    }
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what the children took");
    let processor = duration(usage.user_time()) + duration(usage.system_time());
    eprintln!("{} {} {}", wall.as_micros(), processor.as_micros(), usage.max_rss());
}

/// A function, so that the lock is let go before the step runs.
fn take(steps: &Mutex<Vec<Command>>) -> Option<Command> {
    steps.lock().expect("no thread dies with the lock").pop()
}

fn run(step: &mut Command) {
    let status = step.status().unwrap_or_else(|error| panic!("{step:?}: {error}"));
    assert!(status.success(), "{step:?}: {status}");
}

fn command(words: &[String]) -> Command {
    let assignments = words.iter().take_while(|word| word.split_once('=').is_some_and(|(name, _)| is_variable(name)));
    let variables: Vec<(&str, &str)> = assignments.filter_map(|word| word.split_once('=')).collect();
    let mut words = words.iter().skip(variables.len()).peekable();
    let input = words.next_if(|word| word.starts_with('<')).and_then(|word| word.strip_prefix('<'));
    let mut command = Command::new(words.next().expect("a step has a program"));
    command.args(words).env_clear().envs(variables);
    command.stdin(input.map_or_else(Stdio::null, |input| File::open(input).expect("the step's input").into()));
    command
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).expect("no negative time");
    let microseconds = u64::try_from(time.tv_usec()).expect("no negative time");
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}
