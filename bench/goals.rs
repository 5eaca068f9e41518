//! What rooknet is meant to reach, each as a ratio within this run.

use crate::cases;
use crate::contender::{Operation, Who};
use crate::crowd;
use crate::figures::{Row, Table};
use crate::stores;

/// 8 MB, in megabytes.
const MEMORY: f64 = 8.0;

/// Prints a line for each goal; one whose contender did not take part is not measured.
pub(crate) fn print(table: &Table) {
    use Operation::{Add, Del};
    let median = |case, who, operation| table.find(case, who, "", operation).map(|row| row.median);
    let against =
        |case, other, operation| Some(median(case, Who::Native, operation)? / median(case, other, operation)?);
    let processor = |who| table.find(cases::SERVER, who, "", Add).map(|row: &Row| row.processor);
    let rate = |who, operation| table.find(crowd::SERVER, who, "", operation).and_then(|row| row.rate);
    let store = |operation| {
        let of = |size| Some(table.find(stores::STORE, Who::Native, &stores::variant(size), operation)?.median);
        Some(of(stores::SIZES[2])? / of(stores::SIZES[0])?)
    };
    let memory = [cases::FILES, cases::SERVER].into_iter().flat_map(|case| {
        [Add, Del].into_iter().filter_map(move |operation| Some(table.find(case, Who::Native, "", operation)?.resident))
    });

    println!("goals of rooknet native, in this run:");
    at_most("ADD from files, times the floor", against(cases::FILES, Who::Floor, Add), 1.5);
    at_most("DEL from files, times the floor", against(cases::FILES, Who::Floor, Del), 1.3);
    at_most("ADD with the API server, of Multus thin's", against(cases::SERVER, Who::Multus, Add), 1.0 / 6.0);
    at_most("DEL with the API server, of Multus thin's", against(cases::SERVER, Who::Multus, Del), 1.0 / 4.0);
    let processors = processor(Who::Native).zip(processor(Who::Multus)).map(|(own, other)| own / other);
    at_most("CPU time of an ADD with the API server, of Multus thin's", processors, 1.0 / 8.0);
    at_most("peak of resident memory, MB", memory.reduce(f64::max), MEMORY);
    at_most("ADD at 20,000 addresses, times at 20", store(Add), 1.1);
    at_most("DEL at 20,000 addresses, times at 20", store(Del), 1.1);
    for operation in [Add, Del] {
        let rates = rate(Who::Native, operation).zip(rate(Who::Multus, operation)).map(|(own, other)| own / other);
        let what = format!("{} of 200 pods, 16 at a time: times Multus thin's pods a second", operation.name());
        line(&what, rates, 3.0, "at least", |found| found >= 3.0);
    }
}

fn at_most(what: &str, found: Option<f64>, limit: f64) {
    line(what, found, limit, "at most", |found| found <= limit);
}

fn line(what: &str, found: Option<f64>, limit: f64, side: &str, is_met: impl Fn(f64) -> bool) {
    match found {
        Some(found) => {
            let verdict = if is_met(found) { "met" } else { "missed" };
            println!("  {what:<66} {found:>7.3}   {side:<8} {limit:.3}   {verdict}");
        }
        None => println!("  {what:<66} {:>7}   {side:<8} {limit:.3}   not measured", "-"),
    }
}
