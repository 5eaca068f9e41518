//! Cases 12 to 15: attachments that meet what was there before, what has changed since, a kill, and each other.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{Fixture, RECORD, Refusal};
use crate::support::wait_until;

#[test]
fn case_12_an_interface_that_exists_is_an_error_and_stays() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    for (config, interface) in [(fixture.chained(), "net1"), (fixture.delegating(&json!({})), "eth0")] {
        let pod = fixture.pod("osd", Some("public"));
        pod.netns.ok(&["ip", "link", "add", interface, "type", "bridge"]);
        let before = pod.netns.link(interface).index;
        let refusal = Refusal::of(interface, &fixture.run("ADD", &config, &pod));
        refusal.expect(interface, 101, &[interface, "exists in the pod already", "choose another name"]);
        // The runtime's DEL after a failed ADD must leave it, too.
        if interface == "net1" {
            fixture.run("DEL", &config, &pod).expect_success("DEL");
        }
        assert_eq!(pod.netns.link(interface).index, before);
        assert_eq!(fixture.records(), Vec::<serde_json::Value>::new());
        pod.netns.clone().delete();
        fixture.assert_clean();
    }
}

#[test]
fn case_12_an_attachment_that_exists_is_an_error_and_stays() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    let (before, journals) = (pod.netns.link("net1").index, fixture.node.journals());
    let again = fixture.run("ADD", &fixture.chained(), &pod);
    let words = [pod.id.as_str(), "already", "a DEL must come before another ADD"];
    Refusal::of("again", &again).expect("again", 101, &words);
    assert_eq!((pod.netns.link("net1").index, fixture.node.journals()), (before, journals));
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_13_del_uses_the_configuration_of_the_add() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"mark": "of the ADD"}));
    let pod = fixture.pod("osd", Some("public"));
    let config = fixture.delegating(&json!({"mark": "default of the ADD"}));
    fixture.run("ADD", &config, &pod).expect_success("ADD");

    // The definition is another one's, the default network has another type, the pod has another selection.
    fixture.define("rook-ceph", "public", &json!({"cniVersion": "1.0.0", "name": "other", "type": "nowhere"}));
    let mut changed = fixture.delegating(&json!({"mark": "too late"}));
    changed["delegates"][0]["type"] = json!("nowhere");
    let del = fixture.call("DEL", &changed, &pod).env("CNI_ARGS", "");
    del.run(&fixture.node).expect_success("DEL");
    let marks: Vec<_> = fixture.records().iter().map(|record| record["stdin"]["stub"]["mark"].clone()).collect();
    assert_eq!(marks, ["default of the ADD", "of the ADD", "of the ADD", "default of the ADD"]);
    fixture.assert_clean();
}

#[test]
fn case_13_del_needs_neither_the_definition_nor_a_valid_configuration() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.node.ok(&["rm", "-r", "/etc/cni/rooknet"]);
    let mut broken = fixture.chained();
    for (key, value) in [("deadline", json!("never")), ("allowedPlugins", json!(7)), ("logLevel", json!("loud"))] {
        broken[key] = value;
    }
    fixture.run("DEL", &broken, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_14_a_killed_add_is_undone_by_the_del() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    // A few of the points; all of them are in the kill matrix.
    for fault in [
        "journal-plan.written",
        "journal-plan.synced",
        "delegate.noted",
        "delegate.ended@2",
        "add.attached@2",
        "journal-results.renamed",
    ] {
        let pod = fixture.pod("osd", Some("public,cluster"));
        let killed = fixture.call("ADD", &fixture.chained(), &pod).env("ROOKNET_FAULT", format!("kill:{fault}"));
        let outcome = killed.run(&fixture.node);
        assert!(outcome.status.code().is_none() && outcome.stdout.is_empty(), "{fault}: {outcome}");
        fixture.run("DEL", &fixture.chained(), &pod).expect_success(fault);
        fixture.assert_clean();
    }
}

#[test]
fn case_14_an_add_killed_with_its_delegate_at_work_is_undone_by_the_del() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"hangOn": ["ADD"]}));
    let pod = fixture.pod("osd", Some("public"));
    let mut add = fixture.call("ADD", &fixture.chained(), &pod).start(&fixture.node);
    wait_until("the delegate's record", Duration::from_secs(10), || fixture.recorded_calls() == ["ADD net1"]);
    add.kill();
    // The delegate has outlived it, hangs, and holds the lock: the DEL ends it.
    let orphans = fixture.node.processes_with(&pod.id);
    assert!(orphans.iter().any(|process| process.pid != add.pid()), "{orphans:?}");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "DEL net1"]);
    assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn case_15_two_adds_of_one_container_at_once_are_serialised() {
    let fixture = Fixture::start();
    fixture.node.ok(&["mkfifo", RECORD]);
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    let call = fixture.call("ADD", &fixture.chained(), &pod);
    let first = call.start(&fixture.node);
    // The first one's delegate is at work until somebody reads its record; the second one comes then.
    wait_until("the delegate's link", Duration::from_secs(10), || pod.netns.interfaces() == ["net1"]);
    let mut second = call.start(&fixture.node);
    wait_until("the second rooknet", Duration::from_secs(10), || {
        fixture.node.processes_with(&pod.id).iter().any(|process| process.pid == second.pid())
    });
    assert!(!second.has_ended());
    let record = fixture.node.ok(&["timeout", "60", "head", "-n", "1", RECORD]);
    assert!(record.contains("\"ADD\""));
    first.wait().expect_success("the first ADD");
    Refusal::of("second", &second.wait()).expect("second", 101, &["already"]);
    assert_eq!(pod.netns.interfaces(), ["net1"]);
    fixture.node.ok(&["rm", RECORD]);
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_15_many_adds_and_dels_of_one_container_at_once_leave_one_exact_state() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    let add = fixture.call("ADD", &fixture.chained(), &pod);
    let adds: Vec<_> = (0..6).map(|_| add.start(&fixture.node)).collect();
    let ended: Vec<bool> = adds.into_iter().map(|add| add.wait().success()).collect();
    assert_eq!(ended.iter().filter(|success| **success).count(), 1, "{ended:?}");
    assert_eq!((pod.netns.interfaces().len(), fixture.taken().len(), fixture.node.journals().len()), (1, 1, 1));
    let dels: Vec<_> = (0..6).map(|_| fixture.call("DEL", &fixture.chained(), &pod).start(&fixture.node)).collect();
    for del in dels {
        del.wait().expect_success("DEL");
    }
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "DEL net1"]);
    fixture.assert_clean();
}
