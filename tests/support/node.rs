//! Nodes and the switches between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::call::{Outcome, run, tools};
use super::namespace::Namespace;

/// Where host-local keeps a file for each address.
const HOST_LOCAL: &str = "/var/lib/cni/networks";
/// Where rooknet keeps its journals.
const JOURNALS: &str = "/var/lib/rooknet/attachments";
/// Where rooknet keeps its locks.
const LOCKS: &str = "/run/rooknet";

/// A throw-away node: see the module's front page.
///
/// Dropped, it kills what still runs on it and takes its namespaces with it.
pub(crate) struct Node {
    name: String,
    holder: Holder,
    mount_namespace: PathBuf,
    /// Links in the node's own network namespace that the test made, so that they are not taken for left-overs.
    fixtures: Mutex<BTreeSet<String>>,
}

/// An address that host-local has given away: one file of its store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lease {
    /// The network's name: the directory.
    pub(crate) network: String,
    /// The address: the file's name.
    pub(crate) address: String,
    /// The container that owns it: the first line.
    pub(crate) container: String,
    /// The interface in that container: the second line.
    pub(crate) interface: String,
}

/// A process in the node's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its process id.
    pub(crate) pid: i32,
    /// Its arguments, joined by blanks.
    pub(crate) command_line: String,
}

/// A file below /run/rooknet on which somebody holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldLock {
    /// The file, as the node sees it.
    pub(crate) file: String,
    /// The process that took the lock; a process that inherited the descriptor may hold it now.
    pub(crate) taken_by: i32,
}

impl Node {
    /// Starts a node. `name` is for messages only; nodes of one test may share it.
    pub(crate) fn start(name: &str) -> Self {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "--propagation", "private"])
            .args(["sh", "-c", include_str!("../../test-netns/node-init.sh"), "rooknet-test-node"])
            .arg(tools());
        let holder = Holder::start(command, &format!("node {name}"));
        let mount_namespace =
            fs::read_link(format!("/proc/{}/ns/mnt", holder.pid())).expect("the node's mount namespace");
        Self { name: name.to_owned(), holder, mount_namespace, fixtures: Mutex::default() }
    }

    /// The name that it was started with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process that holds the namespaces.
    pub(crate) fn pid(&self) -> i32 {
        self.holder.pid()
    }

    /// The node's file `inside`, as this process can open it.
    ///
    /// Only the first part of the path is the node's: an absolute symbolic link on the way leads back to the machine.
    /// The usual one, /var/run, is therefore resolved here.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        assert!(inside.starts_with('/'), "{inside:?} is not an absolute path");
        let inside = inside.strip_prefix("/var").filter(|rest| rest.starts_with("/run/")).unwrap_or(inside);
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid()))
    }

    /// Writes a file on the node, with the directories that it needs.
    pub(crate) fn write(&self, inside: &str, content: impl AsRef<[u8]>) {
        let file = self.path(inside);
        fs::create_dir_all(file.parent().expect("a file has a directory")).expect("create the directory on the node");
        fs::write(&file, content).unwrap_or_else(|error| panic!("{}: write {inside}: {error}", self.name));
    }

    /// The content of a file on the node; `None` when there is no such file.
    pub(crate) fn read(&self, inside: &str) -> Option<Vec<u8>> {
        match fs::read(self.path(inside)) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("{}: read {inside}: {error}", self.name),
        }
    }

    /// The names in a directory of the node, sorted; none when there is no such directory.
    pub(crate) fn entries(&self, inside: &str) -> Vec<String> {
        entries(&self.path(inside))
    }

    /// Shows `program` of the machine as `/opt/cni/bin/<name>`, in place of what was there.
    pub(crate) fn install(&self, name: &str, program: &Path) {
        let link = self.path("/opt/cni/bin").join(name);
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).expect("remove the former plugin");
        }
        symlink(program, link).expect("show the program in /opt/cni/bin");
    }

    /// A command that will run on the node, in its own network namespace. The child's id is the program's own:
    /// what is killed is the program and not a wrapper.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.nsenter("--net".as_ref());
        command.arg("--").arg(program);
        command
    }

    /// Runs a command on the node.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        let mut command = self.command(words[0]);
        command.args(&words[1..]);
        run(command, b"")
    }

    /// Runs a command on the node and returns its output; panics, with all that it said, when it fails.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.run(words).expect_success(&format!("{}: {}", self.name, words.join(" ")))
    }

    /// The node's own network namespace.
    pub(crate) fn host(&self) -> Namespace<'_> {
        Namespace::of_node(self)
    }

    /// A new network namespace for a pod, empty as a runtime would make it.
    pub(crate) fn add_netns(&self, name: &str) -> Namespace<'_> {
        self.ok(&["ip", "netns", "add", name]);
        self.netns(name)
    }

    /// The network namespace `name` that exists already.
    pub(crate) fn netns(&self, name: &str) -> Namespace<'_> {
        Namespace::named(self, name)
    }

    /// The names of all pods' network namespaces, sorted.
    pub(crate) fn netns_names(&self) -> Vec<String> {
        self.entries("/run/netns")
    }

    /// Says that the link `name` in the node's own namespace was made by the test.
    pub(crate) fn keep_link(&self, name: &str) {
        self.fixtures.lock().expect("fixtures").insert(name.to_owned());
    }

    /// All addresses in host-local's store, sorted.
    pub(crate) fn host_local_addresses(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        for network in self.entries(HOST_LOCAL) {
            for address in self.entries(&format!("{HOST_LOCAL}/{network}")) {
                if address == "lock" || address.starts_with("last_reserved_ip.") {
                    continue;
                }
                // Gone since the directory was read: then it is no lease any more.
                let Some(content) = self.read(&format!("{HOST_LOCAL}/{network}/{address}")) else {
                    continue;
                };
                let content = String::from_utf8_lossy(&content).into_owned();
                let mut lines = content.lines();
                let container = lines.next().unwrap_or_default().to_owned();
                let interface = lines.next().unwrap_or_default().to_owned();
                leases.push(Lease { network: network.clone(), address, container, interface });
            }
        }
        leases.sort();
        leases
    }

    /// The names of all files in rooknet's directory of journals, temporary and set-aside ones too, sorted.
    pub(crate) fn journals(&self) -> Vec<String> {
        self.entries(JOURNALS)
    }

    /// The locks that are held below /run/rooknet, read from the kernel's list: to ask does not take them.
    pub(crate) fn held_locks(&self) -> Vec<HeldLock> {
        let holders = lock_holders();
        let mut held = Vec::new();
        let mut directories = vec![LOCKS.to_owned()];
        while let Some(directory) = directories.pop() {
            for name in self.entries(&directory) {
                let file = format!("{directory}/{name}");
                let Ok(metadata) = fs::symlink_metadata(self.path(&file)) else {
                    continue;
                };
                if metadata.is_dir() {
                    directories.push(file);
                } else if let Some(&taken_by) = holders.get(&(metadata.dev(), metadata.ino())) {
                    held.push(HeldLock { file, taken_by });
                }
            }
        }
        held.sort_by(|a, b| a.file.cmp(&b.file));
        held
    }

    /// The processes that run on the node, found by its mount namespace, except the one that holds it. A zombie is
    /// not among them.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let is_here = fs::read_link(entry.path().join("ns/mnt")).is_ok_and(|link| link == self.mount_namespace);
            if pid == self.pid() || !is_here {
                continue;
            }
            let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command_line = String::from_utf8_lossy(&command_line).trim_end_matches('\0').replace('\0', " ");
            processes.push(Process { pid, command_line });
        }
        processes.sort_by_key(|process| process.pid);
        processes
    }

    /// Those processes on the node that have `marker` in an argument or in a variable of their environment.
    pub(crate) fn processes_with(&self, marker: &str) -> Vec<Process> {
        let mut processes = self.processes();
        processes.retain(|process| {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            process.command_line.contains(marker) || String::from_utf8_lossy(&environment).contains(marker)
        });
        processes
    }

    /// A line for each thing on the node that a complete DEL of everything would have removed: links in pods and on
    /// the node, addresses in host-local's store, journals, held locks, processes. A bridge is not counted: the
    /// reference plugin never removes the one that it made.
    pub(crate) fn left_overs(&self) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.netns_names() {
            for link in self.netns(&name).links() {
                if link.name != "lo" {
                    found.push(format!("link {} ({}) in {name}", link.name, link.kind));
                }
            }
        }
        let fixtures = self.fixtures.lock().expect("fixtures").clone();
        for link in self.host().links() {
            if link.name != "lo" && link.kind != "bridge" && !fixtures.contains(&link.name) {
                found.push(format!("link {} ({}) on the node", link.name, link.kind));
            }
        }
        for lease in self.host_local_addresses() {
            let Lease { network, address, container, interface } = lease;
            found.push(format!("address {address} of {network}, owned by {container} {interface}"));
        }
        found.extend(self.journals().into_iter().map(|name| format!("journal {name}")));
        found.extend(self.held_locks().into_iter().map(|lock| format!("lock {} of {}", lock.file, lock.taken_by)));
        found.extend(
            self.processes().into_iter().map(|process| format!("process {} {}", process.pid, process.command_line)),
        );
        found
    }

    /// `nsenter` into the node's mount namespace and the network namespace that the given option names.
    pub(super) fn nsenter(&self, net: &std::ffi::OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.pid().to_string()).arg("--mount").arg(net);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The holder does the same when its input ends, but it would be too late for a test that looks afterwards.
        for process in self.processes() {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }
}

/// A bridge in a network namespace of its own. Dropped, it goes, and with it the links that joined the nodes.
pub(crate) struct Switch {
    holder: Holder,
    mtu: u32,
    ports: AtomicU32,
}

impl Switch {
    /// A switch whose ports have the given MTU. `name` is for messages only.
    pub(crate) fn start(name: &str, mtu: u32) -> Self {
        // Without snooping there is no time at the start in which a multicast (neighbour discovery) is held back.
        let script = "set -e; ip link add bridge0 type bridge mcast_snooping 0; ip link set bridge0 up; \
                      echo ready; while read -r _; do :; done";
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script]);
        Self { holder: Holder::start(command, &format!("switch {name}")), mtu, ports: AtomicU32::new(0) }
    }

    /// Gives `node` an interface of the given name that is up and plugged into this switch.
    pub(crate) fn join(&self, node: &Node, interface: &str) {
        let port = format!("port{}", self.ports.fetch_add(1, Ordering::Relaxed));
        let (mtu, target) = (self.mtu.to_string(), node.pid().to_string());
        self.ip(&[
            "link", "add", &port, "mtu", &mtu, "type", "veth", "peer", "name", interface, "mtu", &mtu, "netns", &target,
        ]);
        self.ip(&["link", "set", &port, "master", "bridge0", "up"]);
        node.ok(&["ip", "link", "set", interface, "up"]);
        node.keep_link(interface);
    }

    fn ip(&self, words: &[&str]) {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.pid().to_string()).args(["--net", "--", "ip"]).args(words);
        run(command, b"").expect_success(&format!("switch: ip {}", words.join(" ")));
    }
}

/// Whether this kernel can make links of the given kind (`ipvlan`, `vlan`, …), found by making one.
pub(crate) fn kernel_has(kind: &str) -> bool {
    let options = if kind == "vlan" { "id 7" } else { "" };
    let script = format!("ip link add m0 type veth && ip link add link m0 name x0 type {kind} {options}");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]);
    run(command, b"").status.success()
}

/// Waits until `condition` holds; panics after `limit`, naming what was waited for.
pub(crate) fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A process that holds namespaces open until its stdin ends. That pipe is closed by the kernel if the test is
/// killed, so it ends then as well.
struct Holder {
    process: Child,
}

impl Holder {
    /// Starts `command` and waits for its line `ready`.
    fn start(mut command: Command, what: &str) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(
                |error| panic!("{what}: start unshare: {error}; these tests need util-linux and iproute2"),
            );
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is a pipe");
        let read = BufReader::new(stdout).read_line(&mut line);
        if read.is_err() || line != "ready\n" {
            let mut said = String::new();
            let stderr = process.stderr.as_mut().expect("stderr is a pipe");
            stderr.read_to_string(&mut said).expect("read the holder's stderr");
            let status = process.wait().expect("wait for the holder");
            panic!("{what}: cannot be set up ({status}; these tests need root): {said}");
        }
        Self { process }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("a process id fits")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // Neither can be helped here: it is our child, and it may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("read {}: {error}", directory.display()),
    };
    names.sort();
    names
}

/// The owner of each flock(2) on this machine, by device and inode.
fn lock_holders() -> BTreeMap<(u64, u64), i32> {
    let mut holders = BTreeMap::new();
    // A line is `12: FLOCK  ADVISORY  WRITE 4711 00:2a:1234 0 EOF`; one of a process that waits has `->` in second place.
    for line in fs::read_to_string("/proc/locks").expect("read /proc/locks").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words.as_slice() else {
            continue;
        };
        let parts: Vec<&str> = file.split(':').collect();
        let [major, minor, inode] = parts.as_slice() else {
            continue;
        };
        let (Ok(major), Ok(minor), Ok(inode), Ok(pid)) =
            (u64::from_str_radix(major, 16), u64::from_str_radix(minor, 16), inode.parse(), pid.parse())
        else {
            continue;
        };
        holders.insert((nix::sys::stat::makedev(major, minor), inode), pid);
    }
    holders
}
