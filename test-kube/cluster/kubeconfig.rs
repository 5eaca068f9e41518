//! Kubeconfig files, written as kubectl writes them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ADMIN, Certificate, Cluster};

/// How the user of a kubeconfig proves who it is.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The key `token`.
    Token(String),
    /// The key `tokenFile`.
    TokenFile(String),
    /// A client certificate, inline.
    Certificate(Certificate),
}

/// A kubeconfig; its text is its `Display`.
#[derive(Clone)]
pub(crate) struct Kubeconfig {
    server: String,
    authority: String,
    credential: Credential,
}

impl Kubeconfig {
    /// The administrator's, for a server with a certificate of the cluster's authority.
    pub(crate) fn new(cluster: &Cluster, server: &str) -> Self {
        Self {
            server: server.to_owned(),
            authority: cluster.authority().pem(),
            credential: Credential::Token(ADMIN.to_owned()),
        }
    }

    /// The same for somebody else.
    pub(crate) fn credential(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }

    /// The same with another authority, in PEM.
    pub(crate) fn authority(self, pem: &str) -> Self {
        Self { authority: pem.to_owned(), ..self }
    }
}

impl fmt::Display for Kubeconfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, authority, credential } = self;
        let authority = STANDARD.encode(authority);
        let user = match credential {
            Credential::Token(token) => format!("    token: {token}\n"),
            Credential::TokenFile(file) => format!("    tokenFile: {file}\n"),
            Credential::Certificate(Certificate { certificate, key }) => format!(
                "    client-certificate-data: {}\n    client-key-data: {}\n",
                STANDARD.encode(certificate),
                STANDARD.encode(key)
            ),
        };
        write!(
            formatter,
            "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    \
             server: {server}\n  name: test\ncontexts:\n- context:\n    cluster: test\n    user: \
             rooknet\n  name: test\ncurrent-context: test\npreferences: {{}}\nusers:\n- name: rooknet\n  user:\n{user}"
        )
    }
}
