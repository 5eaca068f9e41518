//! A node with rooknet, networks of the stub plugin, and pods.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Namespace, Node, Outcome, PluginCall, RunningCall, wait_until};

/// The annotation by which a pod selects networks.
pub(crate) const NETWORKS_ANNOTATION: &str = "k8s.v1.cni.cncf.io/networks";
/// Where the node has its network definitions (`networksDir`).
pub(crate) const NETWORKS: &str = "/etc/cni/rooknet/networks";
/// The stub plugin's records on the node.
pub(crate) const RECORD: &str = "/run/stub.record";
/// The directory of the stub plugin's fake addresses on the node: one for each network, as host-local has, with a file
/// for each address that was not released.
pub(crate) const STORE: &str = "/run/stub.store";

/// A node on which rooknet is installed, with the stub plugin under the type names `stub`, `stub2` and `primary`.
pub(crate) struct Fixture {
    pub(crate) node: Node,
}

/// A pod: its network namespace and what its runtime calls it.
pub(crate) struct Pod<'a> {
    pub(crate) netns: Namespace<'a>,
    /// CNI_CONTAINERID.
    pub(crate) id: String,
    annotations: Value,
    namespace: String,
    name: String,
}

/// An error object of the CNI protocol that rooknet printed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u64,
    pub(crate) message: String,
    pub(crate) details: String,
    /// `cniVersion` of the object.
    pub(crate) version: String,
}

impl Refusal {
    /// What `outcome` says. It must be the only document on stdout, of one line, with exit status 1, and not a panic's.
    #[track_caller]
    pub(crate) fn of(what: &str, outcome: &Outcome) -> Self {
        assert_eq!(outcome.status.code(), Some(1), "{what}: {outcome}");
        let object = outcome.json();
        assert_eq!(String::from_utf8_lossy(&outcome.stdout).matches('\n').count(), 1, "{what}: {outcome}");
        for (key, value) in object.as_object().unwrap() {
            let known = ["cniVersion", "code", "msg", "details"].contains(&key.as_str());
            assert!(known && !value.is_null(), "{what}: key {key}: {outcome}");
        }
        let all = format!("{object} {}", String::from_utf8_lossy(&outcome.stderr));
        assert!(!all.contains("panicked") && !all.contains("has a fault"), "{what}: {outcome}");
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let refusal = Refusal {
            code: object["code"].as_u64().unwrap(),
            message: text("msg"),
            details: text("details"),
            version: text("cniVersion"),
        };
        // Read with --nocapture: the table of all that an administrator may get to see.
        let beginning = |text: &str| text.chars().take(2_000).collect::<String>();
        eprintln!("{what}:\n    {} {} [{}]", refusal.code, beginning(&refusal.message), beginning(&refusal.details));
        refusal
    }

    /// It has this code, and its message all of these words.
    #[track_caller]
    pub(crate) fn expect(self, what: &str, code: u64, words: &[&str]) -> Self {
        assert!(self.message.len() < 8_000, "{what}: a message of {} bytes", self.message.len());
        assert!(self.details.len() < 40_000, "{what}: details of {} bytes", self.details.len());
        assert_eq!(self.code, code, "{what}: {}", self.message);
        for word in words {
            assert!(self.message.contains(word), "{what}: {word:?} is not in: {}", self.message);
        }
        // What a terminal or a log must not get raw.
        let hostile = |letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter);
        assert!(!self.message.contains(hostile), "{what}: {:?}", self.message);
        assert!(!self.details.contains(hostile), "{what}: {:?}", self.details);
        self
    }
}

impl Pod<'_> {
    /// The same pod in another namespace than `rook-ceph`.
    pub(crate) fn in_namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// The same pod with one more annotation, or another value of one.
    pub(crate) fn annotated(mut self, key: &str, text: &str) -> Self {
        self.annotations[key] = json!(text);
        self
    }
}

impl Fixture {
    pub(crate) fn start() -> Self {
        let node = Node::start("node");
        node.install("rooknet", Path::new(env!("CARGO_BIN_EXE_rooknet")));
        for name in ["stub", "stub2", "primary"] {
            node.install(name, Path::new(env!("CARGO_BIN_EXE_rooknet-stub-plugin")));
        }
        std::fs::create_dir(node.path(STORE)).unwrap();
        Fixture { node }
    }

    /// The stub's configuration for a network named `name`: it records, keeps a fake address and makes a link; `stub`
    /// adds to what it does.
    pub(crate) fn stub_config(&self, name: &str, stub: &Value) -> Value {
        let mut keys = json!({"record": RECORD, "store": format!("{STORE}/{name}"), "link": true});
        merge(&mut keys, stub);
        json!({"cniVersion": "1.1.0", "name": name, "type": "stub", "stub": keys})
    }

    /// Installs a shell script as the plugin `name`, for what the stub cannot do.
    pub(crate) fn install_script(&self, name: &str, script: &str) {
        let file = format!("/opt/cni/bin/{name}");
        self.node.write(&file, format!("#!/bin/sh\n{script}\n"));
        self.node.ok(&["chmod", "755", &file]);
    }

    /// Writes the network definition `namespace/name` with any configuration.
    pub(crate) fn define(&self, namespace: &str, name: &str, config: &Value) {
        self.define_annotated(namespace, name, config, &json!({}));
    }

    /// The same with annotations.
    pub(crate) fn define_annotated(&self, namespace: &str, name: &str, config: &Value, annotations: &Value) {
        let definition = json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
            "spec": {"config": config.to_string()},
        });
        self.node.write(&format!("{NETWORKS}/{namespace}/{name}.json"), definition.to_string());
    }

    /// Writes the network definition `rook-ceph/name` of the stub plugin.
    pub(crate) fn define_stub(&self, name: &str, stub: &Value) {
        self.define("rook-ceph", name, &self.stub_config(name, stub));
    }

    /// rooknet's configuration in chained mode, behind a primary plugin that gave eth0 an address.
    pub(crate) fn chained(&self) -> Value {
        json!({
            "cniVersion": "1.1.0", "name": "k8s-pods", "type": "rooknet", "networksDir": NETWORKS,
            "capabilities": {"io.kubernetes.cri.pod-annotations": true},
            "prevResult": {
                "cniVersion": "1.1.0",
                "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/pod"}],
                "ips": [{"interface": 0, "address": "10.244.0.5/24", "gateway": "10.244.0.1"}],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}],
            },
        })
    }

    /// rooknet's configuration in delegating mode, the default network by the stub plugin under the type `primary`.
    pub(crate) fn delegating(&self, stub: &Value) -> Value {
        let mut primary = self.stub_config("pods", stub);
        primary["type"] = json!("primary");
        json!({
            "cniVersion": "1.1.0", "name": "k8s-pods", "type": "rooknet", "networksDir": NETWORKS,
            "capabilities": {"io.kubernetes.cri.pod-annotations": true},
            "delegates": [primary],
        })
    }

    /// A pod `rook-ceph/name` that selects `networks` (the annotation's text; `None`: no annotation).
    pub(crate) fn pod(&self, name: &str, networks: Option<&str>) -> Pod<'_> {
        self.annotated_pod(name, networks.map_or_else(|| json!({}), |text| json!({NETWORKS_ANNOTATION: text})))
    }

    /// A pod `rook-ceph/name` with any annotations.
    pub(crate) fn annotated_pod(&self, name: &str, annotations: Value) -> Pod<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Of one length, so that ids are sorted by age.
        let id = format!("{name}-{:05}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = "rook-ceph".to_owned();
        Pod { netns: self.node.add_netns(&id), id, annotations, namespace, name: name.to_owned() }
    }

    /// A call of rooknet for `pod`, as containerd makes it, with `config` completed by the pod's annotations.
    pub(crate) fn call(&self, operation: &str, config: &Value, pod: &Pod<'_>) -> PluginCall {
        let mut config = config.clone();
        merge(&mut config, &json!({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": pod.annotations}}));
        PluginCall::new(&self.program(), operation, &config.to_string()).container(&pod.id, &pod.netns, "eth0").env(
            "CNI_ARGS",
            format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};\
                     K8S_POD_UID=6d1f7b2e-0000-4000-8000-000000000001",
                pod.namespace, pod.name, pod.id
            ),
        )
    }

    /// Runs it.
    pub(crate) fn run(&self, operation: &str, config: &Value, pod: &Pod<'_>) -> Outcome {
        self.call(operation, config, pod).run(&self.node)
    }

    /// Runs a call that must fail and leave nothing of `pod` behind.
    #[track_caller]
    pub(crate) fn refused(&self, what: &str, call: &PluginCall, code: u64, words: &[&str]) -> Refusal {
        let refusal = Refusal::of(what, &call.run(&self.node)).expect(what, code, words);
        self.assert_clean();
        refusal
    }

    /// Runs an ADD of `pod` that must fail before any plugin is called, and leave the node as it was.
    #[track_caller]
    pub(crate) fn refused_add(&self, what: &str, config: &Value, pod: &Pod<'_>, code: u64, words: &[&str]) -> Refusal {
        let before = (self.recorded_calls(), self.left_overs());
        let refusal = Refusal::of(what, &self.run("ADD", config, pod)).expect(what, code, words);
        assert_eq!((self.recorded_calls(), self.left_overs()), before, "{what}");
        refusal
    }

    /// The same, told by its words.
    #[track_caller]
    pub(crate) fn assert_refused(&self, config: &Value, pod: &Pod<'_>, code: u64, words: &[&str]) {
        self.refused_add(&words.join(", "), config, pod, code, words);
    }

    /// A call that concerns no container (GC, STATUS, VERSION), with any configuration.
    pub(crate) fn node_call(&self, operation: &str, config: &Value) -> Outcome {
        PluginCall::new(&self.program(), operation, &config.to_string()).run(&self.node)
    }

    /// The installed rooknet, as the node sees it.
    pub(crate) fn program(&self) -> std::path::PathBuf {
        "/opt/cni/bin/rooknet".into()
    }

    /// The stub plugin's records so far, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.node.read(RECORD).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The records as they were written: numbers and the order of keys are those of the input.
    pub(crate) fn record_lines(&self) -> Vec<String> {
        let text = self.node.read(RECORD).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    /// The records as `COMMAND interface`, in order.
    pub(crate) fn recorded_calls(&self) -> Vec<String> {
        self.records()
            .iter()
            .map(|record| {
                let ifname = record["env"]["CNI_IFNAME"].as_str().unwrap_or_default();
                format!("{} {ifname}", record["command"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// Forgets the records so far.
    pub(crate) fn forget_records(&self) {
        self.node.write(RECORD, "");
    }

    /// The fake addresses that are taken in any network: `<container>@<interface>`.
    pub(crate) fn taken(&self) -> Vec<String> {
        let networks = self.node.entries(STORE);
        let mut taken: Vec<String> =
            networks.iter().flat_map(|network| self.node.entries(&format!("{STORE}/{network}"))).collect();
        taken.sort();
        taken
    }

    /// What is there of pods: links, addresses, journals, locks, lock files, marks of failed journals, processes.
    pub(crate) fn left_overs(&self) -> Vec<String> {
        let named =
            |what: &str, names: Vec<String>| names.into_iter().map(move |name| format!("{what} {name}")).collect();
        let parts: [Vec<String>; 4] = [
            self.node.left_overs(),
            named("address of the stub plugin", self.taken()),
            named("lock file", self.node.entries("/run/rooknet/locks")),
            named("mark of a failed journal", self.node.entries("/var/lib/rooknet/failed")),
        ];
        parts.concat()
    }

    /// Nothing of any pod is left on the node.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.left_overs(), Vec::<String>::new());
    }
}

/// Calls and their answers, in few words.
impl Fixture {
    /// An ADD that must succeed: its result.
    #[track_caller]
    pub(crate) fn add(&self, config: &Value, pod: &Pod<'_>) -> Value {
        let added = self.run("ADD", config, pod);
        added.expect_success("ADD");
        added.json()
    }

    /// A DEL that must succeed and leave nothing.
    #[track_caller]
    pub(crate) fn del(&self, config: &Value, pod: &Pod<'_>) {
        self.run("DEL", config, pod).expect_success("DEL");
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "links after the DEL");
    }

    /// A CHECK with `result` as the runtime's memory of the ADD.
    pub(crate) fn check(&self, config: &Value, pod: &Pod<'_>, result: &Value) -> Outcome {
        let mut config = config.clone();
        config["prevResult"] = result.clone();
        self.run("CHECK", &config, pod)
    }

    /// A GC with the runtime's list of what is alive: any value; `null` for none.
    pub(crate) fn gc(&self, config: &Value, valid: &Value) -> Outcome {
        let mut config = config.clone();
        config["cni.dev/valid-attachments"] = valid.clone();
        self.node_call("GC", &config)
    }

    /// The records of one command for one interface, in order; GC and STATUS have the empty one.
    pub(crate) fn records_of(&self, command: &str, ifname: &str) -> Vec<Value> {
        let mut records = self.records();
        records.retain(|record| record["command"] == command && record["env"]["CNI_IFNAME"] == ifname);
        records
    }

    /// What the stub plugin read on stdin in its only call of this command for this interface.
    #[track_caller]
    pub(crate) fn given(&self, command: &str, ifname: &str) -> Value {
        let records = self.records_of(command, ifname);
        assert_eq!(records.len(), 1, "calls {command} {ifname} among {:?}", self.recorded_calls());
        records[0]["stdin"].clone()
    }

    /// Tells every stub plugin of the type `name` what to do, whatever its configuration says; `None` takes it back.
    pub(crate) fn overrule(&self, name: &str, stub: Option<&Value>) {
        let file = format!("/opt/cni/bin/{name}.stub.json");
        match stub {
            Some(stub) => self.node.write(&file, stub.to_string()),
            None => std::fs::remove_file(self.node.path(&file)).unwrap(),
        }
    }

    /// The journal of the pod's ADD.
    #[track_caller]
    pub(crate) fn journal(&self, pod: &Pod<'_>) -> Value {
        serde_json::from_slice(&self.node.read(&journal_path(pod)).expect("the pod has a journal")).unwrap()
    }

    /// Changes the journal of the pod's ADD, as time or another program would.
    pub(crate) fn change_journal(&self, pod: &Pod<'_>, keys: &Value) {
        let mut journal = self.journal(pod);
        merge(&mut journal, keys);
        self.node.write(&journal_path(pod), journal.to_string());
    }

    /// Whether the pod has a journal.
    pub(crate) fn has_journal(&self, pod: &Pod<'_>) -> bool {
        self.node.read(&journal_path(pod)).is_some()
    }

    /// Waits until the stub plugin has recorded `call` (`COMMAND interface`).
    pub(crate) fn wait_for_record(&self, call: &str) {
        let what = format!("the stub's record of {call:?}");
        wait_until(&what, PATIENCE, || self.recorded_calls().iter().any(|recorded| recorded == call));
    }

    /// Waits until a running call has opened the file: a lock, for which it waits then.
    pub(crate) fn wait_until_open(&self, call: &RunningCall, file: &str) {
        let file = std::fs::metadata(self.node.path(file)).expect("the file is there");
        let is_open = || {
            let descriptors = std::fs::read_dir(format!("/proc/{}/fd", call.pid())).into_iter().flatten().flatten();
            let mut opened = descriptors.filter_map(|descriptor| std::fs::metadata(descriptor.path()).ok());
            opened.any(|opened| (opened.dev(), opened.ino()) == (file.dev(), file.ino()))
        };
        wait_until("the call at the lock", PATIENCE, is_open);
    }
}

/// Ends a call as an impatient runtime would, by SIGTERM.
pub(crate) fn terminate(call: &RunningCall) {
    kill(Pid::from_raw(call.pid()), Signal::SIGTERM).unwrap();
}

/// The longest that a test waits for what must happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the journal of a pod's ADD lies.
pub(crate) fn journal_path(pod: &Pod<'_>) -> String {
    format!("/var/lib/rooknet/attachments/{}@eth0.json", pod.id)
}

/// An entry of the runtime's list of what is alive, for each pod.
pub(crate) fn valid(pods: &[&Pod<'_>]) -> Value {
    pods.iter().map(|pod| json!({"containerID": pod.id, "ifname": "eth0"})).collect()
}

/// The selection of one network in both forms of the standard.
pub(crate) fn both_forms(namespace: &str, name: &str, interface: &str) -> [String; 2] {
    let element = json!([{"namespace": namespace, "name": name, "interface": interface}]);
    [format!("{namespace}/{name}@{interface}"), element.to_string()]
}

/// An error object with this code, whose message and details have all of `parts`.
#[track_caller]
pub(crate) fn assert_error(outcome: &Outcome, code: u64, parts: &[&str]) {
    let (found, message) = outcome.error();
    assert_eq!(found, code, "the code of: {message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

/// Sets the keys of `other` in `value`, object by object.
pub(crate) fn merge(value: &mut Value, other: &Value) {
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => {
            for (key, other) in other {
                merge(value.entry(key.clone()).or_insert(Value::Null), other);
            }
        }
        (value, other) => *value = other.clone(),
    }
}
