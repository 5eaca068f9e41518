//! The references' tables against the source.

use std::path::PathBuf;
use std::time::Duration;

use rooknet::cni::Code;
use rooknet::engine::config::{self, Config};
use rooknet::engine::settings::{self, Settings};
use rooknet::multinet::selection;
use serde_json::{Value, json};

use crate::reader::{
    assert_same, blocks, code, constant, files, list_constant, literals_after, prose, read, root, rows, source,
};

const CONFIGURATION: &str = "docs/configuration.md";

/// Key, type and default of every row of the tables of keys.
fn keys() -> Vec<(String, String, String)> {
    let table = rows(CONFIGURATION, &["Key", "Type", "Default", "Meaning"]);
    table.iter().map(|row| (code(&row[0]), row[1].clone(), row[2].clone())).collect()
}

/// A configuration with one key set; `name` and `cniVersion` are there unless they are that key.
fn with(key: &str, value: &Value) -> String {
    let mut object = json!({"cniVersion": "1.1.0", "name": "pods", "type": "rooknet"});
    match key.split_once('.') {
        Some((outer @ "logOptions", inner)) => object[outer] = json!({inner: value}),
        _ => object[key] = value.clone(),
    }
    object.to_string()
}

/// Everything that an ADD reads of a configuration.
fn read_all(text: &str) -> Result<(), String> {
    let config = Config::parse(text).map_err(|error| format!("{error:#}"))?;
    config.log_settings().map_err(|error| format!("{error:#}"))?;
    Settings::parse(&config).map(drop).map_err(|error| format!("{error:#}"))
}

#[test]
fn every_key_that_is_read_is_documented_and_no_other() {
    let mut read = Vec::new();
    for file in ["src/engine/config.rs", "src/engine/settings.rs"] {
        let objects = ["object", "self.object", "options"];
        for call in ["text(", "get_as(", "flag(", "get(", "has(", "list("] {
            for object in objects {
                read.extend(literals_after(file, &[&format!("{object}.{call}")]));
            }
        }
        for call in ["optional_path(", "absolute_path(", "texts("] {
            for object in ["object, ", "&object, ", "&self.object, "] {
                read.extend(literals_after(file, &[&format!("{call}{object}")]));
            }
        }
    }
    read.extend(source("src/engine/settings.rs").split_once("for key in [").map_or_else(Vec::new, |(_, list)| {
        list.split(']').next().unwrap().split('"').skip(1).step_by(2).map(str::to_owned).collect()
    }));
    read.sort();
    read.dedup();
    assert!(read.len() > 20, "only {read:?} were found in the source: has its way of reading keys changed?");
    let documented: Vec<String> =
        keys().iter().map(|(key, ..)| key.strip_prefix("logOptions.").unwrap_or(key).to_owned()).collect();
    assert_same("keys of the configuration", &documented, &read);
}

#[test]
fn every_documented_key_takes_its_type_and_refuses_another_by_name() {
    for (key, of_type, _) in keys() {
        let (right, wrong) = match of_type.as_str() {
            "version" => (json!("1.0.0"), json!("9.9.9")),
            "text" => (json!("text"), json!(7)),
            "path" => (json!("/some/path"), json!("some/path")),
            "flag" => (json!("true"), json!("perhaps")),
            "number" => (json!(7), json!("seven")),
            "seconds" => (json!(1.5), json!("soon")),
            "level" => (json!("verbose"), json!("loud")),
            "object" => (json!({}), json!(7)),
            "list of texts" => (json!(["text"]), json!(["text", 7])),
            "list of configurations" => (json!([{"type": "bridge"}]), json!(7)),
            "list of attachments" => (json!([{"containerID": "a", "ifname": "eth0"}]), json!([{"ifname": "eth0"}])),
            other => panic!("{CONFIGURATION}: key {key} has the type {other:?}, which this test does not know"),
        };
        // prevResult is looked into only where it is used.
        if key != "prevResult" {
            let error = read_all(&with(&key, &wrong)).expect_err(&format!("{key}: {wrong} is accepted"));
            let shown = key.strip_prefix("logOptions.").unwrap_or(&key);
            assert!(error.contains(shown), "{key}: {wrong} is refused without naming the key: {error}");
        }
        let mut configuration: Value = serde_json::from_str(&with(&key, &right)).unwrap();
        if ["statusForAll", "events"].contains(&key.as_str()) {
            // They need somebody to write to.
            configuration["kubeconfig"] = json!("/some/path");
        }
        assert_eq!(read_all(&configuration.to_string()), Ok(()), "{key}: {right}");
    }
}

#[test]
fn which_keys_fail_every_call_is_as_documented() {
    let all = prose(CONFIGURATION);
    let sentence = all.split("A wrong value of ").nth(1).and_then(|rest| rest.split(" fails every").next()).unwrap();
    let mut documented: Vec<String> = sentence.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let wrong = json!(7);
    let mut failing: Vec<String> =
        keys().into_iter().map(|(key, ..)| key).filter(|key| Config::parse(&with(key, &wrong)).is_err()).collect();
    documented.sort();
    failing.sort();
    assert_eq!(documented, failing);
}

#[test]
fn documented_defaults_are_those_of_the_source() {
    let config = Config::parse(r#"{"name": "pods"}"#).unwrap();
    let settings = Settings::parse(&config).unwrap();
    let log = config.log_settings().unwrap();
    let text = |flag: bool| flag.to_string();
    let path = |path: &PathBuf| path.display().to_string();
    assert_eq!(path(&config.state_dir), config::DEFAULT_STATE_DIR);
    assert_eq!(path(&config.cni_dir), config::DEFAULT_CNI_DIR);
    assert_eq!(settings.deadline, settings::DEFAULT_DEADLINE);
    let defaults = [
        ("cniVersion", config.version.to_string()),
        ("runtimeConfig", "{}".to_owned()),
        ("delegates", "[]".to_owned()),
        ("defaultNetworks", format!("{:?}", settings.default_networks)),
        ("confDir", path(&settings.conf_dir)),
        ("multusNamespace", settings.policy.multus_namespace.clone()),
        ("systemNamespaces", format!("{:?}", settings.policy.system_namespaces)),
        ("namespaceIsolation", text(settings.policy.namespace_isolation)),
        ("globalNamespaces", settings.policy.global_namespaces.join(",")),
        ("binDir", path(&config.bin_dir)),
        ("stateDir", path(&config.state_dir)),
        ("cniDir", path(&config.cni_dir)),
        ("deadline", format!("{}s", settings.deadline.as_secs())),
        ("statusStrict", text(settings.status_strict)),
        ("statusForAll", text(settings.status_for_all)),
        ("events", text(settings.events)),
        ("native", text(config.native)),
        ("conflictProbe", text(config.conflict_probe)),
        ("logLevel", log.level.0.to_string().to_lowercase()),
        ("logToStderr", text(log.to_stderr)),
        ("logOptions", "{}".to_owned()),
    ];
    // A flag without effect: `Object::flag` of an absent key is false.
    let unused = [("retryDeleteOnError", "false".to_owned())];
    let mut expected: Vec<String> =
        defaults.iter().chain(&unused).map(|(key, default)| format!("{key} = {default}")).collect();
    let mut documented: Vec<String> = keys()
        .iter()
        .filter(|(.., default)| !default.is_empty())
        .map(|(key, _, default)| format!("{key} = {}", code(default)))
        .collect();
    expected.sort();
    documented.sort();
    assert_eq!(documented, expected);
    assert!(settings.default_network.is_none() && settings.networks_dir.is_none() && log.file.is_none());
    assert!(settings.policy.allowed_plugins.is_none() && settings.readiness_indicator_file.is_none());
}

#[test]
fn global_namespaces_are_read_as_documented() {
    let parsed = |text: &str| {
        let config = Config::parse(&with("globalNamespaces", &json!(text))).unwrap();
        Settings::parse(&config).unwrap().policy.global_namespaces
    };
    assert_eq!(parsed("rook-ceph"), ["rook-ceph"], "it replaces its default");
    assert_eq!(parsed(" a , ,b "), ["a", "b"]);
    assert_eq!(parsed(" , "), ["default"]);
}

#[test]
fn documented_bounds_are_those_of_the_source() {
    let bounds = [
        ("Configuration on stdin", "bytes", constant("src/engine/mod.rs", "MAX_INPUT_BYTES")),
        ("Keys of a JSON object", "", constant("src/cni/json.rs", "MAX_KEYS")),
        ("Selection annotation", "bytes", constant("src/multinet/selection.rs", "MAX_ANNOTATION_BYTES")),
        ("Elements of a selection", "", constant("src/multinet/selection.rs", "MAX_ELEMENTS")),
        ("`deviceID`", "bytes", constant("src/multinet/selection/values.rs", "MAX_DEVICE_ID")),
        (
            "Network definition, file of a network",
            "bytes",
            constant("src/multinet/definition.rs", "MAX_DEFINITION_BYTES"),
        ),
        (
            "Network definitions of a pod together (one selected twice counts twice)",
            "bytes",
            constant("src/multinet/definition.rs", "MAX_BYTES_OF_A_POD"),
        ),
        ("Annotation `rooknet.io/node-ranges`", "bytes", constant("src/multinet/node_ranges.rs", "MAX_BYTES")),
        ("Nodes in it", "", constant("src/multinet/node_ranges.rs", "MAX_NODES")),
        ("Ranges of one of them", "", constant("src/multinet/node_ranges.rs", "MAX_RANGES")),
        ("Host addresses of one of them", "", constant("src/multinet/node_ranges.rs", "MAX_HOST_ADDRESSES")),
        ("Networks in `masterCIDR`", "", constant("src/delegate/masters.rs", "MAX_CIDRS")),
        (
            "Levels of lists and objects in `spec.config` and in `cni-args`",
            "",
            constant("src/cni/json.rs", "MAX_LEVELS"),
        ),
        ("Plugins of a network", "", constant("src/cni/network.rs", "MAX_PLUGINS")),
        ("Elements of `cniVersions`", "", constant("src/cni/network.rs", "MAX_VERSIONS")),
        ("Nested delegates, depth", "", constant("src/cni/network.rs", "MAX_NESTING")),
        ("A plugin's stdout", "bytes", constant("src/delegate/output.rs", "MAX_STDOUT")),
        (
            "A plugin's stderr in the log (the rest is left out)",
            "bytes",
            constant("src/delegate/output.rs", "MAX_LOGGED_STDERR"),
        ),
        ("A plugin's stderr in the error (the end of it)", "bytes", constant("src/delegate/output.rs", "STDERR_TAIL")),
        (
            "A plugin's message, and its details, in the error (cut)",
            "characters",
            constant("src/delegate/answer.rs", "MAX_TEXT"),
        ),
        ("Elements of `interfaces`, `ips`, `routes` of a result", "", constant("src/cni/result.rs", "MAX_ELEMENTS")),
        ("Container id", "bytes", constant("src/cni/names.rs", "MAX_CONTAINER_ID_BYTES")),
        ("Network name", "bytes", constant("src/cni/names.rs", "MAX_NETWORK_NAME_BYTES")),
        ("Interface name", "bytes", constant("src/cni/names.rs", "MAX_INTERFACE_NAME_BYTES")),
        ("Plugin type", "bytes", constant("src/cni/names.rs", "MAX_PLUGIN_TYPE_BYTES")),
        ("Namespace", "bytes", constant("src/multinet/object_names.rs", "MAX_LABEL")),
        ("Name of a definition", "bytes", constant("src/multinet/object_names.rs", "MAX_SUBDOMAIN")),
        ("Journal", "bytes", constant("src/state/journal.rs", "SIZE_LIMIT")),
        ("Multus's scratch file", "bytes", constant("src/state/multus_cache.rs", "MAX_SCRATCH_BYTES")),
        (
            "Multus's cached result (a larger one is logged and passed over)",
            "bytes",
            constant("src/state/multus_cache.rs", "MAX_RESULT_BYTES"),
        ),
        ("Line of the log (cut)", "bytes", constant("src/state/log.rs", "LINE_LIMIT")),
        ("`deadline`", "s", constant("src/engine/settings.rs", "MAX_DEADLINE")),
        ("ADD's rollback, after `deadline`", "s", constant("src/engine/add.rs", "ROLLBACK")),
        ("DEL", "s", constant("src/engine/del.rs", "DEADLINE")),
        ("CHECK", "s", constant("src/engine/check.rs", "DEADLINE")),
        ("GC", "s", constant("src/engine/gc.rs", "DEADLINE")),
        ("STATUS", "s", constant("src/engine/status.rs", "DEADLINE")),
    ];
    let expected: Vec<String> =
        bounds.iter().map(|(what, unit, value)| format!("{what}: {value} {unit}").trim_end().to_owned()).collect();
    let documented: Vec<String> =
        rows(CONFIGURATION, &["What", "Bound"]).iter().map(|row| format!("{}: {}", row[0], row[1])).collect();
    assert_same("bounds", &documented, &expected);
    // The reader of constants against what the compiler made of two of them.
    assert_eq!(bounds[0].2, u64::try_from(rooknet::engine::MAX_INPUT_BYTES).unwrap());
    assert_eq!(Duration::from_secs(constant("src/engine/settings.rs", "MAX_DEADLINE")), settings::MAX_DEADLINE);
}

#[test]
fn other_numbers_in_the_text_are_those_of_the_source() {
    let failures = prose("docs/failures.md");
    let grace = constant("src/state/lock.rs", "ORPHAN_GRACE");
    assert!(failures.contains(&format!("waits {grace} s for them to end, kills the group")), "{grace}");
    let patience = constant("src/engine/del.rs", "DEADLINE") * 2 / 3;
    assert!(failures.contains(&format!("waits for two thirds of its time, {patience} s,")), "{patience}");
    assert_eq!(constant("src/engine/del.rs", "RETRY"), 1);
    assert!(failures.contains("for at most a second"));
    assert!(prose(CONFIGURATION).contains(&format!("at most {} s |", settings::MAX_DEADLINE.as_secs())));
    let collect = constant("src/engine/gc.rs", "DEADLINE");
    assert!(prose("docs/decisions/0006-collect-lock.md").contains(&format!("for {collect} s at most")));
    let minimum = source("Cargo.toml")
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .map_or_else(|| panic!("Cargo.toml has no rust-version"), |version| version.trim_end_matches('"').to_owned());
    assert!(prose("README.md").contains(&format!("Rust {minimum} or newer")), "{minimum}");
    let image = format!("`localhost/rooknet:{}`", env!("CARGO_PKG_VERSION"));
    assert!(prose("docs/install.md").contains(&image), "{image}");
}

#[test]
fn every_key_of_the_annotation_is_documented_and_no_other() {
    let table = rows("docs/annotation.md", &["Key", "Value", "Becomes", "Needs"]);
    let documented: Vec<String> = table.iter().map(|row| code(&row[0])).collect();
    assert_same("keys of the annotation", &documented, &list_constant("src/multinet/selection.rs", "KEYS"));
    let text = read("docs/annotation.md");
    for key in [selection::ANNOTATION, selection::DEFAULT_NETWORK_ANNOTATION] {
        assert!(text.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn every_error_code_is_documented_and_no_other() {
    let codes: Vec<String> = source("src/cni/error.rs")
        .split("Code = Code(")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect();
    assert!(codes.contains(&Code::INTERNAL.0.to_string()));
    let documented: Vec<String> =
        rows("docs/failures.md", &["Code", "Meaning", "Retry?"]).iter().map(|row| row[0].clone()).collect();
    assert_same("error codes", &documented, &codes);
}

#[test]
fn the_documents_name_every_level_and_every_room() {
    let levels: Vec<String> =
        rows("docs/failures.md", &["Level", "What is in it"]).iter().map(|row| code(&row[0])).collect();
    let expected: Vec<String> = ["error", "warn", "info", "debug", "trace"].map(str::to_owned).into();
    assert_same("levels of the log", &levels, &expected);
    let rooms: Vec<String> = rows("docs/architecture.md", &["Floor", "Room"])
        .iter()
        .map(|row| code(&row[1]))
        .filter(|room| room != "src/main.rs")
        .collect();
    let folders: Vec<String> = std::fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| format!("src/{}", path.file_name().unwrap().to_string_lossy()))
        .collect();
    assert_same("rooms", &rooms, &folders);
}

/// A metric as its row in the document: its name in Prometheus, its type, and its labels.
fn metric(registration: &str, source: &str) -> String {
    let name = registration.split('"').nth(1).unwrap();
    if let Some(info) = registration.split_once("Info::new(vec![(\"") {
        return format!("rooknet_{name}_info: info, {}", info.1.split('"').next().unwrap());
    }
    let field = registration.split("all.").nth(1).unwrap();
    let field_type = source.split(&format!("pub(super) {field}: ")).nth(1).and_then(|rest| rest.split(",\n").next());
    let field_type = field_type.unwrap_or_else(|| panic!("the struct has no field {field}"));
    let labels = field_type.split_once('<').map_or(String::new(), |(_, inner)| {
        let labels = inner.split([',', '>']).next().unwrap();
        let fields =
            source.split(&format!("struct {labels} {{")).nth(1).and_then(|rest| rest.split('}').next()).unwrap();
        let names = fields.split("pub(super) ").skip(1).map(|field| field.split(':').next().unwrap());
        names.collect::<Vec<_>>().join(" ")
    });
    let (suffix, kind) = match field_type {
        counter if counter.contains("Counter") => ("_total", "counter"),
        histogram if histogram.contains("Histogram") || histogram.starts_with("Durations<") => ("", "histogram"),
        gauge if gauge.contains("Gauge") || gauge == "Fraction" => ("", "gauge"),
        other => panic!("{field}: what is the type {other}?"),
    };
    format!("rooknet_{name}{suffix}: {kind}, {labels}")
}

/// All metrics of the agent, by its source.
fn metrics() -> Vec<String> {
    let source = source("src/agent/metrics.rs");
    let registrations = source.split("registry.register(").skip(1).map(|rest| rest.split(");\n").next().unwrap());
    registrations.map(|registration| metric(registration, &source)).collect()
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels_and_no_other() {
    let metrics = metrics();
    assert!(metrics.len() > 20, "only {metrics:?} were found: has the way of registering them changed?");
    let documented: Vec<String> = rows("docs/operations.md", &["Metric", "Type", "Labels", "Meaning"])
        .iter()
        .map(|row| {
            let labels: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
            format!("{}: {}, {}", code(&row[0]), row[1], labels.join(" "))
        })
        .collect();
    assert_same("metrics", &documented, &metrics);
}

#[test]
fn alerts_ask_only_for_metrics_that_there_are() {
    let metrics = metrics();
    let mut seen = 0;
    for (line, text) in blocks("docs/operations.md", "yaml") {
        let names = text.match_indices("rooknet_").map(|(at, _)| {
            text[at..].split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap()
        });
        for name in names {
            let has =
                |name: &str, kind: &str| metrics.iter().any(|metric| metric.starts_with(&format!("{name}: {kind}")));
            let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|end| name.strip_suffix(end));
            let exists = has(name, "") || of_histogram.into_iter().any(|name| has(name, "histogram"));
            assert!(exists, "docs/operations.md:{line}: there is no metric {name}");
            seen += 1;
        }
    }
    assert!(seen > 3);
}

#[test]
fn every_loop_of_the_agent_is_documented_and_no_other() {
    let mut loops = Vec::new();
    for path in files("src/agent").iter().filter(|path| path.ends_with(".rs")) {
        // A name of a loop's own, or the one of its rounds.
        for line in source(path).lines().filter(|line| line.contains("const NAME: &str") || line.contains("{ name: \""))
        {
            loops.push(line.split('"').nth(1).unwrap().to_owned());
        }
    }
    let documented: Vec<String> =
        rows("docs/operations.md", &["Loop", "What it does", "Without it"]).iter().map(|row| code(&row[0])).collect();
    assert_same("loops of the agent", &documented, &loops);
}
