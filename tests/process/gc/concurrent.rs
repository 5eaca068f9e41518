//! GC beside other calls: it waits for no container, and an ADD waits for it.

use serde_json::json;

use super::{define, given_to, holds, lists_given, taken};
use crate::fixture::{Fixture, PATIENCE, assert_error, terminate, valid};
use crate::support::{PluginCall, wait_until};

#[test]
fn a_container_whose_lock_is_held_is_passed_over() {
    let fixture = Fixture::start();
    define(&fixture, &["public", "cluster"]);
    let config = fixture.chained();
    let (busy, dead) = (fixture.pod("osd", Some("public")), fixture.pod("mon", Some("cluster")));
    fixture.add(&config, &busy);
    fixture.add(&config, &dead);
    fixture.forget_records();
    fixture.overrule("stub", Some(&json!({"hangOn": ["DEL"]})));
    let del = fixture.call("DEL", &config, &busy).start(&fixture.node);
    fixture.wait_for_record("DEL net1");
    fixture.overrule("stub", None);

    fixture.gc(&config, &json!([])).expect_success("GC beside a DEL");
    assert_eq!(fixture.recorded_calls(), ["DEL net1", "DEL net1", "GC "]);
    assert!(fixture.has_journal(&busy) && !fixture.has_journal(&dead));
    assert_eq!(lists_given(&fixture), [given_to("public", &[holds(&busy, "net1")])], "still an attachment");
    terminate(&del);
    assert!(!del.wait().success());
    fixture.gc(&config, &json!([])).expect_success("GC after the DEL");
    fixture.assert_clean();
}

#[test]
fn an_add_waits_for_a_running_gc_before_it_journals() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let (first, late) = (fixture.pod("osd", Some("public")), fixture.pod("osd", Some("public")));
    fixture.add(&config, &first);
    fixture.overrule("stub", Some(&json!({"hangOn": ["GC"]})));
    let mut listed = config.clone();
    listed["cni.dev/valid-attachments"] = valid(&[&first]);
    let gc = PluginCall::new(&fixture.program(), "GC", &listed.to_string()).start(&fixture.node);
    fixture.wait_for_record("GC ");
    let add = fixture.call("ADD", &config, &late).start(&fixture.node);
    fixture.wait_until_open(&add, "/run/rooknet/collect.lock");
    // The list of the GC does not have this attachment: a plugin that has not finished would collect it.
    assert!(!fixture.has_journal(&late));
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "GC "]);
    terminate(&gc);
    assert_error(&gc.wait(), 103, &["signal"]);
    add.wait().expect_success("ADD after the GC");
    assert_eq!(taken(&fixture, "public"), [holds(&first, "net1"), holds(&late, "net1")]);
    fixture.overrule("stub", None);
    fixture.del(&config, &first);
    fixture.del(&config, &late);
    fixture.assert_clean();
}

#[test]
fn an_add_that_runs_counts_as_attached() {
    let fixture = Fixture::start();
    fixture.define("rook-ceph", "slow", &fixture.stub_config("slow", &json!({"hangOn": ["ADD"]})));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("slow"));
    let add = fixture.call("ADD", &config, &pod).start(&fixture.node);
    wait_until("the fake address", PATIENCE, || !taken(&fixture, "slow").is_empty());
    fixture.wait_for_record("ADD net1");
    // The runtime's list was made before this ADD began.
    fixture.gc(&config, &json!([])).expect_success("GC");
    assert_eq!(lists_given(&fixture), [given_to("slow", &[holds(&pod, "net1")])]);
    assert_eq!(taken(&fixture, "slow"), [holds(&pod, "net1")]);
    terminate(&add);
    assert!(!add.wait().success());
    fixture.assert_clean();
}
