use serde_json::{Value, json};

use super::*;

/// Keys in an unusual order, numbers that a parser would round, a key that nobody knows.
const LIST: &str = r#"{"name": "cbr0", "x": 1.000, "cniVersion": "1.1.0", "disableCheck": true, "disableGC": "true",
    "plugins": [{"type": "ptp", "big": 123456789012345678901234567890, "mtu": 1500},
                {"type": "portmap", "capabilities": {"portMappings": true, "bandwidth": false}}]}"#;

fn primary(file: &str, text: &str) -> Primary {
    Primary::read(file, text, |_| Ok(Vec::new())).unwrap()
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn keys(pairs: &[(&str, Value)]) -> Vec<(String, Box<RawValue>)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), raw(value))).collect()
}

#[test]
fn chained_keeps_name_version_keys_and_plugins_as_written_with_ours_last() {
    let text =
        primary("10-cbr0.conflist", LIST).with_rooknet(Mode::Chained, &keys(&[("events", json!(false))])).unwrap();
    for kept in ["\"x\": 1.000", "123456789012345678901234567890", "\"disableGC\": \"true\"", "\"disableCheck\": true"]
    {
        assert!(text.contains(kept), "{kept} is not in {text}");
    }
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&list["name"], &list["cniVersion"]), (&json!("cbr0"), &json!("1.1.0")));
    let types: Vec<_> = list["plugins"].as_array().unwrap().iter().map(|plugin| plugin["type"].clone()).collect();
    assert_eq!(types, ["ptp", "portmap", "rooknet"]);
    assert_eq!(
        list["plugins"][2],
        json!({"type": "rooknet", "capabilities": {"io.kubernetes.cri.pod-annotations": true}, "events": false})
    );
}

#[test]
fn delegating_has_the_whole_primary_inside_and_declares_its_capabilities() {
    let text = primary("10-cbr0.conflist", LIST).with_rooknet(Mode::Delegating, &[]).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let written: Value = serde_json::from_str(LIST).unwrap();
    assert_eq!((&list["name"], &list["x"]), (&json!("cbr0"), &json!(1.0)));
    // Those are about the primary's plugins: the other networks are still checked.
    assert_eq!((&list["disableCheck"], &list["disableGC"]), (&Value::Null, &Value::Null));
    let entry = &list["plugins"][0];
    assert_eq!(list["plugins"].as_array().unwrap().len(), 1);
    assert_eq!(entry["capabilities"], json!({"io.kubernetes.cri.pod-annotations": true, "portMappings": true}));
    assert_eq!(entry["delegates"], json!([written]));
}

#[test]
fn a_plugin_alone_becomes_a_list_of_it_and_ours() {
    let alone = r#"{"cniVersion": "0.3.1", "name": "old", "type": "bridge", "ipam": {"type": "host-local"}}"#;
    let text = primary("10-old.conf", alone).with_rooknet(Mode::Chained, &[]).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&list["name"], &list["cniVersion"]), (&json!("old"), &json!("0.3.1")));
    assert_eq!(list["plugins"][0], serde_json::from_str::<Value>(alone).unwrap());
    assert_eq!(list["plugins"][1]["type"], "rooknet");
}

#[test]
fn plugins_that_a_runtime_adds_to_the_list_stand_before_ours_and_once() {
    let extra = |_: &str| Ok(vec![("50-tuning.conf".to_owned(), r#"{"type": "tuning"}"#.to_owned())]);
    let primary = Primary::read("10-cbr0.conflist", LIST, extra).unwrap();
    let list: Value = serde_json::from_str(&primary.with_rooknet(Mode::Chained, &[]).unwrap()).unwrap();
    assert_eq!(list["plugins"][2]["type"], "tuning");
    assert_eq!(list["plugins"][3]["type"], "rooknet");
    assert_eq!(list["loadOnlyInlinedPlugins"], true);
}

#[test]
fn what_the_plugin_would_refuse_is_refused_before_it_is_written() {
    let primary = primary("10-cbr0.conflist", LIST);
    for (key, value, words) in [
        ("nativ", json!(true), "is no key that can be set"),
        ("type", json!("x"), "is no key that can be set"),
        ("delegates", json!([]), "is no key that can be set"),
        ("native", json!(1), "native"),
        ("allowedPlugins", json!("macvlan"), "allowedPlugins"),
        ("networksDir", json!("relative"), "absolute"),
        ("logLevel", json!("loud"), "logLevel"),
        ("events", json!(true), "kubeconfig"),
    ] {
        let error = primary.with_rooknet(Mode::Chained, &keys(&[(key, value)])).unwrap_err();
        assert!(error.message.contains(words), "{key}: {}", error.message);
    }
}

#[test]
fn a_list_in_a_file_that_runtimes_read_as_a_plugin_is_malformed() {
    let error = Primary::read("10-cbr0.conf", LIST, |_| Ok(Vec::new())).unwrap_err();
    assert!(error.contains(".conflist"), "{error}");
}

#[test]
fn our_entry_comes_back_as_a_runtime_hands_it_over() {
    let text = primary("10-cbr0.conflist", LIST).with_rooknet(Mode::Chained, &[]).unwrap();
    let config = Config::parse(&entry_of(&text).unwrap()).unwrap();
    assert_eq!((config.name.as_str(), config.version), ("cbr0", Version::V1_1_0));
    assert!(entry_of(LIST).is_err());
}

/// Whoever adds a key to the plugin decides here whether administrators may set it.
#[test]
fn every_documented_key_can_be_set_or_is_the_installations_own() {
    const OWN: [&str; 10] = [
        "cniVersion",
        "name",
        "prevResult",
        "runtimeConfig",
        "cni.dev/valid-attachments",
        "delegates",
        "clusterNetwork",
        "auxiliaryCNIChainName",
        "stateDir",
        "retryDeleteOnError",
    ];
    let document = include_str!("../../docs/configuration.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    // Rows of keys have a type; sub-keys have a dot.
    let types = ["text", "path", "flag", "object", "list of", "version", "seconds", "level", "number"];
    let keys = rows.filter(|(_, rest)| types.iter().any(|name| rest.starts_with(name))).map(|(key, _)| key);
    let keys: Vec<&str> = keys.filter(|key| *key != "logOptions.maxSize").collect();
    assert!(keys.len() > 25, "the document was not understood: {keys:?}");
    let undecided: Vec<_> = keys.iter().filter(|key| !OWN.contains(key) && !KEYS.contains(key)).collect();
    assert!(undecided.is_empty(), "{undecided:?}");
    let unknown: Vec<_> = KEYS.iter().filter(|key| !keys.contains(key)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
