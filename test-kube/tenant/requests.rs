//! Addresses, hardware addresses, devices and interface names that are not the pod's to choose.

use serde_json::json;

use crate::kubelet::Kubelet;

use super::{DEFAULT_NETWORK, FORBIDDEN, NETWORKS, Tenant, element, selecting, stub};

#[test]
fn addresses_are_chosen_by_pods_only_where_the_network_lets_them() {
    let tenant = Tenant::start();
    let network = format!("{}/own", tenant.own());
    let rows = [
        (json!({"ips": ["192.0.2.7/24"]}), 7, "capability"),
        (json!({"mac": "02:00:00:00:00:07"}), 7, "capability"),
        (json!({"MAC": "02-00-00-00-00-07"}), 7, "capability"),
        (json!({"infiniband-guid": "24:8a:07:03:00:8d:ae:2f"}), 7, "capability"),
        (json!({"portMappings": [{"hostPort": 22, "containerPort": 22}]}), 7, "capability"),
        (json!({"bandwidth": {"ingressRate": 1}}), 7, "capability"),
        (json!({"cni-args": {"ips": ["192.0.2.7"]}}), FORBIDDEN, "through cni-args"),
        (json!({"cni-args": {"mac": "02:00:00:00:00:07"}}), FORBIDDEN, "through cni-args"),
        (json!({"cni-args": {"IPs": "192.0.2.7"}}), FORBIDDEN, "through cni-args"),
        (json!({"cni-args": {"ip\u{17f}": ["192.0.2.7"]}}), FORBIDDEN, "through cni-args"),
        (json!({"CNI-Args": {"Mac": null, "mAC": "02:00:00:00:00:07"}}), FORBIDDEN, "through cni-args"),
    ];
    for (keys, code, word) in rows {
        let mut selection = keys.clone();
        selection["name"] = json!("own");
        selection["namespace"] = json!(tenant.own());
        let annotation = element(&selection);
        let words = [network.as_str(), word];
        tenant.refused_after(&annotation, &tenant.chained(), &selecting(&annotation), code, &words, &["own"]);
        let replaced = json!({DEFAULT_NETWORK: annotation});
        tenant.refused_after(&annotation, &tenant.delegating(), &replaced, code, &words, &["own"]);
    }
    let mut able = stub(&tenant.site.fixture, "able");
    able["capabilities"] = json!({"ips": true, "mac": true});
    tenant.define("able", &json!({"config": able.to_string()}));
    let annotation = element(&json!({"name": "able", "cni-args": {"ips": ["192.0.2.7"]}, "mac": "02:00:00:00:00:07"}));
    assert_eq!(tenant.attached(&tenant.chained(), &selecting(&annotation)).len(), 2);
}

#[test]
fn devices_are_the_pods_own_whatever_it_asks_for() {
    let tenant = Tenant::start();
    let resource = json!({"k8s.v1.cni.cncf.io/resourceName": "intel.com/a"});
    let config = stub(&tenant.site.fixture, "vf").to_string();
    tenant.define_annotated("vf", &resource, &json!({"config": config}));
    // The kubelet's answer has every pod of the node, one of the same name in another namespace too.
    let devices = |ids: &[&str]| json!([{"name": "main", "devices": [{"resource": "intel.com/a", "ids": ids}]}]);
    let mut pods = vec![json!({"namespace": tenant.other, "name": "pod-1", "containers": devices(&["theirs"])})];
    for number in 1..20 {
        let name = format!("pod-{number}");
        pods.push(json!({"namespace": tenant.own(), "name": name, "containers": devices(&["mine"])}));
    }
    let _kubelet = Kubelet::start(&tenant.site.fixture, &json!(pods));
    let ask = |id: &str| element(&json!({"name": "vf", "deviceID": id}));
    for id in ["theirs", "../mine", "/dev/mem", "mine/../theirs", "MINE", "mine\u{301}", "0000:3b:02.1"] {
        let is_ascii = id.is_ascii();
        let (code, words) =
            if is_ascii { (FORBIDDEN, ["deviceID", "gave it \"mine\""]) } else { (7, ["deviceID", NETWORKS]) };
        let asked: &[&str] = if is_ascii { &["vf"] } else { &[] };
        tenant.refused_after(id, &tenant.chained(), &selecting(&ask(id)), code, &words, asked);
    }
    let twice = "vf,vf";
    tenant.refused_after(twice, &tenant.chained(), &selecting(twice), 7, &["has 1 for 2"], &["vf"]);
    let of_none = element(&json!({"name": "own", "deviceID": "mine"}));
    tenant.refused_after("of none", &tenant.chained(), &selecting(&of_none), 7, &["deviceID", "/own"], &["own"]);
    tenant.attached(&tenant.chained(), &selecting(&ask("mine")));
}

#[test]
fn a_device_is_not_chosen_by_way_of_cni_args() {
    let tenant = Tenant::start();
    let annotation = element(&json!({"name": "own", "cni-args": {
        "deviceID": "0000:3b:02.1", "pciBusID": "0000:3b:02.1", "type": "stub2", "master": "mgmt0", "cni": {"ips": ["x"]},
        "runtimeConfig": {"ips": ["192.0.2.7"], "deviceID": "x"}, "ipam": {"type": "host-local"}, "prevResult": {},
    }}));
    let pod = tenant.pod(&selecting(&annotation));
    tenant.site.add(&tenant.chained(), &pod);
    let given = tenant.site.fixture.given("ADD", "net1");
    for key in ["deviceID", "pciBusID", "master", "runtimeConfig", "ipam"] {
        assert_eq!(given[key], json!(null), "{key}: {given}");
    }
    assert_eq!(given["type"], "stub");
    assert_eq!(given["args"]["cni"]["deviceID"], "0000:3b:02.1", "where the network's plugins may look or not");
    tenant.site.del(&tenant.chained(), &pod);
}

#[test]
fn interface_names_are_plain_and_not_the_default_networks() {
    let tenant = Tenant::start();
    for name in
        ["net%d", "%s", "../eth1", "a/b", "..", ".", "eth0", "a b", "n\u{e9}t", "x123456789abcdef", "a\u{0}b", "a:b"]
    {
        // The default network's is known only once all networks are.
        let asked: &[&str] = if name == "eth0" { &["own"] } else { &[] };
        for keys in [
            json!({"name": "own", "interface": name}),
            json!({"name": "own", "interfaceRequest": name}),
            json!({"name": "own", "InterFace": name}),
        ] {
            let annotation = element(&keys);
            for config in [tenant.chained(), tenant.delegating()] {
                tenant.refused_after(&annotation, &config, &selecting(&annotation), 7, &["interface"], asked);
            }
        }
        let keys = json!({"name": "own", "namespace": tenant.own(), "interface": name});
        if name != "eth0" {
            let annotations = json!({DEFAULT_NETWORK: element(&keys)});
            tenant.refused(name, &tenant.delegating(), &annotations, 7, &[DEFAULT_NETWORK, "interface"]);
        }
    }
    let twice = "own@a,own@a";
    tenant.refused_after(twice, &tenant.chained(), &selecting(twice), 7, &["\"a\""], &["own"]);
    let other = json!({DEFAULT_NETWORK: format!("{}/own@eth1", tenant.own())});
    tenant.refused("renamed", &tenant.delegating(), &other, 7, &[DEFAULT_NETWORK, "\"eth1\"", "\"eth0\""]);
}
