//! What a service account's token says of itself (RFC 7519, and Kubernetes's private claims).
//!
//! Nothing here is verified: that is the API server's part. It tells only whether the token is the one that this node
//! wants, and when its half-life is over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Whose token is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// The node that it is bound to.
    pub(super) node: &'a str,
    /// The service account's namespace.
    pub(super) namespace: &'a str,
    /// Its name.
    pub(super) account: &'a str,
}

/// The claims.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    /// Seconds since 1970.
    exp: u64,
    iat: u64,
    #[serde(rename = "kubernetes.io")]
    private: Private,
}

#[derive(Clone, Debug, Deserialize)]
struct Private {
    namespace: String,
    serviceaccount: Reference,
    #[serde(default)]
    node: Option<Reference>,
}

#[derive(Clone, Debug, Deserialize)]
struct Reference {
    name: String,
    #[serde(default)]
    uid: String,
}

impl Claims {
    /// Those of a token.
    ///
    /// # Errors
    /// Why it is none; nothing of the token is in it.
    pub(super) fn of(token: &str) -> Result<Claims, &'static str> {
        serde_json::from_slice(&payload(token)?).map_err(|_| "its claims are not those of a service account's token")
    }

    /// The uid of the node that it is bound to.
    pub(super) fn node_uid(&self) -> Option<&str> {
        self.private.node.as_ref().map(|node| node.uid.as_str())
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn expires(&self) -> u64 {
        self.exp
    }

    /// Half of its life.
    pub(super) fn half_life(&self) -> Duration {
        Duration::from_secs(self.exp.saturating_sub(self.iat)).checked_div(2).unwrap_or_default()
    }

    /// Why another one is needed; `None` while this one serves.
    pub(super) fn reason_to_renew(&self, expected: &Expected<'_>, now: SystemTime) -> Option<String> {
        let Private { namespace, serviceaccount, node } = &self.private;
        if namespace != expected.namespace || serviceaccount.name != expected.account {
            return Some("it is of another service account".to_owned());
        }
        if node.as_ref().map(|node| node.name.as_str()) != Some(expected.node) {
            return Some("it is not bound to this node".to_owned());
        }
        let issued = UNIX_EPOCH.checked_add(Duration::from_secs(self.iat));
        let half = issued.and_then(|issued| issued.checked_add(self.half_life()));
        half.is_none_or(|half| now >= half).then(|| "half of its life is over".to_owned())
    }
}

/// The JSON text of a token's claims.
///
/// # Errors
/// Why it is no token; nothing of it is in that.
pub(in crate::agent) fn payload(token: &str) -> Result<Vec<u8>, &'static str> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err("a token has three parts");
    };
    URL_SAFE_NO_PAD.decode(claims).map_err(|_| "its claims are not in base64")
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A token with these claims, and no signature that anybody would take.
    pub(in super::super) fn token(node: &str, namespace: &str, account: &str, issued: u64, expires: u64) -> String {
        let claims = serde_json::json!({
            "iat": issued, "exp": expires,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": "1"},
                "node": {"name": node, "uid": "2"},
            },
        });
        format!("e30.{}.eA", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::testing::token;
    use super::*;

    #[test]
    fn a_token_of_another_account_or_node_is_not_kept() {
        let expected = Expected { node: "node-a", namespace: "kube-system", account: "rooknet" };
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        for (node, namespace, account, word) in [
            ("node-a", "kube-system", "rooknet", None),
            ("node-b", "kube-system", "rooknet", Some("not bound to this node")),
            ("node-a", "rook-ceph", "rooknet", Some("another service account")),
            ("node-a", "kube-system", "default", Some("another service account")),
        ] {
            let reason =
                Claims::of(&token(node, namespace, account, 1000, 2000)).unwrap().reason_to_renew(&expected, now);
            assert_eq!(reason.is_some(), word.is_some(), "{node} {namespace} {account}");
            assert!(word.is_none_or(|word| reason.unwrap().contains(word)));
        }
    }

    #[test]
    fn half_of_a_life_is_counted_from_the_tokens_own_times() {
        let expected = Expected { node: "a", namespace: "b", account: "c" };
        for (issued, expires, half) in [(1000, 1600, 1300), (0, 86_400, 43_200), (7, 7, 7), (9, 3, 9)] {
            let claims = Claims::of(&token("a", "b", "c", issued, expires)).unwrap();
            let is_due =
                |seconds| claims.reason_to_renew(&expected, UNIX_EPOCH + Duration::from_secs(seconds)).is_some();
            assert!(is_due(half) && (half == 0 || !is_due(half - 1)), "{issued} to {expires}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        for text in ["", "SECRET", "a.SECRET", "a.SECRET.c", "a.b.c.SECRET", "e30.e30.SECRET"] {
            assert!(!Claims::of(text).unwrap_err().contains("SECRET"), "{text}");
        }
    }
}
