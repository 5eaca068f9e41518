//! Native and executed plugins together: in one list, and one after another on one attachment.

use serde_json::json;

use super::{ALL, Cost, INTERFACES, executed, log, logging};
use crate::faults::assert_killed;
use crate::fixture::{Fixture, Pod, Refusal};

/// A list of a native macvlan and the reference's tuning.
fn define_tuned(fixture: &Fixture) {
    let mut macvlan = fixture.macvlan_config("public", "10.1.0.0/24");
    for key in ["cniVersion", "name"] {
        macvlan.as_object_mut().unwrap().remove(key);
    }
    let tuning = json!({"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}, "mtu": 1400});
    let list = json!({"cniVersion": "1.0.0", "name": "public", "plugins": [macvlan, tuning]});
    fixture.define("rook-ceph", "public", &list);
}

fn arp_filter(pod: &Pod<'_>) -> String {
    pod.netns.ok(&["cat", "/proc/sys/net/ipv4/conf/public/arp_filter"]).trim().to_owned()
}

#[test]
fn a_native_macvlan_and_an_executed_tuning_are_one_network() {
    let fixture = Fixture::start();
    define_tuned(&fixture);
    let config = logging(fixture.chained(), "debug");
    let pod = fixture.pod("osd", Some("public@public"));
    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD");
    assert_eq!(Cost::of(&added).programs, 1, "tuning");
    assert_eq!((arp_filter(&pod).as_str(), pod.netns.link("public").mtu), ("1", 1400));
    let checked = fixture.check(&config, &pod, &config["prevResult"]);
    checked.expect_success("CHECK");
    assert_eq!(Cost::of(&checked).programs, 1);
    pod.netns.ok(&["ip", "link", "set", "public", "mtu", "1300"]);
    let refusal = Refusal::of("CHECK", &fixture.check(&config, &pod, &config["prevResult"]));
    assert!(refusal.message.contains("tuning"), "{refusal:?}");
    let deleted = fixture.run("DEL", &config, &pod);
    deleted.expect_success("DEL");
    assert_eq!(Cost::of(&deleted).programs, 1);
    fixture.assert_clean();
}

#[test]
fn a_failing_plugin_behind_a_native_one_takes_its_link_and_address_along() {
    let fixture = Fixture::start();
    define_tuned(&fixture);
    fixture.node.install("tuning", std::path::Path::new(env!("CARGO_BIN_EXE_rooknet-stub-plugin")));
    fixture.overrule("tuning", Some(&json!({"failOn": ["ADD"]})));
    let pod = fixture.pod("osd", Some("public@public"));
    let refusal = Refusal::of("ADD", &fixture.run("ADD", &fixture.chained(), &pod));
    assert!(refusal.message.contains("tuning failed ADD"), "{refusal:?}");
    fixture.assert_clean();

    // Its DEL fails: the link is still its to look at, the journal stays, and the next DEL ends it.
    fixture.overrule("tuning", Some(&json!({"failOn": ["DEL"]})));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    let refusal = Refusal::of("DEL", &fixture.run("DEL", &fixture.chained(), &pod));
    assert!(refusal.message.contains("tuning failed DEL"), "{refusal:?}");
    assert_eq!(
        (pod.netns.interfaces(), fixture.leases()),
        (vec!["public".to_owned()], vec!["public public".to_owned()])
    );
    assert!(fixture.has_journal(&pod));
    fixture.overrule("tuning", None);
    fixture.del(&fixture.chained(), &pod);
    fixture.assert_clean();
}

#[test]
fn what_one_attached_the_other_checks_and_deletes() {
    let fixture = Fixture::start();
    fixture.define_native_networks();
    let native = logging(fixture.chained(), "debug");
    let programs = executed(native.clone());
    for (add, del, by_add, by_del) in [(&native, &programs, 0, 3), (&programs, &native, 3, 0)] {
        let pod = fixture.pod("osd", Some(ALL));
        let added = fixture.run("ADD", add, &pod);
        added.expect_success("ADD");
        assert_eq!((Cost::of(&added).programs, pod.netns.interfaces()), (by_add, INTERFACES.map(str::to_owned).into()));
        for config in [add, del] {
            fixture.check(config, &pod, &config["prevResult"]).expect_success("CHECK");
        }
        let deleted = fixture.run("DEL", del, &pod);
        deleted.expect_success("DEL");
        assert_eq!(Cost::of(&deleted).programs, by_del, "{}", log(&deleted));
        fixture.assert_clean();
    }
}

#[test]
fn what_a_killed_add_of_one_left_the_other_deletes() {
    let fixture = Fixture::start();
    fixture.define_native_networks();
    let native = fixture.chained();
    let programs = executed(native.clone());
    let of_native = ["native.created@2", "host-local-address.linked@2", "native.addressed@3", "add.attached@3"];
    let of_programs = ["delegate.spawned@2", "delegate.ended@3", "add.attached@3"];
    for (add, del, points) in [(&native, &programs, &of_native[..]), (&programs, &native, &of_programs[..])] {
        for point in points.iter().map(|point| format!("kill:{point}")) {
            let pod = fixture.pod("osd", Some(ALL));
            let killed = fixture.call("ADD", add, &pod).env("ROOKNET_FAULT", &point).run(&fixture.node);
            assert_killed(&killed, &point);
            fixture.run("DEL", del, &pod).expect_success(&point);
            fixture.assert_clean();
        }
    }
}

#[test]
fn a_node_without_any_program_attaches_checks_and_deletes() {
    let fixture = Fixture::without_programs();
    let mut config = fixture.chained();
    config["statusStrict"] = json!(true);
    fixture.node_call("STATUS", &config).expect_success("STATUS");
    let pod = fixture.attached("osd");
    fixture.check(&config, &pod, &config["prevResult"]).expect_success("CHECK");
    fixture.collect(&config, Some(&[&pod])).expect_success("GC");
    assert_eq!(pod.netns.interfaces(), INTERFACES);
    fixture.del(&config, &pod);
    fixture.assert_clean();
    // The very same needs programs where they are asked for.
    let pod = fixture.pod("osd", Some(ALL));
    fixture.refused_add("executed", &executed(config), &pod, 100, &["macvlan", "not installed"]);
}
