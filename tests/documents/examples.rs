//! Examples, in `conf` and in the documents, read by the parsers that the plugin uses.

use std::path::Path;

use rooknet::cni::network::Network;
use rooknet::cni::{Object, names};
use rooknet::engine::config::{ANNOTATIONS_CAPABILITY, Config};
use rooknet::engine::settings::{DefaultNetwork, Settings};
use rooknet::multinet::definition::Definition;
use rooknet::multinet::node_ranges::NodeRanges;
use rooknet::multinet::selection;
use rooknet::multinet::source::{NetworkSource, NodeNetworks};
use rooknet::state::journal::Journal;
use rooknet::state::lock::Holder;
use rooknet::state::networks::{ConfDir, FileNetworks};
use serde_json::{Value, json};
use yaml_rust2::YamlLoader;

use crate::reader::{blocks, code, documents, files, read, root, rows};

/// Loads a conflist as a runtime does, and each of its plugins as its program would; rooknet's own entry completely.
/// Gives that entry's settings, when there is one.
fn load_conflist(what: &str, text: &str) -> Option<Settings> {
    let list: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{what}: {error}"));
    let name = list["name"].as_str().unwrap_or_else(|| panic!("{what} has no name"));
    names::network(name).unwrap();
    let plugins = list["plugins"].as_array().unwrap_or_else(|| panic!("{what} has no plugins"));
    let mut settings = None;
    for (position, plugin) in plugins.iter().enumerate() {
        let mut plugin = plugin.clone();
        plugin["name"] = json!(name);
        plugin["cniVersion"] = list["cniVersion"].clone();
        if plugin["type"] != "rooknet" {
            Network::parse(what, &plugin.to_string(), None).unwrap();
            continue;
        }
        assert_eq!(plugin["capabilities"][ANNOTATIONS_CAPABILITY], true, "{what}: pods would be refused");
        let config = Config::parse(&plugin.to_string()).unwrap_or_else(|error| panic!("{what}: {error:#}"));
        config.log_settings().unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let own = Settings::parse(&config).unwrap_or_else(|error| panic!("{what}: {error:#}"));
        assert_eq!(config.is_delegating(), position == 0, "{what}: chained is last, delegating is first");
        assert_eq!(position + 1, plugins.len(), "{what}: rooknet is not the last plugin");
        if let Some(DefaultNetwork::Delegates(delegates)) = &own.default_network {
            for delegate in delegates {
                Network::parse(what, delegate.get(), None).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
        only_documented_keys(what, &plugin);
        settings = Some(own);
    }
    settings
}

/// A misspelt key would be passed over in silence.
fn only_documented_keys(what: &str, entry: &Value) {
    let documented: Vec<String> =
        rows("docs/configuration.md", &["Key", "Type", "Default", "Meaning"]).iter().map(|row| code(&row[0])).collect();
    for key in entry.as_object().unwrap().keys() {
        let is_known = documented.contains(key) || ["type", "capabilities", "_comment"].contains(&key.as_str());
        assert!(is_known, "{what}: the key {key} is not documented");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A definition's network, as a node of each name in its annotation would attach it.
fn load_definition(what: &str, definition: &Definition) -> Network {
    let network = Network::parse(what, &definition.config, Some(&definition.name))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    if let Some(text) = &definition.node_ranges {
        let ranges = NodeRanges::parse(text).unwrap_or_else(|error| panic!("{what}: {error}"));
        let nodes: Value = serde_json::from_str(text).unwrap();
        for node in nodes.as_object().unwrap().keys() {
            let share = ranges.clone().share_of(node).unwrap();
            rooknet::delegate::give_ranges(&share, &mut network.clone(), &mut Object::new())
                .unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    network
}

/// Every definition below a directory of the repository, found and parsed as `networksDir`.
fn load_networks(directory: &str) -> Vec<String> {
    let source = FileNetworks::new(root().join(directory));
    let references = source.references().unwrap();
    for (namespace, name) in &references {
        let what = format!("{directory}/{namespace}/{name}");
        let found = block_on(source.find(namespace, name)).unwrap_or_else(|error| panic!("{what}: {error}"));
        let definition = found.unwrap_or_else(|| panic!("{what} is not found")).definition;
        let network = load_definition(&what, &definition);
        for plugin in &network.plugins {
            plugin.nested_types().unwrap();
            assert!(plugin.ipam_type.is_some(), "{what} has no IPAM");
        }
        // They all stand for the same two networks: host-local's store and GC go by this name.
        assert_eq!(network.name, format!("rook-{name}"), "{what}");
    }
    references.into_iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect()
}

#[test]
fn every_file_of_conf_is_loaded_by_the_parser_that_reads_it() {
    let mut seen = 0;
    for path in files("conf") {
        let text = read(&path);
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| part.starts_with("networks")) {
            // Loaded below by `load_networks`.
            assert!(path.contains("/rook-ceph/"), "{path} has no namespace");
        } else if parts.contains(&"net.d") && parts.len() == 3 {
            let name = serde_json::from_str::<Value>(&text).unwrap()["name"].as_str().unwrap().to_owned();
            assert!(ConfDir::new(root().join("conf/net.d")).by_name(&name).unwrap().is_some(), "{path}");
        } else {
            assert!(path.ends_with(".conflist"), "{path}: what is it, and who reads it?");
            assert!(load_conflist(&path, &text).is_some(), "{path} has no entry of rooknet's");
        }
        // JSON has no comments: an example says in a key what it is for.
        let is_explained = text.contains("\"_comment\"") || text.contains("kubernetes.io/description");
        assert!(is_explained, "{path} has no comment");
        seen += 1;
    }
    assert!(seen >= 13, "only {seen} examples");
    for directory in [
        "networks",
        "networks-shared",
        "networks-ipvlan",
        "networks-whereabouts",
        "demo/node-a/networks",
        "demo/node-b/networks",
    ] {
        assert_eq!(
            load_networks(&format!("conf/{directory}")),
            ["rook-ceph/cluster", "rook-ceph/public"],
            "{directory}"
        );
    }
}

#[test]
fn every_yaml_block_of_a_document_is_read() {
    let mut seen = 0;
    for document in documents() {
        for (line, text) in blocks(&document, "yaml") {
            let read = YamlLoader::load_from_str(&text);
            assert!(read.is_ok_and(|documents| !documents.is_empty()), "{document}:{line}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn every_manifest_says_at_its_top_what_it_is_for() {
    // Rendered and applied by the tests in test-kube.
    for path in files("deploy").iter().filter(|path| path.ends_with(".yaml") && !path.contains("/templates/")) {
        assert!(read(path).starts_with("# "), "{path} has no comment");
    }
}

#[test]
fn the_examples_fit_together() {
    let settings = |name: &str| load_conflist(name, &read(&format!("conf/{name}"))).unwrap();
    // The default network of the delegating example is the one in conf/net.d.
    let Some(DefaultNetwork::ClusterNetwork(name)) = settings("delegating.conflist").default_network else {
        panic!("delegating.conflist has no clusterNetwork");
    };
    assert_eq!(ConfDir::new(root().join("conf/net.d")).by_name(&name).unwrap().unwrap().name, name);
    // Another name would tear down running pods.
    for (list, network) in [("delegating.conflist", "net.d/10-pods.conflist"), ("delegates-inline.conflist", "")] {
        let list: Value = serde_json::from_str(&read(&format!("conf/{list}"))).unwrap();
        let name = if network.is_empty() {
            list["plugins"][0]["delegates"][0]["name"].clone()
        } else {
            serde_json::from_str::<Value>(&read(&format!("conf/{network}"))).unwrap()["name"].clone()
        };
        assert_eq!(list["name"], name);
    }
    for reference in settings("delegates-inline.conflist").default_networks {
        assert!(Path::new(&root()).join(format!("conf/networks/{reference}.json")).exists(), "{reference}");
    }
    // The hardened example allows what the networks beside it use, and isolates.
    let policy = settings("hardened.conflist").policy;
    assert!(policy.namespace_isolation && !policy.global_namespaces.contains(&"default".to_owned()));
    let allowed = policy.allowed_plugins.unwrap();
    for path in files("conf").iter().filter(|path| path.contains("/networks") && path.ends_with(".json")) {
        let definition = Definition::parse(path, &read(path)).unwrap();
        for plugin in Network::parse(path, &definition.config, None).unwrap().plugins {
            for used in [Some(plugin.type_name), plugin.ipam_type].into_iter().flatten() {
                assert!(allowed.contains(&used), "hardened.conflist does not allow {used}, which {path} uses");
            }
        }
    }
}

#[test]
fn every_json_block_of_a_document_is_read() {
    for document in documents() {
        for (line, text) in blocks(&document, "json") {
            let what = format!("{document}:{line}");
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
            if document == "docs/annotation.md" {
                selection::parse(selection::ANNOTATION, &text, Some("rook-ceph")).unwrap();
            } else if value.get("plugins").is_some() {
                load_conflist(&what, &text);
            } else if value.get("kind").is_some() {
                let definition = Definition::parse(&what, &text).unwrap();
                load_definition(&what, &definition);
            } else if value.get("attachments").is_some() {
                let journal: Journal = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(journal.format, rooknet::state::journal::FORMAT, "{what}");
                // Every key that is written stands in the example, and no other.
                let written = serde_json::to_value(&journal).unwrap();
                assert_eq!(written, value, "{what}");
                for attachment in &journal.attachments {
                    Network::parse(&what, attachment.config.get(), None).unwrap();
                }
            } else if value.get("delegate").is_some() {
                let holder: Holder = serde_json::from_str(&text).unwrap();
                assert_eq!(serde_json::to_value(holder).unwrap(), value, "{what}");
            } else {
                panic!("{what}: what is it, and who reads it?");
            }
        }
    }
}

#[test]
fn the_short_forms_in_the_annotation_reference_are_read() {
    let mut seen = 0;
    for (line, text) in blocks("docs/annotation.md", "text") {
        for annotation in text.lines() {
            let parsed = selection::parse(selection::ANNOTATION, annotation, Some("rook-ceph"));
            assert!(parsed.is_ok_and(|selections| !selections.is_empty()), "docs/annotation.md:{line}: {annotation}");
            seen += 1;
        }
    }
    assert!(seen > 1);
}

#[test]
fn configurations_in_shell_blocks_are_read() {
    let mut seen = 0;
    for document in documents() {
        for (line, text) in blocks(&document, "sh") {
            let what = format!("{document}:{line}");
            // `echo '…' |`, a here-document, and cnitool's CAP_ARGS.
            for (begin, end) in [("echo '", "'"), ("<<'END'\n", "END\n"), ("CAP_ARGS='", "'")] {
                for part in text.split(begin).skip(1) {
                    let json = part.split(end).next().unwrap();
                    let object = Object::parse(&what, json).unwrap();
                    if begin == "CAP_ARGS='" {
                        let annotations: Value =
                            serde_json::from_str(object.get(ANNOTATIONS_CAPABILITY).unwrap().get()).unwrap();
                        let text = annotations[selection::ANNOTATION].as_str().unwrap();
                        assert!(
                            !selection::parse(selection::ANNOTATION, text, Some("a")).unwrap().is_empty(),
                            "{what}"
                        );
                    } else {
                        Settings::parse(&Config::parse(json).unwrap()).unwrap();
                    }
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 3, "only {seen} were found");
}
