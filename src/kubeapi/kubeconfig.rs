//! Kubeconfigs, as kubectl, kubeadm, k3s and Multus write them.
//!
//! What other clients make of a key is what rooknet makes of it, but where that would be a program of its own (`exec`),
//! another identity (`as`), or nothing at all (passwords): there it says what to write instead.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::credentials::{self, ClientCertificate, Credentials, Endpoint, Pem, Secret, Token, Trust, required_text};
use super::server::Server;
use super::yaml;
use crate::cni::text::{printable_path, quoted};
use crate::cni::{Code, Error};
use crate::state::files::described;

/// Reads a kubeconfig and the files that it names, but for that of a token.
///
/// # Errors
/// Code 5 when a file cannot be read, code 7 when the kubeconfig cannot be used; both name file and key.
pub(super) fn read(path: &Path) -> Result<Credentials, Error> {
    let origin = format!("kubeconfig {}", printable_path(path));
    let text = credentials::text(path)?
        .ok_or_else(|| Error::new(Code::IO, format!("{origin} does not exist: create it, or correct the path")))?;
    parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(|error| error.within(&origin))
}

/// The credentials in a kubeconfig's text; paths in it begin at `directory`.
///
/// # Errors
/// As [`read`], without the file's name.
pub(super) fn parse(text: &str, directory: &Path) -> Result<Credentials, Error> {
    let root = root(text)?;
    if let Some(kind) = root.text("kind")?.filter(|kind| *kind != "Config") {
        return Err(Error::config(format!("its kind is {}: give a file of kind Config", quoted(kind))));
    }
    let Some(context_name) = root.text("current-context")? else {
        return Err(Error::config("it has no key current-context: set it to the name of one of its contexts"));
    };
    let context = root.named("contexts", "context", context_name, "current-context")?;
    let Some(cluster_name) = context.text("cluster")? else {
        return Err(context.missing("cluster", "a cluster's name"));
    };
    let cluster = root.named("clusters", "cluster", cluster_name, "the context's cluster")?;
    let user = match context.text("user")? {
        Some(name) => root.named("users", "user", name, "the context's user")?,
        // As for other clients: whoever comes to the server so, for instance through a proxy, needs nobody's name.
        None => Part { place: "users".to_owned(), keys: Map::new() },
    };
    refuse_other_ways(&user)?;
    let endpoint = endpoint(&cluster, &user, directory)?;
    let own = user.text("token")?.map(|token| Secret(token.to_owned()));
    let token = match (user.text("tokenFile")?, own) {
        (Some(file), own) => Token::File(directory.join(file), own),
        (None, Some(own)) => Token::Text(own, user.key("token")),
        (None, None) => Token::None,
    };
    Ok(Credentials { endpoint, token })
}

/// The whole text, JSON or else YAML.
fn root(text: &str) -> Result<Part, Error> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        // The faults of what was meant to be JSON are not those of YAML.
        Err(error) => yaml::parse(text).map_err(|fault| {
            let is_json = text.trim_start().starts_with('{');
            Error::config(if is_json { format!("it is not JSON: {error}") } else { format!("it is not YAML: {fault}") })
        })?,
    };
    match value {
        Value::Object(keys) => Ok(Part { place: String::new(), keys }),
        Value::Null => Err(Error::config("it is empty: write a kubeconfig")),
        other => Err(Error::config(format!("it is {} and not a mapping: write a kubeconfig", kind(&other)))),
    }
}

fn refuse_other_ways(user: &Part) -> Result<(), Error> {
    const INSTEAD: &str = "give tokenFile, token, or client-certificate with client-key";
    for (key, why) in [
        ("exec", "rooknet runs no program for its credentials"),
        ("auth-provider", "providers are a thing of the past"),
        ("username", "API servers take no passwords"),
        ("password", "API servers take no passwords"),
        ("as", "rooknet acts for nobody else"),
        ("as-uid", "rooknet acts for nobody else"),
        ("as-groups", "rooknet acts for nobody else"),
        ("as-user-extra", "rooknet acts for nobody else"),
    ] {
        let is_given = match user.keys.get(key) {
            None | Some(Value::Null) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(object)) => !object.is_empty(),
            Some(Value::Bool(_) | Value::Number(_)) => true,
        };
        if is_given {
            return Err(Error::config(format!("{} is not supported, {why}: {INSTEAD}", user.key(key))));
        }
    }
    Ok(())
}

fn endpoint(cluster: &Part, user: &Part, directory: &Path) -> Result<Endpoint, Error> {
    let Some(url) = cluster.text("server")? else { return Err(cluster.missing("server", "https://HOST:PORT")) };
    let server = Server::parse(url).map_err(|rule| Error::config(format!("{}: {rule}", cluster.key("server"))))?;
    if cluster.text("proxy-url")?.is_some() {
        log::warn!("{} is passed over: rooknet goes to the API server without a proxy", cluster.key("proxy-url"));
    }
    let server_name = cluster.text("tls-server-name")?.map(str::to_owned);
    let authorities = cluster.pem("certificate-authority", directory)?;
    let trust = match (cluster.flag("insecure-skip-tls-verify")?, authorities) {
        (true, Some(_)) => {
            return Err(Error::config(format!(
                "{} contradicts certificate-authority: remove it, and the server is verified",
                cluster.key("insecure-skip-tls-verify")
            )));
        }
        (true, None) => Trust::Anybody,
        (false, Some(pem)) => Trust::Authorities(pem),
        (false, None) => Trust::Node,
    };
    let (chain, key) = (user.pem("client-certificate", directory)?, user.pem("client-key", directory)?);
    let certificate = match (chain, key) {
        (Some(chain), Some(key)) => Some(ClientCertificate { chain, key }),
        (None, None) => None,
        (Some(_), None) => return Err(user.missing("client-key", "the key of client-certificate")),
        (None, Some(_)) => return Err(user.missing("client-certificate", "the certificate of client-key")),
    };
    Ok(Endpoint { server, trust, server_name, certificate, origin: String::new() })
}

/// A mapping in the kubeconfig, and its place in there.
struct Part {
    place: String,
    keys: Map<String, Value>,
}

impl Part {
    /// A key as messages name it.
    fn key(&self, key: &str) -> String {
        if self.place.is_empty() { format!("key {key}") } else { format!("key {key} of {}", self.place) }
    }

    fn missing(&self, key: &str, right: &str) -> Error {
        Error::config(format!("{} is missing: give {right}", self.key(key)))
    }

    /// Never shows the value, which may be a secret.
    fn wrong(&self, key: &str, found: &Value, right: &str) -> Error {
        Error::config(format!("{} is {} and must be {right}", self.key(key), kind(found)))
    }

    /// A text; an empty one counts as absent, as for other clients.
    fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => Err(self.wrong(key, other, "a text: put it in quotes")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.keys.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(self.wrong(key, other, "true or false")),
        }
    }

    /// A PEM text in `<key>-data`, or else in the file that `key` names.
    fn pem(&self, key: &str, directory: &Path) -> Result<Option<Pem>, Error> {
        let data = format!("{key}-data");
        if let Some(encoded) = self.text(&data)? {
            let encoded: String = encoded.split_ascii_whitespace().collect();
            let text = STANDARD
                .decode(encoded)
                .map_err(|_| Error::config(format!("{} is not base64: give a PEM text in base64", self.key(&data))))?;
            return Ok(Some(Pem { text, origin: self.key(&data) }));
        }
        let Some(file) = self.text(key)? else { return Ok(None) };
        let path = directory.join(file);
        let text = required_text(&path).map_err(|error| error.within(&self.key(key)))?;
        Ok(Some(Pem { text: text.into_bytes(), origin: described(&path) }))
    }

    /// The element of a list with this name; `wanted_by` is who names it.
    fn named(&self, list_key: &str, part_key: &str, name: &str, wanted_by: &str) -> Result<Part, Error> {
        let list = match self.keys.get(list_key) {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(list)) => list,
            Some(other) => return Err(self.wrong(list_key, other, "a list")),
        };
        let mut matching = list.iter().filter(|element| element.get("name").and_then(Value::as_str) == Some(name));
        let Some(element) = matching.next() else {
            return Err(Error::config(format!(
                "{list_key} has none with the name {}, which {wanted_by} says: correct one of them",
                quoted(name)
            )));
        };
        if matching.next().is_some() {
            return Err(Error::config(format!("{list_key} has the name {} twice: keep one", quoted(name))));
        }
        let place = format!("{part_key} {}", quoted(name));
        match element.get(part_key) {
            Some(Value::Object(keys)) => Ok(Part { place, keys: keys.clone() }),
            None | Some(Value::Null) => Ok(Part { place, keys: Map::new() }),
            Some(other) => {
                Err(Error::config(format!("key {part_key} of {place} is {} and must be a mapping", kind(other))))
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
#[path = "kubeconfig_tests.rs"]
mod tests;
