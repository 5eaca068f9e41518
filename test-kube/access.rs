//! What a node is given for its access to the API server is good for other clients than the plugin too.

use serde_json::json;

use crate::cluster::{ADDRESS6, Cluster, DNS_NAME, control_plane};
use crate::proxy::{Gate, Proxy};
use crate::site::{KUBECONFIG, Site};
use crate::support::{Outcome, run};

/// kubectl on the node, with the kubeconfig of the plugin.
fn kubectl(site: &Site, words: &[&str]) -> Outcome {
    let mut command = site.node().command(control_plane().join("kubectl"));
    command.args(["--kubeconfig", KUBECONFIG, "--cache-dir", "/run/kubectl"]).args(words);
    run(command, b"")
}

#[test]
fn the_kubeconfig_of_a_node_is_one_that_kubectl_takes() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let pod = site.pod("pod", Some("net"));
    let who = kubectl(&site, &["auth", "whoami", "--output", "json"]).json();
    assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:kube-system:rooknet");
    assert_eq!(who["status"]["userInfo"]["extra"]["authentication.kubernetes.io/node-name"], json!([site.node_name]));
    let uid = ["get", "pod", "pod", "--namespace", &site.namespace, "--output", "jsonpath={.metadata.uid}"];
    assert_eq!(kubectl(&site, &uid).expect_success("get pod"), pod.uid);
    let network = ["get", "net-attach-def", "net", "--namespace", &site.namespace];
    kubectl(&site, &network).expect_success("get the network");
    let list = kubectl(&site, &["get", "pods", "--namespace", &site.namespace]);
    assert!(list.to_string().contains("Forbidden"), "{list}");
}

#[test]
fn the_api_server_is_reached_by_every_way_that_tests_take() {
    let site = Site::start();
    let server = site.cluster.server();
    let proxy = Proxy::start(site.cluster, server, site.node());
    let gate = Gate::start(server, site.node());
    site.resolve(&[(ADDRESS6, DNS_NAME)]);
    let port = server.port();
    let urls = [
        server.url(),
        format!("https://[{ADDRESS6}]:{port}"),
        format!("https://{DNS_NAME}:{port}"),
        proxy.url(),
        gate.url(),
    ];
    for url in urls {
        site.use_server(&url);
        kubectl(&site, &["version"]).expect_success(&url);
    }
    assert!(!proxy.exchanges().is_empty());
}

#[test]
fn a_token_that_has_expired_is_refused_until_another_takes_its_place() {
    let site = Site::start();
    site.pod("pod", None);
    let get = ["get", "pod", "pod", "--namespace", &site.namespace];
    site.write_token(&site.cluster.expiring_in(&site.token(), -120));
    let refused = kubectl(&site, &get);
    assert!(refused.to_string().contains("must be logged in"), "{refused}");
    site.write_token(&site.token());
    kubectl(&site, &get).expect_success("with the new token");
    assert_eq!(site.requests(), Vec::<String>::new(), "none of it was the plugin's");
    assert!(!Cluster::shared().server().requests_by("kubectl/", &site.namespace).is_empty());
}
