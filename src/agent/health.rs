//! Whether each loop does its work: for /healthz, for a metric, and as one line in the log whenever it changes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use tokio::time::{Duration, Instant};

use super::metrics::{LoopLabels, Metrics};
use crate::cni::text::printable;

/// The state of all loops.
pub(super) struct Health {
    loops: RefCell<BTreeMap<&'static str, State>>,
    metrics: Metrics,
}

/// One loop.
struct State {
    /// Why its last round failed.
    fault: Option<String>,
    /// When it last reported.
    reported: Instant,
    /// How long it may be silent before it counts as stuck.
    allowance: Duration,
}

impl Health {
    /// Of loops that are not known yet.
    pub(super) fn new(metrics: &Metrics) -> Self {
        Health { loops: RefCell::default(), metrics: metrics.clone() }
    }

    /// A loop begins: it has not succeeded yet, and reports at least each `allowance`.
    pub(super) fn begins(&self, name: &'static str, allowance: Duration) {
        let fault = Some("it has not finished a round yet".to_owned());
        self.loops.borrow_mut().insert(name, State { fault, reported: Instant::now(), allowance });
        self.set_metric(name, false);
    }

    /// A loop is well.
    pub(super) fn well(&self, name: &'static str) {
        self.set(name, None);
    }

    /// A loop could not do its work.
    pub(super) fn failed(&self, name: &'static str, fault: &str) {
        self.set(name, Some(printable(fault)));
    }

    fn set(&self, name: &'static str, fault: Option<String>) {
        let mut loops = self.loops.borrow_mut();
        let Some(state) = loops.get_mut(name) else { return };
        state.reported = Instant::now();
        if state.fault != fault {
            match &fault {
                Some(fault) => log::warn!("{name}: {fault}"),
                None => log::info!("{name}: it works"),
            }
        }
        self.set_metric(name, fault.is_none());
        state.fault = fault;
    }

    fn set_metric(&self, name: &'static str, is_well: bool) {
        self.metrics.loops.get_or_create(&LoopLabels { name: name.to_owned() }).set(i64::from(is_well));
    }

    /// Whether all loops are well, and a line for each that is not.
    pub(super) fn report(&self) -> (bool, String) {
        let mut text = String::new();
        for (name, state) in self.loops.borrow().iter() {
            let silent = state.reported.elapsed();
            if let Some(fault) = &state.fault {
                let _ = writeln!(text, "{name}: {fault}");
            } else if silent > state.allowance {
                let _ = writeln!(text, "{name}: it has not reported for {} s", silent.as_secs());
            }
        }
        if text.is_empty() { (true, "ok\n".to_owned()) } else { (false, text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::testing::block_on;

    #[test]
    fn only_when_all_loops_are_well_is_the_agent_and_the_others_are_named() {
        let health = Health::new(&Metrics::new());
        health.begins("token", Duration::from_secs(60));
        health.begins("pods", Duration::from_secs(60));
        health.well("token");
        let (is_well, text) = health.report();
        assert!(!is_well && text.starts_with("pods: ") && !text.contains("token"), "{text}");
        health.failed("pods", "the API server\nis away");
        assert_eq!(health.report(), (false, "pods: the API server\\nis away\n".to_owned()));
        health.well("pods");
        assert_eq!(health.report(), (true, "ok\n".to_owned()));
    }

    #[test]
    fn a_loop_that_no_longer_reports_is_not_well() {
        block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let health = Health::new(&Metrics::new());
            health.begins("token", Duration::ZERO);
            health.well("token");
            tokio::time::sleep(Duration::from_millis(1)).await;
            let (is_well, text) = health.report();
            assert!(!is_well && text.contains("token: it has not reported for 0 s"), "{text}");
        });
    }
}
