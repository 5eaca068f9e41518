//! rooknet goes from the cluster, as its documents say.

use std::path::Path;

use super::deployment::AGENT;
use super::{NODES, Node, Stage};

impl Stage {
    /// Takes rooknet off both nodes by the documented commands and waits until it is gone; what is not there is no error.
    #[track_caller]
    pub(crate) fn uninstall(&self) {
        let is_there = |node: &Node| node.read("/etc/cni/net.d/00-rooknet.conflist").is_some();
        if self.api.find(AGENT).is_none() && !self.nodes.iter().any(is_there) {
            return;
        }
        self.begin_uninstall();
        self.await_agents();
        self.finish_uninstall();
    }

    /// The first command: the DaemonSet drains its nodes.
    #[track_caller]
    pub(crate) fn begin_uninstall(&self) {
        self.import_image();
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize/overlays/uninstall");
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "--kustomize", &overlay.to_string_lossy()]);
    }

    /// The second: the objects go, but never the kind of the definitions.
    #[track_caller]
    pub(crate) fn finish_uninstall(&self) {
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize/overlays/uninstall");
        self.kubectl(&["delete", "--ignore-not-found", "--kustomize", &overlay.to_string_lossy()]);
        for node in NODES {
            let left = self.node(node).shell(
                "ls /opt/cni/bin/rooknet /etc/cni/net.d/00-rooknet.conflist /etc/cni/rooknet/token 2>/dev/null || true",
            );
            assert_eq!(left, "", "left on {node}");
        }
    }
}
