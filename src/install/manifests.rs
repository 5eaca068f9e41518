//! The objects of the cluster as one text: what `rooknetctl manifests` prints, for machines without this project's
//! files.
//!
//! The texts are those of `deploy/kustomize`, taken in at the build. The DaemonSet is changed as text and not as a
//! structure, so that the reasons in its comments reach whoever reviews what is printed. The tests in test-kube compare
//! the outcome with what kustomize and Helm make of the same files.

use anyhow::{Result, ensure};

const KIND: &str = include_str!("../../deploy/kustomize/crd/network-attachment-definition.yaml");
/// In the order of the kustomization: the policies come before the accounts that they bound.
const RIGHTS: [&str; 4] = [
    include_str!("../../deploy/kustomize/base/admission-policy.yaml"),
    include_str!("../../deploy/kustomize/base/agent-admission-policy.yaml"),
    include_str!("../../deploy/kustomize/base/rbac.yaml"),
    include_str!("../../deploy/kustomize/base/agent-rbac.yaml"),
];
const DAEMONSET: &str = include_str!("../../deploy/kustomize/base/daemonset.yaml");
const SECURITY_CONTEXT_CONSTRAINT: &str =
    include_str!("../../deploy/kustomize/components/openshift/security-context-constraint.yaml");

/// The name of the image, without its tag, when none is given.
const IMAGE: &str = "localhost/rooknet";

/// What the agent of each node is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To keep rooknet installed: the value of its `--mode`.
    Keep(&'static str),
    /// To drain its node and take rooknet away.
    Uninstall,
}

/// A distribution of Kubernetes whose directories are not the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The value of `--preset`.
    pub name: &'static str,
    /// The directory to mount for the programs of CNI plugins: theirs, or one above it when they are links to files
    /// there.
    pub programs: &'static str,
    /// The directory of the runtime's configurations; `None`: /etc/cni/net.d.
    pub lists: Option<&'static str>,
    /// The directory of the runtime's socket.
    pub runtime: &'static str,
    /// Whether SELinux and a security context constraint keep an ordinary pod out of these directories.
    pub is_constrained: bool,
}

/// The distributions, as `deploy/kustomize/components` has them.
pub const DISTRIBUTIONS: [Distribution; 4] = [
    // https://docs.k3s.io/networking/multus-ipams
    Distribution {
        name: "k3s",
        programs: "/var/lib/rancher/k3s/data",
        lists: Some("/var/lib/rancher/k3s/agent/etc/cni/net.d"),
        runtime: "/run/k3s/containerd",
        is_constrained: false,
    },
    Distribution {
        name: "rke2",
        programs: "/opt/cni/bin",
        lists: None,
        runtime: "/run/k3s/containerd",
        is_constrained: false,
    },
    Distribution {
        name: "microk8s",
        programs: "/var/snap/microk8s/current/opt/cni/bin",
        lists: Some("/var/snap/microk8s/current/args/cni-network"),
        runtime: "/var/snap/microk8s/common/run",
        is_constrained: false,
    },
    Distribution {
        name: "openshift",
        programs: "/var/lib/cni/bin",
        lists: Some("/etc/kubernetes/cni/net.d"),
        runtime: "/run/crio",
        is_constrained: true,
    },
];

/// The kind NetworkAttachmentDefinition by itself. It is never among the other objects: whoever deletes those must not
/// delete every network of the cluster with them.
pub fn kind() -> &'static str {
    KIND
}

/// All other objects. `image` is a whole name with its tag; `None`: the one that `make image` gives.
///
/// # Errors
/// When a text of the build is not as this module knows it, which a test excludes.
pub fn objects(purpose: Purpose, image: Option<&str>, distribution: Option<&Distribution>) -> Result<String> {
    let mut documents = RIGHTS.map(str::to_owned).to_vec();
    documents.push(daemonset(purpose, image, distribution)?);
    if distribution.is_some_and(|distribution| distribution.is_constrained) {
        documents.push(SECURITY_CONTEXT_CONSTRAINT.to_owned());
    }
    Ok(documents.join("---\n"))
}

fn daemonset(purpose: Purpose, image: Option<&str>, distribution: Option<&Distribution>) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = DAEMONSET.to_owned();
    if let Some(image) = image {
        text = changed(&text, &format!(" image: {IMAGE}:{version}\n"), &format!(" image: {}\n", quoted(image)), 1)?;
    }
    let preset = distribution.map(|distribution| format!("--preset={}", distribution.name));
    let arguments = match purpose {
        Purpose::Keep(mode) => vec!["agent".to_owned(), format!("--mode={mode}")],
        Purpose::Uninstall => {
            text = changed(&text, "maxUnavailable: 10%\n", "maxUnavailable: 100%\n", 1)?;
            text = without_liveness_probe(&text)?;
            ["uninstall", "--wait", "--stay"].map(str::to_owned).to_vec()
        }
    };
    let list: String = arguments.into_iter().chain(preset).map(|word| format!("            - {word}\n")).collect();
    text = changed(&text, "            - agent\n            - --mode=chained\n", &list, 1)?;
    match distribution {
        Some(distribution) => with_directories(&text, distribution),
        None => Ok(text),
    }
}

/// With the distribution's directories in place of the usual ones.
fn with_directories(text: &str, distribution: &Distribution) -> Result<String> {
    // Each is named twice: as the node's and as the container's.
    let mut text = changed(text, "ath: /opt/cni/bin\n", &format!("ath: {}\n", distribution.programs), 2)?;
    text = changed(&text, "ath: /run/containerd\n", &format!("ath: {}\n", distribution.runtime), 2)?;
    if let Some(lists) = distribution.lists {
        let mount = "              mountPath: /etc/cni\n";
        text = changed(
            &text,
            mount,
            &format!("{mount}            - name: cni-lists\n              mountPath: {lists}\n"),
            1,
        )?;
        let volumes = "      volumes:\n";
        let volume = format!(
            "{volumes}        - name: cni-lists\n          hostPath:\n            path: {lists}\n            type: \
             DirectoryOrCreate\n"
        );
        text = changed(&text, volumes, &volume, 1)?;
    }
    if distribution.is_constrained {
        let containers = "      containers:\n";
        let context = "      securityContext:\n        seLinuxOptions:\n          type: spc_t\n";
        text = changed(&text, containers, &format!("{context}{containers}"), 1)?;
    }
    Ok(text)
}

/// A pod that drains its node is healthy only when it is done, and must not be restarted before.
fn without_liveness_probe(text: &str) -> Result<String> {
    const PROBE: &str = "          livenessProbe:";
    let mut kept: Vec<&str> = Vec::new();
    let mut found = false;
    let mut is_inside = false;
    for line in text.lines() {
        if line == PROBE {
            (found, is_inside) = (true, true);
            // Its reasons go with it.
            while kept.last().is_some_and(|line| line.trim_start().starts_with('#')) {
                kept.pop();
            }
            continue;
        }
        is_inside = is_inside && line.starts_with("            ");
        if !is_inside {
            kept.push(line);
        }
    }
    ensure!(found, "the DaemonSet of this build has no livenessProbe: please report it");
    Ok(format!("{}\n", kept.join("\n")))
}

/// `text` with each of the `count` occurrences of `from` replaced.
fn changed(text: &str, from: &str, to: &str, count: usize) -> Result<String> {
    let found = text.matches(from).count();
    ensure!(
        found == count,
        "the DaemonSet of this build has {found} lines {:?}, not {count}: please report it",
        from.trim()
    );
    Ok(text.replace(from, to))
}

/// A name as a YAML text that cannot be taken for anything else: as JSON, which YAML contains.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_on_every_distribution_is_rendered() {
        let distributions = DISTRIBUTIONS.iter().map(Some).chain([None]);
        for distribution in distributions {
            for purpose in [Purpose::Keep("chained"), Purpose::Keep("delegating"), Purpose::Uninstall] {
                let text = objects(purpose, Some("registry.example/rooknet:x"), distribution).unwrap();
                assert!(text.contains(" image: \"registry.example/rooknet:x\"\n"), "{purpose:?} {distribution:?}");
                assert_eq!(text.contains("livenessProbe:"), purpose != Purpose::Uninstall);
                assert_eq!(text.contains("/run/containerd"), distribution.is_none());
            }
        }
    }

    #[test]
    fn the_kind_of_networks_is_not_among_what_is_deleted_with_the_rest() {
        let text = objects(Purpose::Uninstall, None, None).unwrap();
        assert!(!text.contains("kind: CustomResourceDefinition"));
        assert!(kind().contains("kind: CustomResourceDefinition"));
    }

    #[test]
    fn the_image_is_the_one_of_this_version() {
        let text = objects(Purpose::Keep("chained"), None, None).unwrap();
        assert!(text.contains(&format!(" image: {IMAGE}:{}\n", env!("CARGO_PKG_VERSION"))));
    }
}
