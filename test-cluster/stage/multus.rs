//! Multus's thick plugin on both nodes, for a comparison: its daemon as a process of the node, as its DaemonSet would run
//! it, and its shim in the conflist.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{NAMESPACE, NODES, Stage};

/// Where the runtime finds it.
const CONFLIST: &str = "/etc/cni/net.d/00-multus.conf";

/// Multus on both nodes. It goes when this is dropped.
pub(crate) struct Multus<'a> {
    stage: &'a Stage,
}

impl<'a> Multus<'a> {
    /// Starts the programs `multus-daemon` and `multus-shim` of a directory. rooknet must be gone.
    #[track_caller]
    pub(crate) fn start(stage: &'a Stage, programs: &Path) -> Self {
        let multus = Multus { stage };
        for (name, master) in [("public", "stor0"), ("cluster", "stor1")] {
            stage.define_network(name, &definition(name, master));
        }
        for node in stage.nodes() {
            // It writes its conflist itself when it is ready, with the first other one as the default network.
            let daemon = json!({"chrootDir": "", "cniVersion": "0.3.1", "logLevel": "error", "logToStderr": true,
                "cniConfigDir": "/etc/cni/net.d", "multusAutoconfigDir": "/etc/cni/net.d", "multusConfigFile": "auto",
                "socketDir": "/run/multus/", "binDir": "/opt/cni/bin"});
            node.write("/etc/cni/multus-daemon.json", &daemon.to_string());
            let kubeconfig = stage.kubeconfig_of_node();
            let kubeconfig: serde_json::Value = serde_json::from_str(&kubeconfig).unwrap();
            // Where a pod's credentials are.
            let token = kubeconfig["users"][0]["user"]["token"].as_str().expect("the administrator's token");
            node.shell("mkdir -p /run/secrets/kubernetes.io/serviceaccount");
            node.write("/run/secrets/kubernetes.io/serviceaccount/token", token);
            node.shell("cp /etc/kubernetes/ca.crt /run/secrets/kubernetes.io/serviceaccount/ca.crt");
            let daemon = programs.join("multus-daemon");
            node.shell(&format!(
                "cp {}/multus-shim /opt/cni/bin/multus-shim
                 MULTUS_NODE_NAME={} KUBERNETES_SERVICE_HOST=10.96.0.1 KUBERNETES_SERVICE_PORT=443 \
                    setsid {} -config /etc/cni/multus-daemon.json </dev/null >/run/multus.log 2>&1 &
                 echo $! >/run/multus.pid",
                programs.display(),
                node.name,
                daemon.display()
            ));
            stage.wait_for("Multus's daemon answers", || {
                node.enter(&["test", "-S", "/run/multus/multus.sock"]).success() && node.read(CONFLIST).is_some()
            });
        }
        for node in NODES {
            stage.await_ready(node);
        }
        multus
    }
}

impl Drop for Multus<'_> {
    fn drop(&mut self) {
        for node in self.stage.nodes() {
            let log = node.enter(&["tail", "-n", "5", "/run/multus.log"]);
            println!("Multus's daemon on {}: {log}", node.name);
            node.enter(&[
                "sh",
                "-c",
                &format!(
                    "rm -f {CONFLIST} /opt/cni/bin/multus-shim /etc/cni/multus-daemon.json
                 kill $(cat /run/multus.pid); rm -rf /run/secrets /run/multus.pid /run/multus /run/multus.log /var/lib/cni/multus"
                ),
            ]);
        }
    }
}

/// A definition as Multus takes it: it knows no ranges of single nodes.
fn definition(name: &str, master: &str) -> serde_json::Value {
    let subnet = if name == "public" { "192.168.10.0/24" } else { "192.168.20.0/24" };
    let config = json!({"cniVersion": "1.0.0", "name": format!("rook-{name}"), "type": "macvlan", "master": master,
        "mode": "bridge", "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}});
    json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"config": config.to_string()}})
}

/// The directory with Multus's programs, if the tests were given one.
pub(crate) fn programs() -> Option<PathBuf> {
    let directory = std::env::var_os("MULTUS").filter(|path| !path.is_empty()).map(PathBuf::from)?;
    let directory = if directory.is_dir() { directory } else { directory.parent()?.to_owned() };
    for program in ["multus-daemon", "multus-shim"] {
        assert!(directory.join(program).is_file(), "MULTUS: there is no {program} in {}", directory.display());
    }
    Some(directory)
}
