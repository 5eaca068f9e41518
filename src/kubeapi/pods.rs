//! Pods: what one asks for, and what it is told about its networks.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::client::{Answer, Client, Method, Request};
use super::error::Error;
use crate::cni::text::quoted;
use crate::multinet::status;
use crate::state::deadline::Deadline;

/// Bytes of a pod, at most: etcd takes about 1.5 MiB by default, and JSON is longer than what it stores.
const MAX_POD_BYTES: usize = 4 * 1_048_576;

/// A pod's place. Both names must have been checked: they become part of a path.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// `metadata.namespace`, an RFC 1123 label.
    pub namespace: &'a str,
    /// `metadata.name`, an RFC 1123 subdomain.
    pub name: &'a str,
}

/// What rooknet reads of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// `metadata.namespace`.
    #[serde(default)]
    pub namespace: String,
    /// `metadata.name`.
    #[serde(default)]
    pub name: String,
    /// `metadata.uid`.
    #[serde(default)]
    pub uid: String,
    /// `metadata.annotations`.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Reads a pod.
///
/// # Errors
/// Those of [`Client::request`], of which status 404 says that there is no such pod; [`Error::Malformed`] for an answer
/// that is not a pod.
pub async fn get(client: &Client, pod: Reference<'_>, deadline: &Deadline) -> Result<Metadata, Error> {
    let Reference { namespace, name } = pod;
    let about = format!("GET pod {namespace}/{name}");
    let request = Request {
        method: Method::Get,
        path: &format!("/api/v1/namespaces/{namespace}/pods/{name}"),
        about: &about,
        body: &[],
        limit: MAX_POD_BYTES,
        deadline,
    };
    let answer = client.request(&request).await?;
    read(pod, &about, &answer)
}

/// The pod of an answer. One that is not the pod that was meant would say that it selects nothing, and the pod would start
/// without its networks; or that a status was written which nobody can read.
fn read(pod: Reference<'_>, about: &str, answer: &Answer) -> Result<Metadata, Error> {
    #[derive(Deserialize)]
    struct Pod {
        #[serde(default)]
        kind: String,
        metadata: Metadata,
    }
    let malformed = |reason: &dyn fmt::Display| Error::malformed(about, &answer.server, reason);
    let Pod { kind, metadata } = serde_json::from_slice(&answer.body).map_err(|error| malformed(&error))?;
    if kind != "Pod" || metadata.namespace != pod.namespace || metadata.name != pod.name || metadata.uid.is_empty() {
        let Metadata { namespace, name, .. } = &metadata;
        let (kind, place) = (quoted(&kind), quoted(&format!("{namespace}/{name}")));
        return Err(malformed(&format!(
            "it is an object of kind {kind}, {place}, and not that pod: is something else answering at that address?"
        )));
    }
    Ok(metadata)
}

/// Writes the pod's network-status annotation, by one merge patch of the subresource `status`: no read before it, and
/// nothing of the pod's that somebody else writes at the same time is touched (Multus issue 855).
///
/// `uid` guards against a pod that was created anew under the same name: the server refuses to change it, with status
/// 422 ("field is immutable"). `None` leaves that open.
///
/// # Errors
/// Those of [`Client::request`]: status 404 when the pod is gone, 422 when it is another one; [`Error::Malformed`] for an
/// answer that is not the pod.
pub async fn patch_network_status(
    client: &Client,
    pod: Reference<'_>,
    uid: Option<&str>,
    network_status: &str,
    deadline: &Deadline,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Patch<'a> {
        metadata: PatchedMetadata<'a>,
    }
    #[derive(Serialize)]
    struct PatchedMetadata<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<&'a str>,
        annotations: BTreeMap<&'a str, &'a str>,
    }
    let Reference { namespace, name } = pod;
    let about = format!("PATCH pod {namespace}/{name}/status");
    let annotations = BTreeMap::from([(status::ANNOTATION, network_status)]);
    let body = serde_json::to_vec(&Patch { metadata: PatchedMetadata { uid, annotations } })
        .map_err(|error| Error::malformed(&about, &client.described(), &error))?;
    let request = Request {
        method: Method::Patch,
        path: &format!("/api/v1/namespaces/{namespace}/pods/{name}/status"),
        about: &about,
        body: &body,
        limit: MAX_POD_BYTES,
        deadline,
    };
    let answer = client.request(&request).await?;
    read(pod, &about, &answer).map(|_| ())
}
