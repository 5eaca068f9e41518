//! One round of one of the agent's repairs on the node where it is started: `rooknet-repair shim`, with what the agent
//! would give it as JSON on stdin; prints the report.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program: it shall stop at what it did not expect"
)]

use std::io::{self, Read, Write};
use std::path::Path;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rooknet::agent::{masters, shim, stale};
use rooknet::engine::collect::Collector;
use rooknet::multinet::definition::Definition;
use rooknet::state::deadline::Deadline;
use rooknet::state::log as node_log;
use serde_json::{Value, json};

fn main() {
    node_log::init(&node_log::Settings::default());
    let mut stdin = String::new();
    io::stdin().read_to_string(&mut stdin).unwrap();
    let input: Value = serde_json::from_str(&stdin).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = match std::env::args().nth(1).as_deref() {
        Some("shim") => runtime.block_on(shim_round(&input)),
        Some("masters") => runtime.block_on(masters_round(&input)),
        Some("stale") => runtime.block_on(stale_round(&input)),
        Some("shim-remove-all") => json!(runtime.block_on(shim::remove_all(state_dir())).unwrap()),
        other => panic!("no repair {other:?}"),
    };
    io::stdout().write_all(report.to_string().as_bytes()).unwrap();
}

fn state_dir() -> &'static Path {
    Path::new("/var/lib/rooknet")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn definitions(input: &Value) -> Vec<Definition> {
    let parse = |definition: &Value| Definition::parse("a definition", &definition.to_string()).unwrap();
    input["definitions"].as_array().into_iter().flatten().map(parse).collect()
}

async fn shim_round(input: &Value) -> Value {
    let trusted = input.get("trusted").map(texts);
    let (definitions, unreadable, marked) = (definitions(input), texts(&input["unreadable"]), texts(&input["marked"]));
    let needed: Vec<std::net::IpAddr> = texts(&input["needed"]).iter().map(|text| text.parse().unwrap()).collect();
    let inputs = shim::Inputs {
        definitions: &definitions,
        unreadable: &unreadable,
        is_complete: input["complete"] != json!(false),
        marked: &marked,
        trusted_namespaces: trusted.as_deref(),
        needed: &needed,
        node_name: input["node"].as_str().unwrap(),
        state_dir: state_dir(),
        conf_dir: Path::new("/etc/cni/multus/net.d"),
    };
    serde_json::to_value(shim::round(&inputs).await).unwrap()
}

async fn masters_round(input: &Value) -> Value {
    let definitions = definitions(input);
    let inputs =
        masters::Inputs { state_dir: state_dir(), run_dir: Path::new("/run/rooknet"), definitions: &definitions };
    serde_json::to_value(masters::round(&inputs).await).unwrap()
}

async fn stale_round(input: &Value) -> Value {
    let definitions = definitions(input);
    let containers: BTreeSet<String> = texts(&input["containers"]).into_iter().collect();
    let collector = Collector::new(&input["entry"].to_string()).unwrap();
    let deadline = Deadline::without_signals(Duration::from_secs(60));
    let inputs = stale::Inputs {
        collector: &collector,
        listed: stale::Listed { containers: &containers, asked: SystemTime::now() },
        definitions: &definitions,
        run_dir: Path::new("/run/rooknet"),
        results_dir: Path::new("/var/lib/cni/results"),
        deadline: &deadline,
    };
    serde_json::to_value(stale::round(&inputs).await).unwrap()
}
