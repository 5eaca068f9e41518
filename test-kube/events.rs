//! Events of pods (key `events`): what `kubectl describe pod` tells of an ADD, and that no ADD depends on them.

use serde_json::{Value, json};

use crate::cluster::Account;
use crate::fixture::PATIENCE;
use crate::networks::{macvlan, site_with};
use crate::proxy::{Exchange, Fault, Hold, Proxy, Rule};
use crate::site::{Pod, Site};
use crate::support::wait_until;

/// A node behind a proxy, with the network `public`, a network `broken` whose plugin fails late, and events on.
struct Eventful {
    site: Site,
    proxy: Proxy,
    config: Value,
}

impl Eventful {
    fn start(account: Account) -> Self {
        let site = site_with(account);
        site.define("public", &macvlan(&["192.168.20.0/24", "fd00:20::/64"]));
        let mut broken = macvlan(&["192.168.21.0/24"]);
        // A gateway that no subnet has: the kernel refuses the route, with link and address made.
        broken["ipam"]["routes"] = json!([{"dst": "203.0.113.0/24", "gw": "192.0.2.1"}]);
        site.define("broken", &broken);
        let proxy = Proxy::start(site.cluster, site.cluster.server(), site.node());
        site.use_server(&proxy.url());
        let mut config = site.chained();
        config["events"] = json!(true);
        Self { site, proxy, config }
    }

    /// The statuses of the answers to POSTs, `None` where there was none.
    fn posted(&self) -> Vec<Option<u16>> {
        let is_post = |exchange: &&Exchange| exchange.method == "POST";
        self.proxy.exchanges().iter().filter(is_post).map(|exchange| exchange.status).collect()
    }

    /// An ADD whose PATCH is held until so many events have been answered.
    fn add_after_events(&self, pod: &Pod<'_>, events: usize) -> String {
        let hold = Hold::new();
        self.proxy.add(Rule::new(Fault::Hold(hold.clone())).method("PATCH"));
        let adding = self.site.call("ADD", &self.config, pod).start(self.site.node());
        wait_until("answers to the events", PATIENCE, || self.posted().iter().flatten().count() == events);
        wait_until("the PATCH beside them", PATIENCE, || {
            self.proxy.exchanges().iter().any(|exchange| exchange.method == "PATCH" && exchange.status.is_none())
        });
        hold.release();
        let added = adding.wait();
        added.expect_success("ADD");
        String::from_utf8_lossy(&added.stderr).into_owned()
    }

    /// The events in the site's namespace, without what differs from run to run, sorted by message.
    fn events(&self) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{}/events", self.site.namespace);
        let list = self.site.cluster.get(&path).expect_success("events");
        let mut events: Vec<Value> = list["items"].as_array().unwrap().clone();
        for event in &mut events {
            let times = [event["firstTimestamp"].take(), event["lastTimestamp"].take()];
            assert!(times[0] == times[1] && times[0].as_str().is_some_and(|time| time.ends_with('Z')), "{times:?}");
            let name = event["metadata"]["name"].take();
            let pod = event["involvedObject"]["name"].as_str().unwrap();
            assert!(name.as_str().unwrap().starts_with(&format!("{pod}.")), "{name}");
            let event = event.as_object_mut().unwrap();
            event.remove("metadata");
            event.retain(|_, value| !value.is_null());
        }
        events.sort_by_key(|event| event["message"].to_string());
        events
    }

    fn expected(&self, pod: &Pod<'_>, kind: &str, reason: &str, message: &str) -> Value {
        let (namespace, name, uid, host) = (&pod.namespace, &pod.name, &pod.uid, &self.site.node_name);
        json!({
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid},
            "type": kind, "reason": reason, "message": message, "count": 1,
            "source": {"component": "rooknet", "host": host},
            "reportingComponent": "rooknet", "reportingInstance": host,
        })
    }

    fn describe(&self, pod: &Pod<'_>) -> String {
        let words = ["describe", "pod", &pod.name, "--namespace", &pod.namespace];
        self.site.cluster.kubectl(&words, "").expect_success("kubectl describe")
    }
}

#[test]
fn each_attachment_has_an_event_that_kubectl_shows() {
    let site = Eventful::start(Account::WithEvents);
    let pod = site.site.pod("osd", Some("public,public@other"));
    site.add_after_events(&pod, 3);
    let network = format!("{}/public", pod.namespace);
    let messages = [
        "Add eth0 [10.244.0.5/24] from k8s-pods".to_owned(),
        format!("Add net1 [192.168.20.2/24 fd00:20::2/64] from {network}"),
        format!("Add other [192.168.20.3/24 fd00:20::3/64] from {network}"),
    ];
    let expected = messages.each_ref().map(|message| site.expected(&pod, "Normal", "AddedInterface", message));
    assert_eq!(site.events(), expected);
    let shown = site.describe(&pod);
    for message in messages {
        let line = shown.lines().find(|line| line.ends_with(&message)).unwrap_or_else(|| panic!("{message}: {shown}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[1]), ("Normal", "AddedInterface"), "{line}");
        assert!(words.contains(&"rooknet"), "{line}");
    }
    assert_eq!(site.proxy.connections(), 1, "they leave with the PATCH");
    site.site.del(&site.config, &pod);
    assert_eq!(site.events().len(), 3, "none for a DEL");
    site.site.assert_clean();
}

#[test]
fn an_add_does_not_wait_for_its_events_once_the_status_is_written() {
    let site = Eventful::start(Account::WithEvents);
    let hold = Hold::new();
    site.proxy.add(Rule::new(Fault::Hold(hold.clone())).method("POST"));
    let pod = site.site.pod("osd", Some("public"));
    site.site.add(&site.config, &pod);
    assert_eq!(site.posted(), [None, None]);
    assert_eq!(site.site.status(&pod).unwrap().as_array().unwrap().len(), 2);
    hold.release();
    site.site.del(&site.config, &pod);
    site.site.assert_clean();
}

#[test]
fn a_failed_add_has_a_warning_with_its_reason() {
    let site = Eventful::start(Account::WithEvents);
    let rows = [
        ("a plugin that fails", "public,broken", "broken"),
        ("a network that is not there", "public,missing", "does not exist"),
        ("an annotation that is none", "[{\"name\": 7}]", "k8s.v1.cni.cncf.io/networks"),
    ];
    for (number, (what, selection, word)) in rows.into_iter().enumerate() {
        let pod = site.site.pod(&format!("osd-{number}"), Some(selection));
        let outcome = site.site.run("ADD", &site.config, &pod);
        let (_, message) = outcome.error();
        let said = outcome.json()["msg"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{what}: {message}");
        let events: Vec<Value> =
            site.events().into_iter().filter(|event| event["involvedObject"]["uid"] == *pod.uid).collect();
        assert_eq!(events, [site.expected(&pod, "Warning", "FailedToAttachNetworks", &said)], "{what}");
        let shown = site.describe(&pod);
        let is_warning = |line: &str| line.trim_start().starts_with("Warning  FailedToAttachNetworks");
        assert!(shown.lines().any(is_warning), "{what}: {shown}");
        assert_eq!(site.site.status(&pod), None, "{what}");
        site.site.assert_clean();
    }
}

#[test]
fn without_the_right_an_add_succeeds_and_the_log_says_what_was_refused() {
    let site = Eventful::start(Account::Plain);
    let pod = site.site.pod("osd", Some("public"));
    let log = site.add_after_events(&pod, 2);
    assert_eq!(site.posted(), [Some(403), Some(403)]);
    let lines = log.lines().filter(|line| line.contains("an event of the pod was not written")).count();
    assert_eq!(lines, 2, "{log}");
    assert!(log.contains("cannot create resource"), "{log}");
    assert_eq!(site.site.status(&pod).unwrap().as_array().unwrap().len(), 2);
    site.site.del(&site.config, &pod);

    let failing = site.site.pod("failing", Some("missing"));
    site.site.refused_add("the cause, and not the event", &site.config, &failing, 7, &["does not exist"]);
    assert_eq!(site.posted().len(), 3);
    assert_eq!(site.events(), Vec::<Value>::new());
    site.site.assert_clean();
}

#[test]
fn without_the_key_there_are_no_events() {
    let mut site = Eventful::start(Account::WithEvents);
    for value in [json!(false), Value::Null] {
        site.config["events"] = value;
        let pod = site.site.pod(&site.site.cluster.unique_name("osd"), Some("public"));
        site.site.add(&site.config, &pod);
        site.site.del(&site.config, &pod);
        let failing = site.site.pod(&site.site.cluster.unique_name("failing"), Some("missing"));
        site.site.refused_add("a network that is not there", &site.config, &failing, 7, &["does not exist"]);
    }
    assert_eq!(site.posted(), []);
    assert_eq!(site.events(), Vec::<Value>::new());
    site.site.assert_clean();
}
