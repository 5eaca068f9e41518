//! Network definitions, as files in `networksDir`.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS};

/// A definition around `spec`.
fn definition(spec: &Value) -> Value {
    json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
           "metadata": {"namespace": "rook-ceph", "name": "public"}, "spec": spec})
}

/// Writes `text` as the definition's file, and expects the ADD to be refused with these words and the file's name.
fn refuse(rows: &[(&str, String, u64, &[&str])]) {
    let fixture = Fixture::start();
    // One that is attached, were the plan not whole before anything is touched.
    fixture.define_stub("first", &json!({}));
    let pod = fixture.pod("osd", Some("first,public"));
    for (what, text, code, words) in rows {
        fixture.node.write(&format!("{NETWORKS}/rook-ceph/public.json"), text);
        let message = fixture.refused_add(what, &fixture.chained(), &pod, *code, words).message;
        assert!(message.contains("public.json"), "{what}: {message}");
    }
}

#[test]
fn a_definition_is_an_object_of_its_kind_with_texts_where_they_belong() {
    let mut rows: Vec<(&str, String, u64, &[&str])> = vec![
        ("empty", String::new(), 6, &["not a JSON object"]),
        ("no JSON", "kind: NetworkAttachmentDefinition".to_owned(), 6, &["not a JSON object", "line 1"]),
        ("a list", "[]".to_owned(), 6, &["not a JSON object"]),
        ("two documents", "{} {}".to_owned(), 6, &["trailing characters"]),
        ("a surrogate", "{\"kind\":\"\\ud800\"}".to_owned(), 7, &["key kind"]),
    ];
    let changes: [(&str, Value, &[&str]); 13] = [
        ("/kind", json!("Pod"), &["key kind", "\"Pod\"", "\"NetworkAttachmentDefinition\""]),
        ("/kind", json!(7), &["key kind", "7 is not a text"]),
        ("/apiVersion", json!("v1"), &["key apiVersion", "\"k8s.cni.cncf.io/v1\""]),
        ("/metadata", json!([]), &["key metadata", "not an object"]),
        ("/metadata/name", json!("cluster"), &["key metadata.name", "\"cluster\"", "its path says \"public\""]),
        ("/metadata/name", json!("Public"), &["key metadata.name", "\"Public\"", "lower-case"]),
        ("/metadata/name", json!(7), &["key metadata.name", "7 is not a text"]),
        ("/metadata/namespace", json!("default"), &["key metadata.namespace", "its path says \"rook-ceph\""]),
        ("/metadata/namespace", json!("a\u{1b}"), &["key metadata.namespace", "\\u{1b}"]),
        ("/spec", json!("text"), &["key spec", "not an object"]),
        ("/spec/config", json!({"type": "stub"}), &["key spec.config", "write the configuration as a text"]),
        ("/spec/config", json!(7), &["key spec.config", "7 is not a text"]),
        ("/metadata/annotations", json!([]), &["key metadata.annotations"]),
    ];
    for (pointer, value, words) in changes {
        let mut changed = definition(&json!({"config": "{}"}));
        changed["metadata"]["annotations"] = json!({});
        *changed.pointer_mut(pointer).unwrap() = value;
        rows.push((pointer, changed.to_string(), 7, words));
    }
    refuse(&rows);
}

#[test]
fn a_configuration_is_a_plugin_or_a_list_of_plugins() {
    let list = |plugins: Value| json!({"cniVersion": "1.1.0", "name": "public", "plugins": plugins}).to_string();
    let rows: [(&str, String, u64, &[&str]); 27] = [
        ("no JSON", "type: macvlan".to_owned(), 6, &["not a JSON object"]),
        ("cut", "{\"type\":\"stub\"".to_owned(), 6, &["EOF"]),
        ("a list", "[]".to_owned(), 6, &["not a JSON object"]),
        ("two documents", "{\"type\":\"stub\"}{\"type\":\"stub\"}".to_owned(), 6, &["trailing characters"]),
        ("nothing in it", "{}".to_owned(), 7, &["key \"type\"", "key \"plugins\""]),
        ("no type", json!({"name": "x", "cniVersion": "1.0.0"}).to_string(), 7, &["key \"type\""]),
        ("empty type", json!({"type": ""}).to_string(), 7, &["key \"type\" is missing"]),
        ("type is null", json!({"type": null}).to_string(), 7, &["key \"type\""]),
        ("type is a number", json!({"type": 7}).to_string(), 7, &["key \"type\"", "7"]),
        ("a path", json!({"type": "/bin/sh"}).to_string(), 7, &["\"/bin/sh\"", "without a path"]),
        ("a path up", json!({"type": "../stub"}).to_string(), 7, &["\"../stub\""]),
        ("a dot", json!({"type": ".."}).to_string(), 7, &["\"..\""]),
        ("a blank", json!({"type": "stub "}).to_string(), 7, &["\"stub \""]),
        ("control characters", json!({"type": "a\u{1b}[2J"}).to_string(), 7, &["\\u{1b}[2J"]),
        ("rooknet", json!({"type": "rooknet"}).to_string(), 7, &["\"rooknet\"", "meta-plugin"]),
        ("multus", json!({"type": "multus"}).to_string(), 7, &["\"multus\"", "meta-plugin"]),
        ("multus-shim", list(json!([{"type": "stub"}, {"type": "multus-shim"}])), 7, &["plugins[1]", "meta-plugin"]),
        ("no plugins", list(json!([])), 7, &["\"plugins\" is empty"]),
        ("plugins of null", list(json!([null])), 7, &["plugins[0]"]),
        ("plugins are an object", list(json!({})), 7, &["\"plugins\"", "list"]),
        ("too many plugins", list(json!(vec![json!({"type": "stub"}); 33])), 7, &["\"plugins\"", "32"]),
        (
            "a later plugin is wrong",
            list(json!([{"type": "stub"}, {"name": "x"}])),
            7,
            &["plugins[1]", "\"type\" is missing"],
        ),
        (
            "a version of the future",
            json!({"type": "stub", "cniVersion": "2.0.0"}).to_string(),
            1,
            &["cniVersion \"2.0.0\""],
        ),
        ("a wrong name", json!({"type": "stub", "name": "a/b"}).to_string(), 7, &["key \"name\"", "\"a/b\""]),
        (
            "ipam is a text",
            json!({"type": "stub", "ipam": "static"}).to_string(),
            7,
            &["\"ipam\"", "expected a JSON object"],
        ),
        ("ipam is a path", json!({"type": "stub", "ipam": {"type": "/x"}}).to_string(), 7, &["ipam.type", "\"/x\""]),
        (
            "capabilities",
            json!({"type": "stub", "capabilities": {"mac": "yes"}}).to_string(),
            7,
            &["\"mac\"", "true or false"],
        ),
    ];
    let rows: Vec<(&str, String, u64, &[&str])> = rows
        .into_iter()
        .map(|(what, config, code, words)| (what, definition(&json!({"config": config})).to_string(), code, words))
        .collect();
    refuse(&rows);
}

#[test]
fn a_network_that_is_nowhere_is_named_with_where_was_looked() {
    let fixture = Fixture::start();
    fixture.define_stub("first", &json!({}));
    let pod = fixture.pod("osd", Some("first,default/public"));
    let words = ["network default/public", "annotation k8s.v1.cni.cncf.io/networks", "does not exist", NETWORKS];
    fixture.refused_add("nowhere", &fixture.chained(), &pod, 7, &words);
    let mut without = fixture.chained();
    without.as_object_mut().unwrap().remove("networksDir");
    fixture.refused_add(
        "no networksDir",
        &without,
        &pod,
        7,
        &["rook-ceph/first", "\"networksDir\" and \"kubeconfig\" is set"],
    );
}

#[test]
fn a_definition_without_configuration_needs_a_file_in_conf_dir() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    let conf_dir = "/etc/cni/multus/net.d";
    fixture.node.write(&format!("{NETWORKS}/rook-ceph/public.json"), definition(&json!({})).to_string());
    let words = ["network rook-ceph/public", "no spec.config", conf_dir];
    fixture.refused_add("absent", &fixture.chained(), &pod, 7, &words);
    // A malformed file fails the network that it is named after, and is passed over for all others.
    fixture.node.write(&format!("{conf_dir}/00-other.conf"), "{");
    fixture.refused_add("another file", &fixture.chained(), &pod, 7, &words);
    fixture.node.write(&format!("{conf_dir}/10-public.conf"), "{");
    fixture.refused_add("its file", &fixture.chained(), &pod, 6, &["10-public.conf", "not a JSON object"]);
    let config = fixture.stub_config("public", &json!({}));
    fixture.node.write(&format!("{conf_dir}/10-public.conf"), config.to_string());
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_named() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    let file = format!("{NETWORKS}/rook-ceph/public.json");
    fixture.node.write(&file, b"{\"kind\":\"\xff\"}");
    fixture.refused_add("not UTF-8", &fixture.chained(), &pod, 6, &[&file, "UTF-8"]);
    fixture.node.write(&file, vec![b' '; 1_048_577]);
    fixture.refused_add("too large", &fixture.chained(), &pod, 5, &[&file, "larger than 1048576 bytes"]);
    fixture.node.ok(&["rm", &file]);
    fixture.node.ok(&["mkfifo", &file]);
    fixture.refused_add("a FIFO", &fixture.chained(), &pod, 5, &[&file, "no regular file"]);
    fixture.node.ok(&["rm", &file]);
    fixture.node.write(&format!("{NETWORKS}/rook-ceph/public.conf"), " \n");
    fixture.refused_add("an empty .conf", &fixture.chained(), &pod, 6, &["public.conf", "is empty"]);
}

#[test]
fn what_the_node_lacks_is_said_before_anything_is_touched() {
    let fixture = Fixture::start();
    fixture.define_stub("first", &json!({}));
    let pod = fixture.pod("osd", Some("first,public"));
    let rows: [(Value, u64, &[&str]); 4] = [
        (json!({"type": "nowhere"}), 100, &["plugin nowhere is not installed in /opt/cni/bin", "install the program"]),
        (json!({"type": "stub", "ipam": {"type": "whereabouts"}}), 100, &["plugin whereabouts", "install whereabouts"]),
        (json!({"type": "macvlan", "master": "gone0"}), 7, &["master \"gone0\"", "does not exist on this node"]),
        (json!({"type": "macvlan", "master": 7}), 7, &["key \"master\"", "7"]),
    ];
    for (config, code, words) in rows {
        fixture.define("rook-ceph", "public", &config);
        let message = fixture.refused_add(&config.to_string(), &fixture.chained(), &pod, code, words).message;
        assert!(message.starts_with("network rook-ceph/public"), "{message}");
    }
    let file = "/opt/cni/bin/locked";
    fixture.node.write(file, "#!/bin/sh\n");
    fixture.define("rook-ceph", "public", &json!({"type": "locked"}));
    fixture.refused_add("not executable", &fixture.chained(), &pod, 100, &["chmod 755 /opt/cni/bin/locked"]);
}
