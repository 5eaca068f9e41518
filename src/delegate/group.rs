//! A process group: a plugin and every process that it starts.
//!
//! Three decisions:
//!
//! - **Nothing is reaped before the group is killed.** A process group's number cannot be given to anyone else while a
//!   member of it exists, a zombie included. So the leader's exit is observed with WNOWAIT, and the group is killed
//!   while the leader still exists: `kill(-pgid)` can hit nobody else. That is why tokio's `Child` is not used: it reaps
//!   when it sees the exit.
//! - **SIGCHLD instead of a pidfd.** It wakes for the leader and for orphans alike, and needs no system call that the
//!   standard library does not offer safely.
//! - **This process is a child subreaper.** A group member whose parent has died becomes our child instead of init's,
//!   so that "wait for the group" is `waitpid(-pgid)` until there is none.

use std::fmt;
use std::io;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use std::sync::Once;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How long a killed group is waited for: only a process in an uninterruptible system call (a dead disk or NFS server)
/// takes more than milliseconds.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With an exit status.
    Code(i32),
    /// By a signal: its name.
    Signal(&'static str),
    /// By a signal without a name (a real-time one).
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exited with status {code}"),
            Exit::Signal(name) => write!(f, "was killed by {name}"),
            Exit::Unknown => f.write_str("was killed by a real-time signal"),
        }
    }
}

/// Our ends of the leader's pipes.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// What the end of a group was.
#[derive(Debug)]
pub(super) struct Ended {
    /// How the leader ended; `None` when it could not be waited for in time.
    pub(super) exit: Option<Exit>,
    /// Other members that our SIGKILL ended.
    pub(super) killed: usize,
    /// Whether the whole group is gone.
    pub(super) gone: bool,
}

/// A running group. Dropped before its end it is killed, without waiting for it.
pub(super) struct Group {
    leader: Pid,
    /// Registered before the spawn: no SIGCHLD is missed.
    children: SignalStream,
    killed: bool,
}

impl Group {
    /// Starts `command` (an absolute path; pipes are set here) as the leader of a new group.
    ///
    /// # Errors
    /// As exec reports them, [`io::ErrorKind::ExecutableFileBusy`] among them.
    pub(super) fn spawn(command: &mut Command) -> io::Result<(Group, Pipes)> {
        use std::os::unix::process::CommandExt;
        use std::process::Stdio;

        become_subreaper();
        let children = signal(SignalKind::child())?;
        let mut child =
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let leader = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
        let group = Group { leader, children, killed: false };
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((group, Pipes { stdin, stdout, stderr })),
            // All three were asked for just above.
            _ => Err(io::Error::other("a pipe to the plugin is missing")),
        }
    }

    /// The leader's process id, which is the group's number.
    pub(super) fn id(&self) -> i32 {
        self.leader.as_raw()
    }

    /// Waits until the leader has exited, and leaves it as a zombie.
    ///
    /// # Errors
    /// When somebody else has reaped it: a fault of this program.
    pub(super) async fn leader_exit(&mut self) -> io::Result<()> {
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
            match waitid(Id::Pid(self.leader), flags) {
                Ok(WaitStatus::StillAlive) => {}
                // EINVAL: nix has no name for the signal that ended it.
                Ok(_) | Err(Errno::EINVAL) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            self.children.recv().await;
        }
    }

    /// Kills what is left of the group, the leader too if it still runs, and waits for all of it, at most five seconds.
    pub(super) async fn end(mut self) -> Ended {
        self.kill();
        let mut ended = Ended { exit: None, killed: 0, gone: false };
        ended.gone = timeout(KILL_PATIENCE, self.reap(&mut ended.exit, &mut ended.killed)).await.is_ok();
        ended
    }

    /// Waits for every member of the killed group.
    async fn reap(&mut self, exit: &mut Option<Exit>, killed: &mut usize) {
        let Some(members) = self.id().checked_neg().map(Pid::from_raw) else { return };
        loop {
            let (member, how) = match waitpid(members, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    self.children.recv().await;
                    continue;
                }
                Ok(WaitStatus::Exited(member, code)) => (Some(member), Exit::Code(code)),
                Ok(WaitStatus::Signaled(member, signal, _)) => (Some(member), Exit::Signal(signal.as_str())),
                // Reaped, but nix has no name for the signal: not our SIGKILL.
                Err(Errno::EINVAL) => (None, Exit::Unknown),
                Ok(_) | Err(Errno::EINTR) => continue,
                // ECHILD: no member is our child any more.
                Err(_) => break,
            };
            if member == Some(self.leader) {
                *exit = Some(how);
            } else if how == Exit::Signal(Signal::SIGKILL.as_str()) {
                *killed = killed.saturating_add(1);
            } else if member.is_none() && exit.is_none() {
                *exit = Some(how);
            }
        }
        // A member may have a parent that lives on outside the group: it was killed with the group and is that parent's
        // to reap. Nothing tells us of it, so look; signal 0 touches nobody, whoever may have the number by now.
        while killpg(self.leader, None) != Err(Errno::ESRCH) {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// SIGKILL to every member. Atomic against members that fork: the kernel makes such a fork start over and die.
    fn kill(&mut self) {
        // Once only: after this the leader may be reaped, and then the number no longer belongs to the group.
        if !std::mem::replace(&mut self.killed, true)
            && let Err(error) = killpg(self.leader, Signal::SIGKILL)
        {
            log::error!("process group {} cannot be killed: {error}", self.leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes orphans of plugins our children, and SIGCHLD ours to hear: a parent may have left it blocked.
fn become_subreaper() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
            log::error!("orphans of plugins cannot be adopted: PR_SET_CHILD_SUBREAPER: {error}");
        }
        let mut children = SigSet::empty();
        children.add(Signal::SIGCHLD);
        if let Err(error) = children.thread_unblock() {
            log::error!("SIGCHLD cannot be unblocked: {error}");
        }
    });
}
