//! Network definitions by authors who are trusted with their own pods only, and plugins that promise more than they do.

use std::path::Path;

use serde_json::json;

use crate::fixture::Fixture;

#[test]
fn a_configuration_that_would_be_too_large_when_read_back_is_refused_before_anything_is_attached() {
    let fixture = Fixture::start();
    for (name, annotation) in
        [("plugin", json!([{"name": "public", "cni-args": {"a": "b"}}]).to_string()), ("list", "list".to_owned())]
    {
        let mut config = fixture.stub_config(name, &json!({}));
        let mut list = json!({"cniVersion": "1.0.0", "plugins": [config]});
        for object in [&mut config, &mut list] {
            let keys = object.as_object_mut().unwrap();
            for number in keys.len()..4096 {
                keys.insert(format!("k{number}"), json!(0));
            }
        }
        fixture.define("rook-ceph", "public", &config);
        fixture.define("rook-ceph", "list", &list);
        let pod = fixture.pod("osd", Some(&annotation));
        let (_, message) = fixture.run("ADD", &fixture.chained(), &pod).error();
        assert!(message.contains("journal") && message.contains("4096 keys"), "{message}");
        assert!(fixture.records().is_empty());
        fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
        fixture.assert_clean();
    }
}

#[test]
fn a_plugin_that_succeeds_without_making_its_interface_fails_the_add() {
    let fixture = Fixture::start();
    fixture.node.install("bridge", Path::new(env!("CARGO_BIN_EXE_rooknet-stub-plugin")));
    let mut config = fixture.stub_config("public", &json!({"link": null, "address": "192.0.2.7/24"}));
    config["type"] = json!("bridge");
    config["stub"].as_object_mut().unwrap().remove("link");
    fixture.define("rook-ceph", "public", &config);
    let pod = fixture.pod("osd", Some("public"));

    let (_, message) = fixture.run("ADD", &fixture.chained(), &pod).error();
    assert!(message.contains("net1") && message.contains("public"), "{message}");
    fixture.assert_clean();
}
