//! What the plugin's calls become: metrics, and the events that the plugin left to the agent.

use serde_json::{Value, json};

use super::Agent;
use super::token::config;
use crate::networks::{macvlan, site};
use crate::site::Site;

fn events(site: &Site) -> Vec<Value> {
    let path = format!("/api/v1/namespaces/{}/events", site.namespace);
    site.cluster.get(&path).expect_success("events")["items"].as_array().unwrap().clone()
}

#[test]
fn calls_of_the_plugin_are_counted_by_command_code_cause_and_network() {
    let site = site();
    site.define("public", &macvlan(&["192.168.20.0/29"]));
    let agent = Agent::start(&site);
    agent.wait_until_well();
    let pod = site.pod("osd", Some("public"));
    site.add(&config(&site), &pod);
    let missing = site.pod("missing", Some("missing"));
    let refused = site.run("ADD", &config(&site), &missing);
    assert_eq!(refused.error().0, 7);
    site.run("DEL", &config(&site), &missing).expect_success("DEL");
    agent.wait_until("the calls", || agent.metric("rooknet_calls_total{command=\"DEL\",code=\"0\"}") == Some(1.0));
    let network = format!("{}/public", site.namespace);
    for (name, value) in [
        ("rooknet_calls_total{command=\"ADD\",code=\"0\"}".to_owned(), 1.0),
        ("rooknet_calls_total{command=\"ADD\",code=\"7\"}".to_owned(), 1.0),
        ("rooknet_call_errors_total{command=\"ADD\",cause=\"configuration\"}".to_owned(), 1.0),
        ("rooknet_call_duration_seconds_count{command=\"ADD\"}".to_owned(), 2.0),
        (format!("rooknet_network_duration_seconds_count{{command=\"ADD\",network=\"{network}\"}}"), 1.0),
        ("rooknet_call_records_unreadable_total".to_owned(), 0.0),
    ] {
        assert_eq!(agent.metric(&name), Some(value), "{name}");
    }
    assert!(agent.metric("rooknet_api_requests_total").unwrap() >= 1.0);
    drop(agent);
    // What is on the disk is counted by the next agent too.
    let agent = Agent::start(&site);
    agent.wait_until_well();
    let addresses = |state| format!("rooknet_addresses{{network=\"{network}\",family=\"ipv4\",state=\"{state}\"}}");
    agent.wait_until("the address in use", || agent.metric(&addresses("used")) == Some(1.0));
    assert_eq!(agent.metric(&addresses("free")), Some(4.0));
    assert_eq!(agent.metric(&format!("rooknet_attachments{{network=\"{network}\"}}")), Some(1.0));
    assert_eq!(agent.metric("rooknet_journals{kind=\"all\"}"), Some(1.0));
    assert!(agent.metric("rooknet_snapshot_age_seconds").unwrap() < 20.0);
    drop(agent);
    site.del(&config(&site), &pod);
    site.assert_clean();
}

#[test]
fn the_page_is_one_that_a_reader_of_openmetrics_takes() {
    let site = Site::start();
    let agent = Agent::start(&site);
    agent.wait_until_well();
    let (status, page) = agent.get("/metrics").unwrap();
    assert_eq!(status, 200);
    assert!(page.ends_with("# EOF\n"), "{page}");
    let mut families = std::collections::BTreeSet::new();
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} has two types");
            assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = sample.split('{').next().unwrap();
            let family = ["_total", "_bucket", "_sum", "_count", "_info", ""]
                .iter()
                .find_map(|suffix| families.contains(name.strip_suffix(suffix)?).then_some(()));
            assert!(name.starts_with("rooknet_") && family.is_some(), "{line}");
        }
    }
}

#[test]
fn requests_of_anybody_cannot_hold_the_page_up() {
    let site = Site::start();
    let agent = Agent::start(&site);
    agent.wait_until_well();
    assert_eq!(agent.get("/").unwrap().0, 404);
    assert_eq!(agent.exchange("POST /metrics HTTP/1.1\r\nhost: a\r\n\r\n").unwrap().0, 405);
    let long = "a".repeat(100_000);
    assert_ne!(agent.get(&format!("/metrics?{long}")).map(|(status, _)| status), Some(200));
    assert_eq!(agent.exchange("nonsense\r\n\r\n").map(|(status, _)| status), Some(400));
    // Fewer silent connections than there are places: the others are answered beside them.
    let silent = agent.on_node(|| {
        (0..10).map(|_| std::net::TcpStream::connect(("127.0.0.1", super::PORT)).unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(agent.get("/healthz").unwrap().0, 200);
    drop(silent);
}

#[test]
fn events_that_the_plugin_left_to_the_agent_are_those_that_it_would_have_written() {
    let site = site();
    site.define("public", &macvlan(&["192.168.20.0/24"]));
    let mut config = config(&site);
    config["events"] = json!(true);
    let agent = Agent::start(&site);
    agent.wait_until_well();
    let pod = site.pod("osd", Some("public"));
    site.add(&config, &pod);
    let failing = site.pod("failing", Some("missing"));
    let said = site.run("ADD", &config, &failing).json()["msg"].as_str().unwrap().to_owned();
    agent.wait_until("the events", || events(&site).len() == 3);
    let network = format!("{}/public", site.namespace);
    for (pod, kind, reason, message) in [
        (&pod, "Normal", "AddedInterface", "Add eth0 [10.244.0.5/24] from k8s-pods".to_owned()),
        (&pod, "Normal", "AddedInterface", format!("Add net1 [192.168.20.2/24] from {network}")),
        (&failing, "Warning", "FailedToAttachNetworks", said),
    ] {
        let found = events(&site).into_iter().find(|event| event["message"] == message.as_str());
        let event = found.unwrap_or_else(|| panic!("{message}: {:?}", events(&site)));
        assert_eq!((event["type"].as_str(), event["reason"].as_str()), (Some(kind), Some(reason)));
        assert_eq!(event["involvedObject"]["uid"], pod.uid.as_str());
        assert_eq!(event["source"], json!({"component": "rooknet", "host": site.node_name}));
        assert_eq!(event["reportingInstance"], site.node_name.as_str());
    }
    let by_plugin: Vec<String> = site.requests().into_iter().filter(|line| line.contains("events")).collect();
    assert_eq!(by_plugin, Vec::<String>::new());
    assert_eq!(agent.metric("rooknet_events_total{kind=\"sent\"}"), Some(3.0));
    drop(agent);
    site.del(&config, &pod);
    site.assert_clean();
}
