//! What a call does that can be counted, by strace: processes, syncs and netlink requests.

use std::{env, fs};

use crate::stage::Stage;
use crate::support::run;

/// Where strace writes, on the node.
const TRACE: &str = "/run/bench/trace";
/// The calls that are counted.
const CALLS: &str = "trace=clone,clone3,fork,vfork,fsync,fdatasync,sync_file_range,syncfs,sendto,sendmsg,sendmmsg";

/// Counts of one call, with all that it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Processes, the call's own included. Threads are none.
    pub(crate) processes: usize,
    /// Calls that wait for the disk.
    pub(crate) syncs: usize,
    /// Sent to the kernel's netlink.
    pub(crate) netlink: usize,
    /// Sent to the API server.
    pub(crate) requests: usize,
}

/// Runs the meter's steps under strace; ends the benchmark when one fails. With BENCH_TRACES, a directory, all system
/// calls and their times stay there in a file of this name.
pub(crate) fn count(stage: &Stage, name: &str, words: &[String]) -> Counts {
    stage.node.write(TRACE, "");
    let mut command = stage.node.command("strace");
    command.args(["-f", "-qq", "-yy", "-ttt", "-T", "-s", "128", "-e", "signal=none", "-o", TRACE]);
    let traces = env::var_os("BENCH_TRACES").filter(|directory| !directory.is_empty());
    if traces.is_none() {
        command.args(["-e", CALLS]);
    }
    command.arg("--");
    command.arg(&stage.programs.meter).arg("1").args(words);
    run(command, b"").expect_success("strace");
    let trace = String::from_utf8_lossy(&stage.node.read(TRACE).expect("strace's output")).into_owned();
    if let Some(directory) = traces {
        let file = std::path::Path::new(&directory).join(name.replace(' ', "-"));
        fs::write(&file, &trace).unwrap_or_else(|error| panic!("BENCH_TRACES: {}: {error}", file.display()));
    }
    let mut counts = Counts::default();
    for line in trace.lines() {
        // `4711  1700000000.000001 fsync(3</a/file>) = 0 <0.000012>`; a call that another one interrupted has its name
        // only in its first half.
        let call = line.split_ascii_whitespace().nth(2).unwrap_or_default();
        match call.split('(').next().unwrap_or_default() {
            "clone" | "clone3" | "fork" | "vfork" => counts.processes += usize::from(!line.contains("CLONE_THREAD")),
            "fsync" | "fdatasync" | "sync_file_range" | "syncfs" => counts.syncs += 1,
            "sendto" | "sendmsg" | "sendmmsg" => counts.netlink += usize::from(line.contains("<NETLINK:")),
            _ => {}
        }
    }
    counts
}
