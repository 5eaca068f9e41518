//! Events: what an administrator reads in `kubectl describe pod`.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::client::{Client, Method, Request};
use super::error::Error;
use super::pods::Reference;
use crate::cni::text::shortened_to;
use crate::state::deadline::Deadline;

/// Characters of an event's message, at most (the API's own bound on `note`, 1 KiB, leaves room for escapes).
const MAX_MESSAGE: usize = 900;
/// Bytes of the server's answer, at most.
const MAX_EVENT_BYTES: usize = 65_536;
/// Who says it.
const COMPONENT: &str = "rooknet";

/// Something that happened to a pod.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The pod.
    pub pod: Reference<'a>,
    /// Its UID; `kubectl describe` shows events only of the pod with this UID.
    pub uid: Option<&'a str>,
    /// The node that it happened on.
    pub node: &'a str,
    /// `Warning`, or else `Normal`.
    pub is_warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// Creates the event, in the pod's namespace.
///
/// # Errors
/// Those of [`Client::request`].
pub async fn create(client: &Client, event: &Event<'_>, deadline: &Deadline) -> Result<(), Error> {
    let Reference { namespace, name } = event.pod;
    let body = object(event).to_string();
    let request = Request {
        method: Method::Post,
        path: &format!("/api/v1/namespaces/{namespace}/events"),
        about: &format!("POST event of pod {namespace}/{name}"),
        body: body.as_bytes(),
        limit: MAX_EVENT_BYTES,
        deadline,
    };
    client.request(&request).await.map(|_| ())
}

/// The Event object, for whoever creates it by another client.
pub fn object(event: &Event<'_>) -> Value {
    let Reference { namespace, name } = event.pod;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": namespace, "generateName": format!("{}.", prefix(name))},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name,
            "uid": event.uid.unwrap_or_default(),
        },
        "type": if event.is_warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "message": shortened_to(MAX_MESSAGE, &event.message),
        "source": {"component": COMPONENT, "host": event.node},
        "reportingComponent": COMPONENT,
        "reportingInstance": event.node,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}

/// The beginning of an event's name: the server adds five letters and cuts what is longer than a name may be.
fn prefix(pod: &str) -> &str {
    const LONGEST: usize = 200;
    // Cut elsewhere than at the end of a word it would be no name, and the event would be refused.
    pod.get(..LONGEST).unwrap_or(pod).trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multinet::object_names::is_subdomain;

    #[test]
    fn an_events_name_is_one_wherever_the_pods_is_cut() {
        for (pod, expected) in [
            ("osd-0".to_owned(), "osd-0".to_owned()),
            ("a".repeat(253), "a".repeat(200)),
            (format!("{}-.-b{}", "a".repeat(197), "c".repeat(50)), "a".repeat(197)),
        ] {
            assert_eq!(prefix(&pod), expected);
            assert!(is_subdomain(&format!("{}.x5k2p", prefix(&pod))), "{pod}");
        }
    }
}
