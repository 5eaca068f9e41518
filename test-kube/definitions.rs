//! The definition of the network kind, and objects of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, project_file};
use crate::support::wait_until;

/// The manifest of this project.
fn own() -> String {
    project_file("deploy/kustomize/crd/network-attachment-definition.yaml")
}

/// The kind as other projects define it, Multus first: what of it has a meaning.
const WIDESPREAD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: network-attachment-definitions.k8s.cni.cncf.io
spec:
  group: k8s.cni.cncf.io
  scope: Namespaced
  names:
    plural: network-attachment-definitions
    singular: network-attachment-definition
    kind: NetworkAttachmentDefinition
    shortNames:
    - net-attach-def
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion:
              type: string
            kind:
              type: string
            metadata:
              type: object
            spec:
              type: object
              properties:
                config:
                  type: string
";

/// All files below a directory of this project.
fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A manifest, or an object, for a kind of another group: while a kind is replaced, its objects are out of reach for a
/// moment, which tests that run at the same time must not see.
fn elsewhere(text: &str) -> String {
    text.replace("k8s.cni.cncf.io", "replaced.example.com").replace("net-attach-def", "replaced-attach-def")
}

#[test]
fn our_definition_and_the_widespread_one_replace_each_other_and_keep_what_is_there() {
    let cluster = Cluster::shared();
    let namespace = cluster.unique_name("replaced");
    cluster.create_namespace(&namespace);
    let path =
        elsewhere(&format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/net"));
    let kind = elsewhere(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/network-attachment-definitions.k8s.cni.cncf.io",
    );
    let network = json!({
        "apiVersion": elsewhere("k8s.cni.cncf.io/v1"),
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "net", "namespace": namespace, "annotations": {"key": "value"}},
        "spec": {"config": "{\"type\": \"macvlan\"}"},
    });
    let mut before = None;
    for text in [own(), WIDESPREAD.to_owned(), own(), own()] {
        cluster.apply(&elsewhere(&text));
        wait_until("the kind in force", Duration::from_secs(60), || {
            let conditions = cluster.get(&kind).expect_success("the kind")["status"]["conditions"].clone();
            let holds = |wanted: &str| {
                let mut conditions = conditions.as_array().into_iter().flatten();
                conditions.any(|condition| condition["type"] == wanted && condition["status"] == "True")
            };
            let is_served = cluster.get(path.trim_end_matches("/net")).is_success();
            holds("NamesAccepted") && holds("Established") && is_served
        });
        if before.is_none() {
            cluster.apply(&network.to_string());
            before = Some(cluster.get(&path).expect_success("the network"));
        }
        let mut found = cluster.get(&path);
        wait_until("the network", Duration::from_secs(60), || {
            found = cluster.get(&path);
            found.status != 503
        });
        assert_eq!(found.expect_success("the network"), *before.as_ref().unwrap());
    }
    assert!(cluster.apply(&elsewhere(&own())).contains("unchanged"));
}

#[test]
fn the_example_networks_can_be_applied_and_listed_by_the_short_name() {
    let cluster = Cluster::shared();
    let namespace = cluster.unique_name("examples");
    cluster.create_namespace(&namespace);
    let mut seen = 0;
    for path in files("conf") {
        let text = fs::read_to_string(&path).unwrap();
        let Ok(mut network) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        if network["kind"] != "NetworkAttachmentDefinition" {
            continue;
        }
        network["metadata"]["namespace"] = json!(namespace);
        network["metadata"]["name"] = json!(format!("example-{seen}"));
        let said = cluster.apply(&network.to_string());
        assert!(said.contains(&format!("example-{seen} created")), "{}: {said}", path.display());
        let stored =
            format!("/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/example-{seen}");
        assert_eq!(cluster.get(&stored).expect_success("stored")["spec"], network["spec"], "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} examples");
    let listed = cluster
        .kubectl(&["get", "net-attach-def", "--namespace", &namespace, "--output", "name"], "")
        .expect_success("kubectl get net-attach-def");
    assert_eq!(listed.lines().count(), seen, "{listed}");
}

#[test]
fn a_configuration_is_text_or_absent() {
    let cluster = Cluster::shared();
    let namespace = cluster.unique_name("texts");
    cluster.create_namespace(&namespace);
    let network = |name: &str, spec: &Value| {
        json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": namespace, "name": name}, "spec": spec,
        })
    };
    cluster.apply(&network("empty", &json!({})).to_string());
    let refused = cluster.kubectl(
        &["apply", "--validate=false", "-f", "-"],
        &network("object", &json!({"config": {"type": "macvlan"}})).to_string(),
    );
    assert!(!refused.success() && refused.to_string().contains("spec.config"), "{refused}");
}
