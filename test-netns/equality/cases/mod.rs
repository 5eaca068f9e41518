//! What is tried: configurations, by subject.

mod between;
mod bridge;
mod chain;
mod corner;
mod generated;
mod invalid;
mod ipam;
mod vm;

use std::collections::BTreeSet;

use rooknet::plugins::MAIN_TYPES;
use serde_json::{Value, json};

use crate::twins::Step;

pub(crate) use vm::in_the_virtual_machine;

/// The name of every case's network.
pub(crate) const NETWORK: &str = "net";
/// All versions that libcni takes in a conflist of several plugins.
pub(crate) const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// IPAM plugins that rooknet has in itself.
const NATIVE_IPAM: [&str; 2] = ["host-local", "static"];
/// Keys with which a main plugin is executed.
const EXECUTED_KEYS: [&str; 2] = ["ipMasq", "macspoofchk"];

/// One configuration, and what the caller passes with it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Says what is special in it; no two cases have the same.
    pub(crate) name: String,
    /// `cniVersion`.
    pub(crate) version: &'static str,
    /// The plugin's configuration, without `name` and `cniVersion`.
    pub(crate) plugin: Value,
    /// The plugins that follow it in the network's list.
    pub(crate) chain: Vec<Value>,
    /// CNI_ARGS.
    pub(crate) args: String,
    /// All capability arguments.
    pub(crate) runtime: Value,
    /// What is done on both nodes before.
    pub(crate) before: Vec<Step>,
    /// What is done on both nodes between ADD and CHECK.
    pub(crate) between: Vec<Step>,
    /// ADD is called a second time, which both must refuse.
    pub(crate) twice: bool,
    /// `Some`: both must refuse it, and rooknet names this key.
    pub(crate) refused: Option<&'static str>,
    /// The reference plugin refuses it, and rooknet, if it does it itself, does not.
    pub(crate) only_reference_refuses: bool,
    /// rooknet refuses it, if it does it itself, and the reference plugin does not.
    pub(crate) only_rooknet_refuses: bool,
    /// The intended differences that it shows because of what is special in it: ids of rows of the table.
    pub(crate) shows: Vec<&'static str>,
    /// The reference plugin's CHECK fails after its own ADD.
    pub(crate) check_fails: bool,
    /// Also run with ADD by one and CHECK and DEL by the other.
    pub(crate) mixed: bool,
    /// It has a key that no plugin knows, so that the plugin is executed.
    unknown_key: bool,
}

impl Case {
    /// A case of the newest version, with nothing special.
    pub(crate) fn new(name: impl Into<String>, plugin: Value) -> Self {
        Self {
            name: name.into(),
            version: "1.1.0",
            plugin,
            chain: Vec::new(),
            args: String::new(),
            runtime: json!({}),
            before: Vec::new(),
            between: Vec::new(),
            twice: false,
            refused: None,
            only_reference_refuses: false,
            only_rooknet_refuses: false,
            shows: Vec::new(),
            check_fails: false,
            mixed: false,
            unknown_key: false,
        }
    }

    fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    fn args(mut self, args: &str) -> Self {
        self.args = args.to_owned();
        self
    }

    fn runtime(mut self, runtime: Value) -> Self {
        self.runtime = runtime;
        self
    }

    fn before(mut self, step: Step) -> Self {
        self.before.push(step);
        self
    }

    fn host(self, script: &str) -> Self {
        self.before(Step::Host(script.to_owned()))
    }

    fn pod(self, script: &str) -> Self {
        self.before(Step::Pod(script.to_owned()))
    }

    /// What happens on the host after ADD.
    fn then_host(mut self, script: &str) -> Self {
        self.between.push(Step::Host(script.to_owned()));
        self
    }

    /// What the pod does after ADD.
    fn then_pod(mut self, script: &str) -> Self {
        self.between.push(Step::Pod(script.to_owned()));
        self
    }

    fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    fn refused(mut self, key: &'static str) -> Self {
        self.refused = Some(key);
        self
    }

    fn only_reference_refuses(mut self) -> Self {
        self.only_reference_refuses = true;
        self
    }

    fn only_rooknet_refuses(mut self) -> Self {
        self.only_rooknet_refuses = true;
        self
    }

    fn shows(mut self, ids: &[&'static str]) -> Self {
        self.shows.extend(ids);
        self
    }

    /// The reference plugin has made the interface already when it refuses.
    fn late(self) -> Self {
        self.shows(&["refused-and-gone"])
    }

    fn check_fails(mut self) -> Self {
        self.check_fails = true;
        self
    }

    fn mixed(mut self) -> Self {
        self.mixed = true;
        self
    }

    fn unknown_key(mut self) -> Self {
        self.unknown_key = true;
        self
    }

    fn chained(mut self, plugin: Value) -> Self {
        self.chain.push(plugin);
        self
    }

    /// Whether rooknet does the main plugin itself.
    pub(crate) fn is_native(&self) -> bool {
        MAIN_TYPES.contains(&self.kind()) && !self.unknown_key && !EXECUTED_KEYS.iter().any(|key| self.has(key))
    }

    /// Whether IPAM has a route with one of these keys.
    pub(crate) fn has_route_with(&self, keys: &[&str]) -> bool {
        let routes = self.plugin["ipam"]["routes"].as_array();
        routes.into_iter().flatten().any(|route| keys.iter().any(|key| !route[key].is_null()))
    }

    /// Every program of the network.
    pub(crate) fn programs(&self) -> BTreeSet<String> {
        let plugins = std::iter::once(&self.plugin).chain(&self.chain);
        let types = plugins.flat_map(|plugin| [&plugin["type"], &plugin["ipam"]["type"]]);
        types.filter_map(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// The programs that rooknet executes: exactly these are there for it, and each must run unless the case is refused.
    pub(crate) fn executed(&self) -> BTreeSet<String> {
        let mut programs = self.programs();
        if self.is_native() {
            programs.retain(|name| *name != self.kind() && !NATIVE_IPAM.contains(&name.as_str()));
        }
        programs
    }

    /// The plugin's type.
    pub(crate) fn kind(&self) -> &str {
        self.plugin["type"].as_str().unwrap_or_default()
    }

    /// A key of the plugin's configuration that is there and is not `false`.
    pub(crate) fn has(&self, key: &str) -> bool {
        !matches!(self.plugin[key], Value::Null | Value::Bool(false))
    }
}

/// All cases that this kernel can run.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = generated::macvlan();
    cases.extend(generated::bridge());
    cases.extend(bridge::cases());
    cases.extend(between::cases());
    cases.extend(chain::cases());
    cases.extend(corner::cases());
    cases.extend(invalid::cases());
    cases
}

/// `base` with the keys of `more`, which replace those of the same name.
pub(crate) fn with(mut base: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{VERSIONS, all, in_the_virtual_machine};

    #[test]
    fn there_are_enough_cases_and_no_two_of_one_name() {
        let cases: Vec<_> = all().into_iter().chain(in_the_virtual_machine()).collect();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        let attached = cases.iter().filter(|case| case.refused.is_none()).count();
        assert!(attached >= 150, "{attached} configurations that are attached");
        assert!(cases.len() - attached >= 30, "{} that are refused", cases.len() - attached);
        assert!(cases.iter().filter(|case| case.mixed).count() >= 12);
    }

    #[test]
    fn every_version_and_every_key_occurs() {
        let cases: Vec<_> = all().into_iter().chain(in_the_virtual_machine()).filter(|c| c.refused.is_none()).collect();
        for version in VERSIONS {
            assert!(cases.iter().filter(|case| case.version == version).count() > 20, "{version}");
        }
        let keys = [
            ("macvlan", "master mode mtu mac linkInContainer bcqueuelen ipam dns"),
            ("ipvlan", "master mode mtu linkInContainer ipam"),
            (
                "bridge",
                "bridge isGateway isDefaultGateway forceAddress ipMasq ipMasqBackend mtu hairpinMode promiscMode vlan \
                 vlanTrunk preserveDefaultVlan macspoofchk enabledad disableContainerInterface portIsolation args ipam dns",
            ),
        ];
        for (kind, keys) in keys {
            for key in keys.split_whitespace() {
                assert!(cases.iter().any(|case| case.kind() == kind && case.has(key)), "no {kind} with {key}");
            }
        }
        for (ipam, keys) in [
            ("static", "addresses routes dns"),
            ("host-local", "subnet rangeStart rangeEnd gateway ranges routes dataDir resolvConf"),
        ] {
            for key in keys.split_whitespace() {
                let has =
                    |case: &super::Case| case.plugin["ipam"]["type"] == ipam && !case.plugin["ipam"][key].is_null();
                assert!(cases.iter().any(has), "no {ipam} with {key}");
            }
        }
        for capability in ["ips", "mac", "ipRanges"] {
            assert!(cases.iter().filter(|case| !case.runtime[capability].is_null()).count() > 5, "{capability}");
        }
    }
}
