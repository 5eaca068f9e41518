//! A node with rooknet's conflist in place, and rooknetctl on it.

use serde_json::{Value, json};

use crate::fixture::{Fixture, NETWORKS, Pod, merge};
use crate::support::Outcome;

/// Where the conflist is.
pub(crate) const CONFLIST: &str = "/etc/cni/net.d/00-rooknet.conflist";
/// The plugin's log. Not below /var/log, which is the machine's.
pub(crate) const LOG: &str = "/run/rooknet.log";
/// The node's name.
pub(crate) const NODE: &str = "node-a";

/// The node.
pub(crate) struct Ward<'a> {
    pub(crate) fixture: &'a Fixture,
    entry: Value,
}

/// The tests of some rows of the table: each on a node that was healthy before, and is healthy again at its end.
macro_rules! provoked {
    ($($row:literal: fn $name:ident($ward:ident) $body:block)*) => {
        /// The rows that are provoked here.
        pub(crate) const ROWS: &[&str] = &[$($row),*];
        $(
            #[test]
            fn $name() {
                let fixture = crate::fixture::Fixture::start();
                let $ward = crate::ward::Ward::new(&fixture);
                $ward.is_healthy();
                $body
                $ward.is_healthy();
            }
        )*
    };
}
pub(crate) use provoked;

impl<'a> Ward<'a> {
    /// With networks as files, of which `public` is a macvlan with host-local.
    pub(crate) fn new(fixture: &'a Fixture) -> Self {
        let ward = Self::with_entry(fixture, &json!({"networksDir": NETWORKS, "nodeName": NODE}));
        ward.fixture.node.ok(&["ip", "link", "add", "storage0", "up", "type", "bridge"]);
        ward.define("public", &json!({}));
        ward
    }

    /// With any entry.
    pub(crate) fn with_entry(fixture: &'a Fixture, keys: &Value) -> Self {
        let mut entry = json!({
            "type": "rooknet", "logFile": LOG, "logToStderr": false,
            "capabilities": {"io.kubernetes.cri.pod-annotations": true},
        });
        merge(&mut entry, keys);
        let ward = Ward { fixture, entry };
        ward.write_conflist(&json!({}));
        ward
    }

    /// The conflist, with these keys in rooknet's entry besides.
    pub(crate) fn conflist(&self, keys: &Value) -> Value {
        let mut entry = self.entry.clone();
        merge(&mut entry, keys);
        json!({"cniVersion": "1.1.0", "name": "k8s-pods", "plugins": [{"type": "ptp"}, entry]})
    }

    /// Writes it.
    pub(crate) fn write_conflist(&self, keys: &Value) {
        self.fixture.node.write(CONFLIST, self.conflist(keys).to_string());
    }

    /// The network `rook-ceph/NAME`: a macvlan, with these keys changed.
    pub(crate) fn define(&self, name: &str, keys: &Value) {
        self.fixture.define("rook-ceph", name, &macvlan(name, keys));
    }

    /// Takes a network's definition away.
    pub(crate) fn undefine(&self, name: &str) {
        self.remove(&format!("{NETWORKS}/rook-ceph/{name}.json"));
    }

    /// rooknet's configuration as the runtime gives it.
    pub(crate) fn config(&self) -> Value {
        let mut config = self.fixture.chained();
        merge(&mut config, &self.entry);
        config
    }

    /// A pod with these networks, attached.
    pub(crate) fn attached(&self, networks: &str) -> Pod<'a> {
        let pod = self.fixture.pod("osd", Some(networks));
        self.fixture.add(&self.config(), &pod);
        pod
    }

    /// Its end.
    pub(crate) fn detach(&self, pod: &Pod<'_>) {
        self.fixture.run("DEL", &self.config(), pod).expect_success("DEL");
    }

    /// Removes a file or directory of the node.
    pub(crate) fn remove(&self, path: &str) {
        self.fixture.node.ok(&["rm", "-r", path]);
    }

    /// Runs rooknetctl on the node.
    pub(crate) fn ctl(&self, words: &[&str]) -> Outcome {
        let mut all = vec![env!("CARGO_BIN_EXE_rooknetctl")];
        all.extend(words);
        self.fixture.node.run(&all)
    }

    /// What a looking subcommand says as JSON; its exit code must say the same.
    #[track_caller]
    pub(crate) fn looks(&self, words: &[&str]) -> Value {
        let outcome = self.ctl(&[words, &["--output", "json"]].concat());
        let report = outcome.json();
        let findings = report["findings"].as_array().expect("findings");
        let code = if findings.iter().any(|finding| finding["severity"] == "fault") { 3 } else { 0 };
        assert_eq!(outcome.status.code(), Some(code), "{outcome}");
        report
    }

    /// The doctor has nothing to say.
    #[track_caller]
    pub(crate) fn is_healthy(&self) {
        let report = self.looks(&["doctor"]);
        assert_eq!(report["findings"], json!([]), "{report:#}");
    }

    /// The doctor finds this row, and says all of these words.
    #[track_caller]
    pub(crate) fn shows(&self, row: &str, words: &[&str]) {
        self.shows_by(&["doctor"], row, words);
    }

    /// The same of another subcommand, or with further arguments.
    #[track_caller]
    pub(crate) fn shows_by(&self, command: &[&str], row: &str, words: &[&str]) {
        let report = self.looks(command);
        let findings = report["findings"].as_array().unwrap();
        let of_row: Vec<&Value> = findings.iter().filter(|finding| finding["id"] == row).collect();
        assert!(!of_row.is_empty(), "{row} is not in {report:#}");
        let fits = |finding: &&Value| words.iter().all(|word| finding["what"].as_str().unwrap().contains(word));
        assert!(of_row.iter().any(fits), "{words:?} are not in {of_row:#?}");
        for key in ["cause", "consequence", "cure"] {
            assert!(of_row[0][key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {row}");
        }
    }

    /// Forgets the log, where a failed call would be told of for an hour.
    pub(crate) fn forget_log(&self) {
        self.fixture.node.write(LOG, "");
    }
}

/// A macvlan's configuration, with these keys changed.
pub(crate) fn macvlan(name: &str, keys: &Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "storage0", "mode": "bridge",
        "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"},
    });
    merge(&mut config, keys);
    config
}
