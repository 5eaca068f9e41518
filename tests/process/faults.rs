//! What the tests of faults share: where a call can be killed, what its journal says, a pod with everything.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, STORE};
use crate::support::{Outcome, PluginCall, RunningCall, traced, wait_until};

/// Where journals lie.
pub(crate) const JOURNALS: &str = "/var/lib/rooknet/attachments";

/// A pod's selection whose second network takes the default route and whose third is a list of two plugins.
pub(crate) const EVERYTHING: &str =
    r#"[{"name": "public", "default-route": ["10.1.0.1"]}, {"name": "cluster", "interface": "cluster"}]"#;

impl Fixture {
    /// A node with the networks that [`EVERYTHING`] selects.
    pub(crate) fn with_everything() -> Self {
        let fixture = Self::start();
        fixture.define_stub("public", &json!({"address": "10.1.0.2/24"}));
        let first = fixture.stub_config("cluster", &json!({"address": "10.2.0.2/24"}));
        let mut second = fixture.stub_config("cluster", &json!({"store": format!("{STORE}/cluster-second")}));
        second["type"] = json!("stub2");
        // The link is the first plugin's.
        second["stub"].as_object_mut().unwrap().remove("link");
        let list = json!({"cniVersion": "1.1.0", "name": "cluster", "plugins": [first, second]});
        fixture.define("rook-ceph", "cluster", &list);
        fixture
    }

    /// A delegating configuration whose default network makes a default route.
    pub(crate) fn delegating_with_route(&self) -> Value {
        self.delegating(&json!({"address": "10.244.0.7/24", "gateway": "10.244.0.1"}))
    }

    /// What a call passes that succeeds, see [`Fixture::trace`].
    pub(crate) fn passings(&self, call: &PluginCall) -> Vec<String> {
        let (outcome, passed) = self.trace(call);
        outcome.expect_success("the call without a fault");
        passed
    }

    /// Runs a call and gives what it passes, in order, as ROOKNET_FAULT takes it: `kill:POINT` or `enospc:WRITE`, with
    /// `@N` from the second time on.
    pub(crate) fn trace(&self, call: &PluginCall) -> (Outcome, Vec<String>) {
        traced(&self.node, |trace| call.clone().env("ROOKNET_FAULT_TRACE", trace).run(&self.node))
    }

    /// The journal of `pod` and its eth0, if there is one.
    pub(crate) fn journal_of(&self, pod: &Pod<'_>) -> Option<Value> {
        let content = self.node.read(&journal_file(pod))?;
        Some(serde_json::from_slice(&content).expect("a journal is whole or absent"))
    }

    /// GC for a runtime that knows these containers (`None`: that says nothing).
    pub(crate) fn collect(&self, config: &Value, alive: Option<&[&Pod<'_>]>) -> Outcome {
        self.node_call("GC", &collect_config(config, alive))
    }

    /// The call for it.
    pub(crate) fn collect_call(&self, config: &Value, alive: Option<&[&Pod<'_>]>) -> PluginCall {
        PluginCall::new(&self.program(), "GC", &collect_config(config, alive).to_string())
    }
}

fn collect_config(config: &Value, alive: Option<&[&Pod<'_>]>) -> Value {
    let mut config = config.clone();
    // A runtime gives none at GC.
    config.as_object_mut().unwrap().remove("prevResult");
    if let Some(alive) = alive {
        let list: Vec<Value> = alive.iter().map(|pod| json!({"containerID": pod.id, "ifname": "eth0"})).collect();
        config["cni.dev/valid-attachments"] = json!(list);
    }
    config
}

/// Networks of the reference plugins, for what a stub cannot show: links that outlive a changed name, host-local's store.
impl Fixture {
    /// Defines `rook-ceph/name`: macvlan with addresses of `subnet` by host-local.
    pub(crate) fn define_macvlan(&self, name: &str, subnet: &str) {
        self.define("rook-ceph", name, &self.macvlan_config(name, subnet));
    }

    /// Its configuration. The master is a bridge of the node, made at the first call.
    pub(crate) fn macvlan_config(&self, name: &str, subnet: &str) -> Value {
        // A bridge outlives pods on a real node too, so it counts as nobody's left-over.
        self.node.ok(&["sh", "-c", "ip link show storage0 2>/dev/null || ip link add storage0 up type bridge"]);
        json!({
            "cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "storage0", "mode": "bridge",
            "ipam": {"type": "host-local", "subnet": subnet},
        })
    }

    /// The networks and interfaces of host-local's addresses: `network interface`, sorted.
    pub(crate) fn leases(&self) -> Vec<String> {
        let leases = self.node.host_local_addresses();
        leases.into_iter().map(|lease| format!("{} {}", lease.network, lease.interface)).collect()
    }
}

/// What fails from now on at every stub of that type, whatever its configuration says.
pub(crate) fn fail_on(fixture: &Fixture, plugin: &str, commands: &[&str]) {
    fixture.node.write(&format!("/opt/cni/bin/{plugin}.stub.json"), json!({"failOn": commands}).to_string());
}

/// A test fails rather than waits for ever.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// What the stub does to hang at one command, after its work, as does its IPAM child.
pub(crate) fn hanging_on(command: &str) -> Value {
    json!({"hangOn": [command], "ipam": "hang", "ipamOn": [command], "address": "10.1.0.2/24"})
}

/// From now on no stub of that type hangs, whatever its configuration says.
pub(crate) fn stop_hanging(fixture: &Fixture, plugin: &str) {
    fixture.node.write(&format!("/opt/cni/bin/{plugin}.stub.json"), r#"{"hangOn": [], "ipamOn": []}"#);
}

/// Waits for a delegate that hangs at `operation`; gives its process and its child's.
pub(crate) fn until_it_hangs(fixture: &Fixture, operation: &str) -> [i32; 2] {
    let mut hanging = None;
    wait_until("a delegate that hangs", LIMIT, || {
        let records = fixture.records();
        let last = records.iter().find(|record| record["command"] == operation && record["grandchild"].is_u64());
        hanging =
            last.map(|last| [&last["pid"], &last["grandchild"]].map(|id| id.as_i64().unwrap().try_into().unwrap()));
        hanging.is_some()
    });
    hanging.unwrap()
}

/// Where the stub can be held up.
const GATE: &str = "/run/stub.gate";

/// What the stub does to wait at the gate, before its work; the gate is made here.
pub(crate) fn gated_on(fixture: &Fixture, command: &str) -> Value {
    fixture.node.ok(&["sh", "-c", &format!("[ -p {GATE} ] || mkfifo {GATE}")]);
    json!({"gate": GATE, "gateOn": [command]})
}

/// Lets the one stub pass that waits at the gate, or will within the limit.
pub(crate) fn open_gate(fixture: &Fixture) {
    let mut options = OpenOptions::new();
    // Without a reader this fails, instead of waiting for one for ever.
    options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    wait_until("a stub at the gate", LIMIT, || options.open(fixture.node.path(GATE)).is_ok());
}

/// Waits until a call of rooknet waits for the lock of `pod`: its signal handlers are there by then.
pub(crate) fn until_it_waits(call: &RunningCall, pod: &Pod<'_>) {
    until_it_has_open(call, &format!("/run/rooknet/locks/{}", pod.id));
}

/// Waits until a call of rooknet has a file open.
pub(crate) fn until_it_has_open(call: &RunningCall, file: &str) {
    let lock = PathBuf::from(file);
    wait_until("a call that waits for the lock", LIMIT, || {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", call.pid())).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| entry.path().read_link().ok()).any(|target| target == lock)
    });
}

/// Sends a signal to a call's rooknet alone.
pub(crate) fn send(call: &RunningCall, signal: Signal) {
    kill(Pid::from_raw(call.pid()), signal).expect("signal a child of this process");
}

/// The file of the journal of `pod` and its eth0.
pub(crate) fn journal_file(pod: &Pod<'_>) -> String {
    format!("{JOURNALS}/{}@eth0.json", pod.id)
}

/// The call died of SIGKILL.
#[track_caller]
pub(crate) fn assert_killed(outcome: &Outcome, at: &str) {
    assert_eq!(outcome.status.signal(), Some(9), "{at} did not kill: {outcome}");
}

/// What the runtime's primary plugin does around rooknet in chained mode: eth0 with the pod's default route.
pub(crate) struct Primary;

impl Primary {
    /// Its ADD.
    pub(crate) fn attach(pod: &Pod<'_>) {
        let script = "ip link add eth0 type veth peer name eth0-peer && ip address add 10.244.0.5/24 dev eth0 && \
                      ip link set eth0-peer up && ip link set eth0 up && ip route add default via 10.244.0.1";
        pod.netns.ok(&["sh", "-c", script]);
    }

    /// Its DEL.
    pub(crate) fn detach(pod: &Pod<'_>) {
        pod.netns.ok(&["ip", "link", "delete", "eth0"]);
    }
}
