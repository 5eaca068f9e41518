//! containerd takes a DEL's error for a success when its text says "not found", or "no such file or directory" beside an
//! empty namespace: then nobody would try again. So no error of a DEL says it, whoever put the words there.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, Refusal};
use crate::support::PluginCall;

const PHRASES: [&str; 4] =
    ["not found", "no such file or directory", "Not Found", "open /x: No such file or directory: not found"];

/// A DEL that fails, whose object says neither phrase, and which leaves the journal as it should.
#[track_caller]
fn failing_del(fixture: &Fixture, what: &str, call: &PluginCall) -> Refusal {
    let outcome = call.run(&fixture.node);
    let text = String::from_utf8_lossy(&outcome.stdout).to_lowercase();
    assert!(!text.contains("not found") && !text.contains("no such file or directory"), "{what}: {text}");
    Refusal::of(what, &outcome)
}

/// A pod that is attached to `public`, whose DEL will do what `stub` says.
fn attached<'a>(fixture: &'a Fixture, stub: &Value) -> Pod<'a> {
    fixture.define_stub("public", stub);
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    pod
}

#[test]
fn a_delegates_message_details_and_stderr_cannot_turn_its_failure_into_a_success() {
    let fixture = Fixture::start();
    for phrase in PHRASES {
        let error = |message: &str, details: &str| json!({"code": 7, "msg": message, "details": details});
        for stub in [
            json!({"error": error(phrase, "")}),
            json!({"error": error("x", phrase)}),
            json!({"error": error("x", ""), "stderr": format!("{phrase}\n")}),
            json!({"error": error("is not", "found")}),
            json!({"error": null, "stderr": phrase}),
            json!({"error": null, "stdoutText": phrase}),
            json!({"error": {"code": 7, "msg": {"text": phrase}}}),
            json!({"error": {"code": 7, "msg": format!("{}{phrase}", "x".repeat(3000))}, "stderr": "x not"}),
        ] {
            let mut stub = stub;
            // The file beside the plugin decides, so that the DEL can be mended afterwards.
            let beside = "/opt/cni/bin/stub.stub.json";
            let pod = attached(&fixture, &json!({}));
            stub["failOn"] = json!(["DEL"]);
            fixture.node.write(beside, stub.to_string());
            let del = fixture.call("DEL", &fixture.chained(), &pod);
            let refusal = failing_del(&fixture, &stub.to_string(), &del);
            assert!(refusal.message.contains("a DEL must try again"), "{refusal:?}");
            assert_eq!(fixture.node.journals().len(), 1, "{stub}");
            fixture.node.ok(&["rm", beside]);
            del.run(&fixture.node).expect_success("DEL");
            pod.netns.clone().delete();
            fixture.assert_clean();
        }
    }
}

#[test]
fn a_missing_plugin_or_interpreter_is_no_success() {
    let fixture = Fixture::start();
    for breaking in ["rm /opt/cni/bin/scripted", "printf '#!/nowhere/sh\\n' > /opt/cni/bin/scripted"] {
        let script = "[ $CNI_COMMAND = ADD ] && echo '{\"cniVersion\":\"1.1.0\"}'; true";
        fixture.install_script("scripted", script);
        fixture.define("rook-ceph", "public", &json!({"cniVersion": "1.1.0", "name": "public", "type": "scripted"}));
        let pod = fixture.pod("osd", Some("public"));
        fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
        fixture.node.ok(&["sh", "-c", breaking]);
        let del = fixture.call("DEL", &fixture.chained(), &pod);
        let refusal = failing_del(&fixture, breaking, &del);
        assert!(refusal.message.contains("plugin scripted"), "{refusal:?}");
        // The namespace goes meanwhile, as runtimes remove it whatever the DEL says.
        pod.netns.clone().delete();
        failing_del(&fixture, breaking, &del);
        fixture.install_script("scripted", script);
        del.run(&fixture.node).expect_success("DEL");
        fixture.assert_clean();
    }
}

#[test]
fn the_nodes_own_faults_are_no_success() {
    let fixture = Fixture::start();
    let pod = attached(&fixture, &json!({}));
    let journal = format!("/var/lib/rooknet/attachments/{}", fixture.node.journals()[0]);
    fixture.node.ok(&["mv", &journal, "/run/kept"]);
    // A link to nowhere, a file of another kind.
    fixture.node.ok(&["mkdir", &journal]);
    let del = fixture.call("DEL", &fixture.chained(), &pod);
    let refusal = failing_del(&fixture, "a directory", &del);
    assert!(refusal.message.contains(&journal), "{refusal:?}");
    fixture.node.ok(&["rmdir", &journal]);
    fixture.node.ok(&["mv", "/run/kept", &journal]);
    del.run(&fixture.node).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn users_names_cannot_turn_a_failure_into_a_success() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for phrase in PHRASES {
        for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS"] {
            let call = fixture.call("DEL", &fixture.chained(), &pod).env(name, phrase);
            failing_del(&fixture, name, &call).expect(name, 4, &[name]);
        }
        for key in ["name", "cniVersion", "stateDir", "binDir", "cniDir"] {
            let mut config = fixture.chained();
            config[key] = json!(phrase);
            let call = fixture.call("DEL", &config, &pod);
            let code = if key == "cniVersion" { 1 } else { 7 };
            failing_del(&fixture, key, &call).expect(key, code, &[]);
        }
        let call = fixture.call("DEL", &fixture.chained(), &pod).input(format!("{{\"{phrase}\""));
        failing_del(&fixture, phrase, &call).expect(phrase, 6, &[]);
    }
    // In delegating mode without a journal, what the configuration names.
    for phrase in PHRASES {
        let mut config = fixture.delegating(&json!({}));
        config["delegates"][0]["type"] = json!(phrase);
        failing_del(&fixture, phrase, &fixture.call("DEL", &config, &pod));
        let mut config = fixture.delegating(&json!({}));
        config.as_object_mut().unwrap().remove("delegates");
        config["clusterNetwork"] = json!(format!("/etc/cni/{phrase}"));
        failing_del(&fixture, phrase, &fixture.call("DEL", &config, &pod));
    }
}
