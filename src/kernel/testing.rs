//! For the tests of this room: a network namespace of its own for each, made by a thread that is thrown away.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a new network namespace, within a tokio runtime. Needs root.
pub(super) fn in_new_netns<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace: the tests need root");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(test());
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Runs `ip` with the words of `arguments`, in the namespace of the calling thread; its output.
pub(super) fn ip(arguments: &str) -> String {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let output = Command::new("ip").args(&words).output().expect("ip of iproute2");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
