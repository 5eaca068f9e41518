//! One case from ADD to DEL on both nodes, and what differed on the way.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cases::{Case, NETWORK, with};
use crate::compare::{Difference, differences};
use crate::observe::{observe, tentative};
use crate::support::{CniTool, Outcome};
use crate::table::{Judgement, Row, judge};
use crate::twins::{Side, Step, Twins};

/// The directory of plugins in which there are rooknet and what it executes.
const PROGRAMS: &str = "/run/programs";
/// For how long a difference that no row lists may go away by itself: links come up, and addresses and routes follow,
/// after the plugin has answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who does what on rooknet's node. On the other it is always the reference plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// rooknet from ADD to DEL.
    Ours,
    /// ADD by the reference plugin, CHECK and DEL by rooknet.
    AddByReference,
    /// ADD by rooknet, CHECK and DEL by the reference plugin, and at last rooknet's DEL for its journal.
    AddByOurs,
    /// rooknet from ADD to DEL, told to execute everything.
    Executed,
}

/// When something is done to rooknet's node, to see that the harness notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    AfterAdd,
    AfterDel,
}

/// A case, and the order in which it runs.
#[derive(Clone, Debug)]
pub(crate) struct Life<'a> {
    pub(crate) case: &'a Case,
    pub(crate) order: Order,
    pub(crate) injected: Vec<(Moment, Step)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    /// Name of the case, with the order if it is not the usual.
    pub(crate) name: String,
    /// What the table says.
    pub(crate) judgement: Judgement,
    /// What is wrong without any comparison.
    pub(crate) problems: Vec<String>,
    /// Whether both refused it.
    pub(crate) refused: bool,
    /// Whether the nodes can be used again.
    pub(crate) clean: bool,
}

impl Report {
    /// All that fails the case, as text; empty: all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = self.problems.clone();
        failures.extend(self.judgement.unlisted.iter().map(Difference::to_string));
        failures
            .extend(self.judgement.gone.iter().map(|id| format!("the intended difference {id} is not seen any more")));
        failures
    }
}

impl<'a> Life<'a> {
    /// The case in an order, with nothing done to it.
    pub(crate) fn new(case: &'a Case, order: Order) -> Self {
        Self { case, order, injected: Vec::new() }
    }

    /// Runs it.
    pub(crate) fn run(&self, twins: &Twins, rows: &[Row]) -> Report {
        let mut problems = Vec::new();
        let mut found = Vec::new();
        for side in twins.sides() {
            side.add_pod();
            self.case.before.iter().for_each(|step| side.take(step));
            self.configure(side);
        }
        let (reference, ours) = (self.tool(&twins.reference, false), |rooknet| self.tool(&twins.ours, rooknet));
        let adds = self.order != Order::AddByReference;
        let ends = self.order != Order::AddByOurs;

        // What is tentative when a call returns is what its caller may use too early; later it is not to be seen any more.
        let [first, second] = [(&reference, &twins.reference), (&ours(adds), &twins.ours)];
        let ((a, early_a), (b, early_b)) = thread::scope(|scope| {
            let other = scope.spawn(|| add(second.0, second.1));
            (add(first.0, first.1), other.join().expect("rooknet's ADD"))
        });
        found.extend(differences("add / tentative", &early_a, &early_b));
        let added = [a, b];
        let refused = added.iter().all(|outcome| !outcome.success());
        self.expect(&added, &mut problems);
        self.inject(Moment::AfterAdd, &twins.ours);
        found.extend(self.settled("add", twins, Some(&added), rows));

        if !refused && self.case.twice {
            let again = both(&reference, &ours(adds), "add");
            found.extend(outcome("second add", &again));
            if again[0].success() {
                problems.push(format!("the reference plugin made it twice: {}", again[0]));
            }
            found.extend(self.settled("second add", twins, None, rows));
        }
        for side in twins.sides() {
            self.case.between.iter().for_each(|step| side.take(step));
        }
        if !refused {
            let checked = both(&reference, &ours(ends), "check");
            found.extend(outcome("check", &checked));
            // Version 0.3.1 has none, and libcni refuses to call one.
            let fails = self.case.check_fails || self.case.version == "0.3.1";
            if checked[0].success() == fails {
                problems.push(format!(
                    "the reference's CHECK should {}: {}",
                    if fails { "fail" } else { "succeed" },
                    checked[0]
                ));
            }
        }
        let deleted = both(&reference, &ours(ends), "del");
        found.extend(outcome("del", &deleted));
        if !ends {
            let closed = ours(true).run("del");
            if !closed.success() {
                problems.push(format!("rooknet's DEL after the reference's failed: {closed}"));
            }
        }
        self.inject(Moment::AfterDel, &twins.ours);
        found.extend(self.settled("del", twins, None, rows));
        // A runtime calls it again whenever it does not know; a part of the cases shows it.
        if self.case.mixed {
            found.extend(outcome("second del", &both(&reference, &ours(ends), "del")));
            found.extend(outcome("status", &both(&reference, &ours(ends), "status")));
        }

        let (ran, executed) = (twins.ours.ran(), self.executed());
        if !refused && ran != executed {
            problems.push(format!("rooknet executed {ran:?} and should execute {executed:?}"));
        }
        let journals = twins.ours.node.journals();
        if !journals.is_empty() && deleted[1].success() {
            problems.push(format!("journals are left: {journals:?}"));
        }
        let clean = match twins.clean() {
            Ok(()) => true,
            Err(unequal) => {
                problems.extend(unequal.iter().map(|left| format!("left for the next case: {left}")));
                false
            }
        };
        let name = match self.order {
            Order::Ours => self.case.name.clone(),
            other => format!("{} ({other:?})", self.case.name),
        };
        Report { name, judgement: judge(self, &found, rows), problems, refused, clean }
    }

    fn tool<'s>(&self, side: &'s Side, rooknet: bool) -> CniTool<'s> {
        let programs = if rooknet { PROGRAMS } else { "/opt/cni/bin" };
        let configurations = if rooknet { "/etc/cni/net.d/rooknet" } else { "/etc/cni/net.d/reference" };
        side.tool(NETWORK)
            .env("CNI_PATH", programs)
            .env("NETCONFPATH", configurations)
            .env("CNI_ARGS", &self.case.args)
            .capabilities(&self.case.runtime)
    }

    /// What rooknet executes.
    fn executed(&self) -> BTreeSet<String> {
        if self.order == Order::Executed { self.case.programs() } else { self.case.executed() }
    }

    /// The network in both ways: the reference plugins by themselves, and rooknet with them as the default network.
    fn configure(&self, side: &Side) {
        let case = self.case;
        let capabilities = json!({"ips": true, "mac": true, "ipRanges": true});
        let mut plugins = vec![case.plugin.clone()];
        plugins[0]["capabilities"] = capabilities.clone();
        plugins.extend(case.chain.iter().cloned());
        let list = |plugins: &Value| json!({"cniVersion": case.version, "name": NETWORK, "plugins": plugins});
        let network = list(&json!(plugins));
        side.node.write("/etc/cni/net.d/reference/net.conflist", network.to_string());
        let delegate = if plugins.len() > 1 {
            network
        } else {
            with(plugins[0].clone(), &json!({"cniVersion": case.version, "name": NETWORK}))
        };
        let native = self.order != Order::Executed;
        let rooknet = json!({"type": "rooknet", "native": native, "capabilities": capabilities, "binDir": PROGRAMS,
            "delegates": [delegate]});
        side.node.write("/etc/cni/net.d/rooknet/net.conflist", list(&json!([rooknet])).to_string());
        side.provide(PROGRAMS, &self.executed());
    }

    fn inject(&self, moment: Moment, side: &Side) {
        self.injected.iter().filter(|(when, _)| *when == moment).for_each(|(_, step)| side.take(step));
    }

    /// Both did what the case says.
    fn expect(&self, added: &[Outcome; 2], problems: &mut Vec<String>) {
        for (who, outcome) in ["the reference plugin", "rooknet"].iter().zip(added) {
            let is_ours = *who == "rooknet";
            let alone = if is_ours { self.case.only_rooknet_refuses } else { self.case.only_reference_refuses };
            let must_refuse = alone || self.case.refused.is_some();
            match outcome.success() {
                true if must_refuse => problems.push(format!("{who} did not refuse it: {outcome}")),
                false if !must_refuse => problems.push(format!("{who} refused it: {outcome}")),
                _ => {}
            }
        }
        if let Some(key) = self.case.refused.filter(|_| self.case.is_native() && self.order == Order::Ours)
            && !names(&added[1], key)
        {
            problems.push(format!("rooknet's refusal does not name {key}: {}", added[1]));
        }
    }

    /// The differences of state, and of the result, once they stay.
    fn settled(&self, stage: &str, twins: &Twins, added: Option<&[Outcome; 2]>, rows: &[Row]) -> Vec<Difference> {
        let start = Instant::now();
        loop {
            let seen = twins.sides().map(|side| observe(&side.node, side.living_pod().as_ref()));
            let mut found = differences(stage, &seen[0].state, &seen[1].state);
            if let Some(added) = added {
                found.extend(outcome(stage, added));
                let results = [0, 1].map(|side: usize| match added[side].success() {
                    true => seen[side].volatile.without(&added[side].json(), ""),
                    false => Value::Null,
                });
                found.extend(differences(&format!("{stage} / result"), &results[0], &results[1]));
            }
            // Not those of rows that are missing here: they may belong to another stage.
            let unlisted = judge(self, &found, rows).unlisted;
            if unlisted.is_empty() || start.elapsed() > PATIENCE {
                return found;
            }
            thread::sleep(Duration::from_millis(250));
        }
    }
}

/// Whether an answer names a key: as a word of its own.
pub(crate) fn names(outcome: &Outcome, key: &str) -> bool {
    let text = outcome.to_string();
    text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == key)
}

/// ADD, and the addresses that are tentative at its end.
fn add(tool: &CniTool<'_>, side: &Side) -> (Outcome, Value) {
    let outcome = tool.run("add");
    (outcome, json!(tentative(&side.pod())))
}

/// One operation on both nodes at once.
fn both(reference: &CniTool<'_>, ours: &CniTool<'_>, operation: &str) -> [Outcome; 2] {
    let calls = [reference.start(operation), ours.start(operation)];
    calls.map(crate::support::RunningCall::wait)
}

fn outcome(stage: &str, outcomes: &[Outcome; 2]) -> Vec<Difference> {
    differences(&format!("{stage} / succeeded"), &json!(outcomes[0].success()), &json!(outcomes[1].success()))
        .into_iter()
        .map(|mut difference| {
            // What was said explains it; the path is the same whatever it was.
            let said = |outcome: &Outcome| Some(json!(format!("{} {}", outcome.success(), said(outcome))));
            (difference.reference, difference.ours) = (said(&outcomes[0]), said(&outcomes[1]));
            difference
        })
        .collect()
}

fn said(outcome: &Outcome) -> String {
    let text = [&outcome.stdout, &outcome.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
