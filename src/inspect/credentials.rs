//! The plugin's credentials: what its token says of itself, and whether the API server takes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Examination, table};
use crate::cni::text::shortened;
use crate::kubeapi::claims::Claims;
use crate::kubeapi::client::{Method, Request};
use crate::kubeapi::credentials::Source;
use crate::kubeapi::{Client, Error};
use crate::multinet::definition::MAX_DEFINITION_BYTES;

/// How long the API server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much a clock may be behind before it matters: tokens have room for that.
const CLOCK_SKEW: u64 = 60;
/// What is asked for where this node knows of no network: its absence is an answer, too.
const NO_NETWORK: (&str, &str) = ("default", "rooknet-doctor");

/// The plugin's token, by its own claims; nothing is verified.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// When it expires (RFC 3339); `None` when it says no end.
    pub expires: Option<String>,
    /// In how many seconds, negative when it has; `None` when it says no end.
    pub expires_in_seconds: Option<i64>,
    /// The Node that it is bound to; `None` when it is bound to none.
    pub node: Option<String>,
    /// `namespace/name` of its service account; `None` when it is of none.
    pub account: Option<String>,
}

/// Reads the token that the plugin would send.
pub(super) fn token(seen: &mut Examination<'_>) -> Option<Token> {
    let source = source(seen)?;
    if let Err(error) = source.check() {
        seen.found(&table::CREDENTIALS_UNUSABLE, error.message);
        return None;
    }
    let text = source.token().ok()??;
    let claims = match Claims::of(&text) {
        Ok(claims) => claims,
        Err(reason) => {
            seen.skipped(format_args!("when the plugin's token expires: {reason}"));
            return None;
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    judge(seen, &claims, now);
    let until = claims.expires.and_then(|expires| UNIX_EPOCH.checked_add(Duration::from_secs(expires)));
    let left = |expires: u64| i64::try_from(i128::from(expires).saturating_sub(i128::from(now))).unwrap_or(i64::MAX);
    Some(Token {
        expires: until.map(|until| humantime::format_rfc3339_seconds(until).to_string()),
        expires_in_seconds: claims.expires.map(left),
        node: claims.node.as_deref().map(shortened),
        account: claims.account.as_deref().map(shortened),
    })
}

fn judge(seen: &mut Examination<'_>, claims: &Claims, now: u64) {
    let node = seen.configuration.node.clone();
    if let Some(bound) = claims.node.as_deref().filter(|bound| *bound != node) {
        let (bound, node) = (shortened(bound), shortened(&node));
        seen.found(&table::TOKEN_OF_ANOTHER_NODE, format_args!("it is bound to node {bound}, and this one is {node}"));
    }
    if let Some(issued) = claims.issued.filter(|issued| *issued > now.saturating_add(CLOCK_SKEW)) {
        let ahead = issued.saturating_sub(now);
        seen.found(&table::CLOCK_WRONG, format_args!("the plugin's token was issued {ahead} s from now"));
    }
    let Some(expires) = claims.expires else { return };
    if expires <= now {
        let ago = now.saturating_sub(expires);
        seen.found(&table::TOKEN_EXPIRED, format_args!("the plugin's token expired {ago} s ago"));
        return;
    }
    let left = expires.saturating_sub(now);
    let life = claims.issued.map_or(0, |issued| expires.saturating_sub(issued));
    if left < life.checked_div(4).unwrap_or_default() {
        seen.found(&table::TOKEN_NOT_RENEWED, format_args!("the plugin's token expires in {left} s of {life} s"));
    }
}

/// Asks the API server as the plugin would: the same files, the same code, a GET of one definition.
pub(super) async fn ask(seen: &mut Examination<'_>) {
    let Some(source) = source(seen) else {
        seen.skipped("the API server: rooknet's entry names no credentials (key \"kubeconfig\")");
        return;
    };
    if source.check().is_err() {
        // Said already.
        return;
    }
    let (namespace, name) = known_network(seen);
    let deadline = seen.deadline.at_most(PATIENCE);
    let client = Client::new(source);
    let request = Request {
        method: Method::Get,
        path: &format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}"),
        about: &format!("GET network-attachment-definition {namespace}/{name}"),
        body: &[],
        limit: MAX_DEFINITION_BYTES,
        deadline: &deadline,
    };
    let Err(error) = client.request(&request).await else { return };
    let row = match &error {
        Error::Refused { status: 401, .. } => &table::API_UNAUTHORIZED,
        Error::Refused { status: 403, .. } => &table::API_FORBIDDEN,
        // A server that knows the kind names the object that it does not have.
        Error::Refused { status: 404, message, .. } if message.contains(&format!("\"{name}\"")) => return,
        Error::Refused { status: 404, .. } => &table::API_KIND_MISSING,
        Error::Unusable { .. } | Error::Malformed { .. } | Error::TooLong { .. } => &table::API_NOT_TRUSTED,
        Error::Credentials { .. } => &table::CREDENTIALS_UNUSABLE,
        Error::Refused { .. } | Error::Interrupted { .. } => &table::API_UNREACHABLE,
    };
    seen.found(row, error);
}

/// The plugin's credentials; `None` where its entry names none.
fn source(seen: &Examination<'_>) -> Option<Source> {
    let settings = seen.configuration.settings.as_ref()?;
    settings.kubeconfig.as_ref().map(Source::new)
}

/// A network that is in use here, by its definition.
fn known_network(seen: &Examination<'_>) -> (String, String) {
    use crate::engine::collect::Content;
    use crate::multinet::object_names::{is_label, is_subdomain};
    let listed = seen.configuration.collector.list().unwrap_or_default();
    let networks = listed.into_iter().filter_map(|listed| match listed.content {
        Content::Readable(essentials) => Some(essentials.attachments),
        Content::Unreadable(_) => None,
    });
    let reference = networks.flatten().find_map(|attachment| {
        let (namespace, name) = attachment.network.split_once('/')?;
        (is_label(namespace) && is_subdomain(name)).then(|| (namespace.to_owned(), name.to_owned()))
    });
    reference.unwrap_or_else(|| (NO_NETWORK.0.to_owned(), NO_NETWORK.1.to_owned()))
}
