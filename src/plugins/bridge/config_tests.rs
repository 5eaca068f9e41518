use serde_json::{Value, json};

use super::*;
use crate::plugins::testing::{choice, executed, native, with};
use crate::plugins::{Ipam, Main};

fn parsed_with(further: Value, args: &str) -> Result<Config, Error> {
    let native = native(&with(&json!({"type": "bridge"}), further), args)?;
    match native.main {
        Main::Bridge(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn parsed(further: Value) -> Config {
    parsed_with(further, "").unwrap()
}

/// The message of a refusal of this configuration.
fn refused(further: Value) -> String {
    parsed_with(further.clone(), "").map(|config| panic!("{further}: {config:?}")).unwrap_err().message
}

const IPAM: &str = r#"{"type": "static", "addresses": [{"address": "10.1.0.5/24"}]}"#;

fn ipam() -> Value {
    serde_json::from_str(IPAM).unwrap()
}

#[test]
fn an_empty_configuration_is_a_cable_into_cni0() {
    let config = parsed(json!({}));
    assert_eq!(config.bridge, "cni0");
    assert!(!config.is_gateway && !config.is_default_gateway && !config.force_address && !config.hairpin);
    assert!(!config.promiscuous && !config.vlan_filtering && !config.preserve_default_vlan && !config.isolated);
    assert!(!config.detect_duplicates && !config.disable_container_interface && !config.has_ipam && !config.has_dns);
    assert_eq!((config.mtu, config.vlan, config.mac, config.vlans.len()), (None, None, None, 0));
    assert!(matches!(native(&json!({"type": "bridge"}), "").unwrap().ipam, Ipam::None));
    // Go leaves a field as it is for null.
    assert_eq!(parsed(json!({"bridge": null, "vlanTrunk": null, "mtu": null})).bridge, "cni0");
}

#[test]
fn a_default_gateway_is_a_gateway() {
    let config = parsed(json!({"isDefaultGateway": true, "isGateway": false}));
    assert!(config.is_gateway && config.is_default_gateway && !config.has_gateway(), "without IPAM there is none");
    assert!(parsed(json!({"isGateway": true, "ipam": ipam()})).has_gateway_on_bridge());
    let in_vlan = parsed(json!({"isGateway": true, "vlan": 100, "ipam": ipam()}));
    assert_eq!((in_vlan.vlan_gateway("br0").as_deref(), in_vlan.has_gateway_on_bridge()), (Some("br0.100"), false));
}

#[test]
fn the_mac_is_the_last_one_of_its_sources() {
    let args = json!({"args": {"cni": {"mac": "02:00:00:00:00:02"}}});
    let runtime = with(&args, json!({"runtimeConfig": {"mac": "02:00:00:00:00:03"}}));
    for (config, env, last) in [
        (json!({}), "MAC=02:00:00:00:00:01", 1),
        (args, "MAC=02:00:00:00:00:01", 2),
        (runtime, "MAC=02:00:00:00:00:01", 3),
    ] {
        assert_eq!(parsed_with(config, env).unwrap().mac, Some([2, 0, 0, 0, 0, last]));
    }
    let error = parsed_with(json!({}), "MAC=nonsense").unwrap_err();
    assert!(error.message.starts_with("MAC of CNI_ARGS is \"nonsense\": it must be a MAC"), "{error:?}");
    let message = refused(json!({"runtimeConfig": {"mac": "02:00"}}));
    assert!(message.starts_with("key \"runtimeConfig.mac\" is \"02:00\""), "{message}");
}

#[test]
fn the_vlans_of_the_port_are_in_the_references_order() {
    let untagged = |id| Vlans { pvid: true, untagged: true, ..Vlans::one(id) };
    let range = |first, last| Vlans { last, ..Vlans::one(first) };
    let trunk = json!([{"id": 30}, {"minID": 10, "maxID": 12}, {"id": 13, "minID": 20, "maxID": 20}, {"id": 11}]);
    for (config, filtering, expected) in [
        (json!({"vlan": 100}), true, vec![untagged(100)]),
        (json!({"vlan": 0}), false, vec![]),
        (json!({"vlanTrunk": []}), true, vec![]),
        (json!({"vlanTrunk": [{}]}), true, vec![]),
        (json!({"vlanTrunk": trunk.clone()}), true, vec![range(10, 13), Vlans::one(20), Vlans::one(30), untagged(1)]),
        (
            json!({"vlanTrunk": trunk, "vlan": 11}),
            true,
            vec![untagged(11), range(10, 13), Vlans::one(20), Vlans::one(30)],
        ),
        (json!({"vlanTrunk": [{"minID": 1, "maxID": 4094}]}), true, vec![range(1, 4094), untagged(1)]),
    ] {
        let parsed = parsed(config.clone());
        assert_eq!((parsed.vlan_filtering, parsed.vlans), (filtering, expected), "{config}");
    }
}

#[test]
fn a_key_that_needs_firewall_rules_or_that_nobody_knows_is_executed() {
    for (further, named) in [
        (json!({"ipMasq": true}), "key \"ipMasq\""),
        (json!({"ipMasq": true, "ipMasqBackend": "nftables"}), "key \"ipMasq\""),
        (json!({"macspoofchk": true}), "key \"macspoofchk\""),
        (json!({"mac": "02:00:00:00:00:01"}), "key \"mac\""),
        (json!({"vlanTrunk": [{"id": 1}, {"id": 2, "name": "storage"}]}), "key \"vlanTrunk[1].name\""),
    ] {
        let reason = executed(&with(&json!({"type": "bridge"}), further));
        assert!(reason.starts_with(named), "{reason}");
    }
    parsed(json!({"ipMasq": false, "ipMasqBackend": "nftables", "macspoofchk": false}));
}

#[test]
fn a_configuration_that_the_reference_refuses_is_refused_by_its_key() {
    for (further, expected) in [
        (json!({"vlan": 4095}), "key \"vlan\" is 4095: it must be 1 to 4094, or 0 for none"),
        (json!({"vlan": -1}), "key \"vlan\" is -1: it must be 1 to 4094, or 0 for none"),
        (json!({"vlanTrunk": [{"minID": 5}]}), "key \"vlanTrunk[0]\": key \"maxID\" is missing beside \"minID\""),
        (json!({"vlanTrunk": [{"maxID": 5}]}), "key \"vlanTrunk[0]\": key \"minID\" is missing beside \"maxID\""),
        (
            json!({"vlanTrunk": [{"id": 1}, {"minID": 6, "maxID": 5}]}),
            "key \"vlanTrunk[1]\": key \"minID\" is 6 and \"maxID\" 5: the former must not be above the latter",
        ),
        (
            json!({"vlanTrunk": [{"minID": 0, "maxID": 5}]}),
            "key \"vlanTrunk[0]\": key \"minID\" is 0: it must be 1 to 4094",
        ),
        (
            json!({"vlanTrunk": [{"minID": 1, "maxID": 4095}]}),
            "key \"vlanTrunk[0]\": key \"maxID\" is 4095: it must be 1 to 4094",
        ),
        (json!({"vlanTrunk": [{"id": 0}]}), "key \"vlanTrunk[0]\": key \"id\" is 0: it must be 1 to 4094"),
        (json!({"vlanTrunk": [null]}), "vlanTrunk[0] is null: it must be an object"),
        (json!({"hairpinMode": true, "promiscMode": true}), "keys \"hairpinMode\" and \"promiscMode\" do not go"),
        (
            json!({"disableContainerInterface": true, "ipam": ipam()}),
            "keys \"ipam\" and \"disableContainerInterface\" do not go together",
        ),
        (json!({"mtu": 67}), "key \"mtu\" is 67: it must be 0, for the kernel's choice, or 68 to 65535 bytes"),
        (json!({"mtu": 65536}), "key \"mtu\" is 65536: it must be 0"),
        (json!({"bridge": ""}), "key \"bridge\": \"\" is not an interface name"),
        (json!({"bridge": "a/b"}), "key \"bridge\": \"a/b\" is not an interface name"),
        (
            json!({"bridge": "fifteen-letters", "vlan": 7, "isGateway": true, "ipam": ipam()}),
            "key \"bridge\" with \"vlan\" and a gateway: \"fifteen-letters.7\" is not an interface name",
        ),
    ] {
        let message = refused(further);
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(parsed(json!({"mtu": -5})).mtu, None, "the reference passes it over");
}

#[test]
fn every_key_is_of_the_type_that_go_reads() {
    for key in KEYS {
        let error = choice(&with(&json!({"type": "bridge"}), json!({key: {"a": 1}})), "").unwrap_err();
        assert!(error.message.contains(key), "{error:?}");
    }
    for (key, value) in [("isGateway", json!("true")), ("mtu", json!("1500")), ("vlan", json!(1.5))] {
        assert!(refused(json!({key: value})).contains(key));
    }
}

#[test]
fn dns_settings_stand_for_those_of_the_ipam_plugin_when_there_are_any() {
    for (dns, has) in [
        (json!({}), false),
        (json!({"domain": ""}), false),
        (json!({"nameservers": null}), false),
        (json!({"nameservers": []}), true),
        (json!({"domain": "example.org"}), true),
    ] {
        assert_eq!(parsed(json!({"dns": dns})).has_dns, has, "{dns}");
    }
}
