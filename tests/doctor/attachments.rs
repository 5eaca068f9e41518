//! `rooknetctl attachments`: what it lists, undoes, forgets and refuses.

use serde_json::Value;

use crate::fixture::{Fixture, journal_path};
use crate::ward::{LOG, Ward};

fn log(ward: &Ward<'_>) -> String {
    String::from_utf8_lossy(&ward.fixture.node.read(LOG).unwrap_or_default()).into_owned()
}

#[test]
fn a_living_pod_is_undone_only_by_force_and_the_log_says_who_and_why() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public");
    let refused = ward.ctl(&["attachments", "undo", &pod.id]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{refused}");
    assert!(said.contains("rook-ceph/osd") && said.contains("--force"), "{said}");
    assert_eq!(pod.netns.interfaces(), ["net1"]);
    ward.ctl(&["attachments", "undo", &pod.id, "--force", "--reason", "a test\u{7}"]).expect_success("undo");
    assert_eq!(pod.netns.interfaces(), Vec::<String>::new());
    fixture.assert_clean();
    let log = log(&ward);
    assert!(log.contains("by uid 0") && log.contains("a test\\u{7}") && log.contains(&pod.id), "{log}");
}

#[test]
fn an_unreadable_journal_is_undone_by_force_where_nobody_knows_whether_its_container_lives() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public");
    fixture.node.write(&journal_path(&pod), "{");
    let id = pod.id.clone();
    pod.netns.delete();
    assert_eq!(ward.ctl(&["attachments", "undo", &id]).status.code(), Some(4));
    ward.ctl(&["attachments", "undo", &id, "--force"]).expect_success("undo");
    fixture.assert_clean();
    assert_eq!(fixture.node.entries("/var/lib/rooknet/corrupt").len(), 1);
}

#[test]
fn a_forgotten_attachment_leaves_all_but_its_journal_and_needs_a_reason() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public");
    for reason in [&[][..], &["--reason", ""]] {
        let outcome = ward.ctl(&[&["attachments", "forget", &pod.id], reason].concat());
        assert_eq!(outcome.status.code(), Some(2), "{outcome}");
    }
    assert!(fixture.has_journal(&pod));
    ward.ctl(&["attachments", "forget", &pod.id, "--reason", "its disk is gone"]).expect_success("forget");
    assert!(!fixture.has_journal(&pod));
    assert_eq!((pod.netns.interfaces(), fixture.node.host_local_addresses().len()), (vec!["net1".to_owned()], 1));
    let log = log(&ward);
    assert!(log.contains("by uid 0: its disk is gone") && log.contains(&pod.id), "{log}");
}

#[test]
fn an_id_may_be_shortened_as_long_as_it_means_one_attachment() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let [one, other] = [(); 2].map(|()| ward.attached("public"));
    let common = &one.id[..one.id.len() - 5];
    let ambiguous = ward.ctl(&["attachments", "undo", common]);
    let said = String::from_utf8_lossy(&ambiguous.stderr).into_owned();
    assert_eq!(ambiguous.status.code(), Some(1), "{ambiguous}");
    assert!(said.contains("2 attachments") && said.contains(&one.id) && said.contains(&other.id), "{said}");
    for nobody in ["zzzzzz", "o", &format!("{}x", one.id)] {
        let outcome = ward.ctl(&["attachments", "undo", nobody, "--force"]);
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
    }
    ward.ctl(&["attachments", "undo", &one.id, "--force"]).expect_success("undo");
    ward.ctl(&["attachments", "undo", common, "--force"]).expect_success("undo by the beginning");
    fixture.assert_clean();
}

#[test]
fn a_container_with_two_interfaces_needs_the_name_of_one() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pod = ward.attached("public");
    let second = fixture.call("ADD", &ward.config(), &pod).env("CNI_IFNAME", "eth1");
    let mut config = ward.config();
    config["runtimeConfig"] = serde_json::json!({
        "io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": "public@other"}
    });
    second.input(config.to_string()).run(&fixture.node).expect_success("ADD eth1");
    let undo = ["attachments", "undo", &pod.id, "--force"];
    assert_eq!(ward.ctl(&undo).status.code(), Some(1));
    ward.ctl(&[&undo[..], &["--ifname", "eth1"]].concat()).expect_success("undo eth1");
    assert_eq!(pod.netns.interfaces(), ["net1"]);
    ward.ctl(&undo).expect_success("undo eth0");
    fixture.assert_clean();
}

#[test]
fn the_list_has_pods_networks_addresses_and_states() {
    let fixture = Fixture::start();
    let ward = Ward::new(&fixture);
    let pods = [(); 2].map(|()| ward.attached("public"));
    fixture.node.write(&journal_path(&pods[1]), "{");
    let text = ward.ctl(&["attachments"]).expect_success("attachments");
    let line = text.lines().find(|line| line.contains("10.1.0.2/24")).expect("a line of the first");
    for part in ["rook-ceph/osd", "rook-ceph/public", "net1", "attached"] {
        assert!(line.contains(part), "{part} is not in {text}");
    }
    assert!(text.contains("unreadable"), "{text}");
    let listed: Value = ward.ctl(&["attachments", "--output", "json"]).json();
    assert_eq!(listed[0]["pod"], "rook-ceph/osd");
    assert!(listed[1]["unreadable"].as_str().is_some_and(|reason| reason.contains(&pods[1].id)), "{listed:#}");
}
