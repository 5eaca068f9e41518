//! One run of one plugin: start it, note it, feed it, drain it, and leave nothing of it.
//!
//! The order is what makes a kill of rooknet harmless at any point: the plugin reads its configuration first, and gets
//! it only after its process group stands in the container's lock file.
//!
//! Environment: plugins get rooknet's own environment (which is the runtime's; libcni passes it on too, and plugins do
//! need parts of it: PATH for iptables and ip, KUBERNETES_SERVICE_HOST, GODEBUG, SSL_CERT_FILE, a proxy's variables),
//! without any `CNI_` variable, and with this call's own. CNI_NETNS_OVERRIDE is not passed on: it tells plugins to work
//! in the host's namespace, which rooknet refuses.

use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ChildStdin, Command as Program};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{join, try_join3};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::time::{sleep, timeout};

use super::failure::{Call, Failure};
use super::group::{Ended, Exit, Group, Pipes};
use super::output::{Stderr, Stdout, Stop};
use crate::cni::request::Command;
use crate::state::Error as StateError;
use crate::state::deadline::{Deadline, Reason};
use crate::state::fault;
use crate::state::lock::{ContainerLock, Process};

/// How long processes that outlive the plugin may keep its pipes open.
const LEFT_OVER_PATIENCE: Duration = Duration::from_secs(1);
/// How long the pipes are read after everybody in the group is dead: only a process that left the group holds them.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(100);
/// Waits between tries of an executable that is being written: a second in all.
const BUSY_DELAYS_MS: [u64; 6] = [10, 40, 100, 200, 300, 350];

/// What to run.
pub(super) struct Job<'a> {
    pub(super) call: &'a Call,
    /// Absolute: with `env_clear` it is started by posix_spawn, without a copy of this process.
    pub(super) executable: PathBuf,
    /// The variables of this call, on top of the inherited ones.
    pub(super) variables: Vec<(&'static str, OsString)>,
    /// The configuration.
    pub(super) input: &'a [u8],
    pub(super) lock: Option<&'a ContainerLock>,
    pub(super) deadline: &'a Deadline,
}

/// What a plugin did.
pub(super) struct Finished {
    pub(super) exit: Exit,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// Why a plugin was ended before it ended itself.
enum Cut {
    Interrupted(Reason),
    TooMuchOutput,
    Talk(io::Error),
    Note(StateError),
}

impl From<Stop> for Cut {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TooMuch => Cut::TooMuchOutput,
            Stop::Io(error) => Cut::Talk(error),
        }
    }
}

/// Programs that this process has started.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// How many programs this process has started, not counting theirs: what a call costs, whatever machine it runs on.
pub fn programs_of_process() -> u64 {
    STARTED.load(Ordering::Relaxed)
}

/// Runs a plugin to its end. No process of its group is left when this returns, save one that the kernel cannot kill.
///
/// # Errors
/// Every variant of [`Failure`] that comes before the plugin's own answer is looked at.
pub(super) async fn run(job: &Job<'_>) -> Result<Finished, Failure> {
    let call = || Box::new(job.call.clone());
    if let Some(reason) = job.deadline.passed() {
        return Err(Failure::Interrupted { call: call(), reason, started: false, stderr: String::new() });
    }
    let started = Instant::now();
    STARTED.fetch_add(1, Ordering::Relaxed);
    let (mut group, Pipes { stdin, stdout, stderr }) = spawn(job).await?;
    fault::point("delegate.spawned");

    let pipes = (|| Ok((open(stdin)?, Stdout::new(stdout)?, Stderr::new(stderr, job.call)?)))();
    let (stdin, mut stdout, mut stderr) = match pipes {
        Ok(pipes) => pipes,
        Err(source) => {
            group.end().await;
            return Err(Failure::Talk { call: call(), source });
        }
    };
    let talked = converse(job, &mut group, stdin, &mut stdout, &mut stderr).await;
    let ended = group.end().await;
    fault::point("delegate.ended");
    if !matches!(talked, Err(Cut::TooMuchOutput)) {
        // What the group wrote before it died is still in the pipes.
        let _ = timeout(LAST_WORDS_PATIENCE, join(stdout.drain(), stderr.drain())).await;
    }
    report_end(job, &ended, started.elapsed(), talked.is_ok());

    let stderr = stderr.into_tail();
    match (talked, ended.exit) {
        (Ok(()), Some(exit)) => Ok(Finished { exit, stdout: stdout.into_bytes(), stderr }),
        (Ok(()), None) => {
            Err(Failure::Talk { call: call(), source: io::Error::other("its exit status could not be read") })
        }
        (Err(Cut::Interrupted(reason)), _) => Err(Failure::Interrupted { call: call(), reason, started: true, stderr }),
        (Err(Cut::TooMuchOutput), _) => Err(Failure::TooMuchOutput { call: call(), stderr }),
        (Err(Cut::Talk(source)), _) => Err(Failure::Talk { call: call(), source }),
        (Err(Cut::Note(source)), _) => Err(Failure::Note { call: call(), source: Box::new(source) }),
    }
}

/// Starts the plugin; one that is just being written is tried again for a second.
async fn spawn(job: &Job<'_>) -> Result<(Group, Pipes), Failure> {
    let mut program = Program::new(&job.executable);
    program.env_clear();
    program.envs(std::env::vars_os().filter(|(name, _)| !name.as_bytes().starts_with(b"CNI_")));
    program.envs(job.variables.iter().map(|(name, value)| (name, value)));
    let mut delays = BUSY_DELAYS_MS.into_iter().map(Duration::from_millis);
    loop {
        let source = match Group::spawn(&mut program) {
            Ok(spawned) => return Ok(spawned),
            Err(error) => error,
        };
        let delay = delays.next().filter(|_| source.kind() == io::ErrorKind::ExecutableFileBusy);
        let call = Box::new(job.call.clone());
        let Some(delay) = delay else {
            return Err(Failure::Spawn { call, path: job.executable.clone(), source });
        };
        sleep(delay.min(job.deadline.remaining())).await;
        if let Some(reason) = job.deadline.passed() {
            return Err(Failure::Interrupted { call, reason, started: false, stderr: String::new() });
        }
    }
}

/// Notes, feeds and drains until the leader has exited and the pipes are closed, or until there is a reason to stop.
async fn converse(
    job: &Job<'_>,
    group: &mut Group,
    stdin: Sender,
    stdout: &mut Stdout,
    stderr: &mut Stderr<'_>,
) -> Result<(), Cut> {
    note(job, group.id())?;
    fault::point("delegate.noted");

    let mut talk = pin!(try_join3(feed(stdin, job.input), stdout.drain(), stderr.drain()));
    let mut talked = false;
    {
        let mut exit = pin!(group.leader_exit());
        let mut deadline = pin!(job.deadline.wait());
        poll_fn(|context| {
            if let Poll::Ready(exited) = exit.as_mut().poll(context) {
                return Poll::Ready(exited.map_err(Cut::Talk));
            }
            // Before the pipes: a plugin that floods them uses up the turn's budget, and a timer asked after that never
            // says that it is due.
            if let Poll::Ready(reason) = deadline.as_mut().poll(context) {
                return Poll::Ready(Err(Cut::Interrupted(reason)));
            }
            if !talked && let Poll::Ready(end) = talk.as_mut().poll(context) {
                talked = true;
                if let Err(stop) = end {
                    return Poll::Ready(Err(stop.into()));
                }
            }
            Poll::Pending
        })
        .await?;
    }
    // The leader is a zombie now. What it wrote last is read, and what it left running may end by itself.
    if !talked && let Ok(end) = timeout(LEFT_OVER_PATIENCE, talk).await {
        end?;
    }
    Ok(())
}

/// Writes the group into the container's lock file.
///
/// Where that fails an ADD is not begun: the DEL that follows a kill could not end it. The other commands take away or
/// only look; they go on, or a full /run would keep pods from ever being deleted.
fn note(job: &Job<'_>, leader: i32) -> Result<(), Cut> {
    let Some(lock) = job.lock else { return Ok(()) };
    match lock.note_delegate(Process::find(leader)) {
        Err(error) if job.call.command == Command::Add => Err(Cut::Note(error)),
        Err(error) => {
            log::warn!(plugin = job.call.plugin.as_str(), network = job.call.network.as_str();
                "process group {leader} could not be noted: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Writes the configuration and closes the pipe. A plugin need not read it.
async fn feed(mut stdin: Sender, input: &[u8]) -> Result<(), Stop> {
    let written = stdin.write_all(input).await;
    drop(stdin);
    fault::point("delegate.fed");
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Stop::Io(error)),
        _ => Ok(()),
    }
}

fn open(stdin: ChildStdin) -> io::Result<Sender> {
    Sender::from_owned_fd(stdin.into())
}

/// Tells log and lock file how the group ended.
fn report_end(job: &Job<'_>, ended: &Ended, duration: Duration, by_itself: bool) {
    let Call { plugin, command, network, ifname } = job.call;
    let (plugin, network, interface) = (plugin.as_str(), network.as_str(), ifname.as_str());
    if by_itself && ended.killed > 0 {
        log::warn!(plugin, network, interface;
            "{}: the plugin left {} processes running, they were killed", command.as_str(), ended.killed);
    }
    if !ended.gone {
        // Its note stays, and so does the lock that it inherited.
        log::error!(plugin, network, interface;
            "{}: the plugin was killed but the kernel has not ended it yet", command.as_str());
        return;
    }
    if let Some(lock) = job.lock
        && let Err(error) = lock.note_delegate(None)
    {
        log::warn!(plugin, network, interface; "the end of a process group could not be noted: {error}");
    }
    log::debug!(plugin, network, interface; "{} took {} ms", command.as_str(), duration.as_millis());
}
