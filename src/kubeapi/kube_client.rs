//! The general client of the kube crate, for rooknetctl: what its parts share of it.
//!
//! They watch and list, which the plugin never does, and for which a client of our own would be much to maintain.

use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result};
use kube::Config;
use kube::api::{Api, ApiResource, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;

use crate::cni::text::printable_path;

/// The key of the start-up taint: it is on a node while the agent has not verified rooknet there.
pub const NOT_READY_TAINT: &str = "rooknet.io/not-ready";

/// Objects of one page of a list: bounds memory.
const PAGE: u32 = 250;

/// The configuration of a kubeconfig's current context.
///
/// # Errors
/// When it cannot be read, or is none; they name the option `--kubeconfig`.
pub async fn of_kubeconfig(path: &Path) -> Result<Config> {
    let about = || format!("--kubeconfig {}", printable_path(path));
    let kubeconfig = Kubeconfig::read_from(path).with_context(about)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.with_context(about)
}

/// The kind of network definitions.
pub fn definition_kind() -> ApiResource {
    let kind = GroupVersionKind::gvk("k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition");
    ApiResource::from_gvk_with_plural(&kind, "network-attachment-definitions")
}

/// Lists objects page by page, and gives what `keep` makes of each that it keeps: a page at a time is in memory.
///
/// # Errors
/// What the API server, or the way to it, has against it.
pub async fn list<K, T>(
    api: &Api<K>,
    parameters: ListParams,
    mut keep: impl FnMut(K) -> Option<T>,
) -> Result<Vec<T>, kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut kept = Vec::new();
    let mut parameters = parameters.limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        kept.extend(page.items.into_iter().filter_map(&mut keep));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(kept),
        }
    }
}
