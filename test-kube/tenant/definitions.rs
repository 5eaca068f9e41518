//! Networks of the tenant's own making: what their configurations may run and reach.

use serde_json::{Value, json};

use super::{FORBIDDEN, Tenant, merge, selecting, stub};

/// Where networks lie as files by name.
const CONF_DIR: &str = "/etc/cni/multus/net.d";

impl Tenant {
    /// The stub plugin's configuration with these keys; `null` leaves one out.
    fn config(&self, name: &str, keys: &Value) -> Value {
        let mut config = stub(&self.site.fixture, name);
        merge(&mut config, keys);
        config.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        config
    }

    /// The tenant defines `name` with this configuration, and a pod that selects it is refused in both modes.
    #[track_caller]
    fn refused_definition(&self, name: &str, config: &str, allowed: Option<&[&str]>, code: u64, words: &[&str]) {
        self.define(name, &json!({"config": config}));
        let display = format!("{}/{name}", self.own());
        let words = [words, &[&display]].concat();
        for mut mode in [self.chained(), self.delegating()] {
            if let Some(allowed) = allowed {
                mode["allowedPlugins"] = json!(allowed);
            }
            self.refused_after(config, &mode, &selecting(name), code, &words, &[name]);
        }
    }
}

#[test]
fn a_definition_without_a_configuration_reaches_no_file_of_the_node() {
    let tenant = Tenant::start();
    let specs = [json!({}), json!({"config": ""}), json!({"config": " \n\t"})];
    for (number, spec) in specs.iter().enumerate() {
        let name = format!("empty-{number}");
        tenant.site.node().write(&format!("{CONF_DIR}/{name}.conf"), stub(&tenant.site.fixture, &name).to_string());
        tenant.define(&name, spec);
        let words = [format!("{}/{name}", tenant.own()), "no spec.config".to_owned(), "namespaceIsolation".to_owned()];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for config in [tenant.chained(), tenant.delegating()] {
            tenant.refused_after(&name, &config, &selecting(&name), 7, &words, &[&name]);
        }
        let mut open = tenant.chained();
        open["namespaceIsolation"] = json!(false);
        assert_eq!(tenant.attached(&open, &selecting(&name))[1], format!("{}/{name}", tenant.own()));
    }
    // A file of the node is no network of a pod's without a definition.
    tenant.site.node().write(&format!("{CONF_DIR}/bare.conf"), stub(&tenant.site.fixture, "bare").to_string());
    let words = ["/bare", "does not exist"];
    tenant.refused_after("bare", &tenant.chained(), &selecting("bare"), 7, &words, &["bare"]);
    // And one of a namespace for everybody may stand for it.
    tenant.cluster().create_network(&tenant.global, "bare", &json!(""), &json!({}));
    let global = format!("{}/bare", tenant.global);
    assert_eq!(tenant.attached(&tenant.chained(), &selecting(&global))[1], global);
}

#[test]
fn a_definition_runs_no_program_by_a_path_and_no_meta_plugin() {
    let tenant = Tenant::start();
    let mut number = 0;
    for plugin_type in ["/opt/cni/bin/stub", "../bin/stub", "stub/../stub", "..", "rooknet", "multus", "stub\u{0}"] {
        for keys in [
            json!({"type": plugin_type}),
            json!({"type": null, "plugins": [{"type": "stub"}, {"type": plugin_type}]}),
            json!({"ipam": {"type": plugin_type}}),
            json!({"delegate": {"type": plugin_type}}),
        ] {
            number += 1;
            let name = format!("net-{number}");
            let config = tenant.config(&name, &keys).to_string();
            tenant.refused_definition(&name, &config, None, 7, &["not a plugin type"]);
        }
    }
}

#[test]
fn a_definition_runs_only_allowed_plugins_and_chooses_no_files() {
    let tenant = Tenant::start();
    let plugins = [
        (json!({"type": "stub2"}), "stub2"),
        (json!({"type": "STUB"}), "STUB"),
        (json!({"type": null, "plugins": [{"type": "stub"}, {"type": "tuning"}]}), "tuning"),
        (json!({"ipam": {"type": "dhcp"}}), "dhcp"),
        (json!({"IPAM": {"Type": "dhcp"}}), "dhcp"),
        (json!({"delegate": {"type": "bridge"}}), "bridge"),
        (json!({"delegates": [{"type": "stub"}, {"type": "stub", "delegate": {"type": "bridge"}}]}), "bridge"),
        (json!({"delegate": {"type": "stub", "ipam": {"type": "dhcp"}}}), "dhcp"),
    ];
    let paths = [
        (json!({"ipam": {"type": "host-local", "dataDir": "/etc/cron.d"}}), "dataDir"),
        (json!({"ipam": {"type": "host-local", "DATADIR": "/etc"}}), "dataDir"),
        (json!({"ipam": {"type": "host-local", "resolvConf": "/etc/shadow"}}), "resolvConf"),
        (json!({"delegate": {"type": "stub", "ipam": {"resolvConf": "/etc/shadow"}}}), "resolvConf"),
    ];
    let plugins = plugins.map(|(keys, plugin)| (keys, format!("plugin {plugin:?}")));
    let paths = paths.map(|(keys, key)| (keys, key.to_owned()));
    for (number, (keys, word)) in plugins.into_iter().chain(paths).enumerate() {
        let name = format!("net-{number}");
        let config = tenant.config(&name, &keys).to_string();
        tenant.refused_definition(&name, &config, Some(&["stub", "host-local"]), FORBIDDEN, &[&word, "allowedPlugins"]);
    }
    let mut config = tenant.chained();
    config["allowedPlugins"] = json!(["stub"]);
    assert_eq!(tenant.attached(&config, &selecting("own"))[1], format!("{}/own", tenant.own()));
}

#[test]
fn a_definition_that_is_no_configuration_is_refused_with_its_name() {
    let tenant = Tenant::start();
    let deep = format!(r#"{{"cniVersion":"1.1.0","type":"stub","x":{}{}}}"#, "[".repeat(60_000), "]".repeat(60_000));
    let delegates = format!(r#"{}{{"type":"stub"}}{}"#, r#"{"type":"stub","delegate":"#.repeat(100), "}".repeat(100));
    let wide = format!(r#"{{"type":"stub","plugins":[{}]}}"#, vec![r#"{"type":"stub"}"#; 5000].join(","));
    for (number, config) in [
        "{",
        "[]",
        "null",
        "7",
        "\"stub\"",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":""}"#,
        r#"{"plugins":[]}"#,
        r#"{"plugins":[null]}"#,
        r#"{"cniVersion":"9.9.9","type":"stub"}"#,
        r#"{"cniVersion":1,"type":"stub"}"#,
        r#"{"type":"stub","name":"../../etc"}"#,
        r#"{"type":"stub","capabilities":7}"#,
        r#"{"type":"stub","ipam":7}"#,
        "{\"type\":\"stub\",\"name\":\"\\u001b[2J\\u202e\"}",
        &deep,
        &delegates,
        &wide,
    ]
    .iter()
    .enumerate()
    {
        let name = format!("net-{number}");
        tenant.define(&name, &json!({"config": config}));
        let pod = tenant.pod(&selecting(&name));
        let what = config.chars().take(60).collect::<String>();
        let outcome = tenant.site.run("ADD", &tenant.chained(), &pod);
        let refusal = crate::fixture::Refusal::of(&what, &outcome);
        let code = refusal.code;
        assert!([6, 7, 1].contains(&code), "{what}: {}", refusal.message);
        refusal.expect(&what, code, &[&format!("{}/{name}", tenant.own())]);
        tenant.site.assert_clean();
        assert_eq!(tenant.site.fixture.recorded_calls(), Vec::<String>::new(), "{what}");
        pod.netns.delete();
    }
}
