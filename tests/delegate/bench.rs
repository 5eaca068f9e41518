//! A bench for one test: a directory of its own with stub plugins in it, and what they recorded.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop at what they did not expect; clippy knows so only of test functions, not of their helpers"
)]
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use rooknet::cni::Object;
use rooknet::cni::network::Network;
use rooknet::delegate::{Context, Runners};
use rooknet::state::deadline::Deadline;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The stub plugin's executable.
pub const STUB: &str = env!("CARGO_BIN_EXE_rooknet-stub-plugin");

/// Runs one test's future as rooknet's `main` does: on one thread.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A deadline that no healthy test reaches.
pub fn far() -> Deadline {
    Deadline::without_signals(Duration::from_secs(60))
}

/// Whether no process has the id, not even as a zombie.
pub fn is_gone(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

/// How a stub was called.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    pub pid: i32,
    pub argv0: String,
    pub command: String,
    pub env: BTreeMap<String, String>,
    pub fds: Vec<String>,
    pub grandchild: Option<i32>,
    pub shown: Vec<String>,
    pub stdin: Option<Box<RawValue>>,
    pub raw: Option<String>,
}

impl Record {
    /// The configuration as a value.
    pub fn config(&self) -> Value {
        serde_json::from_str(self.stdin.as_ref().unwrap().get()).unwrap()
    }

    /// Command and type, for comparing orders.
    pub fn step(&self) -> String {
        format!("{} {}", self.command, self.argv0.rsplit('/').next().unwrap())
    }
}

/// One test's directory, removed with it.
pub struct Bench {
    pub dir: PathBuf,
    pub path: Vec<PathBuf>,
    pub record: PathBuf,
    pub runtime_config: Object,
}

impl Bench {
    /// `name` is the test's.
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("rooknet-bench-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("bin")).unwrap();
        Bench { path: vec![dir.join("bin")], record: dir.join("record"), runtime_config: Object::new(), dir }
    }

    /// Makes the stub a plugin of this type.
    pub fn install(&self, type_name: &str) -> PathBuf {
        let path = self.dir.join("bin").join(type_name);
        let _ = fs::remove_file(&path);
        symlink(STUB, &path).unwrap();
        path
    }

    /// Says what the plugin of this type does before it reads stdin, and whatever its configuration says.
    pub fn beside(&self, type_name: &str, keys: &Value) {
        fs::write(self.dir.join("bin").join(format!("{type_name}.stub.json")), keys.to_string()).unwrap();
    }

    /// A network `net-a` of plugins `(type, stub keys)`, installed, recording into this bench.
    pub fn network(&self, version: &str, plugins: &[(&str, Value)]) -> Network {
        let plugins: Vec<Value> =
            plugins.iter().map(|(type_name, stub)| self.plugin(type_name, stub, json!({}))).collect();
        self.network_of(version, &plugins)
    }

    /// One plugin's configuration with further keys; installs it.
    pub fn plugin(&self, type_name: &str, stub: &Value, mut more: Value) -> Value {
        self.install(type_name);
        let mut stub = stub.clone();
        let keys = stub.as_object_mut().unwrap();
        keys.entry("record").or_insert_with(|| json!(self.record));
        more["type"] = json!(type_name);
        more["stub"] = stub;
        more
    }

    /// A network `net-a` of configurations.
    pub fn network_of(&self, version: &str, plugins: &[Value]) -> Network {
        let list = json!({"cniVersion": version, "name": "net-a", "plugins": plugins});
        Network::parse("the test's network", &list.to_string(), None).unwrap()
    }

    /// Container `c1`, interface `net1`, no lock.
    pub fn context<'a>(&'a self, deadline: &'a Deadline) -> Context<'a> {
        Context {
            runners: Runners::EXECUTED,
            ground: None,
            container_id: "c1",
            netns: "/var/run/netns/none",
            ifname: "net1",
            args: "IgnoreUnknown=1;K8S_POD_NAME=p".to_owned(),
            path: &self.path,
            trace: &[],
            runtime_config: &self.runtime_config,
            lock: None,
            deadline,
        }
    }

    /// What the stubs recorded so far, in order.
    pub fn records(&self) -> Vec<Record> {
        let text = fs::read_to_string(&self.record).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The records as `COMMAND type`.
    pub fn steps(&self) -> Vec<String> {
        self.records().iter().map(Record::step).collect()
    }

    /// The only record.
    pub fn only(&self) -> Record {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
