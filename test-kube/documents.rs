//! The commands of the documents for administrators, run as they are written: every shell block, in its order.
//!
//! What is not in a document is done here: the runtime's part (cnitool), the kubelet's (a pod ends at once), and what
//! Multus did before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{MERGE_PATCH, pod_path};
use crate::fixture::NETWORKS_ANNOTATION;
use crate::installation::{CONFLIST, Installation, KUBERNETES, NAMESPACE, PATIENCE};
use crate::reader::blocks;
use crate::support::{CniTool, Namespace, PluginCall, wait_until};

/// The pod that docs/kubernetes.md makes.
const TRIAL: &str = "rooknet-trial";
/// Where the thick plugin's daemon writes the node's configuration.
const MULTUS_CONF: &str = "/etc/cni/net.d/00-multus.conf";
/// Multus's cache.
const CACHE: &str = "/var/lib/cni/multus";

#[test]
fn the_installation_works_as_it_is_written() {
    let mut installation = Installation::start();

    let said = installation.install_credentials();
    let token = installation.text_of("/etc/cni/rooknet/token");
    assert!(said.contains("system:serviceaccount:kube-system:rooknet") && said.contains("yes"), "{said}");
    assert!(said.contains("authentication.kubernetes.io/node-name") && said.contains(&installation.name), "{said}");
    let mode = |path: &str| installation.node.ok(&["stat", "--format", "%a %U", path]).trim().to_owned();
    assert_eq!(mode("/etc/cni/rooknet"), "700 root");
    assert_eq!(mode("/etc/cni/rooknet/token"), "600 root");

    let (_, append) = installation.blocks.pop_front().unwrap();
    installation.run(&append).expect_success("the entry of the conflist");
    let mut conflist = installation.config(CONFLIST);
    let types: Vec<&Value> = conflist["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["type"]).collect();
    assert_eq!((&conflist["name"], types), (&json!("pods"), vec![&json!("bridge"), &json!("rooknet")]));
    assert_eq!(installation.node.entries("/etc/cni/net.d"), ["10-pods.conflist"], "nothing else that a runtime reads");

    conflist["plugins"][1]["networksDir"] = json!("/etc/cni/rooknet/networks");
    installation.node.write(CONFLIST, conflist.to_string());
    installation.run(&append).expect_success("the entry of the conflist, again");
    assert_eq!(installation.config(CONFLIST), conflist, "other keys of the entry stay");

    installation.run_through(&format!("name: {TRIAL}"));
    let patch = json!({"metadata": {"labels": {"app": "other"}}});
    let path = format!("{}/status?dryRun=All", pod_path(NAMESPACE, TRIAL));
    wait_until("the policy", PATIENCE, || {
        let answer = installation.cluster.request("PATCH", &path, token.trim(), MERGE_PATCH, Some(&patch));
        answer.message().contains("rooknet may change no label of a pod")
    });
    let netns = installation.node.add_netns(TRIAL);
    installation.attach(TRIAL, &netns).expect_success("the pod of the document");
    let (public, eth0) = (netns.address("public"), netns.address("eth0"));
    drop(netns);

    let printed = installation.run_through("network-status");
    let mut values = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let status = values.next().expect("a status").expect("JSON");
    let log = &printed[values.byte_offset()..];
    let seen: Vec<(&str, &Value)> =
        status.as_array().unwrap().iter().map(|entry| (entry["interface"].as_str().unwrap(), &entry["ips"])).collect();
    assert_eq!(seen, [("eth0", &json!([eth0])), ("public", &json!([public]))], "{status}");
    assert!(log.contains("network=rook-ceph/public interface=public"), "{log}");

    installation.run_through("kubectl delete pod");
    let netns = installation.node.netns(TRIAL);
    installation.runtime(TRIAL, &netns).run("del").expect_success("DEL");
    drop(netns);
    assert_eq!(installation.node.journals(), Vec::<String>::new());

    // The section on renewal has no commands of its own: it sends back to those of the token.
    let renewal =
        blocks(KUBERNETES, "sh").into_iter().find(|(_, block)| block.contains("kubectl create token")).unwrap().1;
    installation.node.write("/etc/cni/rooknet/token", "expired");
    let netns = installation.create_pod("renewed");
    let refused = installation.attach("renewed", &netns);
    assert!(!refused.success() && refused.to_string().contains("401 Unauthorized"), "{refused}");
    installation.runtime("renewed", &netns).run("del").expect_success("the runtime's DEL after a failed ADD");
    installation.run(&renewal).expect_success("the token's commands again");
    assert_ne!(installation.text_of("/etc/cni/rooknet/token"), token, "a new one");
    installation.attach("renewed", &netns).expect_success("with the new token");
    drop(netns);

    // The directory as such.
    installation.run_through("/etc/cni/rooknet/server");
    std::fs::remove_file(installation.node.path("/etc/cni/rooknet/kubeconfig")).unwrap();
    let mut conflist = installation.config(CONFLIST);
    conflist["plugins"][1]["kubeconfig"] = json!("/etc/cni/rooknet");
    installation.node.write(CONFLIST, conflist.to_string());
    let netns = installation.create_pod("directory");
    installation.attach("directory", &netns).expect_success("with the directory");
    drop(netns);

    installation.run_through("kubectl create clusterrole network-author");
    assert!(installation.blocks.is_empty(), "blocks that nobody ran: {:?}", installation.blocks);
    for pod in ["renewed", "directory"] {
        let netns = installation.node.netns(pod);
        installation.runtime(pod, &netns).run("del").expect_success("DEL");
    }
    assert_eq!(installation.node.journals(), Vec::<String>::new());
    assert_eq!(installation.node.host_local_addresses(), []);
}

/// Attaches a pod as Multus does: by the plugins, with its scratch file and libcni's cached results.
fn attach_as_multus(installation: &Installation, netns: &Namespace<'_>, id: &str, macvlan: &Value) {
    let primary = installation.config(CONFLIST);
    let mut scratch = Vec::new();
    for (reference, ifname, config) in [("pods", "eth0", &primary), ("rook-ceph/public", "net1", macvlan)] {
        let is_list = config.get("plugins").is_some();
        let mut plugin = if is_list { config["plugins"][0].clone() } else { config.clone() };
        for key in ["name", "cniVersion"] {
            plugin[key] = config[key].clone();
        }
        let program = format!("/opt/cni/bin/{}", plugin["type"].as_str().unwrap());
        let added = PluginCall::new(program.as_ref(), "ADD", &plugin.to_string())
            .container(id, netns, ifname)
            .run(&installation.node);
        added.expect_success("ADD by Multus");
        let (name, bytes) = (config["name"].as_str().unwrap(), STANDARD.encode(config.to_string()));
        scratch.push(json!({
            "Conf": {"name": name, "cniVersion": config["cniVersion"], "ipam": {}},
            "ConfList": if is_list { json!({"name": name, "plugins": [{"type": plugin["type"], "ipam": {}}]}) } else { json!({}) },
            "Name": reference, "IsFilterV4Gateway": false, "IsFilterV6Gateway": false, "Bytes": bytes,
        }));
        let result = json!({
            "kind": "cniCacheV1", "containerId": id, "config": bytes, "ifName": ifname, "networkName": name,
            "netns": netns.path(), "cniArgs": [["IgnoreUnknown", "true"]], "result": added.json(),
        });
        installation.node.write(&format!("{CACHE}/results/{name}-{id}-{ifname}"), result.to_string());
    }
    installation.node.write(&format!("{CACHE}/{id}"), json!(scratch).to_string());
}

#[test]
fn a_node_is_moved_from_multus_as_it_is_written() {
    let mut installation = Installation::start();
    installation.install_credentials();
    let macvlan = json!({
        "cniVersion": "1.0.0", "name": "rook-public", "type": "macvlan", "master": "stor0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "192.168.10.0/24"}]]},
    });
    installation.cluster.create_network(NAMESPACE, "public", &macvlan, &json!({}));
    let selecting = json!({NETWORKS_ANNOTATION: "public"});
    for pod in ["former", "new"] {
        installation.cluster.create_pod(NAMESPACE, pod, &installation.name, &selecting);
        installation.node.add_netns(pod);
    }
    // As the thick plugin's daemon writes it.
    let multus = json!({
        "capabilities": {"portMappings": true}, "cniVersion": "0.3.1", "logLevel": "verbose", "logToStderr": true,
        "name": "multus-cni-network", "clusterNetwork": format!("/host{CONFLIST}"), "type": "multus-shim",
        "cniConfigDir": "/host/etc/cni/net.d", "multusConfigFile": "auto",
    });
    installation.node.write(MULTUS_CONF, multus.to_string());
    let daemonset = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-multus-ds", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"name": "multus"}},
            "template": {
                "metadata": {"labels": {"name": "multus"}},
                "spec": {"containers": [{"name": "kube-multus", "image": "none"}]},
            },
        },
    });
    installation.cluster.apply(&daemonset.to_string());
    installation.network = "multus-cni-network";
    let former = installation.runtime("former", &installation.node.netns("former")).container_id();
    attach_as_multus(&installation, &installation.node.netns("former"), &former, &macvlan);
    let address = installation.node.netns("former").address("net1");

    installation.follow("docs/multus.md");
    let label = |installation: &Installation| {
        let node = installation.cluster.get(&format!("/api/v1/nodes/{}", installation.name)).expect_success("the node");
        (node["metadata"]["labels"]["rooknet"].clone(), node["spec"]["unschedulable"].clone())
    };
    installation.run_through("kubectl label node");
    assert_eq!(label(&installation), (json!("true"), json!(true)));
    let path = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-multus-ds";
    let daemonset = installation.cluster.get(path).expect_success("Multus's DaemonSet");
    let terms = &daemonset["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"];
    assert_eq!(terms, &json!([{"matchExpressions": [{"key": "rooknet", "operator": "DoesNotExist"}]}]));
    assert_eq!(
        installation.node.entries("/etc/cni/net.d"),
        ["00-multus.conf", "00-multus.conf-rooknet.conf", "10-pods.conflist"],
        "until here the first, which the runtime takes, is Multus's"
    );
    // As the daemon does at its end.
    std::fs::remove_file(installation.node.path(MULTUS_CONF)).unwrap();
    installation.run_through("kubectl uncordon");
    assert_eq!(label(&installation), (json!("true"), Value::Null));
    assert_eq!(installation.node.entries("/etc/cni/net.d")[0], "00-multus.conf-rooknet.conf", "what the runtime takes");
    let config = installation.config("/etc/cni/net.d/00-multus.conf-rooknet.conf");
    for (key, value) in [
        ("type", json!("rooknet")),
        ("name", json!("multus-cni-network")),
        ("clusterNetwork", json!(CONFLIST)),
        ("capabilities", json!({"portMappings": true, "io.kubernetes.cri.pod-annotations": true})),
    ] {
        assert_eq!(config[key], value, "{key}");
    }

    let netns = installation.node.netns("new");
    installation.attach("new", &netns).expect_success("a new pod");
    let status = installation.cluster.network_status(NAMESPACE, "new").expect("a network-status");
    assert_eq!(status[1]["ips"], json!([netns.address("net1")]), "{status}");
    assert_ne!(netns.address("net1"), address);
    drop(netns);

    // The former pod goes while the API server is away.
    installation.cluster.server().kill();
    let former = installation.node.netns("former");
    let deleted = CniTool::new(&former, "multus-cni-network").run("del");
    deleted.expect_success("DEL of a pod of Multus's");
    assert!(deleted.to_string().contains("detaching what Multus attached, from its cache in"), "{deleted}");
    assert_eq!(former.interfaces(), Vec::<String>::new());
    drop(former);
    assert_eq!(installation.run_through("find"), "", "nothing of Multus's is left");

    // The way back begins with the pods that have a journal, of which there is one.
    assert_eq!(installation.run_through("/var/lib/rooknet/attachments").lines().count(), 1);
    assert!(installation.blocks.is_empty(), "blocks that nobody ran: {:?}", installation.blocks);
    let new = installation.node.netns("new");
    CniTool::new(&new, "multus-cni-network").run("del").expect_success("DEL of a pod of ours");
    assert_eq!(installation.node.host_local_addresses(), []);
}
