//! `conflictProbe`: an ADD that meets another host with its address fails, and the next one gets another.

use serde_json::json;

use super::Fixture;
use crate::fixture::Refusal;

/// A host at the node's bridge that has `10.N.0.2`, the first address of each network, and of `bridged` the second.
fn host_on(fixture: &Fixture, bridge: &str, mac: &str, addresses: &[&str]) {
    fixture.node.ok(&[
        "sh",
        "-c",
        &format!("ip link show {bridge} 2>/dev/null || ip link add {bridge} up type bridge"),
    ]);
    let host = fixture.node.add_netns(&format!("{bridge}-host"));
    // The node's end is a port, so the link lies in the host's namespace until it is deleted.
    let script = format!(
        "ip link add port-{bridge} master {bridge} up type veth peer name eth0 address {mac} netns {bridge}-host"
    );
    fixture.node.ok(&["sh", "-ec", &script]);
    for address in addresses {
        host.ok(&["ip", "address", "add", address, "dev", "eth0"]);
    }
    host.ok(&["ip", "link", "set", "eth0", "up"]);
}

fn take_away(fixture: &Fixture, bridge: &str) {
    fixture.node.ok(&["ip", "link", "delete", &format!("port-{bridge}")]);
}

#[test]
fn a_conflict_is_named_and_leaves_nothing_and_the_next_add_gets_the_next_address() {
    const MAC: &str = "02:00:00:00:0a:01";
    for (network, bridge, taken, next) in [
        ("public", "storage0", ["10.1.0.2", "10.1.0.3"], "10.1.0.4"),
        ("bridged", "cni9", ["10.3.0.2", "10.3.0.3"], "10.3.0.4"),
    ] {
        let fixture = Fixture::without_programs();
        let mut config = fixture.chained();
        config["conflictProbe"] = json!(true);
        host_on(&fixture, bridge, MAC, &taken.map(|address| format!("{address}/24")).each_ref().map(String::as_str));
        // Another network before it, which is rolled back with it.
        let pod = fixture.pod("osd", Some(&format!("cluster@first, {network}@net9")));
        for address in taken {
            let refusal = Refusal::of(network, &fixture.run("ADD", &config, &pod));
            refusal.expect(network, 11, &[&format!("rook-ceph/{network}"), "interface net9", MAC, address]);
            assert_eq!((pod.netns.interfaces(), fixture.leases()), (Vec::new(), Vec::new()), "{network}");
            assert_eq!(fixture.node.journals(), Vec::<String>::new());
        }
        fixture.add(&config, &pod);
        assert_eq!(pod.netns.address("net9"), next);
        fixture.del(&config, &pod);
        take_away(&fixture, bridge);
        fixture.assert_clean();
    }
}

#[test]
fn without_the_key_an_address_is_used_whoever_has_it() {
    let fixture = Fixture::without_programs();
    host_on(&fixture, "storage0", "02:00:00:00:0a:01", &["10.1.0.2/24"]);
    let pod = fixture.pod("osd", Some("public@public"));
    fixture.add(&fixture.chained(), &pod);
    assert_eq!(pod.netns.address("public"), "10.1.0.2");
    fixture.del(&fixture.chained(), &pod);
    take_away(&fixture, "storage0");
    fixture.assert_clean();
}
