//! What a status does to the pod that it is written to, and to the status that was there before.

use serde_json::{Value, json};

use super::{PUBLIC, mac, primary};
use crate::cluster::{ADMIN, pod_path};
use crate::fixture::{NETWORKS_ANNOTATION, PATIENCE};
use crate::networks::{macvlan, site};
use crate::proxy::{Fault, Hold, Proxy, Rule};
use crate::site::{Pod, Site};
use crate::support::wait_until;

const STATUS_ANNOTATION: &str = "k8s.v1.cni.cncf.io/network-status";

/// The status of a pod in chained mode with `public` alone.
fn with_public(site: &Site, pod: &Pod<'_>, address: &str) -> Value {
    let entry = json!({
        "name": format!("{}/public", site.namespace), "interface": "net1", "ips": [address],
        "mac": mac(pod, "net1"), "default": false, "dns": {},
    });
    json!([primary(), entry])
}

/// The pod as the API server has it, without the annotation and what changes with every write.
fn rest(site: &Site, pod: &Pod<'_>) -> Value {
    let mut object = site.cluster.pod(&pod.namespace, &pod.name);
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    metadata["annotations"].as_object_mut().unwrap().remove(STATUS_ANNOTATION);
    object
}

/// What a kubelet and others have written about the pod.
fn furnish(site: &Site, pod: &Pod<'_>, number: u8) {
    let path = pod_path(&pod.namespace, &pod.name);
    let others = json!({"metadata": {
        "labels": {"number": number.to_string()},
        "annotations": {"example.com/note": format!("{{\"number\": {number}}}")},
    }});
    site.cluster.merge_patch(&path, ADMIN, &others).expect_success("labels and annotations");
    let time = format!("2026-01-02T03:04:{number:02}Z");
    let status = json!({"status": {
        "phase": "Pending", "startTime": "2026-01-02T03:04:00Z",
        "hostIP": "192.0.2.7", "hostIPs": [{"ip": "192.0.2.7"}],
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:00Z"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": time},
        ],
        "containerStatuses": [{
            "name": "main", "image": "none", "imageID": "", "ready": false, "restartCount": number,
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }],
    }});
    site.cluster.merge_patch(&format!("{path}/status"), ADMIN, &status).expect_success("a status");
}

#[test]
fn nothing_else_of_a_pod_changes_and_nothing_that_others_write_meanwhile_is_lost() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let pod = site.pod("osd", Some("public"));
    furnish(&site, &pod, 1);
    let before = rest(&site, &pod);
    assert_eq!(before["metadata"]["annotations"][NETWORKS_ANNOTATION], "public");
    site.add(&site.chained(), &pod);
    assert_eq!(rest(&site, &pod), before);
    assert_eq!(site.status(&pod), Some(with_public(&site, &pod, "192.168.20.2")));
    site.del(&site.chained(), &pod);

    let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
    site.use_server(&proxy.url());
    let hold = Hold::new();
    proxy.add(Rule::new(Fault::Hold(hold.clone())).method("PATCH"));
    let adding = site.call("ADD", &site.chained(), &pod).start(site.node());
    wait_until("the PATCH", PATIENCE, || proxy.exchanges().iter().any(|exchange| exchange.method == "PATCH"));
    furnish(&site, &pod, 2);
    let meanwhile = rest(&site, &pod);
    assert_ne!(meanwhile, before);
    hold.release();
    adding.wait().expect_success("ADD");
    assert_eq!(rest(&site, &pod), meanwhile);
    assert_eq!(site.status(&pod), Some(with_public(&site, &pod, "192.168.20.3")));
    site.del(&site.chained(), &pod);
    site.assert_clean();
}

/// A pod's sandbox is made anew, for example after a reboot of its node.
#[test]
fn a_status_stays_after_a_del_and_the_next_one_replaces_it_whole() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    site.define("cluster", &macvlan(&["192.168.21.0/24"]));
    let pod = site.pod("osd", Some("public,cluster"));
    site.add(&site.chained(), &pod);
    let former = site.status(&pod).unwrap();
    assert_eq!(former.as_array().unwrap().len(), 3);
    site.del(&site.chained(), &pod);
    assert_eq!(site.status(&pod), Some(former));

    let other = Pod { annotations: Some(json!({NETWORKS_ANNOTATION: "public"})), ..pod };
    site.add(&site.chained(), &other);
    assert_eq!(site.status(&other), Some(with_public(&site, &other, "192.168.20.3")));
    site.del(&site.chained(), &other);
    site.assert_clean();
}

#[test]
fn a_failed_add_writes_no_status_and_leaves_a_former_one() {
    let site = site();
    site.define("public", &macvlan(&[PUBLIC]));
    let mut broken = macvlan(&["192.168.21.0/24"]);
    // A gateway that no subnet has: the kernel refuses the route, with link and address made.
    broken["ipam"]["routes"] = json!([{"dst": "203.0.113.0/24", "gw": "192.0.2.1"}]);
    site.define("broken", &broken);
    let network = format!("{}/broken", site.namespace);

    let fresh = site.pod("fresh", Some("public,broken"));
    let refusal = site.run("ADD", &site.chained(), &fresh).error();
    assert!(refusal.1.contains(&network), "{refusal:?}");
    site.assert_clean();
    assert_eq!(site.status(&fresh), None);

    let pod = site.pod("osd", Some("public"));
    site.add(&site.chained(), &pod);
    site.del(&site.chained(), &pod);
    let former = site.cluster.pod(&pod.namespace, &pod.name);
    assert!(former["metadata"]["annotations"][STATUS_ANNOTATION].is_string());
    let pod = Pod { annotations: Some(json!({NETWORKS_ANNOTATION: "public,broken"})), ..pod };
    let refusal = site.run("ADD", &site.chained(), &pod).error();
    assert!(refusal.1.contains(&network), "{refusal:?}");
    assert_eq!(site.cluster.pod(&pod.namespace, &pod.name), former, "not even written again");
    let patches = site.requests().iter().filter(|line| line.starts_with("patch ")).count();
    assert_eq!(patches, 1, "the one of the ADD that succeeded");
    site.assert_clean();
}
