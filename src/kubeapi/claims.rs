//! What a token says of itself (RFC 7519, and Kubernetes's private claims), for people.
//!
//! Nothing is verified: that is the API server's part. A token that is none of these has no claims, and may serve all
//! the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The claims that are read; each may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `exp`: seconds since 1970.
    pub expires: Option<u64>,
    /// `iat`: seconds since 1970.
    pub issued: Option<u64>,
    /// The Node that it is bound to.
    pub node: Option<String>,
    /// That Node's uid.
    pub node_uid: Option<String>,
    /// The pod that it is bound to.
    pub pod: Option<BoundPod>,
    /// `namespace/name` of the service account.
    pub account: Option<String>,
}

/// The pod to which a token is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPod {
    /// Its namespace: the service account's.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

#[derive(Deserialize)]
struct Written {
    exp: Option<u64>,
    iat: Option<u64>,
    #[serde(rename = "kubernetes.io", default)]
    private: Private,
}

#[derive(Default, Deserialize)]
struct Private {
    #[serde(default)]
    namespace: String,
    serviceaccount: Option<Reference>,
    node: Option<Reference>,
    pod: Option<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    #[serde(default)]
    uid: String,
}

impl Claims {
    /// Those of a token.
    ///
    /// # Errors
    /// Why it has none; nothing of the token is in it.
    pub fn of(token: &str) -> Result<Claims, &'static str> {
        let mut parts = token.trim().split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err("it is no JSON Web Token, which has three parts");
        };
        let json = URL_SAFE_NO_PAD.decode(claims).map_err(|_| "its claims are not in base64")?;
        let Written { exp, iat, private } =
            serde_json::from_slice(&json).map_err(|_| "its claims are not those of a service account's token")?;
        let Private { namespace, serviceaccount, node, pod } = private;
        let (node, node_uid) = node.map(|Reference { name, uid }| (name, uid)).unzip();
        Ok(Claims {
            expires: exp,
            issued: iat,
            node,
            node_uid,
            account: serviceaccount.map(|account| format!("{namespace}/{}", account.name)),
            pod: pod.map(|Reference { name, uid }| BoundPod { namespace, name, uid }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.eA", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_bound_token_tells_its_end_its_node_and_its_account() {
        let text = r#"{"exp": 200, "iat": 100, "sub": "x", "kubernetes.io":
            {"namespace": "kube-system", "serviceaccount": {"name": "rooknet", "uid": "1"}, "node": {"name": "a", "uid": "2"},
             "pod": {"name": "p", "uid": "3"}}}"#;
        let claims = Claims::of(&(token(text) + "\n")).unwrap();
        let account = Some("kube-system/rooknet".to_owned());
        let expected = Claims {
            expires: Some(200),
            issued: Some(100),
            node: Some("a".to_owned()),
            node_uid: Some("2".to_owned()),
            account,
            pod: Some(BoundPod { namespace: "kube-system".to_owned(), name: "p".to_owned(), uid: "3".to_owned() }),
        };
        assert_eq!(claims, expected);
    }

    #[test]
    fn a_token_without_an_end_has_none() {
        assert_eq!(Claims::of(&token("{}")).unwrap(), Claims::default());
    }

    #[test]
    fn what_is_no_web_token_is_an_error_without_the_token() {
        for text in ["", "secret", "a.b", "a.!.c", "a.bm8.c", "a.b.c.d"] {
            let reason = Claims::of(text).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
