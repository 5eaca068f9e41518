//! What is wrong on the way to a real API server.

use serde_json::json;

use crate::cluster::Authority;
use crate::proxy::{Fault, Proxy, Rule};
use crate::site::{KUBECONFIG, Site};
use crate::ward::Ward;

/// The rows that are provoked here.
pub(crate) const ROWS: &[&str] = &["api-unauthorized", "api-forbidden", "api-kind-missing", "api-not-trusted"];

fn ward(site: &Site) -> Ward<'_> {
    Ward::with_entry(&site.fixture, &json!({"kubeconfig": KUBECONFIG, "nodeName": site.node_name}))
}

#[test]
fn a_token_that_the_server_does_not_take_is_told() {
    let site = Site::start();
    let ward = ward(&site);
    ward.is_healthy();
    site.write_token("wrong");
    ward.shows("api-unauthorized", &["401", "network-attachment-definition"]);
    site.write_token(&site.token());
    ward.is_healthy();
}

#[test]
fn an_account_without_the_right_is_told() {
    let site = Site::start();
    let ward = ward(&site);
    site.cluster.post(
        &format!("/api/v1/namespaces/{}/serviceaccounts", site.namespace),
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}),
    );
    site.write_token(&site.cluster.token(&site.namespace, "nobody", None));
    ward.shows("api-forbidden", &["403", "nobody"]);
    site.write_token(&site.token());
    ward.is_healthy();
}

#[test]
fn a_server_that_does_not_know_the_kind_is_told() {
    let site = Site::start();
    let ward = ward(&site);
    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    ward.is_healthy();
    proxy.add(Rule::new(Fault::Status(404, None)));
    ward.shows("api-kind-missing", &["404"]);
    proxy.relent();
    ward.is_healthy();
}

#[test]
fn a_server_whose_certificate_another_authority_signed_is_told() {
    let site = Site::start();
    let ward = ward(&site);
    let url = site.cluster.server().url();
    site.write_kubeconfig(&site.kubeconfig(&url).authority(&Authority::new().pem()));
    ward.shows("api-not-trusted", &["certificate"]);
    site.use_server(&url);
    ward.is_healthy();
}
