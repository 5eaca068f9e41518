//! GC: what the runtime no longer knows goes, and nothing that is alive.

mod concurrent;
mod without_journal;

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, STORE, assert_error, journal_path, valid};

/// Where the stub plugin keeps the fake addresses of a network.
fn store(name: &str) -> String {
    format!("{STORE}/{name}")
}

/// Defines `rook-ceph/name`.
fn define(fixture: &Fixture, names: &[&str]) {
    for name in names {
        fixture.define_stub(name, &json!({}));
    }
}

/// What holds a fake address of the network.
fn taken(fixture: &Fixture, name: &str) -> Vec<String> {
    fixture.node.entries(&store(name))
}

fn holds(pod: &Pod<'_>, ifname: &str) -> String {
    format!("{}@{ifname}", pod.id)
}

/// The lists that plugins' own GC got, by the configuration's name and the plugin's type, each sorted.
fn lists_given(fixture: &Fixture) -> Vec<(String, String, Vec<String>)> {
    let given = |record: &Value| {
        let stdin = &record["stdin"];
        let list = stdin["cni.dev/valid-attachments"].as_array().expect("a list");
        let mut list: Vec<String> = list
            .iter()
            .map(|one| format!("{}@{}", one["containerID"].as_str().unwrap(), one["ifname"].as_str().unwrap()))
            .collect();
        list.sort();
        (stdin["name"].as_str().unwrap().to_owned(), stdin["type"].as_str().unwrap().to_owned(), list)
    };
    fixture.records_of("GC", "").iter().map(given).collect()
}

fn given_to(name: &str, list: &[String]) -> (String, String, Vec<String>) {
    let mut list = list.to_vec();
    list.sort();
    (name.to_owned(), "stub".to_owned(), list)
}

#[test]
fn a_list_ends_the_attachments_that_are_not_in_it() {
    let fixture = Fixture::start();
    define(&fixture, &["public", "cluster"]);
    let config = fixture.chained();
    let (alive, dead) = (fixture.pod("osd", Some("public, cluster")), fixture.pod("osd", Some("public, cluster")));
    fixture.add(&config, &alive);
    fixture.add(&config, &dead);
    fixture.forget_records();

    fixture.gc(&config, &valid(&[&alive])).expect_success("GC");
    assert_eq!(fixture.recorded_calls()[..2], ["DEL net2", "DEL net1"]);
    let kept = |ifname| [holds(&alive, ifname)];
    let given = [given_to("cluster", &kept("net2")), given_to("public", &kept("net1"))];
    assert_eq!(lists_given(&fixture), given);
    assert_eq!((taken(&fixture, "public"), taken(&fixture, "cluster")), (kept("net1").into(), kept("net2").into()));
    assert_eq!(fixture.node.journals(), [format!("{}@eth0.json", alive.id)]);
    assert_eq!(alive.netns.interfaces(), ["net1", "net2"]);
    fixture.check(&config, &alive, &config["prevResult"]).expect_success("CHECK of the one that is alive");
    fixture.del(&config, &alive);
    assert_eq!(dead.netns.interfaces(), Vec::<String>::new(), "its namespace is still there");
    fixture.assert_clean();
}

#[test]
fn an_empty_list_ends_every_attachment_of_the_name() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let pods = [fixture.pod("osd", Some("public")), fixture.pod("mon", Some("public"))];
    for pod in &pods {
        fixture.add(&config, pod);
    }
    fixture.gc(&config, &json!([])).expect_success("GC");
    assert_eq!(lists_given(&fixture), [], "no journal names a network any more");
    assert_eq!(taken(&fixture, "public"), Vec::<String>::new());
    assert_eq!(fixture.node.journals(), Vec::<String>::new());
    fixture.gc(&config, &json!([])).expect_success("GC again");
    for pod in pods {
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
    }
    fixture.assert_clean();
}

#[test]
fn without_a_list_only_attachments_whose_namespace_is_gone_end() {
    for with_null in [false, true] {
        let fixture = Fixture::start();
        define(&fixture, &["public"]);
        let config = fixture.chained();
        let (alive, dead) = (fixture.pod("osd", Some("public")), fixture.pod("mon", Some("public")));
        fixture.add(&config, &alive);
        fixture.add(&config, &dead);
        fixture.forget_records();
        dead.netns.clone().delete();
        let gc = if with_null { fixture.gc(&config, &Value::Null) } else { fixture.node_call("GC", &config) };
        gc.expect_success("GC");
        assert_eq!(lists_given(&fixture), [given_to("public", &[holds(&alive, "net1")])]);
        assert_eq!(fixture.given("DEL", "net1")["type"], "stub");
        assert_eq!(fixture.records_of("DEL", "net1")[0]["env"]["CNI_NETNS"], "", "a path that leads nowhere");
        assert_eq!(taken(&fixture, "public"), [holds(&alive, "net1")]);
        fixture.del(&config, &alive);
        fixture.assert_clean();
    }
}

#[test]
fn a_namespace_of_another_boot_or_under_a_reused_path_is_gone() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let (rebooted, reused) = (fixture.pod("osd", Some("public")), fixture.pod("mon", Some("public")));
    fixture.add(&config, &rebooted);
    fixture.add(&config, &reused);
    fixture.change_journal(&rebooted, &json!({"bootId": "11111111-2222-4333-8444-555555555555"}));
    reused.netns.clone().delete();
    // Somebody else's namespace now, with an interface of the same name.
    let stranger = fixture.node.add_netns(&reused.id);
    stranger.ok(&["ip", "link", "add", "net1", "type", "bridge"]);
    fixture.gc(&config, &Value::Null).expect_success("GC");
    assert_eq!(taken(&fixture, "public"), Vec::<String>::new());
    assert_eq!(fixture.node.journals(), Vec::<String>::new());
    assert_eq!(stranger.interfaces(), ["net1"], "a stranger's interface");
    assert_eq!(rebooted.netns.interfaces(), ["net1"], "cookies of another boot say nothing about this namespace");
    stranger.delete();
    rebooted.netns.delete();
    fixture.assert_clean();
}

#[test]
fn an_attachment_is_alive_only_with_both_container_and_interface_in_the_list() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let pods = [fixture.pod("osd", Some("public")), fixture.pod("osd", Some("public"))];
    for pod in &pods {
        fixture.add(&config, pod);
    }
    let list = json!([
        {"containerID": pods[0].id, "ifname": "eth1"}, {"containerID": "other", "ifname": "eth0"},
        {"containerID": pods[1].id, "ifname": "eth0"},
    ]);
    fixture.gc(&config, &list).expect_success("GC");
    assert_eq!(taken(&fixture, "public"), [holds(&pods[1], "net1")]);
    fixture.del(&config, &pods[1]);
    fixture.assert_clean();
}

#[test]
fn a_list_that_is_none_is_refused_and_ends_nothing() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public"));
    fixture.add(&config, &pod);
    fixture.forget_records();
    for list in [json!("all"), json!({}), json!([7]), json!([{"containerID": "a"}]), json!([null])] {
        assert_error(&fixture.gc(&config, &list), 7, &["cni.dev/valid-attachments"]);
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn two_conflists_of_different_names_do_not_end_each_others_pods() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let (first, mut second) = (fixture.chained(), fixture.chained());
    second["name"] = json!("storage-pods");
    let (of_first, of_second) = (fixture.pod("osd", Some("public")), fixture.pod("osd", Some("public")));
    fixture.add(&first, &of_first);
    fixture.add(&second, &of_second);
    let both = [holds(&of_first, "net1"), holds(&of_second, "net1")];

    // Each list covers the pods of its own name only.
    fixture.gc(&first, &valid(&[&of_first])).expect_success("GC of the first");
    fixture.gc(&second, &valid(&[&of_second])).expect_success("GC of the second");
    assert_eq!(lists_given(&fixture), [given_to("public", &both), given_to("public", &both)]);
    fixture.forget_records();
    fixture.gc(&first, &json!([])).expect_success("GC of the first");
    assert_eq!(lists_given(&fixture), [given_to("public", &both[1..])]);
    assert_eq!(taken(&fixture, "public"), both[1..]);
    // Without a list as well: a dead namespace of another name is not ours to judge.
    of_second.netns.clone().delete();
    fixture.gc(&first, &Value::Null).expect_success("GC of the first");
    assert_eq!(taken(&fixture, "public"), both[1..]);
    fixture.gc(&second, &Value::Null).expect_success("GC of the second");
    assert_eq!(taken(&fixture, "public"), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn networks_of_two_namespaces_with_one_configuration_name_share_the_list() {
    let fixture = Fixture::start();
    fixture.define("tenant-a", "fast", &fixture.stub_config("storage", &json!({})));
    let mut other = fixture.stub_config("storage", &json!({}));
    other["type"] = json!("stub2");
    fixture.define("tenant-b", "slow", &other);
    let config = fixture.chained();
    let pods = ["tenant-a/fast", "tenant-a/fast", "tenant-b/slow"].map(|selection| {
        let pod = fixture.pod("osd", Some(selection));
        fixture.add(&config, &pod);
        pod
    });
    let alive = [holds(&pods[1], "net1"), holds(&pods[2], "net1")];
    fixture.gc(&config, &valid(&[&pods[1], &pods[2]])).expect_success("GC");
    let given: Vec<_> =
        lists_given(&fixture).into_iter().map(|(name, plugin, list)| (name + "/" + &plugin, list)).collect();
    let expected = [("storage/stub".to_owned(), alive.to_vec()), ("storage/stub2".to_owned(), alive.to_vec())];
    assert_eq!(given, expected, "each plugin knows the other's attachments");
    assert_eq!(taken(&fixture, "storage"), alive);
    // The last of one namespace's goes: the other's stays.
    fixture.gc(&config, &valid(&[&pods[2]])).expect_success("GC");
    assert_eq!(taken(&fixture, "storage"), alive[1..]);
    fixture.del(&config, &pods[2]);
    fixture.assert_clean();
}

#[test]
fn gc_goes_on_past_failures_and_reports_all_of_them() {
    let fixture = Fixture::start();
    define(&fixture, &["public", "cluster"]);
    let mut broken = fixture.stub_config("broken", &json!({}));
    broken["type"] = json!("stub2");
    fixture.define("rook-ceph", "broken", &broken);
    let config = fixture.chained();
    let failing = [fixture.pod("osd", Some("broken")), fixture.pod("osd", Some("broken, public"))];
    let fine = fixture.pod("osd", Some("cluster"));
    let alive = fixture.pod("osd", Some("cluster"));
    for pod in failing.iter().chain([&fine, &alive]) {
        fixture.add(&config, pod);
    }
    fixture.overrule("stub2", Some(&json!({"failOn": ["DEL", "GC"], "error": {"code": 7, "msg": "does not work"}})));
    let gc = fixture.gc(&config, &valid(&[&alive]));
    let [first, second] = failing.each_ref().map(|pod| format!("container {}", pod.id));
    let parts = [first.as_str(), &second, "rook-ceph/broken", "GC of network broken", "does not work"];
    assert_error(&gc, 7, &parts);
    assert!(!fixture.has_journal(&fine), "past the failures");
    assert_eq!(taken(&fixture, "public"), Vec::<String>::new(), "past the failure in the same journal");
    assert!(failing.iter().all(|pod| fixture.has_journal(pod)), "what failed is tried again");
    assert_eq!(taken(&fixture, "cluster"), [holds(&alive, "net1")]);

    fixture.overrule("stub2", None);
    fixture.gc(&config, &valid(&[&alive])).expect_success("GC again");
    fixture.del(&config, &alive);
    fixture.assert_clean();
}

#[test]
fn a_corrupt_journal_is_left_and_no_plugin_collects() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    let config = fixture.chained();
    let (corrupt, dead) = (fixture.pod("osd", Some("public")), fixture.pod("mon", Some("public")));
    fixture.add(&config, &corrupt);
    fixture.add(&config, &dead);
    fixture.node.write(&journal_path(&corrupt), "{\"format\":1");
    let parts = [corrupt.id.as_str(), "cannot be read", "GC was not called"];
    assert_error(&fixture.gc(&config, &json!([])), 5, &parts);
    assert_eq!(lists_given(&fixture), [], "it would collect what the corrupt journal holds");
    assert_eq!(taken(&fixture, "public"), [holds(&corrupt, "net1")], "the dead one's is released by its own journal");
    assert!(fixture.has_journal(&corrupt));
    assert_eq!(corrupt.netns.interfaces(), ["net1"]);
}

#[test]
fn networks_with_disable_gc_and_plugins_below_1_1_0_are_not_called() {
    let fixture = Fixture::start();
    define(&fixture, &["public"]);
    for (name, keys) in [
        ("disabled", json!({"disableGC": true})),
        ("disabled-as-text", json!({"disableGC": "true"})),
        ("old", json!({"cniVersion": "1.0.0"})),
        ("older", json!({"cniVersion": "0.3.1"})),
    ] {
        let mut config = fixture.stub_config(name, &json!({}));
        crate::fixture::merge(&mut config, &keys);
        fixture.define("rook-ceph", name, &config);
    }
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public, disabled, disabled-as-text, old, older"));
    fixture.add(&config, &pod);
    fixture.gc(&config, &valid(&[&pod])).expect_success("GC");
    assert_eq!(lists_given(&fixture), [given_to("public", &[holds(&pod, "net1")])]);
    fixture.gc(&config, &json!([])).expect_success("GC");
    for name in ["disabled", "disabled-as-text", "old", "older"] {
        assert_eq!(taken(&fixture, name), Vec::<String>::new(), "{name}: its journal is undone all the same");
    }
    fixture.assert_clean();
}

#[test]
fn a_configuration_below_1_1_0_has_no_gc() {
    let fixture = Fixture::start();
    let mut config = fixture.chained();
    config["cniVersion"] = json!("1.0.0");
    assert_error(&fixture.gc(&config, &json!([])), 1, &["1.1.0", "1.0.0"]);
}
