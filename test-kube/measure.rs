//! What the API server costs an ADD: figures, no verdict. `make measure-kube` runs it with the release binary.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};

use crate::fixture::{NETWORKS, merge};
use crate::networks::{bridge, macvlan};
use crate::site::{KUBECONFIG, Pod, Site};
use crate::support::Node;

const ROUNDS: usize = 40;

/// A call as measured.
struct Call {
    configuration: String,
    environment: Vec<(&'static str, String)>,
}

impl Call {
    fn new(configuration: &Value, pod: &Pod<'_>) -> Self {
        let mut configuration = configuration.clone();
        let annotations = json!({"io.kubernetes.cri.pod-annotations": pod.annotations});
        merge(&mut configuration, &json!({"runtimeConfig": annotations}));
        let Pod { id, namespace, name, uid, .. } = pod;
        let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_UID={uid}");
        let environment = vec![
            ("CNI_CONTAINERID", id.clone()),
            ("CNI_NETNS", pod.netns.path()),
            ("CNI_IFNAME", "eth0".to_owned()),
            ("CNI_PATH", "/opt/cni/bin".to_owned()),
            ("CNI_ARGS", arguments),
        ];
        Self { configuration: configuration.to_string(), environment }
    }

    /// Makes the call from a thread on the node, so that no nsenter is measured with it: the time until its end, and
    /// the most memory (kB) that it was seen with when `watch` is on. Its children, the plugins, are not counted.
    fn make(&self, command: &str, watch: bool) -> (Duration, u64) {
        let start = Instant::now();
        let mut child = Command::new("/opt/cni/bin/rooknet")
            .env_clear()
            .env("CNI_COMMAND", command)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start rooknet");
        // A call that needs no configuration may end before it has read it.
        let _ = child.stdin.take().expect("stdin is a pipe").write_all(self.configuration.as_bytes());
        let mut most = 0;
        while watch && let Some(memory) = peak_memory(child.id()) {
            most = most.max(memory);
        }
        let output = child.wait_with_output().expect("wait for rooknet");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stdout));
        (start.elapsed(), most)
    }
}

/// The peak of a process's resident memory so far, in kB, until it ends. It never sinks, so that the last value seen is
/// the one that counts.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Does some work on a thread whose children are on the node.
fn on_node<T: Send>(node: &Node, work: impl FnOnce() -> T + Send) -> T {
    let namespace = |kind: &str| File::open(format!("/proc/{}/ns/{kind}", node.pid())).expect("the node's namespace");
    let (mount, network) = (namespace("mnt"), namespace("net"));
    thread::scope(|scope| {
        let enter_and_work = || {
            unshare(CloneFlags::CLONE_FS).expect("a working directory of the thread's own");
            setns(mount, CloneFlags::CLONE_NEWNS).expect("enter the node's files");
            setns(network, CloneFlags::CLONE_NEWNET).expect("enter the node's network");
            work()
        };
        scope.spawn(enter_and_work).join().expect("the thread on the node")
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An OSD as in the demo: eth0 by bridge, `public` and `cluster` by macvlan, host-local. In turn with networks in files
/// and no API server, and with networks from it and a status to it.
#[test]
#[ignore = "figures, no verdict: make measure-kube"]
fn an_add_with_and_without_the_api_server() {
    let mut site = Site::start();
    site.add_storage("stor0");
    site.add_storage("stor1");
    let program = std::env::var_os("ROOKNET").map_or_else(|| env!("CARGO_BIN_EXE_rooknet").into(), PathBuf::from);
    site.node().install("rooknet", &fs::canonicalize(&program).expect("ROOKNET names a program"));
    let mut cluster = macvlan(&["192.168.20.0/24"]);
    cluster["master"] = json!("stor1");
    for (name, config) in [("public", macvlan(&["192.168.10.0/24"])), ("cluster", cluster)] {
        site.define(name, &config);
        site.fixture.define(&site.namespace, name, &config);
    }
    let pod =
        site.pod("osd", Some(r#"[{"name":"public","interface":"public"},{"name":"cluster","interface":"cluster"}]"#));
    let mut alone = json!({
        "cniVersion": "1.1.0", "name": "k8s-pods", "type": "rooknet", "delegates": [bridge()],
        "capabilities": {"io.kubernetes.cri.pod-annotations": true},
    });
    let mut with_server = alone.clone();
    alone["networksDir"] = json!(NETWORKS);
    with_server["kubeconfig"] = json!(KUBECONFIG);
    let calls = [Call::new(&alone, &pod), Call::new(&with_server, &pod)];

    let (times, memory, nothing) = on_node(site.node(), || {
        let mut times = [Vec::new(), Vec::new()];
        let mut memory = [0, 0];
        let mut nothing = Vec::new();
        for round in 0..ROUNDS + 2 {
            for (call, times) in calls.iter().zip(&mut times) {
                let (time, _) = call.make("ADD", false);
                call.make("DEL", false);
                // The first are slower: nothing is in the kernel's caches.
                if round >= 2 {
                    times.push(time);
                }
            }
            nothing.push(calls[0].make("VERSION", false).0);
        }
        for _ in 0..5 {
            for (call, most) in calls.iter().zip(&mut memory) {
                *most = call.make("ADD", true).1.max(*most);
                call.make("DEL", false);
            }
        }
        (times, memory, nothing)
    });
    site.assert_clean();
    // So that what was measured is what is said below.
    let requests = site.requests();
    assert_eq!(requests.len(), 3 * (ROUNDS + 2 + 5), "two GETs and a PATCH for each ADD with the API server");

    let milliseconds = |times: &[Duration]| times.iter().map(|time| time.as_secs_f64() * 1000.0).collect::<Vec<f64>>();
    let [alone, with_server] = times.each_ref().map(|times| milliseconds(times));
    // Of neighbours in time: what else the machine did was the same for both.
    let differences = median(alone.iter().zip(&with_server).map(|(alone, with_server)| with_server - alone).collect());
    let lowest = [&alone, &with_server].map(|times| times.iter().copied().fold(f64::INFINITY, f64::min));
    let [alone, with_server] = [alone, with_server].map(median);
    println!("an ADD of an OSD with three networks, {ROUNDS} of each in turn:");
    for (what, median, lowest, memory) in [
        ("networks in files, no API server", alone, lowest[0], memory[0]),
        ("networks and status by API server", with_server, lowest[1], memory[1]),
    ] {
        println!("  {what:34} median {median:5.1} ms, lowest {lowest:5.1} ms, peak of resident memory {memory} kB");
    }
    println!("  ratio {:.2} of the medians, median of the differences {differences:.1} ms", with_server / alone);
    println!("  {:34} median {:5.1} ms", "a call that does nothing (VERSION)", median(milliseconds(&nothing)));
}
