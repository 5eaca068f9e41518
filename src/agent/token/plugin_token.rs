//! Whether a token is the one that this node wants, and when half of its life is over, by what it says of itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::kubeapi::claims;

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

/// A token of the plugin's, by the claims that it must have.
#[derive(Clone, Debug)]
pub(super) struct PluginToken {
    /// Seconds since 1970.
    expires: u64,
    issued: u64,
    /// `namespace/name`.
    account: String,
    node: Option<String>,
    node_uid: Option<String>,
}

impl PluginToken {
    /// Reads a token.
    ///
    /// # Errors
    /// Why it is none; nothing of the token is in it.
    pub(super) fn of(token: &str) -> Result<PluginToken, &'static str> {
        let claims::Claims { expires, issued, node, node_uid, account, .. } = claims::Claims::of(token)?;
        let (Some(expires), Some(issued), Some(account)) = (expires, issued, account) else {
            return Err("it does not say whose it is, since when, and until when");
        };
        Ok(PluginToken { expires, issued, account, node, node_uid })
    }

    /// The uid of the node that it is bound to.
    pub(super) fn node_uid(&self) -> Option<&str> {
        self.node_uid.as_deref()
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn expires(&self) -> u64 {
        self.expires
    }

    /// Half of its life.
    pub(super) fn half_life(&self) -> Duration {
        Duration::from_secs(self.expires.saturating_sub(self.issued)).checked_div(2).unwrap_or_default()
    }

    /// Why another one is needed; `None` while this one serves.
    pub(super) fn reason_to_renew(&self, expected: &Expected<'_>, now: SystemTime) -> Option<String> {
        if self.account.split_once('/') != Some((expected.namespace, expected.account)) {
            return Some("it is of another service account".to_owned());
        }
        if self.node.as_deref() != Some(expected.node) {
            return Some("it is not bound to this node".to_owned());
        }
        let issued = UNIX_EPOCH.checked_add(Duration::from_secs(self.issued));
        let half = issued.and_then(|issued| issued.checked_add(self.half_life()));
        half.is_none_or(|half| now >= half).then(|| "half of its life is over".to_owned())
    }
}

#[cfg(test)]
pub(super) mod testing {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
                PluginToken::of(&token(node, namespace, account, 1000, 2000)).unwrap().reason_to_renew(&expected, now);
            assert_eq!(reason.is_some(), word.is_some(), "{node} {namespace} {account}");
            assert!(word.is_none_or(|word| reason.unwrap().contains(word)));
        }
    }

    #[test]
    fn half_of_a_life_is_counted_from_the_tokens_own_times() {
        let expected = Expected { node: "a", namespace: "b", account: "c" };
        for (issued, expires, half) in [(1000, 1600, 1300), (0, 86_400, 43_200), (7, 7, 7), (9, 3, 9)] {
            let read = PluginToken::of(&token("a", "b", "c", issued, expires)).unwrap();
            let is_due = |seconds| read.reason_to_renew(&expected, UNIX_EPOCH + Duration::from_secs(seconds)).is_some();
            assert!(is_due(half) && (half == 0 || !is_due(half - 1)), "{issued} to {expires}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        for text in ["", "SECRET", "a.SECRET", "a.SECRET.c", "a.b.c.SECRET", "e30.e30.SECRET"] {
            assert!(!PluginToken::of(text).unwrap_err().contains("SECRET"), "{text}");
        }
    }
}
