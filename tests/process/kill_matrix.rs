//! rooknet is killed (SIGKILL) at every point that a call passes; whatever call follows leaves nothing behind.
//!
//! The points are not listed here: a first run of the call traces them, so a new one is tested as soon as it exists. What
//! must be among them is listed, so that a matrix that lost them fails.

use std::io::Write;

use serde_json::{Value, json};

use crate::faults::{EVERYTHING, Primary, assert_killed};
use crate::fixture::{Fixture, Pod};
use crate::support::{PluginCall, wait_until};

/// A full ADD runs four plugins with six points each, and three attachments, the plan, the results, the route and the
/// lock have their own.
const POINTS_OF_ADD: usize = 43;
/// The DEL of it: four plugins again, three attachments, the journal's removal and the lock.
const POINTS_OF_DEL: usize = 35;
/// GC: as DEL, and the plugins' own GC.
const POINTS_OF_GC: usize = 35;

/// A node, a pod that selects everything, and rooknet's configuration.
struct Scene<'a> {
    fixture: &'a Fixture,
    config: Value,
    pod: Pod<'a>,
    chained: bool,
}

impl<'a> Scene<'a> {
    fn delegating(fixture: &'a Fixture) -> Self {
        let config = fixture.delegating_with_route();
        Scene { fixture, config, pod: fixture.pod("osd", Some(EVERYTHING)), chained: false }
    }

    fn chained(fixture: &'a Fixture) -> Self {
        Scene { fixture, config: fixture.chained(), pod: fixture.pod("osd", Some(EVERYTHING)), chained: true }
    }

    fn call(&self, operation: &str) -> PluginCall {
        self.fixture.call(operation, &self.config, &self.pod)
    }

    fn run(&self, operation: &str, at: &str) {
        self.call(operation).run(&self.fixture.node).expect_success(&format!("{operation} after {at}"));
    }

    /// As the runtime does before rooknet's ADD.
    fn begin(&self) {
        if self.chained {
            Primary::attach(&self.pod);
        }
    }

    /// As the runtime does after rooknet's DEL.
    fn end(&self) {
        if self.chained {
            Primary::detach(&self.pod);
        }
    }

    fn assert_clean(&self, at: &str) {
        let left = self.fixture.node.left_overs();
        assert_eq!(left, Vec::<String>::new(), "after {at}");
        self.fixture.assert_clean();
    }

    /// Nothing of the pod's networks is left. What may be is a file that a killed process was writing, which only the
    /// container's own call or age makes anybody's to remove, and an unlocked lock file.
    fn assert_nothing_attached(&self, at: &str) {
        let mut left = self.fixture.node.left_overs();
        left.retain(|line| !line.starts_with("journal .rooknet-tmp-"));
        assert_eq!(left, Vec::<String>::new(), "after {at}");
        assert_eq!(self.fixture.taken(), Vec::<String>::new(), "after {at}");
    }

    /// A whole life of the pod works, and leaves nothing.
    fn assert_usable(&self, at: &str) {
        self.begin();
        self.run("ADD", at);
        assert!(self.pod.netns.interfaces().contains(&"cluster".to_owned()), "after {at}");
        self.run("DEL", at);
        self.end();
        self.assert_clean(at);
    }

    /// Where an ADD can be killed; nothing is left of it.
    fn points_of_add(&self) -> Vec<String> {
        self.begin();
        let passed = self.fixture.passings(&self.call("ADD"));
        self.run("DEL", "nothing");
        self.end();
        self.assert_clean("nothing");
        let expected = [
            "lock-acquired",
            "journal-plan.begin",
            "journal-plan.written",
            "journal-plan.renamed",
            "journal-plan.synced",
            "add.attach",
            "delegate.spawned",
            "delegate.noted",
            "delegate.fed",
            "delegate.ended",
            "add.attached",
            "add.route-removed",
            "add.routed",
            "journal-results.written",
            "journal-results.renamed",
            "lock-discard",
        ];
        kill_points(&passed, &expected)
    }

    fn points_of_end(&self, call: &PluginCall) -> Vec<String> {
        self.begin();
        self.run("ADD", "nothing");
        let passed = self.fixture.passings(call);
        self.end();
        let expected = [
            "lock-acquired",
            "undo.attachment",
            "delegate.spawned",
            "delegate.noted",
            "delegate.fed",
            "delegate.ended",
            "undo.attachment-done",
            "journal-remove.begin",
            "journal-remove.removed",
            "journal-remove.synced",
            "lock-discard",
        ];
        self.assert_clean("nothing");
        kill_points(&passed, &expected)
    }

    /// An ADD that is killed there.
    fn killed_add(&self, point: &str) {
        self.begin();
        assert_killed(&self.call("ADD").env("ROOKNET_FAULT", point).run(&self.fixture.node), point);
    }

    /// Waits until the delegate that a killed rooknet left is done: it holds the lock as long.
    fn until_unlocked(&self) {
        wait_until("the end of the orphaned delegate", std::time::Duration::from_secs(20), || {
            self.fixture.node.held_locks().is_empty()
        });
    }
}

/// The kills among what was passed; all of the expected ones are there.
fn kill_points(passed: &[String], expected: &[&str]) -> Vec<String> {
    let kills: Vec<String> = passed.iter().filter(|passing| passing.starts_with("kill:")).cloned().collect();
    for point in expected {
        assert!(kills.contains(&format!("kill:{point}")), "{point} is not passed any more: {kills:?}");
    }
    kills
}

/// Not by a macro that the test harness keeps to itself: the size belongs into the log of a good run too.
fn tell(matrix: &str, points: &[String], at_least: usize) {
    let _ = writeln!(std::io::stderr(), "kill matrix: {matrix}: {} positions", points.len());
    assert!(points.len() >= at_least, "{matrix}: only {} positions: {points:?}", points.len());
}

#[test]
fn an_add_killed_anywhere_is_undone_by_a_del_at_once() {
    let fixture = Fixture::with_everything();
    let scene = Scene::delegating(&fixture);
    let points = scene.points_of_add();
    tell("ADD, then DEL", &points, POINTS_OF_ADD);
    for point in &points {
        scene.killed_add(point);
        scene.run("DEL", point);
        scene.assert_clean(point);
        scene.run("DEL", point);
        scene.assert_usable(point);
    }
}

#[test]
fn a_chained_add_killed_anywhere_is_undone_by_a_del_at_once() {
    let fixture = Fixture::with_everything();
    let scene = Scene::chained(&fixture);
    let points = scene.points_of_add();
    // One plugin and one attachment less: the default network is the primary's.
    tell("chained ADD, then DEL", &points, POINTS_OF_ADD - 8);
    for point in &points {
        scene.killed_add(point);
        scene.run("DEL", point);
        assert_eq!(scene.pod.netns.addresses("eth0"), ["10.244.0.5/24"], "the primary's interface after {point}");
        scene.end();
        scene.assert_clean(point);
        scene.run("DEL", point);
        scene.assert_usable(point);
    }
}

#[test]
fn an_add_killed_anywhere_is_undone_by_the_next_add_unless_it_was_complete() {
    let fixture = Fixture::with_everything();
    let scene = Scene::delegating(&fixture);
    let points = scene.points_of_add();
    tell("ADD, then ADD", &points, POINTS_OF_ADD);
    let mut complete = 0;
    for point in &points {
        scene.killed_add(point);
        scene.until_unlocked();
        let journal = fixture.journal_of(&scene.pod);
        if journal.is_some_and(|journal| journal["complete"] == true) {
            complete += 1;
            let (code, message) = scene.call("ADD").run(&fixture.node).error();
            assert_eq!(code, 101, "after {point}: {message}");
        } else {
            scene.run("ADD", point);
        }
        assert_eq!(scene.pod.netns.interfaces(), ["cluster", "eth0", "net1"], "after {point}");
        assert_eq!(scene.pod.netns.default_interface(false).as_deref(), Some("net1"), "after {point}");
        scene.run("DEL", point);
        scene.assert_clean(point);
    }
    assert!(complete > 0 && complete < points.len() / 2, "{complete} of {} kills came after the journal", points.len());
}

#[test]
fn an_add_killed_anywhere_is_undone_by_a_gc_with_an_empty_list() {
    let fixture = Fixture::with_everything();
    let scene = Scene::delegating(&fixture);
    let points = scene.points_of_add();
    tell("ADD, then GC", &points, POINTS_OF_ADD);
    for point in &points {
        scene.killed_add(point);
        // A GC passes over a container that is at work.
        scene.until_unlocked();
        fixture.collect(&scene.config, Some(&[])).expect_success(&format!("GC after {point}"));
        scene.assert_nothing_attached(point);
        scene.run("DEL", point);
        scene.assert_clean(point);
    }
}

#[test]
fn a_del_killed_anywhere_is_finished_by_the_next() {
    let fixture = Fixture::with_everything();
    let scene = Scene::delegating(&fixture);
    let points = scene.points_of_end(&scene.call("DEL"));
    tell("DEL, then DEL", &points, POINTS_OF_DEL);
    for point in &points {
        scene.run("ADD", point);
        assert_killed(&scene.call("DEL").env("ROOKNET_FAULT", point).run(&fixture.node), point);
        scene.run("DEL", point);
        scene.assert_clean(point);
    }
}

#[test]
fn a_chained_del_killed_anywhere_is_finished_by_the_next() {
    let fixture = Fixture::with_everything();
    let scene = Scene::chained(&fixture);
    let points = scene.points_of_end(&scene.call("DEL"));
    tell("chained DEL, then DEL", &points, POINTS_OF_DEL - 8);
    for point in &points {
        scene.begin();
        scene.run("ADD", point);
        assert_killed(&scene.call("DEL").env("ROOKNET_FAULT", point).run(&fixture.node), point);
        scene.run("DEL", point);
        scene.end();
        scene.assert_clean(point);
    }
}

#[test]
fn a_gc_killed_anywhere_is_finished_by_the_next() {
    let fixture = Fixture::with_everything();
    let scene = Scene::delegating(&fixture);
    let gc = fixture.collect_call(&scene.config, Some(&[]));
    let points = scene.points_of_end(&gc);
    tell("GC, then GC", &points, POINTS_OF_GC);
    for point in &points {
        scene.run("ADD", point);
        assert_killed(&gc.clone().env("ROOKNET_FAULT", point).run(&fixture.node), point);
        scene.until_unlocked();
        gc.run(&fixture.node).expect_success(&format!("GC after {point}"));
        scene.assert_nothing_attached(point);
        scene.run("DEL", point);
        scene.assert_clean(point);
    }
}

#[test]
fn a_rollback_killed_anywhere_is_finished_by_a_del() {
    let fixture = Fixture::with_everything();
    fixture.define_stub("broken", &json!({"failOn": ["ADD"]}));
    let pod = fixture.pod("osd", Some("public, broken"));
    let scene = Scene { fixture: &fixture, config: fixture.delegating_with_route(), pod, chained: false };
    let (outcome, passed) = fixture.trace(&scene.call("ADD"));
    assert_eq!(outcome.error().0, 111, "{outcome}");
    scene.assert_clean("nothing");
    let begin = passed.iter().position(|passing| passing == "kill:rollback.begin").expect("a rollback");
    let expected = ["undo.attachment", "undo.attachment-done", "journal-remove.removed", "lock-discard"];
    let points = kill_points(&passed[begin..], &expected);
    // Three plugins and attachments, the journal's removal, the lock, and the beginning.
    tell("rollback, then DEL", &points, 29);
    for point in &points {
        scene.killed_add(point);
        scene.run("DEL", point);
        scene.assert_clean(point);
    }
}
