//! What a DEL does for containers whose own DEL has failed and will not come again.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod};

const BESIDE: &str = "/opt/cni/bin/stub.stub.json";
const JOURNALS: &str = "/var/lib/rooknet/attachments";

/// A pod whose DEL has failed, and whose namespace is gone.
fn failed<'a>(fixture: &'a Fixture, name: &str) -> Pod<'a> {
    let pod = fixture.pod(name, Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.node.write(BESIDE, json!({"failOn": ["DEL"]}).to_string());
    fixture.run("DEL", &fixture.chained(), &pod).error();
    std::fs::remove_file(fixture.node.path(BESIDE)).unwrap();
    pod.netns.clone().delete();
    pod
}

#[test]
fn a_journal_that_cannot_be_retried_does_not_stand_in_the_way_of_the_next() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let newer = failed(&fixture, "newer");
    let path = format!("{JOURNALS}/{}@eth0.json", newer.id);
    let mut journal: Value = serde_json::from_slice(&fixture.node.read(&path).unwrap()).unwrap();
    journal["format"] = json!(99);
    fixture.node.write(&path, journal.to_string());
    // Its own DEL marks both in this order.
    let second = failed(&fixture, "second");
    let other = fixture.pod("other", None);
    fixture.run("DEL", &fixture.chained(), &other).expect_success("DEL");
    assert_eq!(fixture.node.journals(), [format!("{}@eth0.json", newer.id)], "{} was not retried", second.id);
    assert!(fixture.node.entries("/run/rooknet/locks").is_empty());
}

#[test]
fn what_a_killed_call_left_is_undone_by_the_next_del_of_anybody() {
    for (operation, fault) in
        [("ADD", "kill:add.attached"), ("ADD", "kill:journal-plan.renamed"), ("DEL", "kill:undo.attachment")]
    {
        let fixture = Fixture::start();
        fixture.define_stub("public", &json!({}));
        let pod = fixture.pod("osd", Some("public"));
        if operation == "DEL" {
            fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
        }
        assert!(
            !fixture.call(operation, &fixture.chained(), &pod).env("ROOKNET_FAULT", fault).run(&fixture.node).success()
        );
        // A DEL of another pod leaves it alone as long as its own may come.
        let other = fixture.pod("other", Some("public"));
        for _ in 0..2 {
            fixture.run("ADD", &fixture.chained(), &other).expect_success("ADD");
            fixture.run("DEL", &fixture.chained(), &other).expect_success("DEL");
            assert_eq!(fixture.node.journals(), [format!("{}@eth0.json", pod.id)]);
        }
        // The runtime was killed, too: the namespace goes, and no DEL ever comes.
        pod.netns.clone().delete();
        fixture.run("DEL", &fixture.chained(), &other).expect_success("DEL");
        fixture.assert_clean();
    }
}
