//! A loop is rounds: one after another, the next sooner or later, and later still after failures.

use std::hash::{BuildHasher as _, RandomState};

use tokio::time::{Duration, Instant, sleep, timeout};

use super::Shared;

/// The wait after a first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after failures: doubled with each, and partly random, so that the agents of a thousand nodes do not come
/// back to an API server at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half of a bound and the bound, which doubles up to [`LONGEST`].
    pub(super) fn next(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = bound.checked_div(2).unwrap_or(bound);
        half.saturating_add(half.mul_f64(random()))
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number from 0 to 1.
fn random() -> f64 {
    let number = RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(number >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// What a loop is called, and its times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    /// Its name, in /healthz and in the log.
    pub(super) name: &'static str,
    /// The time between two rounds.
    pub(super) period: Duration,
    /// How long a round may last; it then fails and is dropped where it waits.
    pub(super) limit: Duration,
}

impl Rounds {
    /// Runs `round` for ever. `early` ends the wait between two rounds, after a failure too.
    pub(super) async fn run<E: Future<Output = ()>>(
        self,
        shared: &Shared,
        mut round: impl AsyncFnMut() -> anyhow::Result<()>,
        mut early: impl FnMut() -> E,
    ) {
        let Rounds { name, period, limit } = self;
        let mut backoff = Backoff::default();
        shared.health.begins(name, period.saturating_add(limit).saturating_add(LONGEST));
        loop {
            let wait = match timeout(limit, round()).await {
                Ok(Ok(())) => {
                    shared.health.well(name);
                    backoff.reset();
                    period
                }
                Ok(Err(error)) => {
                    shared.health.failed(name, &format!("{error:#}"));
                    backoff.next()
                }
                Err(_) => {
                    shared.health.failed(name, &format!("a round took longer than {} s", limit.as_secs()));
                    backoff.next()
                }
            };
            let began = Instant::now();
            let _ = timeout(wait, early()).await;
            // What wakes a loop may do so without end.
            sleep(Duration::from_millis(100).saturating_sub(began.elapsed())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for bound in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let wait = backoff.next().as_secs_f64();
            assert!((bound / 2.0..=bound).contains(&wait), "{wait} for {bound}");
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
