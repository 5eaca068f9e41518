//! The two implementations, each with a data directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// Whose plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Reference,
    Ours,
}

pub(crate) const BOTH: [Whose; 2] = [Whose::Reference, Whose::Ours];

/// A data directory, removed with the value.
pub(crate) struct Data(pub(crate) PathBuf);

impl Data {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rooknet-ipam-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Data(path)
    }

    /// A copy of a directory with its files.
    pub(crate) fn copy_of(other: &Data) -> Self {
        let copy = Data::new();
        let status = Command::new("cp").arg("-a").arg(other.0.join(".")).arg(&copy.0).status().unwrap();
        assert!(status.success());
        copy
    }

    /// Every file by its path, with mode and content. The locks are left out: the reference makes one, and the
    /// directory, in calls that find nothing too.
    pub(crate) fn files(&self) -> BTreeMap<String, (u32, String)> {
        let mut files = BTreeMap::new();
        for network in fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()) {
            for path in fs::read_dir(&network).into_iter().flatten().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    continue;
                }
                let name = path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned();
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                files.insert(name, (mode, fs::read_to_string(&path).unwrap()));
            }
        }
        files.retain(|name, _| !name.ends_with("/lock"));
        files
    }

    /// The addresses that have a file, by network and name.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let is_address = |name: &String| name.rsplit('/').next().unwrap().parse::<std::net::IpAddr>().is_ok();
        self.files().into_keys().filter(is_address).collect()
    }

    pub(crate) fn write(&self, file: &str, content: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A call of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) command: &'static str,
    pub(crate) container: String,
    pub(crate) ifname: String,
    pub(crate) args: String,
    /// With `@DATA@` for the data directory.
    pub(crate) config: String,
    /// More of the environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Call {
    pub(crate) fn new(command: &'static str, container: &str, config: &str) -> Self {
        Call {
            command,
            container: container.to_owned(),
            ifname: "net1".to_owned(),
            args: String::new(),
            config: config.to_owned(),
            environment: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }
}

/// What a plugin answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) succeeded: bool,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn result(&self) -> Value {
        assert!(self.succeeded, "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no result: {}", self.stdout))
    }

    /// The addresses of a result from version 0.3.0 on, without their prefix lengths.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let result = self.result();
        let ips = result["ips"].as_array().cloned().unwrap_or_default();
        ips.iter().map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
    }

    pub(crate) fn message(&self) -> String {
        assert!(!self.succeeded, "{}", self.stdout);
        let error: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no error: {}", self.stdout));
        error["msg"].as_str().unwrap().to_owned()
    }
}

fn program(whose: Whose, ipam: &str) -> PathBuf {
    match whose {
        Whose::Ours => env!("CARGO_BIN_EXE_rooknet-ipam-plugin").into(),
        Whose::Reference => {
            let tools = std::env::var_os("ROOKNET_CNI_TOOLS")
                .expect("ROOKNET_CNI_TOOLS must name the directory that test-netns/tools.sh prints");
            Path::new(&tools).join(ipam)
        }
    }
}

/// Runs a plugin on a data directory.
pub(crate) fn run(whose: Whose, data: &Data, call: &Call) -> Answer {
    let ipam = if call.config.contains(r#""static""#) { "static" } else { "host-local" };
    let mut child = Command::new(program(whose, ipam))
        .env_clear()
        .env("CNI_COMMAND", call.command)
        .env("CNI_CONTAINERID", &call.container)
        .env("CNI_IFNAME", &call.ifname)
        .env("CNI_NETNS", "/run/netns/none")
        .env("CNI_PATH", "/opt/cni/bin")
        .env("CNI_ARGS", &call.args)
        .envs(call.environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let config = call.config.replace("@DATA@", data.0.to_str().unwrap());
    // A plugin that was killed before it read everything is what some tests ask for.
    let _ = child.stdin.take().unwrap().write_all(config.as_bytes());
    let output = child.wait_with_output().unwrap();
    Answer {
        succeeded: output.status.success(),
        signal: output.status.signal(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a call by both, each in its directory, and demands the same answer and the same files. Gives ours.
pub(crate) fn run_both(reference: &Data, ours: &Data, call: &Call) -> Answer {
    let expected = run(Whose::Reference, reference, call);
    let answer = run(Whose::Ours, ours, call);
    let both = || format!("{call:#?}\nreference: {expected:#?}\nours: {answer:#?}");
    assert_eq!(expected.succeeded, answer.succeeded, "{}", both());
    if call.command == "ADD" && answer.succeeded {
        assert_eq!(expected.result(), answer.result(), "{}", both());
    }
    assert_eq!(reference.files(), ours.files(), "{}", both());
    answer
}
