//! A Kubernetes API server with its etcd, in namespaces of its own, and what tests ask of it.
//!
//! One [`Cluster`] serves all tests of a program ([`Cluster::shared`]): to start one takes seconds, and no test needs
//! it empty. A test therefore makes Kubernetes namespaces and nodes of its own, by [`Cluster::unique_name`], and
//! changes nothing that all share. There is no kubelet, no scheduler and no controller: a pod is what the test makes
//! of it.
//!
//! The control plane runs on a [`Node`], so that it ends with the test process, however that ends. Nodes of tests are
//! joined to it by [`Cluster::join`] and reach it at [`ADDRESS`] and [`ADDRESS6`].

mod audit;
mod certificates;
mod client;
mod kubeconfig;
mod objects;
mod rights;
mod server;
mod tokens;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs};

use crate::support::{Node, Outcome, Switch, run};

pub(crate) use certificates::{Authority, Certificate};
pub(crate) use client::{Answer, Caller, MERGE_PATCH, enter, trusting};
pub(crate) use kubeconfig::{Credential, Kubeconfig};
pub(crate) use objects::pod_path;
pub(crate) use rights::{AGENT, Account};
pub(crate) use server::ApiServer;

/// The API servers' IPv4 address on the management network.
pub(crate) const ADDRESS: &str = "10.96.0.10";
/// Their IPv6 address there.
pub(crate) const ADDRESS6: &str = "fd00:96::10";
/// A name in their certificate; no resolver knows it.
pub(crate) const DNS_NAME: &str = "api.rooknet.test";
/// The port of the API server that all tests share.
pub(crate) const PORT: u16 = 6443;
/// The bearer token of an administrator, a member of system:masters.
pub(crate) const ADMIN: &str = "admin-token-of-the-tests";

/// Where the control plane's files are, on its node.
const FILES: &str = "/run/control";
/// The longest that a test waits for what takes the control plane a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directory of etcd, kube-apiserver and kubectl.
pub(crate) fn control_plane() -> PathBuf {
    let directory = env::var_os("ROOKNET_CONTROL_PLANE").map(PathBuf::from).unwrap_or_default();
    assert!(
        directory.join("kube-apiserver").is_file(),
        "ROOKNET_CONTROL_PLANE ({directory:?}) is not a directory with etcd, kube-apiserver and kubectl: \
         run `test-kube/control-plane.sh`, which prints it, or run the tests by `make test-kube`"
    );
    directory
}

/// etcd, an API server, and the management network: see the module's front page.
pub(crate) struct Cluster {
    node: Node,
    management: Switch,
    authority: Authority,
    service_account_key: rcgen::KeyPair,
    server: OnceLock<ApiServer>,
    /// The number of the last node that was joined.
    joined: AtomicU16,
    /// The port of the last API server that was started.
    port: AtomicU16,
    names: AtomicU32,
}

impl Cluster {
    /// The cluster of this test program, started by whoever comes first, with the rights of `deploy/kustomize` applied
    /// for all accounts.
    pub(crate) fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cluster = Cluster::empty();
            cluster.install_rights();
            cluster
        })
    }

    /// Another cluster, in which nothing of `deploy/kustomize` is applied: for a test of its installation.
    pub(crate) fn empty() -> Cluster {
        let node = Node::start("control");
        let management = Switch::start("management", 1500);
        management.join(&node, "mgmt0");
        node.ok(&["ip", "address", "add", &format!("{ADDRESS}/16"), "dev", "mgmt0"]);
        node.ok(&["ip", "address", "add", &format!("{ADDRESS6}/64"), "dev", "mgmt0", "nodad"]);
        let cluster = Cluster {
            node,
            management,
            authority: Authority::new(),
            service_account_key: rcgen::KeyPair::generate().unwrap(),
            server: OnceLock::new(),
            joined: AtomicU16::new(0),
            port: AtomicU16::new(PORT),
            names: AtomicU32::new(0),
        };
        cluster.write_files();
        cluster.start_etcd();
        let server = ApiServer::start(&cluster, PORT);
        server.wait_until_ready();
        assert!(cluster.server.set(server).is_ok(), "the first server");
        cluster
    }

    /// The API server that all tests share.
    pub(crate) fn server(&self) -> &ApiServer {
        self.server.get().expect("the cluster has been started")
    }

    /// One more API server on the same etcd, with the same certificates, for a test that stops it.
    pub(crate) fn another_server(&self) -> ApiServer {
        let server = ApiServer::start(self, self.port.fetch_add(1, Ordering::Relaxed) + 1);
        server.wait_until_ready();
        self.wait_until_rights_hold(&server);
        server
    }

    /// The authority that signed the servers' certificate, and signs other ones.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Joins a test's node to the management network by the interface `mgmt0`.
    pub(crate) fn join(&self, node: &Node) {
        let number = self.joined.fetch_add(1, Ordering::Relaxed) + 1;
        let [high, low] = number.to_be_bytes();
        self.management.join(node, "mgmt0");
        node.ok(&["ip", "address", "add", &format!("10.96.{}.{low}/16", high + 1), "dev", "mgmt0"]);
        node.ok(&["ip", "address", "add", &format!("fd00:96::1:{number:x}/64"), "dev", "mgmt0", "nodad"]);
    }

    /// A name that no other test has.
    pub(crate) fn unique_name(&self, beginning: &str) -> String {
        format!("{beginning}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs kubectl as the administrator, with `input` as its stdin.
    pub(crate) fn kubectl(&self, words: &[&str], input: &str) -> Outcome {
        let mut command = self.node.command(control_plane().join("kubectl"));
        command.args(["--kubeconfig", &format!("{FILES}/admin.kubeconfig"), "--cache-dir", &format!("{FILES}/cache")]);
        command.args(words);
        run(command, input.as_bytes())
    }

    /// `kubectl apply` of YAML or JSON text, which must succeed; what kubectl said.
    #[track_caller]
    pub(crate) fn apply(&self, text: &str) -> String {
        self.kubectl(&["apply", "-f", "-"], text).expect_success("kubectl apply")
    }
}

/// The text of a file of this repository.
pub(crate) fn project_file(path: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
