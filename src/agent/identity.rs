//! Which deployment this agent belongs to: the uid of its DaemonSet, and the generation of that one's template.
//!
//! An uninstall must not be undone by an agent that has not been deleted yet, or that comes back with the node. In a
//! cluster in which rooknet is installed again the DaemonSet is another one, or its template was changed again after the
//! one that uninstalls. The agent's own token names its pod, and the pod names what made it.

use serde_json::Value;

use super::connection::Connection;
use crate::kubeapi::claims::{BoundPod, Claims};
use crate::state::files;

/// Bytes of a token, at most.
const MAX_BYTES: u64 = 65_536;

/// The label with which the DaemonSet controller counts the templates of its pods.
const GENERATION: &str = "pod-template-generation";

/// `uid/generation` of the DaemonSet; the uid of the pod itself when nothing made it. `None` when it is not known: an agent by hand, or for
/// now one without an API server.
pub(super) async fn of(connection: &Connection) -> Option<String> {
    let text = connection.own_token().and_then(|path| files::read_text(path, MAX_BYTES).ok().flatten());
    let BoundPod { namespace, name, uid } = Claims::of(&text?).ok()?.pod?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    match connection.request(hyper::Method::GET, &path, "", None).await {
        Ok(object) => Some(deployment(&object).unwrap_or(uid)),
        Err(failure) => {
            log::debug!("which deployment this agent belongs to is not known: {failure}");
            None
        }
    }
}

/// What made a pod, and by which of its templates.
fn deployment(pod: &Value) -> Option<String> {
    let owner = owner(pod)?;
    let labels = pod.pointer("/metadata/labels")?;
    Some(match labels.get(GENERATION).and_then(Value::as_str) {
        Some(generation) => format!("{owner}/{generation}"),
        None => owner,
    })
}

/// The uid of what made a pod.
fn owner(pod: &Value) -> Option<String> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let controller = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    controller.get("uid")?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_controls_a_pod_is_told_from_what_merely_owns_it() {
        let owned = |references: Value| owner(&json!({"metadata": {"ownerReferences": references}}));
        let references = json!([{"kind": "X", "uid": "1"}, {"kind": "DaemonSet", "uid": "2", "controller": true}]);
        assert_eq!(owned(references).as_deref(), Some("2"));
        assert_eq!(owned(json!([{"uid": "1", "controller": false}])), None);
        assert_eq!(owner(&json!({})), None);
    }

    #[test]
    fn another_template_of_a_daemonset_is_another_deployment() {
        let of = |labels: Value| {
            let references = json!([{"kind": "DaemonSet", "uid": "2", "controller": true}]);
            deployment(&json!({"metadata": {"ownerReferences": references, "labels": labels}}))
        };
        assert_eq!(of(json!({"pod-template-generation": "3"})).as_deref(), Some("2/3"));
        assert_eq!(of(json!({"other": "3"})).as_deref(), Some("2"));
    }
}
