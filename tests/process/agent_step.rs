//! The agent's hand on a node: one step of what it does with the plugin's state.

use serde_json::Value;

use crate::fixture::Fixture;
use crate::support::{Outcome, kill_points, run};

impl Fixture {
    /// Runs a step (its table is in `tests/support/agent_step.rs`) with `input` as its stdin.
    pub(crate) fn step(&self, words: &[&str], input: &str) -> Outcome {
        self.step_with(words, input, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn step_with(&self, words: &[&str], input: &str, environment: &[(&str, &str)]) -> Outcome {
        let mut command = self.node.command(env!("CARGO_BIN_EXE_rooknet-agent-step"));
        command.args(words).envs(environment.iter().copied());
        run(command, input.as_bytes())
    }

    /// A step that must succeed: what it says.
    #[track_caller]
    pub(crate) fn stepped(&self, words: &[&str], input: &str) -> String {
        self.step(words, input).expect_success(&words.join(" ")).trim_end().to_owned()
    }

    /// The records of calls since the last time.
    #[track_caller]
    pub(crate) fn calls(&self) -> Vec<Value> {
        let said = self.stepped(&["take"], "");
        said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Killing it.
impl Fixture {
    /// Where a step can be killed, in the order in which it passes the points.
    pub(crate) fn points_of(&self, words: &[&str], input: &str) -> Vec<String> {
        kill_points(&self.node, |trace| self.step_with(words, input, &[("ROOKNET_FAULT_TRACE", trace)]))
    }

    /// Kills a step at a point.
    #[track_caller]
    pub(crate) fn kill_step(&self, words: &[&str], input: &str, point: &str) {
        let outcome = self.step_with(words, input, &[("ROOKNET_FAULT", point)]);
        let signal = std::os::unix::process::ExitStatusExt::signal(&outcome.status);
        assert_eq!(signal, Some(9), "{point}: {outcome}");
    }
}
