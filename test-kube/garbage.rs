//! An API server that answers what it should not: taken over, or something else at its address.
//!
//! Whatever it says, the plugin says what is wrong in one line, attaches nothing, sends its token nowhere else, and
//! takes nothing for a pod without networks.

use serde_json::{Value, json};

use crate::fixture::Refusal;
use crate::proxy::{Fault, Proxy, Rule};
use crate::site::{Pod, Site};

/// Texts that are neither the pod nor the network `net` of `namespace`, whatever was asked for.
fn garbage(namespace: &str) -> Vec<(&'static str, String)> {
    let object = |kind: &str, metadata: &Value| json!({"kind": kind, "metadata": metadata, "spec": {}}).to_string();
    let foreign = json!({"namespace": "kube-system", "name": "net", "uid": "1"});
    vec![
        ("nothing", String::new()),
        ("a page", "<html>\u{1b}[2J please log in</html>".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("a list", "[]".to_owned()),
        ("null", "null".to_owned()),
        ("empty metadata", r#"{"metadata":{}}"#.to_owned()),
        ("metadata that is none", r#"{"metadata":[]}"#.to_owned()),
        ("a status", object("Status", &json!({}))),
        ("another's", object("Pod", &foreign)),
        ("another's network", object("NetworkAttachmentDefinition", &foreign)),
        ("another kind", object("Secret", &json!({"namespace": namespace, "name": "net", "uid": "1"}))),
        ("a list of objects", json!({"kind": "PodList", "metadata": {}, "items": []}).to_string()),
        ("half of it", r#"{"kind":"Pod","metadata":{"namespace":""#.to_owned()),
        ("deep", "[".repeat(1_000_000)),
        ("deep inside", format!(r#"{{"metadata":{{"x":{}{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000))),
        ("large", format!(r#"{{"metadata":{{"x":"{}"}}}}"#, "x".repeat(5_000_000))),
        ("a long key", format!(r#"{{"kind":"{0}","metadata":{{"name":"{0}"}}}}"#, "\u{202e}k".repeat(100_000))),
    ]
}

struct Liar {
    site: Site,
    proxy: Proxy,
}

impl Liar {
    fn start() -> Self {
        let site = Site::start();
        site.define_stub("net", &json!({}));
        let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
        site.use_server(&proxy.url());
        Self { site, proxy }
    }

    /// With this answer to requests of `method` whose path has `path`, the ADD fails with all of `words`; nothing is
    /// left of it, and no status written.
    #[track_caller]
    fn fails(&self, what: &str, (method, path): (&str, &str), status: u16, body: &str, pod: &Pod<'_>, words: &[&str]) {
        self.proxy.relent();
        self.proxy.add(Rule::new(Fault::Body(status, body.to_owned())).method(method).path(path));
        let refusal = Refusal::of(what, &self.site.run("ADD", &self.site.chained(), pod));
        let code = refusal.code;
        assert!(refusal.message.chars().count() < 2_500, "{what}: {}", refusal.message);
        refusal.expect(what, code, words);
        self.site.assert_clean();
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "{what}");
        assert_eq!(self.site.status(pod), None, "{what}");
        if method == "GET" {
            assert_eq!(self.site.fixture.recorded_calls(), Vec::<String>::new(), "{what}");
        }
        self.site.fixture.forget_records();
    }
}

#[test]
fn what_is_not_the_pod_is_not_a_pod_without_networks() {
    let liar = Liar::start();
    for uid in ["known", ""] {
        let pod = liar.site.pod(&format!("osd{}", uid.len()), Some("net")).not_annotated();
        let pod = if uid.is_empty() { pod.with_uid("") } else { pod };
        let path = format!("/pods/{}", pod.name);
        for (what, body) in garbage(&liar.site.namespace) {
            liar.fails(what, ("GET", &path), 200, &body, &pod, &["GET pod", &pod.name]);
        }
        let metadata = |keys: Value| {
            let mut metadata = json!({"namespace": pod.namespace, "name": pod.name, "uid": pod.uid});
            crate::fixture::merge(&mut metadata, &keys);
            json!({"kind": "Pod", "metadata": metadata}).to_string()
        };
        for keys in
            [json!({"annotations": []}), json!({"annotations": {"a": 1}}), json!({"uid": ""}), json!({"uid": 7})]
        {
            liar.fails("annotations", ("GET", &path), 200, &metadata(keys), &pod, &["GET pod"]);
        }
        liar.proxy.relent();
        liar.site.add(&liar.site.chained(), &pod);
        liar.site.del(&liar.site.chained(), &pod);
        liar.site.fixture.forget_records();
    }
}

#[test]
fn what_is_not_the_network_is_not_attached() {
    let liar = Liar::start();
    let namespace = &liar.site.namespace;
    let pod = liar.site.pod("osd", Some("net"));
    let path = "/network-attachment-definitions/net";
    for (what, body) in garbage(namespace) {
        liar.fails(what, ("GET", path), 200, &body, &pod, &["network", namespace.as_str()]);
    }
    let network = |spec: Value| json!({"kind": "NetworkAttachmentDefinition", "metadata": {"namespace": namespace, "name": "net"}, "spec": spec});
    for (what, spec) in [
        ("a configuration that is no text", json!({"config": {"type": "stub"}})),
        ("no object", json!({"config": "[]"})),
        ("a path", json!({"config": r#"{"type":"../stub"}"#})),
        ("deep", json!({"config": "[".repeat(900_000)})),
        ("none", json!({})),
    ] {
        liar.fails(what, ("GET", path), 200, &network(spec).to_string(), &pod, &[&format!("{namespace}/net")]);
    }
}

#[test]
fn a_status_is_written_when_the_answer_is_the_pod() {
    let liar = Liar::start();
    let pod = liar.site.pod("osd", Some("net"));
    for (what, body) in garbage(&liar.site.namespace) {
        liar.fails(what, ("PATCH", "/status"), 200, &body, &pod, &["network-status was not written"]);
    }
}

#[test]
fn nobody_is_followed_to_another_place_and_no_other_status_is_taken_for_success() {
    let liar = Liar::start();
    let (passed, read) = (liar.site.pod("passed", Some("net")), liar.site.pod("read", Some("net")).not_annotated());
    let message = json!({"kind": "Status", "message": "\u{1b}[31mnot found\u{202e}".repeat(1000)}).to_string();
    for status in
        [201, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 418, 422, 451, 501]
    {
        let before = liar.proxy.exchanges().len();
        let body = if [204, 304].contains(&status) { "" } else { &message };
        liar.fails(&format!("GET {status}"), ("GET", "/pods/read"), status, body, &read, &["pod", "read"]);
        liar.fails(&format!("GET {status}"), ("GET", "/net"), status, body, &passed, &["net"]);
        liar.fails(&format!("PATCH {status}"), ("PATCH", "/status"), status, body, &passed, &["passed/status"]);
        // A 401 is tried once more with the token read again.
        let most = if status == 401 { 7 } else { 4 };
        assert!(liar.proxy.exchanges().len() - before <= most, "{status}: {:?}", &liar.proxy.lines()[before..]);
    }
}

#[test]
fn a_server_that_wants_to_be_asked_again_in_an_age_is_not_waited_for() {
    let liar = Liar::start();
    let pod = liar.site.pod("osd", Some("net")).not_annotated();
    for status in [429, 503] {
        let before = liar.proxy.exchanges().len();
        liar.proxy.relent();
        liar.proxy.add(Rule::new(Fault::Status(status, Some(u64::MAX))));
        let words = ["GET pod", "past the deadline"];
        liar.site.refused_add("an age", &liar.site.chained(), &pod, 11, &words);
        assert_eq!(liar.proxy.exchanges().len(), before + 1, "{status}");
    }
}
