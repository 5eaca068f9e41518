//! Calls of plugins: one by hand, or a whole attachment through cnitool.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, thread};

use serde_json::Value;

use super::namespace::Namespace;
use super::node::Node;

/// The directory of cnitool and the reference plugins.
pub(crate) fn tools() -> PathBuf {
    let directory = env::var_os("ROOKNET_CNI_TOOLS").map(PathBuf::from).unwrap_or_default();
    assert!(
        directory.join("cnitool").is_file(),
        "ROOKNET_CNI_TOOLS ({directory:?}) is not a directory with cnitool and the reference plugins: \
         run `make tools`, which prints it, or run the tests by `make test-process` and `make test-netns`"
    );
    directory
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit status.
    pub(crate) status: ExitStatus,
    /// All of its stdout.
    pub(crate) stdout: Vec<u8>,
    /// All of its stderr.
    pub(crate) stderr: Vec<u8>,
}

impl Outcome {
    /// Whether it exited with 0.
    pub(crate) fn success(&self) -> bool {
        self.status.success()
    }

    /// Its stdout as text; panics, with all that it said, unless it exited with 0.
    pub(crate) fn expect_success(&self, what: &str) -> String {
        assert!(self.success(), "{what}: {self}");
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its stdout as one JSON document; panics when it is anything else (two documents, for example).
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("not one JSON document ({error}): {self}"))
    }

    /// The CNI error that it printed: code and message. Panics when it succeeded or printed something else.
    pub(crate) fn error(&self) -> (u64, String) {
        assert!(!self.success(), "an error was expected: {self}");
        let object = self.json();
        let code = object["code"].as_u64().unwrap_or_else(|| panic!("an error object without a code: {self}"));
        let mut message = object["msg"].as_str().unwrap_or_default().to_owned();
        if let Some(details) = object["details"].as_str().filter(|details| !details.is_empty()) {
            let _ = write!(message, "; {details}");
        }
        (code, message)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdout, stderr) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        write!(formatter, "{}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.status)
    }
}

/// Runs a command to its end with `input` as its stdin.
pub(crate) fn run(command: Command, input: &[u8]) -> Outcome {
    RunningCall::start(command, input).wait()
}

/// A command that runs.
pub(crate) struct RunningCall {
    child: Child,
    writer: thread::JoinHandle<()>,
}

impl RunningCall {
    /// Starts `command`, gives it `input` as its stdin, and closes that.
    pub(crate) fn start(mut command: Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let input = input.to_vec();
        let writer = thread::spawn(move || {
            // A program need not read all of its input, or any.
            let _ = stdin.write_all(&input);
        });
        Self { child, writer }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id fits")
    }

    /// Kills it with SIGKILL: it alone, as a runtime does, not what it has started.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill a child of this process");
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("ask for a child of this process").is_some()
    }

    /// Waits for its end **and** for the end of its output, as libcni does: a process that inherited its stdout or
    /// stderr is waited for as well.
    pub(crate) fn wait(self) -> Outcome {
        let output = self.child.wait_with_output().expect("wait for a child of this process");
        self.writer.join().expect("the thread that writes the input");
        Outcome { status: output.status, stdout: output.stdout, stderr: output.stderr }
    }
}

/// One call of one plugin on a node, as a runtime makes it.
#[derive(Debug, Clone)]
pub(crate) struct PluginCall {
    /// What runs the program: `prlimit` and its arguments, for example.
    wrapper: Vec<String>,
    program: PathBuf,
    input: Vec<u8>,
    environment: Vec<(String, OsString)>,
}

impl PluginCall {
    /// A call of `program` with `config` on its stdin; the CNI variables that every operation needs are set, CNI_PATH
    /// to /opt/cni/bin.
    pub(crate) fn new(program: &Path, operation: &str, config: &str) -> Self {
        let call =
            Self { wrapper: Vec::new(), program: program.to_owned(), input: config.into(), environment: Vec::new() };
        call.env("CNI_COMMAND", operation).env("CNI_PATH", "/opt/cni/bin")
    }

    /// Sets the variables that say which container: id, network namespace and interface.
    pub(crate) fn container(self, id: &str, netns: &Namespace<'_>, interface: &str) -> Self {
        self.env("CNI_CONTAINERID", id).env("CNI_NETNS", netns.path()).env("CNI_IFNAME", interface)
    }

    /// Sets a variable of its environment in place of a former value.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self = self.without(name);
        self.environment.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes a variable out of its environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// The same for another operation.
    pub(crate) fn operation(self, operation: &str) -> Self {
        self.env("CNI_COMMAND", operation)
    }

    /// The same with other input on stdin: a configuration, or what is none.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// The same with as much address space as given, which rooknet's delegates inherit: what needs more dies.
    pub(crate) fn memory(mut self, megabytes: u32) -> Self {
        self.wrapper = vec!["prlimit".to_owned(), format!("--as={megabytes}000000"), "--".to_owned()];
        self
    }

    /// Starts it. No CNI variable of the test's own environment reaches it.
    pub(crate) fn start(&self, node: &Node) -> RunningCall {
        let program = self.program.to_str().expect("programs of the tests have names in UTF-8");
        let words: Vec<&str> = self.wrapper.iter().map(String::as_str).chain([program]).collect();
        let mut command = node.command(words[0]);
        command.args(&words[1..]);
        clear_cni_variables(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        RunningCall::start(command, &self.input)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, node: &Node) -> Outcome {
        self.start(node).wait()
    }
}

/// An attachment of one network namespace to one network, by cnitool, with the configurations in /etc/cni/net.d.
#[derive(Clone)]
pub(crate) struct CniTool<'a> {
    netns: Namespace<'a>,
    network: String,
    environment: Vec<(String, String)>,
}

impl<'a> CniTool<'a> {
    /// The attachment of `netns` to the network of that name; CNI_PATH is /opt/cni/bin, the interface `eth0`.
    pub(crate) fn new(netns: &Namespace<'a>, network: &str) -> Self {
        let tool = Self { netns: netns.clone(), network: network.to_owned(), environment: Vec::new() };
        tool.env("CNI_PATH", "/opt/cni/bin").env("NETCONFPATH", "/etc/cni/net.d")
    }

    /// Sets a variable of its environment in place of a former value.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The interface's name.
    pub(crate) fn interface(self, name: &str) -> Self {
        self.env("CNI_IFNAME", name)
    }

    /// The pod that the runtime would name in CNI_ARGS, with the infrastructure container and `IgnoreUnknown`.
    pub(crate) fn pod(self, namespace: &str, name: &str, uid: &str) -> Self {
        let id = self.container_id();
        self.env(
            "CNI_ARGS",
            &format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={uid};\
                 K8S_POD_INFRA_CONTAINER_ID={id}"
            ),
        )
    }

    /// The pod's annotations, as containerd passes them.
    pub(crate) fn annotations(self, annotations: &Value) -> Self {
        let capabilities = serde_json::json!({ "io.kubernetes.cri.pod-annotations": annotations });
        self.capabilities(&capabilities)
    }

    /// All capability arguments.
    pub(crate) fn capabilities(self, arguments: &Value) -> Self {
        self.env("CAP_ARGS", &arguments.to_string())
    }

    /// The id that cnitool gives the container: made from the path of its network namespace.
    pub(crate) fn container_id(&self) -> String {
        let digest = run(Command::new("sha512sum"), self.netns.path().as_bytes()).expect_success("sha512sum");
        format!("cnitool-{}", &digest[..20])
    }

    /// Starts `add`, `del`, `check`, `gc` or `status`.
    pub(crate) fn start(&self, operation: &str) -> RunningCall {
        let node = self.netns.node();
        let mut command = node.command("/opt/cni/bin/cnitool");
        clear_cni_variables(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args([operation, &self.network, &self.netns.path()]);
        RunningCall::start(command, b"")
    }

    /// Runs `add`, `del`, `check`, `gc` or `status` to its end.
    pub(crate) fn run(&self, operation: &str) -> Outcome {
        self.start(operation).wait()
    }
}

fn clear_cni_variables(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let is_cni = name.to_string_lossy().starts_with("CNI_") || name == "CAP_ARGS" || name == "NETCONFPATH";
        if is_cni {
            command.env_remove(name);
        }
    }
}

/// Runs something by `run`, whose program is to get the given file as `ROOKNET_FAULT_TRACE`: its outcome, and what it
/// passed, in order, as ROOKNET_FAULT takes it: `kill:POINT` or `enospc:WRITE`, with `@N` from the second time on.
pub(crate) fn traced(node: &Node, run: impl FnOnce(&str) -> Outcome) -> (Outcome, Vec<String>) {
    const TRACE: &str = "/run/fault.trace";
    node.write(TRACE, "");
    let outcome = run(TRACE);
    let passed = String::from_utf8(node.read(TRACE).unwrap()).unwrap();
    std::fs::remove_file(node.path(TRACE)).unwrap();
    (outcome, passed.lines().map(str::to_owned).collect())
}

/// The same of something that must succeed: where it can be killed.
#[track_caller]
pub(crate) fn kill_points(node: &Node, run: impl FnOnce(&str) -> Outcome) -> Vec<String> {
    let (outcome, mut passed) = traced(node, run);
    outcome.expect_success("the run without a fault");
    passed.retain(|passing| passing.starts_with("kill:"));
    passed
}
