//! What an API server, or the way to it, does to an ADD: the pod gets its networks and its status, or nothing is left.
//!
//! Each test says for which reports about Multus it stands (numbers of k8snetworkplumbingwg/multus-cni). With
//! `--nocapture` each case prints a line `case: NAME: OUTCOME in N ms`. The times are for a table; no test judges them.

mod answers;
mod endless;
mod gone;
mod latency;
mod moments;
mod pods;
mod refused;
mod static_pods;
mod tokens;
mod ways;
mod without;

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use serde_json::{Value, json};

use crate::cluster::pod_path;
use crate::fixture::{Refusal, merge};
use crate::proxy::{Fault, Front, Proxy, Rule};
use crate::site::{Pod, Site};
use crate::support::{Outcome, PluginCall, RunningCall, wait_until};

/// The longest that a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// `deadline` of an ADD that is meant to run into it, and not before it has attached what it attaches.
const SHORT: &str = "2500ms";
/// Code 11: try again later.
const LATER: u64 = 11;
/// The code of a call that a signal or its deadline ended.
const INTERRUPTED: u64 = 103;
/// The code of what the API server refused.
const REFUSED: u64 = 105;
/// Where the plugin of a network can be held up: the beginning of the path, the network's name follows.
const GATE: &str = "/run/stub.gate.";

/// A node whose way to the shared API server leads through a proxy, and a network `public` of the stub plugin.
struct Scene {
    proxy: Proxy,
    site: Site,
    /// How many requests [`Scene::asked`] has told of.
    told: Cell<usize>,
}

impl Scene {
    fn start() -> Self {
        Self::with(|site| Proxy::start(site.cluster, site.cluster.server(), site.node()))
    }

    /// The same with a proxy that offers these protocols only.
    fn speaking(protocols: &[&'static str]) -> Self {
        Self::with(|site| {
            let front = Front { protocols: protocols.to_vec(), ..Front::new(site.cluster) };
            Proxy::with_front(site.cluster, site.cluster.server(), site.node(), &front)
        })
    }

    fn with(proxy: impl FnOnce(&Site) -> Proxy) -> Self {
        let site = Site::start();
        let proxy = proxy(&site);
        site.use_server(&proxy.url());
        site.define_stub("public", &json!({}));
        Self { proxy, site, told: Cell::new(0) }
    }

    /// Treats the first so many requests of this method with `fault`.
    fn disturb(&self, method: &str, times: usize, fault: Fault) {
        self.proxy.add(Rule::new(fault).method(method).times(times));
    }

    /// The requests since the last call of this, as `METHOD name STATUS`: the name is the network's or the pod's, and
    /// the status of what was not answered is `-`.
    fn asked(&self) -> Vec<String> {
        let exchanges = self.proxy.exchanges();
        let from = self.told.replace(exchanges.len());
        exchanges[from..]
            .iter()
            .map(|exchange| {
                let name = exchange.path.trim_end_matches("/status").rsplit('/').next().unwrap_or_default();
                let status = exchange.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
                format!("{} {name} {status}", exchange.method)
            })
            .collect()
    }

    /// Waits until so many requests of this method have come to the proxy since the last call of [`Scene::asked`].
    fn wait_for(&self, method: &str, count: usize) {
        wait_until(&format!("{count} {method} at the proxy"), PATIENCE, || {
            let exchanges = self.proxy.exchanges();
            exchanges[self.told.get()..].iter().filter(|exchange| exchange.method == method).count() >= count
        });
    }
}

/// rooknet's configuration in either mode, by the mode's name.
fn modes(site: &Site) -> [(&'static str, Value); 2] {
    [("chained", site.chained()), ("delegating", site.delegating())]
}

/// The same with a deadline that the case runs into.
fn hurried(site: &Site) -> [(&'static str, Value); 2] {
    modes(site).map(|(mode, config)| (mode, with(config, &json!({"deadline": SHORT}))))
}

/// An ADD in each mode, of pods that are named after the modes, at once; all must fail as [`Case::fails`] says.
#[track_caller]
fn both_fail(case: &str, site: &Site, network: &str, code: u64, words: &[&str]) {
    let configs = hurried(site);
    let pods = configs.each_ref().map(|(mode, _)| site.pod(mode, Some(network)));
    let cases = configs.iter().zip(&pods).map(|((_, config), pod)| Case::add(case, site, config, pod));
    Case::all_fail(cases.collect(), code, words);
}

fn is_chained(config: &Value) -> bool {
    config.get("delegates").is_none() && config.get("clusterNetwork").is_none()
}

/// A configuration with some other keys.
fn with(mut config: Value, keys: &Value) -> Value {
    merge(&mut config, keys);
    config
}

/// Makes the network `name`, whose ADD is held up before its work; see [`at_gate`].
fn define_held(site: &Site, name: &str) {
    let gate = format!("{GATE}{name}");
    site.node().ok(&["mkfifo", &gate]);
    site.define_stub(name, &json!({"gate": gate, "gateOn": ["ADD"]}));
}

/// Waits until the plugin of that network is called. It goes on when the answer is dropped.
fn at_gate(site: &Site, name: &str) -> File {
    let mut options = OpenOptions::new();
    // Without a reader this fails, instead of waiting for one for ever.
    options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
    let mut gate = None;
    wait_until("the plugin at the gate", PATIENCE, || {
        gate = options.open(site.node().path(&format!("{GATE}{name}"))).ok();
        gate.is_some()
    });
    gate.unwrap()
}

/// Does the same for each of several things at once: what they wait for is waited for once.
fn side_by_side<T: Sync>(things: &[T], work: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for thing in things {
            scope.spawn(|| work(thing));
        }
    });
}

/// A call that runs, or has run.
struct Case<'a> {
    name: String,
    site: &'a Site,
    config: &'a Value,
    pod: &'a Pod<'a>,
    started: Instant,
    call: RunningCall,
}

impl<'a> Case<'a> {
    /// Starts an ADD.
    fn add(name: &str, site: &'a Site, config: &'a Value, pod: &'a Pod<'a>) -> Self {
        Self::of(name, site, config, pod, &site.call("ADD", config, pod))
    }

    /// Starts any call.
    fn of(name: &str, site: &'a Site, config: &'a Value, pod: &'a Pod<'a>, call: &PluginCall) -> Self {
        let mode = if is_chained(config) { "chained" } else { "delegating" };
        let (name, started) = (format!("{name} ({mode})"), Instant::now());
        Self { name, site, config, pod, started, call: call.start(site.node()) }
    }

    /// Its end.
    fn end(self) -> Outcome {
        let outcome = self.call.wait();
        report(&self.name, self.started, &outcome);
        outcome
    }

    /// It must succeed, with the default network's result and a status of exactly these networks of the site's
    /// namespace. Then a DEL must leave nothing.
    #[track_caller]
    fn succeeds(self, networks: &[&str]) {
        let (name, site, config, pod) = (self.name.clone(), self.site, self.config, self.pod);
        let outcome = self.end();
        outcome.expect_success(&name);
        assert_eq!(outcome.json()["ips"][0]["address"], "10.244.0.5/24", "{name}: {outcome}");
        let status = site.status(pod).unwrap_or_else(|| panic!("{name}: no network-status: {outcome}"));
        let found: Vec<&str> = status.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        let selected = networks.iter().map(|network| format!("{}/{network}", site.namespace));
        let default = if is_chained(config) { "k8s-pods" } else { "pods" };
        let expected: Vec<String> = std::iter::once(default.to_owned()).chain(selected).collect();
        assert_eq!(found, expected, "{name}");
        site.del(config, pod);
    }

    /// It must fail with this code and a message that has all of `words`; nothing is left on the node, and the pod, if
    /// there is one, has no status.
    #[track_caller]
    fn fails(self, code: u64, words: &[&str]) -> Refusal {
        let (name, site, pod) = (self.name.clone(), self.site, self.pod);
        let refusal = Refusal::of(&name, &self.end()).expect(&name, code, words);
        site.assert_clean();
        assert_no_status(site, pod);
        refusal
    }

    /// The same of several that run at once.
    #[track_caller]
    fn all_fail(cases: Vec<Self>, code: u64, words: &[&str]) {
        let ends = cases.into_iter().map(|Self { name, site, pod, started, call, .. }| {
            let waiter = thread::spawn(move || {
                let outcome = call.wait();
                report(&name, started, &outcome);
                (name, outcome)
            });
            (site, pod, waiter)
        });
        // All of them wait before the first is asked for its end.
        let ends: Vec<_> = ends.collect();
        let ended: Vec<_> = ends.into_iter().map(|(site, pod, waiter)| (site, pod, waiter.join().unwrap())).collect();
        for (site, pod, (name, outcome)) in ended {
            Refusal::of(&name, &outcome).expect(&name, code, words);
            site.assert_clean();
            assert_no_status(site, pod);
        }
    }
}

/// The pod, if there is one, has no status.
#[track_caller]
fn assert_no_status(site: &Site, pod: &Pod<'_>) {
    if site.cluster.get(&pod_path(&pod.namespace, &pod.name)).is_success() {
        assert_eq!(site.status(pod), None, "{}", pod.name);
    }
}

/// The line of a case: see the module's front page.
fn report(name: &str, started: Instant, outcome: &Outcome) {
    let milliseconds = started.elapsed().as_millis();
    let ended = match (outcome.success(), serde_json::from_slice::<Value>(&outcome.stdout)) {
        (true, _) => "success".to_owned(),
        (false, Ok(error)) => format!("code {}", error["code"]),
        (false, Err(_)) => "killed".to_owned(),
    };
    eprintln!("case: {name}: {ended} in {milliseconds} ms");
}
