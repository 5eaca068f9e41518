//! The start-up taint (`--taint`): no pod is scheduled to a node on which rooknet is not verified yet.
//!
//! The kubelet registers its node with the taint ([`NOT_READY_TAINT`], effect NoSchedule), and the agent takes it away once the
//! installation is in place. It puts it back when the installation has been broken for [`PATIENCE`]: pods that already run
//! are not touched by NoSchedule. Other taints are never changed: a patch names all taints that were read and fails
//! when they have become others.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use super::rounds::Rounds;
use crate::kubeapi::kube_client::NOT_READY_TAINT;

/// Its effect.
const EFFECT: &str = "NoSchedule";
const ROUNDS: Rounds = Rounds { name: "taint", period: Duration::from_secs(30), limit: Duration::from_secs(30) };
/// How long an installation must have been broken: one that is just being repaired is not news to the scheduler.
const PATIENCE: Duration = Duration::from_secs(60);

/// The loop; without `--taint` it does nothing at all.
pub(super) async fn run(shared: Rc<Shared>) {
    if !shared.options.taint {
        return;
    }
    let broken = std::cell::Cell::new(None::<Instant>);
    let installed = std::cell::RefCell::new(shared.installed.subscribe());
    let round = async || {
        let is_installed = *shared.installed.borrow();
        if is_installed != Some(false) {
            broken.set(None);
        }
        let wanted = match is_installed {
            // Not looked at yet: what is there stays.
            None => return Ok(()),
            Some(true) => false,
            Some(false) => {
                let since = broken.get().unwrap_or_else(Instant::now);
                broken.set(Some(since));
                if since.elapsed() < PATIENCE {
                    return Ok(());
                }
                true
            }
        };
        set(&shared, wanted).await
    };
    let early = async || {
        // The one place where this receiver is used; it is lent for the wait.
        let mut receiver = installed.borrow().clone();
        let _ = pin!(receiver.changed()).await;
        installed.borrow_mut().mark_unchanged();
    };
    ROUNDS.run(&shared, round, early).await;
}

async fn set(shared: &Shared, wanted: bool) -> Result<()> {
    let node = &shared.options.node_name;
    let path = format!("/api/v1/nodes/{node}");
    let about = || format!("the taint {NOT_READY_TAINT}:{EFFECT} of node {node}");
    let object = shared.connection.request(Method::GET, &path, "", None).await.with_context(about)?;
    let present = object.pointer("/spec/taints").cloned().unwrap_or(Value::Null);
    let Some(patch) = patch(&present, wanted) else { return Ok(()) };
    shared
        .connection
        .request(Method::PATCH, &path, "application/json-patch+json", Some(&patch))
        .await
        .with_context(about)?;
    if wanted {
        log::warn!("node {node} has the taint {NOT_READY_TAINT}:{EFFECT} again, since the installation is broken");
    } else {
        log::info!("node {node} no longer has the taint {NOT_READY_TAINT}:{EFFECT}: the installation is verified");
    }
    Ok(())
}

/// The patch (RFC 6902) by which these taints have ours, or not; `None` when nothing is to be done.
fn patch(present: &Value, wanted: bool) -> Option<Value> {
    let list = present.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ours = |taint: &Value| {
        taint.get("key").and_then(Value::as_str) == Some(NOT_READY_TAINT)
            && taint.get("effect").and_then(Value::as_str) == Some(EFFECT)
    };
    if list.iter().any(is_ours) == wanted {
        return None;
    }
    let mut taints: Vec<Value> = list.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    if wanted {
        taints.push(json!({"key": NOT_READY_TAINT, "effect": EFFECT}));
    }
    Some(json!([
        {"op": "test", "path": "/spec/taints", "value": present},
        {"op": if present.is_null() { "add" } else { "replace" }, "path": "/spec/taints", "value": taints},
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_taint_is_changed_and_only_when_it_must_be() {
        let ours = json!({"key": NOT_READY_TAINT, "effect": EFFECT, "timeAdded": "2026-01-01T00:00:00Z"});
        let other = json!({"key": "a", "value": "b", "effect": "NoExecute"});
        let namesake = json!({"key": NOT_READY_TAINT, "effect": "NoExecute"});
        let fresh = json!({"key": NOT_READY_TAINT, "effect": EFFECT});
        for (present, wanted, expected) in [
            (Value::Null, false, None),
            (json!([other]), false, None),
            (json!([ours, other]), true, None),
            (json!([other, ours, namesake]), false, Some(json!([other, namesake]))),
            (json!([ours]), false, Some(json!([]))),
            (json!([other]), true, Some(json!([other, fresh]))),
            (Value::Null, true, Some(json!([fresh]))),
        ] {
            let patch = patch(&present, wanted);
            assert_eq!(patch.as_ref().map(|patch| patch[1]["value"].clone()), expected, "{present} {wanted}");
            if let Some(patch) = patch {
                assert_eq!((patch[0]["op"].as_str(), &patch[0]["value"]), (Some("test"), &present));
                assert_eq!(patch[1]["op"], if present.is_null() { "add" } else { "replace" });
            }
        }
    }
}
