//! rooknet's own configuration.

use serde_json::{Value, json};

use crate::fixture::Fixture;

/// Commands that read the configuration. A DEL reads less of it, so that it works whatever became of the rest.
const COMMANDS: [&str; 5] = ["ADD", "DEL", "CHECK", "GC", "STATUS"];

#[test]
fn text_that_is_no_json_object_is_code_6_for_every_command() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let texts: [(&[u8], &str); 9] = [
        (b"", "EOF"),
        (b"nonsense", "line 1 column 2"),
        (b"{", "EOF"),
        (b"[]", "a JSON object"),
        (b"null", "a JSON object"),
        (b"\"text\"", "a JSON object"),
        (b"{\"cniVersion\":\"1.1.0\"} {}", "trailing characters"),
        (b"{\"cniVersion\":\"1.1.0\",}", "trailing comma"),
        (b"{\"name\":\"\xff\"}", "not UTF-8"),
    ];
    for command in COMMANDS {
        for (text, word) in texts {
            let what = format!("{command} with {}", String::from_utf8_lossy(text));
            let call = fixture.call(command, &fixture.chained(), &pod).input(text);
            fixture.refused(&what, &call, 6, &["the configuration on stdin", word]);
        }
    }
}

#[test]
fn name_and_version_are_checked_for_every_command() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let rows: [(&str, Value, u64, &[&str]); 11] = [
        ("name", Value::Null, 7, &["no key \"name\"", "conflist"]),
        ("name", json!(""), 7, &["no key \"name\""]),
        ("name", json!(7), 7, &["key \"name\"", "7"]),
        ("name", json!("a/b"), 7, &["configuration on stdin: key \"name\": \"a/b\"", "letters, digits"]),
        ("name", json!("../x"), 7, &["\"../x\"", "begin with a letter or digit"]),
        ("name", json!("x".repeat(254)), 7, &["not be longer than 253"]),
        ("name", json!("a\u{1b}[2J\u{202e}"), 7, &["\\u{1b}", "\\u{202e}"]),
        ("cniVersion", json!("1.2.0"), 1, &["configuration on stdin: cniVersion \"1.2.0\"", "use one of 0.1.0"]),
        ("cniVersion", json!("nonsense\n"), 1, &["cniVersion \"nonsense\\n\""]),
        ("cniVersion", json!(1.0), 7, &["key \"cniVersion\"", "1.0"]),
        ("cniVersion", json!(["1.1.0"]), 7, &["key \"cniVersion\""]),
    ];
    for command in COMMANDS {
        for (key, value, code, words) in &rows {
            let what = format!("{command} with {key} {value}");
            let mut config = fixture.chained();
            config[key] = value.clone();
            // To a STATUS, an invalid configuration is the answer: no pod can be attached.
            let code = if command == "STATUS" && *code == 7 { 50 } else { *code };
            fixture.refused(&what, &fixture.call(command, &config, &pod), code, words);
        }
    }
}

/// Keys with a value of every type that is wrong for them, and what the message says of the right one.
fn wrong_types() -> Vec<(&'static str, Value, &'static str)> {
    let mut rows = Vec::new();
    let (number, text, list, object, yes) = (json!(7), json!("x"), json!([1]), json!({"a": 1}), json!(true));
    for key in ["stateDir", "binDir", "cniDir", "confDir", "networksDir", "kubeconfig", "readinessindicatorfile"] {
        for value in [&number, &list, &object, &yes] {
            rows.push((key, value.clone(), "expected a string"));
        }
        for path in ["relative", "./x", "~/x", "a\0b", "/a\0b"] {
            rows.push((key, json!(path), "must be an absolute path"));
        }
    }
    rows.push(("logFile", json!("relative.log"), "must be an absolute path"));
    for key in [
        "clusterNetwork",
        "logFile",
        "logLevel",
        "nodeName",
        "globalNamespaces",
        "multusNamespace",
        "auxiliaryCNIChainName",
    ] {
        for value in [&number, &list, &object, &yes] {
            rows.push((key, value.clone(), "expected a string"));
        }
    }
    for key in
        ["namespaceIsolation", "native", "statusForAll", "statusStrict", "events", "retryDeleteOnError", "logToStderr"]
    {
        for value in [&number, &text, &list, &object] {
            rows.push((key, value.clone(), "must be true or false"));
        }
    }
    for key in ["delegates", "defaultNetworks", "systemNamespaces", "allowedPlugins", "cni.dev/valid-attachments"] {
        for value in [&number, &text, &object, &yes] {
            rows.push((key, value.clone(), "expected a list"));
        }
    }
    for key in ["defaultNetworks", "systemNamespaces", "allowedPlugins"] {
        rows.push((key, list.clone(), "expected a string"));
        rows.push((key, json!([null]), "expected a string"));
    }
    rows.push(("cni.dev/valid-attachments", list.clone(), "expected an object"));
    rows.push(("cni.dev/valid-attachments", json!([{"containerID": "a"}]), "ifname"));
    for key in ["runtimeConfig", "logOptions"] {
        for value in [&number, &text, &list, &yes] {
            rows.push((key, value.clone(), "expected a JSON object"));
        }
    }
    rows.push(("logOptions", json!({"maxSize": "100"}), "expected a whole number, zero or more"));
    rows.push(("logOptions", json!({"maxSize": -1}), "expected a whole number, zero or more"));
    rows.push(("logLevel", json!("loud"), "use one of panic, error"));
    for value in
        [json!(0), json!(-1), json!(1e300), json!("soon"), json!(""), json!("0s"), json!(201), yes, list, object]
    {
        rows.push(("deadline", value, "seconds as a number, or text such as \"90s\""));
    }
    rows
}

#[test]
fn a_known_key_of_the_wrong_type_is_code_7_and_names_key_and_value() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for (key, value, right) in wrong_types() {
        let mut config = fixture.chained();
        // Set as the text has it: the fixture would merge the pod's annotations into an object.
        config[key] = value.clone();
        let what = format!("{key} {value}");
        let text = config.to_string();
        let mut call = fixture.call("ADD", &fixture.chained(), &pod).input(text);
        if key == "runtimeConfig" {
            call = call.env("CNI_ARGS", "");
        }
        let refusal = fixture.refused(&what, &call, 7, &[key.rsplit('.').next().unwrap(), right]);
        assert!(refusal.message.contains("k8s-pods"), "{what}: {}", refusal.message);
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
}

#[test]
fn status_says_of_an_invalid_configuration_that_no_pod_can_be_attached() {
    let fixture = Fixture::start();
    let rows =
        [("deadline", json!("soon")), ("allowedPlugins", json!(7)), ("confDir", json!("x")), ("stateDir", json!(7))];
    for (key, value) in rows {
        let mut config = fixture.chained();
        config[key] = value;
        let outcome = fixture.node_call("STATUS", &config);
        let refusal = crate::fixture::Refusal::of(key, &outcome);
        refusal.expect(key, 50, &["no pod can be attached on this node", key]);
    }
}

#[test]
fn a_default_network_that_cannot_be_told_is_code_7() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let delegates = fixture.delegating(&json!({}))["delegates"].clone();
    let previous = fixture.chained()["prevResult"].clone();
    let base = || json!({"cniVersion": "1.1.0", "name": "k8s-pods", "type": "rooknet"});
    let rows: [(&str, Value, &[&str]); 6] = [
        (
            "both",
            json!({"delegates": delegates, "clusterNetwork": "pods"}),
            &["delegates", "clusterNetwork", "only one"],
        ),
        ("neither", json!({}), &["no default network", "prevResult", "\"delegates\" and \"clusterNetwork\""]),
        (
            "delegates behind a primary plugin",
            json!({"delegates": delegates, "prevResult": previous}),
            &["the runtime gives a prevResult", "remove the key"],
        ),
        (
            "clusterNetwork behind a primary plugin",
            json!({"clusterNetwork": "pods", "prevResult": previous}),
            &["the runtime gives a prevResult"],
        ),
        ("unknown", json!({"clusterNetwork": "pods"}), &["clusterNetwork", "pods", "confDir /etc/cni/multus/net.d"]),
        ("no such file", json!({"clusterNetwork": "/etc/cni/gone.conf"}), &["clusterNetwork", "/etc/cni/gone.conf"]),
    ];
    for (what, keys, words) in rows {
        let mut config = base();
        crate::fixture::merge(&mut config, &keys);
        fixture.refused_add(what, &config, &pod, 7, words);
    }
}

#[test]
fn keys_that_say_nothing_leave_the_mode_as_it_is() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for keys in [r#""delegates":[ ],"#, r#""delegates":null,"#, r#""clusterNetwork":"","#, r#""clusterNetwork":null,"#]
    {
        let text = fixture.chained().to_string().replacen('{', &format!("{{{keys}"), 1);
        let call = fixture.call("ADD", &fixture.chained(), &pod).env("CNI_ARGS", "").input(text);
        call.run(&fixture.node).expect_success(keys);
    }
    fixture.assert_clean();
}

#[test]
fn a_previous_result_that_is_none_is_code_6_and_names_what_is_wrong_in_it() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    let rows: [(Value, &[&str]); 9] = [
        (json!("text"), &["prevResult"]),
        (json!([]), &["prevResult"]),
        (json!({"cniVersion": "9"}), &["prevResult", "cniVersion \"9\""]),
        (json!({"ips": 7}), &["prevResult", "key \"ips\"", "7"]),
        (json!({"ips": [null]}), &["prevResult", "ips[0]"]),
        (json!({"ips": [{"address": "10.1.0.7"}]}), &["ips[0]", "\"10.1.0.7\"", "prefix length"]),
        (json!({"ips": [{"address": "10.1.0.7/24", "gateway": "x"}]}), &["ips[0]", "gateway"]),
        (json!({"interfaces": [{"name": 7}]}), &["interfaces[0]", "name"]),
        (json!({"dns": []}), &["dns"]),
    ];
    for (value, words) in rows {
        let mut config = fixture.chained();
        config["prevResult"] = value.clone();
        fixture.refused_add(&value.to_string(), &config, &pod, 6, words);
    }
}

#[test]
fn delegates_are_checked_one_by_one_with_their_place() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let good = fixture.delegating(&json!({}))["delegates"][0].clone();
    let rows: [(Value, u64, &str); 9] = [
        (json!(7), 6, "JSON object"),
        (Value::Null, 6, "JSON object"),
        (json!({"name": "x"}), 7, "\"type\""),
        (json!({"type": "stub"}), 7, "\"name\" is missing"),
        (json!({"name": "x", "type": "rooknet"}), 7, "meta-plugin"),
        (json!({"name": "x", "type": "../stub"}), 7, "without a path"),
        (json!({"name": "x", "plugins": []}), 7, "\"plugins\" is empty"),
        (json!({"name": "x", "type": "stub", "cniVersion": "9.9"}), 1, "cniVersion \"9.9\""),
        (json!({"name": "x", "type": "stub", "ipam": "host-local"}), 7, "\"ipam\""),
    ];
    for (value, code, word) in rows {
        let mut config = fixture.delegating(&json!({}));
        config["delegates"] = json!([good, value]);
        fixture.refused_add(&value.to_string(), &config, &pod, code, &["delegates[1]", word]);
    }
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0]["type"] = json!("nowhere");
    fixture.refused_add("nowhere", &config, &pod, 100, &["plugin nowhere is not installed in /opt/cni/bin", "install"]);
}
