//! What the API server was asked, from its audit log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::ApiServer;
use crate::support::wait_until;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// `get`, `patch`, `create`, …
    pub(crate) verb: String,
    /// The resource, with the subresource: `pods/status`.
    pub(crate) resource: String,
    /// The namespace, empty without.
    pub(crate) namespace: String,
    /// The object's name, empty without.
    pub(crate) name: String,
    /// The HTTP status of the answer; 0 when the server was killed before it.
    pub(crate) code: u64,
}

impl Request {
    /// In one line, for a comparison: `get pods rook-ceph/osd-0 200`.
    pub(crate) fn line(&self) -> String {
        let Self { verb, resource, namespace, name, code } = self;
        format!("{verb} {resource} {namespace}/{name} {code}")
    }
}

impl ApiServer {
    /// The plugin's requests (user agent `rooknet/…`) about objects of a Kubernetes namespace, in the order in which
    /// they came. Complete once the plugin has ended: requests that are still being answered are waited for.
    pub(crate) fn requests(&self, namespace: &str) -> Vec<Request> {
        self.requests_by("rooknet/", namespace)
    }

    /// The same for any user agent, by its beginning.
    pub(crate) fn requests_by(&self, agent: &str, namespace: &str) -> Vec<Request> {
        let mut logs = self.audit_logs();
        let last = logs.pop().expect("it was started");
        // What a killed process had not answered yet, it never will.
        let mut requests: Vec<Request> =
            logs.iter().flat_map(|log| entries(log, agent, namespace)).map(|stages| request(&stages)).collect();
        let before = requests.len();
        wait_until("the end of all requests in the audit log", super::PATIENCE, || {
            requests.truncate(before);
            requests.extend(entries(&last, agent, namespace).iter().map(|stages| request(stages)));
            requests[before..].iter().all(|request| request.code != 0)
        });
        requests
    }
}

/// The stages of each request, in the order in which the requests came.
fn entries(log: &Path, agent: &str, namespace: &str) -> Vec<Vec<Value>> {
    let log = fs::read_to_string(log).unwrap_or_default();
    let mut order: Vec<String> = Vec::new();
    let mut stages: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in log.lines() {
        // Parsing is dear, and most lines are other tests'. The last may be half written.
        let Some(event) = Some(line).filter(|line| line.contains(agent) && line.contains(namespace)) else {
            continue;
        };
        let Ok(event) = serde_json::from_str::<Value>(event) else {
            continue;
        };
        let is_meant = event["userAgent"].as_str().is_some_and(|found| found.starts_with(agent))
            && event["objectRef"]["namespace"] == namespace;
        if !is_meant {
            continue;
        }
        let id = event["auditID"].as_str().unwrap_or_default().to_owned();
        if !stages.contains_key(&id) {
            order.push(id.clone());
        }
        stages.entry(id).or_default().push(event);
    }
    order.into_iter().filter_map(|id| stages.remove(&id)).collect()
}

fn request(stages: &[Value]) -> Request {
    let end = stages.iter().find(|event| event["stage"] == "ResponseComplete" || event["stage"] == "Panic");
    let event = end.unwrap_or(&stages[0]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let mut resource = text(&object["resource"]);
    if let Some(subresource) = object["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    Request {
        verb: text(&event["verb"]),
        resource,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: end.and_then(|event| event["responseStatus"]["code"].as_u64()).unwrap_or_default(),
    }
}
