//! rooknet in the cluster, by its own manifests and its own image.

use std::env;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{NODES, Node, Stage};
use crate::support::run;

/// The DaemonSet.
pub(super) const AGENT: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/rooknet";

/// How rooknet is deployed.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    /// `chained` or `delegating`.
    pub(crate) mode: &'static str,
    /// The image's tag; `None` is the one of `make image`.
    pub(crate) image: Option<String>,
    /// Further arguments of the agent.
    pub(crate) arguments: Vec<&'static str>,
}

impl Default for Deployment {
    fn default() -> Self {
        Self { mode: "chained", image: None, arguments: Vec::new() }
    }
}

/// The path that an environment variable of the ring gives.
pub(super) fn given(variable: &str) -> PathBuf {
    let path = env::var_os(variable).map(PathBuf::from).unwrap_or_default();
    assert!(path.exists(), "{variable} ({path:?}) is not there: run the cases by `make test-cluster`");
    path
}

impl Stage {
    /// Applies the manifests and waits until the agents of both nodes are ready: each has verified its installation.
    #[track_caller]
    pub(crate) fn deploy(&self, deployment: Deployment) {
        self.apply(&deployment);
        self.await_agents();
        self.define_networks();
    }

    /// Applies the manifests and returns at once.
    #[track_caller]
    pub(crate) fn apply(&self, deployment: &Deployment) {
        self.import_image();
        let objects = self.manifests(deployment);
        self.try_kubectl(
            &["apply", "--server-side", "--force-conflicts", "--filename=-"],
            objects.to_string().as_bytes(),
        )
        .expect_success("apply rooknet's manifests");
    }

    /// Waits until the DaemonSet's pods of the present template are ready on both nodes.
    #[track_caller]
    pub(crate) fn await_agents(&self) {
        self.wait_for("the agents are ready", || {
            let found = self.api.get(AGENT);
            let status = &found["status"];
            status["observedGeneration"] == found["metadata"]["generation"]
                && ["updatedNumberScheduled", "numberReady"].iter().all(|key| status[*key] == NODES.len())
        });
    }

    /// The objects that `rooknetctl manifests` prints, the kind of the networks too, as one list.
    #[track_caller]
    fn manifests(&self, deployment: &Deployment) -> Value {
        let printed = |arguments: &[&str]| {
            let mut command = std::process::Command::new(given("ROOKNETCTL"));
            command.arg("manifests").args(arguments);
            run(command, b"").expect_success("rooknetctl manifests")
        };
        let mut arguments = vec!["--mode", deployment.mode];
        if let Some(image) = &deployment.image {
            arguments.extend(["--image", image]);
        }
        let text = format!("{}---\n{}", printed(&["--crd"]), printed(&arguments));
        let arguments = ["create", "--dry-run=client", "--output=json", "--filename=-"];
        let outcome = self.try_kubectl(&arguments, text.as_bytes());
        let text = outcome.expect_success("rooknet's manifests are objects");
        // kubectl prints one document after another.
        let mut objects: Vec<Value> =
            serde_json::Deserializer::from_str(&text).into_iter().map(|object| object.unwrap()).collect();
        if let [list] = objects.as_mut_slice()
            && list["kind"] == "List"
        {
            objects = list["items"].as_array().cloned().unwrap();
        }
        for object in &mut objects {
            if object["kind"] == "DaemonSet" {
                let arguments = object["spec"]["template"]["spec"]["containers"][0]["args"].as_array_mut().unwrap();
                arguments.extend(deployment.arguments.iter().map(|argument| json!(argument)));
            }
        }
        json!({"apiVersion": "v1", "kind": "List", "items": objects})
    }

    /// Hands the image to the containerd of both nodes, unless they have it.
    #[track_caller]
    pub(super) fn import_image(&self) {
        let image = given("ROOKNET_IMAGE");
        for node in NODES {
            Node::script(self.directory(), &["import", &image.to_string_lossy(), node])
                .expect_success("import the image");
        }
    }

    /// The agent's pod on a node.
    #[track_caller]
    pub(crate) fn agent_pod(&self, node: &str) -> Value {
        let path = format!(
            "/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io/name=rooknet&fieldSelector=spec.nodeName={node}"
        );
        let found = self.pods_of(&path);
        let alive = found.into_iter().find(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        alive.unwrap_or_else(|| panic!("{node} has no agent"))
    }

    /// The agents go from both nodes; what they have set up stays.
    #[track_caller]
    pub(crate) fn remove_agents(&self) {
        self.api.delete(AGENT);
        let path = "/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io/name=rooknet";
        self.wait_for("the agents are gone", || self.pods_of(path).is_empty());
    }

    /// A page of the agent's on a node: `metrics` or `healthz`.
    #[track_caller]
    pub(crate) fn agent_page(&self, node: &str, page: &str) -> String {
        self.node(node).shell(&format!("busybox wget -q -O - http://127.0.0.1:9464/{page}"))
    }

    /// The value of a metric on a node, all of its labels' values together; 0 when it is not there.
    #[track_caller]
    pub(crate) fn metric(&self, node: &str, name: &str, label: &str) -> f64 {
        let page = self.agent_page(node, "metrics");
        let lines = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Stage {
    /// Hands both nodes an image whose plugin is another file: its name.
    #[track_caller]
    pub(crate) fn image_with_another_plugin(&self, tag: &str) -> String {
        let plugin = self.directory().join(format!("rooknet-{tag}"));
        // A program with something behind its end runs as before.
        let mut content = std::fs::read(given("ROOKNET")).unwrap();
        content.extend_from_slice(tag.as_bytes());
        std::fs::write(&plugin, content).unwrap();
        std::fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (image, archive) =
            (format!("localhost/rooknet:{tag}"), self.directory().join(format!("rooknet-{tag}.tar")));
        let mut command =
            std::process::Command::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image.sh"));
        command.arg(&plugin).arg(given("ROOKNETCTL")).arg(&image).arg(&archive);
        run(command, b"").expect_success("make the image");
        for node in NODES {
            let archive = archive.to_string_lossy();
            Node::script(self.directory(), &["import", &archive, node]).expect_success("import the image");
        }
        image
    }
}
