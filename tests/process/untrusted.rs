//! What a pod's author, and whoever writes network definitions, cannot do: the design's list, line by line.

mod paths;
mod success_phrases;

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS_ANNOTATION, Refusal, merge};

/// The annotation that replaces the default network.
const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// Our code for what policy forbids.
const FORBIDDEN: u64 = 104;

/// A selection of one element as JSON.
fn element(keys: &Value) -> String {
    json!([keys]).to_string()
}

#[test]
fn interface_names_are_printable_ascii_that_the_kernel_takes_as_they_are() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let names =
        ["net%d", "%", "n\u{e9}t", "net\u{ff11}", "net\u{200b}1", "a b", "a\tb", "a\u{1b}[2J", "a\u{7f}", "a/b", ".."];
    for name in names {
        for selection in [
            element(&json!({"name": "public", "interface": name})),
            element(&json!({"name": "public", "interfaceRequest": name})),
            element(&json!({"name": "public", "INTERFACE": name})),
            format!("public@{name}"),
        ] {
            // In the comma form these begin the JSON form, or another element.
            if selection.starts_with("public") && name.contains(['[', ',']) {
                continue;
            }
            let pod = fixture.pod("osd", Some(&selection));
            fixture.refused_add(&selection, &fixture.chained(), &pod, 7, &["annotation", "interface"]);
            pod.netns.clone().delete();
        }
    }
}

#[test]
fn control_characters_and_invalid_utf8_are_escaped_in_errors_and_log() {
    let fixture = Fixture::start();
    let evil = "\u{1b}[2J\u{7}\u{202e}\r\n\u{9b}x\u{feff}";
    let nad = |keys: Value| {
        let mut config = json!({"cniVersion": "1.1.0", "name": "public", "type": "stub"});
        merge(&mut config, &keys);
        fixture.define("rook-ceph", "public", &config);
    };
    let printable = |what: &str, bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("{what}: not UTF-8"));
        let bad = |letter: char| (letter.is_control() && letter != '\n') || ['\u{202e}', '\u{feff}'].contains(&letter);
        assert!(!text.contains(bad), "{what}: {text:?}");
        assert!(text.lines().all(|line| line.starts_with('{') || line.starts_with("20")), "{what}: {text:?}");
    };
    let run = |what: &str, selection: &str, pod_name: &str| {
        let pod = fixture.pod("osd", Some(selection));
        let mut config = fixture.chained();
        config["logLevel"] = json!("trace");
        let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph;K8S_POD_NAME={pod_name}");
        let outcome = fixture.call("ADD", &config, &pod).env("CNI_ARGS", arguments).run(&fixture.node);
        let refusal = Refusal::of(what, &outcome);
        let code = refusal.code;
        refusal.expect(what, code, &[]);
        printable(what, &outcome.stdout);
        printable(what, &outcome.stderr);
        pod.netns.clone().delete();
    };
    nad(json!({"type": evil}));
    run("type", "public", "osd");
    nad(json!({"name": evil}));
    run("name", "public", "osd");
    nad(json!({"cniVersion": evil}));
    run("version", "public", "osd");
    nad(json!({"capabilities": {(evil): evil}}));
    run("capability", "public", "osd");
    nad(json!({"type": "macvlan", "master": evil}));
    run("master", "public", "osd");
    nad(json!({"ipam": {"type": evil}}));
    run("ipam", "public", "osd");
    run("selection", &format!("public{evil}"), "osd");
    run("key", &element(&json!({"name": "public", (evil): evil, "mac": evil})), "osd");
    run("pod", "nowhere", evil);
    nad(json!({"stub": {"error": {"code": 7, "msg": evil, "details": evil}, "stderr": evil, "failOn": ["ADD"]}}));
    run("delegate", "public", evil);
    nad(json!({"stub": {"result": {"cniVersion": evil, (evil): evil}}}));
    run("result", "public", evil);
    nad(json!({"type": "scripted"}));
    fixture.install_script("scripted", r"printf '\377\033[2J\n\302'; printf '\377\033[2J\n\302' >&2; exit 1");
    run("bytes", "public", "osd");
}

#[test]
fn a_device_is_never_granted_on_the_pods_word() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let device = element(&json!({"name": "public", "deviceID": "0000:3b:02.1"}));
    for isolation in [false, true] {
        let mut config = fixture.chained();
        config["namespaceIsolation"] = json!(isolation);
        let words = ["rook-ceph/public", "deviceID \"0000:3b:02.1\"", "no annotation", "leave the key out"];
        fixture.refused_add("a device", &config, &fixture.pod("osd", Some(&device)), 7, &words);
        let spelled = device.replace("deviceID", "DeviceId");
        fixture.refused_add("spelled", &config, &fixture.pod("osd", Some(&spelled)), 7, &words);
        let mut config = fixture.delegating(&json!({}));
        merge(&mut config, &json!({"namespaceIsolation": isolation, "multusNamespace": "rook-ceph"}));
        let pod = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: device}));
        fixture.refused_add("of the default network", &config, &pod, 7, &words);
    }
}

#[test]
fn addresses_through_cni_args_need_the_capability_under_isolation() {
    let fixture = Fixture::start();
    fixture.define_stub("plain", &json!({}));
    let mut able = fixture.stub_config("able", &json!({}));
    able["capabilities"] = json!({"ips": true, "mac": true});
    fixture.define("rook-ceph", "able", &able);
    let mut isolated = fixture.chained();
    isolated["namespaceIsolation"] = json!(true);
    for (key, value) in
        [("ips", json!(["10.1.0.7"])), ("mac", json!("02:00:00:00:00:07")), ("IPs", json!("x")), ("Mac", json!(1))]
    {
        let selection = |network: &str| element(&json!({"name": network, "cni-args": {(key): value}}));
        let pod = fixture.pod("osd", Some(&selection("plain")));
        let words = ["rook-ceph/plain", "through cni-args", "namespaceIsolation", &key.to_lowercase()];
        fixture.refused_add(key, &isolated, &pod, FORBIDDEN, &words);
        for (config, network) in [(&fixture.chained(), "plain"), (&isolated, "able")] {
            let pod = fixture.pod("osd", Some(&selection(network)));
            fixture.run("ADD", config, &pod).expect_success(key);
            assert_eq!(fixture.records()[0]["stdin"]["args"]["cni"][key], value);
            fixture.run("DEL", config, &pod).expect_success(key);
            fixture.forget_records();
        }
    }
    // Other keys are the network's own business.
    let pod = fixture.pod("osd", Some(&element(&json!({"name": "plain", "cni-args": {"mtu": 9000}}))));
    fixture.run("ADD", &isolated, &pod).expect_success("mtu");
    fixture.run("DEL", &isolated, &pod).expect_success("mtu");
    fixture.assert_clean();
}

#[test]
fn a_type_is_a_bare_name_and_no_meta_plugin_wherever_it_stands() {
    let fixture = Fixture::start();
    let pod = fixture.pod("osd", Some("public"));
    let places = |plugin_type: &str| {
        [
            json!({"type": plugin_type}),
            json!({"TYPE": "stub", "type": plugin_type}),
            json!({"plugins": [{"type": "stub"}, {"type": plugin_type}]}),
            json!({"type": "stub", "ipam": {"type": plugin_type}}),
            json!({"type": "stub", "IPAM": {"Type": plugin_type}}),
            json!({"type": "stub", "delegate": {"type": plugin_type}}),
            json!({"type": "stub", "delegates": [{"type": "stub"}, {"Type": plugin_type}]}),
            json!({"type": "stub", "delegate": {"type": "stub", "delegate": {"type": "stub", "ipam": {"type": plugin_type}}}}),
        ]
    };
    for plugin_type in
        ["rooknet", "multus", "multus-shim", "/opt/cni/bin/stub", "../bin/stub", "./stub", "..", "stub\0"]
    {
        for mut config in places(plugin_type) {
            merge(&mut config, &json!({"cniVersion": "1.1.0", "name": "public"}));
            fixture.define("rook-ceph", "public", &config);
            fixture.refused_add(
                &config.to_string(),
                &fixture.chained(),
                &pod,
                7,
                &["rook-ceph/public", "not a plugin type"],
            );
        }
    }
}

/// A definition `rook-ceph/public` with these keys and a type that is allowed.
fn define_with(fixture: &Fixture, keys: &Value) {
    let mut config = fixture.stub_config("public", &json!({}));
    merge(&mut config, keys);
    fixture.define("rook-ceph", "public", &config);
}

#[test]
fn allowed_plugins_covers_every_program_that_a_definition_names() {
    let fixture = Fixture::start();
    let mut config = fixture.chained();
    config["allowedPlugins"] = json!(["stub", "static"]);
    let pod = fixture.pod("osd", Some("public"));
    for (keys, plugin) in [
        (json!({"type": "stub2"}), "stub2"),
        (json!({"type": "Stub"}), "Stub"),
        (json!({"type": null, "plugins": [{"type": "stub"}, {"type": "tuning"}]}), "tuning"),
        (json!({"ipam": {"type": "host-local"}}), "host-local"),
        (json!({"ipam": {"type": "host-local"}, "Ipam": {"type": "static"}}), "host-local"),
        (json!({"delegate": {"type": "bridge"}}), "bridge"),
        (json!({"delegate": {"type": "stub", "ipam": {"type": "host-local"}}}), "host-local"),
        (json!({"delegate": {"delegate": {"type": "bridge"}}}), "bridge"),
        (json!({"delegates": [{"type": "stub"}, {"type": "bridge"}]}), "bridge"),
        (json!({"Delegate": {"TYPE": "bridge"}}), "bridge"),
    ] {
        define_with(&fixture, &keys);
        let words = ["rook-ceph/public", &format!("the plugin \"{plugin}\""), "allowedPlugins", "stub, static"];
        fixture.refused_add(&keys.to_string(), &config, &pod, FORBIDDEN, &words);
    }
    for keys in [json!({}), json!({"ipam": {"type": "static"}}), json!({"delegate": {"type": "stub"}})] {
        define_with(&fixture, &keys);
        fixture.run("ADD", &config, &pod).expect_success(&keys.to_string());
        fixture.run("DEL", &config, &pod).expect_success(&keys.to_string());
    }
    fixture.assert_clean();
}

#[test]
fn allowed_plugins_holds_on_every_path_to_a_definition_and_not_for_the_nodes_own_word() {
    let fixture = Fixture::start();
    let mut stub2 = fixture.stub_config("public", &json!({}));
    stub2["type"] = json!("stub2");
    fixture.define("rook-ceph", "public", &stub2);
    fixture.define("kube-system", "pods", &stub2);
    fixture.node.write("/etc/cni/multus/net.d/10-empty.conf", merged(&stub2, &json!({"name": "empty"})).to_string());
    fixture.node.write(
        "/etc/cni/rooknet/networks/rook-ceph/empty.json",
        json!({"metadata": {"namespace": "rook-ceph", "name": "empty"}, "spec": {}}).to_string(),
    );
    fixture.node.write("/etc/cni/rooknet/networks/rook-ceph/bare.conf", stub2.to_string());
    let words = ["\"stub2\"", "allowedPlugins"];
    let mut chained = fixture.chained();
    chained["allowedPlugins"] = json!(["stub"]);
    for name in ["public", "empty", "bare"] {
        fixture.refused_add(name, &chained, &fixture.pod("osd", Some(name)), FORBIDDEN, &words);
    }
    chained["defaultNetworks"] = json!(["rook-ceph/public"]);
    fixture.refused_add("defaultNetworks", &chained, &fixture.pod("osd", None), FORBIDDEN, &words);

    let mut delegating = fixture.delegating(&json!({}));
    delegating["allowedPlugins"] = json!(["stub"]);
    let replaced = fixture.annotated_pod("osd", json!({DEFAULT_NETWORK: "pods"}));
    fixture.refused_add("the default network's replacement", &delegating, &replaced, FORBIDDEN, &words);
    let mut cluster = delegating.clone();
    cluster.as_object_mut().unwrap().remove("delegates");
    cluster["clusterNetwork"] = json!("pods");
    fixture.refused_add("clusterNetwork", &cluster, &fixture.pod("osd", None), FORBIDDEN, &words);

    // root wrote the delegates of the configuration: `primary` is not in the list.
    let pod = fixture.pod("osd", None);
    fixture.run("ADD", &delegating, &pod).expect_success("delegates");
    fixture.run("DEL", &delegating, &pod).expect_success("delegates");
    fixture.assert_clean();
}

fn merged(value: &Value, other: &Value) -> Value {
    let mut value = value.clone();
    merge(&mut value, other);
    value
}

#[test]
fn with_allowed_plugins_a_definition_chooses_no_files_of_the_node() {
    let fixture = Fixture::start();
    let mut config = fixture.chained();
    config["allowedPlugins"] = json!(["stub", "host-local"]);
    let pod = fixture.pod("osd", Some("public"));
    // As text: some of it has duplicates.
    let define = |keys: &str| {
        let text = fixture.stub_config("public", &json!({})).to_string();
        let text = format!("{{{keys},{}", text.strip_prefix('{').unwrap());
        fixture.node.write("/etc/cni/rooknet/networks/rook-ceph/public.conf", text);
    };
    for (keys, key) in [
        (r#""ipam":{"type":"host-local","dataDir":"/etc"}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","DATADIR":"/etc"}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","resolvConf":"/etc/shadow"}"#, "resolvConf"),
        (r#""ipam":{"type":"host-local","log_file":"/etc/cron.d/x"}"#, "log_file"),
        (r#""ipam":{"type":"host-local","configuration_path":"/etc/x"}"#, "configuration_path"),
        (r#""ipam":{"type":"host-local","Kubernetes":{"kubeConfig":"/etc/x"}}"#, "kubeconfig"),
        (r#""ipam":{"type":"host-local","re\u017folvConf":"/etc/shadow"}"#, "resolvConf"),
        (r#""ipam":{"type":"host-local","re\u017folvconf":"/etc/shadow","resolvConf":""}"#, "resolvConf"),
        (r#""ipam":{"type":"host-local","dataDir":"/etc","dataDir":null}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","dataDir":"/etc","dataDir":""}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","dataDir":"/etc"},"ipam":{"type":"host-local"}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","dataDir":"/etc"},"IPAM":{"dataDir":"/var/lib/cni/networks"}"#, "dataDir"),
        (r#""ipam":{"type":"host-local"},"Ipam":{"DataDir":"/etc"}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","dataDir":"/var/lib/cni/networks/../../../etc"}"#, "dataDir"),
        (r#""ipam":{"type":"host-local","dataDir":["/etc"]}"#, "dataDir"),
        (r#""delegate":{"type":"stub","ipam":{"type":"host-local","dataDir":"/etc"}}"#, "dataDir"),
        (r#""delegate":{"type":"stub","ipam":{"dataDir":"/etc"},"IPAM":{"dataDir":""}}"#, "dataDir"),
        (r#""delegate":{"type":"stub","delegate":{"type":"stub","ipam":{"resolvConf":"/x"}}}"#, "resolvConf"),
        (r#""delegates":[{"type":"stub"},{"type":"stub","ipam":{"dataDir":"/etc"}}]"#, "dataDir"),
        // tuning's and flannel's own.
        (r#""dataDir":"/etc""#, "dataDir"),
    ] {
        define(keys);
        fixture.refused_add(keys, &config, &pod, FORBIDDEN, &["rook-ceph/public", key, "allowedPlugins"]);
    }
    for keys in [
        r#""ipam":{"type":"host-local"}"#,
        r#""ipam":{"type":"host-local","dataDir":"/var/lib/cni/networks","resolvConf":""}"#,
        r#""ipam":{"type":"host-local","dataDir":null}"#,
    ] {
        define(keys);
        fixture.run("ADD", &config, &pod).expect_success(keys);
        fixture.run("DEL", &config, &pod).expect_success(keys);
    }
    // Without a list of allowed plugins a definition may name any program anyway.
    define(r#""ipam":{"type":"host-local","dataDir":"/run/addresses"}"#);
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("dataDir");
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("dataDir");
    fixture.assert_clean();
}

#[test]
fn what_the_runtime_says_of_the_default_network_never_reaches_another() {
    let fixture = Fixture::start();
    let given = json!({"portMappings": [{"HostPort": 80}], "bandwidth": {"IngressRate": 1}, "ips": ["10.0.0.9/24"],
                       "mac": "02:00:00:00:00:09", "dns": {"Servers": ["10.0.0.53"]}, "cgroupPath": "/kubepods"});
    let mut capabilities = json!({"io.kubernetes.cri.pod-annotations": true});
    for key in given.as_object().unwrap().keys() {
        capabilities[key] = json!(true);
    }
    let mut public = fixture.stub_config("public", &json!({}));
    public["capabilities"] = capabilities.clone();
    fixture.define("rook-ceph", "public", &public);
    let mut config = fixture.delegating(&json!({}));
    config["delegates"][0]["capabilities"] = capabilities;
    merge(&mut config, &json!({"runtimeConfig": given}));
    let own = json!([{"name": "public"}, {"name": "public", "mac": "02:00:00:00:00:07"}]).to_string();
    let pod = fixture.annotated_pod("osd", json!({NETWORKS_ANNOTATION: own, "secret": "of the pod"}));

    let arguments =
        "IgnoreUnknown=1;IP=10.0.0.9;MAC=02:00:00:00:00:09;GATEWAY=10.0.0.1;IP=10.0.0.8;K8S_POD_NAMESPACE=rook-ceph";
    let call = fixture.call("ADD", &config, &pod).env("CNI_ARGS", arguments);
    let added = call.run(&fixture.node);
    added.expect_success("ADD");
    let mut check = config.clone();
    check["prevResult"] = added.json();
    fixture.call("CHECK", &check, &pod).env("CNI_ARGS", arguments).run(&fixture.node).expect_success("CHECK");
    call.operation("DEL").run(&fixture.node).expect_success("DEL");

    let records = fixture.records();
    assert_eq!(records.len(), 9);
    for record in &records {
        let (interface, runtime_config) =
            (record["env"]["CNI_IFNAME"].as_str().unwrap(), &record["stdin"]["runtimeConfig"]);
        let arguments = record["env"]["CNI_ARGS"].as_str().unwrap();
        match interface {
            "eth0" => {
                assert_eq!(runtime_config["mac"], "02:00:00:00:00:09");
                assert!(arguments.contains("IP=10.0.0.9") && arguments.contains("MAC="), "{arguments}");
            }
            _ => {
                let expected = if interface == "net2" { json!({"mac": "02:00:00:00:00:07"}) } else { Value::Null };
                assert_eq!(*runtime_config, expected, "{interface}");
                assert_eq!(arguments, "IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph", "{interface}");
            }
        }
    }
    fixture.assert_clean();
}
