//! Whose a namespace or a link is: by what nobody can change, whatever a runtime passes and a pod renames.

use serde_json::{Value, json};

use crate::faults::journal_file;
use crate::fixture::{Fixture, NETWORKS, Pod};
use crate::support::PluginCall;

/// A node with the stub's networks `public` and `cluster`, and a pod attached to both.
fn attached(fixture: &Fixture) -> (Value, Pod<'_>) {
    for name in ["public", "cluster"] {
        fixture.define_stub(name, &json!({}));
    }
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public, cluster")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    fixture.forget_records();
    (config, pod)
}

/// CNI_NETNS of all calls of the stub.
fn namespaces(fixture: &Fixture) -> Vec<String> {
    fixture.records().iter().map(|record| record["env"]["CNI_NETNS"].as_str().unwrap().to_owned()).collect()
}

/// What a runtime may pass as CNI_NETNS of a DEL instead of the path of the ADD; `None`: nothing at all.
fn other_paths(fixture: &Fixture) -> [Option<String>; 6] {
    fixture.node.write("/run/file", "not a namespace");
    [
        None,
        Some(String::new()),
        Some("/run/netns/never-was".to_owned()),
        Some("/run/file".to_owned()),
        Some("/run".to_owned()),
        Some(fixture.node.host().path()),
    ]
}

fn with_netns(call: PluginCall, path: Option<&String>) -> PluginCall {
    path.map_or_else(|| call.clone().without("CNI_NETNS"), |path| call.clone().env("CNI_NETNS", path))
}

#[test]
fn a_del_with_any_other_netns_finds_the_namespace_of_its_journal() {
    let fixture = Fixture::start();
    for path in other_paths(&fixture) {
        let (config, pod) = attached(&fixture);
        let del = with_netns(fixture.call("DEL", &config, &pod), path.as_ref());
        del.run(&fixture.node).expect_success(&format!("DEL with CNI_NETNS {path:?}"));
        assert_eq!(namespaces(&fixture), [pod.netns.path(), pod.netns.path()], "{path:?}");
        fixture.assert_clean();
        del.run(&fixture.node).expect_success(&format!("DEL again with CNI_NETNS {path:?}"));
    }
    assert_eq!(fixture.node.read("/run/file").as_deref(), Some(&b"not a namespace"[..]));
}

#[test]
fn a_del_with_any_netns_whose_namespace_is_gone_tells_the_plugins_so() {
    let fixture = Fixture::start();
    let mut paths = other_paths(&fixture).to_vec();
    paths.push(Some("the pod's".to_owned()));
    for mut path in paths {
        let (config, pod) = attached(&fixture);
        if path.as_deref() == Some("the pod's") {
            path = Some(pod.netns.path());
        }
        pod.netns.clone().delete();
        let del = with_netns(fixture.call("DEL", &config, &pod), path.as_ref());
        del.run(&fixture.node).expect_success(&format!("DEL with CNI_NETNS {path:?}"));
        assert_eq!(
            namespaces(&fixture),
            ["", ""],
            "{path:?}: some plugins create a file under a path that leads nowhere"
        );
        fixture.assert_clean();
        assert!(fixture.node.read(&pod.netns.path()).is_none(), "{path:?}");
    }
}

#[test]
fn without_a_journal_a_default_network_is_never_deleted_in_the_nodes_own_namespace() {
    let fixture = Fixture::start();
    let (config, pod) = (fixture.delegating(&json!({})), fixture.pod("osd", None));
    fixture.node.ok(&["ip", "link", "add", "eth0", "type", "bridge"]);
    for path in other_paths(&fixture) {
        let del = with_netns(fixture.call("DEL", &config, &pod), path.as_ref());
        del.run(&fixture.node).expect_success(&format!("DEL with CNI_NETNS {path:?}"));
    }
    assert_eq!(namespaces(&fixture), [""; 6]);
    assert!(fixture.node.host().interfaces().contains(&"eth0".to_owned()));
}

#[test]
fn an_add_or_check_in_the_nodes_own_namespace_is_refused_before_anything() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    for operation in ["ADD", "CHECK"] {
        for path in [fixture.node.host().path(), "/proc/self/ns/net".to_owned(), "/proc/thread-self/ns/net".to_owned()]
        {
            let call = fixture.call(operation, &config, &pod).env("CNI_NETNS", &path);
            let (code, message) = call.run(&fixture.node).error();
            assert!(code == 4 && message.contains("CNI_NETNS"), "{operation} {path}: {code} {message}");
        }
    }
    assert_eq!(fixture.records().len(), 0);
    fixture.assert_clean();
}

#[test]
fn a_reused_netns_path_is_another_pods_and_its_interface_of_the_same_name_stays() {
    for operation in ["DEL", "GC", "GC without a list"] {
        let fixture = Fixture::start();
        let (config, pod) = attached(&fixture);
        pod.netns.clone().delete();
        let reused = fixture.node.add_netns(&pod.id);
        reused.ok(&["ip", "link", "add", "net1", "type", "bridge"]);
        match operation {
            "DEL" => fixture.run("DEL", &config, &pod),
            "GC" => fixture.collect(&config, Some(&[])),
            _ => fixture.collect(&config, None),
        }
        .expect_success(operation);
        let deletions = fixture.records().into_iter().filter(|record| record["command"] == "DEL");
        let paths: Vec<Value> = deletions.map(|record| record["env"]["CNI_NETNS"].clone()).collect();
        assert_eq!(paths, ["", ""], "{operation}");
        assert_eq!(reused.interfaces(), ["net1"], "{operation}");
        assert_eq!((fixture.taken(), fixture.node.journals()), (Vec::new(), Vec::new()), "{operation}");
    }
}

#[test]
fn after_a_reboot_a_journal_says_nothing_about_the_namespaces_of_now() {
    let fixture = Fixture::start();
    let (config, pod) = attached(&fixture);
    let mut journal = fixture.journal_of(&pod).unwrap();
    journal["bootId"] = json!("00000000-0000-4000-8000-000000000000");
    fixture.node.write(&journal_file(&pod), journal.to_string());
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(namespaces(&fixture), ["", ""]);
    assert_eq!(pod.netns.interfaces(), ["net1", "net2"], "links of another pod, for all that is known");
    assert_eq!((fixture.taken(), fixture.node.journals()), (Vec::new(), Vec::new()));
}

#[test]
fn a_del_uses_what_the_add_used_whatever_the_configuration_has_become() {
    let fixture = Fixture::start();
    for name in ["public", "cluster"] {
        fixture.define_stub(name, &json!({"address": "10.1.0.2/24"}));
    }
    let pod = fixture.pod("osd", Some("public, cluster"));
    let config = fixture.delegating(&json!({}));
    let mut renamed = fixture.delegating(&json!({}));
    renamed["delegates"][0]["type"] = json!("never-was");
    renamed["name"] = json!("other-name");
    let mut broken = fixture.chained();
    broken["networksDir"] = json!("relative");
    broken["deadline"] = json!([]);
    broken["logLevel"] = json!("loud");
    for (what, later) in [("another default network", renamed), ("chained, and wrong", broken)] {
        fixture.run("ADD", &config, &pod).expect_success("ADD");
        let given = |command: &str| {
            let records = fixture.records().into_iter().filter(|record| record["command"] == command);
            records.map(|record| (record["env"]["CNI_IFNAME"].clone(), stripped(&record["stdin"]))).collect::<Vec<_>>()
        };
        let mut added = given("ADD");
        fixture.define_stub("public", &json!({"failOn": ["DEL"]}));
        fixture.node.ok(&["rm", &format!("{NETWORKS}/rook-ceph/cluster.json")]);
        fixture.run("DEL", &later, &pod).expect_success(what);
        added.reverse();
        assert_eq!(given("DEL"), added, "{what}");
        fixture.assert_clean();
        fixture.forget_records();
        for name in ["public", "cluster"] {
            fixture.define_stub(name, &json!({"address": "10.1.0.2/24"}));
        }
    }
}

/// What a plugin was given, without the results of others.
fn stripped(input: &Value) -> Value {
    let mut input = input.clone();
    input.as_object_mut().unwrap().remove("prevResult");
    input
}

#[test]
fn a_link_that_the_pod_renamed_or_took_out_of_its_group_goes_with_its_del() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    fixture.define_macvlan("cluster", "10.2.0.0/24");
    let config = fixture.chained();
    for change in ["set net1 name mine", "set net1 group 0", "set net1 name mine group 7 address 02:00:00:00:00:77"] {
        let pod = fixture.pod("osd", Some("public, cluster"));
        fixture.run("ADD", &config, &pod).expect_success("ADD");
        pod.netns.ok(&["sh", "-c", &format!("ip link set net1 down && ip link {change}")]);
        fixture.run("DEL", &config, &pod).expect_success("DEL");
        assert_eq!(pod.netns.interfaces(), Vec::<String>::new(), "{change}");
        fixture.assert_clean();
    }
}

#[test]
fn links_that_the_pod_made_itself_stay() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    let (config, pod) = (fixture.chained(), fixture.pod("osd", Some("public")));
    fixture.run("ADD", &config, &pod).expect_success("ADD");
    let group = pod.netns.link("net1").group;
    // A bridge in the very group, and a macvlan of the pod's own on the interface it got.
    pod.netns.ok(&["ip", "link", "add", "own0", "type", "bridge"]);
    pod.netns.ok(&["ip", "link", "set", "own0", "group", &group]);
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(pod.netns.interfaces(), ["own0"]);
}

#[test]
fn each_journal_has_a_group_of_its_own() {
    let fixture = Fixture::start();
    fixture.define_macvlan("public", "10.1.0.0/24");
    fixture.define_macvlan("cluster", "10.2.0.0/24");
    let config = fixture.chained();
    let first = fixture.pod("osd", Some("public@a0, cluster@a1"));
    let mut second = fixture.pod("mon", Some("public@b0"));
    second.netns = first.netns.clone();
    for pod in [&first, &second] {
        fixture.run("ADD", &config, pod).expect_success("ADD");
    }
    let group = |name: &str| first.netns.link(name).group;
    assert_eq!(group("a0"), group("a1"));
    assert!(group("a0") != group("b0") && group("b0") != "default" && group("a0") != "default");
    for pod in [&first, &second] {
        fixture.run("DEL", &config, pod).expect_success("DEL");
    }
    fixture.assert_clean();
}
