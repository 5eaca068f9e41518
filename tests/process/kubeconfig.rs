//! Nodes whose configuration names credentials that are not there, or are none: what needs no API server goes on.
//!
//! What happens with a server is ring 4's subject (test-kube).

use serde_json::{Value, json};

use crate::fixture::{Fixture, assert_error};

/// Where the node would have its credentials.
const KUBECONFIG: &str = "/etc/cni/net.d/rooknet.kubeconfig";

fn with_kubeconfig(mut config: Value) -> Value {
    config["kubeconfig"] = json!(KUBECONFIG);
    config
}

#[test]
fn a_pod_that_selects_nothing_starts_in_both_modes_without_the_kubeconfig() {
    let fixture = Fixture::start();
    for config in [with_kubeconfig(fixture.chained()), with_kubeconfig(fixture.delegating(&json!({})))] {
        let pod = fixture.pod("mon", None);
        let result = fixture.add(&config, &pod);
        if config.get("delegates").is_some() {
            fixture.check(&config, &pod, &result).expect_success("CHECK");
        }
        fixture.del(&config, &pod);
        fixture.gc(&config, &json!([])).expect_success("GC");
        fixture.node_call("STATUS", &config).expect_success("STATUS");
    }
    fixture.assert_clean();
}

#[test]
fn a_pod_that_selects_a_network_of_the_api_server_is_refused_naming_the_missing_kubeconfig() {
    let fixture = Fixture::start();
    for config in [with_kubeconfig(fixture.chained()), with_kubeconfig(fixture.delegating(&json!({})))] {
        let pod = fixture.pod("osd", Some("only-in-the-cluster"));
        fixture.assert_refused(&config, &pod, 5, &["rook-ceph/only-in-the-cluster", KUBECONFIG]);
        fixture.assert_clean();
    }
}

#[test]
fn without_a_way_to_write_its_status_a_pod_that_selects_networks_is_undone() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    for config in [with_kubeconfig(fixture.chained()), with_kubeconfig(fixture.delegating(&json!({})))] {
        let pod = fixture.pod("osd", Some("public"));
        let outcome = fixture.run("ADD", &config, &pod);
        assert_error(&outcome, 5, &["network-status was not written", "PATCH pod rook-ceph/osd/status", KUBECONFIG]);
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "links after the rollback");
        fixture.assert_clean();
    }
}

#[test]
fn a_status_that_would_be_too_long_does_not_keep_a_pod_that_selects_nothing_from_starting() {
    let fixture = Fixture::start();
    let mut config = with_kubeconfig(fixture.chained());
    config["statusForAll"] = json!(true);
    config["logToStderr"] = json!(true);
    config["prevResult"]["dns"] = json!({"search": ["a".repeat(300_000)]});
    let pod = fixture.pod("mon", None);
    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD");
    let log = String::from_utf8_lossy(&added.stderr);
    assert!(log.contains("the pod starts without") && log.contains("262144"), "{log}");
    fixture.del(&config, &pod);
    fixture.assert_clean();
}

#[test]
fn statusforall_and_events_are_refused_without_a_kubeconfig() {
    let fixture = Fixture::start();
    for key in ["statusForAll", "events"] {
        let mut config = fixture.chained();
        config[key] = json!(true);
        let pod = fixture.pod("osd", None);
        fixture.assert_refused(&config, &pod, 7, &[key, "kubeconfig"]);
        assert_error(&fixture.node_call("STATUS", &config), 50, &[key, "kubeconfig"]);
        fixture.run("DEL", &config, &pod).expect_success("DEL");
    }
    fixture.assert_clean();
}

#[test]
fn a_static_pod_starts_without_the_kubeconfig_when_its_networks_are_files() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let config = with_kubeconfig(fixture.chained());
    let pod = fixture.pod("etcd", Some("public")).annotated("kubernetes.io/config.source", "file");
    fixture.add(&config, &pod);
    fixture.del(&config, &pod);
    // The API server's own pods have this annotation, too.
    let pod = fixture.pod("osd", Some("public")).annotated("kubernetes.io/config.source", "api");
    assert_error(&fixture.run("ADD", &config, &pod), 5, &["network-status"]);
    fixture.assert_clean();
}

#[test]
fn credentials_that_cannot_be_used_are_a_warning_of_status_and_a_failure_under_status_strict() {
    let fixture = Fixture::start();
    let mut config = with_kubeconfig(fixture.chained());
    config["logToStderr"] = json!(true);
    for (content, word) in [(None, "does not exist"), (Some("{}"), "current-context"), (Some(": :"), "not YAML")] {
        if let Some(content) = content {
            fixture.node.write(KUBECONFIG, content);
        }
        config["statusStrict"] = json!(false);
        let status = fixture.node_call("STATUS", &config);
        status.expect_success("STATUS");
        let log = String::from_utf8_lossy(&status.stderr).into_owned();
        assert!(log.contains(KUBECONFIG) && log.contains(word), "{log}");
        config["statusStrict"] = json!(true);
        assert_error(&fixture.node_call("STATUS", &config), 50, &["statusStrict", KUBECONFIG, word]);
    }
}

#[test]
fn a_token_that_goes_in_clear_or_to_whoever_answers_is_warned_of() {
    let fixture = Fixture::start();
    let mut config = with_kubeconfig(fixture.chained());
    config["logToStderr"] = json!(true);
    for (cluster, words) in [
        (json!({"server": "http://10.0.0.1:80"}), "the token goes to it in clear"),
        (
            json!({"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": true}),
            "the token goes to whoever answers",
        ),
    ] {
        let kubeconfig = json!({
            "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {"token": "SECRET"}}],
        });
        fixture.node.write(KUBECONFIG, kubeconfig.to_string());
        let status = fixture.node_call("STATUS", &config);
        status.expect_success("STATUS");
        let log = String::from_utf8_lossy(&status.stderr).into_owned();
        assert!(log.contains(KUBECONFIG) && log.contains(words) && !log.contains("SECRET"), "{log}");
    }
}
