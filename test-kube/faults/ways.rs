//! Every way by which a node may be told of its API server.

use serde_json::json;

use super::refused::grant;
use super::{Case, REFUSED, modes, with};
use crate::cluster::{ADDRESS, ADDRESS6, Credential, DNS_NAME, Kubeconfig};
use crate::site::{KUBECONFIG, Site, TOKEN};

/// A site with the network `public`.
fn site() -> Site {
    let site = Site::start();
    site.define_stub("public", &json!({}));
    site
}

/// A pod in both modes gets its network by one GET and one PATCH.
#[track_caller]
fn works(case: &str, site: &Site, keys: &serde_json::Value) {
    for (mode, config) in modes(site) {
        let config = with(config, keys);
        let before = site.requests().len();
        let pod = site.pod(&format!("{mode}-{before}"), Some("public"));
        Case::add(case, site, &config, &pod).succeeds(&["public"]);
        assert_eq!(
            site.requests()[before..],
            [
                format!("get network-attachment-definitions {}/public 200", site.namespace),
                format!("patch pods/status {}/{} 200", site.namespace, pod.name)
            ],
            "{case}"
        );
    }
    site.assert_clean();
}

/// Multus 1461: IPv6 clusters.
#[test]
fn an_ipv6_address_serves() {
    let site = site();
    site.use_server(&format!("https://[{ADDRESS6}]:{}", site.cluster.server().port()));
    works("IPv6 address", &site, &json!({}));
}

/// Multus 1461: a control plane of several servers under one name, of which the first is down.
#[test]
fn a_name_serves_whose_first_addresses_refuse() {
    let site = site();
    site.resolve(&[("127.0.0.1", DNS_NAME), ("127.0.0.2", DNS_NAME), (ADDRESS, DNS_NAME)]);
    let resolved = site.node().ok(&["getent", "ahosts", DNS_NAME]);
    assert_eq!(resolved.split_whitespace().next(), Some("127.0.0.1"), "the first one refuses: {resolved}");
    assert!(resolved.contains(ADDRESS), "{resolved}");
    site.use_server(&format!("https://{DNS_NAME}:{}", site.cluster.server().port()));
    works("name with three addresses", &site, &json!({}));
}

/// Multus 929, 1263: the files of a service account's volume, which are rotated in place.
#[test]
fn the_directory_of_a_service_account_serves() {
    const DIRECTORY: &str = "/etc/cni/rooknet/account";
    let site = site();
    let files =
        [("token", site.token()), ("ca.crt", site.cluster.authority().pem()), ("server", site.cluster.server().url())];
    for (name, content) in files {
        site.node().write(&format!("{DIRECTORY}/{name}"), content);
    }
    works("directory of a service account", &site, &json!({"kubeconfig": DIRECTORY}));
}

/// Multus 852: a kubeconfig in JSON, with files beside it.
#[test]
fn a_kubeconfig_in_json_serves() {
    let site = site();
    site.node().write("/etc/cni/rooknet/ca.pem", site.cluster.authority().pem());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "node",
        "clusters": [{"name": "a", "cluster": {"server": site.cluster.server().url(), "certificate-authority": "ca.pem"}}],
        "contexts": [{"name": "node", "context": {"cluster": "a", "user": "b"}}],
        "users": [{"name": "b", "user": {"tokenFile": TOKEN}}],
    });
    site.node().write(KUBECONFIG, serde_json::to_string_pretty(&kubeconfig).unwrap());
    works("kubeconfig in JSON", &site, &json!({}));
}

/// Multus 852, 929: a token within the kubeconfig, as Multus's own has it.
#[test]
fn a_token_within_the_kubeconfig_serves() {
    let site = site();
    let kubeconfig = Kubeconfig::new(site.cluster, &site.cluster.server().url());
    site.write_kubeconfig(&kubeconfig.credential(Credential::Token(site.token())));
    works("token in the kubeconfig", &site, &json!({}));
}

/// Multus 852: a client certificate, which lives longer than a token.
#[test]
fn a_client_certificate_serves() {
    let site = site();
    let user = site.cluster.unique_name("certified");
    let rights = [("k8s.cni.cncf.io", "network-attachment-definitions", "get"), ("", "pods/status", "patch")];
    grant(&site, &json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}), &user, &rights);
    let kubeconfig = Kubeconfig::new(site.cluster, &site.cluster.server().url());
    let certificate = site.cluster.authority().client(&user, "nodes");
    site.write_kubeconfig(&kubeconfig.credential(Credential::Certificate(certificate)));
    works("client certificate", &site, &json!({}));
}

/// Multus 181: a certificate in the account's own name has no node, so the policy lets it change no pod.
#[test]
fn a_client_certificate_in_the_accounts_name_changes_no_pod() {
    let site = site();
    let account = format!("system:serviceaccount:kube-system:{}", site.account.name());
    let certificate = site.cluster.authority().client(&account, "system:serviceaccounts");
    let kubeconfig = Kubeconfig::new(site.cluster, &site.cluster.server().url());
    site.write_kubeconfig(&kubeconfig.credential(Credential::Certificate(certificate)));
    for (mode, config) in modes(&site) {
        let pod = site.pod(mode, Some("public"));
        let words = ["PATCH", "403 Forbidden", "not bound to a node"];
        Case::add("certificate in the account's name", &site, &config, &pod).fails(REFUSED, &words);
    }
}

/// Multus 852: a server whose certificate another authority signed gets no token.
#[test]
fn a_server_of_another_authority_gets_no_request() {
    let site = site();
    let other = crate::cluster::Authority::new();
    site.write_kubeconfig(&site.kubeconfig(&site.cluster.server().url()).authority(&other.pem()));
    for (mode, config) in modes(&site) {
        let pod = site.pod(mode, Some("public"));
        let words = ["GET", "certificate", KUBECONFIG];
        Case::add("certificate of another authority", &site, &config, &pod).fails(7, &words);
        assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
    }
    assert_eq!(site.requests(), Vec::<String>::new());
}
