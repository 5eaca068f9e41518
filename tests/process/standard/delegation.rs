//! 6 and 7: the default network first, one after another, all or nothing, and each network its own arguments.

use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE, assert_error, terminate};
use crate::support::wait_until;

#[test]
fn section_6_2_the_default_network_is_attached_first_and_deleted_last() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    let config = fixture.delegating(&json!({}));
    for selection in ["cluster, public", r#"[{"name": "cluster"}, {"name": "public"}]"#] {
        let pod = fixture.pod("osd", Some(selection));
        fixture.forget_records();
        fixture.add(&config, &pod);
        assert_eq!(fixture.given("ADD", "net1")["name"], "cluster", "in the annotation's order");
        fixture.del(&config, &pod);
        assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1", "ADD net2", "DEL net2", "DEL net1", "DEL eth0"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_6_a_pod_without_its_default_network_gets_nothing() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.delegating(&json!({"failOn": ["ADD"]}));
    let pod = fixture.pod("osd", Some("public"));
    assert_error(&fixture.run("ADD", &config, &pod), 111, &["network pods", "interface eth0"]);
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "DEL eth0"], "the plugin that failed is told to undo");
    fixture.assert_clean();
}

#[test]
fn section_6_in_chained_mode_the_default_network_is_the_previous_result() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let mut config = fixture.chained();
    config.as_object_mut().unwrap().remove("prevResult");
    for selection in [None, Some("public")] {
        let pod = fixture.pod("osd", selection);
        fixture.assert_refused(&config, &pod, 7, &["no default network", "prevResult"]);
    }
    fixture.assert_clean();
}

#[test]
fn section_6_1_add_blocks_until_the_default_network_says_that_it_is_ready() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let mut config = fixture.delegating(&json!({}));
    config["readinessindicatorfile"] = json!("/run/primary/ready");
    let pod = fixture.pod("osd", Some("public"));
    let add = fixture.call("ADD", &config, &pod).start(&fixture.node);
    // It holds its lock while it waits: so it has come as far as the file.
    let locked = || fixture.node.held_locks().iter().any(|lock| lock.file.ends_with(&pod.id));
    wait_until("the lock of the ADD", PATIENCE, locked);
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    assert!(!fixture.has_journal(&pod));
    fixture.node.write("/run/primary/ready", "");
    add.wait().expect_success("ADD after the file was created");
    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1"]);
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn section_6_1_an_invalid_default_network_fails_before_anything_is_attached() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let mut config = fixture.delegating(&json!({}));
    for (delegate, part) in [
        (json!({"name": "pods"}), "type"),
        (json!({"type": "primary"}), "name"),
        (json!({"name": "pods", "type": "primary", "cniVersion": "9.9.9"}), "9.9.9"),
        (json!({"name": "pods", "type": "absent"}), "not installed"),
        (json!({"name": "pods", "type": "rooknet"}), "rooknet"),
        (json!("pods"), "delegates[0]"),
    ] {
        config["delegates"] = json!([delegate]);
        let pod = fixture.pod("osd", Some("public"));
        let outcome = fixture.run("ADD", &config, &pod);
        let (_, message) = outcome.error();
        assert!(message.contains(part), "{part} is missing in {message}");
        assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    }
    fixture.assert_clean();
}

#[test]
fn section_7_2_setup_stops_at_the_first_failure_and_undoes_newest_first() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture
        .define_stub("broken", &json!({"error": {"code": 142, "msg": "no more storage addresses"}, "failOn": ["ADD"]}));
    fixture.define_stub("cluster", &json!({}));
    let pod = fixture.pod("osd", Some("public, broken, cluster"));
    for (config, first) in [(fixture.chained(), &[][..]), (fixture.delegating(&json!({})), &["eth0"])] {
        fixture.forget_records();
        let outcome = fixture.run("ADD", &config, &pod);
        assert_error(&outcome, 142, &["rook-ceph/broken", "interface net2", "no more storage addresses"]);
        let tried: Vec<&str> = first.iter().copied().chain(["net1", "net2"]).collect();
        let adds = tried.iter().map(|ifname| format!("ADD {ifname}"));
        let dels = tried.iter().rev().map(|ifname| format!("DEL {ifname}"));
        assert_eq!(fixture.recorded_calls(), adds.chain(dels).collect::<Vec<_>>());
        fixture.assert_clean();
    }
}

#[test]
fn section_7_2_teardown_tries_all_and_reports_every_failure() {
    let fixture = Fixture::start();
    for name in ["public", "cluster", "third"] {
        fixture.define_stub(name, &json!({}));
    }
    let config = fixture.delegating(&json!({}));
    let pod = fixture.pod("osd", Some("public, cluster, third"));
    fixture.add(&config, &pod);
    fixture.forget_records();

    fixture.overrule("stub", Some(&json!({"failOn": ["DEL"], "error": {"code": 142, "msg": "no way"}})));
    let parts = ["rook-ceph/public", "net1", "rook-ceph/cluster", "net2", "rook-ceph/third", "net3", "no way"];
    assert_error(&fixture.run("DEL", &config, &pod), 142, &parts);
    let all = ["DEL net3", "DEL net2", "DEL net1", "DEL eth0"];
    assert_eq!(fixture.recorded_calls(), all, "past every failure");
    assert!(fixture.has_journal(&pod), "what failed must be tried again");

    fixture.overrule("stub", None);
    fixture.forget_records();
    fixture.run("DEL", &config, &pod).expect_success("DEL again");
    assert_eq!(fixture.recorded_calls(), all, "a plugin's DEL is idempotent");
    fixture.assert_clean();
}

#[test]
fn section_7_2_a_rollback_that_fails_tells_both_and_leaves_the_journal_for_the_del() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"failOn": ["DEL"], "error": {"code": 1, "msg": "cannot let go"}}));
    fixture.define_stub("broken", &json!({"failOn": ["ADD"], "error": {"code": 142, "msg": "cannot attach"}}));
    let config = fixture.chained();
    let pod = fixture.pod("osd", Some("public, broken"));
    let parts = ["cannot attach", "rollback is incomplete", "rook-ceph/public", "cannot let go"];
    assert_error(&fixture.run("ADD", &config, &pod), 142, &parts);
    assert!(fixture.has_journal(&pod));
    fixture.overrule("stub", Some(&json!({"failOn": []})));
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn section_7_3_attachments_of_one_container_never_run_in_parallel() {
    let fixture = Fixture::start();
    fixture.define_stub("slow", &json!({"hangOn": ["ADD"]}));
    fixture.define_stub("public", &json!({}));
    let config = fixture.chained();
    let slow = fixture.pod("osd", Some("slow, public"));
    let first = fixture.call("ADD", &config, &slow).start(&fixture.node);
    fixture.wait_for_record("ADD net1");

    // The runtime attaches a second network of its own to the same container, and this one selects `public`.
    let annotations = json!({"io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": "public@pub0"}});
    let mut other = config.clone();
    other["runtimeConfig"] = annotations;
    let second = fixture.call("ADD", &config, &slow).input(other.to_string()).env("CNI_IFNAME", "eth1");
    let second = second.start(&fixture.node);
    fixture.wait_until_open(&second, &format!("/run/rooknet/locks/{}", slow.id));
    assert_eq!(fixture.recorded_calls(), ["ADD net1"], "neither the first one's next network nor the second one's");

    terminate(&first);
    assert!(!first.wait().success());
    second.wait().expect_success("the second ADD");
    assert_eq!(fixture.recorded_calls(), ["ADD net1", "DEL net1", "ADD pub0"]);
    let del = fixture.call("DEL", &config, &slow).env("CNI_IFNAME", "eth1");
    del.run(&fixture.node).expect_success("DEL");
    fixture.assert_clean();
}

#[test]
fn section_7_5_the_runtimes_runtime_config_reaches_the_default_network_only() {
    let fixture = Fixture::start();
    let declared = json!({"portMappings": true, "mac": true, "ips": true, "io.kubernetes.cri.pod-annotations": true});
    let with_capabilities = |name: &str| {
        let mut config = fixture.stub_config(name, &json!({}));
        config["capabilities"] = declared.clone();
        config
    };
    fixture.define("rook-ceph", "public", &with_capabilities("public"));
    fixture.define("kube-system", "everywhere", &with_capabilities("everywhere"));
    let given = json!({
        "portMappings": [{"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": ""}],
        "mac": "02:00:00:00:00:01", "ips": ["10.244.0.9/24"], "cgroupPath": "/kubepods",
    });
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0]["capabilities"] = declared.clone();
    config["delegates"].as_array_mut().unwrap().push(with_capabilities("second"));
    config["defaultNetworks"] = json!(["everywhere"]);
    config["runtimeConfig"] = given.clone();
    let pod = fixture.pod("osd", Some("public"));
    let result = fixture.add(&config, &pod);
    fixture.check(&config, &pod, &result).expect_success("CHECK");
    fixture.del(&config, &pod);
    for command in ["ADD", "CHECK", "DEL"] {
        let primary = fixture.given(command, "eth0")["runtimeConfig"].clone();
        for key in ["portMappings", "mac", "ips"] {
            assert_eq!(primary[key], given[key], "{command} {key}");
        }
        assert!(primary["io.kubernetes.cri.pod-annotations"].is_object(), "{command}: as a runtime would give it");
        assert_eq!(primary.get("cgroupPath"), None, "{command}: not declared");
        for ifname in ["net1", "net2", "net3"] {
            assert_eq!(fixture.given(command, ifname).get("runtimeConfig"), None, "{command} {ifname}");
        }
    }
    fixture.assert_clean();
}

#[test]
fn section_7_5_addresses_in_cni_args_are_the_default_networks_too() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = fixture.delegating(&json!({}));
    let pod = fixture.pod("osd", Some("public"));
    let arguments = "IP=10.244.0.9;IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph;MAC=02:00:00:00:00:01;K8S_POD_NAME=osd;\
                     GATEWAY=10.244.0.1;OWN=1";
    let call = fixture.call("ADD", &config, &pod).env("CNI_ARGS", arguments);
    call.run(&fixture.node).expect_success("ADD");
    let args = |ifname: &str| -> Value { fixture.records_of("ADD", ifname)[0]["env"]["CNI_ARGS"].clone() };
    assert_eq!(args("eth0"), arguments);
    assert_eq!(args("net1"), "IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph;K8S_POD_NAME=osd;OWN=1");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}
