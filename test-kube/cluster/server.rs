//! etcd and API servers as processes on the control plane's node.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{fs, thread};

use super::client::Session;
use super::{ADDRESS, ADDRESS6, ADMIN, Caller, Cluster, DNS_NAME, FILES, Kubeconfig, PATIENCE, control_plane};

/// An API server, which runs unless it was killed. Dropped, it is killed.
pub(crate) struct ApiServer {
    port: u16,
    process: Mutex<Option<Child>>,
    /// How often it was started.
    starts: AtomicU32,
    /// The process that holds the control plane's namespaces.
    holder: i32,
    session: Session,
}

impl Cluster {
    pub(super) fn write_files(&self) {
        let names = ["127.0.0.1", "::1", ADDRESS, ADDRESS6, "localhost", "kubernetes.default.svc", DNS_NAME];
        let serving = self.authority.server(&names);
        let files = [
            ("ca.pem", self.authority.pem()),
            ("server.pem", serving.certificate),
            ("server.key", serving.key),
            ("service-account.key", self.service_account_key.serialize_pem()),
            ("service-account.pub", self.service_account_key.public_key_pem()),
            ("tokens.csv", format!("{ADMIN},admin,admin,\"system:masters\"\n")),
            ("admin.kubeconfig", Kubeconfig::new(self, &format!("https://127.0.0.1:{}", super::PORT)).to_string()),
            // Without the server's own requests, which tell nothing and make the log long.
            (
                "audit.yaml",
                "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n\
                 - {level: None, users: [\"system:apiserver\", \"system:anonymous\"]}\n- level: Metadata\n"
                    .to_owned(),
            ),
        ];
        for (name, content) in files {
            self.node.write(&format!("{FILES}/{name}"), content);
        }
    }

    pub(super) fn start_etcd(&self) {
        let mut command = self.node.command(control_plane().join("etcd"));
        command.args([
            "--data-dir=/run/control/etcd",
            "--unsafe-no-fsync",
            "--log-level=error",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=default=http://127.0.0.1:2380",
        ]);
        let log = File::create(self.node.path(&format!("{FILES}/etcd.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // It ends with the node, and nobody waits for it.
        drop(command.spawn().expect("start etcd"));
    }
}

impl ApiServer {
    /// Starts one, which is not ready yet.
    pub(super) fn start(cluster: &Cluster, port: u16) -> Self {
        let holder = cluster.node.pid();
        let server = Self {
            port,
            process: Mutex::new(None),
            starts: AtomicU32::new(0),
            holder,
            session: Session::new(Caller::new(format!("/proc/{holder}/ns/net").into(), port, &cluster.authority)),
        };
        server.spawn();
        server
    }

    fn spawn(&self) {
        let mut command = std::process::Command::new("nsenter");
        command.args(["--target", &self.holder.to_string(), "--mount", "--net", "--"]);
        command.arg(control_plane().join("kube-apiserver"));
        let (port, start) = (self.port, self.starts.fetch_add(1, Ordering::Relaxed) + 1);
        command.args([
            &format!("--secure-port={port}"),
            &format!("--audit-log-path={FILES}/audit-{port}-{start}.log"),
            &format!("--advertise-address={ADDRESS}"),
            "--bind-address=::",
            "--etcd-servers=http://127.0.0.1:2379",
            "--service-cluster-ip-range=10.97.0.0/16",
            "--endpoint-reconciler-type=none",
            "--tls-cert-file=/run/control/server.pem",
            "--tls-private-key-file=/run/control/server.key",
            "--client-ca-file=/run/control/ca.pem",
            "--token-auth-file=/run/control/tokens.csv",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=/run/control/service-account.key",
            "--service-account-key-file=/run/control/service-account.pub",
            "--audit-policy-file=/run/control/audit.yaml",
            // A request is in the log before it is handled, and its answer before the last byte of that is sent.
            "--audit-log-mode=blocking-strict",
        ]);
        let log = File::create(self.path(&format!("apiserver-{port}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        *self.process.lock().unwrap() = Some(command.spawn().expect("start kube-apiserver"));
    }

    /// Waits until this process, and not a former one at the same port, says that it is ready.
    pub(crate) fn wait_until_ready(&self) {
        let start = Instant::now();
        loop {
            let ended = self.process.lock().unwrap().as_mut().and_then(|process| process.try_wait().unwrap());
            let is_ready = self.try_request("GET", "/readyz", ADMIN, "", None).is_ok_and(|answer| answer.status == 200);
            if is_ready && ended.is_none() {
                return;
            }
            if ended.is_some() || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.path(&format!("apiserver-{}.log", self.port))).unwrap_or_default();
                let etcd = fs::read_to_string(self.path("etcd.log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(20).collect();
                panic!(
                    "kube-apiserver is not ready ({ended:?}); etcd: {etcd}\nthe end of its log, newest first: {last:#?}"
                );
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Kills it, as a failing machine would; returns when it is gone.
    pub(crate) fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().expect("kill a child of this process");
            process.wait().expect("wait for a child of this process");
        }
    }

    /// Starts it again at the same port. It is not ready yet, and rights take effect some time after it is.
    pub(crate) fn start_again(&self) {
        self.kill();
        self.spawn();
    }

    /// Its port at all addresses of the control plane.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its URL on the management network.
    pub(crate) fn url(&self) -> String {
        format!("https://{ADDRESS}:{}", self.port)
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The audit logs of all its processes, oldest first.
    pub(super) fn audit_logs(&self) -> Vec<PathBuf> {
        let starts = self.starts.load(Ordering::Relaxed);
        (1..=starts).map(|start| self.path(&format!("audit-{}-{start}.log", self.port))).collect()
    }

    /// A file of the control plane, as this process can open it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{FILES}/{name}", self.holder))
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.kill();
    }
}
