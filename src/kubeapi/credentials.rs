//! Who rooknet is to the API server, and which server that is: a kubeconfig, or the files of a service account.
//!
//! Files are read when the first request is made, so that a call which needs no API server needs no credentials. What
//! a node's agent rotates is read anew: the token's file for each request, everything after a 401.

use std::fmt;
use std::path::{Path, PathBuf};

use hyper::header::HeaderValue;

use super::kubeconfig;
use super::server::Server;
use super::tls;
use crate::cni::text::printable_path;
use crate::cni::{Code, Error};
use crate::state::files::{described, read_text};

/// Bytes of a kubeconfig or of a file that it names, at most: a bundle of all public authorities has 250 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Bytes of a token, at most. Those of service accounts have about 1 KiB.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Where the credentials lie. They are read when the first request is made, and again after a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A kubeconfig, or a directory with the files `token`, `ca.crt` and `server`.
    path: PathBuf,
}

impl Source {
    /// The credentials at `path`, which is not read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Source { path: path.into() }
    }

    /// Reads everything that a request would need, and asks nobody: whether the server takes it is another matter.
    ///
    /// # Errors
    /// Code 5 when a file cannot be read, code 7 when what it says cannot be used; both name file and key.
    pub fn check(&self) -> Result<(), Error> {
        let Credentials { endpoint, token } = self.read()?;
        if endpoint.server.is_https {
            tls::settings(&endpoint)?;
        }
        token.header().map(|_| ())
    }

    /// The token that a request would carry; `None` without one.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn token(&self) -> Result<Option<String>, Error> {
        let header = self.read()?.token.header()?;
        let text = header.as_ref().and_then(|header| header.to_str().ok());
        Ok(text.and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned))
    }

    /// Reads everything but a token that has a file of its own.
    ///
    /// # Errors
    /// Code 5 when a file cannot be read, code 7 when what it says cannot be used; both name file and key.
    pub(super) fn read(&self) -> Result<Credentials, Error> {
        let mut credentials =
            if self.path.is_dir() { service_account(&self.path)? } else { kubeconfig::read(&self.path)? };
        credentials.endpoint.origin = self.described();
        let has_token = !matches!(credentials.token, Token::None);
        if has_token && !credentials.endpoint.server.is_https {
            log::warn!("{} has an http server: the token goes to it in clear", self.described());
        } else if has_token && credentials.endpoint.trust == Trust::Anybody {
            log::warn!("{} has insecure-skip-tls-verify: the token goes to whoever answers", self.described());
        }
        Ok(credentials)
    }

    /// How messages name it.
    pub(super) fn described(&self) -> String {
        let kind = if self.path.is_dir() { "the service account in" } else { "kubeconfig" };
        format!("{kind} {}", printable_path(&self.path))
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Where to, and how the two prove who they are: what a connection depends on.
    pub(super) endpoint: Endpoint,
    /// What each request carries.
    pub(super) token: Token,
}

/// A server and the TLS that is spoken with it. Equal endpoints can share a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Its address.
    pub(super) server: Server,
    /// Who may have signed its certificate.
    pub(super) trust: Trust,
    /// The name that its certificate must have, when it is not the address's.
    pub(super) server_name: Option<String>,
    /// What we show it.
    pub(super) certificate: Option<ClientCertificate>,
    /// What says all this, as messages name it.
    pub(super) origin: String,
}

/// Who may have signed the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// One of the authorities that the node's system trusts.
    Node,
    /// One of these.
    Authorities(Pem),
    /// Anybody.
    Anybody,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientCertificate {
    /// The certificate, then those between it and its authority.
    pub(super) chain: Pem,
    /// Its key, not encrypted.
    pub(super) key: Pem,
}

/// A text in PEM form. Its Debug text says only where it is from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    /// The text.
    pub(super) text: Vec<u8>,
    /// Where it is from, as messages name it.
    pub(super) origin: String,
}

impl fmt::Debug for Pem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pem({})", self.origin)
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// A bearer token (RFC 6750).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// There is none: a client certificate serves, or nothing.
    None,
    /// It stands in the kubeconfig, under the key that the second names.
    Text(Secret, String),
    /// It stands in a file, which is read for each request; when that cannot be read, the kubeconfig's own counts, as
    /// for other clients.
    File(PathBuf, Option<Secret>),
}

impl Token {
    /// The header `Authorization` with the token as it is now; `None` without a token.
    ///
    /// # Errors
    /// Code 5 when its file cannot be read, code 7 when it cannot be a token. The token is not in them.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Token::None => Ok(None),
            Token::Text(secret, origin) => bearer(&secret.0, origin).map(Some),
            Token::File(path, former) => match (required_text(path), former) {
                (Ok(text), _) => bearer(&text, &described(path)).map(Some),
                (Err(error), Some(former)) => {
                    log::warn!("{error}; the kubeconfig's own token is taken instead");
                    bearer(&former.0, &format!("key token beside tokenFile {}", printable_path(path))).map(Some)
                }
                (Err(error), None) => Err(error),
            },
        }
    }
}

fn bearer(token: &str, origin: &str) -> Result<HeaderValue, Error> {
    let token = token.trim();
    if token.is_empty() {
        return Err(Error::config(format!("{origin} has no token in it: write one")));
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::config(format!(
            "the token of {origin} has {} bytes, and servers take no header of more than {MAX_TOKEN_BYTES}: write the \
             token alone",
            token.len()
        )));
    }
    let header = token.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("Bearer {token}"));
    let mut header = header.and_then(|header| HeaderValue::from_str(&header).ok()).ok_or_else(|| {
        Error::config(format!(
            "the token of {origin} has blanks, line breaks or characters other than ASCII in it, which no header can \
             carry: write the token alone"
        ))
    })?;
    // HTTP/2 must not keep it in its compression tables, and Debug must not show it.
    header.set_sensitive(true);
    Ok(header)
}

/// The text of a file; `None` when it is absent.
pub(super) fn text(path: &Path) -> Result<Option<String>, Error> {
    read_text(path, MAX_FILE_BYTES).map_err(|error| match error.code {
        // It is the administrator's file, not one of a protocol.
        Code::DECODE => error.with_code(Code::INVALID_CONFIG),
        _ => error,
    })
}

/// The text of a file that must be there.
pub(super) fn required_text(path: &Path) -> Result<String, Error> {
    text(path)?.ok_or_else(|| Error::new(Code::IO, format!("{} does not exist: create it", described(path))))
}

/// A directory as a service account's volume has it, with a file `server` beside.
fn service_account(directory: &Path) -> Result<Credentials, Error> {
    let path = directory.join("server");
    let server = Server::parse(&required_text(&path)?)
        .map_err(|rule| Error::config(format!("{} is not the address of an API server: {rule}", described(&path))))?;
    let trust = if server.is_https {
        let path = directory.join("ca.crt");
        Trust::Authorities(Pem { text: required_text(&path)?.into_bytes(), origin: described(&path) })
    } else {
        Trust::Node
    };
    let token = Token::File(directory.join("token"), None);
    let endpoint = Endpoint { server, trust, server_name: None, certificate: None, origin: String::new() };
    Ok(Credentials { endpoint, token })
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
