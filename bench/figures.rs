//! The table: medians, and what else there is to say of each contender's ADD and DEL.

use std::fmt;
use std::time::Duration;

use crate::contender::{Contender, Operation, Who};
use crate::counts::Counts;
use crate::measure::Sample;

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static str,
    pub(crate) who: Who,
    pub(crate) variant: String,
    pub(crate) operation: Operation,
    /// Milliseconds.
    pub(crate) median: f64,
    /// Milliseconds of the fastest call: what it takes when nothing else disturbs.
    pub(crate) lowest: f64,
    /// Milliseconds that nine of ten calls needed at most.
    pub(crate) p90: f64,
    /// Milliseconds, the median.
    pub(crate) processor: f64,
    /// Megabytes (10⁶ bytes) of the largest process of all calls.
    pub(crate) resident: f64,
    pub(crate) counts: Option<Counts>,
    /// Pods in a second, where many came at a time.
    pub(crate) rate: Option<f64>,
}

/// All lines, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Row {
    pub(crate) fn new(
        case: &'static str,
        contender: &Contender,
        operation: Operation,
        samples: &[Sample],
        counts: Option<Counts>,
    ) -> Row {
        let of = |figure: fn(&Sample) -> Duration| sorted(samples.iter().map(figure));
        let (walls, processor) = (of(|sample| sample.wall), of(|sample| sample.processor));
        let resident = samples.iter().map(|sample| sample.resident).max().unwrap_or_default();
        Row {
            case,
            who: contender.who,
            variant: contender.variant.clone(),
            operation,
            median: quantile(&walls, 0.5),
            lowest: quantile(&walls, 0.0),
            p90: quantile(&walls, 0.9),
            processor: quantile(&processor, 0.5),
            resident: resident as f64 * 1024.0 / 1e6,
            counts,
            rate: None,
        }
    }
}

/// In milliseconds.
fn sorted(values: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut values: Vec<f64> = values.map(|value| value.as_secs_f64() * 1000.0).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this share of them lies, between neighbours in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = sorted.get(below + 1).unwrap_or(&sorted[below]);
    sorted[below] + (above - sorted[below]) * (place - below as f64)
}

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The line of this contender, if it took part.
    pub(crate) fn find(&self, case: &str, who: Who, variant: &str, operation: Operation) -> Option<&Row> {
        let is_meant =
            |row: &&Row| row.case == case && row.who == who && row.variant == variant && row.operation == operation;
        self.rows.iter().find(is_meant)
    }

    /// How many times as long as `who` in the same case, or how many times as many pods a second.
    fn ratio_to(&self, who: Who, row: &Row) -> String {
        let Some(other) = self.find(row.case, who, &row.variant, row.operation) else { return "-".to_owned() };
        match (row.rate, other.rate) {
            (Some(rate), Some(other)) => format!("{:.2}", rate / other),
            _ => format!("{:.2}", row.median / other.median),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<27} {:<3}  {:<34} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>5} {:>5} {:>7} {:>4}",
            "case",
            "",
            "contender",
            "lowest",
            "median",
            "p90",
            "pods/s",
            "/floor",
            "/native",
            "CPU",
            "MB",
            "proc",
            "sync",
            "netlink",
            "API"
        )?;
        let mut previous = ("", Operation::Del);
        let mut cases: Vec<&str> = self.rows.iter().map(|row| row.case).collect();
        cases.dedup();
        for case in cases {
            for operation in [Operation::Add, Operation::Del] {
                for row in self.rows.iter().filter(|row| row.case == case && row.operation == operation) {
                    let is_first = previous != (row.case, row.operation);
                    previous = (row.case, row.operation);
                    let (title, name) = if is_first { (row.case, operation.name()) } else { ("", "") };
                    self.line(formatter, title, name, row)?;
                }
            }
        }
        Ok(())
    }
}

impl Table {
    fn line(&self, formatter: &mut fmt::Formatter<'_>, case: &str, operation: &str, row: &Row) -> fmt::Result {
        let contender = match row.variant.as_str() {
            "" => row.who.name().to_owned(),
            variant => format!("{}, {variant}", row.who.name()),
        };
        let counts = match row.counts {
            Some(Counts { processes, syncs, netlink, requests }) => {
                format!("{processes:>5} {syncs:>5} {netlink:>7} {requests:>4}")
            }
            None => format!("{:>5} {:>5} {:>7} {:>4}", "-", "-", "-", "-"),
        };
        let rate = row.rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        writeln!(
            formatter,
            "{case:<27} {operation:<3}  {contender:<34} {:>8.2} {:>8.2} {:>8.2} {rate:>7} {:>7} {:>7} {:>7.2} {:>7.2} {counts}",
            row.lowest,
            row.median,
            row.p90,
            self.ratio_to(Who::Floor, row),
            self.ratio_to(Who::Native, row),
            row.processor,
            row.resident,
        )
    }
}
