//! The plugin's credentials: `token`, `ca.crt` and `server` in the directory that is its key `kubeconfig`.
//!
//! A token of the agent's own pod dies with that pod, and a copy that nobody renews dies within a year (Multus issues
//! 852, 929, 1263): so the token is requested for a service account of the plugin's, bound to this Node, and renewed when
//! half of its life is over, by the times that are in it. It lies on the disk and outlives the agent.
//!
//! Whether the credentials are good is not concluded from the files alone: each minute a request is made as the plugin
//! would make it, from the same files by the same code. A token that is refused (the Node object was made anew, the
//! service account was deleted, the cluster's keys were changed) is renewed at once, as it is when a call of the plugin
//! says that it was refused.
//!
//! The order in which the files are replaced is that in which a reader who comes in between can do no harm: authorities,
//! server, token. A new token is never sent to a former server.

mod plugin_token;

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::plugin_token::{Expected, PluginToken};
use super::Shared;
use super::rounds::Rounds;
use crate::install;
use crate::kubeapi::credentials::Source;
use crate::kubeapi::{self, version};
use crate::state::deadline::Deadline;
use crate::state::files::{self, Durability};

const ROUNDS: Rounds = Rounds { name: "token", period: Duration::from_secs(5), limit: Duration::from_secs(60) };
/// How often the credentials are tried out.
const PROBE_PERIOD: Duration = Duration::from_secs(60);
/// How long that may take.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of the files, at most.
const MAX_BYTES: u64 = 1024 * 1024;
/// Between two renewals that a refusal caused: a token that is refused anew will not get better by haste.
const LEAST_BETWEEN_REFUSALS: Duration = Duration::from_secs(20);

/// What the loop remembers.
#[derive(Default)]
struct Memory {
    /// The token that the agent wrote itself, and when half of its life is over by the clock that nobody sets.
    written: Option<(String, Instant)>,
    /// When the credentials were last tried out.
    probed: Option<Instant>,
    /// When a token was last renewed because it was refused.
    refused: Option<Instant>,
    /// A refusal that was not answered by a new token yet.
    is_refused: bool,
}

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let memory = std::cell::RefCell::new(Memory::default());
    let refused = std::cell::Cell::new(false);
    ROUNDS
        .run(
            &shared,
            async || {
                let mut own = memory.take();
                own.is_refused |= refused.take();
                let outcome = round(&shared, &mut own).await;
                *memory.borrow_mut() = own;
                outcome
            },
            async || {
                shared.refused.notified().await;
                refused.set(true);
            },
        )
        .await;
}

async fn round(shared: &Shared, memory: &mut Memory) -> Result<()> {
    let directory = &shared.options.credentials;
    if install::recorded(directory)?.is_some_and(|record| record.state == install::State::Uninstalled) {
        // The credentials went with the uninstall, and nobody is left who would need them.
        return Ok(());
    }
    let expected = Expected {
        node: &shared.options.node_name,
        namespace: shared.connection.namespace(),
        account: &shared.options.service_account,
    };
    let authorities = shared.connection.authorities().context("the authorities of the API server cannot be read")?;
    let server = format!("{}\n", shared.connection.server());
    files::collect_temporaries(directory, None)?;
    replace(directory, "ca.crt", &authorities)?;
    replace(directory, "server", &server)?;

    let present = files::read_text(&directory.join("token"), MAX_BYTES).unwrap_or_default();
    let reason = reason_to_renew(present.as_deref(), memory, &expected, SystemTime::now());
    if let Some(reason) = reason {
        renew(shared, memory, &reason).await.with_context(|| format!("a token is needed ({reason})"))?;
    }
    let is_due = memory.probed.is_none_or(|probed| probed.elapsed() >= PROBE_PERIOD);
    if is_due {
        probe(shared, memory).await?;
    }
    Ok(())
}

/// Why a token must be requested; `None` when the one that is there serves.
fn reason_to_renew(
    present: Option<&str>,
    memory: &mut Memory,
    expected: &Expected<'_>,
    now: SystemTime,
) -> Option<String> {
    let Some(present) = present.map(str::trim).filter(|token| !token.is_empty()) else {
        return Some("there is none".to_owned());
    };
    if memory.is_refused && memory.refused.is_none_or(|last| last.elapsed() >= LEAST_BETWEEN_REFUSALS) {
        return Some("the API server refused the former".to_owned());
    }
    let claims = match PluginToken::of(present) {
        Ok(claims) => claims,
        Err(reason) => return Some(format!("the file holds none: {reason}")),
    };
    if let Some((written, half)) = &memory.written {
        if written != present {
            return Some("somebody else has changed it".to_owned());
        }
        // The node's date may be wrong, and this is not.
        if *half <= Instant::now() {
            return Some("half of its life is over".to_owned());
        }
    }
    claims.reason_to_renew(expected, now)
}

/// Requests a token and writes it.
async fn renew(shared: &Shared, memory: &mut Memory, reason: &str) -> Result<()> {
    let node = &shared.options.node_name;
    let path = format!("/api/v1/nodes/{node}");
    let object =
        shared.connection.request(Method::GET, &path, "", None).await.with_context(|| format!("GET node {node}"))?;
    let uid =
        object.pointer("/metadata/uid").and_then(Value::as_str).ok_or_else(|| anyhow!("node {node} has no uid"))?;
    let (namespace, account) = (shared.connection.namespace(), &shared.options.service_account);
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": shared.options.token_lifetime.as_secs(),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid},
        },
    });
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let answer = shared
        .connection
        .request(Method::POST, &path, "application/json", Some(&body))
        .await
        .with_context(|| format!("a token of the service account {namespace}/{account}, bound to node {node}"))?;
    let token = answer.pointer("/status/token").and_then(Value::as_str).unwrap_or_default();
    let claims =
        PluginToken::of(token).map_err(|reason| anyhow!("the API server's answer has no usable token: {reason}"))?;
    if claims.node_uid() != Some(uid) {
        bail!(
            "the API server did not bind the token to the node {node}: it needs Kubernetes 1.31, or the feature \
             ServiceAccountTokenNodeBinding"
        );
    }
    files::replace(&shared.options.credentials.join("token"), token.as_bytes(), Durability::Entry, "agent-token")?;
    let now = Instant::now();
    let half = now.checked_add(claims.half_life()).unwrap_or(now);
    if std::mem::take(&mut memory.is_refused) {
        memory.refused = Some(now);
    }
    memory.written = Some((token.to_owned(), half));
    memory.probed = None;
    shared.metrics.token_renewals.inc();
    shared.metrics.token_expiry.set(i64::try_from(claims.expires()).unwrap_or(i64::MAX));
    log::info!(
        "the plugin has a new token ({reason}), bound to node {node}, valid until {}",
        humantime::format_rfc3339_seconds(
            UNIX_EPOCH.checked_add(Duration::from_secs(claims.expires())).unwrap_or(UNIX_EPOCH)
        )
    );
    Ok(())
}

/// Makes a request as the plugin would. One that is refused asks for a new token in the next round.
async fn probe(shared: &Shared, memory: &mut Memory) -> Result<()> {
    if let Ok(Some(token)) = files::read_text(&shared.options.credentials.join("token"), MAX_BYTES)
        && let Ok(claims) = PluginToken::of(token.trim())
    {
        shared.metrics.token_expiry.set(i64::try_from(claims.expires()).unwrap_or(i64::MAX));
    }
    let client = kubeapi::Client::new(Source::new(&shared.options.credentials));
    let began = Instant::now();
    let outcome = version::get(&client, &Deadline::without_signals(PROBE_LIMIT)).await;
    match outcome {
        Ok(()) => {
            shared.metrics.credentials_probe.set(began.elapsed().as_secs_f64());
            memory.probed = Some(Instant::now());
            Ok(())
        }
        Err(error) => {
            const UNAUTHORIZED: u16 = 401;
            memory.is_refused |= error.status() == Some(UNAUTHORIZED);
            Err(anyhow!("the plugin's credentials were tried out: {error}"))
        }
    }
}

/// Writes a file unless it has this content.
fn replace(directory: &Path, name: &str, content: &str) -> Result<()> {
    let path = directory.join(name);
    let present = files::read_text(&path, MAX_BYTES).unwrap_or_default();
    if present.as_deref() != Some(content) {
        files::replace(&path, content.as_bytes(), Durability::Entry, "agent-credentials")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::token::plugin_token::testing::token;

    const EXPECTED: Expected<'_> = Expected { node: "node-a", namespace: "kube-system", account: "rooknet" };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn a_token_that_serves_is_kept_until_half_of_its_life_is_over() {
        let present = token("node-a", "kube-system", "rooknet", 1000, 1600);
        let reason = |now| reason_to_renew(Some(&present), &mut Memory::default(), &EXPECTED, at(now));
        assert_eq!(reason(1000), None);
        assert_eq!(reason(1299), None);
        assert!(reason(1300).unwrap().contains("half of its life"));
    }

    #[test]
    fn whatever_is_no_token_of_ours_is_replaced() {
        let of = |present: Option<&str>| reason_to_renew(present, &mut Memory::default(), &EXPECTED, at(1000));
        assert!(of(None).is_some() && of(Some(" \n")).is_some() && of(Some("x.y.z")).is_some());
        let ours = token("node-a", "kube-system", "rooknet", 1000, 1600);
        assert_eq!(of(Some(&format!("{ours}\n"))), None);
        let (half, _) = ours.split_at(ours.len().div_ceil(2));
        assert!(of(Some(half)).is_some(), "a part of one");
    }

    #[test]
    fn a_change_by_others_or_a_refusal_is_answered_by_a_new_token() {
        let present = token("node-a", "kube-system", "rooknet", 1000, 1600);
        let later = Instant::now() + Duration::from_secs(300);
        let mut memory = Memory { written: Some((present.clone(), later)), ..Memory::default() };
        assert_eq!(reason_to_renew(Some(&present), &mut memory, &EXPECTED, at(1000)), None);
        let other = token("node-a", "kube-system", "rooknet", 1001, 1600);
        assert!(reason_to_renew(Some(&other), &mut memory, &EXPECTED, at(1001)).unwrap().contains("somebody else"));
        memory.is_refused = true;
        assert!(reason_to_renew(Some(&present), &mut memory, &EXPECTED, at(1000)).unwrap().contains("refused"));
        memory.refused = Some(Instant::now());
        assert_eq!(reason_to_renew(Some(&present), &mut memory, &EXPECTED, at(1000)), None, "not without end");
    }

    #[test]
    fn a_date_that_was_set_back_does_not_keep_a_token_for_longer() {
        let present = token("node-a", "kube-system", "rooknet", 1000, 1600);
        let mut memory = Memory { written: Some((present.clone(), Instant::now())), ..Memory::default() };
        assert!(
            reason_to_renew(Some(&present), &mut memory, &EXPECTED, at(1000)).unwrap().contains("half of its life")
        );
    }
}
