//! How an agent begins and ends.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use serde_json::json;

use super::token::config;
use super::{Agent, PORT, SNAPSHOT};
use crate::proxy::{Gate, Passage};
use crate::site::Site;

#[test]
fn a_signal_ends_the_agent_and_nothing_that_the_plugin_needs_goes_with_it() {
    let site = Site::start();
    site.define_stub("net", &json!({}));
    let mut agent = Agent::start(&site);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        agent.wait_until_well();
        let pod = site.pod(&format!("pod-{signal}").to_lowercase(), Some("net"));
        site.add(&config(&site), &pod);
        let before =
            (agent.token(), site.node().journals(), site.node().entries(&format!("{SNAPSHOT}/{}", site.namespace)));
        assert_eq!(agent.end(signal), Some(0), "{}", agent.log());
        let after =
            (agent.token(), site.node().journals(), site.node().entries(&format!("{SNAPSHOT}/{}", site.namespace)));
        assert_eq!(before, after, "{signal}");
        assert_eq!(agent.heartbeat(), None, "{signal}");
        site.del(&config(&site), &pod);
        agent.run();
    }
    agent.end(Signal::SIGKILL);
    site.assert_clean();
}

#[test]
fn an_agent_that_starts_without_an_api_server_waits_for_it() {
    let site = Site::start();
    let gate = Gate::start(site.cluster.server(), site.node());
    gate.set(Passage::Refused);
    let mut agent = Agent::start_with(&site, &gate.url(), &[]);
    agent.wait_until("a page that names what fails", || {
        agent.get("/healthz").is_some_and(|(status, text)| {
            status == 503 && ["token: ", "snapshot: ", "pods: "].iter().all(|name| text.contains(name))
        })
    });
    assert!(!agent.has_ended());
    gate.set(Passage::Open);
    agent.wait_until_well();
    assert!(agent.token().is_some());
}

#[test]
fn what_fails_in_one_loop_ends_no_other() {
    let site = Site::start();
    // Its page has no place to be served at.
    let agent = Agent::new(&site, &site.cluster.server().url(), &[]);
    let taken = agent.on_node(|| TcpListener::bind(("127.0.0.1", PORT)).unwrap());
    let mut agent = agent;
    agent.run();
    agent.wait_until_fresh();
    agent.wait_until("the fault in the log", || agent.log().contains("metrics: --metrics-address 127.0.0.1:9464"));
    drop(taken);
    agent.wait_until_well();
}

#[test]
fn a_command_line_that_cannot_be_is_refused_with_what_would_be_right() {
    let site = Site::start();
    for (words, said) in [
        (&["--token-lifetime", "5m"][..], "no token for less than 10m"),
        (&["--metrics-address", "9464"][..], "invalid value '9464'"),
        (&["--kubeconfig", "/run/missing"][..], "/run/missing"),
        (&["--log-level", "loud"][..], "is no log level"),
    ] {
        let mut command = site.node().command(env!("CARGO_BIN_EXE_rooknetctl"));
        command.arg("agent").args(words);
        let outcome = crate::support::run(command, b"");
        assert!(!outcome.success() && outcome.to_string().contains(said), "{words:?}: {outcome}");
    }
}
