//! `deploy/`: what kustomize, Helm and rooknetctl render of it is the same, and a real API server takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cluster::{ADMIN, Cluster, control_plane};
use crate::support::run;
use crate::yaml::objects;

const OVERLAYS: [&str; 3] = ["chained", "delegating", "uninstall"];
const PRESETS: [&str; 5] = ["", "k3s", "rke2", "microk8s", "openshift"];
/// The key of the DaemonSet among the objects.
const DAEMONSET: &str = "DaemonSet kube-system/rooknet";

/// One way to deploy.
#[derive(Debug, Clone, Copy)]
struct Case {
    overlay: &'static str,
    /// Empty: none.
    preset: &'static str,
    /// Name and tag; `None`: the default.
    image: Option<(&'static str, &'static str)>,
}

impl Case {
    fn all() -> impl Iterator<Item = Case> {
        let images = [None, Some(("localhost:5000/storage/rooknet", "other"))];
        OVERLAYS.into_iter().flat_map(move |overlay| {
            PRESETS.into_iter().zip(images.into_iter().cycle()).map(move |(preset, image)| Case {
                overlay,
                preset,
                image,
            })
        })
    }

    /// By `kubectl kustomize`, of a directory as an administrator makes it.
    fn kustomized(self) -> String {
        let Case { overlay, preset, image } = self;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kustomize-{overlay}-{preset}"));
        fs::create_dir_all(&directory).unwrap();
        let deploy = relative(&directory, &project("deploy/kustomize"));
        let mut text = format!("resources: [\"{deploy}/overlays/{overlay}\"]\n");
        if !preset.is_empty() {
            text += &format!("components: [\"{deploy}/components/{preset}\"]\n");
        }
        if let Some((name, tag)) = image {
            text += &format!("images: [{{name: localhost/rooknet, newName: \"{name}\", newTag: \"{tag}\"}}]\n");
        }
        fs::write(directory.join("kustomization.yaml"), text).unwrap();
        kustomize(&directory)
    }

    fn by_helm(self) -> String {
        let mut words = vec!["template".to_owned(), "rooknet".to_owned()];
        words.extend(["--namespace", "kube-system", "--kube-version", "1.35.0"].map(str::to_owned));
        words.push(project("deploy/helm/rooknet").to_str().unwrap().to_owned());
        let mut set = |assignment: String| words.extend(["--set-string".to_owned(), assignment]);
        set(format!("preset={}", self.preset));
        if let Some((name, tag)) = self.image {
            set(format!("image.repository={name}"));
            set(format!("image.tag={tag}"));
        }
        match self.overlay {
            "uninstall" => words.extend(["--set", "uninstall=true"].map(str::to_owned)),
            mode => set(format!("mode={mode}")),
        }
        helm(&words)
    }

    fn by_rooknetctl(self) -> String {
        let mut words = match self.overlay {
            "uninstall" => vec!["--uninstall".to_owned()],
            mode => vec!["--mode".to_owned(), mode.to_owned()],
        };
        if !self.preset.is_empty() {
            words.extend(["--preset".to_owned(), self.preset.to_owned()]);
        }
        if let Some((name, tag)) = self.image {
            words.extend(["--image".to_owned(), format!("{name}:{tag}")]);
        }
        rooknetctl(&words)
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The way from one absolute directory to another: kustomize takes no absolute ones.
fn relative(from: &Path, to: &Path) -> String {
    let (from, to) = (fs::canonicalize(from).unwrap(), fs::canonicalize(to).unwrap());
    let up = "../".repeat(from.components().count() - 1);
    format!("{up}{}", to.strip_prefix("/").unwrap().display())
}

#[track_caller]
fn printed(mut command: Command, words: &[String]) -> String {
    command.args(words);
    let what = format!("{command:?}");
    run(command, b"").expect_success(&what)
}

#[track_caller]
fn kustomize(directory: &Path) -> String {
    let words = ["kustomize".to_owned(), directory.to_str().unwrap().to_owned()];
    printed(Command::new(control_plane().join("kubectl")), &words)
}

#[track_caller]
fn helm(words: &[String]) -> String {
    let helm = std::env::var_os("ROOKNET_HELM").unwrap_or_default();
    assert!(
        Path::new(&helm).is_file(),
        "ROOKNET_HELM ({helm:?}) is not helm: run `test-kube/helm.sh`, which prints it, or run the tests by `make test-kube`"
    );
    let mut command = Command::new(helm);
    // It reads and writes nothing of the user's.
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME"] {
        command.env(variable, Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm"));
    }
    command.env_remove("KUBECONFIG");
    printed(command, words)
}

#[track_caller]
fn rooknetctl(words: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rooknetctl"));
    command.arg("manifests");
    printed(command, words)
}

/// The objects with lists in which the order means nothing sorted.
#[track_caller]
fn comparable(text: &str) -> BTreeMap<String, Value> {
    let mut objects = objects(text);
    let pod = &mut objects.get_mut(DAEMONSET).expect("the DaemonSet")["spec"]["template"]["spec"];
    let sort = |list: &mut Value, key: &str| {
        list.as_array_mut().unwrap().sort_by_key(|entry| entry[key].as_str().unwrap().to_owned());
    };
    sort(&mut pod["volumes"], "name");
    sort(&mut pod["containers"][0]["volumeMounts"], "mountPath");
    objects
}

/// Compares object by object: a difference is to be readable.
#[track_caller]
fn assert_same(what: &str, found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, object) in found {
        assert_eq!(object, &expected[name], "{what}: {name}");
    }
}

#[test]
fn kustomize_helm_and_rooknetctl_render_the_same_objects() {
    for case in Case::all() {
        let kustomized = comparable(&case.kustomized());
        assert_same(&format!("Helm, {case:?}"), &comparable(&case.by_helm()), &kustomized);
        assert_same(&format!("rooknetctl, {case:?}"), &comparable(&case.by_rooknetctl()), &kustomized);
    }
}

#[test]
fn an_overlay_by_itself_is_what_its_documented_commands_apply() {
    for overlay in OVERLAYS {
        let case = Case { overlay, preset: "", image: None };
        let shipped = kustomize(&project(&format!("deploy/kustomize/overlays/{overlay}")));
        assert_same(overlay, &comparable(&shipped), &comparable(&case.kustomized()));
    }
}

#[test]
fn deleting_what_was_rendered_never_deletes_the_kind_of_networks() {
    for case in Case::all() {
        for text in [case.kustomized(), case.by_helm(), case.by_rooknetctl()] {
            assert!(!text.contains("CustomResourceDefinition"), "{case:?}");
        }
    }
    let kind = objects(&kustomize(&project("deploy/kustomize/crd")));
    assert_eq!(
        kind.keys().collect::<Vec<_>>(),
        ["CustomResourceDefinition /network-attachment-definitions.k8s.cni.cncf.io"]
    );
    assert_same("rooknetctl", &objects(&rooknetctl(&["--crd".to_owned()])), &kind);
    let words = ["show", "crds", project("deploy/helm/rooknet").to_str().unwrap()].map(str::to_owned);
    assert_same("Helm", &objects(&helm(&words)), &kind);
}

#[test]
fn what_drains_the_nodes_is_the_same_set_of_objects() {
    // Otherwise deleting it would leave some of those that were installed.
    for preset in PRESETS {
        let names = |overlay| {
            let case = Case { overlay, preset, image: None };
            comparable(&case.kustomized()).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names("uninstall"), names("chained"), "{preset}");
        assert_eq!(names("delegating"), names("chained"), "{preset}");
    }
}

#[test]
fn every_path_is_the_same_inside_the_pod_as_on_the_node() {
    for case in Case::all() {
        let objects = comparable(&case.kustomized());
        let pod = &objects[DAEMONSET]["spec"]["template"]["spec"];
        let list = |value: &Value, key: &str, path: &str| -> BTreeSet<(String, String)> {
            let texts = |entry: &Value| {
                [&entry[key], &entry.pointer(path).expect("a path").clone()]
                    .map(|text| text.as_str().unwrap().to_owned())
                    .into()
            };
            value.as_array().unwrap().iter().map(texts).collect()
        };
        assert_eq!(
            list(&pod["volumes"], "name", "/hostPath/path"),
            list(&pod["containers"][0]["volumeMounts"], "name", "/mountPath"),
            "{case:?}"
        );
    }
}

#[test]
fn the_version_is_the_packages_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let objects = comparable(&Case { overlay: "chained", preset: "", image: None }.kustomized());
    let image = &objects[DAEMONSET]["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &format!("localhost/rooknet:{version}"));
    let chart = fs::read_to_string(project("deploy/helm/rooknet/Chart.yaml")).unwrap();
    for key in ["version", "appVersion"] {
        assert!(chart.contains(&format!("\n{key}: {version}\n")), "the chart's {key} is not {version}");
    }
}

#[test]
fn the_api_server_takes_every_object_and_the_pod_of_the_daemonset() {
    let cluster = Cluster::shared();
    for case in Case::all() {
        let text = case.kustomized();
        let words = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        let said = cluster.kubectl(&words, &text).expect_success(&format!("{case:?}"));
        let found = objects(&text);
        assert_eq!(said.lines().filter(|line| line.contains("(server dry run)")).count(), found.len(), "{said}");
        // The DaemonSet's controller would find out only later.
        let mut pod = found[DAEMONSET]["spec"]["template"].clone();
        pod["metadata"]["name"] = "rooknet-of-this-node".into();
        pod["spec"]["nodeName"] = "any".into();
        let path = "/api/v1/namespaces/kube-system/pods?dryRun=All&fieldValidation=Strict";
        let pod = cluster
            .request("POST", path, ADMIN, "application/json", Some(&pod))
            .expect_success(&format!("the pod, {case:?}"));
        assert_eq!(pod["spec"]["priority"], 2_000_001_000, "system-node-critical");
        let has_token = |volume: &Value| volume.get("projected").is_some();
        assert!(pod["spec"]["volumes"].as_array().unwrap().iter().any(has_token), "the agent has its token");
    }
}

#[test]
fn helm_refuses_what_it_does_not_know_and_another_namespace() {
    for (words, said) in [
        (["--namespace", "kube-system", "--set", "mod=chained"], "mod"),
        (["--namespace", "kube-system", "--set", "mode=bridged"], "/mode"),
        (["--namespace", "storage", "--set", "mode=chained"], "give --namespace kube-system"),
    ] {
        let mut command = Command::new(std::env::var_os("ROOKNET_HELM").expect("ROOKNET_HELM"));
        command
            .args(["template", "rooknet", "--kube-version", "1.35.0"])
            .arg(project("deploy/helm/rooknet"))
            .args(words);
        let outcome = run(command, b"");
        assert!(!outcome.success() && outcome.to_string().contains(said), "{words:?}: {outcome}");
    }
}
