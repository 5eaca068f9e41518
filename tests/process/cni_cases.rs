//! The cases that every implementation of the specification meets, in the order of the project's list: 1 to 11, what
//! one call is given and gives. [`lives`] has 12 to 15, which take more than one call.

mod lives;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Fixture, RECORD, Refusal, merge};
use crate::support::{PluginCall, wait_until};
use crate::versions::VERSIONS;

/// A plugin of a list that only records.
fn recorder(plugin_type: &str, stub: &Value) -> Value {
    let mut keys = json!({"record": RECORD});
    merge(&mut keys, stub);
    json!({"type": plugin_type, "stub": keys})
}

fn list(name: &str, plugins: &[Value]) -> Value {
    json!({"cniVersion": "1.1.0", "name": name, "plugins": plugins})
}

#[test]
fn case_01_a_result_without_version_takes_the_configurations() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let result = match version {
            "0.1.0" | "0.2.0" => json!({"ip4": {"ip": "10.1.0.7/24"}}),
            "1.0.0" | "1.1.0" => json!({"ips": [{"address": "10.1.0.7/24"}]}),
            _ => json!({"ips": [{"version": "4", "address": "10.1.0.7/24"}]}),
        };
        let mut config = fixture.delegating(&json!({"result": result}));
        merge(&mut config, &json!({"cniVersion": version}));
        config["delegates"][0]["cniVersion"] = json!(version);
        let pod = fixture.pod("osd", None);
        let added = fixture.run("ADD", &config, &pod);
        added.expect_success(version);
        let mut expected = result;
        expected["cniVersion"] = json!(version);
        assert_eq!(added.json(), expected);
        fixture.run("DEL", &config, &pod).expect_success(version);
    }
    fixture.assert_clean();
}

#[test]
fn case_01_null_fields_of_a_result_are_fine() {
    let fixture = Fixture::start();
    let result = json!({"cniVersion": null, "interfaces": null, "ips": null, "routes": null, "dns": null});
    let config = fixture.delegating(&json!({"result": result}));
    let pod = fixture.pod("osd", None);
    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD");
    assert_eq!(added.json()["cniVersion"], "1.1.0");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_01_an_add_that_prints_nothing_is_an_error_and_is_undone() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"result": null}));
    let pod = fixture.pod("osd", Some("public"));
    let words = ["rook-ceph/public", "net1", "plugin stub", "printed no result"];
    fixture.refused("nothing", &fixture.call("ADD", &fixture.chained(), &pod), 100, &words);
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "DEL net1"]);
}

#[test]
fn case_02_an_intermediate_result_of_another_version_is_accepted() {
    let fixture = Fixture::start();
    for version in VERSIONS {
        let old = match version {
            "0.1.0" | "0.2.0" => json!({"cniVersion": version, "ip4": {"ip": "10.2.0.7/24"}}),
            _ => json!({"cniVersion": version, "ips": [{"version": "4", "address": "10.2.0.7/24"}]}),
        };
        let plugins = [recorder("stub", &json!({"result": old})), recorder("stub2", &json!({}))];
        fixture.define("rook-ceph", "public", &list("public", &plugins));
        let pod = fixture.pod("osd", Some("public"));
        fixture.forget_records();
        fixture.run("ADD", &fixture.chained(), &pod).expect_success(version);
        let previous = &fixture.records()[1]["stdin"]["prevResult"];
        assert_eq!(previous["cniVersion"], "1.1.0", "{version}");
        assert_eq!(previous["ips"][0]["address"], "10.2.0.7/24", "{version}");
        fixture.run("DEL", &fixture.chained(), &pod).expect_success(version);
    }
    fixture.assert_clean();
}

/// A copy of the stub plugin under the type `busy`, and the descriptor that keeps it from being run.
fn busy_plugin(fixture: &Fixture) -> fs::File {
    let file = fixture.node.path("/opt/cni/bin/busy");
    fs::copy(env!("CARGO_BIN_EXE_rooknet-stub-plugin"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    fixture.define("rook-ceph", "public", &list("public", &[recorder("busy", &json!({}))]));
    OpenOptions::new().append(true).open(file).unwrap()
}

#[test]
fn case_03_a_plugin_that_is_being_replaced_is_tried_again() {
    let fixture = Fixture::start();
    let writer = busy_plugin(&fixture);
    let pod = fixture.pod("osd", Some("public"));
    let call = fixture.call("ADD", &fixture.chained(), &pod).start(&fixture.node);
    // The journal comes right before the first plugin.
    wait_until("the journal", Duration::from_secs(10), || !fixture.node.journals().is_empty());
    drop(writer);
    call.wait().expect_success("ADD");
    assert_eq!(fixture.recorded_calls(), ["ADD net1"]);
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_03_a_plugin_that_stays_busy_is_an_error_and_no_empty_success() {
    let fixture = Fixture::start();
    let _writer = busy_plugin(&fixture);
    let pod = fixture.pod("osd", Some("public"));
    let outcome = fixture.run("ADD", &fixture.chained(), &pod);
    let words = ["plugin busy cannot be started", "/opt/cni/bin/busy", "it is being written"];
    Refusal::of("busy", &outcome).expect("busy", 100, &words);
    assert_eq!(fixture.records(), Vec::<Value>::new());
}

#[test]
fn case_04_big_integers_unknown_keys_and_their_order_survive() {
    let fixture = Fixture::start();
    let text = format!(
        r#"{{"cniVersion":"1.1.0","zeta":123456789012345678901234567890,"type":"stub","Mixed":{{"b":1,"a":9007199254740993}},
           "exp":1.50e+300,"stub":{{"record":"{RECORD}"}},"name":"public"}}"#
    );
    fixture.node.write("/etc/cni/rooknet/networks/rook-ceph/public.conf", text);
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    let lines = fixture.record_lines();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let mut rest = line.split_once("\"stdin\":").unwrap().1;
        for part in [
            "\"zeta\":123456789012345678901234567890,",
            "\"type\":\"stub\",",
            "\"Mixed\":{\"b\":1,\"a\":9007199254740993}",
            "\"exp\":1.50e+300",
        ] {
            rest = rest.split_once(part).unwrap_or_else(|| panic!("{part} is not next in {rest}")).1;
        }
    }
    fixture.assert_clean();
}

#[test]
fn case_04_unknown_keys_of_a_result_reach_the_runtime_as_they_were_written() {
    let fixture = Fixture::start();
    let result =
        r#"{"zeta":123456789012345678901234567890,"cniVersion":"1.1.0","alpha":[1.0,{"x":18446744073709551616}]}"#;
    // As text: a value of serde_json's would lose what this is about.
    let config = fixture.delegating(&json!({"result": "here"})).to_string().replacen("\"here\"", result, 1);
    let pod = fixture.pod("osd", None);
    let call = fixture.call("ADD", &fixture.delegating(&json!({})), &pod).env("CNI_ARGS", "").input(config);
    assert_eq!(call.run(&fixture.node).expect_success("ADD").trim_end(), result);
    call.operation("DEL").run(&fixture.node).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_05_keys_are_read_in_any_letter_case_and_the_last_duplicate_wins() {
    let fixture = Fixture::start();
    let text = format!(
        r#"{{"name":"wrong name","CNIVERSION":"0.3.1","TYPE":"rooknet","NAME":"k8s-pods",
            "delegates":[{{"type":"nowhere","Type":"primary","name":"x","NAME":"pods","CniVersion":"1.1.0",
                          "stub":{{"record":"{RECORD}","address":"10.1.0.7/24"}}}}]}}"#
    );
    let pod = fixture.pod("osd", None);
    let call = PluginCall::new(&fixture.program(), "ADD", &text).container(&pod.id, &pod.netns, "eth0");
    let added = call.run(&fixture.node);
    added.expect_success("ADD");
    assert_eq!(added.json()["cniVersion"], "0.3.1");
    assert_eq!(fixture.records()[0]["argv0"], "/opt/cni/bin/primary");
    call.operation("DEL").run(&fixture.node).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_05_go_cnis_runtime_config_without_json_tags_reaches_the_default_network_unchanged() {
    let fixture = Fixture::start();
    let capabilities = json!({
        "portMappings": [{"HostPort": 6789, "ContainerPort": 6789, "Protocol": "tcp", "HostIP": ""}],
        "bandwidth": {"IngressRate": 1_000_000_u64, "IngressBurst": 0, "EgressRate": 0, "EgressBurst": 0},
        "dns": {"Servers": null, "Searches": null, "Options": null},
    });
    let mut config = fixture.delegating(&json!({}));
    merge(&mut config, &json!({"runtimeConfig": capabilities}));
    config["delegates"][0]["capabilities"] = json!({"portMappings": true, "bandwidth": true, "dns": true});
    let pod = fixture.pod("osd", None);
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    for record in fixture.records() {
        assert_eq!(record["stdin"]["runtimeConfig"], capabilities);
    }
    fixture.assert_clean();
}

#[test]
fn case_06_del_succeeds_whatever_the_namespace_is_and_however_often() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"link": false}));
    for config in [fixture.chained(), fixture.delegating(&json!({"link": false}))] {
        for netns in [None, Some(""), Some("/run/netns/gone"), Some("/etc/hostname"), Some("/run"), Some("relative")] {
            let pod = fixture.pod("osd", Some("public"));
            fixture.run("ADD", &config, &pod).expect_success("ADD");
            pod.netns.clone().delete();
            let del = fixture.call("DEL", &config, &pod);
            let del = netns.map_or_else(|| del.clone().without("CNI_NETNS"), |path| del.clone().env("CNI_NETNS", path));
            for _ in 0..2 {
                assert_eq!(del.run(&fixture.node).expect_success(&format!("DEL with {netns:?}")), "");
            }
            fixture.assert_clean();
        }
    }
}

#[test]
fn case_06_del_succeeds_with_no_prev_result_and_with_a_corrupt_one() {
    let fixture = Fixture::start();
    let corrupt = [json!("text"), json!(7), json!([]), json!({"ips": [{"address": "x"}]}), json!({"cniVersion": "9"})];
    for (config, stored) in [(fixture.chained(), true), (fixture.delegating(&json!({})), true)]
        .into_iter()
        .chain([(fixture.chained(), false), (fixture.delegating(&json!({})), false)])
    {
        for previous in [Value::Null].iter().chain(&corrupt) {
            let pod = fixture.pod("osd", None);
            if stored {
                fixture.run("ADD", &config, &pod).expect_success("ADD");
            }
            let mut config = config.clone();
            config["prevResult"] = previous.clone();
            let del = fixture.run("DEL", &config, &pod);
            assert_eq!(del.expect_success(&format!("DEL with {previous}")), "");
            pod.netns.clone().delete();
            fixture.assert_clean();
        }
    }
}

#[test]
fn case_07_cni_args_are_pairs_and_unknown_keys_need_ignore_unknown() {
    let fixture = Fixture::start();
    let config = fixture.delegating(&json!({}));
    let pod = fixture.pod("osd", None);
    let call = |arguments: &str| fixture.call("ADD", &config, &pod).env("CNI_ARGS", arguments);
    for wrong in ["IP", "IP=a=b", "IP=10.1.0.7;", ";", "IgnoreUnknown=1;x"] {
        fixture.refused(wrong, &call(wrong), 4, &["CNI_ARGS has the pair", "KEY=VALUE"]);
    }
    for unknown in ["FOO=1", "FOO=1;IgnoreUnknown=0", "ignoreunknown=1;FOO=1"] {
        fixture.refused(unknown, &call(unknown), 4, &["CNI_ARGS has unknown keys", "FOO", "add IgnoreUnknown=1"]);
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    for good in ["", "FOO=1;IgnoreUnknown=1", "IgnoreUnknown=true;FOO=1", "A=1;IgnoreUnknown=True;B="] {
        call(good).run(&fixture.node).expect_success(good);
        fixture.run("DEL", &config, &pod).expect_success("DEL");
        assert_eq!(fixture.records()[0]["env"]["CNI_ARGS"], good);
        fixture.forget_records();
    }
}

#[test]
fn case_08_the_nodes_own_namespace_is_refused_before_anything_is_done() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    fixture.node.ok(&["touch", "/run/netns-of-node"]);
    fixture.node.ok(&["mount", "--bind", "/proc/self/ns/net", "/run/netns-of-node"]);
    let before = fixture.node.host().interfaces();
    for config in [fixture.chained(), fixture.delegating(&json!({}))] {
        for path in [fixture.node.host().path().as_str(), "/proc/self/ns/net", "/run/netns-of-node"] {
            let call = fixture.call("ADD", &config, &pod).env("CNI_NETNS", path);
            fixture.refused(path, &call, 4, &["CNI_NETNS", path, "the node's own network namespace"]);
            // What a broken runtime sends to DEL must not reach the node either.
            let del = call.operation("DEL").run(&fixture.node);
            del.expect_success(path);
            let reached: Vec<Value> = fixture.records();
            assert!(reached.iter().all(|record| record["env"]["CNI_NETNS"] == ""), "{reached:?}");
            fixture.forget_records();
        }
    }
    assert_eq!(fixture.node.host().interfaces(), before);
    fixture.node.ok(&["umount", "/run/netns-of-node"]);
}

#[test]
fn case_09_a_command_or_version_of_the_future_is_code_1() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    for version in ["1.2.0", "1.1", "2.0.0", "0.5.0", "v1.0.0", "latest", " 1.0.0"] {
        let mut config = fixture.chained();
        config["cniVersion"] = json!(version);
        for operation in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            let words = ["cniVersion", version.trim(), "use one of 0.1.0, 0.2.0"];
            let refusal = fixture.refused(operation, &fixture.call(operation, &config, &pod), 1, &words);
            assert_eq!(refusal.version, "1.1.0");
        }
    }
    // GC and STATUS at 1.0.0, CHECK at 0.3.1: see `versions`; CNI_COMMAND unset: see `about`.
    for (operation, version) in [("GC", "1.0.0"), ("STATUS", "1.0.0"), ("CHECK", "0.3.1")] {
        let mut config = fixture.chained();
        config["cniVersion"] = json!(version);
        fixture.refused(operation, &fixture.call(operation, &config, &pod), 1, &[operation, version]);
    }
}

#[test]
fn case_10_gc_with_an_absent_list_keeps_what_lives_and_with_an_empty_one_keeps_nothing() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (live, dead) = (fixture.pod("live", Some("public")), fixture.pod("dead", Some("public")));
    for pod in [&live, &dead] {
        fixture.run("ADD", &fixture.chained(), pod).expect_success("ADD");
    }
    dead.netns.clone().delete();
    let gc = |list: Option<Value>| {
        let mut config = fixture.chained();
        if let Some(list) = list {
            config["cni.dev/valid-attachments"] = list;
        }
        assert_eq!(fixture.node_call("GC", &config).expect_success("GC"), "");
    };
    gc(None);
    assert_eq!(fixture.taken(), [format!("{}@net1", live.id)]);
    gc(Some(Value::Null));
    gc(Some(json!([{"containerID": live.id, "ifname": "eth0"}])));
    assert_eq!(live.netns.interfaces(), ["net1"]);
    assert_eq!(fixture.node.journals().len(), 1);
    gc(Some(json!([])));
    fixture.assert_clean();
}

#[test]
fn case_11_a_chained_plugin_with_an_empty_result_is_an_error_that_names_it() {
    let fixture = Fixture::start();
    let plugins = [recorder("stub", &json!({"address": "10.2.0.7/24"})), recorder("stub2", &json!({"result": null}))];
    fixture.define("rook-ceph", "public", &list("public", &plugins));
    let pod = fixture.pod("osd", Some("public"));
    let call = fixture.call("ADD", &fixture.chained(), &pod);
    fixture.refused("empty", &call, 100, &["plugin stub2", "printed no result", "rook-ceph/public"]);
    let plugins: Vec<Value> = fixture.records().into_iter().map(|record| record["argv0"].clone()).collect();
    assert_eq!(plugins, ["/opt/cni/bin/stub", "/opt/cni/bin/stub2", "/opt/cni/bin/stub2", "/opt/cni/bin/stub"]);
    // An object without keys says at least that it is one.
    let plugins = [recorder("stub", &json!({})), recorder("stub2", &json!({"result": {}}))];
    fixture.define("rook-ceph", "public", &list("public", &plugins));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn case_11_addresses_without_interface_are_fine_and_an_index_out_of_range_is_not() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    let result = |interface: &Value| {
        let mut address = json!({"address": "10.2.0.7/24"});
        if !interface.is_null() {
            address["interface"] = interface.clone();
        }
        json!({"cniVersion": "1.1.0", "ips": [address],
               "interfaces": [{"name": "net1", "sandbox": pod.netns.path()}]})
    };
    fixture.define_stub("public", &json!({"result": result(&Value::Null)}));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    for index in [json!(1), json!(-1), json!(4_294_967_296_u64), json!("0")] {
        fixture.define_stub("public", &json!({"result": result(&index)}));
        let what = index.to_string();
        let words = ["plugin stub", "rook-ceph/public", "ips[0]", "interface", &what];
        fixture.refused(&what, &fixture.call("ADD", &fixture.chained(), &pod), 100, &words);
    }
}
