//! `rooknetctl agent` on a node, with the rights of its own manifests, beside the real API server and the real plugin.

mod calls;
mod installation;
mod lacking;
mod life;
mod measure;
mod snapshot;
mod token;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Credential, Kubeconfig, enter, project_file};
use crate::fixture::PATIENCE;
use crate::site::{Pod, Site};
use crate::support::runtime::{KnownSandbox, Runtime, Says};
use crate::support::{Node, wait_until};

/// Where the agent keeps the plugin's credentials.
const CREDENTIALS: &str = "/etc/cni/rooknet";
/// The snapshot of network definitions.
const SNAPSHOT: &str = "/run/rooknet/definitions";
const KUBECONFIG: &str = "/run/agent.kubeconfig";
const LOG: &str = "/run/agent.log";
const PORT: u16 = 9464;
/// The agent's service account, in kube-system.
const ACCOUNT: &str = "rooknet-agent";

/// An agent on a node. Dropped, it is killed.
struct Agent<'a> {
    node: &'a Node,
    program: PathBuf,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl<'a> Agent<'a> {
    /// One that runs, by the shared API server.
    fn start(site: &'a Site) -> Self {
        Self::start_with(site, &site.cluster.server().url(), &[])
    }

    /// One with further arguments that reaches the API server at `server`.
    fn start_with(site: &'a Site, server: &str, words: &[&str]) -> Self {
        let mut agent = Self::new(site, server, words);
        agent.run();
        agent
    }

    /// One that does not run yet.
    fn new(site: &'a Site, server: &str, words: &[&str]) -> Self {
        static RIGHTS: OnceLock<()> = OnceLock::new();
        RIGHTS.get_or_init(|| install_rights(site.cluster));
        Self::of(site.cluster, site.node(), &site.node_name, server, words)
    }

    /// One on a node of any cluster in which its account exists.
    fn of(cluster: &Cluster, node: &'a Node, node_name: &str, server: &str, words: &[&str]) -> Self {
        // A site has a token of the plugin already, which would serve.
        let _ = std::fs::remove_file(node.path(&format!("{CREDENTIALS}/token")));
        let credential = Credential::Token(own_token(cluster, node_name));
        node.write(KUBECONFIG, Kubeconfig::new(cluster, server).credential(credential).to_string());
        let first = ["agent", "--kubeconfig", KUBECONFIG, "--node-name", node_name, "--no-install"];
        let words = first.iter().chain(words).map(|&word| word.to_owned()).collect();
        Self { node, program: env!("CARGO_BIN_EXE_rooknetctl").into(), words, environment: Vec::new(), child: None }
    }

    fn run(&mut self) {
        let mut command = self.node.command(&self.program);
        command.args(&self.words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let log = File::options().create(true).append(true).open(self.node.path(LOG)).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("start the agent"));
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.as_ref().expect("it runs").id()).unwrap())
    }

    /// Ends it by a signal; its exit code, when it has one.
    fn end(&mut self, signal: Signal) -> Option<i32> {
        kill(self.pid(), signal).expect("signal a child of this process");
        self.wait()
    }

    /// Waits for its end.
    fn wait(&mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("wait for a child of this process").code()
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().expect("it runs").try_wait().expect("ask for a child of this process").is_some()
    }

    /// What it has logged since it was first started.
    fn log(&self) -> String {
        String::from_utf8_lossy(&self.node.read(LOG).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until(what, PATIENCE, condition)));
        assert!(waited.is_ok(), "{what}: {}\n{:?}", self.log(), self.get("/healthz"));
    }

    /// An answer of its HTTP server: status and body; `None` when there is none.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
    }

    fn exchange(&self, request: &str) -> Option<(u16, String)> {
        let answer = self.on_node(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Runs something on a thread in the node's network namespace.
    fn on_node<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = PathBuf::from(format!("/proc/{}/ns/net", self.node.pid()));
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&netns);
                    work()
                })
                .join()
                .expect("the thread on the node")
        })
    }

    /// The value of a metric, by its whole name with labels; `None` when the page does not have it.
    fn metric(&self, name: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics")?;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until all its loops have done their work.
    #[track_caller]
    fn wait_until_well(&self) {
        self.wait_until("a healthy agent", || self.get("/healthz").is_some_and(|(status, _)| status == 200));
    }

    /// Waits until the snapshot is vouched for.
    #[track_caller]
    fn wait_until_fresh(&self) {
        self.wait_until("a heartbeat", || self.heartbeat().is_some());
    }

    /// The snapshot's heartbeat.
    fn heartbeat(&self) -> Option<Value> {
        self.node.read(&format!("{SNAPSHOT}/.heartbeat")).map(|text| serde_json::from_slice(&text).unwrap())
    }

    /// The plugin's token on the node.
    fn token(&self) -> Option<String> {
        self.node.read(&format!("{CREDENTIALS}/token")).map(|text| String::from_utf8(text).unwrap())
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A container runtime at a usual place of a node, with no sandbox at first.
fn runtime(site: &Site) -> Runtime {
    Runtime::start(site.node(), "/run/containerd/containerd.sock", Says::default())
}

/// The sandbox of a pod, as a runtime knows it.
fn known(pod: &Pod<'_>) -> KnownSandbox {
    let [id, namespace, name, uid] = [&pod.id, &pod.namespace, &pod.name, &pod.uid].map(Clone::clone);
    KnownSandbox { id, namespace, name, uid, ..KnownSandbox::default() }
}

/// The agent's account and rights, by its own manifests.
fn install_rights(cluster: &Cluster) {
    for name in ["agent-rbac", "agent-admission-policy"] {
        cluster.apply(&project_file(&format!("deploy/kustomize/base/{name}.yaml")));
    }
}

/// A token of the agent's own, bound to a pod on its node as the kubelet gives it.
fn own_token(cluster: &Cluster, node: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": cluster.unique_name("agent")},
        "spec": {"nodeName": node, "serviceAccountName": ACCOUNT, "containers": [{"name": "agent", "image": "none"}]},
    });
    let pod = cluster.post("/api/v1/namespaces/kube-system/pods", &pod)["metadata"].clone();
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]});
    cluster.token("kube-system", ACCOUNT, Some(&bound))
}
