//! The objects of the cluster as one text: what `rooknetctl manifests` prints, for machines without this project's
//! files.
//!
//! The texts are those of `deploy/kustomize`, taken in at the build. The DaemonSet is changed as text and not as a
//! structure, so that the reasons in its comments reach whoever reviews what is printed. The tests in test-kube compare
//! the outcome with what kustomize and Helm make of the same files.

use anyhow::{Context, Result, ensure};

use super::{DEFAULT_CONF_DIR, Mode, Places, Preset};

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
    /// To keep rooknet installed, in this mode.
    Keep(Mode),
    /// To drain its node and take rooknet away.
    Uninstall,
}

/// The kind NetworkAttachmentDefinition by itself. It is never among the other objects: whoever deletes those must not
/// delete every network of the cluster with them.
pub fn kind() -> &'static str {
    KIND
}

/// All other objects. `image` is a whole name with its tag; `None`: the one that `make image` gives.
///
/// # Errors
/// When a text of the build is not as this module knows it, which a test excludes.
pub fn objects(purpose: Purpose, image: Option<&str>, preset: Option<Preset>) -> Result<String> {
    let mut documents = RIGHTS.map(str::to_owned).to_vec();
    documents.push(daemonset(purpose, image, preset)?);
    if preset.is_some_and(Preset::is_constrained) {
        documents.push(SECURITY_CONTEXT_CONSTRAINT.to_owned());
    }
    Ok(documents.join("---\n"))
}

fn daemonset(purpose: Purpose, image: Option<&str>, preset: Option<Preset>) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = DAEMONSET.to_owned();
    if let Some(image) = image {
        text = changed(&text, &format!(" image: {IMAGE}:{version}\n"), &format!(" image: {}\n", quoted(image)), 1)?;
    }
    let presetting = preset.map(|preset| format!("--preset={}", preset.as_str()));
    let arguments = match purpose {
        Purpose::Keep(mode) => vec!["agent".to_owned(), format!("--mode={}", mode.as_str())],
        Purpose::Uninstall => {
            text = changed(&text, "maxUnavailable: 10%\n", "maxUnavailable: 100%\n", 1)?;
            text = without_liveness_probe(&text)?;
            ["uninstall", "--wait", "--stay"].map(str::to_owned).to_vec()
        }
    };
    let list: String = arguments.into_iter().chain(presetting).map(|word| format!("            - {word}\n")).collect();
    text = changed(&text, "            - agent\n            - --mode=chained\n", &list, 1)?;
    match preset {
        Some(preset) => with_directories(&text, preset),
        None => Ok(text),
    }
}

/// With the distribution's directories in place of the usual ones.
fn with_directories(text: &str, preset: Preset) -> Result<String> {
    let Places { conf_dir, socket, .. } = preset.places();
    let (runtime, _) = socket.rsplit_once('/').context("the runtime's socket of a preset is no path")?;
    // Each is named twice: as the node's and as the container's.
    let mut text = changed(text, "ath: /opt/cni/bin\n", &format!("ath: {}\n", preset.mounted_bin_dir()), 2)?;
    text = changed(&text, "ath: /run/containerd\n", &format!("ath: {}\n", runtime), 2)?;
    if conf_dir != DEFAULT_CONF_DIR {
        let mount = "              mountPath: /etc/cni\n";
        text = changed(
            &text,
            mount,
            &format!("{mount}            - name: cni-lists\n              mountPath: {conf_dir}\n"),
            1,
        )?;
        let volumes = "      volumes:\n";
        let volume = format!(
            "{volumes}        - name: cni-lists\n          hostPath:\n            path: {conf_dir}\n            type: \
             DirectoryOrCreate\n"
        );
        text = changed(&text, volumes, &volume, 1)?;
    }
    if preset.is_constrained() {
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
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_purpose_on_every_distribution_is_rendered() {
        for preset in Preset::value_variants().iter().copied().map(Some).chain([None]) {
            for purpose in [Purpose::Keep(Mode::Chained), Purpose::Keep(Mode::Delegating), Purpose::Uninstall] {
                let text = objects(purpose, Some("registry.example/rooknet:x"), preset).unwrap();
                assert!(text.contains(" image: \"registry.example/rooknet:x\"\n"), "{purpose:?} {preset:?}");
                assert_eq!(text.contains("livenessProbe:"), purpose != Purpose::Uninstall);
                assert_eq!(text.contains("/run/containerd"), preset.is_none());
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
        let text = objects(Purpose::Keep(Mode::Chained), None, None).unwrap();
        assert!(text.contains(&format!(" image: {IMAGE}:{}\n", env!("CARGO_PKG_VERSION"))));
    }
}
