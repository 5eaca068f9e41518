//! When work has to end: a point in time, or a signal from the runtime.
//!
//! Every wait of the plugin (for a lock, a delegate, readiness) has the same end, so it is one value that is passed
//! down. A rollback has an end of its own that signals do not bring forward: what was begun is undone.

use std::pin::pin;
use std::time::Duration;
use std::{fmt, io};

use futures_util::future::{Either, select};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What stands for "never": a time further away can not always be represented.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why work had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The time is up.
    Deadline,
    /// SIGTERM, SIGINT or SIGHUP.
    Signal,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Reason::Deadline => "the deadline has passed",
            Reason::Signal => "rooknet was told to stop by a signal",
        })
    }
}

/// A deadline that a signal may bring forward. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deadline {
    at: Instant,
    /// True as soon as one of the signals came. None when signals do not count.
    signalled: Option<watch::Receiver<bool>>,
}

impl Deadline {
    /// `after` from now, ended early by SIGTERM, SIGINT or SIGHUP. Must be called within a tokio runtime.
    ///
    /// From the first call on, these signals no longer end the process by themselves. One that comes while the process
    /// computes is noticed at its next await.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn with_signals(after: Duration) -> io::Result<Self> {
        let mut signals =
            [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            any(&mut signals).await;
            // The receivers keep the value when the sender goes.
            sender.send_replace(true);
        });
        Ok(Deadline { at: from_now(after), signalled: Some(receiver) })
    }

    /// `after` from now; signals don't count: a rollback ends its work.
    pub fn without_signals(after: Duration) -> Self {
        Deadline { at: from_now(after), signalled: None }
    }

    /// The same signals, but at most `after` from now.
    #[must_use]
    pub fn at_most(&self, after: Duration) -> Self {
        Deadline { at: self.at.min(from_now(after)), signalled: self.signalled.clone() }
    }

    /// What is left; zero after a signal.
    pub fn remaining(&self) -> Duration {
        if self.is_signalled() { Duration::ZERO } else { self.at.saturating_duration_since(Instant::now()) }
    }

    /// Whether it has passed, and why. A signal comes first.
    pub fn passed(&self) -> Option<Reason> {
        if self.is_signalled() { Some(Reason::Signal) } else { (Instant::now() >= self.at).then_some(Reason::Deadline) }
    }

    /// Waits until then.
    pub async fn wait(&self) -> Reason {
        let Some(signalled) = &self.signalled else {
            sleep_until(self.at).await;
            return Reason::Deadline;
        };
        let mut signalled = signalled.clone();
        let came = timeout_at(self.at, async { signalled.wait_for(|came| *came).await.is_ok() }).await;
        if came == Ok(true) {
            return Reason::Signal;
        }
        // The time is up; or nobody watches the signals any more, and only the time is left.
        sleep_until(self.at).await;
        Reason::Deadline
    }

    /// The outcome of `work`, which is dropped where it stands when the deadline passes before it is done.
    ///
    /// # Errors
    /// Why `work` had to end.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Reason> {
        if let Some(reason) = self.passed() {
            return Err(reason);
        }
        match select(pin!(work), pin!(self.wait())).await {
            Either::Left((outcome, _)) => Ok(outcome),
            Either::Right((reason, _)) => Err(reason),
        }
    }

    fn is_signalled(&self) -> bool {
        self.signalled.as_ref().is_some_and(|signalled| *signalled.borrow())
    }
}

fn from_now(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after.min(FAR_AWAY)).unwrap_or(now)
}

/// Waits for one of several signals.
async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;
    use crate::state::testing::block_on;

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn a_deadline_passes_with_its_time_and_says_so() {
        block_on(async {
            let deadline = Deadline::without_signals(SHORT);
            assert_eq!(deadline.wait().await, Reason::Deadline);
            assert_eq!(deadline.passed(), Some(Reason::Deadline));
            assert_eq!(deadline.remaining(), Duration::ZERO);
        });
    }

    #[test]
    fn a_part_of_it_never_lasts_longer() {
        let deadline = Deadline::without_signals(LONG);
        assert_eq!(deadline.passed(), None);
        assert!(deadline.at_most(SHORT).remaining() <= SHORT);
        assert!(deadline.at_most(LONG * 2).remaining() <= LONG);
        assert!(Deadline::without_signals(Duration::MAX).remaining() > LONG, "the end of time does not overflow");
    }

    /// raise(3) sends to the calling thread only, which serves the handlers of the whole process: one test for all
    /// three signals, and no other test of this crate counts them.
    #[test]
    fn each_signal_ends_a_deadline_that_counts_signals_its_parts_too_and_no_other() {
        for sent in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            block_on(async {
                let deadline = Deadline::with_signals(LONG).unwrap();
                let part = deadline.at_most(LONG / 2);
                let rollback = Deadline::without_signals(LONG);
                assert_eq!(deadline.passed(), None);
                raise(sent).unwrap();
                assert_eq!(part.wait().await, Reason::Signal);
                assert_eq!(deadline.wait().await, Reason::Signal);
                assert_eq!(deadline.passed(), Some(Reason::Signal));
                assert_eq!(deadline.remaining(), Duration::ZERO);
                assert_eq!(rollback.passed(), None);
            });
        }
    }
}
