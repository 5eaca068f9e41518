//! The life of an attachment: ADD, CHECK, DEL, in both modes.

use serde_json::json;

use crate::fixture::Fixture;

#[test]
fn chained_add_attaches_the_selection_and_prints_the_primary_result_unchanged() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    fixture.define_stub("cluster", &json!({}));
    let pod = fixture.pod("osd", Some("public, cluster@cluster"));
    let config = fixture.chained();

    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD");
    assert_eq!(added.json(), config["prevResult"]);
    assert_eq!(pod.netns.interfaces(), ["cluster", "net1"]);
    fixture.run("CHECK", &config, &pod).expect_success("CHECK");
    fixture.run("DEL", &config, &pod).expect_success("DEL");

    assert_eq!(
        fixture.recorded_calls(),
        ["ADD net1", "ADD cluster", "CHECK net1", "CHECK cluster", "DEL cluster", "DEL net1"]
    );
    fixture.assert_clean();
}

#[test]
fn delegating_add_attaches_the_default_network_first_and_prints_its_result() {
    let fixture = Fixture::start();
    fixture.define_stub("public", &json!({}));
    let pod = fixture.pod("mon", Some("public"));
    let config = fixture.delegating(&json!({"address": "10.244.0.7/24"}));

    let added = fixture.run("ADD", &config, &pod);
    added.expect_success("ADD");
    assert_eq!(added.json()["ips"][0]["address"], "10.244.0.7/24");
    assert_eq!(pod.netns.interfaces(), ["eth0", "net1"]);
    let mut check = config.clone();
    check["prevResult"] = added.json();
    fixture.run("CHECK", &check, &pod).expect_success("CHECK");
    fixture.run("DEL", &check, &pod).expect_success("DEL");

    assert_eq!(fixture.recorded_calls(), ["ADD eth0", "ADD net1", "CHECK eth0", "CHECK net1", "DEL net1", "DEL eth0"]);
    fixture.assert_clean();
}
