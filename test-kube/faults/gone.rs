//! An API server that is away, for a while or for longer than anybody waits.

use serde_json::json;

use super::without::configurations;
use super::{Case, LATER, PATIENCE, SHORT, at_gate, both_fail, define_held, hurried, modes, side_by_side, with};
use crate::cluster::ApiServer;
use crate::proxy::{Gate, Passage};
use crate::site::Site;
use crate::support::wait_until;

/// rooknet's log on the node.
const LOG: &str = "/var/log/rooknet/rooknet.log";

/// Kills the server while the ADD of the network `network` has not sent its PATCH yet, and waits until that has found
/// nobody.
fn kill_before_the_patch(site: &Site, server: &ApiServer, network: &str) {
    let held = at_gate(site, network);
    server.kill();
    site.node().write(LOG, "");
    drop(held);
    wait_until("a PATCH that finds no server", PATIENCE, || {
        let log = site.node().read(LOG).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().any(|line| line.contains("PATCH") && line.contains("tried again"))
    });
}

/// Multus 1461, 855: the API server is killed and started again between the GET and the PATCH. Another server on the
/// same etcd, so that the other tests keep theirs; before it something that goes by its readiness, as load balancers do.
/// Without that a server which has just been started refuses with 403 what it will grant when it has read the roles.
#[test]
fn an_api_server_that_is_killed_and_started_again_during_an_add_is_waited_for() {
    let site = Site::start();
    let server = site.cluster.another_server();
    let gate = Gate::start(&server, site.node());
    site.use_server(&gate.url());
    for (mode, config) in modes(&site) {
        define_held(&site, mode);
        let config = with(config, &json!({"logFile": LOG}));
        let pod = site.pod(mode, Some(mode));
        let add = Case::add("API server killed and started again", &site, &config, &pod);
        kill_before_the_patch(&site, &server, mode);
        gate.set(Passage::Refused);
        server.start_again();
        server.wait_until_ready();
        site.cluster.wait_until_rights_hold(&server);
        gate.set(Passage::Open);
        add.succeeds(&[mode]);
        assert_eq!(
            site.requests_to(&server).split_off(if mode == "chained" { 0 } else { 2 }),
            [
                format!("get network-attachment-definitions {}/{mode} 200", site.namespace),
                format!("patch pods/status {}/{mode} 200", site.namespace)
            ]
        );
    }
    site.assert_clean();
}

/// Multus 1461, 855: the same with nothing before the server. One that has just been started refuses with 403 what it
/// will grant when it has read the roles.
#[test]
fn an_api_server_that_starts_during_an_add_may_refuse_until_it_knows_the_roles() {
    let site = Site::start();
    let server = site.cluster.another_server();
    site.use_server(&server.url());
    for (mode, config) in modes(&site) {
        define_held(&site, mode);
        let config = with(config, &json!({"logFile": LOG}));
        let pod = site.pod(mode, Some(mode));
        let add = Case::add("API server killed and started again, direct", &site, &config, &pod);
        kill_before_the_patch(&site, &server, mode);
        server.start_again();
        add.succeeds(&[mode]);
        server.wait_until_ready();
        site.cluster.wait_until_rights_hold(&server);
    }
    site.assert_clean();
}

/// Multus 1461: nobody listens at the server's address. The default network may be known to the server alone, too.
#[test]
fn a_server_that_is_away_for_longer_than_the_deadline_fails_the_add_before_anything_is_attached() {
    let site = Site::start();
    site.define_stub("public", &json!({}));
    let configs = configurations(&site).map(|config| with(config, &json!({"deadline": SHORT})));
    let gate = Gate::start(site.cluster.server(), site.node());
    gate.set(Passage::Refused);
    site.use_server(&gate.url());
    let pods = ["chained", "delegating", "by-reference"].map(|name| site.pod(name, Some("public")));
    let cases = configs.iter().zip(&pods).map(|(config, pod)| Case::add("API server away", &site, config, pod));
    let words = ["GET", &gate.url(), "the deadline has passed", "Connection refused"];
    Case::all_fail(cases.collect(), LATER, &words);
    assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
    gate.set(Passage::Open);
    for (mode, config) in modes(&site) {
        let pod = site.pod(&format!("{mode}-again"), Some("public"));
        Case::add("API server back", &site, &config, &pod).succeeds(&["public"]);
    }
    site.assert_clean();
}

/// Multus 1497 and a fault of its without a number: a status that cannot be written leaves all interfaces. The rollback
/// has no server either.
#[test]
fn a_server_that_goes_away_before_the_status_undoes_the_add_without_it() {
    side_by_side(&[Passage::Refused, Passage::Silent], |&passage| {
        let site = Site::start();
        let gate = Gate::start(site.cluster.server(), site.node());
        site.use_server(&gate.url());
        let configs = hurried(&site);
        let pods = configs.each_ref().map(|&(mode, _)| {
            define_held(&site, mode);
            site.pod(mode, Some(mode))
        });
        let name = format!("API server {passage:?} before the PATCH");
        let cases = configs.iter().zip(&pods).map(|((_, config), pod)| Case::add(&name, &site, config, pod)).collect();
        let held = configs.each_ref().map(|&(mode, _)| at_gate(&site, mode));
        gate.set(passage);
        drop(held);
        Case::all_fail(cases, LATER, &["network-status was not written", "PATCH", "the deadline has passed"]);
        for call in ["ADD net1", "DEL net1"] {
            assert_eq!(site.fixture.recorded_calls().iter().filter(|made| *made == call).count(), 2, "{call}");
        }
        let asked = site.requests();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked.iter().all(|line| line.starts_with("get network-attachment-definitions")), "{asked:?}");
    });
}

/// Multus 1461: a name that cannot be resolved is tried again like a server that is away.
#[test]
fn a_server_whose_name_cannot_be_resolved_fails_the_add_before_anything_is_attached() {
    let site = Site::start();
    site.use_server("https://nowhere.rooknet.invalid:6443");
    both_fail("name not resolved", &site, "public", LATER, &["GET", "nowhere.rooknet.invalid", "cannot be resolved"]);
    assert_eq!(site.fixture.recorded_calls(), Vec::<String>::new());
}
