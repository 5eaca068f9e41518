//! A node with a primary network, and rooknetctl on it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{CniTool, Namespace, Node, Outcome, kill_points, run};

/// Far beyond what anything takes: only a test that hangs comes to it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Where runtimes read configurations.
pub(crate) const CONF: &str = "/etc/cni/net.d";
/// The primary's file.
pub(crate) const PRIMARY: &str = "/etc/cni/net.d/10-pods.conflist";
/// Ours.
pub(crate) const OURS: &str = "/etc/cni/net.d/00-rooknet.conflist";
/// The plugin.
pub(crate) const PLUGIN: &str = "/opt/cni/bin/rooknet";
/// The record.
pub(crate) const RECORD: &str = "/etc/cni/rooknet/install.json";
/// Where network definitions lie.
pub(crate) const NETWORKS: &str = "/etc/cni/rooknet/networks";

/// A node on which rooknet can be installed.
pub(crate) struct Machine {
    pub(crate) node: Node,
}

impl Machine {
    /// With a primary network `pods` and a network definition `rook-ceph/public`, both of the reference set's bridge.
    pub(crate) fn start() -> Self {
        let machine = Machine { node: Node::start("node") };
        machine.node.write(PRIMARY, primary("pods").to_string());
        let config = json!({"cniVersion": "1.1.0", "name": "public", "type": "bridge", "bridge": "storage",
            "ipam": {"type": "host-local", "subnet": "192.168.20.0/24"}});
        let definition = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": "rook-ceph", "name": "public"}, "spec": {"config": config.to_string()}});
        machine.node.write(&format!("{NETWORKS}/rook-ceph/public.json"), definition.to_string());
        machine
    }

    /// A command of rooknetctl, without a runtime to ask.
    pub(crate) fn command(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = self.node.command(env!("CARGO_BIN_EXE_rooknetctl"));
        // What a machine that runs the tests in a pod of its own would add.
        command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("NODE_NAME");
        command.args([subcommand, "--no-verify-runtime"]).args(arguments);
        command
    }

    /// Runs it.
    pub(crate) fn ctl(&self, subcommand: &str, arguments: &[&str]) -> Outcome {
        run(self.command(subcommand, arguments), b"")
    }

    /// Installs, which must succeed: its report.
    #[track_caller]
    pub(crate) fn install(&self, arguments: &[&str]) -> Value {
        let networks = format!("networksDir={NETWORKS}");
        let arguments = [&["--output", "json", "--set", &networks], arguments].concat();
        let outcome = self.ctl("install", &arguments);
        outcome.expect_success("rooknetctl install");
        outcome.json()
    }

    /// Uninstalls, which must succeed: its report.
    #[track_caller]
    pub(crate) fn uninstall(&self, arguments: &[&str]) -> Value {
        let outcome = self.ctl("uninstall", &[&["--output", "json"], arguments].concat());
        outcome.expect_success("rooknetctl uninstall");
        outcome.json()
    }

    /// A JSON file of the node; `Null` when there is none.
    #[track_caller]
    pub(crate) fn json(&self, file: &str) -> Value {
        self.node.read(file).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap())
    }

    /// A pod that selects `public`, as a runtime that has loaded our conflist treats it.
    pub(crate) fn storage_pod<'a>(&self, netns: &Namespace<'a>) -> CniTool<'a> {
        let annotations = json!({"k8s.v1.cni.cncf.io/networks": "public@public"});
        CniTool::new(netns, "pods").pod("rook-ceph", "osd-0", "uid-0").annotations(&annotations)
    }

    /// Nothing of rooknet is left, and what was there before is as it was.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        assert_eq!(self.node.entries(CONF), ["10-pods.conflist"]);
        assert_eq!(self.json(PRIMARY), primary("pods"));
        let programs = self.node.entries("/opt/cni/bin");
        assert!(!programs.iter().any(|name| name.contains("rooknet")), "{programs:?}");
        // The definitions are the administrator's.
        assert_eq!(self.node.entries("/etc/cni/rooknet"), ["networks"]);
        assert_eq!(self.node.entries("/var/lib/rooknet"), Vec::<String>::new());
        assert_eq!(self.node.entries("/run/rooknet"), Vec::<String>::new());
    }

    /// Every file that a runtime would read is whole, and the plugins of the first one are there.
    #[track_caller]
    pub(crate) fn assert_loadable(&self, at: &str) {
        let read = |name: &&String| [".conf", ".conflist", ".json"].iter().any(|end| name.ends_with(end));
        let names = self.node.entries(CONF);
        let mut first = true;
        for name in names.iter().filter(read) {
            let text = self.node.read(&format!("{CONF}/{name}")).unwrap();
            let list: Value = serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("{name} after {at}: {error}: {}", String::from_utf8_lossy(&text)));
            if std::mem::take(&mut first) {
                let plugins = list["plugins"].as_array().cloned().unwrap_or_else(|| vec![list.clone()]);
                for plugin in plugins {
                    let program = format!("/opt/cni/bin/{}", plugin["type"].as_str().unwrap());
                    self.node.ok(&["test", "-x", &program]);
                }
            }
        }
        assert!(!first, "no configuration is left after {at}: {names:?}");
    }

    /// The installed plugin answers VERSION.
    #[track_caller]
    pub(crate) fn assert_answers(&self) {
        let mut command = self.node.command(PLUGIN);
        command.env("CNI_COMMAND", "VERSION");
        run(command, b"{}").expect_success("VERSION");
    }

    /// A plugin with other bytes that does the same, as the next version is: its path.
    pub(crate) fn other_plugin(&self) -> String {
        let mut content = std::fs::read(env!("CARGO_BIN_EXE_rooknet")).unwrap();
        // A program with something behind its end runs as before.
        content.extend_from_slice(b"next version");
        self.program("/run/next/rooknet", &content)
    }

    /// A program on the node.
    pub(crate) fn program(&self, inside: &str, content: &[u8]) -> String {
        self.node.write(inside, content);
        std::fs::set_permissions(self.node.path(inside), PermissionsExt::from_mode(0o755)).unwrap();
        inside.to_owned()
    }
}

/// A primary network of that name.
pub(crate) fn primary(name: &str) -> Value {
    json!({"cniVersion": "1.1.0", "name": name, "plugins": [
        {"type": "bridge", "bridge": "pods", "ipam": {"type": "host-local", "subnet": "10.244.0.0/24"}}]})
}

/// The kill points that a command passes, in order.
pub(crate) fn points(machine: &Machine, mut command: Command) -> Vec<String> {
    kill_points(&machine.node, |trace| {
        command.env("ROOKNET_FAULT_TRACE", trace);
        run(command, b"")
    })
}
