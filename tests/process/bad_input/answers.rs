//! What plugins print: many languages, many faults, and some of it by a pod's author.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Refusal};

/// A fixture whose network `public` does what each row says after one that works, so that there is something to undo.
struct Rows {
    fixture: Fixture,
}

impl Rows {
    fn new() -> Self {
        let fixture = Fixture::start();
        fixture.define_stub("first", &json!({}));
        Rows { fixture }
    }

    /// The ADD fails with these words, and every plugin that was tried is undone, newest first.
    #[track_caller]
    fn refuse(&self, what: &str, stub: &Value, code: u64, words: &[&str]) -> Refusal {
        self.fixture.define_stub("public", stub);
        self.fixture.forget_records();
        let pod = self.fixture.pod("osd", Some("first,public@storage"));
        let call = self.fixture.call("ADD", &self.fixture.chained(), &pod);
        let words: Vec<&str> =
            ["network rook-ceph/public on interface storage", "plugin stub"].iter().chain(words).copied().collect();
        let refusal = self.fixture.refused(what, &call, code, &words);
        let calls = self.fixture.recorded_calls();
        assert_eq!(calls, ["ADD net1", "ADD storage", "DEL storage", "DEL net1"], "{what}");
        pod.netns.delete();
        refusal
    }

    /// As text of a successful ADD.
    fn refuse_answer(&self, answer: &str, words: &[&str]) {
        // Only ADD prints: the DEL of the rollback does not care.
        let result: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
        if result.is_null() {
            self.fixture.install_script("scripted", &format!("[ $CNI_COMMAND = ADD ] && printf '%s' '{answer}'; true"));
            let config = json!({"cniVersion": "1.1.0", "name": "public", "type": "scripted"});
            self.fixture.define("rook-ceph", "public", &config);
            let pod = self.fixture.pod("osd", Some("first,public@storage"));
            let call = self.fixture.call("ADD", &self.fixture.chained(), &pod);
            self.fixture.refused(answer, &call, 100, words);
            pod.netns.delete();
        } else {
            self.refuse(answer, &json!({"result": result}), 100, words);
        }
    }
}

#[test]
fn a_result_that_is_no_json_object_is_shown() {
    let rows = Rows::new();
    for (answer, words) in [
        ("", &["it printed no result"][..]),
        ("  ", &["it printed no result"]),
        ("nonsense", &["its result is not a JSON object", "it printed nonsense"]),
        ("{\"cniVersion\":\"1.1.0\"", &["EOF", "it printed {\"cniVersion\""]),
        ("{}{}", &["trailing characters", "it printed {}{}"]),
        ("{\"cniVersion\":\"1.1.0\"} Success", &["trailing characters"]),
        ("time=now level=info {\"cniVersion\":\"1.1.0\"}", &["it printed time=now"]),
        ("null", &["null"]),
        ("\u{1b}[2J\u{202e}", &["it printed \\u{1b}[2J\\u{202e}"]),
        ("[]", &["its result is not a JSON object"]),
        ("\"text\"", &["its result is not a JSON object"]),
        ("7", &["its result is not a JSON object"]),
    ] {
        rows.refuse_answer(answer, words);
    }
}

#[test]
fn a_result_of_the_wrong_types_names_element_key_and_value() {
    let rows = Rows::new();
    let list: [(Value, &[&str]); 16] = [
        (json!({"cniVersion": 1.1}), &["\"cniVersion\"", "1.1"]),
        (json!({"cniVersion": "9.9.9"}), &["cniVersion \"9.9.9\""]),
        (json!({"interfaces": {}}), &["\"interfaces\"", "list"]),
        (json!({"interfaces": [7]}), &["interfaces[0]"]),
        (json!({"interfaces": [{"name": "a", "mac": 7}]}), &["interfaces[0]", "\"mac\""]),
        (json!({"interfaces": [{"name": "a", "mtu": "big"}]}), &["interfaces[0]", "\"mtu\"", "whole number"]),
        (json!({"ips": "10.1.0.7/24"}), &["\"ips\"", "list"]),
        (json!({"ips": [{}]}), &["ips[0]", "\"address\" is missing", "10.0.0.5/24"]),
        (json!({"ips": [{"address": "10.1.0.7"}]}), &["ips[0]", "\"10.1.0.7\"", "prefix length"]),
        (json!({"ips": [{"address": "10.1.0.7/24"}, {"address": "x/y"}]}), &["ips[1]", "\"x/y\""]),
        (json!({"ips": [{"address": "10.1.0.7/24", "gateway": "2001:db8::1"}]}), &["ips[0]", "family"]),
        (json!({"ips": [{"address": "10.1.0.7/24", "interface": 0}]}), &["ips[0]", "interface"]),
        (json!({"routes": [{"gw": "10.1.0.1"}]}), &["routes[0]", "\"dst\" is missing"]),
        (json!({"routes": [{"dst": "0.0.0.0/0", "gw": "x"}]}), &["routes[0]", "\"gw\"", "not an IP address"]),
        (json!({"dns": "10.1.0.53"}), &["\"dns\""]),
        (json!({"ips": vec![json!({"address": "10.1.0.7/24"}); 1025]}), &["\"ips\"", "1024"]),
    ];
    for (result, words) in list {
        rows.refuse(&result.to_string().chars().take(80).collect::<String>(), &json!({"result": result}), 100, words);
    }
}

#[test]
fn a_result_with_an_interface_index_out_of_range_is_an_error() {
    let rows = Rows::new();
    for index in [json!(1), json!(-1), json!(2_147_483_648_u64), json!(1.5), json!("0")] {
        let result = json!({"interfaces": [{"name": "storage", "sandbox": "/x"}],
                            "ips": [{"address": "10.1.0.7/24", "interface": index}]});
        rows.refuse(&index.to_string(), &json!({"result": result}), 100, &["ips[0]", "interface", &index.to_string()]);
    }
}

#[test]
fn an_error_object_of_any_code_is_read_as_far_as_it_can_be() {
    let rows = Rows::new();
    for (code, expected) in [
        (json!(7), 7),
        (json!(4_294_967_295_u64), 4_294_967_295),
        (json!("11"), 11),
        (json!(0), 100),
        (json!(-1), 100),
        (json!(4_294_967_296_u64), 100),
        (json!(1.5), 100),
        (json!(null), 100),
        (json!({"a": 1}), 100),
        (json!("seven"), 100),
    ] {
        let error =
            json!({"cniVersion": "1.1.0", "code": code, "msg": "the pool is empty", "details": "of 10.1.0.0/24"});
        let refusal = rows.refuse(
            &error.to_string(),
            &json!({"error": error, "failOn": ["ADD"]}),
            expected,
            &["the pool is empty"],
        );
        assert!(refusal.details.contains("of 10.1.0.0/24"), "{refusal:?}");
    }
    for (error, words) in [
        (json!({"code": 7}), &["exited with status 1 without an error object"][..]),
        (json!({"msg": ["a", 1], "code": 7}), &["[\"a\",1]"]),
        (json!({"msg": "a\n\u{1b}[2Jb\u{202e}", "code": 7}), &["a\\n\\u{1b}[2Jb\\u{202e}"]),
        (json!({"MSG": "in capitals", "Code": 7}), &["in capitals"]),
    ] {
        rows.refuse(&error.to_string(), &json!({"error": error, "failOn": ["ADD"]}), 7, words);
    }
    let long = json!({"code": 7, "msg": "m".repeat(30_000), "details": "d".repeat(30_000)});
    let refusal = rows.refuse("a long one", &json!({"error": long, "failOn": ["ADD"]}), 7, &["mmmm"]);
    assert!(refusal.details.len() < 4096, "{}", refusal.details.len());
}

#[test]
fn an_error_object_with_exit_status_0_is_no_success() {
    let rows = Rows::new();
    let error = json!({"cniVersion": "1.1.0", "code": 11, "msg": "not now"});
    rows.refuse("code", &json!({"result": error}), 11, &["not now"]);
}

#[test]
fn a_plugin_that_fails_without_a_word_is_described_by_its_end() {
    let rows = Rows::new();
    let fail = |more: Value| {
        let mut stub = json!({"failOn": ["ADD"], "error": null});
        crate::fixture::merge(&mut stub, &more);
        stub
    };
    rows.refuse("exit", &fail(json!({"exit": 3})), 100, &["exited with status 3 without an error object"]);
    rows.refuse("signal", &fail(json!({"abort": true})), 100, &["was killed by SIGABRT without an error object"]);
    let stderr = "first\nlast words\n";
    let refusal = rows.refuse("stderr", &fail(json!({"stderr": stderr})), 100, &["its last words: last words"]);
    assert!(refusal.details.contains("first | last words"), "{refusal:?}");
    let panic = "panic: runtime error\ngoroutine 1 [running]:";
    let refusal = rows.refuse("a Go panic on stdout", &fail(json!({"stdoutText": panic})), 100, &["status 1"]);
    assert!(refusal.details.contains("stdout: panic: runtime error\\ngoroutine"), "{refusal:?}");
}

#[test]
fn bytes_that_are_no_text_are_escaped() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    let config = json!({"cniVersion": "1.1.0", "name": "public", "type": "scripted"});
    fixture.define("rook-ceph", "public", &config);
    let call = fixture.call("ADD", &fixture.chained(), &pod);
    let on_add = |command: &str| format!("[ $CNI_COMMAND = ADD ] || exit 0; {command}");
    fixture.install_script("scripted", &on_add(r"printf 'bad \377\033[2J\302 end' >&2; exit 3"));
    let refusal = fixture.refused("stderr", &call, 100, &["exited with status 3", "bad \\xff\\u{1b}[2J\\xc2 end"]);
    assert!(refusal.details.contains("\\xff\\u{1b}"), "{refusal:?}");
    fixture.install_script("scripted", &on_add(r#"printf '{"code":7,"msg":"bad \377\033[2J"}'; exit 3"#));
    fixture.refused("error object", &call, 100, &["exited with status 3"]);
    fixture.install_script("scripted", &on_add(r#"printf '{"code":7,"msg":"bad \377 \\u001b[2J"}'; exit 3"#));
    fixture.refused("error object", &call, 7, &["bad \u{fffd} \\u{1b}[2J"]);
    fixture.install_script("scripted", &on_add(r#"printf '{"cniVersion":"1.1.0","x":"\377"}'"#));
    fixture.refused("result", &call, 100, &["not UTF-8 from byte 27", "\\xff"]);
}

#[test]
fn what_cannot_be_run_is_named() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    fixture.define("rook-ceph", "public", &json!({"cniVersion": "1.1.0", "name": "public", "type": "scripted"}));
    let call = fixture.call("ADD", &fixture.chained(), &pod);
    for (content, words) in [
        ("#!/nowhere/sh\n", &["/opt/cni/bin/scripted", "its interpreter or dynamic loader is missing"][..]),
        ("\u{7f}ELF nonsense", &["/opt/cni/bin/scripted", "it is no program for this machine"]),
    ] {
        fixture.install_script("scripted", "");
        fixture.node.write("/opt/cni/bin/scripted", content);
        // It cannot be run for the rollback either: the DEL that follows must try again, and succeeds once it can.
        let outcome = call.run(&fixture.node);
        let words: Vec<&str> = words.iter().chain(&["the rollback is incomplete"]).copied().collect();
        Refusal::of(content, &outcome).expect(content, 100, &words);
        assert_eq!(fixture.node.journals().len(), 1);
        fixture.install_script("scripted", "true");
        fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
        fixture.assert_clean();
    }
}
