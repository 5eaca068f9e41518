//! The contenders: for each, the words by which the meter attaches and detaches a pod.

use serde_json::{Value, json};

use crate::networks::{Addresses, NAMESPACE, NETWORKS, SELECTION};
use crate::stage::{Pod, Stage};

/// The annotations' capability.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// Makes the words for an operation on a pod.
type Words = Box<dyn Fn(Operation, &Pod) -> Vec<String>>;

/// What a runtime asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Add,
    Del,
}

impl Operation {
    /// CNI_COMMAND.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Add => "ADD",
            Operation::Del => "DEL",
        }
    }
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Floor,
    Native,
    NativeOnDisk,
    Executed,
    CniTool,
    Multus,
}

impl Who {
    /// As the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Floor => "floor",
            Who::Native => "rooknet native",
            Who::NativeOnDisk => "native, stateDir on disk",
            Who::Executed => "rooknet executed",
            Who::CniTool => "cnitool",
            Who::Multus => "Multus thin",
        }
    }

    /// Whether it puts a pod's links into an interface group.
    pub(crate) fn has_groups(self) -> bool {
        !matches!(self, Who::CniTool | Who::Multus)
    }
}

/// One of them in one case.
pub(crate) struct Contender {
    pub(crate) who: Who,
    /// What the row says besides who it is: the size of a store.
    pub(crate) variant: String,
    words: Words,
}

impl Contender {
    pub(crate) fn new(who: Who, words: impl Fn(Operation, &Pod) -> Vec<String> + 'static) -> Self {
        Self { who, variant: String::new(), words: Box::new(words) }
    }

    pub(crate) fn variant(self, variant: &str) -> Self {
        Self { variant: variant.to_owned(), ..self }
    }

    /// The meter's steps.
    pub(crate) fn words(&self, operation: Operation, pod: &Pod) -> Vec<String> {
        (self.words)(operation, pod)
    }

    /// The floor for a storage pod.
    pub(crate) fn floor(stage: &Stage, addresses: Addresses) -> Self {
        let (program, indexes) = (stage.programs.floor.display().to_string(), stage.indexes());
        Self::new(Who::Floor, move |operation, pod| {
            let mut words = vec![program.clone(), operation.name().to_lowercase(), pod.netns(), pod.number.to_string()];
            if operation == Operation::Add {
                for (place, network) in NETWORKS.iter().enumerate() {
                    // A namespace has the loopback device as 1.
                    words.extend(network.plan(addresses, indexes[network.below], place + 2, pod.number));
                }
            }
            words
        })
    }

    /// A plugin that a runtime calls by itself, with one configuration for all pods and what CNI_ARGS says of each.
    pub(crate) fn plugin(
        stage: &Stage,
        who: Who,
        file: &str,
        config: &Value,
        arguments: impl Fn(&Pod) -> String + 'static,
    ) -> Self {
        let program = if who == Who::Multus { "multus" } else { "rooknet" };
        let file = format!("/run/bench/{file}.json");
        stage.node.write(&file, config.to_string());
        Self::new(who, move |operation, pod| {
            vec![
                format!("CNI_COMMAND={}", operation.name()),
                format!("CNI_CONTAINERID={}", pod.id()),
                format!("CNI_NETNS={}", pod.netns()),
                "CNI_IFNAME=eth0".to_owned(),
                "CNI_PATH=/opt/cni/bin".to_owned(),
                format!("CNI_ARGS=IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID={};{}", pod.id(), arguments(pod)),
                format!("<{file}"),
                format!("/opt/cni/bin/{program}"),
            ]
        })
    }

    /// cnitool, once for each of the networks (name and interface), which are conflists of one plugin in `directory`.
    /// Detached in the opposite order.
    pub(crate) fn cnitool(directory: &str, networks: &[(String, String)]) -> Self {
        let (directory, networks) = (directory.to_owned(), networks.to_vec());
        Self::new(Who::CniTool, move |operation, pod| {
            let call = |(network, interface): &(String, String)| {
                vec![
                    "CNI_PATH=/opt/cni/bin".to_owned(),
                    format!("NETCONFPATH={directory}"),
                    format!("CNI_IFNAME={interface}"),
                    "/opt/cni/bin/cnitool".to_owned(),
                    operation.name().to_lowercase(),
                    network.clone(),
                    pod.netns(),
                ]
            };
            let mut calls: Vec<Vec<String>> = networks.iter().map(call).collect();
            if operation == Operation::Del {
                calls.reverse();
            }
            calls.join(&"--".to_owned())
        })
    }
}

/// CNI_ARGS of a pod whose definitions are files.
pub(crate) fn arguments(pod: &Pod) -> String {
    format!("K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={0};K8S_POD_UID=uid-of-{0}", pod.name)
}

/// A configuration of rooknet or Multus that attaches `primary` itself. `keys` are put in.
pub(crate) fn delegating(kind: &str, primary: &Value, keys: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "pods", "type": kind, "delegates": [primary]});
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

/// The annotations of a storage pod as a runtime passes them.
pub(crate) fn annotated() -> Value {
    json!({
        "capabilities": {ANNOTATIONS: true},
        "runtimeConfig": {ANNOTATIONS: {"k8s.v1.cni.cncf.io/networks": SELECTION}},
    })
}
