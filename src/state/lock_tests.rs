//! A killed holder is a real process here: this test program started again, for [`holder_process`] alone.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::watch::read_note;
use super::*;
use crate::state::process;
use crate::state::testing::{Directory, block_on};

const HOLD: &str = "ROOKNET_TEST_HOLD";
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(60);

fn deadline(after: Duration) -> Deadline {
    Deadline::without_signals(after)
}

/// A rooknet that holds the lock of container `a` with a delegate, until that ends or it is killed itself.
/// Does nothing in a normal run of the tests.
#[test]
fn holder_process() {
    let Some(value) = std::env::var_os(HOLD) else { return };
    let value = value.into_string().unwrap();
    let (script, run_dir) = value.split_once('|').unwrap();
    let lock = ContainerLock::try_acquire(Path::new(run_dir), "a").unwrap().unwrap();
    let mut delegate = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
    lock.note_delegate(Process::find(delegate.id().try_into().unwrap())).unwrap();
    if script.contains("exit") {
        delegate.wait().unwrap();
    }
    // Through the descriptor: the test harness keeps what is printed.
    std::fs::write("/proc/self/fd/2", format!("holds {}\n", delegate.id())).unwrap();
    delegate.wait().unwrap();
    lock.note_delegate(None).unwrap();
}

struct HolderProcess {
    child: Child,
    /// The group of its delegate.
    group: i32,
}

impl HolderProcess {
    fn start(run_dir: &Path, script: &str) -> HolderProcess {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::lock::tests::holder_process", "--quiet", "--nocapture"])
            .env(HOLD, format!("{script}|{}", run_dir.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| Some(line.unwrap().strip_prefix("holds ")?.to_owned()));
        HolderProcess { child, group: line.expect("the holder's line").parse().unwrap() }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for HolderProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.group), nix::sys::signal::Signal::SIGKILL);
    }
}

fn acquire(run_dir: &Path, patience: Patience, time: Duration, grace: Duration) -> Result<ContainerLock, Error> {
    block_on(acquire_with(run_dir, "a", patience, &deadline(time), grace))
}

#[test]
fn a_lock_excludes_and_is_free_again_when_dropped() {
    let directory = Directory::new();
    let lock = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    assert!(ContainerLock::try_acquire(directory.path(), "a").unwrap().is_none());
    assert!(ContainerLock::try_acquire(directory.path(), "b").unwrap().is_some());
    drop(lock);
    assert!(ContainerLock::try_acquire(directory.path(), "a").unwrap().is_some());
}

#[test]
fn waiting_ends_with_the_deadline_and_names_file_and_holder() {
    let directory = Directory::new();
    let _lock = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    let error = acquire(directory.path(), Patience::Unlimited, SHORT, LONG).unwrap_err().to_string();
    let file = directory.path().join("locks/a");
    assert!(
        error.starts_with(&format!("the time is up for waiting for the lock {} after 0.", file.display())),
        "{error}"
    );
    let holder = format!("it is held by rooknet, process {}; try again", std::process::id());
    assert!(error.contains(&holder), "{error}");
}

#[test]
fn one_who_waits_gets_it_when_the_holder_discards_the_file() {
    let directory = Directory::new();
    let lock = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    block_on(async {
        let deadline = deadline(LONG);
        let mut waiting = std::pin::pin!(ContainerLock::acquire(directory.path(), "a", Patience::Unlimited, &deadline));
        let early = tokio::time::timeout(Duration::from_millis(1), &mut waiting).await;
        assert!(early.is_err());
        lock.discard().unwrap();
        let got = waiting.await.unwrap();
        assert!(is_still_at(&got.file, &got.path), "the lock of a file that others see");
        assert!(ContainerLock::try_acquire(directory.path(), "a").unwrap().is_none());
        got.discard().unwrap();
    });
    assert!(directory.names("locks").is_empty());
}

#[test]
fn a_file_that_was_removed_by_hand_is_not_removed_again_for_another() {
    let directory = Directory::new();
    let lost = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    std::fs::remove_file(directory.path().join("locks/a")).unwrap();
    let _other = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    lost.discard().unwrap();
    assert_eq!(directory.names("locks"), ["a"]);
}

#[test]
fn a_container_id_never_leaves_the_directory() {
    let directory = Directory::new();
    for id in ["../a", "", ".", "a/b"] {
        assert!(matches!(ContainerLock::try_acquire(directory.path(), id), Err(Error::Name { .. })));
    }
}

#[test]
fn many_waiters_hold_it_one_at_a_time() {
    let directory = Directory::new();
    let inside = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let lock = acquire(directory.path(), Patience::Unlimited, LONG, LONG).unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    lock.discard().unwrap();
                }
            });
        }
    });
}

#[test]
fn the_lock_outlives_a_killed_rooknet_until_its_delegate_ends() {
    let directory = Directory::new();
    let mut holder = HolderProcess::start(directory.path(), "read line");
    holder.kill();
    // The delegate reads the end of its stdin when its rooknet dies, and ends by itself; far within the grace.
    drop(acquire(directory.path(), Patience::Unlimited, LONG, LONG).unwrap());
}

#[test]
fn a_delegate_that_outlives_its_rooknet_is_left_alone_for_the_grace() {
    let directory = Directory::new();
    let mut holder = HolderProcess::start(directory.path(), "sleep 600");
    holder.kill();
    let delegate = Process::find(holder.group).unwrap();
    let error = acquire(directory.path(), Patience::TwoThirds, SHORT, LONG).unwrap_err().to_string();
    assert!(delegate.is_alive());
    assert!(error.contains(&format!("what a plugin left running: process {}", holder.group)), "{error}");
}

#[test]
fn after_the_grace_its_whole_group_is_killed() {
    let directory = Directory::new();
    let mut holder = HolderProcess::start(directory.path(), "sleep 600 & sleep 600");
    holder.kill();
    let delegate = Process::find(holder.group).unwrap();
    drop(acquire(directory.path(), Patience::Unlimited, LONG, SHORT).unwrap());
    assert!(!delegate.is_alive());
}

#[test]
fn a_member_that_outlives_the_groups_leader_is_killed_too() {
    let directory = Directory::new();
    let mut holder = HolderProcess::start(directory.path(), "sleep 600 & exit");
    assert!(Process::find(holder.group).is_none(), "the leader is gone");
    holder.kill();
    drop(acquire(directory.path(), Patience::Unlimited, LONG, SHORT).unwrap());
}

#[test]
fn the_delegate_of_a_living_rooknet_is_killed_late_and_only_for_the_impatient() {
    let directory = Directory::new();
    let holder = HolderProcess::start(directory.path(), "sleep 600");
    let delegate = Process::find(holder.group).unwrap();
    acquire(directory.path(), Patience::Unlimited, SHORT, Duration::ZERO).unwrap_err();
    assert!(delegate.is_alive());
    let started = Instant::now();
    let time = Duration::from_secs(3);
    drop(acquire(directory.path(), Patience::TwoThirds, time, Duration::ZERO).unwrap());
    assert!(started.elapsed() >= time * 2 / 3);
    assert!(!delegate.is_alive());
}

#[test]
fn a_process_that_only_has_the_noted_number_is_never_killed() {
    let directory = Directory::new();
    let lock = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    let mut bystander =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let real = Process::find(bystander.id().try_into().unwrap()).unwrap();
    let own = Process::own().unwrap();
    let dead = Process { start: own.start + 1, ..own };
    // cat was started with the lock held, as anything is in a test program of many threads: so it inherited it. Under
    // another number of a file that nobody inherited, it is a stranger.
    let stranger = std::fs::metadata(directory.path()).unwrap();
    assert!(!process::kill_group(Process { start: real.start + 1, ..real }, &stranger));
    // A process that leads no group of its own is not killed by a group's number either.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let follower = Process::find(child.id().try_into().unwrap()).unwrap();
    assert!(!process::kill_group(follower, &stranger));
    lock.note(Holder { rooknet: Some(dead), delegate: Some(follower) }).unwrap();
    acquire(directory.path(), Patience::TwoThirds, SHORT, Duration::ZERO).unwrap_err();
    assert!(real.is_alive() && follower.is_alive());
    for process in [&mut bystander, &mut child] {
        drop(process.stdin.take());
        assert!(process.wait().unwrap().success(), "ended by itself");
    }
}

#[test]
fn a_waiter_of_the_noted_group_is_not_taken_for_a_member_of_it() {
    let directory = Directory::new();
    // Open as a waiter has it. By its number and its group alone, this process would be killed.
    let waiting = open(&directory.path().join("locks/a")).unwrap();
    let metadata = waiting.metadata().unwrap();
    let group = nix::unistd::getpgrp().as_raw();
    assert!(!process::kill_group(Process { id: group, start: 0 }, &metadata));
}

#[test]
fn a_note_that_is_no_note_is_passed_over() {
    let directory = Directory::new();
    let lock = ContainerLock::try_acquire(directory.path(), "a").unwrap().unwrap();
    for content in [&b"\xff\xff"[..], b"{", b"[]", &[b'x'; 4096]] {
        lock.file.set_len(0).unwrap();
        lock.file.write_all_at(content, 0).unwrap();
        assert_eq!(read_note(&lock.file), None);
        acquire(directory.path(), Patience::TwoThirds, Duration::ZERO, Duration::ZERO).unwrap_err();
    }
    let most = Process { id: i32::MIN, start: u64::MAX };
    let holder = Holder { rooknet: Some(most), delegate: Some(most) };
    lock.note(holder).unwrap();
    assert_eq!(read_note(&lock.file), Some(holder), "the longest note fits");
}

#[test]
fn shared_collect_locks_exclude_an_exclusive_one_alone() {
    let directory = Directory::new();
    let run_dir = directory.path().join("run");
    block_on(async {
        let first = CollectLock::shared(&run_dir, &deadline(LONG)).await.unwrap();
        let second = CollectLock::shared(&run_dir, &deadline(LONG)).await.unwrap();
        let error = CollectLock::exclusive(&run_dir, &deadline(SHORT)).await.unwrap_err();
        assert!(error.to_string().contains("collect.lock"), "{error}");
        drop((first, second));
        let exclusive = CollectLock::exclusive(&run_dir, &deadline(LONG)).await.unwrap();
        assert!(CollectLock::shared(&run_dir, &deadline(SHORT)).await.is_err());
        drop(exclusive);
        CollectLock::shared(&run_dir, &deadline(LONG)).await.unwrap();
    });
}

#[test]
fn a_collect_lock_is_not_inherited() {
    let directory = Directory::new();
    let lock = block_on(CollectLock::shared(directory.path(), &deadline(LONG))).unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(lock);
    block_on(CollectLock::exclusive(directory.path(), &deadline(Duration::from_secs(5)))).unwrap();
    drop(child.stdin.take());
    child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    child.wait().unwrap();
}
