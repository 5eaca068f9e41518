//! What is wrong with journals, interfaces and addresses.

use serde_json::json;

use crate::fixture::{Pod, journal_path};
use crate::support::PluginCall;
use crate::ward::{Ward, provoked};

/// The store of the network `public`.
const STORE: &str = "/var/lib/cni/networks/public";

/// The network `stub`, whose plugin is a stub.
fn define_stub(ward: &Ward<'_>) {
    ward.fixture.define_stub("stub", &json!({}));
}

/// The file of the only address that is taken in `public`.
fn address_file(ward: &Ward<'_>) -> String {
    let leases = ward.fixture.node.host_local_addresses();
    assert_eq!(leases.len(), 1, "{leases:?}");
    format!("{STORE}/{}", leases[0].address)
}

fn remove_journal(ward: &Ward<'_>, pod: &Pod<'_>) {
    ward.remove(&journal_path(pod));
}

provoked! {
    "journal-corrupt": fn a_journal_that_is_none_is_named(ward) {
        let pod = ward.attached("public");
        ward.fixture.node.write(&journal_path(&pod), "{");
        ward.shows("journal-corrupt", &[&pod.id]);
        ward.detach(&pod);
        ward.remove("/var/lib/rooknet/corrupt");
        ward.forget_log();
    }

    "journal-set-aside": fn a_journal_that_a_del_set_aside_is_named(ward) {
        let pod = ward.attached("public");
        ward.fixture.node.write(&journal_path(&pod), "{");
        ward.detach(&pod);
        ward.shows("journal-set-aside", &["/var/lib/rooknet/corrupt/", &pod.id]);
        ward.remove("/var/lib/rooknet/corrupt");
        ward.forget_log();
    }

    "journal-of-newer": fn a_journal_of_a_later_version_is_told_from_a_corrupt_one(ward) {
        let pod = ward.attached("public");
        let whole = ward.fixture.node.read(&journal_path(&pod)).unwrap();
        ward.fixture.node.write(&journal_path(&pod), r#"{"format": 2}"#);
        ward.shows("journal-of-newer", &["format 2"]);
        ward.fixture.node.write(&journal_path(&pod), whole);
        ward.detach(&pod);
    }

    "undo-failed": fn an_attachment_whose_del_failed_is_told(ward) {
        define_stub(&ward);
        let pod = ward.attached("stub");
        ward.fixture.overrule("stub", Some(&json!({"failOn": ["DEL"]})));
        ward.fixture.run("DEL", &ward.config(), &pod).error();
        ward.shows("undo-failed", &[&pod.id]);
        ward.fixture.overrule("stub", None);
        ward.detach(&pod);
        ward.forget_log();
    }

    "unfinished": fn an_add_that_was_killed_is_told_until_its_del(ward) {
        let pod = ward.fixture.pod("osd", Some("public"));
        let call: PluginCall = ward.fixture.call("ADD", &ward.config(), &pod);
        call.env("ROOKNET_FAULT", "kill:add.attached").run(&ward.fixture.node);
        ward.shows("unfinished", &[&pod.id, "rook-ceph/osd"]);
        ward.detach(&pod);
    }

    "stale": fn an_attachment_whose_namespace_is_gone_is_told_and_can_be_undone(ward) {
        let pod = ward.attached("public");
        let id = pod.id.clone();
        pod.netns.delete();
        ward.shows("stale", &[&id, "rook-ceph/osd"]);
        ward.ctl(&["attachments", "undo", &id]).expect_success("undo");
    }

    "link-missing": fn an_interface_that_was_deleted_under_a_pod_is_told(ward) {
        let pod = ward.attached("public");
        pod.netns.ok(&["ip", "link", "delete", "net1"]);
        ward.shows("link-missing", &["net1", "rook-ceph/public", "rook-ceph/osd"]);
        ward.detach(&pod);
    }

    "link-without-journal": fn an_interface_of_ours_that_no_journal_knows_is_told(ward) {
        let pod = ward.attached("public");
        let address = address_file(&ward);
        remove_journal(&ward, &pod);
        ward.shows("link-without-journal", &["net1 (macvlan)", &pod.id]);
        pod.netns.ok(&["ip", "link", "delete", "net1"]);
        ward.remove(&address);
    }

    "address-without-journal": fn an_address_that_is_held_for_nobody_is_told(ward) {
        let file = format!("{STORE}/10.1.0.77");
        ward.fixture.node.write(&file, "gone\r\neth0");
        ward.shows("address-without-journal", &[&file, "container gone"]);
        // The runtime's own memory of the container keeps it from being judged.
        let result = "/var/lib/cni/results/k8s-pods-gone-eth0";
        ward.fixture.node.write(result, "{}");
        ward.is_healthy();
        ward.remove(result);
        ward.remove(&file);
    }

    "address-not-reserved": fn an_address_that_its_store_does_not_hold_is_told(ward) {
        let pod = ward.attached("public");
        let file = address_file(&ward);
        ward.remove(&file);
        ward.shows("address-not-reserved", &["10.1.0.2", "rook-ceph/public", "rook-ceph/osd"]);
        ward.detach(&pod);
    }

    "pool-full": fn a_range_without_a_free_address_is_told(ward) {
        let range = json!({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.9"});
        ward.define("public", &json!({"ipam": range}));
        let pod = ward.attached("public");
        ward.shows("pool-full", &["10.1.0.9-10.1.0.9", "public"]);
        ward.detach(&pod);
    }
}

#[test]
fn a_call_that_is_at_work_is_no_fault() {
    let fixture = crate::fixture::Fixture::start();
    let ward = Ward::new(&fixture);
    fixture.define_stub("stub", &json!({"hangOn": ["ADD"]}));
    let pod = fixture.pod("osd", Some("stub"));
    let call = fixture.call("ADD", &ward.config(), &pod).start(&fixture.node);
    fixture.wait_for_record("ADD net1");
    ward.is_healthy();
    crate::fixture::terminate(&call);
    call.wait();
    ward.forget_log();
    ward.is_healthy();
}
