//! A CNI plugin for tests: does what its configuration says and records how it was called.
//!
//! Linked or copied under any type name into a directory that is then searched for plugins. What it does stands in the
//! key `stub` of the configuration on stdin; keys in a file `<argv0>.stub.json` beside it win over those, and are the
//! only ones that can say what happens before stdin is read.
//!
//! | Key | Meaning |
//! |---|---|
//! | `record` | file (or FIFO) that gets one line for each call; else the variable STUB_RECORD |
//! | `result` | what ADD prints, byte for byte; `null`: nothing. Absent: `prevResult`, else one made of the call |
//! | `address` | an address (`10.1.2.3/24`) for the result that is made |
//! | `gateway` | with `link`: the gateway of a default route by that link |
//! | `alone` | directory that shows two calls at work for one container: see `Alone` |
//! | `stdoutText` | what any command prints instead, byte for byte |
//! | `error` | the object printed by a command that fails; code 111 when absent |
//! | `failOn` | commands that fail, after they did their work. Absent: all, when `error` or `exit` is there |
//! | `exit` | exit status of a failing command (1) |
//! | `abort` | true: a failing command dies by SIGABRT |
//! | `stderr` | text written to stderr |
//! | `stderrBytes`, `stdoutBytes` | that many bytes more, as lines; on stdout as spaces |
//! | `gate`, `gateOn` | a FIFO at which a call of these commands waits, before its work, until somebody opens it to write |
//! | `hang`, `hangOn` | true, or a list of commands: work, record, then block until killed |
//! | `ipam`, `ipamOn` | a grandchild in the same group, at these commands (all); see below |
//! | `store` | directory with a file `<container>@<ifname>` from ADD to DEL; GC frees there too; a second ADD fails |
//! | `link` | kind (`true`: `bridge`) of a link CNI_IFNAME in CNI_NETNS from ADD to DEL, with `address` on it |
//! | `versions` | what VERSION answers |
//! | `show` | directory whose files' contents are recorded as `shown`, as they are when the plugin starts |
//! | `ignoreStdin` | beside only: stdin is not read |
//! | `firstStderrBytes`, `firstStdoutBytes` | beside only: written before stdin is read |
//!
//! A grandchild that is `"hang"` blocks, and the plugin waits for it as for an IPAM plugin; `"orphan"` blocks too and
//! keeps the pipes, but the plugin goes on; `"quiet"` is an orphan with its pipes closed; `"late"` keeps the pipes for
//! 200 ms and ends.
//!
//! A record has the keys `time` (ns), `pid`, `argv0`, `command`, `env` (all of it), `fds` (targets of the open
//! descriptors), `grandchild` (its pid), `shown`, `stdin`, and `raw`: stdin as text when it is no JSON object.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program: it shall stop at what it did not expect"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// How the grandchild is told what it is: by its argv[0].
const GRANDCHILD: &str = "rooknet-stub-ipam";

fn main() {
    let argv0 = env::args().next().unwrap();
    match argv0.strip_prefix(GRANDCHILD) {
        Some("-late") => thread::sleep(Duration::from_millis(200)),
        Some(_) => block(),
        None => Stub::new(argv0).run(),
    }
}

fn block() -> ! {
    loop {
        thread::park();
    }
}

/// One call.
struct Stub {
    argv0: String,
    command: String,
    container: String,
    ifname: String,
    netns: String,
    /// The configuration, empty when stdin is none.
    config: BTreeMap<String, Box<RawValue>>,
    stdin: String,
    keys: Map<String, Value>,
}

impl Stub {
    fn new(argv0: String) -> Self {
        let variable = |name: &str| env::var(name).unwrap_or_default();
        let beside: Map<String, Value> = fs::read_to_string(format!("{argv0}.stub.json"))
            .map(|text| serde_json::from_str(&text).expect("the file beside the stub is an object"))
            .unwrap_or_default();
        let bytes = |key: &str| beside.get(key).and_then(Value::as_u64).unwrap_or(0);
        write_stderr(bytes("firstStderrBytes"));
        write_spaces(bytes("firstStdoutBytes"));
        let mut stdin = Vec::new();
        if beside.get("ignoreStdin") != Some(&Value::Bool(true)) {
            io::stdin().read_to_end(&mut stdin).expect("stdin can be read");
        }
        let stdin = String::from_utf8_lossy(&stdin).into_owned();
        let config: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&stdin).unwrap_or_default();
        let mut keys: Map<String, Value> =
            config.get("stub").map(|raw| serde_json::from_str(raw.get()).unwrap()).unwrap_or_default();
        keys.extend(beside);
        Stub {
            argv0,
            command: variable("CNI_COMMAND"),
            container: variable("CNI_CONTAINERID"),
            ifname: variable("CNI_IFNAME"),
            netns: variable("CNI_NETNS"),
            config,
            stdin,
            keys,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key).and_then(Value::as_str)
    }

    fn number(&self, key: &str) -> u64 {
        self.keys.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Whether `key` is true or lists this command.
    fn applies(&self, key: &str) -> bool {
        match self.keys.get(key) {
            Some(Value::Bool(on)) => *on,
            Some(Value::Array(commands)) => commands.iter().any(|command| *command == *self.command),
            _ => false,
        }
    }

    fn run(self) {
        // GC and STATUS are of no container.
        let alone = self.text("alone").filter(|_| !self.container.is_empty());
        let alone = alone.map(|directory| Alone::claim(Path::new(directory), &self.container));
        let with_ipam = !self.keys.contains_key("ipamOn") || self.applies("ipamOn");
        let grandchild = self.text("ipam").filter(|_| with_ipam).map(start_grandchild);
        if let Some(gate) = self.text("gate").filter(|_| self.applies("gateOn")) {
            fs::read(gate).expect("the gate is a FIFO");
        }
        // A plugin that got no configuration (rooknet was killed before it fed it) fails without having done anything.
        let told = !self.stdin.is_empty() || self.keys.get("ignoreStdin") == Some(&Value::Bool(true));
        let worked = if told { self.work() } else { Err("no configuration on stdin".to_owned()) };
        self.record(grandchild.as_ref().map(std::process::Child::id));
        if let Some(text) = self.text("stderr") {
            eprint!("{text}");
        }
        write_stderr(self.number("stderrBytes"));
        write_spaces(self.number("stdoutBytes"));
        if self.applies("hang") || self.applies("hangOn") {
            block();
        }
        if let (Some("hang"), Some(mut grandchild)) = (self.text("ipam"), grandchild) {
            grandchild.wait().unwrap();
        }
        // Before the answer, which may exit.
        drop(alone);
        self.answer(worked);
    }

    fn answer(&self, worked: Result<(), String>) {
        let told_to_fail = match self.keys.get("failOn") {
            Some(_) => self.applies("failOn"),
            None => ["error", "exit", "abort"].iter().any(|key| self.keys.contains_key(*key)),
        };
        if told_to_fail || worked.is_err() {
            let message = worked.err().unwrap_or_else(|| format!("stub fails {} as told", self.command));
            let version = self.config_text("cniVersion").unwrap_or_else(|| "1.1.0".to_owned());
            let error = self
                .keys
                .get("error")
                .cloned()
                .unwrap_or_else(|| json!({"cniVersion": version, "code": 111, "msg": message}));
            match (self.text("stdoutText"), &error) {
                (Some(text), _) => print!("{text}"),
                (None, Value::Null) => {}
                (None, error) => println!("{error}"),
            }
            io::stdout().flush().unwrap();
            if self.applies("abort") {
                std::process::abort();
            }
            exit(self.keys.get("exit").and_then(Value::as_i64).unwrap_or(1).try_into().unwrap());
        }
        match (self.text("stdoutText"), self.command.as_str()) {
            (Some(text), _) => print!("{text}"),
            (None, "ADD") => print!("{}", self.result()),
            (None, "VERSION") => {
                let all = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
                let versions = self.keys.get("versions").unwrap_or(&all);
                print!("{}", json!({"cniVersion": "1.1.0", "supportedVersions": versions}));
            }
            _ => {}
        }
        io::stdout().flush().unwrap();
    }

    fn config_text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.config.get(key)?.get()).ok()
    }

    /// What ADD prints.
    fn result(&self) -> String {
        // The value's own text: a test may care for its numbers and the order of its keys.
        let stub: BTreeMap<String, Box<RawValue>> =
            self.config.get("stub").map(|raw| serde_json::from_str(raw.get()).unwrap()).unwrap_or_default();
        match (stub.get("result").map(|raw| raw.get()), self.config.get("prevResult")) {
            (Some("null"), _) => return String::new(),
            (Some(result), _) => return result.to_owned(),
            (None, Some(previous)) => return previous.get().to_owned(),
            (None, None) => {}
        }
        let version = self.config_text("cniVersion").unwrap_or_else(|| "0.1.0".to_owned());
        let address = self.text("address");
        if version.as_str() < "0.3.0" {
            return json!({"cniVersion": version, "ip4": {"ip": address.unwrap_or("10.9.8.7/24")}}).to_string();
        }
        let mac = if self.keys.contains_key("link") { self.link_mac() } else { "02:00:00:00:00:01".to_owned() };
        let ips: Vec<Value> = address
            .iter()
            .map(|address| match version.as_str() {
                "1.0.0" | "1.1.0" => json!({"address": address, "interface": 0}),
                _ => json!({"version": if address.contains(':') {"6"} else {"4"}, "address": address, "interface": 0}),
            })
            .collect();
        let interface = json!({"name": self.ifname, "mac": mac, "sandbox": self.netns});
        json!({"cniVersion": version, "interfaces": [interface], "ips": ips}).to_string()
    }

    /// What leaves traces: the store and the link.
    fn work(&self) -> Result<(), String> {
        if let Some(store) = self.text("store") {
            self.use_store(Path::new(store))?;
        }
        if self.keys.contains_key("link") {
            self.use_link()?;
        }
        Ok(())
    }

    fn use_store(&self, store: &Path) -> Result<(), String> {
        let name = |container: &str, ifname: &str| store.join(format!("{container}@{ifname}"));
        let own = name(&self.container, &self.ifname);
        match self.command.as_str() {
            "ADD" => {
                fs::create_dir_all(store).unwrap();
                let created = OpenOptions::new().write(true).create_new(true).open(&own);
                created.map(drop).map_err(|error| format!("stub has {} allocated already: {error}", own.display()))
            }
            "DEL" => match fs::remove_file(&own) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            },
            "CHECK" if !own.exists() => Err(format!("stub has no {}", own.display())),
            "GC" => {
                let valid: Vec<Value> = serde_json::from_str(self.config["cni.dev/valid-attachments"].get()).unwrap();
                let valid: Vec<PathBuf> = valid
                    .iter()
                    .map(|one| name(one["containerID"].as_str().unwrap(), one["ifname"].as_str().unwrap()))
                    .collect();
                for entry in fs::read_dir(store).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    if !valid.contains(&path) {
                        fs::remove_file(path).unwrap();
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn use_link(&self) -> Result<(), String> {
        let kind = self.text("link").unwrap_or("bridge");
        match self.command.as_str() {
            "ADD" => {
                self.ip(&["link", "add", "name", &self.ifname, "type", kind])?;
                if let Some(address) = self.text("address") {
                    self.ip(&["address", "add", address, "dev", &self.ifname])?;
                }
                self.ip(&["link", "set", &self.ifname, "up"])?;
                if let Some(gateway) = self.text("gateway") {
                    self.ip(&["route", "add", "default", "via", gateway, "dev", &self.ifname])?;
                }
                Ok(())
            }
            // Gone already, or its namespace is: DEL is idempotent.
            "DEL" => match self.ip(&["link", "show", "dev", &self.ifname]) {
                Ok(_) => self.ip(&["link", "delete", "dev", &self.ifname]).map(drop),
                Err(_) => Ok(()),
            },
            "CHECK" => self.ip(&["link", "show", "dev", &self.ifname]).map(drop),
            _ => Ok(()),
        }
    }

    fn link_mac(&self) -> String {
        let links: Value =
            serde_json::from_str(&self.ip(&["-j", "link", "show", "dev", &self.ifname]).unwrap()).unwrap();
        links[0]["address"].as_str().unwrap_or_default().to_owned()
    }

    /// `ip` in the container's namespace.
    fn ip(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("nsenter")
            .arg(format!("--net={}", self.netns))
            .arg("ip")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("stub cannot run nsenter: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("stub: ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// One line, one write.
    fn record(&self, grandchild: Option<u32>) {
        let Some(path) =
            self.text("record").map(PathBuf::from).or_else(|| env::var_os("STUB_RECORD").map(PathBuf::from))
        else {
            return;
        };
        let environment: BTreeMap<String, String> = env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let descriptors: Vec<String> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .map(|target| target.to_string_lossy().into_owned())
            .collect();
        let shown: Vec<String> = self
            .text("show")
            .into_iter()
            .flat_map(|directory| fs::read_dir(directory).unwrap())
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default())
            .collect();
        let is_object = !self.config.is_empty();
        let stdin: Option<Box<RawValue>> =
            if is_object { serde_json::from_str(&self.stdin.replace('\n', " ")).ok() } else { None };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let head = json!({
            "time": u64::try_from(now.as_nanos()).unwrap(),
            "pid": std::process::id(),
            "argv0": self.argv0,
            "command": self.command,
            "env": environment,
            "fds": descriptors,
            "grandchild": grandchild,
            "shown": shown,
            "raw": if is_object { None } else { Some(&self.stdin) },
        })
        .to_string();
        let stdin = stdin.as_ref().map_or("null", |raw| raw.get());
        let line = format!("{},\"stdin\":{stdin}}}\n", head.strip_suffix('}').unwrap());
        // Created here when absent; a FIFO that a test made is opened as it is.
        let mut file = OpenOptions::new().append(true).create(true).open(&path).expect("the record can be opened");
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Proof that no other call works for the same container: a file `<container>` for as long as this one works. Where it
/// is there already, a file `<container>.overlap` tells the test.
struct Alone(PathBuf);

impl Alone {
    fn claim(directory: &Path, container: &str) -> Self {
        let file = directory.join(container);
        if OpenOptions::new().write(true).create_new(true).open(&file).is_err() {
            fs::write(directory.join(format!("{container}.overlap")), "").unwrap();
        }
        Alone(file)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // Gone when two overlapped, which is told already.
        let _ = fs::remove_file(&self.0);
    }
}

fn start_grandchild(how: &str) -> std::process::Child {
    let quiet = how == "quiet";
    let pipe = || if quiet { Stdio::null() } else { Stdio::inherit() };
    Command::new("/proc/self/exe")
        .arg0(format!("{GRANDCHILD}-{how}"))
        .stdin(pipe())
        .stdout(pipe())
        .stderr(pipe())
        .spawn()
        .expect("the grandchild starts")
}

/// Lines of 100 bytes. A reader that closes its end is no fault of the test.
fn write_stderr(bytes: u64) {
    let line = format!("{}\n", "e".repeat(99));
    write_all(&mut io::stderr(), line.as_bytes(), bytes);
}

fn write_spaces(bytes: u64) {
    write_all(&mut io::stdout(), " ".repeat(4096).as_bytes(), bytes);
}

fn write_all(stream: &mut impl Write, piece: &[u8], bytes: u64) {
    let mut left = usize::try_from(bytes).unwrap();
    while left > 0 {
        let part = &piece[..left.min(piece.len())];
        if stream.write_all(part).is_err() {
            return;
        }
        left -= part.len();
    }
    let _ = stream.flush();
}
