//! What is wrong with the installation, its credentials, the agent and the log.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::ward::{CONFLIST, NODE, Ward, provoked};

/// The plugin's credentials.
const CREDENTIALS: &str = "/etc/cni/rooknet/credentials";
const PLUGIN: &str = "/opt/cni/bin/rooknet";

/// Puts credentials for a server that is not there on the node, with a token of these claims.
fn with_token(ward: &Ward<'_>, claims: &Value) {
    let token = format!("e30.{}.eA", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let node = &ward.fixture.node;
    node.write(&format!("{CREDENTIALS}/token"), token);
    node.write(&format!("{CREDENTIALS}/server"), "http://127.0.0.1:1");
    node.write(&format!("{CREDENTIALS}/ca.crt"), "");
    ward.write_conflist(&json!({"kubeconfig": CREDENTIALS}));
}

fn without_token(ward: &Ward<'_>) {
    ward.remove(CREDENTIALS);
    ward.write_conflist(&json!({}));
}

/// Seconds since 1970, from now.
fn seconds(from_now: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + from_now
}

/// A token's claims: of this node, from then to then.
fn claims(node: &str, issued: i64, expires: i64) -> Value {
    json!({
        "iat": seconds(issued), "exp": seconds(expires),
        "kubernetes.io": {"namespace": "kube-system", "serviceaccount": {"name": "rooknet"}, "node": {"name": node}},
    })
}

provoked! {
    "not-installed": fn a_node_without_our_conflist_is_told(ward) {
        ward.remove(CONFLIST);
        ward.shows("not-installed", &["/etc/cni/net.d"]);
        // The record has what the conflist no longer says.
        let record = json!({
            "format": 1, "state": "installed", "version": "0.1.0", "mode": "chained", "binDir": "/opt/cni/bin",
            "confDir": "/etc/cni/net.d", "stateDir": "/var/lib/rooknet", "conflist": "00-rooknet.conflist",
            "keys": {"nodeName": "the-node"},
        });
        ward.fixture.node.write("/etc/cni/rooknet/install.json", record.to_string());
        let outcome = ward.ctl(&["doctor"]);
        assert!(String::from_utf8_lossy(&outcome.stdout).starts_with("node the-node:"), "{outcome}");
        ward.remove("/etc/cni/rooknet/install.json");
        ward.write_conflist(&json!({}));
    }

    "configuration-invalid": fn a_key_of_the_wrong_type_and_a_text_that_is_no_json_are_named(ward) {
        ward.write_conflist(&json!({"deadline": "never"}));
        ward.shows("configuration-invalid", &[CONFLIST, "deadline"]);
        ward.fixture.node.write(CONFLIST, "{");
        ward.shows("configuration-invalid", &[CONFLIST]);
        ward.write_conflist(&json!({}));
    }

    "version-old": fn a_conflist_without_gc_and_status_is_told(ward) {
        let mut conflist = ward.conflist(&json!({}));
        conflist["cniVersion"] = json!("0.4.0");
        ward.fixture.node.write(CONFLIST, conflist.to_string());
        ward.shows("version-old", &[CONFLIST, "0.4.0"]);
        ward.write_conflist(&json!({}));
    }

    "not-first": fn a_configuration_that_sorts_before_ours_is_named(ward) {
        let other = "/etc/cni/net.d/00-multus.conf";
        ward.fixture.node.write(other, r#"{"cniVersion": "0.3.1", "name": "m", "type": "multus"}"#);
        ward.shows("not-first", &[other, CONFLIST]);
        ward.remove(other);
    }

    "plugin-missing": fn a_plugin_that_is_not_there_or_does_not_answer_is_told(ward) {
        ward.remove(PLUGIN);
        ward.shows("plugin-missing", &[PLUGIN]);
        ward.fixture.install_script("rooknet", "exit 7");
        ward.shows("plugin-missing", &[PLUGIN, "7"]);
        ward.fixture.node.install("rooknet", Path::new(env!("CARGO_BIN_EXE_rooknet")));
    }

    "versions-differ": fn a_plugin_of_another_version_is_told(ward) {
        ward.remove(PLUGIN);
        let real = env!("CARGO_BIN_EXE_rooknet");
        ward.fixture.install_script(
            "rooknet",
            &format!("[ -z \"$CNI_COMMAND\" ] && echo 'rooknet 9.9.9' >&2 && exit\nexec {real}"),
        );
        ward.shows("versions-differ", &["9.9.9", env!("CARGO_PKG_VERSION")]);
        ward.fixture.node.install("rooknet", Path::new(real));
    }

    "plugin-not-ready": fn what_the_plugins_own_status_says_is_passed_on(ward) {
        ward.fixture.node.ok(&["mount", "-o", "remount,ro", "/var/lib/rooknet"]);
        ward.shows("plugin-not-ready", &["/var/lib/rooknet"]);
        ward.fixture.node.ok(&["mount", "-o", "remount,rw", "/var/lib/rooknet"]);
    }

    "draining": fn a_drain_that_was_left_behind_is_told_with_its_reason(ward) {
        let file = "/var/lib/rooknet/draining";
        ward.fixture.node.write(file, r#"{"reason": "a new disk", "since": "2026-01-01T00:00:00Z"}"#);
        ward.shows("draining", &["a new disk", "2026-01-01T00:00:00Z", file]);
        ward.remove(file);
    }

    "agent-silent": fn a_snapshot_without_a_heartbeat_is_told(ward) {
        ward.fixture.node.write("/run/rooknet/definitions/rook-ceph/public.json", "{}");
        ward.shows("agent-silent", &["/run/rooknet/definitions"]);
        ward.remove("/run/rooknet/definitions");
    }

    "credentials-unusable": fn credentials_that_are_not_there_are_named(ward) {
        ward.write_conflist(&json!({"kubeconfig": CREDENTIALS}));
        ward.shows("credentials-unusable", &[CREDENTIALS]);
        ward.write_conflist(&json!({}));
    }

    "token-expired": fn a_token_past_its_time_is_told_without_asking_the_server(ward) {
        with_token(&ward, &claims(NODE, -7200, -3600));
        ward.shows_by(&["status"], "token-expired", &["ago"]);
        without_token(&ward);
    }

    "token-not-renewed": fn a_token_in_the_last_quarter_of_its_life_is_told(ward) {
        with_token(&ward, &claims(NODE, -800, 200));
        ward.shows_by(&["status"], "token-not-renewed", &["of 1000 s"]);
        without_token(&ward);
    }

    "token-of-another-node": fn a_token_that_is_bound_to_another_node_is_told(ward) {
        with_token(&ward, &claims("node-b", -10, 3600));
        ward.shows_by(&["status"], "token-of-another-node", &["node-b", NODE]);
        without_token(&ward);
    }

    "clock-wrong": fn a_token_of_the_future_says_that_the_clock_is_behind(ward) {
        with_token(&ward, &claims(NODE, 600, 3600));
        ward.shows_by(&["status"], "clock-wrong", &["from now"]);
        without_token(&ward);
    }

    "api-unreachable": fn a_server_that_does_not_answer_is_named(ward) {
        with_token(&ward, &claims(NODE, -10, 3600));
        ward.shows("api-unreachable", &["127.0.0.1:1"]);
        without_token(&ward);
    }

    "calls-failed": fn a_call_that_failed_lately_is_told_with_its_message(ward) {
        let pod = ward.fixture.pod("osd", Some("nowhere"));
        ward.fixture.run("ADD", &ward.config(), &pod).error();
        ward.shows("calls-failed", &["1 times", "rook-ceph/nowhere", &pod.id]);
        ward.forget_log();
    }
}
