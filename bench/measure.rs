//! One case: its contenders in turn, each ADD and each DEL metered.

use std::time::Duration;

use crate::contender::{Contender, Operation};
use crate::counts::{Counts, count};
use crate::figures::{Row, Table};
use crate::server::Server;
use crate::stage::{Pod, Stage};
use crate::state::{State, expect_equal, expect_nothing};
use crate::support::run;

/// What one call took, with all processes that it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) processor: Duration,
    /// Resident memory of the largest process, in kilobytes.
    pub(crate) resident: u64,
}

/// A case and those who take part.
pub(crate) struct Case<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) server: &'a Server,
    pub(crate) name: &'static str,
    pub(crate) contenders: Vec<Contender>,
    /// The interfaces that each must make, sorted.
    pub(crate) interfaces: &'static [&'static str],
    /// Global addresses that each interface must get.
    pub(crate) addresses: usize,
    /// Whether a contender asks the API server.
    pub(crate) with_server: bool,
    pub(crate) rounds: usize,
    /// What a pod's namespace gets before it is used: a shell script, run in it.
    pub(crate) preparation: Option<&'static str>,
}

impl Case<'_> {
    /// Runs it: the table gets two rows for each contender.
    pub(crate) fn run(&self, table: &mut Table) {
        let each = self.contenders.len();
        // Besides the rounds, the look at the state (which also warms up) and the counting.
        let pods = self.stage.add_pods(each * (self.rounds + 2));
        for pod in &pods {
            self.prepare(pod);
        }
        let mut turns = pods.chunks_exact(each);
        let mut turn = || turns.next().expect("enough pods were made");
        self.compare_states(turn());
        let counts: Vec<[Counts; 2]> =
            self.contenders.iter().zip(turn()).map(|(contender, pod)| self.count(contender, pod)).collect();
        let mut samples: Vec<[Vec<Sample>; 2]> = self.contenders.iter().map(|_| Default::default()).collect();
        for round in 0..self.rounds {
            let pods = turn();
            for place in order(round, each) {
                for (samples, operation) in samples[place].iter_mut().zip([Operation::Add, Operation::Del]) {
                    samples.push(meter(self.stage, 1, &self.contenders[place].words(operation, &pods[place])));
                }
            }
        }
        for ((contender, samples), counts) in self.contenders.iter().zip(samples).zip(counts) {
            for ((samples, counts), operation) in samples.into_iter().zip(counts).zip([Operation::Add, Operation::Del])
            {
                table.push(Row::new(self.name, contender, operation, &samples, Some(counts)));
            }
        }
        self.stage.remove_pods(&pods);
    }

    fn prepare(&self, pod: &Pod) {
        if self.with_server {
            self.server.create_pod(pod);
        }
        if let Some(script) = self.preparation {
            self.stage.netns(pod).ok(&["sh", "-c", script]);
        }
    }

    /// Each contender's pod is as the first one's, and whole; and after its DEL nothing is left of it.
    fn compare_states(&self, pods: &[Pod]) {
        let mut first: Option<(&'static str, State)> = None;
        for (contender, pod) in self.contenders.iter().zip(pods) {
            let (stage, name) = (self.stage, contender.who.name());
            meter(stage, 1, &contender.words(Operation::Add, pod));
            let state = State::of(stage, pod, contender.who.has_groups());
            state.expect_whole(name, self.interfaces, self.addresses);
            if self.with_server {
                assert_eq!(self.server.networks_in_status(pod), self.interfaces.len(), "{name}: the pod's status");
            }
            match &first {
                Some((first, expected)) => expect_equal(self.name, (first, expected), (name, &state)),
                None => first = Some((name, state)),
            }
            meter(stage, 1, &contender.words(Operation::Del, pod));
            expect_nothing(stage, name, pod);
        }
    }

    /// Numbers that do not depend on the machine, from calls that are not timed.
    fn count(&self, contender: &Contender, pod: &Pod) -> [Counts; 2] {
        [Operation::Add, Operation::Del].map(|operation| {
            let requests = || if self.with_server { self.server.requests(contender.who) } else { 0 };
            let before = requests();
            let words = [self.name, contender.who.name(), &contender.variant, operation.name()];
            let name = words.join(" ");
            let counts = count(self.stage, &name, &contender.words(operation, pod));
            Counts { requests: requests() - before, ..counts }
        })
    }
}

/// Who comes when: in each round another one first, and every other round backwards, so that nobody always follows the
/// same one.
pub(crate) fn order(round: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).map(|place| (place + round) % count).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// Runs the steps in `words` by the meter; ends the benchmark when one fails.
pub(crate) fn meter(stage: &Stage, at_a_time: usize, words: &[String]) -> Sample {
    let mut command = stage.node.command(&stage.programs.meter);
    command.arg(at_a_time.to_string()).args(words);
    let outcome = run(command, b"");
    let shown: Vec<&str> = words.iter().take(12).map(String::as_str).collect();
    assert!(outcome.success(), "{}: {outcome}", shown.join(" "));
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let line = said.lines().last().unwrap_or_default();
    let numbers: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
    let [wall, processor, resident] = *numbers else { panic!("the meter says {said:?}") };
    Sample { wall: Duration::from_micros(wall), processor: Duration::from_micros(processor), resident }
}
