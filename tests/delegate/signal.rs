//! SIGTERM during a call. A program of its own: the signal is the whole process's.

#[path = "bench.rs"]
mod bench;

use std::io::{BufRead, BufReader};
use std::time::Duration;

use bench::{Bench, Record, far, is_gone, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rooknet::cni::Code;
use rooknet::delegate::{Failure, add, del};
use rooknet::state::deadline::{Deadline, Reason};
use serde_json::json;

#[test]
fn sigterm_ends_the_running_plugin_and_its_ipam_child_and_a_rollback_still_runs() {
    let bench = Bench::new("signal");
    let fifo = bench.dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let network = bench.network("1.0.0", &[("p", json!({"ipam": "hang", "record": fifo}))]);
    let signaller = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(std::fs::File::open(fifo).unwrap()).read_line(&mut line).unwrap();
        kill(Pid::this(), Signal::SIGTERM).unwrap();
        serde_json::from_str::<Record>(&line).unwrap()
    });
    run(async {
        let deadline = Deadline::with_signals(Duration::from_secs(60)).unwrap();
        let failure = add(&network, &bench.context(&deadline)).await.unwrap_err();
        assert!(matches!(failure, Failure::Interrupted { reason: Reason::Signal, started: true, .. }), "{failure:?}");
        assert_eq!(failure.to_cni().code, Code::INTERRUPTED);

        let network = bench.network("1.0.0", &[("p", json!({}))]);
        del(&network, &bench.context(&far()), None).await.unwrap();
    });
    let record = signaller.join().unwrap();
    assert!(is_gone(record.pid) && is_gone(record.grandchild.unwrap()));
    assert_eq!(bench.steps(), ["DEL p"]);
}
