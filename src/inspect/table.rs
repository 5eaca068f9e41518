//! The troubleshooting table: every fault that is looked for, with its cause and its cure, once.
//!
//! `docs/operations.md` has it as Markdown, made by `tests/documents`; each row is provoked by a test of `tests/doctor`,
//! which fails for a row that it does not know.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Something does not work.
    Fault,
    /// It works, and somebody should know.
    Advice,
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name: stays, for programs.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it comes from.
    pub cause: &'static str,
    /// What follows from it.
    pub consequence: &'static str,
    /// What to do.
    pub cure: &'static str,
}

macro_rules! rows {
    ($($constant:ident: $id:literal, $severity:ident, $cause:literal, $consequence:literal, $cure:literal;)*) => {
        $(#[doc = concat!("Row `", $id, "`.")]
        pub const $constant: Row = Row {
            id: $id, severity: Severity::$severity, cause: $cause, consequence: $consequence, cure: $cure,
        };)*
        /// The table, in the order of the documents.
        pub const TABLE: &[Row] = &[$($constant),*];
    };
}

rows! {
    NOT_INSTALLED: "not-installed", Fault,
        "No file of the CNI directory has an entry of type rooknet",
        "Pods start without the networks that they select",
        "`rooknetctl install`, or look at the DaemonSet's log: `kubectl -n kube-system logs ds/rooknet`";
    CONFIGURATION_INVALID: "configuration-invalid", Fault,
        "rooknet's conflist was changed by hand or by another program, and is not what it must be",
        "The runtime refuses it or every ADD fails: no pod starts",
        "`rooknetctl install` writes it anew; correct the key that is named where you set it yourself";
    VERSION_OLD: "version-old", Advice,
        "The primary network's configuration, and so rooknet's conflist, has a cniVersion below 1.1.0",
        "Runtimes send no GC and no STATUS; below 0.4.0 no CHECK either: what a lost DEL leaves only the agent collects",
        "Raise cniVersion in the primary's own configuration, if its plugin speaks 1.1.0; the copy follows";
    NOT_FIRST: "not-first", Fault,
        "Another configuration in the CNI directory sorts before rooknet's: runtimes load the first",
        "Pods start without the networks that they select",
        "Remove or rename that file; for Multus's: `rooknetctl install --replace-multus`";
    PLUGIN_MISSING: "plugin-missing", Fault,
        "The plugin's file is gone, may not be executed, or does not answer",
        "No pod of this node starts or ends",
        "`rooknetctl install`; is the disk full, or mounted noexec?";
    VERSIONS_DIFFER: "versions-differ", Advice,
        "The plugin and rooknetctl are of different versions: an upgrade that was begun, or did not reach this node",
        "None while both know the journals' format; a later rooknetctl may judge what the plugin does not do yet",
        "Let the upgrade end (`kubectl -n kube-system rollout status ds/rooknet`), or run `rooknetctl install`";
    PLUGIN_NOT_READY: "plugin-not-ready", Fault,
        "The plugin itself says in its STATUS that no pod can be attached: the words that follow name what it is",
        "No pod of this node starts; a runtime that asks for STATUS makes the node NotReady",
        "What its message says: mostly a stateDir that cannot be written, or a primary network that is not ready";
    RUNTIME_SILENT: "runtime-silent", Fault,
        "The container runtime does not answer at its socket",
        "What it has loaded, and which pods live, is not known; nothing starts on this node while it is down",
        "`systemctl status containerd` (or crio); name another socket by `--runtime-socket`";
    RUNTIME_NOT_READY: "runtime-not-ready", Fault,
        "The runtime could not load its network configuration, or is not ready for pods; its own words say why",
        "The node is NotReady: no pod starts",
        "Correct the file that it names; `crictl info` shows the same";
    RUNTIME_LOADED_ANOTHER: "runtime-loaded-another", Fault,
        "The runtime has loaded another configuration than the one that is on the disk, or reads another directory",
        "Pods start without the networks that they select",
        "Compare the directory of its message with `--conf-dir`; restart the runtime (pods keep running)";
    RUNTIME_LOADS_SEVERAL: "runtime-loads-several", Fault,
        "The runtime is set to load more than one configuration (containerd's max_conf_num is not 1)",
        "Pods get a second network by the file behind rooknet's, and the primary network twice",
        "Set max_conf_num to 1 in the runtime's configuration, and restart it";
    POD_LACKS_NETWORKS: "pod-lacks-networks", Fault,
        "A pod was started before rooknet was there, or past it: by another configuration, or while it was not first",
        "It runs without a network that it asked for: a storage daemon is out of reach, or uses the wrong network",
        "Delete the pod, so that it is made anew; `rooknetctl agent --evict` does so";
    CREDENTIALS_UNUSABLE: "credentials-unusable", Fault,
        "A file of the plugin's credentials is missing, unreadable, or not what it must be",
        "Pods whose networks are not on the node as files do not start, and none gets its network-status",
        "The agent writes them (its log says why not): `kubectl -n kube-system logs ds/rooknet`; by hand: docs/kubernetes.md";
    TOKEN_EXPIRED: "token-expired", Fault,
        "The plugin's token is past its time, and nobody has renewed it: the agent is away, or may not request tokens",
        "The API server refuses the plugin: pods whose networks are not on the node as files do not start",
        "See why the agent does not run: `kubectl -n kube-system get pods -l app.kubernetes.io/name=rooknet -o wide`";
    TOKEN_NOT_RENEWED: "token-not-renewed", Advice,
        "More than three quarters of the token's life are over; the agent renews it at half",
        "The token expires soon, and then the API server refuses the plugin",
        "See why the agent does not renew it: its log";
    TOKEN_OF_ANOTHER_NODE: "token-of-another-node", Fault,
        "The token is bound to another Node object: the node was renamed, or its disk was copied",
        "The admission policy refuses the network-status of this node's pods",
        "Remove the file `token`, the agent requests another; correct `nodeName` if that is what is wrong";
    CLOCK_WRONG: "clock-wrong", Fault,
        "The token was issued in this node's future: its clock is behind",
        "TLS and tokens are refused or believed too long; times in the log mislead",
        "Synchronise the clock: `timedatectl status`";
    API_UNREACHABLE: "api-unreachable", Fault,
        "The API server does not answer under the address in the plugin's credentials",
        "Pods whose networks are not on the node as files do not start; running pods and DEL are not touched",
        "Is the control plane up, and the way there open? `curl -k https://SERVER/version` on this node";
    API_NOT_TRUSTED: "api-not-trusted", Fault,
        "What answers at that address is not the API server of these credentials: its certificate is of another authority, or it speaks something else",
        "As if it were down: pods whose networks are not on the node as files do not start",
        "Renew `ca.crt` (the agent does), or correct the server's address";
    API_UNAUTHORIZED: "api-unauthorized", Fault,
        "The API server does not accept the token: expired, revoked, of another cluster, or its Node or service account was made anew",
        "Pods whose networks are not on the node as files do not start",
        "The agent requests another one; without an agent write a fresh token: docs/kubernetes.md";
    API_FORBIDDEN: "api-forbidden", Fault,
        "The plugin's service account lacks a right",
        "Pods whose networks are not on the node as files do not start",
        "Apply the manifests again: the output of `rooknetctl manifests` goes to `kubectl apply -f -`";
    API_KIND_MISSING: "api-kind-missing", Fault,
        "The API server does not know NetworkAttachmentDefinitions",
        "No network can be defined in the cluster",
        "Apply the custom resource definition: it is in `rooknetctl manifests`";
    AGENT_SILENT: "agent-silent", Advice,
        "The agent is not running, or its watch of the API server is broken",
        "ADDs ask the API server for each network; tokens are not renewed, links not repaired, nothing is collected",
        "`kubectl -n kube-system get pods -l app.kubernetes.io/name=rooknet -o wide`, and its log";
    DRAINING: "draining", Advice,
        "An uninstall was begun and has not ended, or somebody drained the node by hand",
        "Pods that select networks are refused on this node (code 11); all others start",
        "Let the uninstall end; to take the node back: `rooknetctl install`, or remove the file that is named";
    JOURNAL_CORRUPT: "journal-corrupt", Fault,
        "A damaged disk, or a hand: the file is no journal",
        "Its pod's DEL undoes what the kernel and host-local's store show; until then GC frees nothing",
        "Wait for the DEL, or `rooknetctl attachments undo ID`";
    JOURNAL_OF_NEWER: "journal-of-newer", Fault,
        "A later rooknet wrote it, and an earlier one was installed after it",
        "Its pod cannot be deleted by this version, and GC frees nothing",
        "Install the later version again";
    JOURNAL_SET_ASIDE: "journal-set-aside", Advice,
        "A corrupt journal met its pod's DEL, which undid what was to be seen and moved the file there",
        "Addresses of other IPAM plugins than host-local may be lost",
        "Look at the file and the log of that time, then remove it";
    UNDO_FAILED: "undo-failed", Fault,
        "A DEL could not undo an attachment; the log has its reason",
        "Links or addresses are held; the next DEL and the agent try again",
        "Cure what the log says (`grep container=ID` in the log), then `rooknetctl attachments undo ID`";
    UNFINISHED: "unfinished", Fault,
        "An ADD was killed before it could undo what it had done",
        "Links or addresses are held until the runtime's DEL",
        "The runtime's DEL undoes it; if its container is gone: `rooknetctl attachments undo ID`";
    STALE: "stale", Fault,
        "The container's network namespace is gone and no DEL came: the runtime was killed or lost its state, or the node was rebooted",
        "The attachment's addresses are held",
        "The agent collects it; by hand: `rooknetctl attachments undo ID`";
    LINK_MISSING: "link-missing", Fault,
        "The interface was deleted under the running pod: its master vanished with its network card or driver, or a person removed it",
        "The pod is cut off from that network",
        "Bring the master back; the agent makes the interface again, without an agent delete the pod";
    LINK_WITHOUT_JOURNAL: "link-without-journal", Fault,
        "A journal was removed by hand, or `forget` was used while the pod lived",
        "No DEL deletes the interface; it ends with its pod's namespace",
        "Delete the pod, or the link: `ip -n NETNS link delete NAME`";
    ADDRESS_WITHOUT_JOURNAL: "address-without-journal", Fault,
        "A journal was removed by hand, or another program was killed between address and interface",
        "The address is held for nobody: the pool shrinks",
        "The agent collects it; by hand remove the file that is named, if no pod has the address";
    ADDRESS_NOT_RESERVED: "address-not-reserved", Fault,
        "The file of a living pod's address was removed or overwritten in host-local's store",
        "Another pod can be given the same address",
        "Delete the pod, so that it gets an address that is reserved";
    POOL_FULL: "pool-full", Fault,
        "All addresses of a range are taken: too many pods for it, or addresses that are held for nobody",
        "Further pods of that network do not start on this node",
        "See address-without-journal and stale first; then widen the range in the network's definition";
    DEFINITION_INVALID: "definition-invalid", Fault,
        "A network definition on this node is not what it must be",
        "Pods that select it do not start",
        "Correct it: the message names the key";
    DEFINITION_WITHOUT_RANGE: "definition-without-range", Fault,
        "The definition shares addresses among nodes (annotation rooknet.io/node-ranges) and has none for this one",
        "Pods that select it do not start on this node",
        "Add an entry for the node, or correct `nodeName` in rooknet's entry";
    MASTER_NOT_FOUND: "master-not-found", Fault,
        "The network's master is not on this node, or its masterCIDR fits no interface, or more than one",
        "Pods that select it do not start on this node",
        "Bring the interface up or give it its address, or correct `master` or `masterCIDR`";
    MASTER_IS_BRIDGE_PORT: "master-is-bridge-port", Fault,
        "The network's master is a port of a bridge, and the kernel builds no macvlan or ipvlan on one",
        "Pods that select it do not start on this node",
        "Name the bridge itself as the master, or use the plugin bridge";
    PROGRAM_MISSING: "program-missing", Fault,
        "A plugin that a network names is not in binDir, or may not be executed",
        "Pods that select it do not start on this node",
        "What the message says: mostly install the CNI reference plugins";
    CALLS_FAILED: "calls-failed", Advice,
        "Calls of the plugin failed within the last hour, as the log says",
        "Pods did not start or end, or only after further tries",
        "Each message says what would be right; docs/failures.md has them all";
    AGENT_MISSING: "agent-missing", Fault,
        "A node has no agent, or its agent is not ready: it crashes, cannot be scheduled, or its image cannot be pulled",
        "The plugin there goes on as it is: its token expires in time, and nothing is repaired or collected",
        "`kubectl -n kube-system describe pods -l app.kubernetes.io/name=rooknet`, and its log";
    AGENTS_DIFFER: "agents-differ", Advice,
        "Agents of different versions: an upgrade that is under way, or is stuck",
        "Nodes behave differently until it ends",
        "`kubectl -n kube-system rollout status ds/rooknet`";
    NOT_VERIFIED: "not-verified", Advice,
        "The agent of that node keeps its start-up taint until rooknet works there",
        "No pods that do not tolerate it are placed there",
        "`rooknetctl doctor` on that node, and the agent's log";
    POD_WITHOUT_STATUS: "pod-without-status", Fault,
        "A running pod's network-status does not tell of networks that it selects: it started past rooknet, or the PATCH failed",
        "It may run without these networks; Rook does not see its addresses",
        "`rooknetctl doctor` on its node tells which; then delete the pod";
    POD_NOT_STARTED: "pod-not-started", Fault,
        "The kubelet cannot make the sandbox of a pod that selects networks; the event has the plugin's words",
        "The pod does not start",
        "What the message says; docs/failures.md has all of rooknet's";
}
