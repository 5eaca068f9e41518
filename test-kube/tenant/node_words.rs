//! Networks that the node's administrator names: isolation is about pods.

use serde_json::json;

use super::{DEFAULT_NETWORK, FORBIDDEN, NETWORKS, Tenant, selecting};

#[test]
fn what_the_node_names_for_every_pod_is_no_pods_choice() {
    let tenant = Tenant::start();
    let other = format!("{}/net", tenant.other);
    let mut chained = tenant.chained();
    chained["defaultNetworks"] = json!([other]);
    let names = tenant.attached(&chained, &selecting("own"));
    assert_eq!(names[1..], [json!(other), json!(format!("{}/own", tenant.own()))]);

    let mut delegating = tenant.delegating();
    delegating.as_object_mut().unwrap().remove("delegates");
    for reference in ["net", other.as_str()] {
        delegating["clusterNetwork"] = json!(reference);
        let names = tenant.attached(&delegating, &selecting("own"));
        // The default network is called by its configuration's name.
        assert_eq!(names, [json!("net"), json!(format!("{}/own", tenant.own()))]);
    }
    // That the node uses a network does not make it one that pods may choose.
    for config in [&chained, &delegating] {
        let words = [NETWORKS, &tenant.other, "namespaceIsolation"];
        tenant.refused(&other, config, &selecting(&other), FORBIDDEN, &words);
    }
    let annotations = json!({DEFAULT_NETWORK: "net"});
    tenant.refused("again", &delegating, &annotations, FORBIDDEN, &[DEFAULT_NETWORK, &tenant.other]);
}

#[test]
fn a_tenant_is_in_no_system_namespace_because_it_says_so() {
    let tenant = Tenant::start();
    let mut config = tenant.chained();
    config["defaultNetworks"] = json!([format!("{}/shared", tenant.global)]);
    config["systemNamespaces"] = json!(["kube-system", tenant.own().to_uppercase(), format!("{}x", tenant.own())]);
    assert_eq!(tenant.attached(&config, &selecting("own")).len(), 3);
    // Nor is a namespace for everybody whose name merely resembles one that is.
    let global = format!("{}x, x{},{}", tenant.other, tenant.other, tenant.other.to_uppercase());
    config["globalNamespaces"] = json!(global);
    let selection = format!("{}/net", tenant.other);
    tenant.refused("resembles", &config, &selecting(&selection), FORBIDDEN, &[&tenant.other]);
}
