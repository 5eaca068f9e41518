//! Many lives side by side, and the summary.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fmt, thread};

use crate::cases::Case;
use crate::life::{Life, Order, Report};
use crate::table::TABLE;
use crate::twins::Twins;

/// Runs all cases, in all their orders; panics with all that is wrong.
pub(crate) fn run(what: &str, cases: &[Case]) {
    let start = Instant::now();
    let wanted = env::var("ROOKNET_EQUALITY_CASES").unwrap_or_default();
    let threads = env::var("ROOKNET_EQUALITY_THREADS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut lives: Vec<Life<'_>> = Vec::new();
    for case in cases.iter().filter(|case| wanted.split(',').any(|part| case.name.contains(part))) {
        let orders: &[Order] = if case.mixed {
            &[Order::Ours, Order::AddByReference, Order::AddByOurs, Order::Executed]
        } else {
            &[Order::Ours]
        };
        lives.extend(orders.iter().map(|order| Life::new(case, *order)));
    }
    assert!(!lives.is_empty(), "no case is named {wanted:?}");

    let next = AtomicUsize::new(0);
    let reports: Mutex<Vec<Report>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..lives.len().min(threads) {
            scope.spawn(|| work(&lives, &next, &reports));
        }
    });
    let reports = reports.into_inner().expect("reports");
    assert_eq!(reports.len(), lives.len(), "a case ended without a report; its panic is above");

    let summary = Summary::of(&reports);
    // Not by println!, which is swallowed when a test passes.
    let _ = writeln!(std::io::stderr(), "{what}: {summary}; {:.1} s", start.elapsed().as_secs_f64());
    let failed = summary.failed;
    assert!(failed.is_empty(), "{} of {} lives differ:\n{}", failed.len(), reports.len(), failed.join("\n"));
}

/// How the lives ended; each counts once.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// Without a difference, but for those that are everywhere.
    equal: usize,
    /// With differences that rows list.
    intended: usize,
    refused: usize,
    /// The rows that were seen, those of what is everywhere too.
    rows: BTreeSet<&'static str>,
    failed: Vec<String>,
}

impl Summary {
    /// Of these reports.
    pub(crate) fn of(reports: &[Report]) -> Self {
        let everywhere = |id: &&'static str| TABLE.iter().any(|row| row.id == *id && row.everywhere);
        let mut summary = Self::default();
        for report in reports {
            let failures = report.failures();
            summary.rows.extend(&report.judgement.intended);
            if !failures.is_empty() {
                summary.failed.push(format!("{}\n    {}", report.name, failures.join("\n    ")));
            } else if report.refused {
                summary.refused += 1;
            } else if report.judgement.intended.iter().all(everywhere) {
                summary.equal += 1;
            } else {
                summary.intended += 1;
            }
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { equal, intended, refused, rows, failed } = self;
        write!(formatter, "equal {equal}, intended differences {intended}, refused by both {refused}")?;
        write!(formatter, " (rows seen: {rows:?} of {}; failed: {})", TABLE.len(), failed.len())
    }
}

fn work(lives: &[Life<'_>], next: &AtomicUsize, reports: &Mutex<Vec<Report>>) {
    let mut twins = None;
    while let Some(life) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
        let report = life.run(twins.get_or_insert_with(Twins::start), TABLE);
        if !report.clean {
            twins = None;
        }
        reports.lock().expect("reports").push(report);
    }
}
