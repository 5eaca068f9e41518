//! GC and what is alive although it cannot be seen: a plugin that still collects, a pod whose paths lie elsewhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::support::wait_until;

fn with_list(config: &Value, list: Value) -> Value {
    let mut config = config.clone();
    config["cni.dev/valid-attachments"] = list;
    config
}

#[test]
fn an_add_waits_for_a_plugins_gc_whose_rooknet_was_killed() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({"hangOn": ["GC"]}));
    let config = fixture.chained();
    let first = fixture.pod("first", Some("public"));
    fixture.run("ADD", &config, &first).expect_success("ADD");
    let list = json!([{"containerID": first.id, "ifname": "eth0"}]);
    let mut gc = crate::support::PluginCall::new(&fixture.program(), "GC", &with_list(&config, list).to_string())
        .start(&fixture.node);
    wait_until("the plugin's GC", Duration::from_secs(10), || fixture.recorded_calls().contains(&"GC ".to_owned()));
    gc.kill();
    gc.wait();

    let second = fixture.pod("second", Some("public"));
    fixture.run("ADD", &config, &second).expect_success("ADD");
    let left = fixture.node.processes();
    assert!(left.is_empty(), "a GC that knows nothing of the new pod still runs: {left:?}");
}

#[test]
fn a_gc_that_does_not_see_the_runtimes_mounts_ends_no_pod_that_runs() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("osd", Some("public"));
    fixture.run("ADD", &fixture.chained(), &pod).expect_success("ADD");
    fixture.node.write("/run/config.json", fixture.chained().to_string());
    let gc = "umount -l /run/netns/*; CNI_COMMAND=GC CNI_PATH=/opt/cni/bin /opt/cni/bin/rooknet < /run/config.json";
    let collect = || fixture.node.ok(&["unshare", "--mount", "sh", "-c", gc]);

    let mut daemon = pod.netns.command("sleep").arg("600").spawn().unwrap();
    wait_until("the pod's process", Duration::from_secs(10), || {
        std::fs::read_to_string(format!("/proc/{}/comm", daemon.id())).is_ok_and(|name| name == "sleep\n")
    });
    collect();
    assert_eq!(fixture.taken(), [format!("{}@net1", pod.id)]);
    assert_eq!(pod.netns.interfaces(), ["net1"]);
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    fixture.run("DEL", &fixture.chained(), &pod).expect_success("DEL");
    fixture.assert_clean();
}
