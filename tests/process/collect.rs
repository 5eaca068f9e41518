//! A journal's end at the agent's hand: `engine::collect`, where no runtime asks for it.

use serde_json::{Value, json};

use crate::faults::fail_on;
use crate::fixture::{Fixture, PATIENCE, Pod, journal_path};
use crate::support::Outcome;

/// A node with two networks, its conflist entry, and a pod that has them.
struct Scene<'a> {
    fixture: &'a Fixture,
    config: Value,
    pod: Pod<'a>,
}

fn with_networks() -> Fixture {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"address": "192.0.2.7/24"}));
    fixture.define_stub("cluster", &json!({}));
    fixture
}

impl<'a> Scene<'a> {
    fn attached(fixture: &'a Fixture) -> Self {
        let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public, cluster")));
        fixture.add(&config, &pod);
        Scene { fixture, config, pod }
    }

    /// The conflist entry as the runtime completes it.
    fn entry(&self) -> String {
        let mut entry = self.config.clone();
        entry.as_object_mut().unwrap().remove("prevResult");
        entry.to_string()
    }

    fn step(&self, words: &[&str]) -> Outcome {
        self.fixture.step(words, &self.entry())
    }

    #[track_caller]
    fn stepped(&self, words: &[&str]) -> String {
        self.fixture.stepped(words, &self.entry())
    }

    fn undo(&self, due: &str) -> String {
        self.stepped(&["undo", &self.pod.id, "eth0", due])
    }

    fn listed(&self) -> Vec<Value> {
        self.stepped(&["list"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn is_attached(&self) -> bool {
        self.pod.netns.interfaces() == ["net1", "net2"] && self.fixture.has_journal(&self.pod)
    }
}

#[test]
fn a_journal_that_is_due_is_undone_as_a_del_would() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    assert_eq!(scene.undo("never"), "NotDue");
    assert_eq!(scene.undo("gone"), "NotDue", "its namespace lives");
    assert!(scene.is_attached());
    fixture.forget_records();
    assert_eq!(scene.undo("always"), "Done");
    assert_eq!(fixture.recorded_calls(), ["DEL net2", "DEL net1"]);
    fixture.assert_clean();
    assert_eq!(scene.undo("always"), "Missing");
    fixture.del(&scene.config, &scene.pod);
    fixture.assert_clean();
}

#[test]
fn a_journal_whose_namespace_is_gone_is_due() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    fixture.node.ok(&["ip", "netns", "delete", &scene.pod.id]);
    assert_eq!(scene.undo("gone"), "Done");
    fixture.assert_clean();
}

#[test]
fn a_journal_of_another_boot_is_due() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    fixture.change_journal(&scene.pod, &json!({"bootId": "another"}));
    assert_eq!(scene.listed()[0]["thisBoot"], false);
    assert_eq!(scene.undo("gone"), "Done");
    assert!(!fixture.has_journal(&scene.pod));
}

#[test]
fn a_container_at_work_is_passed_over() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    fixture.overrule("stub", Some(&json!({"hang": true})));
    let deleting = fixture.call("DEL", &scene.config, &scene.pod).start(&fixture.node);
    crate::support::wait_until("the DEL's lock", PATIENCE, || !fixture.node.held_locks().is_empty());
    assert_eq!(scene.undo("always"), "Busy");
    assert_eq!(scene.stepped(&["forget", &scene.pod.id, "eth0", "a test"]), "Busy");
    assert_eq!(scene.stepped(&["undo-corrupt", &scene.pod.id, "eth0", ""]), "Busy");
    assert!(fixture.has_journal(&scene.pod));
    crate::fixture::terminate(&deleting);
    deleting.wait();
    fixture.overrule("stub", None);
    fixture.del(&scene.config, &scene.pod);
    fixture.assert_clean();
}

#[test]
fn what_cannot_be_undone_is_kept_and_marked_and_may_be_forgotten() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    fail_on(&fixture, "stub", &["DEL"]);
    let refused = scene.step(&["undo", &scene.pod.id, "eth0", "always"]);
    assert!(!refused.success(), "{refused}");
    let listed = scene.listed();
    assert_eq!((listed.len(), &listed[0]["failed"]), (1, &json!(true)));
    let forgotten = scene.step(&["forget", &scene.pod.id, "eth0", "asked by hand\nas its store is gone"]);
    assert_eq!(forgotten.expect_success("forget"), "Done\n");
    let said = String::from_utf8_lossy(&forgotten.stderr).into_owned();
    for word in [&format!("container={}", scene.pod.id), "pod=rook-ceph/osd", "asked by hand\\nas its store is gone"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(scene.listed(), Vec::<Value>::new());
    assert_eq!(fixture.node.entries("/var/lib/rooknet/failed"), Vec::<String>::new());
    assert_eq!(scene.stepped(&["forget", &scene.pod.id, "eth0", "again"]), "Missing");
}

#[test]
fn the_list_has_what_people_want_to_know() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    let mut listed = scene.listed();
    let age = listed[0].as_object_mut().unwrap().remove("ageSeconds").unwrap();
    assert!(age.as_u64().is_some_and(|age| age < 600), "{age}");
    let netns = listed[0].as_object_mut().unwrap().remove("netns").unwrap();
    assert!(netns.as_str().unwrap().ends_with(&scene.pod.id), "{netns}");
    assert_eq!(
        listed,
        [json!({
            "container": scene.pod.id, "interface": "eth0", "failed": false, "pod": "rook-ceph/osd",
            "networkName": "k8s-pods", "complete": true, "thisBoot": true,
            "attachments": [
                {"network": "rook-ceph/public", "interface": "net1", "addresses": ["192.0.2.7/24"]},
                {"network": "rook-ceph/cluster", "interface": "net2", "addresses": []},
            ],
        })]
    );
}

#[test]
fn an_unreadable_journal_is_undone_only_when_that_is_asked_for() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "192.168.20.0/24");
    fixture.define_macvlan("cluster", "192.168.21.0/24");
    let scene = Scene::attached(&fixture);
    let netns = fixture.journal(&scene.pod)["netns"].as_str().unwrap().to_owned();
    let whole = ["undo-corrupt", scene.pod.id.as_str(), "eth0", netns.as_str()];
    assert_eq!(scene.stepped(&whole), "NotDue", "it can be read");
    fixture.node.write(&journal_path(&scene.pod), "garbage");
    assert!(scene.listed()[0]["unreadable"].as_str().unwrap().contains("is no journal"));
    assert!(scene.undo("always").starts_with("Corrupt("));
    assert!(scene.is_attached());
    assert_eq!(scene.stepped(&whole), "Done");
    assert_eq!(scene.pod.netns.interfaces(), Vec::<String>::new());
    assert_eq!(fixture.leases(), Vec::<String>::new());
    assert_eq!(fixture.node.entries("/var/lib/rooknet/corrupt").len(), 1);
    assert_eq!(scene.listed(), Vec::<Value>::new());
    assert_eq!(scene.stepped(&whole), "Missing");
}

#[test]
fn an_undoing_that_is_killed_anywhere_is_finished_by_the_next() {
    let fixture = with_networks();
    let scene = Scene::attached(&fixture);
    let words = ["undo", scene.pod.id.as_str(), "eth0", "always"];
    let points = fixture.points_of(&words, &scene.entry());
    assert!(points.len() >= 15, "{points:?}");
    for point in points {
        fixture.add(&scene.config, &scene.pod);
        fixture.kill_step(&words, &scene.entry(), &point);
        // A delegate that outlives its rooknet holds the lock to its end.
        crate::support::wait_until("the lock", PATIENCE, || fixture.node.held_locks().is_empty());
        let outcome = scene.undo("always");
        assert!(["Done", "Missing"].contains(&outcome.as_str()), "{point}: {outcome}");
        fixture.del(&scene.config, &scene.pod);
        fixture.assert_clean();
    }
}
