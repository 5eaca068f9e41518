use std::path::Path;

use rcgen::{CertificateParams, date_time_ymd};
use serde_json::{Value, json};

use super::*;
use crate::cni::Code;
use crate::kubeapi::testing::{
    Authority, Directory, Issued, Server, TOKEN, block_on, client, get, ok, raw_server, write, write_kubeconfig,
};
use crate::kubeapi::{Client, Error, credentials::Source};

async fn start(authority: &Authority, issued: &Issued) -> Server {
    Server::start("127.0.0.1", Some(authority.serve(issued, &["h2"], false)), |_, _| ok("{}")).await
}

/// Makes a request to a server whose certificate has these names, with these keys of the cluster besides `server`.
async fn meet(
    directory: &Directory,
    authority: &Authority,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
    mut keys: Value,
) -> Result<(), Error> {
    let server = start(authority, &authority.issue(names, change)).await;
    keys["server"] = json!(server.url("https"));
    let result = get(&client(directory, &keys)).await.map(drop);
    if result.is_err() {
        assert_eq!((server.connections(), server.seen().len()), (1, 0), "one try, and no request on it");
    }
    result
}

#[test]
fn a_certificate_that_does_not_verify_ends_the_request_at_once_and_says_what_to_correct() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        let here = directory.path().display();
        write(&directory.path().join("ca.crt"), &authority.pem());
        write(&directory.path().join("other.crt"), &Authority::new().pem());
        let ours = json!({"certificate-authority": "ca.crt"});
        let expire = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 2, 3);
        let begin = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
        let kubeconfig = format!("kubeconfig {here}/kubeconfig");
        for (result, expected) in [
            (
                meet(&directory, &authority, &["127.0.0.1"], |_| {}, json!({"certificate-authority": "other.crt"}))
                    .await,
                format!(
                    "its certificate is not signed by an authority of file {here}/other.crt: give the cluster's in the \
                     key certificate-authority of {kubeconfig}"
                ),
            ),
            (
                meet(&directory, &authority, &["api.example", "10.0.0.1"], |_| {}, ours.clone()).await,
                "its certificate is not for 127.0.0.1 but for ".to_owned(),
            ),
            (
                meet(
                    &directory,
                    &authority,
                    &["127.0.0.1"],
                    |_| {},
                    json!({"certificate-authority": "ca.crt", "tls-server-name": "other.example"}),
                )
                .await,
                "its certificate is not for other.example but for ".to_owned(),
            ),
            (
                meet(&directory, &authority, &["127.0.0.1"], expire, ours.clone()).await,
                "its certificate expired at 2020-02-03T00:00:00Z: renew it, or correct this node's clock".to_owned(),
            ),
            (
                meet(&directory, &authority, &["127.0.0.1"], begin, ours.clone()).await,
                "its certificate is valid from 3000-01-01T00:00:00Z on: correct this node's clock".to_owned(),
            ),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Unusable { tries: 1, .. }), "{error}");
            assert_eq!(error.to_cni().code, Code::INVALID_CONFIG);
            assert!(error.to_string().contains(&expected), "{error}");
        }
        let result = meet(&directory, &authority, &["api.example", "10.0.0.1"], |_| {}, ours).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains("api.example") && error.contains("10.0.0.1"), "{error}");
        assert!(error.ends_with(&format!("correct the key server of {kubeconfig}, or set tls-server-name")), "{error}");
    });
}

#[test]
fn a_certificate_verifies_by_address_by_name_by_data_or_not_at_all() {
    block_on(async {
        use base64::Engine as _;
        let (directory, authority) = (Directory::new(), Authority::new());
        write(&directory.path().join("ca.crt"), &authority.pem());
        let bundle = format!("# two\n{}{}", Authority::new().pem(), authority.pem());
        let data = base64::engine::general_purpose::STANDARD.encode(bundle);
        for (names, keys) in [
            (["127.0.0.1"], json!({"certificate-authority": "ca.crt"})),
            (["127.0.0.1"], json!({"certificate-authority": "nonexistent", "certificate-authority-data": data})),
            (["api.example"], json!({"certificate-authority": "ca.crt", "tls-server-name": "api.example"})),
            (["api.example"], json!({"insecure-skip-tls-verify": true})),
        ] {
            let shown = keys.to_string();
            let result = meet(&directory, &authority, &names, |_| {}, keys).await;
            assert!(result.is_ok(), "{shown}: {result:?}");
        }
    });
}

#[test]
fn without_an_authority_the_nodes_own_count() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        let error = meet(&directory, &authority, &["127.0.0.1"], |_| {}, json!({})).await;
        // A machine of the tests may trust nobody, and then no connection is opened.
        let error = error.unwrap_err().to_string();
        assert!(error.contains("certificate-authority"), "{error}");
    });
}

#[test]
fn a_client_certificate_is_shown_and_a_missing_or_foreign_one_is_named() {
    block_on(async {
        let (directory, authority) = (Directory::new(), Authority::new());
        let tls = authority.serve(&authority.issue(&["127.0.0.1"], |_| {}), &["h2", "http/1.1"], true);
        let server = Server::start("127.0.0.1", Some(tls), |_, _| ok("{}")).await;
        let cluster = json!({"server": server.url("https"), "certificate-authority": "ca.crt"});
        write(&directory.path().join("ca.crt"), &authority.pem());
        let both = json!({"client-certificate": "both.pem", "client-key": "both.pem"});
        let ask = async |issued: Issued| {
            write(&directory.path().join("both.pem"), &(issued.chain + &issued.key));
            get(&Client::new(Source::new(write_kubeconfig(&directory, &cluster, &both)))).await
        };
        ask(authority.issue(&[], |_| {})).await.unwrap();
        let foreign = ask(Authority::new().issue(&[], |_| {})).await.unwrap_err();
        let none = get(&client(&directory, &cluster)).await.unwrap_err();
        for error in [foreign, none] {
            assert!(matches!(error, Error::Unusable { .. }), "{error}");
            let message = error.to_string();
            assert!(message.contains("client certificate, or wants one") && message.contains("alert"), "{message}");
        }
        assert_eq!(server.seen().len(), 1);
    });
}

#[test]
fn a_server_without_tls_is_no_riddle() {
    block_on(async {
        let directory = Directory::new();
        let address = raw_server("HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
        let cluster = json!({"server": format!("https://{address}"), "insecure-skip-tls-verify": true});
        let error = get(&client(&directory, &cluster)).await.unwrap_err();
        assert!(matches!(error, Error::Unusable { tries: 1, .. }), "{error}");
        assert!(error.to_string().contains("it does not speak TLS: correct the server's address in"), "{error}");
    });
}

#[test]
fn certificates_and_keys_that_are_none_are_named_with_their_place_and_never_shown() {
    let (directory, authority) = (Directory::new(), Authority::new());
    let at = |name: &str| directory.path().join(name);
    let (issued, other) = (authority.issue(&[], |_| {}), authority.issue(&[], |_| {}));
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("text", TOKEN.to_owned()),
        ("broken", format!("-----BEGIN CERTIFICATE-----\n{TOKEN}\n")),
        ("not-der", "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n".to_owned()),
        ("tls.crt", issued.chain),
        ("tls.key", issued.key.clone()),
        ("other.key", other.key),
        ("encrypted.key", issued.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
    ] {
        write(&at(name), &text);
    }
    let user = |certificate: &str, key: &str| json!({"client-certificate": certificate, "client-key": key});
    let file = |name: &str| format!("file {}", at(name).display());
    for (authority, user, expected) in [
        ("text", json!({}), format!("{} has no certificate in PEM form", file("text"))),
        ("broken", json!({}), format!("{} is no text in PEM form", file("broken"))),
        ("not-der", json!({}), format!("{} has no certificate that can be used", file("not-der"))),
        ("ca.crt", user("text", "tls.key"), format!("{} has no certificate in PEM form", file("text"))),
        ("ca.crt", user("tls.crt", "text"), format!("{} has no key in PEM form", file("text"))),
        ("ca.crt", user("tls.crt", "encrypted.key"), format!("{} has no key in PEM form", file("encrypted.key"))),
        (
            "ca.crt",
            user("tls.crt", "other.key"),
            format!("{} and {} do not belong together", file("tls.crt"), file("other.key")),
        ),
    ] {
        let cluster = json!({"server": "https://127.0.0.1:1", "certificate-authority": authority});
        let error = settings_of(&write_kubeconfig(&directory, &cluster, &user)).unwrap_err();
        assert_eq!(error.code, Code::INVALID_CONFIG);
        assert!(error.message.contains(&expected) && !error.message.contains("SECRET"), "{error}");
    }
}

fn settings_of(kubeconfig: &Path) -> Result<(), crate::cni::Error> {
    settings(&Source::new(kubeconfig).read().unwrap().endpoint).map(drop)
}

#[test]
fn a_name_that_no_certificate_can_have_is_an_error() {
    let directory = Directory::new();
    let cluster = json!({"server": "https://a:1", "tls-server-name": "-", "insecure-skip-tls-verify": true});
    let error = settings_of(&write_kubeconfig(&directory, &cluster, &json!({}))).unwrap_err();
    assert_eq!(error.message, "key tls-server-name has no name or address that a certificate can have");
}
