//! rooknet killed around the start of a plugin, and a lock file that cannot be written.
//!
//! Each test runs this very program again with a fault in its environment: the fault ends a whole process.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::bench::{Bench, Record, far, run};
use rooknet::cni::Code;
use rooknet::delegate::{Context, Failure, add, del};
use rooknet::state::lock::{ContainerLock, Patience};
use serde_json::json;

/// Runs the ignored test `name` of this program with a fault, everything of it in `directory`.
fn again(name: &str, fault: &str, directory: &Path, record: &Path) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored"])
        .env("ROOKNET_FAULT", fault)
        .env("STUB_RECORD", record)
        .env("TMPDIR", directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
        .wait()
        .unwrap()
}

#[test]
#[ignore = "run by the tests below, with a fault"]
fn an_add() {
    let bench = Bench::new("child");
    // Where the record goes stands in the environment, for a stub that gets no configuration.
    let store = std::env::var("STUB_RECORD").unwrap() + ".store";
    let network = bench.network("1.0.0", &[("p", json!({"store": store, "record": null}))]);
    run(async {
        let deadline = far();
        let lock = ContainerLock::acquire(&bench.dir.join("run"), "c1", Patience::Unlimited, &deadline).await.unwrap();
        let context = Context { lock: Some(&lock), ..bench.context(&deadline) };
        let _ = add(&network, &context).await;
    });
}

#[test]
fn a_plugin_whose_rooknet_was_killed_before_it_was_fed_does_nothing_and_ends() {
    for fault in ["kill:delegate.spawned", "kill:delegate.noted"] {
        let bench = Bench::new(&fault.replace(':', "-"));
        let fifo = bench.dir.join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = {
            let fifo = fifo.clone();
            // Ends when the plugin has closed it.
            std::thread::spawn(move || fs::read_to_string(fifo).unwrap())
        };
        let status = again("faults::an_add", fault, &bench.dir, &fifo);
        assert_eq!(status.signal(), Some(9), "{fault}");
        let record: Record = serde_json::from_str(&reader.join().unwrap()).unwrap();
        assert_eq!(record.raw.as_deref(), Some(""), "{fault}");
        assert!(!bench.dir.join("fifo.store").exists(), "{fault}");
    }
}

#[test]
#[ignore = "run by the test below, with a fault"]
fn calls_with_a_lock_file_that_cannot_be_written() {
    let bench = Bench::new("full");
    let network = bench.network("1.0.0", &[("p", json!({}))]);
    run(async {
        let deadline = far();
        let lock = ContainerLock::acquire(&bench.dir.join("run"), "c1", Patience::Unlimited, &deadline).await.unwrap();
        let context = Context { lock: Some(&lock), ..bench.context(&deadline) };
        let failure = add(&network, &context).await.unwrap_err();
        assert!(matches!(failure, Failure::Note { .. }), "{failure:?}");
        assert_eq!(failure.to_cni().code, Code::IO);
        assert!(bench.records().is_empty());
        del(&network, &context, None).await.unwrap();
        assert_eq!(bench.steps(), ["DEL p"]);
    });
}

#[test]
fn an_add_that_cannot_be_noted_is_not_begun_and_a_del_goes_on() {
    // The first note is the lock's own, the third tells the end of the ADD's group.
    let fault = "enospc:lock-note@2,enospc:lock-note@3,enospc:lock-note@4,enospc:lock-note@5";
    let bench = Bench::new("note");
    let status =
        again("faults::calls_with_a_lock_file_that_cannot_be_written", fault, &bench.dir, Path::new("/nowhere"));
    assert!(status.success(), "{status}");
}
