//! Configurations of host-local in every form, small enough to be exhausted, and calls at random.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::twin::Call;

/// A configuration, and the addresses that a call may ask for, by range set.
pub(crate) struct Form {
    pub(crate) config: Value,
    asked: &'static [&'static [&'static str]],
}

fn form(version: &str, name: &str, ipam: Value, asked: &'static [&'static [&'static str]]) -> Form {
    let mut ipam = ipam;
    ipam["type"] = json!("host-local");
    ipam["dataDir"] = json!("@DATA@");
    let config = json!({"cniVersion": version, "name": name, "type": "macvlan", "master": "eth0", "ipam": ipam});
    Form { config, asked }
}

pub(crate) fn forms() -> Vec<Form> {
    vec![
        form("1.1.0", "one", json!({"subnet": "10.1.0.0/29"}), &[&["10.1.0.5", "10.1.0.1", "10.1.0.6/24"]]),
        form(
            "0.2.0",
            "old",
            json!({"subnet": "10.2.0.0/28", "rangeStart": "10.2.0.4", "rangeEnd": "10.2.0.7",
            "gateway": "10.2.0.5", "routes": [{"dst": "0.0.0.0/0", "gw": "10.2.0.9"}]}),
            &[&["10.2.0.6", "10.2.0.5"]],
        ),
        form(
            "0.3.1",
            "edges",
            json!({"subnet": "10.3.0.0/29", "rangeStart": "10.3.0.0", "rangeEnd": "10.3.0.7",
            "gateway": "10.99.0.1", "routes": [{"dst": "10.0.0.5/8"}]}),
            &[&["10.3.0.0", "10.3.0.7"]],
        ),
        form(
            "0.4.0",
            "several",
            json!({"ranges": [[{"subnet": "10.4.0.0/30"}, {"subnet": "10.4.1.0/29", "rangeStart":
            "10.4.1.3", "rangeEnd": "10.4.1.4"}, {"subnet": "10.4.2.0/30", "gateway": "10.4.2.2"}]]}),
            &[&["10.4.1.3", "10.4.2.1", "10.4.9.1"]],
        ),
        form(
            "1.0.0",
            "dual",
            json!({"ranges": [[{"subnet": "10.5.0.0/29"}], [{"subnet": "2001:db8:5::/125"}]],
            "routes": [{"dst": "::/0"}, {"dst": "10.0.0.0/8", "mtu": 1400, "advmss": 1300, "priority": 5, "table": 0,
            "scope": 0}]}),
            &[&["10.5.0.4"], &["2001:DB8:5:0::4", "2001:db8:5::1"]],
        ),
        form(
            "0.2.0",
            "olddual",
            json!({"ranges": [[{"subnet": "2001:db8:6::/126"}], [{"subnet": "10.6.0.0/29"}]]}),
            &[&["2001:db8:6::2"], &["10.6.0.3"]],
        ),
        form(
            "1.1.0",
            "sets",
            json!({"subnet": "10.7.0.0/30", "gateway": "10.7.0.2", "ranges":
            [[{"subnet": "10.7.1.0/29"}, {"subnet": "10.7.2.0/30"}], [{"subnet": "2001:db8:7::/64", "rangeStart":
            "2001:db8:7::ff", "rangeEnd": "2001:db8:7::102"}]]}),
            &[&[], &["10.7.2.2"], &["2001:db8:7::100"]],
        ),
        form("1.1.0", "wide", json!({"subnet": "2001:db8:8::/64"}), &[&["2001:db8:8::ffff", "2001:db8:8::3"]]),
        form(
            "1.0.0",
            "spelled",
            json!({"SUBNET": "10.9.0.0/29", "RangeStart": "::ffff:10.9.0.3", "unknown": {"a": 1},
            "routes": null, "gateway": ""}),
            &[&["::ffff:10.9.0.4"]],
        ),
        form(
            "1.1.0",
            "upto",
            json!({"ranges": [[{"subnet": "10.10.0.0/16", "rangeStart": "10.10.0.254", "rangeEnd":
            "10.10.1.3"}]]}),
            &[&["10.10.1.0"]],
        ),
    ]
}

/// Numbers that look random and are the same in each run (a linear congruence, of which the upper bits are used).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Calls at random on the forms, which remembers what is attached.
pub(crate) struct Calls {
    forms: Vec<Form>,
    chance: Chance,
    /// By network, container and interface: the addresses.
    attached: BTreeMap<(usize, String, String), Vec<String>>,
}

impl Calls {
    pub(crate) fn new(seed: u64) -> Self {
        Calls { forms: forms(), chance: Chance(seed), attached: BTreeMap::new() }
    }

    /// The next call, and what to tell about its answer ([`Calls::answered`]).
    pub(crate) fn next(&mut self) -> (Call, (usize, String, String)) {
        let command = ["ADD", "ADD", "ADD", "ADD", "DEL", "DEL", "CHECK"][self.chance.below(7)];
        let (index, number, interface) =
            (self.chance.below(self.forms.len()), self.chance.below(7), self.chance.below(2));
        let mut key = (index, format!("c{number}"), format!("net{interface}"));
        // Mostly what is there: a DEL of nothing finds little.
        if command != "ADD" && !self.attached.is_empty() && self.chance.below(4) > 0 {
            key = self.attached.keys().nth(self.chance.below(self.attached.len())).unwrap().clone();
        }
        let (index, container, ifname) = key.clone();
        let form = &self.forms[index];
        let mut config = form.config.clone();
        // CHECK came with 0.4.0.
        let has_check = !config["cniVersion"].as_str().unwrap().starts_with("0.2") && config["cniVersion"] != "0.3.1";
        let command = if command == "CHECK" && !has_check { "DEL" } else { command };
        let mut args = String::new();
        // A second ADD that asks for an address is a difference on purpose, with a test of its own.
        if command == "ADD" && !self.attached.contains_key(&key) && self.chance.below(2) == 0 {
            let mut asked: Vec<&str> = Vec::new();
            for set in form.asked.iter().filter(|set| !set.is_empty()) {
                if self.chance.below(3) > 0 {
                    asked.push(set[self.chance.below(set.len())]);
                }
            }
            match self.chance.below(3) {
                0 => args = format!("IgnoreUnknown=1;X=y;IP={}", asked.first().unwrap_or(&"")),
                1 => config["args"] = json!({"cni": {"ips": asked}, "other": 5}),
                _ => config["runtimeConfig"] = json!({"ips": asked, "mac": "x"}),
            }
        }
        let mut call = Call::new(command, &container, &config.to_string());
        call.ifname = ifname;
        call.args = args;
        // What a journal knows must give the same as what the directory says.
        match (command, self.attached.get(&key), self.chance.below(2)) {
            ("ADD", None, 0) => call = call.with("ROOKNET_TEST_KNOWN", ""),
            ("DEL" | "CHECK", Some(known), 0) => call = call.with("ROOKNET_TEST_KNOWN", known.join(",")),
            _ => {}
        }
        (call, key)
    }

    pub(crate) fn answered(&mut self, command: &str, key: (usize, String, String), addresses: Option<Vec<String>>) {
        match (command, addresses) {
            ("DEL", Some(_)) => drop(self.attached.remove(&key)),
            ("ADD", Some(addresses)) => drop(self.attached.insert(key, addresses)),
            _ => {}
        }
    }
}
