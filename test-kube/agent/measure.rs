//! The agent's memory on a busy node: figures, no verdict. `make measure-kube` runs it with the release binary.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Agent, known, runtime};
use crate::cluster::{ADMIN, MERGE_PATCH, pod_path};
use crate::fixture::NETWORKS_ANNOTATION;
use crate::site::Site;

const NETWORKS: usize = 50;
const PODS: usize = 200;
/// The size at which the plugin writes no more.
const RECORDS_BYTES: usize = 4 * 1024 * 1024;
/// How long it is watched; it has then listed, watched, and made several rounds.
const TIME: Duration = Duration::from_secs(75);

/// A line of the process's status in kB.
fn memory(agent: &Agent<'_>, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "it measures, for more than a minute"]
fn the_agents_memory_with_networks_and_pods() {
    let site = Site::start();
    let runtime = runtime(&site);
    for number in 0..NETWORKS {
        site.define(&format!("net-{number}"), &crate::networks::macvlan(&["192.168.20.0/24", "fd00:20::/64"]));
    }
    for number in 0..PODS {
        let name = format!("pod-{number}");
        let annotations = json!({NETWORKS_ANNOTATION: "net-1,net-2", "example.org/long": "x".repeat(2000)});
        site.cluster.create_pod(&site.namespace, &name, &site.node_name, &annotations);
        let path = format!("{}/status", pod_path(&site.namespace, &name));
        let running = json!({"status": {"phase": "Running", "message": "y".repeat(3000)}});
        site.cluster.request("PATCH", &path, ADMIN, MERGE_PATCH, Some(&running)).expect_success("the pod's phase");
    }
    let attached = site.pod("attached", Some("net-1"));
    runtime.add(known(&attached));
    let mut agent = Agent::new(&site, &site.cluster.server().url(), &[]);
    if let Some(program) = std::env::var_os("ROOKNETCTL") {
        agent.program = program.into();
    }
    // As many records of calls as a node without an agent keeps.
    let network =
        json!({"network": "rook-ceph/public", "interface": "net1", "ms": 12.5, "addresses": ["192.168.20.7/24"]});
    let record = json!({
        "time": 1_700_000_000_000_u64, "command": "ADD", "container": "c".repeat(64), "interface": "eth0",
        "namespace": "rook-ceph", "pod": "rook-ceph-osd-0-6c8f4d7c9b-abcde", "uid": "0f0e0d0c-0000-4000-8000-000000000001",
        "duration": 61.5, "code": 0, "networks": [network, network], "api": {"requests": 1, "ms": 9.5},
    });
    let line = format!("{record}\n");
    site.node().write("/run/rooknet/calls.jsonl", line.repeat(RECORDS_BYTES.div_ceil(line.len())));
    agent.run();
    agent.wait_until_well();
    println!("after the start: {} kB, at most {} kB", memory(&agent, "VmRSS"), memory(&agent, "VmHWM"));
    let start = Instant::now();
    while start.elapsed() < TIME {
        // What Prometheus would ask for.
        agent.get("/metrics").unwrap();
        std::thread::sleep(Duration::from_secs(5));
    }
    println!(
        "with {NETWORKS} networks and {PODS} pods after {} s: {} kB, at most {} kB",
        TIME.as_secs(),
        memory(&agent, "VmRSS"),
        memory(&agent, "VmHWM")
    );
    println!("{}", fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.pid())).unwrap());
}
