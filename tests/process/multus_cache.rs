//! DEL without a journal: pods that Multus attached before the node moved to rooknet, and pods of which nobody knows.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Pod, assert_error, merge};
use crate::support::PluginCall;

/// Where Multus keeps its cache unless `cniDir` says otherwise.
const CACHE: &str = "/var/lib/cni/multus";

/// One network as Multus has attached it: its name there, the interface, the configuration.
type Attached = (&'static str, &'static str, Value);

/// The default network and two others, by the stub plugin: two share a configuration's name, one has an interface name
/// of its own.
fn networks(fixture: &Fixture) -> [Attached; 3] {
    let mut primary = fixture.stub_config("pods", &json!({}));
    primary["type"] = json!("primary");
    let list = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [primary]});
    let mut public = fixture.stub_config("storage", &json!({}));
    public["capabilities"] = json!({"ips": true});
    [
        ("pods", "eth0", list),
        ("rook-ceph/public", "net1", public),
        ("rook-ceph/cluster", "clu0", fixture.stub_config("storage", &json!({}))),
    ]
}

/// What Multus leaves of an ADD: links and addresses of the plugins, its scratch file, and libcni's results.
fn attach_as_multus(fixture: &Fixture, pod: &Pod<'_>, networks: &[Attached], cache: &str) {
    let mut scratch = Vec::new();
    for (index, (reference, ifname, config)) in networks.iter().enumerate() {
        let mut plugin = config["plugins"].get(0).unwrap_or(config).clone();
        plugin["stub"]["record"] = json!("/dev/null");
        let program = format!("/opt/cni/bin/{}", plugin["type"].as_str().unwrap());
        let call = PluginCall::new(program.as_ref(), "ADD", &plugin.to_string()).container(&pod.id, &pod.netns, ifname);
        let added = call.run(&fixture.node);
        added.expect_success("ADD by the plugin");

        let name = config["name"].as_str().unwrap();
        let bytes = base64(&config.to_string());
        // The keys that are not read are there as well: what Go's types know of the configuration.
        let known = |plugin: &Value| {
            let mut known = json!({"type": plugin["type"], "ipam": {}});
            if let Some(capabilities) = plugin.get("capabilities") {
                known["capabilities"] = capabilities.clone();
            }
            known
        };
        let (mut conf, mut list) = (json!({"cniVersion": config["cniVersion"], "name": name, "ipam": {}}), json!({}));
        match config["plugins"].as_array() {
            Some(plugins) => {
                list = json!({"cniVersion": config["cniVersion"], "name": name});
                list["plugins"] = plugins.iter().map(known).collect();
            }
            None => merge(&mut conf, &known(config)),
        }
        let mut delegate = json!({
            "Conf": conf, "ConfList": list, "Name": reference, "IsFilterV4Gateway": false, "IsFilterV6Gateway": false,
            "Bytes": bytes,
        });
        if index > 0 && !ifname.starts_with("net") {
            delegate["ifnameRequest"] = json!(ifname);
        }
        if index == 1 {
            delegate["ipRequest"] = json!(["192.0.2.7/24"]);
        }
        scratch.push(delegate);
        let mut result = json!({
            "kind": "cniCacheV1", "containerId": pod.id, "config": bytes, "ifName": ifname, "networkName": name,
            "netns": pod.netns.path(), "cniArgs": [["IgnoreUnknown", "true"], ["K8S_POD_NAME", "osd"]],
            "result": added.json(),
        });
        if index == 1 {
            result["capabilityArgs"] = json!({"ips": ["192.0.2.7/24"]});
        }
        fixture.node.write(&format!("{cache}/results/{name}-{}-{ifname}", pod.id), result.to_string());
    }
    fixture.node.write(&format!("{cache}/{}", pod.id), json!(scratch).to_string());
}

/// Base64 as Go writes bytes.
fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bytes = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let bits = bytes.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
        for place in 0..4 {
            let letter = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap();
            encoded.push(if place <= chunk.len() { char::from(LETTERS[letter]) } else { '=' });
        }
    }
    encoded
}

/// What is left of the container in the cache.
fn cached(fixture: &Fixture, pod: &Pod<'_>, cache: &str) -> Vec<String> {
    let files = fixture.node.entries(cache).into_iter().chain(fixture.node.entries(&format!("{cache}/results")));
    files.filter(|name| name.contains(&pod.id)).collect()
}

/// The delegating configuration with the default network that Multus had.
fn delegating(fixture: &Fixture) -> Value {
    let mut config = fixture.delegating(&json!({}));
    config["delegates"] = json!([networks(fixture)[0].2]);
    config
}

#[test]
fn delegating_mode_deletes_everything_newest_first_and_removes_the_cache() {
    let fixture = Fixture::start();
    let (pod, other) = (fixture.pod("osd", None), fixture.pod("osd", None));
    attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
    attach_as_multus(&fixture, &other, &networks(&fixture), CACHE);
    let config = delegating(&fixture);
    fixture.del(&config, &pod);
    assert_eq!(fixture.recorded_calls(), ["DEL clu0", "DEL net1", "DEL eth0"]);
    let record = &fixture.records_of("DEL", "net1")[0];
    assert_eq!(record["env"]["CNI_ARGS"], "IgnoreUnknown=true;K8S_POD_NAME=osd", "those of the ADD");
    assert_eq!(record["env"]["CNI_NETNS"], pod.netns.path());
    assert_eq!(record["stdin"]["runtimeConfig"], json!({"ips": ["192.0.2.7/24"]}));
    assert_eq!(record["stdin"]["prevResult"]["interfaces"][0]["name"], "net1");
    assert_eq!(fixture.given("DEL", "eth0")["cniVersion"], "1.0.0");
    assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
    assert_eq!(cached(&fixture, &other, CACHE).len(), 4, "another container's");
    fixture.del(&config, &other);
    fixture.assert_clean();
}

#[test]
fn chained_mode_leaves_the_default_network_to_the_runtime() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
    let config = fixture.chained();
    fixture.run("DEL", &config, &pod).expect_success("DEL");
    assert_eq!(fixture.recorded_calls(), ["DEL clu0", "DEL net1"]);
    assert_eq!(pod.netns.interfaces(), ["eth0"], "the runtime's own");
    assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
    fixture.run("DEL", &config, &pod).expect_success("DEL again");
    assert_eq!(fixture.recorded_calls().len(), 2, "nothing is left to call");
}

/// Multus's own DEL fails before it reads its cache when its kubeconfig cannot be loaded.
#[test]
fn neither_an_api_server_nor_its_credentials_are_needed() {
    let fixture = Fixture::start();
    // Nobody listens there.
    fixture.node.write(
        "/etc/cni/dead.kubeconfig",
        r#"{"kind": "Config", "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}]}"#,
    );
    for kubeconfig in ["/etc/cni/net.d/multus.d/multus.kubeconfig", "/etc/cni/dead.kubeconfig"] {
        let mut by_name = delegating(&fixture);
        by_name.as_object_mut().unwrap().remove("delegates");
        by_name["clusterNetwork"] = json!("only-in-the-cluster");
        for (mut config, calls) in [
            (fixture.chained(), &["DEL clu0", "DEL net1"][..]),
            (delegating(&fixture), &["DEL clu0", "DEL net1", "DEL eth0"]),
            (by_name, &["DEL clu0", "DEL net1", "DEL eth0"]),
        ] {
            config["kubeconfig"] = json!(kubeconfig);
            let pod = fixture.pod("osd", Some("public, cluster"));
            attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
            fixture.forget_records();
            fixture.run("DEL", &config, &pod).expect_success("DEL");
            assert_eq!(fixture.recorded_calls(), calls, "{config}");
            assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
        }
    }
}

/// CRI-O detaches a pod by the configuration of its ADD, in which the program is Multus's (docs/multus.md).
#[test]
fn multus_configurations_are_enough_for_rooknet_under_multus_name() {
    for (name, of_plugin) in [
        ("multus", json!({"delegates": [], "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig"})),
        (
            "multus-shim",
            json!({"clusterNetwork": "/host/etc/cni/net.d/10-pods.conflist", "socketDir": "/host/run/multus/"}),
        ),
    ] {
        let fixture = Fixture::start();
        let pod = fixture.pod("osd", None);
        attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
        let mut config = json!({
            "cniVersion": "0.3.1", "name": "multus-cni-network", "type": name, "capabilities": {"portMappings": true},
        });
        merge(&mut config, &of_plugin);
        if config.get("delegates").is_some() {
            config["delegates"] = json!([networks(&fixture)[0].2]);
        }
        fixture.node.install(name, &fixture.program());
        let program = format!("/opt/cni/bin/{name}");
        let call = PluginCall::new(program.as_ref(), "DEL", &config.to_string()).container(&pod.id, &pod.netns, "eth0");
        call.run(&fixture.node).expect_success("DEL");
        assert_eq!(fixture.recorded_calls(), ["DEL clu0", "DEL net1", "DEL eth0"], "{name}");
        assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
        fixture.assert_clean();
    }
}

#[test]
fn a_failure_keeps_the_cache_until_everything_is_deleted() {
    for (is_delegating, all) in [(true, &["DEL clu0", "DEL net1", "DEL eth0"][..]), (false, &["DEL clu0", "DEL net1"])]
    {
        let fixture = Fixture::start();
        let pod = fixture.pod("osd", None);
        attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
        let config = if is_delegating { delegating(&fixture) } else { fixture.chained() };
        fixture.overrule("stub", Some(&json!({"failOn": ["DEL"], "error": {"code": 142, "msg": "no way"}})));
        let parts = ["Multus", "rook-ceph/public", "rook-ceph/cluster", "no way"];
        assert_error(&fixture.run("DEL", &config, &pod), 142, &parts);
        assert_eq!(fixture.recorded_calls(), all, "past the failures");
        assert_eq!(cached(&fixture, &pod, CACHE).len(), 4);
        fixture.overrule("stub", None);
        fixture.forget_records();
        fixture.run("DEL", &config, &pod).expect_success("DEL again");
        assert_eq!(fixture.recorded_calls(), all);
        assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
        assert_eq!(fixture.taken().len(), usize::from(!is_delegating));
    }
}

#[test]
fn a_plugin_that_is_no_longer_installed_keeps_the_cache() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
    std::fs::remove_file(fixture.node.path("/opt/cni/bin").join("stub")).unwrap();
    let outcome = fixture.run("DEL", &fixture.chained(), &pod);
    assert_error(&outcome, 100, &["rook-ceph/public", "not installed"]);
    assert_eq!(cached(&fixture, &pod, CACHE).len(), 4);
    let (_, message) = outcome.error();
    assert!(
        !message.contains("not found") && !message.contains("no such file"),
        "a runtime takes it for success: {message}"
    );
}

#[test]
fn results_that_a_failed_del_of_multus_left_are_deleted_too() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
    std::fs::remove_file(fixture.node.path(&format!("{CACHE}/{}", pod.id))).unwrap();
    fixture.del(&delegating(&fixture), &pod);
    let calls = fixture.recorded_calls();
    assert_eq!((calls.len(), calls.last().map(String::as_str)), (3, Some("DEL eth0")), "{calls:?}");
    assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn a_scratch_file_without_results_is_enough() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
    std::fs::remove_dir_all(fixture.node.path(&format!("{CACHE}/results"))).unwrap();
    fixture.del(&delegating(&fixture), &pod);
    assert_eq!(fixture.recorded_calls(), ["DEL clu0", "DEL net1", "DEL eth0"]);
    let given = fixture.given("DEL", "net1");
    assert_eq!((given.get("prevResult"), &given["runtimeConfig"]), (None, &json!({"ips": ["192.0.2.7/24"]})));
    fixture.assert_clean();
}

/// It hides attachments: in Multus such a DEL succeeds without calling any plugin, and their addresses are lost.
#[test]
fn a_corrupt_scratch_file_fails_the_del_naming_it_and_touches_nothing() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
    let file = format!("{CACHE}/{}", pod.id);
    let whole = String::from_utf8(fixture.node.read(&file).unwrap()).unwrap();
    for config in [delegating(&fixture), fixture.chained()] {
        for text in ["", "{}", "[]", "null", &whole[..whole.len() / 2], "[{\"Bytes\": \"!\"}]"] {
            fixture.node.write(&file, text);
            assert_error(&fixture.run("DEL", &config, &pod), 6, &[&file, "corrupt"]);
        }
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    assert_eq!(cached(&fixture, &pod, CACHE).len(), 4);
    // Whoever has looked at it removes it: libcni's results still tell what there is.
    std::fs::remove_file(fixture.node.path(&file)).unwrap();
    fixture.del(&delegating(&fixture), &pod);
    fixture.assert_clean();
}

#[test]
fn a_namespace_that_is_gone_is_no_obstacle() {
    for path in ["", "/run/netns/gone"] {
        let fixture = Fixture::start();
        let pod = fixture.pod("osd", None);
        attach_as_multus(&fixture, &pod, &networks(&fixture), CACHE);
        let call = fixture.call("DEL", &delegating(&fixture), &pod).env("CNI_NETNS", path);
        pod.netns.clone().delete();
        call.run(&fixture.node).expect_success("DEL");
        assert_eq!(fixture.records_of("DEL", "net1")[0]["env"]["CNI_NETNS"], "");
        assert_eq!(cached(&fixture, &pod, CACHE), Vec::<String>::new());
        fixture.assert_clean();
    }
}

#[test]
fn the_cache_lies_in_cni_dir() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    attach_as_multus(&fixture, &pod, &networks(&fixture), "/run/elsewhere");
    let mut config = delegating(&fixture);
    config["cniDir"] = json!("/run/elsewhere");
    fixture.del(&config, &pod);
    assert_eq!(fixture.recorded_calls(), ["DEL clu0", "DEL net1", "DEL eth0"]);
    assert_eq!(cached(&fixture, &pod, "/run/elsewhere"), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn a_journal_of_our_own_comes_before_the_cache() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public@own0"));
    let config = fixture.chained();
    fixture.add(&config, &pod);
    fixture.node.write(&format!("{CACHE}/{}", pod.id), "corrupt");
    fixture.del(&config, &pod);
    assert_eq!(fixture.recorded_calls(), ["ADD own0", "DEL own0"]);
    fixture.assert_clean();
}

#[test]
fn without_journal_and_cache_delegating_mode_deletes_the_default_network_with_the_runtimes_result() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", None);
    let mut config = fixture.delegating(&json!({}));
    let result = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/pod"}]});
    for previous in [result.clone(), Value::Null, json!("damaged"), json!({"ips": 7})] {
        config["prevResult"] = previous.clone();
        fixture.forget_records();
        fixture.del(&config, &pod);
        assert_eq!(fixture.recorded_calls(), ["DEL eth0"]);
        let given = fixture.given("DEL", "eth0");
        assert_eq!(given.get("prevResult"), (previous == result).then_some(&result), "with {previous}");
    }
    fixture.assert_clean();
}

#[test]
fn without_journal_and_cache_chained_mode_succeeds_and_calls_nothing() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    for _ in 0..2 {
        fixture.del(&fixture.chained(), &pod);
    }
    assert_eq!(fixture.recorded_calls(), Vec::<String>::new());
    fixture.assert_clean();
}
