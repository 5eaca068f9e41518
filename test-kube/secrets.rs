//! What the node's credentials are made of never leaves by an error or the log: the kubelet makes an event of each
//! error, which whoever started the pod can read.

use serde_json::{Value, json};

use crate::fixture::Refusal;
use crate::proxy::{Fault, Proxy, Rule};
use crate::site::{KUBECONFIG, Site, TOKEN};

const SECRET: &str = "S3CR3Tpart";
const NUMBER: u64 = 908_172_635_445_362;

fn kubeconfig(server: &str, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    })
}

/// A failing ADD says nothing of the secret, on stdout or stderr, with the log at its most talkative.
#[track_caller]
fn assert_silent(site: &Site, what: &str) {
    let pod = site.pod(&site.cluster.unique_name("osd"), Some("net")).not_annotated();
    let mut config = site.chained();
    config["logLevel"] = json!("trace");
    config["deadline"] = json!("2s");
    config["logFile"] = json!("/var/log/rooknet-secrets.log");
    let outcome = site.run("ADD", &config, &pod);
    let refusal = Refusal::of(what, &outcome);
    let code = refusal.code;
    refusal.expect(what, code, &[]);
    let file = site.node().read("/var/log/rooknet-secrets.log").unwrap_or_default();
    let all = format!("{outcome} {}", String::from_utf8_lossy(&file));
    for secret in [SECRET, &NUMBER.to_string(), "UzNDUjNUcGFydA"] {
        assert!(!all.contains(secret), "{what}: {all}");
    }
    site.assert_clean();
    pod.netns.delete();
}

#[test]
fn a_kubeconfig_that_cannot_be_read_is_not_quoted_where_secrets_are() {
    let site = Site::start();
    let server = site.cluster.server().url();
    // "S3CR3Tpart" in base64.
    let encoded = "UzNDUjNUcGFydA==";
    for user in [
        json!({"token": [SECRET]}),
        json!({"token": {SECRET: SECRET}}),
        json!({"token": NUMBER}),
        json!({"token": format!("{SECRET}\n{SECRET}")}),
        json!({"token": format!("{SECRET}\u{e9}")}),
        json!({"token": format!("{SECRET}\u{0}")}),
        json!({"token": format!("{SECRET} {SECRET}")}),
        json!({"client-certificate-data": encoded, "client-key-data": encoded}),
        json!({"client-certificate-data": encoded, "client-key-data": SECRET}),
        json!({"client-certificate-data": encoded, "client-key-data": format!("!{SECRET}!")}),
        json!({"client-certificate-data": encoded, "client-key-data": NUMBER}),
        json!({"username": SECRET, "password": SECRET}),
        json!({"username": NUMBER, "password": NUMBER}),
        json!({"exec": {"command": SECRET, "env": [{"name": "X", "value": SECRET}]}}),
        json!({"auth-provider": {"name": "oidc", "config": {"id-token": SECRET}}}),
        json!(SECRET),
        json!([SECRET]),
        json!(NUMBER),
    ] {
        site.node().write(KUBECONFIG, kubeconfig(&server, &user).to_string());
        assert_silent(&site, &user.to_string());
    }
    for text in [
        format!("users:\n- user: {{token: {SECRET}"),
        format!("users:\n- user:\n    token: \"{SECRET}"),
        format!("users:\n- user:\n    token: {SECRET}: {SECRET}"),
        format!("users:\n- user:\n  token: {SECRET}\n token: @{SECRET}"),
        format!("users: &a\n- user: *{SECRET}"),
        format!("{{\"users\": [{{\"user\": {{\"token\": \"{SECRET}\", "),
        SECRET.to_owned(),
        format!("token: !{SECRET} {SECRET}"),
        format!("- {SECRET}"),
        format!("%{SECRET}"),
    ] {
        site.node().write(KUBECONFIG, &text);
        assert_silent(&site, &text);
    }
    for server in [format!("https://admin:{SECRET}@127.0.0.1:1"), format!("https://127.0.0.1:1/?token={SECRET}")] {
        site.node().write(KUBECONFIG, kubeconfig(&server, &json!({"token": "x"})).to_string());
        assert_silent(&site, &server);
    }
}

#[test]
fn a_token_is_not_told_by_whatever_goes_wrong_with_it() {
    let site = Site::start();
    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    for token in
        [format!("{SECRET}\n{SECRET}"), format!("{SECRET}\u{7f}"), format!("\u{feff}{SECRET}"), SECRET.repeat(20_000)]
    {
        site.write_token(&token);
        assert_silent(&site, "a token");
    }
    site.write_token(SECRET);
    assert_silent(&site, "one that is refused");
    assert!(site.node().read(TOKEN).is_some());
    // A server that answers with what it was sent.
    for status in [200, 401, 403, 500] {
        proxy.relent();
        let body = json!({"kind": "Status", "message": "denied", "reason": "x"}).to_string();
        proxy.add(Rule::new(Fault::Body(status, body)));
        let pod = site.pod(&site.cluster.unique_name("osd"), Some("net")).not_annotated();
        let mut config = site.chained();
        config["deadline"] = json!("1s");
        config["logLevel"] = json!("trace");
        let outcome = site.run("ADD", &config, &pod);
        assert!(!outcome.to_string().contains(SECRET), "{status}: {outcome}");
    }
}
