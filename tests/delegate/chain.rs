//! One network's plugins: order, what each is told, and what their answers mean.

use std::path::PathBuf;

use crate::bench::{Bench, far, run};
use rooknet::cni::network::Network;
use rooknet::cni::result::CniResult;
use rooknet::cni::{Code, Object, Version};
use rooknet::delegate::{Attached, Context, Exit, Failure, Runners, add, check, del, find_executables, gc, status};
use serde_json::{Value, json};

fn result(text: &Value) -> CniResult {
    CniResult::parse("the test's result", &text.to_string(), Version::V1_0_0).unwrap()
}

#[test]
fn add_hands_each_plugin_the_former_ones_result_and_answers_with_the_last() {
    let bench = Bench::new("order");
    let network = bench.network(
        "1.0.0",
        &[
            ("first", json!({"result": {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/24"}]}})),
            ("second", json!({"result": {"cniVersion": "1.0.0", "ips": [], "own": 123456789012345678_u64}})),
            ("third", json!({})),
        ],
    );
    let last = run(add(&network, &bench.context(&far()))).unwrap();
    let records = bench.records();
    assert_eq!(bench.steps(), ["ADD first", "ADD second", "ADD third"]);
    assert_eq!(records[0].config().get("prevResult"), None);
    assert_eq!(records[1].config()["prevResult"]["ips"][0]["address"], "10.0.0.1/24");
    assert_eq!(records[2].config()["prevResult"]["own"], 123456789012345678_u64);
    assert!(last.result.to_raw().unwrap().get().contains("\"own\":123456789012345678"));
}

#[test]
fn every_plugin_gets_the_lists_name_and_version_and_its_own_keys_byte_for_byte() {
    let bench = Bench::new("verbatim");
    bench.install("p");
    let odd = r#"{"z":123456789012345678901234567890,"a":1.50,"Z":[ 1,2 ]}"#;
    let stub = json!({"record": bench.record});
    let plugin = format!(r#"{{"type":"p","cniVersion":"0.1.0","odd":{odd},"stub":{stub}}}"#);
    let text = format!(r#"{{"cniVersion":"0.4.0","name":"net-a","plugins":[{plugin}]}}"#);
    let network = Network::parse("test", &text, None).unwrap();
    run(add(&network, &bench.context(&far()))).unwrap();
    let record = bench.only();
    assert!(record.stdin.as_ref().unwrap().get().contains(odd), "{:?}", record.stdin);
    assert_eq!((&record.config()["name"], &record.config()["cniVersion"]), (&json!("net-a"), &json!("0.4.0")));
}

#[test]
fn the_environment_is_the_calls_own_and_the_runtimes_without_its_cni_variables() {
    let bench = Bench::new("environment");
    let network = bench.network("1.0.0", &[("p", json!({}))]);
    let deadline = far();
    let trace = [("TRACEPARENT", "00-x".into())];
    let context = Context { trace: &trace, ..bench.context(&deadline) };
    run(add(&network, &context)).unwrap();
    let record = bench.only();
    let cni: Vec<String> = record
        .env
        .iter()
        .filter(|(name, _)| name.starts_with("CNI_"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        cni,
        [
            "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=p".to_owned(),
            "CNI_COMMAND=ADD".to_owned(),
            "CNI_CONTAINERID=c1".to_owned(),
            "CNI_IFNAME=net1".to_owned(),
            "CNI_NETNS=/var/run/netns/none".to_owned(),
            format!("CNI_PATH={}", bench.path[0].display()),
        ]
    );
    assert_eq!(record.env["TRACEPARENT"], "00-x");
    assert_eq!(record.env.get("PATH"), std::env::var("PATH").ok().as_ref());
    assert!(record.argv0.starts_with('/'), "{}", record.argv0);
}

#[test]
fn each_plugin_gets_the_runtime_config_of_its_own_capabilities_only() {
    let mut bench = Bench::new("capabilities");
    bench.runtime_config =
        Object::parse("test", r#"{"mac":"02:00:00:00:00:09","ips":["10.0.0.5/24"],"other":1}"#).unwrap();
    let plugins = [
        bench.plugin("a", &json!({}), json!({"capabilities": {"mac": true, "ips": false}})),
        bench.plugin("b", &json!({}), json!({"capabilities": {"ips": true, "portMappings": true}})),
        bench.plugin("c", &json!({}), json!({})),
    ];
    let network = bench.network_of("1.0.0", &plugins);
    let deadline = far();
    let context = bench.context(&deadline);
    run(async {
        let result = add(&network, &context).await.unwrap();
        check(&network, &context, &result.result).await.unwrap();
        del(&network, &context, Some(&result.result)).await.unwrap();
    });
    for record in bench.records() {
        let expected = match record.argv0.rsplit('/').next().unwrap() {
            "a" => json!({"mac": "02:00:00:00:00:09"}),
            "b" => json!({"ips": ["10.0.0.5/24"]}),
            _ => Value::Null,
        };
        assert_eq!(record.config()["runtimeConfig"], expected, "{}", record.step());
    }
}

#[test]
fn an_intermediate_result_of_another_version_reaches_the_next_plugin_in_the_networks() {
    let bench = Bench::new("versions");
    let old = json!({"cniVersion": "0.3.1", "interfaces": [{"name": "net1", "sandbox": "/x"}],
        "ips": [{"version": "4", "address": "10.0.0.1/24", "interface": 0}]});
    let network = bench.network("1.1.0", &[("old", json!({"result": old})), ("new", json!({}))]);
    let last = run(add(&network, &bench.context(&far()))).unwrap();
    let previous = &bench.records()[1].config()["prevResult"];
    assert_eq!(previous["cniVersion"], "1.1.0");
    assert_eq!(previous["ips"][0], json!({"address": "10.0.0.1/24", "interface": 0}));
    assert_eq!(last.result.version(), Version::V1_1_0);
}

#[test]
fn a_result_without_cni_version_takes_the_networks() {
    let bench = Bench::new("no-version");
    let network = bench.network("0.4.0", &[("p", json!({"result": {"ips": null, "dns": {}}}))]);
    let result = run(add(&network, &bench.context(&far()))).unwrap();
    assert_eq!(result.result.version(), Version::V0_4_0);
    assert!(result.result.to_raw().unwrap().get().contains(r#""cniVersion":"0.4.0""#));
}

#[test]
fn success_without_a_result_fails_an_add() {
    let bench = Bench::new("empty");
    let deadline = far();
    let context = bench.context(&deadline);
    let network = bench.network("1.0.0", &[("p", json!({"result": null, "stderr": "why\n"}))]);
    let failure = run(add(&network, &context)).unwrap_err();
    assert!(matches!(&failure, Failure::BadAnswer { reason, .. } if reason.contains("no result")), "{failure:?}");
    assert_eq!(failure.to_cni().code, Code::DELEGATE);
    assert_eq!(failure.to_cni().details, "stderr: why");

    let network = bench.network("1.0.0", &[("p", json!({"stdoutText": "\u{1b}[2J{\"ips\": 7}"}))]);
    let error = run(add(&network, &context)).unwrap_err().to_cni();
    assert!(!error.message.contains('\u{1b}') && error.message.contains("net-a"), "{error:?}");
}

#[test]
fn a_failing_plugin_ends_the_add_and_its_words_and_code_are_kept() {
    let bench = Bench::new("fails");
    let error = json!({"cniVersion": "1.0.0", "code": 11, "msg": "pool \u{7} exhausted", "details": "10.0.0.0/30"});
    let network = bench.network(
        "1.0.0",
        &[("a", json!({})), ("b", json!({"error": error, "stderr": "one\ntwo\n"})), ("c", json!({}))],
    );
    let failure = run(add(&network, &bench.context(&far()))).unwrap_err();
    assert_eq!(bench.steps(), ["ADD a", "ADD b"]);
    let error = failure.to_cni();
    assert_eq!(error.code, Code::TRY_AGAIN_LATER);
    assert!(error.message.starts_with("plugin b failed ADD of network net-a, interface net1: pool "), "{error}");
    assert!(!error.message.contains('\u{7}'));
    assert_eq!(error.details, "10.0.0.0/30; stderr: one | two");
}

#[test]
fn a_plugin_that_dies_without_an_error_object_is_told_by_its_end() {
    let bench = Bench::new("dies");
    let deadline = far();
    let context = bench.context(&deadline);
    let network = bench.network("1.0.0", &[("p", json!({"error": null, "exit": 3, "stderr": "cannot\n"}))]);
    let failure = run(add(&network, &context)).unwrap_err();
    assert!(matches!(&failure, Failure::Failed(failed) if failed.exit == Exit::Code(3)), "{failure:?}");
    assert!(
        failure.to_string().ends_with("exited with status 3 without an error object; its last words: cannot"),
        "{failure}"
    );

    let network = bench.network("1.0.0", &[("p", json!({"stdoutText": "Traceback", "abort": true, "error": null}))]);
    let failure = run(del(&network, &context, None)).unwrap_err();
    assert!(failure.to_string().contains("was killed by SIGABRT"), "{failure}");
    assert_eq!(failure.to_cni().details, "stdout: Traceback");
}

#[test]
fn del_runs_in_reverse_goes_on_past_errors_and_reports_them_all() {
    let bench = Bench::new("del");
    let network = bench.network(
        "1.0.0",
        &[
            ("a", json!({"failOn": ["DEL"], "error": {"code": 11, "msg": "a is stuck"}})),
            ("b", json!({"failOn": ["DEL"], "error": {"code": 7, "msg": "b is stuck"}})),
            ("c", json!({})),
        ],
    );
    let failure = run(del(&network, &bench.context(&far()), None)).unwrap_err();
    assert_eq!(bench.steps(), ["DEL c", "DEL b", "DEL a"]);
    assert!(matches!(&failure, Failure::Several(failures) if failures.len() == 2), "{failure:?}");
    let error = failure.to_cni();
    assert!(error.message.contains("a is stuck") && error.message.contains("b is stuck"), "{error}");
    assert_eq!(error.code, Code::DELEGATE);
}

#[test]
fn del_gives_prev_result_from_version_0_4_0_on_and_does_without_one_that_cannot_be_said() {
    let no_address = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "sandbox": "/x"}]});
    for (version, given) in [("0.3.1", false), ("0.4.0", true), ("1.1.0", true), ("0.2.0", false)] {
        let bench = Bench::new(&format!("del-{version}"));
        let network = bench.network(version, &[("p", json!({}))]);
        run(del(&network, &bench.context(&far()), Some(&result(&no_address)))).unwrap();
        let config = bench.only().config();
        assert_eq!(config.get("prevResult").is_some(), given, "{version}");
        if given {
            assert_eq!(config["prevResult"]["cniVersion"], version);
        }
    }
}

#[test]
fn a_missing_executable_fails_del_but_not_the_other_plugins_del() {
    let bench = Bench::new("missing");
    let network = bench.network("1.0.0", &[("here", json!({})), ("macvlan", json!({}))]);
    std::fs::remove_file(bench.dir.join("bin/macvlan")).unwrap();
    let failure = run(del(&network, &bench.context(&far()), None)).unwrap_err();
    assert_eq!(bench.steps(), ["DEL here"]);
    assert!(matches!(failure, Failure::NotInstalled { .. }), "{failure:?}");
    let text = failure.to_cni().message;
    assert!(text.contains("macvlan") && text.contains("net-a") && text.contains("net1"), "{text}");
    assert!(!text.contains("not found"), "{text}");
}

#[test]
fn executables_of_ipam_plugins_are_missed_too() {
    let bench = Bench::new("find");
    let path: Vec<PathBuf> = bench.path.clone();
    let plugins = [bench.plugin("a", &json!({}), json!({"ipam": {"type": "whereabouts"}}))];
    let network = bench.network_of("1.0.0", &plugins);
    let error = find_executables(&network, Runners::EXECUTED, &path).unwrap_err();
    assert!(error.message.contains("whereabouts") && error.message.contains(path[0].to_str().unwrap()), "{error}");
    bench.install("whereabouts");
    find_executables(&network, Runners::EXECUTED, &path).unwrap();
}

#[test]
fn check_asks_every_plugin_with_the_final_result_and_stops_at_the_first_failure() {
    let bench = Bench::new("check");
    let deadline = far();
    let context = bench.context(&deadline);
    let last = result(&json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1/24"}]}));
    let network = bench.network("1.0.0", &[("a", json!({})), ("b", json!({"failOn": ["CHECK"]})), ("c", json!({}))]);
    let failure = run(check(&network, &context, &last)).unwrap_err();
    assert_eq!(failure.to_cni().code, Code(111));
    assert_eq!(bench.steps(), ["CHECK a", "CHECK b"]);
    for record in bench.records() {
        assert_eq!(record.config()["prevResult"], json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/24"}]}));
    }
}

#[test]
fn check_gc_and_status_pass_over_networks_that_do_not_know_them() {
    let bench = Bench::new("skipped");
    let deadline = far();
    let context = bench.context(&deadline);
    let last = result(&json!({"ips": [{"address": "10.0.0.1/24"}]}));
    run(async {
        check(&bench.network("0.3.1", &[("a", json!({}))]), &context, &last).await.unwrap();
        let mut network = bench.network("1.1.0", &[("a", json!({}))]);
        (network.disable_check, network.disable_gc) = (true, true);
        check(&network, &context, &last).await.unwrap();
        gc(&network, &context, &[]).await.unwrap();
        let old = bench.network("1.0.0", &[("a", json!({}))]);
        gc(&old, &context, &[]).await.unwrap();
        status(&old, &context).await.unwrap();
    });
    assert!(bench.records().is_empty());
}

#[test]
fn gc_tells_every_plugin_what_is_alive_and_nothing_of_a_container() {
    let mut bench = Bench::new("gc");
    bench.runtime_config = Object::parse("test", r#"{"mac":"02:00:00:00:00:09"}"#).unwrap();
    let store = bench.dir.join("store");
    let plugins = [
        bench.plugin("a", &json!({"failOn": ["GC"]}), json!({"capabilities": {"mac": true}})),
        bench.plugin("b", &json!({"store": store}), json!({})),
    ];
    let network = bench.network_of("1.1.0", &plugins);
    let deadline = far();
    let context = bench.context(&deadline);
    let valid = [Attached { container_id: "c1".into(), ifname: "net1".into() }];
    run(async {
        let other = Context { container_id: "c2", ..context.clone() };
        add(&network, &context).await.unwrap();
        add(&network, &other).await.unwrap();
        std::fs::remove_file(&bench.record).unwrap();
        let failure = gc(&network, &context, &valid).await.unwrap_err();
        assert!(matches!(failure, Failure::Failed(_)), "{failure:?}");
    });
    assert_eq!(bench.steps(), ["GC a", "GC b"]);
    for record in bench.records() {
        let config = record.config();
        assert_eq!(config["cni.dev/valid-attachments"], json!([{"containerID": "c1", "ifname": "net1"}]));
        assert_eq!(config["cni.dev/attachments"], config["cni.dev/valid-attachments"]);
        assert_eq!(config.get("runtimeConfig"), None);
        for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
            assert_eq!(record.env[name], "", "{name}");
        }
    }
    assert!(store.join("c1@net1").exists() && !store.join("c2@net1").exists());
}

#[test]
fn gc_with_nothing_alive_gives_an_empty_list() {
    let bench = Bench::new("gc-empty");
    let network = bench.network("1.1.0", &[("a", json!({}))]);
    run(gc(&network, &bench.context(&far()), &[])).unwrap();
    assert_eq!(bench.only().config()["cni.dev/valid-attachments"], json!([]));
}

#[test]
fn the_code_of_a_failing_status_reaches_the_runtime() {
    let bench = Bench::new("status");
    let network = bench
        .network("1.1.0", &[("a", json!({})), ("b", json!({"error": {"code": 51, "msg": "half"}})), ("c", json!({}))]);
    let failure = run(status(&network, &bench.context(&far()))).unwrap_err();
    assert_eq!(failure.to_cni().code, Code::NOT_AVAILABLE_LIMITED);
    assert_eq!(bench.steps(), ["STATUS a", "STATUS b"]);
    assert!(failure.to_string().starts_with("plugin b failed STATUS of network net-a: half"), "{failure}");
}
