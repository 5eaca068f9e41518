//! NetworkAttachmentDefinitions of the API server: by GET, one at a time, never a list. The right to list would show a
//! stolen token every network of the cluster.

use std::cell::Cell;

use super::client::{Client, Method, Request};
use crate::cni::Error;
use crate::multinet::definition::{self, Definition, MAX_BYTES_OF_A_POD, MAX_DEFINITION_BYTES};
use crate::multinet::object_names::{is_label, is_subdomain};
use crate::multinet::source::{Found, NetworkSource};
use crate::state::deadline::Deadline;

/// The HTTP status of an object that does not exist.
const NOT_FOUND: u16 = 404;

/// The API server as a source of networks.
#[derive(Debug)]
pub struct ApiNetworks<'a> {
    client: &'a Client,
    deadline: &'a Deadline,
    /// Set when the server does not even know the kind.
    is_kind_missing: Cell<bool>,
    /// What is left of [`MAX_BYTES_OF_A_POD`] for answers, which come side by side.
    room: Cell<usize>,
}

impl<'a> ApiNetworks<'a> {
    /// Networks from the server of `client`, each asked for until `deadline` at the latest.
    pub fn new(client: &'a Client, deadline: &'a Deadline) -> Self {
        ApiNetworks { client, deadline, is_kind_missing: Cell::new(false), room: Cell::new(MAX_BYTES_OF_A_POD) }
    }
}

impl NetworkSource for ApiNetworks<'_> {
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        if !is_label(namespace) || !is_subdomain(name) {
            // Such an object cannot exist, and the names are to become part of a path.
            return Ok(None);
        }
        let request = Request {
            method: Method::Get,
            path: &format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}"),
            about: &format!("GET network-attachment-definition {namespace}/{name}"),
            body: &[],
            limit: MAX_DEFINITION_BYTES,
            deadline: self.deadline,
        };
        let answer = match self.client.request(&request).await {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(NOT_FOUND) => {
                // The server's own message has the object's name in quotes when it knows the kind.
                let knows_kind = error.message().is_some_and(|message| message.contains(&format!("\"{name}\"")));
                self.is_kind_missing.set(self.is_kind_missing.get() || !knows_kind);
                return Ok(None);
            }
            Err(error) => return Err(error.to_cni()),
        };
        let origin = format!("of the API server {}", answer.server);
        let Some(room) = self.room.get().checked_sub(answer.body.len()) else {
            return Err(definition::too_many(&format!("network {namespace}/{name} {origin}")));
        };
        self.room.set(room);
        let text = String::from_utf8(answer.body)
            .map_err(|_| Error::decode(format!("network {namespace}/{name} {origin} is not UTF-8")))?;
        let definition = Definition::parse(&format!("network {namespace}/{name} {origin}"), &text)?;
        if definition.namespace != namespace || definition.name != name {
            return Err(Error::decode(format!(
                "network {namespace}/{name} {origin}: the answer is {}/{}, is something else answering at that \
                 address?",
                definition.namespace, definition.name
            )));
        }
        Ok(Some(Found { definition, origin }))
    }

    fn described(&self) -> String {
        let server = format!("at {}", self.client.described());
        if self.is_kind_missing.get() {
            format!(
                "{server}, which does not know the kind NetworkAttachmentDefinition (apply \
                 deploy/kustomize/crd/network-attachment-definition.yaml)"
            )
        } else {
            server
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::kubeapi::testing::{Directory, Reply, Server, block_on, ok, plain_client};

    /// What is found as `rook-ceph/osd` where every answer is `reply`, and how the source is described then.
    fn find(reply: Reply) -> (Result<Option<Found>, Error>, String) {
        block_on(async {
            let directory = Directory::new();
            let server = Server::start("127.0.0.1", None, move |_, _| reply.clone()).await;
            let client = plain_client(&directory, &server);
            let deadline = Deadline::without_signals(Duration::from_secs(60));
            let networks = ApiNetworks::new(&client, &deadline);
            (networks.find("rook-ceph", "osd").await, networks.described())
        })
    }

    #[test]
    fn an_object_in_place_of_another_is_refused_naming_both() {
        for (namespace, name) in [("rook-ceph", "other"), ("other", "osd"), ("rook-ceph", "")] {
            let (found, _) = find(ok(&json!({"metadata": {"namespace": namespace, "name": name}}).to_string()));
            let error = found.unwrap_err();
            assert_eq!(error.code.0, 6, "{error}");
            for word in ["network rook-ceph/osd of the API server", &format!("the answer is {namespace}/{name},")] {
                assert!(error.message.contains(word), "{word} is not in: {error}");
            }
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_kind_is_told_from_one_without_the_definition() {
        let missing = |message: &str| Reply::With(404, Vec::new(), json!({"message": message}).to_string());
        for (reply, is_kind_missing) in [
            (missing("network-attachment-definitions.k8s.cni.cncf.io \"osd\" not found"), false),
            (missing("the server could not find the requested resource"), true),
            (Reply::With(404, Vec::new(), "404 page not found, by osd-proxy\n".to_owned()), true),
        ] {
            let (found, described) = find(reply);
            assert!(found.unwrap().is_none());
            assert_eq!(described.contains("does not know the kind"), is_kind_missing, "{described}");
        }
    }
}
