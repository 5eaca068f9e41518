#![allow(clippy::arithmetic_side_effects, reason = "an overflow would fail the test")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kubeapi::testing::{Directory, kubeconfig, write};

const CLUSTER: &str = r#"{"server": "https://10.0.0.1:6443"}"#;

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// JSON as YAML in blocks, as tools write it.
fn yaml(value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(keys) if !keys.is_empty() => {
            keys.iter().map(|(key, value)| format!("\n{pad}{key}:{}", yaml(value, indent + 2))).collect()
        }
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|value| format!("\n{pad}-{}", yaml(value, indent + 2))).collect()
        }
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_alphabetic()) && !text.is_empty() => {
            format!(" {text}")
        }
        other => format!(" {other}"),
    }
}

/// Parses a text and its twin in YAML, which must be equal.
fn both(value: &Value, directory: &Path) -> Result<Credentials, Error> {
    let (json, yaml) = (value.to_string(), yaml(value, 0));
    let parsed = parse(&json, directory);
    assert_eq!(parsed, parse(&yaml, directory), "{yaml}");
    parsed
}

/// The message for a whole kubeconfig.
fn fault(value: &Value) -> String {
    let error = both(value, Path::new("/dir")).unwrap_err();
    assert!(!error.message.contains("SECRET"), "{error}");
    error.message
}

#[test]
fn every_key_that_counts_is_read() {
    let directory = Directory::new();
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        write(&directory.path().join(name), name);
    }
    let data = |text: &str| STANDARD.encode(text);
    let file = |name: &str| Pem {
        text: name.as_bytes().to_vec(),
        origin: format!("file {}", directory.path().join(name).display()),
    };
    let key = |key: &str, text: &str| Pem { text: text.as_bytes().to_vec(), origin: key.to_owned() };
    let server = || Server::parse("https://10.0.0.1:6443").unwrap();
    let plain = || Endpoint {
        server: server(),
        trust: Trust::Node,
        server_name: None,
        certificate: None,
        origin: String::new(),
    };
    for (cluster, user, endpoint, token) in [
        (json!({}), json!({}), plain(), Token::None),
        (
            json!({"certificate-authority": "ca.crt", "tls-server-name": "kubernetes", "insecure-skip-tls-verify": false}),
            json!({"client-certificate": "tls.crt", "client-key": directory.path().join("tls.key"), "token": ""}),
            Endpoint {
                trust: Trust::Authorities(file("ca.crt")),
                server_name: Some("kubernetes".to_owned()),
                certificate: Some(ClientCertificate { chain: file("tls.crt"), key: file("tls.key") }),
                ..plain()
            },
            Token::None,
        ),
        (
            json!({"certificate-authority": "none", "certificate-authority-data": data("ca")}),
            json!({"client-certificate": "none", "client-certificate-data": data("crt"), "client-key": "none",
                "client-key-data": format!("{}\n", data("key")), "token": "SECRET"}),
            Endpoint {
                trust: Trust::Authorities(key("key certificate-authority-data of cluster \"storage\"", "ca")),
                certificate: Some(ClientCertificate {
                    chain: key("key client-certificate-data of user \"rooknet\"", "crt"),
                    key: key("key client-key-data of user \"rooknet\"", "key"),
                }),
                ..plain()
            },
            Token::Text(Secret("SECRET".to_owned()), "key token of user \"rooknet\"".to_owned()),
        ),
        (
            json!({"insecure-skip-tls-verify": true, "proxy-url": "http://proxy", "extensions": [{"name": "x"}]}),
            json!({"tokenFile": "token", "exec": null, "as": "", "as-groups": [], "username": ""}),
            Endpoint { trust: Trust::Anybody, ..plain() },
            Token::File(directory.path().join("token"), None),
        ),
        (
            json!({"disable-compression": true}),
            json!({"tokenFile": "/run/token", "token": "SECRET"}),
            plain(),
            Token::File("/run/token".into(), Some(Secret("SECRET".to_owned()))),
        ),
    ] {
        let mut cluster = cluster;
        cluster["server"] = json!("https://10.0.0.1:6443");
        let found = both(&kubeconfig(&cluster, &user), directory.path()).unwrap();
        assert_eq!(found, Credentials { endpoint, token });
    }
}

#[test]
fn a_key_of_a_wrong_type_is_named_and_its_value_is_not_shown() {
    for key in ["server", "certificate-authority", "certificate-authority-data", "tls-server-name", "proxy-url"] {
        let mut cluster = value(CLUSTER);
        cluster[key] = json!(["SECRET"]);
        let expected = format!("key {key} of cluster \"storage\" is a list and must be a text: put it in quotes");
        assert_eq!(fault(&kubeconfig(&cluster, &json!({}))), expected);
    }
    for key in ["client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"]
    {
        let expected = format!("key {key} of user \"rooknet\" is a number and must be a text: put it in quotes");
        assert_eq!(fault(&kubeconfig(&value(CLUSTER), &json!({key: 7}))), expected);
    }
    let cluster = json!({"server": "https://a", "insecure-skip-tls-verify": "true"});
    let expected = "key insecure-skip-tls-verify of cluster \"storage\" is a text and must be true or false";
    // The twin in YAML would be a boolean, unless it is in quotes.
    assert_eq!(parse(&kubeconfig(&cluster, &json!({})).to_string(), Path::new("/")).unwrap_err().message, expected);
}

#[test]
fn another_identity_programs_and_passwords_are_refused() {
    for (user, expected) in [
        (
            json!({"exec": {"command": "SECRET"}}),
            "key exec of user \"rooknet\" is not supported, rooknet runs no program",
        ),
        (json!({"auth-provider": {"name": "SECRET"}}), "key auth-provider of user \"rooknet\" is not supported"),
        (
            json!({"username": "SECRET"}),
            "key username of user \"rooknet\" is not supported, API servers take no passwords",
        ),
        (
            json!({"password": "SECRET"}),
            "key password of user \"rooknet\" is not supported, API servers take no passwords",
        ),
        (json!({"as": "SECRET"}), "key as of user \"rooknet\" is not supported, rooknet acts for nobody else"),
        (json!({"as-uid": "SECRET"}), "key as-uid of user"),
        (json!({"as-groups": ["SECRET"]}), "key as-groups of user"),
        (json!({"as-user-extra": {"a": ["SECRET"]}}), "key as-user-extra of user"),
        (json!({"as": 7}), "key as of user"),
    ] {
        let message = fault(&kubeconfig(&value(CLUSTER), &user));
        assert!(message.starts_with(expected), "{message}");
        assert!(message.ends_with(": give tokenFile, token, or client-certificate with client-key"), "{message}");
    }
}

#[test]
fn what_does_not_fit_together_is_named() {
    let cluster = value(CLUSTER);
    let pem = STANDARD.encode("SECRET");
    for (cluster, user, expected) in [
        (json!({}), json!({}), "key server of cluster \"storage\" is missing: give https://HOST:PORT"),
        (json!({"server": "SECRET"}), json!({}), "key server of cluster \"storage\": write https://HOST:PORT"),
        (
            json!({"server": "https://a", "insecure-skip-tls-verify": true, "certificate-authority-data": pem}),
            json!({}),
            "key insecure-skip-tls-verify of cluster \"storage\" contradicts certificate-authority: remove it, and the \
             server is verified",
        ),
        (
            json!({"server": "https://a", "certificate-authority-data": "SECRET!"}),
            json!({}),
            "key certificate-authority-data of cluster \"storage\" is not base64: give a PEM text in base64",
        ),
        (
            json!({"server": "https://a", "certificate-authority": "ca.crt"}),
            json!({}),
            "key certificate-authority of cluster \"storage\": file /dir/ca.crt does not exist: create it",
        ),
        (
            cluster.clone(),
            json!({"client-certificate-data": pem}),
            "key client-key of user \"rooknet\" is missing: give the key of client-certificate",
        ),
        (
            cluster,
            json!({"client-key-data": pem}),
            "key client-certificate of user \"rooknet\" is missing: give the certificate of client-key",
        ),
    ] {
        assert_eq!(fault(&kubeconfig(&cluster, &user)), expected);
    }
}

/// Changes one key at the top of a good kubeconfig.
fn with(key: &str, value_of_key: Value) -> Value {
    let mut whole = kubeconfig(&value(CLUSTER), &json!({}));
    whole[key] = value_of_key;
    whole
}

#[test]
fn the_current_context_must_lead_to_a_cluster_and_a_user() {
    let context = |keys: Value| with("contexts", json!([{"name": "here", "context": keys}]));
    let cluster = json!({"name": "storage", "cluster": {"server": "https://a"}});
    let no_context = "it has no key current-context: set it to the name of one of its contexts";
    for (whole, expected) in [
        (with("kind", json!("Pod")), "its kind is \"Pod\": give a file of kind Config"),
        (with("current-context", Value::Null), no_context),
        (with("current-context", json!("")), no_context),
        (
            with("current-context", json!("there")),
            "contexts has none with the name \"there\", which current-context says: correct one of them",
        ),
        (
            with("contexts", Value::Null),
            "contexts has none with the name \"here\", which current-context says: correct one of them",
        ),
        (with("contexts", json!({"SECRET": 1})), "key contexts is a mapping and must be a list"),
        (context(json!({})), "key cluster of context \"here\" is missing: give a cluster's name"),
        (context(json!("SECRET")), "key context of context \"here\" is a text and must be a mapping"),
        (
            context(json!({"cluster": "x"})),
            "clusters has none with the name \"x\", which the context's cluster says: correct one of them",
        ),
        (
            context(json!({"cluster": "storage", "user": "x"})),
            "users has none with the name \"x\", which the context's user says: correct one of them",
        ),
        (with("clusters", json!([cluster, cluster])), "clusters has the name \"storage\" twice: keep one"),
        (json!(["SECRET"]), "it is a list and not a mapping: write a kubeconfig"),
    ] {
        assert_eq!(fault(&whole), expected);
    }
    let nobody = both(&context(json!({"cluster": "storage"})), Path::new("/")).unwrap();
    assert_eq!(nobody.token, Token::None);
}

#[test]
fn text_that_is_neither_json_nor_yaml_says_which_it_was_meant_to_be() {
    for (text, expected) in [
        ("", "it is empty: write a kubeconfig"),
        ("{\"token\": \"SECRET\", ", "it is not JSON: EOF while parsing"),
        ("token: SECRET\n- a\n", "it is not YAML: line 2, column "),
        ("SECRET", "it is a text and not a mapping: write a kubeconfig"),
    ] {
        let error = parse(text, Path::new("/")).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert!(error.message.starts_with(expected) && !error.message.contains("SECRET"), "{error}");
    }
}

/// As kubeadm writes it, but for the lengths of its data.
#[test]
fn a_kubeconfig_of_kubeadm_is_read() {
    let text = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: Y2E=\n    \
                server: https://10.0.0.1:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    \
                user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\n\
                current-context: kubernetes-admin@kubernetes\nkind: Config\npreferences: {}\nusers:\n\
                - name: kubernetes-admin\n  user:\n    client-certificate-data: Y3J0\n    client-key-data: a2V5\n";
    let found = parse(text, Path::new("/")).unwrap();
    assert_eq!(found.endpoint.server.to_string(), "https://10.0.0.1:6443");
    assert_eq!(found.endpoint.certificate.unwrap().key.text, b"key");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(?s).{0,300}") {
        let _ = parse(&text, Path::new("/nonexistent"));
    }

    #[test]
    fn any_value_of_any_key_is_answered_and_its_twin_alike(
        key in prop::sample::select(vec!["server", "certificate-authority-data", "insecure-skip-tls-verify", "token",
            "tokenFile", "client-certificate-data", "as", "tls-server-name", "proxy-url"]),
        text in "[ -~]{0,40}",
        kind in 0..5,
    ) {
        let anything = match kind {
            0 => json!(text),
            1 => json!([text]),
            2 => json!({"a": text}),
            3 => json!(true),
            _ => json!(-1),
        };
        let mut cluster = value(CLUSTER);
        cluster[key] = anything.clone();
        // Letters alone are written without quotes, and some of those are no texts in YAML.
        prop_assume!(!["true", "false", "null"].contains(&text.to_ascii_lowercase().as_str()));
        let _ = both(&kubeconfig(&cluster, &json!({})), Path::new("/nonexistent"));
        let _ = both(&kubeconfig(&value(CLUSTER), &json!({key: anything})), Path::new("/nonexistent"));
    }
}
