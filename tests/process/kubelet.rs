//! The kubelet's pod-resources service, by the kubelet's own server code (`test-kube/control-plane/pod-resources`).

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::fixture::{Fixture, PATIENCE};
use crate::support::wait_until;

/// Where the kubelet listens.
pub(crate) const SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";
/// Where device plugins say something about their devices.
pub(crate) const OF_DEVICE_PLUGINS: &str = "/var/run/k8s.cni.cncf.io/devinfo/dp";

/// The pod-resources service of a node's kubelet; gone when it is dropped.
pub(crate) struct Kubelet {
    server: Child,
    socket: PathBuf,
}

impl Kubelet {
    /// With these pods, in the form that the program takes.
    pub(crate) fn start(fixture: &Fixture, pods: &Value) -> Self {
        let directory = std::env::var_os("ROOKNET_CONTROL_PLANE")
            .expect("ROOKNET_CONTROL_PLANE: run ./test-kube/control-plane.sh and set the variable to what it prints");
        fixture.node.write("/run/pods.json", pods.to_string());
        let socket = make_room(fixture);
        // Not on the node, whose processes must all have ended after a call.
        let server = Command::new(PathBuf::from(directory).join("pod-resources"))
            .args([&socket, &fixture.node.path("/run/pods.json")])
            .stdin(Stdio::piped())
            .spawn()
            .expect("pod-resources is there");
        wait_until("the kubelet's socket", PATIENCE, || UnixStream::connect(&socket).is_ok());
        Kubelet { server, socket }
    }

    /// With one pod `rook-ceph/osd` that has these devices, and another one with its own.
    pub(crate) fn with_devices(fixture: &Fixture, devices: &[(&str, &[&str])]) -> Self {
        let devices: Vec<Value> =
            devices.iter().map(|(resource, ids)| json!({"resource": resource, "ids": ids})).collect();
        let container = |devices: &Value| json!([{"name": "sidecar"}, {"name": "main", "devices": devices}]);
        let others = json!([{"resource": "intel.com/a", "ids": ["other"]}, {"resource": "intel.com/b", "ids": ["b0"]}]);
        Kubelet::start(
            fixture,
            &json!([
                {"namespace": "default", "name": "osd", "containers": container(&others)},
                {"namespace": "rook-ceph", "name": "osd", "containers": container(&json!(devices))},
            ]),
        )
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// The directory of the socket, made; the socket's path as this process sees it.
pub(crate) fn make_room(fixture: &Fixture) -> PathBuf {
    let socket = fixture.node.path(SOCKET);
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    socket
}
