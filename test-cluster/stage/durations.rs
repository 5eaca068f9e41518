//! How long CNI calls take as the runtime sees them, whichever plugin it calls: from containerd's own metrics.

use std::collections::BTreeMap;
use std::fmt;

use super::{NODES, Stage};

/// The histogram's name in containerd's metrics, before `_bucket`, `_sum` and `_count`.
const HISTOGRAM: &str = "containerd_cri_network_plugin_operations_duration_seconds_seconds";

/// Calls of one kind on both nodes between two moments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations {
    /// How many.
    pub(crate) count: f64,
    /// All of them together, in seconds.
    sum: f64,
    /// How many took at most so many thousandths of a second.
    within: BTreeMap<u64, f64>,
}

impl Durations {
    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let within =
            self.within.iter().map(|(limit, count)| (*limit, count - before.within.get(limit).unwrap_or(&0.0)));
        Self { count: self.count - before.count, sum: self.sum - before.sum, within: within.collect() }
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} calls, {:.1} ms on average; within",
            self.count,
            1000.0 * self.sum / self.count.max(1.0)
        )?;
        self.within.iter().try_for_each(|(limit, count)| write!(formatter, " {limit} ms: {count}"))
    }
}

impl Stage {
    /// All calls of an operation (`set_up_pod`, `tear_down_pod`) that the runtimes of both nodes have made so far.
    #[track_caller]
    pub(crate) fn durations(&self, operation: &str) -> Durations {
        let mut all = Durations::default();
        for node in NODES {
            let page = self.node(node).shell("curl --silent http://127.0.0.1:1338/v1/metrics");
            let label = format!("operation_type=\"{operation}\"");
            for line in
                page.lines().filter_map(|line| line.strip_prefix(HISTOGRAM)).filter(|line| line.contains(&label))
            {
                let Some(value) = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) else { continue };
                if line.starts_with("_sum") {
                    all.sum += value;
                } else if line.starts_with("_count") {
                    all.count += value;
                } else if let Some(limit) = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next())
                    && let Ok(seconds) = limit.parse::<f64>()
                    && seconds.is_finite()
                {
                    *all.within.entry((seconds * 1000.0).round() as u64).or_default() += value;
                }
            }
        }
        all
    }
}
