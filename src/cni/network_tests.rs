use proptest::prelude::*;

use super::*;

fn network(text: &str) -> Network {
    Network::parse("the network", text, None).unwrap()
}

fn error(text: &str) -> Error {
    Network::parse("network rook/public", text, None).unwrap_err()
}

fn object(text: &str) -> Object {
    Object::parse("the object", text).unwrap()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn written(object: &Object) -> String {
    object.to_raw().unwrap().get().to_owned()
}

const PUBLIC: &str =
    r#"{"cniVersion":"1.0.0","name":"public","type":"macvlan","master":"eth1","ipam":{"type":"host-local"}}"#;

#[test]
fn a_single_plugin_becomes_a_list_of_one() {
    let network = network(PUBLIC);
    assert_eq!((network.name.as_str(), network.version), ("public", Version::V1_0_0));
    let [plugin] = network.plugins.as_slice() else { panic!("one plugin") };
    assert_eq!((plugin.type_name.as_str(), plugin.ipam_type.as_deref()), ("macvlan", Some("host-local")));
    assert_eq!(
        network.to_list().unwrap().get(),
        format!("{{\"cniVersion\":\"1.0.0\",\"name\":\"public\",\"plugins\":[{PUBLIC}]}}")
    );
}

#[test]
fn case_04_a_list_is_written_back_byte_for_byte() {
    let text = r#"{"x-first":18446744073709551617,"name":"public","cniVersion":"0.4.0","disableCheck":"true","plugins":[{"type":"macvlan","mtu":1e3,"weird":{ "a":[1, 2]},"ipam":{}},{"z":null,"type":"tuning"}],"vendor.io/last":"\u00e9"}"#;
    let network = network(text);
    assert!(network.disable_check && !network.disable_gc);
    assert_eq!(network.to_list().unwrap().get(), text);
}

#[test]
fn a_written_list_reads_back_as_an_equal_network() {
    for text in [
        PUBLIC,
        r#"{"type":"macvlan","name":"a","disableGC":"True","disableCheck":true}"#,
        r#"{"plugins":[{"type":"a"},{"type":"b"}],"NAME":"x","cniVersions":["0.4.0","1.1.0","9.0.0"]}"#,
    ] {
        let first = network(text);
        let again = network(first.to_list().unwrap().get());
        assert_eq!(first, again);
        assert_eq!(first.to_list().unwrap().get(), again.to_list().unwrap().get());
    }
}

#[test]
fn a_changed_field_is_in_the_written_list() {
    let mut network = network(r#"{"plugins":[{"type":"a"}],"name":"x","disableCheck":true}"#);
    network.disable_check = false;
    network.plugins[0].object.set("master", raw("\"eth1\""));
    let again = Network::parse("x", network.to_list().unwrap().get(), None).unwrap();
    assert!(!again.disable_check);
    assert_eq!(again.plugins[0].object.text("master").unwrap(), "eth1");
}

#[test]
fn case_05_keys_are_read_in_any_letter_case_and_the_last_one_wins() {
    let network = network(r#"{"NAME":"a","Name":"b","Type":"x","TYPE":"macvlan","IPAM":{"Type":"static"}}"#);
    assert_eq!(network.name, "b");
    assert_eq!(network.plugins[0].type_name, "macvlan");
    assert_eq!(network.plugins[0].ipam_type.as_deref(), Some("static"));
}

#[test]
fn the_version_is_the_highest_one_that_is_spoken() {
    for (keys, version) in [
        (r#""x":0"#, Version::V0_1_0),
        (r#""cniVersion":"""#, Version::V0_1_0),
        (r#""cniVersion":"0.3.1""#, Version::V0_3_1),
        (r#""cniVersions":["0.4.0","1.0.0","0.3.1"]"#, Version::V1_0_0),
        (r#""cniVersion":"1.1.0","cniVersions":["0.4.0","1.0.0"]"#, Version::V1_1_0),
        (r#""cniVersion":"0.4.0","cniVersions":["1.2.0","1.0.0"]"#, Version::V1_0_0),
        (r#""cniVersion":"1.2.0","cniVersions":["0.4.0"]"#, Version::V0_4_0),
        (r#""cniVersion":"0.4.0","cniVersions":[]"#, Version::V0_4_0),
        (r#""cniVersion":null,"cniVersions":null"#, Version::V0_1_0),
    ] {
        assert_eq!(network(&format!("{{\"name\":\"a\",\"type\":\"b\",{keys}}}")).version, version, "{keys}");
    }
}

#[test]
fn case_09_a_version_that_is_not_spoken_is_code_1() {
    for keys in [r#""cniVersion":"1.2.0""#, r#""cniVersions":["1.2.0","2.0.0"]"#, r#""cniVersion":"banana""#] {
        let error = error(&format!("{{\"name\":\"a\",\"type\":\"b\",{keys}}}"));
        assert_eq!(error.code, Code::INCOMPATIBLE_VERSION, "{keys}");
        assert!(error.message.starts_with("network rook/public: cniVersion "), "{}", error.message);
    }
}

#[test]
fn a_missing_name_takes_the_default() {
    for text in [r#"{"type":"a"}"#, r#"{"name":"","type":"a"}"#, r#"{"name":null,"plugins":[{"type":"a"}]}"#] {
        assert_eq!(Network::parse("x", text, Some("public.v2")).unwrap().name, "public.v2");
        assert_eq!(error(text).message, "network rook/public: key \"name\" is missing: a network needs a name");
    }
    assert!(Network::parse("x", r#"{"type":"a"}"#, Some("../x")).is_err());
    assert_eq!(Network::parse("x", PUBLIC, Some("other")).unwrap().name, "public");
}

#[test]
fn malformed_configurations_are_code_7_and_name_key_and_element() {
    for (text, part) in [
        (r#"{"name":"a"}"#, "neither a key \"type\""),
        (r#"{"name":"a","type":""}"#, "key \"type\" is missing"),
        (r#"{"name":"a","plugins":[]}"#, "key \"plugins\" is empty"),
        (r#"{"name":"a","plugins":null}"#, "key \"plugins\" is empty"),
        (r#"{"name":"a","plugins":{}}"#, "key \"plugins\" has the wrong value {}"),
        (r#"{"name":"a","plugins":[{"type":"b"},null]}"#, "plugins[1] is not a JSON object"),
        (r#"{"name":"a","plugins":[{"type":"b"},{"ipam":{}}]}"#, "plugins[1]: key \"type\" is missing"),
        (r#"{"name":"a","plugins":[{"type":5}]}"#, "plugins[0]: key \"type\" has the wrong value 5"),
        (r#"{"name":"a/b","type":"b"}"#, "key \"name\": \"a/b\" is not a network name"),
        (r#"{"name":7,"type":"b"}"#, "key \"name\" has the wrong value 7"),
        (r#"{"name":"a","type":"../sh"}"#, "key \"type\": \"../sh\" is not a plugin type"),
        (r#"{"name":"a","type":"multus"}"#, "a meta-plugin cannot be"),
        (r#"{"name":"a","type":"b","ipam":{"type":"/bin/sh"}}"#, "key \"ipam.type\": \"/bin/sh\""),
        (r#"{"name":"a","type":"b","ipam":"dhcp"}"#, "key \"ipam\" has the wrong value \"dhcp\""),
        (r#"{"name":"a","type":"b","ipam":{"type":{}}}"#, "ipam: key \"type\" has the wrong value {}"),
        (r#"{"name":"a","type":"b","capabilities":{"ips":"true"}}"#, "capability \"ips\" has the wrong value \"true\""),
        (r#"{"name":"a","type":"b","capabilities":["ips"]}"#, "key \"capabilities\" has the wrong value"),
        (r#"{"name":"a","type":"b","disableCheck":"maybe"}"#, "key \"disableCheck\" has the wrong value \"maybe\""),
        (r#"{"name":"a","type":"b","cniVersion":1}"#, "key \"cniVersion\" has the wrong value 1"),
        (r#"{"name":"a","type":"b","cniVersions":[1]}"#, "cniVersions[0] is 1"),
        (r#"{"name":"a","type":"b","cniVersions":["1.0.0","x\u001b"]}"#, "cniVersions[1] is \"x\\u001b\""),
    ] {
        let error = error(text);
        assert_eq!(error.code, Code::INVALID_CONFIG, "{text}");
        let message = error.message;
        assert!(message.starts_with("network rook/public: ") && message.contains(part), "{text}: {message}");
    }
    assert_eq!(error("[]").code, Code::DECODE);
    assert!(error("").message.starts_with("network rook/public is not a JSON object"));
}

#[test]
fn no_address_management_may_be_said_in_three_ways() {
    for ipam in ["", r#","ipam":null"#, r#","ipam":{}"#, r#","ipam":{"type":""}"#] {
        assert_eq!(network(&format!("{{\"name\":\"a\",\"type\":\"b\"{ipam}}}")).plugins[0].ipam_type, None);
    }
}

#[test]
fn a_duplicate_of_ipam_does_not_hide_its_type() {
    for ipam in [r#""ipam":{"type":"evil"},"ipam":{}"#, r#""ipam":{"type":"evil"},"IPAM":null"#] {
        let network = network(&format!("{{\"name\":\"a\",\"type\":\"b\",{ipam}}}"));
        assert_eq!(network.plugins[0].ipam_type.as_deref(), Some("evil"));
    }
}

#[test]
fn capabilities_that_are_true_are_declared() {
    let network = network(
        r#"{"name":"a","plugins":[{"type":"x"},
            {"type":"b","capabilities":{"ips":true,"mac":false,"bandwidth":null,"Dns":true,"mac":true,"ips":false}}]}"#,
    );
    assert_eq!(network.plugins[1].capabilities, ["Dns", "mac"]);
    assert!(network.has_capability("mac") && !network.has_capability("ips") && !network.has_capability("dns"));
}

#[test]
fn at_most_32_plugins_are_taken() {
    let list = |count: usize| format!("{{\"name\":\"a\",\"plugins\":[{}]}}", vec![r#"{"type":"b"}"#; count].join(","));
    assert_eq!(network(&list(32)).plugins.len(), 32);
    assert!(error(&list(33)).message.contains("more than 32 elements"));
    let extra = |_: &str| Ok(vec![("f".to_owned(), r#"{"type":"c"}"#.to_owned())]);
    let error = Network::parse_with_extra("x", &list(32), None, extra).unwrap_err();
    assert_eq!(error.message, "x: it has 33 plugins: 32 are the most");
}

#[test]
fn further_plugins_follow_unless_only_inlined_ones_are_wanted() {
    let parse = |text: &str| {
        Network::parse_with_extra("x", text, None, |name| {
            assert_eq!(name, "a");
            Ok(vec![("10.conf".into(), r#"{"type":"tuning"}"#.into()), ("20.conf".into(), r#"{"type":"sbr"}"#.into())])
        })
    };
    let types = |network: &Network| network.plugins.iter().map(|plugin| plugin.type_name.clone()).collect::<Vec<_>>();

    let network = parse(r#"{"name":"a","plugins":[{"type":"macvlan"}],"loadOnlyInlinedPlugins":"false"}"#).unwrap();
    assert_eq!(types(&network), ["macvlan", "tuning", "sbr"]);
    // Read from the journal, they are not added once more.
    let again = parse(network.to_list().unwrap().get()).unwrap();
    assert_eq!(again, network);

    assert_eq!(types(&parse(r#"{"name":"a"}"#).unwrap()), ["tuning", "sbr"]);
    assert_eq!(types(&parse(r#"{"name":"a","plugins":[]}"#).unwrap()), ["tuning", "sbr"]);
    let inlined = parse(r#"{"name":"a","plugins":[{"type":"macvlan"}],"loadOnlyInlinedPlugins":"true"}"#).unwrap();
    assert_eq!(types(&inlined), ["macvlan"]);
    assert_eq!(types(&parse(r#"{"name":"a","type":"macvlan"}"#).unwrap()), ["macvlan"]);
    assert!(parse(r#"{"name":"a","loadOnlyInlinedPlugins":true}"#).is_err());
}

#[test]
fn a_malformed_further_plugin_is_named_by_its_file() {
    let extra = |_: &str| Ok(vec![("/etc/x/10.conf".to_owned(), "{}".to_owned())]);
    let error = Network::parse_with_extra("network a", r#"{"name":"a"}"#, None, extra).unwrap_err();
    assert!(error.message.starts_with("network a: /etc/x/10.conf: key \"type\" is missing"), "{}", error.message);
    let error =
        Network::parse_with_extra("a", r#"{"name":"a"}"#, None, |_| Err(Error::new(Code::IO, "no"))).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::IO, "a: no"));
}

#[test]
fn stdin_is_the_configuration_with_name_version_and_previous_result() {
    let plugin = network(r#"{"name":"a","plugins":[{"NAME":"old","type":"b","big":12345678901234567890123,"z":{ }}]}"#)
        .plugins
        .remove(0);
    let config = plugin.stdin("new", Version::V0_4_0, Some(&raw(r#"{"cniVersion":"0.4.0"}"#)), &Object::new()).unwrap();
    assert_eq!(
        written(&config),
        r#"{"name":"new","type":"b","big":12345678901234567890123,"z":{ },"cniVersion":"0.4.0","prevResult":{"cniVersion":"0.4.0"}}"#
    );
}

#[test]
fn what_the_configuration_brought_stays_when_nothing_takes_its_place() {
    let text = r#"{"cniVersion":"1.0.0","name":"a","type":"b","prevResult":{"x":1},"runtimeConfig":{"y":2}}"#;
    let plugin = network(text).plugins.remove(0);
    let config = plugin.stdin("a", Version::V1_0_0, None, &object(r#"{"mac":"02:00:00:00:00:01"}"#)).unwrap();
    assert_eq!(written(&config), text);
    let config = plugin.stdin("a", Version::V1_0_0, Some(&raw("{}")), &Object::new()).unwrap();
    assert_eq!(config.get("prevResult").unwrap().get(), "{}");
}

#[test]
fn a_plugin_gets_only_what_its_capabilities_name_and_that_untouched() {
    let text = r#"{"name":"a","type":"b","capabilities":{"portMappings":true,"dns":true,"mac":false,"ips":true}}"#;
    let plugin = network(text).plugins.remove(0);
    // containerd's spelling: Go's field names, null slices.
    let given = object(
        r#"{"bandwidth":{},"portMappings":[{"HostPort":80,"ContainerPort":8080,"Protocol":"tcp","HostIP":""}],"mac":"x","IPs":["1"],"dns":{ "Servers":null}}"#,
    );
    let config = plugin.stdin("a", Version::V1_1_0, None, &given).unwrap();
    assert_eq!(
        config.get("runtimeConfig").unwrap().get(),
        r#"{"portMappings":[{"HostPort":80,"ContainerPort":8080,"Protocol":"tcp","HostIP":""}],"dns":{ "Servers":null}}"#
    );
    let config = plugin.stdin("a", Version::V1_1_0, None, &Object::new()).unwrap();
    assert!(!config.has("runtimeConfig"));
}

#[test]
fn cni_args_merge_and_the_pods_win() {
    let mut plugin =
        network(r#"{"name":"a","type":"b","args":{"x":1,"cni":{"k":"own","ips":["a"]}},"y":2}"#).plugins.remove(0);
    plugin.merge_cni_args(&object(r#"{"ips":["b"],"new":{"deep":18446744073709551617}}"#)).unwrap();
    assert_eq!(
        written(&plugin.object),
        r#"{"name":"a","type":"b","args":{"x":1,"cni":{"k":"own","ips":["b"],"new":{"deep":18446744073709551617}}},"y":2}"#
    );
    for args in ["", r#","args":null"#, r#","args":{}"#, r#","args":{"cni":null}"#] {
        let mut plugin = network(&format!("{{\"name\":\"a\",\"type\":\"b\"{args}}}")).plugins.remove(0);
        plugin.merge_cni_args(&object(r#"{"k":1}"#)).unwrap();
        assert_eq!(plugin.object.get("args").unwrap().get(), r#"{"cni":{"k":1}}"#);
    }
}

#[test]
fn cni_args_into_what_is_not_an_object_is_an_error() {
    for (args, place) in [(r#"{"cni":[]}"#, "args: key \"cni\""), ("5", "key \"args\"")] {
        let mut plugin = network(&format!("{{\"name\":\"a\",\"type\":\"b\",\"args\":{args}}}")).plugins.remove(0);
        let before = plugin.clone();
        plugin.merge_cni_args(&Object::new()).unwrap();
        let error = plugin.merge_cni_args(&object(r#"{"k":1}"#)).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert!(error.message.starts_with(place), "{}", error.message);
        assert_eq!(plugin, before);
    }
}

#[test]
fn every_type_that_a_plugin_may_run_is_known_to_a_policy() {
    let types = |keys: &str| {
        network(&format!("{{\"name\":\"a\",\"type\":\"outer\",\"ipam\":{{\"type\":\"static\"}}{keys}}}")).plugins[0]
            .nested_types()
    };
    assert!(types("").unwrap().is_empty());
    assert_eq!(
        types(
            r#","delegate":{"type":"bridge","ipam":{"type":"host-local"},"delegates":[{"type":"vlan"},{"Type":"x"}]}"#
        )
        .unwrap(),
        ["bridge", "host-local", "vlan", "x"]
    );
    // A Go map takes the exact spelling, a Go struct the last one.
    assert_eq!(types(r#","delegate":{"type":"evil","Type":"bridge"}"#).unwrap(), ["evil", "bridge"]);
    assert_eq!(types(r#","ipam":{"type":"evil","Type":"static"}"#).unwrap(), ["evil"]);
    assert!(types(r#","delegate":{"isDefaultGateway":true,"plugins":5},"delegates":null"#).unwrap().is_empty());
    for bad in [r#"{"type":"../sh"}"#, r#"{"type":5}"#, r#"{"ipam":{"type":"multus"}}"#] {
        assert_eq!(types(&format!(",\"delegate\":{bad}")).unwrap_err().code, Code::INVALID_CONFIG);
    }
    let deep = format!("{}{}{}", r#"{"delegate":"#.repeat(20), "{}", "}".repeat(20));
    assert!(types(&format!(",\"delegate\":{deep}")).is_err());
    let many = vec!["{}"; 40].join(",");
    assert!(types(&format!(",\"delegates\":[{many}]")).is_err());
}

fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"true\"".to_owned()),
        Just("\"macvlan\"".to_owned()),
        Just("\"1.0.0\"".to_owned()),
        Just("18446744073709551617".to_owned()),
    ];
    let key = "name|type|ipam|plugins|args|cni|capabilities|delegate|cniVersion|cniVersions|x";
    scalar.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec((key, inner), 0..6).prop_map(|pairs| {
                let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_configurations_never_panic_and_read_back_equal(
        keys in prop::collection::vec(("name|plugins|capabilities|args|delegate|disableGC|Type|y", json_text()), 0..5),
        single in any::<bool>(),
    ) {
        let mut text: Vec<String> = keys.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        text.push(if single { "\"type\":\"b\"" } else { "\"plugins\":[{\"type\":\"b\"}]" }.to_owned());
        if let Ok(network) = Network::parse("x", &format!("{{{}}}", text.join(",")), Some("n")) {
            let again = Network::parse("x", network.to_list().unwrap().get(), None).unwrap();
            prop_assert_eq!(&again, &network);
            for mut plugin in network.plugins {
                let _ = plugin.nested_types();
                let _ = plugin.merge_cni_args(&object(r#"{"k":1}"#));
                let config = plugin.stdin("n", Version::NEWEST, None, &object(r#"{"ips":[]}"#)).unwrap();
                prop_assert_eq!(config.text("name").unwrap(), "n");
            }
        }
    }
}
