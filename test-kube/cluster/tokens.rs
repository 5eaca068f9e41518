//! Tokens of service accounts.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::SigningKey as _;
use serde_json::{Value, json};

use super::{Account, Cluster};

impl Cluster {
    /// A token of the account that is bound to the Node object `node` and valid for an hour, from TokenRequest.
    #[track_caller]
    pub(crate) fn node_token(&self, account: Account, node: &str) -> String {
        let object = self.get(&format!("/api/v1/nodes/{node}")).expect_success("the node");
        let bound = json!({"apiVersion": "v1", "kind": "Node", "name": node, "uid": object["metadata"]["uid"]});
        self.token("kube-system", account.name(), Some(&bound))
    }

    /// A token of any service account, valid for an hour; `bound` is a boundObjectRef.
    #[track_caller]
    pub(crate) fn token(&self, namespace: &str, account: &str, bound: Option<&Value>) -> String {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        self.post(&path, &request)["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// The same token with other times: it expires in so many seconds, or did before now when negative. The API server
    /// takes a token for a minute longer than it says, and ten seconds longer still when it has just seen it.
    pub(crate) fn expiring_in(&self, token: &str, seconds: i64) -> String {
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        claims["exp"] = json!(now + seconds);
        for start in ["iat", "nbf"] {
            claims[start] = json!(now + seconds.min(0) - 3600);
        }
        let signed = format!("{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.service_account_key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(fixed_length(&signature)))
    }
}

/// An ECDSA signature over P-256 as JSON Web Signatures have it (RFC 7518, section 3.4: r and s of 32 bytes each), of
/// one in DER: a sequence of two integers without leading zeros, or with one before a set first bit.
fn fixed_length(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut fixed = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let (integer, after) = rest[2..].split_at(length);
        let significant = &integer[length.saturating_sub(32)..];
        fixed.resize(fixed.len() + 32 - significant.len(), 0);
        fixed.extend_from_slice(significant);
        rest = after;
    }
    fixed
}
