//! The demo, as `make demo` runs it: it ends well, and leaves nothing when it is interrupted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::support::{tools, wait_until};

/// The demo in a process group of its own, as a terminal starts it. `mark` is in the environment of all its processes.
fn start(mark: &str) -> Child {
    // A shell cannot trap what is ignored when it starts, as SIGINT is in whatever a script runs in the background.
    Command::new("env")
        .args(["--default-signal=INT,TERM", "bash"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/test-netns/demo.sh"))
        .env("ROOKNET", env!("CARGO_BIN_EXE_rooknet"))
        .env("ROOKNET_CNI_TOOLS", tools())
        .env("DEMO_MARK", mark)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the demo")
}

/// A text that no other run has in its environment.
fn mark(of: &str) -> String {
    format!("{of}-{}", std::process::id())
}

/// The processes with `mark` in their environment.
fn processes_with(mark: &str) -> Vec<String> {
    let variable = format!("DEMO_MARK={mark}");
    fs::read_dir("/proc")
        .expect("list processes")
        .flatten()
        .map(|process| process.path())
        .filter(|process| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        })
        .map(|process| process.display().to_string())
        .collect()
}

#[test]
fn the_demo_ends_well() {
    let mark = mark("whole");
    let output = start(&mark).wait_with_output().expect("wait for the demo");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.trim_end().lines().last().is_some_and(|last| last.starts_with("OK, in ")), "{text}");
    assert_eq!(processes_with(&mark), Vec::<String>::new());
}

#[test]
fn the_demo_leaves_nothing_when_it_is_interrupted() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mark = mark(signal.as_str());
        let mut demo = start(&mark);
        let mut lines = BufReader::new(demo.stdout.take().expect("stdout is a pipe")).lines().map_while(Result::ok);
        // Pods are attached by then.
        assert!(lines.any(|line| line.starts_with("3. ")), "the demo never came to step 3");
        let group = Pid::from_raw(demo.id().try_into().expect("a process id fits"));
        killpg(group, signal).expect("signal the demo");
        let _rest = lines.count();
        assert_eq!(demo.wait().expect("wait for the demo").code(), Some(status), "{signal}");
        wait_until("the end of the demo's processes", Duration::from_secs(10), || processes_with(&mark).is_empty());
    }
}
