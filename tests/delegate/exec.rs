//! One plugin's process: its pipes, its group, its end. No member of its group is left when a call returns.

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::{Bench, far, is_gone, run};
use futures_util::future::join;
use rooknet::cni::Code;
use rooknet::delegate::{Context, Failure, add, del};
use rooknet::state::deadline::{Deadline, Reason};
use rooknet::state::lock::{ContainerLock, Patience};
use serde_json::{Value, json};

/// Time for a stub to start and record, even on a busy machine.
const SOON: Duration = Duration::from_millis(900);

fn soon() -> Deadline {
    Deadline::without_signals(SOON)
}

#[test]
fn a_plugin_that_writes_much_before_it_reads_much_does_not_deadlock() {
    let bench = Bench::new("much");
    let blob = "x".repeat(3 * 1024 * 1024);
    let plugins = [bench.plugin("p", &json!({"address": "10.0.0.1/24"}), json!({"blob": blob}))];
    bench.beside("p", &json!({"firstStderrBytes": 1_000_000, "firstStdoutBytes": 1_000_000}));
    let result = run(add(&bench.network_of("1.0.0", &plugins), &bench.context(&far()))).unwrap();
    assert_eq!(result.result.addresses().len(), 1);
    assert_eq!(bench.only().config()["blob"].as_str().unwrap().len(), blob.len());
}

#[test]
fn a_plugin_need_not_read_its_configuration() {
    let bench = Bench::new("unread");
    let blob = "x".repeat(3 * 1024 * 1024);
    let plugins = [bench.plugin("p", &json!({}), json!({"blob": blob}))];
    bench.beside("p", &json!({"ignoreStdin": true, "stdoutText": "{\"cniVersion\":\"1.0.0\"}"}));
    run(add(&bench.network_of("1.0.0", &plugins), &bench.context(&far()))).unwrap();
}

#[test]
fn a_plugin_that_floods_stdout_is_killed() {
    let bench = Bench::new("flood");
    let network =
        bench.network("1.0.0", &[("p", json!({"stdoutBytes": 50_000_000, "hang": true, "stderr": "so much\n"}))]);
    let failure = run(add(&network, &bench.context(&far()))).unwrap_err();
    assert!(matches!(failure, Failure::TooMuchOutput { .. }), "{failure:?}");
    assert_eq!(failure.to_cni().details, "stderr: so much");
    assert!(is_gone(bench.only().pid));
}

#[test]
fn a_plugin_that_floods_stderr_neither_blocks_nor_outlives_the_deadline() {
    let bench = Bench::new("chatter");
    let network = bench.network("1.0.0", &[("p", json!({"stderrBytes": 3_000_000}))]);
    run(add(&network, &bench.context(&far()))).unwrap();

    let network = bench
        .network("1.0.0", &[("p", json!({"stderrBytes": 1_000_000_000_000_u64, "record": bench.dir.join("second")}))]);
    let deadline = Deadline::without_signals(Duration::from_millis(200));
    let failure = run(add(&network, &bench.context(&deadline))).unwrap_err();
    assert!(matches!(failure, Failure::Interrupted { reason: Reason::Deadline, started: true, .. }), "{failure:?}");
    assert!(failure.to_cni().details.len() < 10_000);
}

#[test]
fn the_deadline_ends_a_hanging_plugin_and_its_ipam_child_and_nobody_else() {
    let bench = Bench::new("hang");
    let mut bystander = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    for keys in [
        json!({"hang": true, "stderr": "last words\n"}),
        json!({"ipam": "hang"}),
        json!({"ipam": "orphan", "hang": true}),
    ] {
        let _ = fs::remove_file(&bench.record);
        let network = bench.network("1.0.0", &[("p", keys.clone())]);
        let failure = run(add(&network, &bench.context(&soon()))).unwrap_err();
        assert!(matches!(failure, Failure::Interrupted { reason: Reason::Deadline, started: true, .. }), "{failure:?}");
        let error = failure.to_cni();
        assert_eq!(error.code, Code::INTERRUPTED);
        assert!(error.message.contains("plugin p was ended during ADD of network net-a, interface net1"), "{error}");
        assert_eq!(error.details.contains("last words"), keys.get("stderr").is_some(), "{error:?}");
        let record = bench.only();
        assert!(is_gone(record.pid), "{keys}");
        assert!(record.grandchild.is_none_or(is_gone), "{keys}");
    }
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn after_the_deadline_no_further_plugin_is_started() {
    let bench = Bench::new("passed");
    let network = bench.network("1.0.0", &[("a", json!({})), ("b", json!({"hang": true}))]);
    let failure = run(del(&network, &bench.context(&soon()), None)).unwrap_err();
    assert!(failure.is_interruption(), "{failure:?}");
    assert_eq!(bench.steps(), ["DEL b"]);

    let passed = Deadline::without_signals(Duration::ZERO);
    let failure = run(add(&network, &bench.context(&passed))).unwrap_err();
    assert!(matches!(failure, Failure::Interrupted { started: false, .. }), "{failure:?}");
    assert_eq!(bench.steps(), ["DEL b"]);
}

#[test]
fn processes_that_a_plugin_leaves_in_its_group_are_ended_and_its_answer_stands() {
    for how in ["orphan", "quiet", "late"] {
        let bench = Bench::new(how);
        let network = bench.network("1.0.0", &[("p", json!({"ipam": how, "address": "10.0.0.1/24"}))]);
        let result = run(add(&network, &bench.context(&far()))).unwrap();
        assert_eq!(result.result.addresses().len(), 1, "{how}");
        let record = bench.only();
        assert!(is_gone(record.pid) && is_gone(record.grandchild.unwrap()), "{how}");
    }
}

#[test]
fn a_call_that_is_given_up_kills_the_plugin() {
    let bench = Bench::new("dropped");
    let fifo = bench.dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let network = bench.network("1.0.0", &[("p", json!({"hang": true, "record": fifo, "stderr": "up\n"}))]);
    let reader = std::thread::spawn(move || fs::read_to_string(fifo).unwrap());
    let deadline = far();
    let context = bench.context(&deadline);
    // Gives up as soon as the plugin has recorded itself.
    run(async {
        let mut call = std::pin::pin!(add(&network, &context));
        std::future::poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            cx.waker().wake_by_ref();
            if reader.is_finished() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    });
    let record: Value = serde_json::from_str(reader.join().unwrap().trim()).unwrap();
    let pid = nix::unistd::Pid::from_raw(record["pid"].as_i64().unwrap().try_into().unwrap());
    // Blocks for ever when the plugin was not killed.
    let end = nix::sys::wait::waitpid(pid, None).unwrap();
    assert!(matches!(end, nix::sys::wait::WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGKILL, _)), "{end:?}");
}

#[test]
fn an_executable_that_is_being_written_is_tried_again() {
    let bench = Bench::new("busy");
    let network = bench.network("1.0.0", &[("p", json!({}))]);
    let path = bench.dir.join("bin/p");
    fs::remove_file(&path).unwrap();
    fs::copy(crate::bench::STUB, &path).unwrap();
    let deadline = far();
    let context = bench.context(&deadline);
    run(async {
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        // The first try comes with the first poll, the writer goes after it.
        let (added, ()) = join(add(&network, &context), async { drop(writer) }).await;
        added.unwrap();
        assert_eq!(bench.steps(), ["ADD p"]);

        let _writer = OpenOptions::new().append(true).open(&path).unwrap();
        let failure = add(&network, &context).await.unwrap_err();
        let Failure::Spawn { source, .. } = &failure else { panic!("{failure:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::ExecutableFileBusy);
        assert_eq!(bench.steps(), ["ADD p"]);
    });
}

#[test]
fn a_program_that_cannot_run_here_is_named_with_a_hint() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new("noexec");
    let network = bench.network("1.0.0", &[("p", json!({}))]);
    let path = bench.dir.join("bin/p");
    for (content, hint) in
        [("#!/no/such/interpreter\n", "interpreter"), ("\u{7f}ELF of another machine", "no program for this machine")]
    {
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = run(add(&network, &bench.context(&far()))).unwrap_err().to_cni();
        assert!(error.message.contains(hint) && error.message.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.message.to_lowercase().contains("no such file or directory"), "{error}");
    }
}

#[test]
fn the_group_is_noted_before_the_plugin_is_fed_and_it_inherits_the_lock() {
    let bench = Bench::new("lock");
    let locks = bench.dir.join("run/locks");
    let network = bench.network("1.0.0", &[("p", json!({"show": locks}))]);
    let deadline = far();
    run(async {
        let lock = ContainerLock::acquire(&bench.dir.join("run"), "c1", Patience::Unlimited, &deadline).await.unwrap();
        let context = Context { lock: Some(&lock), ..bench.context(&deadline) };
        add(&network, &context).await.unwrap();
        let record = bench.only();
        let noted = record
            .shown
            .iter()
            .any(|text| serde_json::from_str::<Value>(text).is_ok_and(|holder| holder["delegate"]["id"] == record.pid));
        assert!(noted, "{:?}", record.shown);
        assert!(record.fds.iter().any(|target| target.starts_with(locks.to_str().unwrap())), "{:?}", record.fds);
        for entry in fs::read_dir(&locks).unwrap() {
            let holder: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            assert_eq!(holder["delegate"], Value::Null);
        }
    });
}
