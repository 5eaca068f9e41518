//! The agent's own way to the API server.
//!
//! It is the client of the kube crate, since watches need one that reads lists by pages and goes on where it was cut
//! off. Answers that carry secrets are parsed here and not there, because that crate logs what it cannot parse.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use kube::{Client, Config};
use serde_json::Value;
use tokio::time::timeout;

use super::Options;
use crate::cni::text::{printable_path, shortened_to};
use crate::kubeapi::kube_client;
use crate::state::files;

/// How long any one request may take; watches are no requests in this sense.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to be connected.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Where the plugin's service account lies when nothing says so.
const DEFAULT_NAMESPACE: &str = "kube-system";
/// Bytes of a bundle of authorities, at most.
const MAX_AUTHORITIES: u64 = 1024 * 1024;
/// Characters of a foreign message, at most.
const LONGEST_MESSAGE: usize = 400;

/// The API server, as the agent reaches it.
pub(super) struct Connection {
    client: Client,
    server: String,
    namespace: String,
    authorities: Authorities,
    /// The file of the agent's own token; `None` with a kubeconfig.
    own_token: Option<PathBuf>,
}

/// Who signed the server's certificate.
enum Authorities {
    /// Read anew each time: the kubelet replaces it when a cluster changes its authority.
    File(PathBuf),
    /// In PEM.
    Text(String),
}

impl Connection {
    /// Reads the credentials. Nothing is connected yet.
    pub(super) async fn open(options: &Options) -> Result<Self> {
        let mut config = match &options.kubeconfig {
            Some(path) => kube_client::of_kubeconfig(path).await?,
            None => Config::incluster().context(
                "the agent is not in a pod with a service account (it looked for KUBERNETES_SERVICE_HOST and for \
                 /var/run/secrets/kubernetes.io/serviceaccount); elsewhere it needs --kubeconfig",
            )?,
        };
        if let Some(server) = &options.api_server {
            config.cluster_url =
                server.parse().with_context(|| format!("--api-server {server:?} is not https://HOST:PORT"))?;
        }
        config.connect_timeout = Some(CONNECT_LIMIT);
        // The loops wait and try again themselves, and report meanwhile what is wrong.
        config.default_retry = false;
        let agent = format!("rooknetctl/{}", env!("CARGO_PKG_VERSION"));
        config.headers.push((USER_AGENT, HeaderValue::from_str(&agent)?));
        let namespace = match (&options.namespace, &options.kubeconfig) {
            (Some(namespace), _) => namespace.clone(),
            (None, None) => config.default_namespace.clone(),
            (None, Some(_)) => DEFAULT_NAMESPACE.to_owned(),
        };
        let authorities = match (&config.root_cert_file, &config.root_cert) {
            (Some(path), _) => Authorities::File(path.clone()),
            (None, Some(certificates)) => Authorities::Text(certificates.iter().map(|der| pem(der)).collect()),
            (None, None) => bail!(
                "the kubeconfig names no certificate-authority, and the plugin needs one in its own credentials: add it"
            ),
        };
        let own_token =
            config.auth_info.token_file.as_ref().map(PathBuf::from).filter(|_| options.kubeconfig.is_none());
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).context("the Kubernetes client cannot be made")?;
        Ok(Connection { client, server, namespace, authorities, own_token })
    }

    /// The client, for watches.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The API server's address.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The API server's addresses; none while a name of it cannot be resolved.
    pub(super) async fn addresses(&self) -> Vec<IpAddr> {
        let Ok(uri) = self.server.parse::<hyper::Uri>() else { return Vec::new() };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match timeout(CONNECT_LIMIT, tokio::net::lookup_host((host, 0))).await {
            Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
            _ => Vec::new(),
        }
    }

    /// The namespace of the plugin's service account.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The file of the agent's own token; `None` with a kubeconfig.
    pub(super) fn own_token(&self) -> Option<&Path> {
        self.own_token.as_deref()
    }

    /// The authorities of the server's certificate in PEM, as they are now.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub(super) fn authorities(&self) -> Result<String> {
        match &self.authorities {
            Authorities::Text(text) => Ok(text.clone()),
            Authorities::File(path) => files::read_text(path, MAX_AUTHORITIES)?
                .ok_or_else(|| anyhow!("{} does not exist", printable_path(path))),
        }
    }

    /// Makes a request and reads its answer as JSON. `about` names it in errors.
    ///
    /// # Errors
    /// [`Failure`], in the context of `about`.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(body).map_err(|error| Failure::other(&error))?;
        let text = match timeout(REQUEST_LIMIT, self.client.request_text(request)).await {
            Ok(text) => text.map_err(|error| Failure::of(&error))?,
            Err(_) => return Err(Failure { status: None, message: "there is no answer".to_owned() }),
        };
        serde_json::from_str(&text).map_err(|_| Failure { status: None, message: "the answer is not JSON".to_owned() })
    }
}

/// A request that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    /// The HTTP status of the answer.
    pub(super) status: Option<u16>,
    /// What was the matter; printable.
    message: String,
}

impl Failure {
    /// What an error of the client says, in one sentence.
    pub(super) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let message =
                    shortened_to(LONGEST_MESSAGE, &format!("{} {}: {}", status.code, status.reason, status.message));
                Failure { status: Some(status.code), message }
            }
            other => Failure::other(other),
        }
    }

    fn other(error: &dyn std::error::Error) -> Self {
        // The outer errors of the client say only that there is an inner one.
        let mut innermost = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Failure { status: None, message: shortened_to(LONGEST_MESSAGE, &innermost.to_string()) }
    }
}

/// A certificate in PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    const COLUMNS: usize = 64;
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (number, letter) in text.chars().enumerate() {
        if number > 0 && number % COLUMNS == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_becomes_lines_of_at_most_64_letters() {
        let text = pem(&[7; 100]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            (lines.first(), lines.last()),
            (Some(&"-----BEGIN CERTIFICATE-----"), Some(&"-----END CERTIFICATE-----"))
        );
        assert!(lines.iter().all(|line| line.len() <= 64), "{text}");
        assert_eq!(STANDARD.decode(lines[1..lines.len() - 1].concat()).unwrap(), [7; 100]);
    }
}
