//! The proxy and the gate do what tests of the plugin will say of them, and nothing else.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::cluster::{ADMIN, Answer, ApiServer, Caller, Cluster, MERGE_PATCH, pod_path};
use crate::fixture::PATIENCE;
use crate::proxy::{Closing, Fault, Gate, Hold, Passage, Proxy, Rule};
use crate::support::{Node, wait_until};

/// A node with a proxy of the shared API server.
struct Faulty {
    cluster: &'static Cluster,
    node: Node,
    proxy: Proxy,
}

impl Faulty {
    fn start() -> Self {
        let cluster = Cluster::shared();
        let node = Node::start("node");
        cluster.join(&node);
        let proxy = Proxy::start(cluster, cluster.server(), &node);
        Self { cluster, node, proxy }
    }

    /// One client for each version of HTTP.
    fn callers(&self) -> [Caller; 2] {
        let caller = caller(self.cluster, &self.node, self.proxy.port());
        [caller.clone(), caller.http2()]
    }
}

fn caller(cluster: &Cluster, node: &Node, port: u16) -> Caller {
    Caller::new(PathBuf::from(format!("/proc/{}/ns/net", node.pid())), port, cluster.authority())
}

fn get(caller: &Caller, path: &str) -> Result<Answer, String> {
    caller.request("GET", path, ADMIN, "", None)
}

#[test]
fn what_no_rule_speaks_of_goes_to_the_server_and_back() {
    let site = Faulty::start();
    let namespace = site.cluster.unique_name("proxied");
    site.cluster.create_namespace(&namespace);
    site.cluster.create_pod(&namespace, "pod", "nowhere", &json!({}));
    let path = pod_path(&namespace, "pod");
    for (number, caller) in site.callers().iter().enumerate() {
        let patch = json!({"metadata": {"labels": {"number": number.to_string()}}});
        let patched = caller.request("PATCH", &path, ADMIN, MERGE_PATCH, Some(&patch)).unwrap();
        assert_eq!(patched.expect_success("patch")["metadata"]["labels"]["number"], number.to_string());
        let direct = site.cluster.pod(&namespace, "pod");
        assert_eq!(get(caller, &path).unwrap().expect_success("get"), direct);
        let forbidden = caller.request("GET", &path, "", "", None).unwrap();
        assert_eq!(forbidden.status, 403, "without a token");
    }
    let exchanges = site.proxy.exchanges();
    assert_eq!(
        exchanges.iter().map(|exchange| exchange.is_http2).collect::<Vec<_>>(),
        [false, false, false, true, true, true]
    );
    assert_eq!(exchanges[0].authorization, format!("Bearer {ADMIN}"));
    assert_eq!(exchanges[0].content_type, MERGE_PATCH);
    assert_eq!(exchanges[0].body, r#"{"metadata":{"labels":{"number":"0"}}}"#);
    assert_eq!(exchanges[2].status, Some(403));
    let lines = [format!("PATCH {path}"), format!("GET {path}"), format!("GET {path}")];
    assert_eq!(site.proxy.lines(), [lines.clone(), lines].concat());
    assert_eq!(site.proxy.connections(), 6);
}

#[test]
fn a_rule_holds_for_the_first_requests_that_match() {
    let site = Faulty::start();
    let rule = Rule::new(Fault::Status(429, Some(1))).method("GET").path("/version").times(2);
    for caller in site.callers() {
        site.proxy.add(Rule::new(Fault::Delay(Duration::from_millis(1))));
        site.proxy.add(rule.clone());
        assert_eq!(get(&caller, "/livez").unwrap().status, 200, "another path");
        let deleted = caller.request("DELETE", "/version", ADMIN, "", None).unwrap();
        assert_ne!(deleted.status, 429, "another method");
        let statuses = [(); 3].map(|()| get(&caller, "/version").unwrap().status);
        assert_eq!(statuses, [429, 429, 200]);
    }
}

#[test]
fn an_answer_is_cut_in_the_middle_or_swallowed_whole() {
    let site = Faulty::start();
    for caller in site.callers() {
        for fault in [Fault::Cut, Fault::Swallow] {
            site.proxy.add(Rule::new(fault.clone()).times(1));
            let answer = get(&caller, "/version");
            assert!(answer.is_err(), "{fault:?}: {answer:?}");
            assert_eq!(get(&caller, "/version").unwrap().status, 200, "the next one");
        }
    }
    // A cut comes after the head of the answer, and what is swallowed has no head.
    let statuses: Vec<Option<u16>> = site.proxy.exchanges().iter().map(|exchange| exchange.status).collect();
    assert_eq!(statuses[..4], [Some(200), Some(200), None, Some(200)]);
}

#[test]
fn answers_can_be_slow_or_of_the_tests_own_making() {
    let site = Faulty::start();
    for caller in site.callers() {
        site.proxy.add(Rule::new(Fault::Drip(Duration::from_millis(1))).times(1));
        let dripped = get(&caller, "/version").unwrap();
        assert_eq!(dripped.body, site.cluster.get("/version").body);
        site.proxy.add(Rule::new(Fault::Body(200, "{".to_owned())).times(1));
        assert_eq!(get(&caller, "/version").unwrap().body, json!("{"));
    }
}

#[test]
fn an_answer_that_never_comes_or_never_ends_lasts_as_long_as_the_proxy() {
    for (fault, status) in [(Fault::Never, None), (Fault::Endless, Some(200))] {
        for version in 0..2 {
            let site = Faulty::start();
            site.proxy.add(Rule::new(fault.clone()));
            let caller = site.callers()[version].clone();
            let waiting = thread::spawn(move || get(&caller, "/version"));
            wait_until("the request at the proxy", Duration::from_secs(20), || {
                site.proxy.exchanges().iter().any(|exchange| exchange.status == status)
            });
            assert!(!waiting.is_finished(), "{fault:?}");
            drop(site);
            let answer = waiting.join().unwrap();
            assert!(answer.is_err(), "{fault:?}: {answer:?}");
        }
    }
}

#[test]
fn a_request_is_held_until_the_test_lets_go() {
    let site = Faulty::start();
    for (number, caller) in site.callers().iter().enumerate() {
        let hold = Hold::new();
        let path = format!("/version?{number}");
        site.proxy.add(Rule::new(Fault::Hold(hold.clone())).path(&path));
        let status = || site.proxy.exchanges().iter().find(|exchange| exchange.path == path).map(|found| found.status);
        thread::scope(|scope| {
            let held = scope.spawn(|| get(caller, &path));
            wait_until("the request at the proxy", PATIENCE, || status().is_some());
            assert_eq!(get(caller, "/livez").unwrap().status, 200, "another request");
            assert_eq!(status(), Some(None), "held until now");
            hold.release();
            assert_eq!(held.join().unwrap().unwrap().status, 200);
        });
    }
}

#[test]
fn connections_are_closed_after_so_many_requests() {
    let site = Faulty::start();
    for closing in [Closing::Announced(1), Closing::Abrupt(1)] {
        site.proxy.close_connections(closing);
        for caller in site.callers() {
            assert_eq!(get(&caller, "/version").unwrap().status, 200, "{closing:?}");
        }
    }
    site.proxy.relent();
    assert_eq!(site.proxy.connections(), 4);
}

#[test]
fn a_gate_opens_and_shuts() {
    let cluster = Cluster::shared();
    let node = Node::start("node");
    cluster.join(&node);
    let gate = Gate::start(cluster.server(), &node);
    let port: u16 = gate.url().rsplit(':').next().unwrap().parse().unwrap();
    let caller = caller(cluster, &node, port);
    assert_eq!(get(&caller, "/version").unwrap().status, 200);
    gate.set(Passage::Refused);
    let refused = get(&caller, "/version").unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
    gate.set(Passage::Open);
    assert_eq!(get(&caller, "/version").unwrap().status, 200);
}

#[test]
fn an_api_server_can_be_killed_and_started_again() {
    let cluster = Cluster::shared();
    let server = cluster.another_server();
    let ask = |server: &ApiServer| server.try_request("GET", "/api/v1/namespaces/default/pods/a", ADMIN, "", None);
    assert_eq!(ask(&server).unwrap().status, 404);
    server.kill();
    assert!(ask(&server).is_err());
    server.start_again();
    server.wait_until_ready();
    assert_eq!(ask(&server).unwrap().status, 404);
    assert_eq!(cluster.get("/version").status, 200, "the shared one");
    let asked = server.requests_by("rooknet-tests", "default").iter().map(|request| request.line()).collect::<Vec<_>>();
    assert_eq!(asked, ["get pods default/a 404", "get pods default/a 404"], "of both processes");
}

#[test]
fn requests_are_read_from_the_audit_log() {
    let cluster = Cluster::shared();
    let namespace = cluster.unique_name("audited");
    cluster.create_namespace(&namespace);
    cluster.create_pod(&namespace, "pod", "nowhere", &json!({}));
    let path = pod_path(&namespace, "pod");
    cluster.get(&path);
    cluster.merge_patch(&format!("{path}/status"), ADMIN, &json!({"metadata": {"uid": "another"}}));
    let lines: Vec<String> =
        cluster.server().requests_by("rooknet-tests", &namespace).iter().map(|request| request.line()).collect();
    assert_eq!(
        lines,
        [
            format!("create serviceaccounts {namespace}/default 201"),
            format!("create pods {namespace}/pod 201"),
            format!("get pods {namespace}/pod 200"),
            format!("patch pods/status {namespace}/pod 422"),
        ]
    );
    assert_eq!(cluster.server().requests(&namespace), [], "nothing was the plugin's");
}
