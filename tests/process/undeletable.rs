//! Networks whose executed plugin fails at every DEL as it failed at the ADD: nothing may be kept for ever of a pod that
//! never got anything, and nothing be forgotten of one that did. rooknet itself refuses such a configuration beforehand.

use serde_json::{Value, json};

use crate::faults::assert_killed;
use crate::fixture::{Fixture, Pod, Refusal, assert_error};

/// A node with a master for macvlans.
fn start() -> Fixture {
    let fixture = Fixture::start();
    fixture.node.ok(&["ip", "link", "add", "stor0", "type", "veth", "peer", "name", "stor1"]);
    fixture.node.keep_link("stor0");
    fixture.node.keep_link("stor1");
    fixture
}

/// rooknet's configuration with every plugin executed.
fn executed(fixture: &Fixture) -> Value {
    let mut config = fixture.chained();
    config["native"] = json!(false);
    config
}

/// A macvlan that no plugin can read.
fn unreadable(ipam: &Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "broken", "type": "macvlan", "master": "stor0", "mtu": "abc", "ipam": ipam})
}

fn host_local() -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": "192.168.10.0/24"}]]})
}

/// A pod whose ADD was killed before the plugin was asked: there is its journal and nothing else.
fn killed_pod<'a>(fixture: &'a Fixture, config: &Value) -> Pod<'a> {
    fixture.define("rook-ceph", "broken", &unreadable(&host_local()));
    let pod = fixture.pod("osd", Some("broken"));
    let point = "kill:add.attach";
    assert_killed(&fixture.call("ADD", config, &pod).env("ROOKNET_FAULT", point).run(&fixture.node), point);
    pod
}

#[test]
fn a_configuration_that_its_plugin_can_never_read_leaves_no_journal() {
    let fixture = start();
    let config = executed(&fixture);
    for ipam in [host_local(), json!({"type": "static"}), json!({})] {
        fixture.define("rook-ceph", "broken", &unreadable(&ipam));
        let pod = fixture.pod("osd", Some("broken"));
        let refusal = Refusal::of("ADD", &fixture.run("ADD", &config, &pod));
        assert!(refusal.message.contains("macvlan failed ADD") && !refusal.message.contains("rollback"), "{refusal:?}");
        fixture.assert_clean();
        fixture.del(&config, &pod);
        fixture.gc(&config, &json!([])).expect_success("GC");
    }
}

#[test]
fn the_journal_of_a_killed_add_of_such_a_network_goes_with_its_del() {
    let fixture = start();
    let config = executed(&fixture);
    let pod = killed_pod(&fixture, &config);
    assert_eq!(fixture.node.journals().len(), 1);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn what_is_left_or_may_be_left_out_of_sight_keeps_the_journal() {
    let fixture = start();
    let config = executed(&fixture);
    let mut masquerading = unreadable(&host_local());
    masquerading["type"] = json!("bridge");
    masquerading["bridge"] = json!("cni9");
    masquerading["ipMasq"] = json!(true);
    let chain = json!({
        "cniVersion": "1.1.0", "name": "broken",
        "plugins": [unreadable(&host_local()), {"type": "portmap", "capabilities": {"portMappings": true}}],
    });
    let elsewhere =
        json!({"type": "host-local", "dataDir": "/run/leases", "ranges": [[{"subnet": "192.168.10.0/24"}]]});
    for (what, network) in [
        ("packet filter rules", masquerading),
        ("another plugin", chain),
        ("another store", unreadable(&elsewhere)),
        ("another IPAM", unreadable(&json!({"type": "stub"}))),
    ] {
        fixture.define("rook-ceph", "broken", &network);
        let pod = fixture.pod("osd", Some("broken"));
        let outcome = fixture.run("ADD", &config, &pod);
        let code = outcome.error().0;
        assert_error(&outcome, code, &["the rollback is incomplete"]);
        assert_eq!(fixture.node.journals().len(), 1, "{what}");
        fixture.node.ok(&["sh", "-c", "rm -f /var/lib/rooknet/attachments/* /var/lib/rooknet/failed/*"]);
    }
}

#[test]
fn an_interface_or_an_address_of_it_keeps_the_journal() {
    let fixture = start();
    let config = executed(&fixture);
    let pod = killed_pod(&fixture, &config);
    let lease = "/var/lib/cni/networks/broken/192.168.10.7";
    fixture.node.write(lease, format!("{}\r\nnet1", pod.id));
    assert!(!fixture.run("DEL", &config, &pod).success(), "an address is left");
    fixture.node.ok(&["rm", lease]);
    pod.netns.ok(&["ip", "link", "add", "net1", "type", "veth", "peer", "name", "net1-peer"]);
    assert!(!fixture.run("DEL", &config, &pod).success(), "an interface is left");
    assert_eq!(fixture.node.journals().len(), 1);
    pod.netns.ok(&["ip", "link", "delete", "net1"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}
