//! What is done to the agents and to what they look after.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::process::Command;

use super::{Node, Stage};
use crate::support::run;

/// Where the plugin's token is.
const TOKEN: &str = "/etc/cni/rooknet/token";

impl Stage {
    /// Kills the agent of a node, if one runs.
    #[track_caller]
    pub(crate) fn kill_agent(&self, node: &str) {
        let pod = self.agent_pod(node);
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default();
        let Some((_, id)) = id.split_once("://") else { return };
        // Between the look and the kill it may have ended.
        self.node(node).enter(&["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id]);
    }

    /// Puts new agents in the place of those that run.
    #[track_caller]
    pub(crate) fn replace_agents(&self) {
        self.api.delete("/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io/name=rooknet");
        self.await_agents();
    }

    /// The digest of the plugin's program on a node.
    #[track_caller]
    pub(crate) fn plugin_digest(&self, node: &str) -> String {
        self.node(node).shell("sha256sum </opt/cni/bin/rooknet")
    }

    /// Puts in the place of the plugin's token one that says the same and was issued `seconds` earlier, signed by the
    /// cluster's own key.
    #[track_caller]
    pub(crate) fn age_token(&self, node: &str, seconds: i64) {
        let node = self.node(node);
        let token = node.read(TOKEN).expect("the plugin's token");
        let parts: Vec<&str> = token.trim().split('.').collect();
        let [header, claims, _] = parts.as_slice() else { panic!("the token is no JWT") };
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        for key in ["iat", "nbf", "exp"] {
            claims[key] = json!(claims[key].as_i64().unwrap() - seconds);
        }
        let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let key = self.directory().join("control/service-accounts.key");
        let mut command = Command::new("openssl");
        command.args(["dgst", "-sha256", "-sign"]).arg(key);
        let outcome = run(command, text.as_bytes());
        outcome.expect_success("sign the token");
        node.write(TOKEN, &format!("{text}.{}", URL_SAFE_NO_PAD.encode(raw_signature(&outcome.stdout))));
    }

    /// Events of a namespace: `type reason pod: message`.
    #[track_caller]
    pub(crate) fn events(&self, namespace: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found = self.pods_of(&format!("/api/v1/namespaces/{namespace}/events"));
        let line = |event: &Value| {
            let (kind, reason) = (text(&event["type"]), text(&event["reason"]));
            format!("{kind} {reason} {}: {}", text(&event["involvedObject"]["name"]), text(&event["message"]))
        };
        found.iter().map(line).collect()
    }

    /// The warnings among them.
    #[track_caller]
    pub(crate) fn warnings(&self, namespace: &str) -> Vec<String> {
        self.events(namespace).into_iter().filter(|event| event.starts_with("Warning ")).collect()
    }

    /// Forgets the events of former cases.
    #[track_caller]
    pub(crate) fn clear_events(&self, namespace: &str) {
        self.api.delete(&format!("/api/v1/namespaces/{namespace}/events"));
    }
}

impl Node {
    /// Writes a file there as an installer should: beside its place, then renamed.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, content: &str) {
        let new = format!("{path}.new");
        self.enter_with(&["sh", "-euc", "cat >\"$1\" && mv \"$1\" \"$2\"", "sh", &new, path], content.as_bytes())
            .expect_success(&format!("write {path}"));
    }
}

/// A signature on the curve P-256 as tokens have it (RFC 7518, section 3.4: both numbers, 32 bytes each) from the form in
/// which openssl writes it (RFC 3279, section 2.2.3: a sequence of two integers).
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let integer = |at: usize| {
        assert_eq!(der[at], 2, "an integer");
        let end = at + 2 + usize::from(der[at + 1]);
        (&der[at + 2..end], end)
    };
    let (first, end) = integer(2);
    let (second, _) = integer(end);
    let padded = |number: &[u8]| {
        let digits = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        [vec![0; 32 - digits.len()], digits.to_vec()].concat()
    };
    [padded(first), padded(second)].concat()
}
