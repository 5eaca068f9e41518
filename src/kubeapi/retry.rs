//! Which failures another try can help, and how long it waits.
//!
//! The deadline alone bounds the number of tries: an API server that restarts is away for longer than any count of
//! them would take, and the pod would wait for the runtime's next ADD anyway.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use super::client::Method;
use super::failure::Failure;

/// The longest wait before the second try.
const FIRST: Duration = Duration::from_millis(50);

/// The longest wait before any try.
const LONGEST: Duration = Duration::from_secs(2);

/// How often unusable credentials are looked at again: whoever rotates them may not do it in one step. Together less
/// than half a second, since those that stay unusable should be reported soon.
const CREDENTIALS_TRIES: u8 = 3;

/// The waits of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
    credentials_tries: u8,
}

impl Backoff {
    /// Before any wait.
    pub(super) fn new() -> Self {
        Backoff { next: FIRST, credentials_tries: 0 }
    }

    /// How long to wait before another try; `None` when it would fail as this one did. What a server asks for counts
    /// in full: it is the one that is overloaded.
    ///
    /// `is_starting` says that the server was away a moment ago. A starting API server answers before it has read the
    /// rules of who may do what, and then refuses everybody.
    pub(super) fn after(&mut self, failure: &Failure, method: Method, is_starting: bool) -> Option<Duration> {
        let asked = match failure {
            Failure::Transport(_) => None,
            Failure::Status(refusal) if is_passing(refusal.status, method) => refusal.retry_after,
            Failure::Status(refusal) if is_starting && matches!(refusal.status, 401 | 403) => None,
            Failure::Credentials(_) if self.credentials_tries < CREDENTIALS_TRIES => {
                self.credentials_tries = self.credentials_tries.saturating_add(1);
                None
            }
            Failure::Status(_) | Failure::Unusable(_) | Failure::TooLong | Failure::Credentials(_) => return None,
        };
        let longest = self.next;
        self.next = longest.saturating_mul(2).min(LONGEST);
        Some(jittered(longest).max(asked.unwrap_or_default()))
    }
}

/// Whether the same request may be answered otherwise a moment later.
fn is_passing(status: u16, method: Method) -> bool {
    // A merge patch without a resourceVersion conflicts with a write at the same moment only.
    matches!(status, 429 | 500 | 502 | 503 | 504) || (status == 409 && method == Method::Patch)
}

/// Between a half and the whole of `longest`, so that a node's many pods do not come back all at once.
fn jittered(longest: Duration) -> Duration {
    let half = longest.checked_div(2).unwrap_or_default();
    // Its keys are random: that is what keeps this from needing a crate of random numbers.
    let random = RandomState::new().build_hasher().finish();
    let nanoseconds = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
    half.saturating_add(Duration::from_nanos(random.checked_rem(nanoseconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::Error;
    use crate::kubeapi::failure::Refusal;

    fn status(status: u16, retry_after: Option<u64>) -> Failure {
        let retry_after = retry_after.map(Duration::from_secs);
        Failure::Status(Refusal { status, reason: String::new(), message: String::new(), retry_after })
    }

    fn is_tried_again(failure: &Failure, method: Method) -> bool {
        Backoff::new().after(failure, method, false).is_some()
    }

    #[test]
    fn what_passes_is_tried_again_and_nothing_else() {
        for method in [Method::Get, Method::Patch, Method::Post] {
            for passing in [429, 500, 502, 503, 504] {
                assert!(is_tried_again(&status(passing, None), method), "{passing}");
            }
            for lasting in [301, 400, 401, 403, 404, 405, 410, 413, 422, 501] {
                assert!(!is_tried_again(&status(lasting, Some(1)), method), "{lasting}");
            }
            assert!(is_tried_again(&Failure::Transport(String::new()), method));
            for failure in [Failure::Unusable(String::new()), Failure::TooLong] {
                assert!(!is_tried_again(&failure, method), "{failure:?}");
            }
        }
        assert!(is_tried_again(&status(409, None), Method::Patch));
        assert!(!is_tried_again(&status(409, None), Method::Post), "the event exists already");
        assert!(!is_tried_again(&status(409, None), Method::Get));
    }

    #[test]
    fn a_starting_server_may_refuse_whom_it_will_accept() {
        for (code, expected) in [(401, true), (403, true), (404, false), (422, false), (503, true)] {
            let wait = Backoff::new().after(&status(code, None), Method::Get, true);
            assert_eq!(wait.is_some(), expected, "{code}");
        }
    }

    #[test]
    fn unusable_credentials_are_looked_at_again_for_less_than_half_a_second() {
        let mut backoff = Backoff::new();
        let waits = std::iter::from_fn(|| backoff.after(&Failure::Credentials(Error::config("")), Method::Get, false));
        let waits: Vec<Duration> = waits.take(10).collect();
        assert_eq!(waits.len(), 3);
        assert!(waits.iter().sum::<Duration>() < Duration::from_millis(500));
    }

    #[test]
    fn waits_double_up_to_two_seconds_and_differ() {
        let mut backoff = Backoff::new();
        let failure = Failure::Transport(String::new());
        for longest in [50, 100, 200, 400, 800, 1600, 2000, 2000] {
            let longest = Duration::from_millis(longest);
            let wait = backoff.after(&failure, Method::Get, false).unwrap();
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?} of {longest:?}");
        }
        let several: std::collections::BTreeSet<_> = (0..20).map(|_| jittered(LONGEST)).collect();
        assert!(several.len() > 1);
    }

    #[test]
    fn what_the_server_asks_for_is_waited_in_full_and_never_less_than_our_own() {
        assert_eq!(Backoff::new().after(&status(429, Some(7)), Method::Get, false), Some(Duration::from_secs(7)));
        assert!(Backoff::new().after(&status(503, Some(0)), Method::Get, false).unwrap() >= FIRST / 2);
    }
}
