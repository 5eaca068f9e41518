//! What Prometheus reads, in the OpenMetrics text format.
//!
//! No label takes a value that somebody outside of the node's administration chooses without bound: names of networks
//! are counted ([`Names`]), and further ones are called `other`. Nothing is labelled by pod or container.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::cni::text::printable;

/// Names of networks that have series of their own, at most.
const MOST_NETWORKS: usize = 100;
/// Bounds of durations in seconds: from an ADD without networks to the plugin's deadline.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 100.0];

/// A number with a fraction.
type Fraction = Gauge<f64, AtomicU64>;
/// Durations by labels.
type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// A command and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    /// ADD, DEL, CHECK, GC or STATUS.
    pub(super) command: String,
    /// The code of its error; 0 without one.
    pub(super) code: u32,
}

/// A command and why it failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CauseLabels {
    /// As above.
    pub(super) command: String,
    /// The kind of the cause.
    pub(super) cause: String,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CommandLabels {
    /// As above.
    pub(super) command: String,
}

/// A command for a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CommandNetworkLabels {
    /// As above.
    pub(super) command: String,
    /// `namespace/name`.
    pub(super) network: String,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NetworkLabels {
    /// `namespace/name`.
    pub(super) network: String,
}

/// A network's addresses in a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PoolLabels {
    /// `namespace/name`.
    pub(super) network: String,
    /// `ipv4` or `ipv6`.
    pub(super) family: &'static str,
    /// `used` or `free`.
    pub(super) state: &'static str,
}

/// One of a few kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    /// Which.
    pub(super) kind: &'static str,
}

/// A loop of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LoopLabels {
    /// Its name, as in /healthz.
    pub(super) name: String,
}

/// All metrics. Clones are the same metrics.
#[derive(Clone)]
pub(super) struct Metrics {
    registry: Rc<Registry>,
    names: Names,
    /// Calls of the plugin.
    pub(super) calls: Family<CallLabels, Counter>,
    /// Why calls failed.
    pub(super) errors: Family<CauseLabels, Counter>,
    /// How long calls took.
    pub(super) durations: Durations<CommandLabels>,
    /// How long a network took in them.
    pub(super) network_durations: Durations<CommandNetworkLabels>,
    /// Requests of the plugin to the API server.
    pub(super) api_requests: Counter,
    /// How long a call waited for the API server.
    pub(super) api_durations: Histogram,
    /// Lines among the records of calls that are none.
    pub(super) unreadable_records: Counter,
    /// Addresses by network: used and free.
    pub(super) addresses: Family<PoolLabels, Gauge>,
    /// Attachments by network.
    pub(super) attachments: Family<NetworkLabels, Gauge>,
    /// Journals: all, incomplete, failed, corrupt.
    pub(super) journals: Family<KindLabels, Gauge>,
    /// Network definitions in the snapshot.
    pub(super) definitions: Gauge,
    /// Seconds since the snapshot's heartbeat; set when it is read.
    pub(super) snapshot_age: Fraction,
    /// Whether the watch that keeps the snapshot is live.
    pub(super) snapshot_live: Gauge,
    /// When the plugin's token expires, in seconds since 1970.
    pub(super) token_expiry: Gauge,
    /// Tokens that were requested.
    pub(super) token_renewals: Counter,
    /// Seconds of the plugin's own way to the API server and back, as the agent tries it.
    pub(super) credentials_probe: Fraction,
    /// What was repaired: shim, link, stale.
    pub(super) repairs: Family<KindLabels, Counter>,
    /// Faults that a loop found and cannot mend.
    pub(super) faults: Family<KindLabels, Gauge>,
    /// Whether the installation is verified.
    pub(super) install_verified: Gauge,
    /// Pods that lack networks which they select.
    pub(super) lacking: Gauge,
    /// Pods that were evicted for it.
    pub(super) evictions: Family<KindLabels, Counter>,
    /// Events: sent, refused, dropped.
    pub(super) events: Family<KindLabels, Counter>,
    /// Whether each loop is well.
    pub(super) loops: Family<LoopLabels, Gauge>,
    /// Resident memory of the agent, in bytes; set when it is read.
    pub(super) memory: Gauge,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// All of them, at zero.
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("rooknet");
        let metrics = Metrics {
            registry: Rc::default(),
            names: Names::default(),
            calls: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(seconds),
            network_durations: Family::new_with_constructor(seconds),
            api_requests: Counter::default(),
            api_durations: seconds(),
            unreadable_records: Counter::default(),
            addresses: Family::default(),
            attachments: Family::default(),
            journals: Family::default(),
            definitions: Gauge::default(),
            snapshot_age: Gauge::default(),
            snapshot_live: Gauge::default(),
            token_expiry: Gauge::default(),
            token_renewals: Counter::default(),
            credentials_probe: Gauge::default(),
            repairs: Family::default(),
            faults: Family::default(),
            install_verified: Gauge::default(),
            lacking: Gauge::default(),
            evictions: Family::default(),
            events: Family::default(),
            loops: Family::default(),
            memory: Gauge::default(),
        };
        // The registry adds the full stop to each text.
        registry.register("build", "The agent's version", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let all = metrics.clone();
        registry.register("calls", "Calls of the plugin by command and code (0: it succeeded)", all.calls);
        registry.register("call_errors", "Failed calls of the plugin by kind of their cause", all.errors);
        registry.register("call_duration_seconds", "How long a call of the plugin took", all.durations);
        let help = "How long one network took in a call of the plugin";
        registry.register("network_duration_seconds", help, all.network_durations);
        registry.register("api_requests", "Requests of the plugin to the API server", all.api_requests);
        registry.register("api_duration_seconds", "How long a call waited for the API server", all.api_durations);
        let help = "Lines among the records of calls that could not be read";
        registry.register("call_records_unreadable", help, all.unreadable_records);
        registry.register("addresses", "This node's addresses of a network with host-local", all.addresses);
        registry.register("attachments", "Attachments by network, as the journals say", all.attachments);
        let help =
            "Journals: all; not complete (an ADD is under way or was killed); those whose undoing failed; corrupt";
        registry.register("journals", help, all.journals);
        registry.register("snapshot_definitions", "Network definitions in the snapshot", all.definitions);
        registry.register("snapshot_age_seconds", "Time since the snapshot was last vouched for", all.snapshot_age);
        let help = "Whether the watch of network definitions is live";
        registry.register("snapshot_live", help, all.snapshot_live);
        let help = "When the plugin's token expires, in seconds since 1970";
        registry.register("token_expiry_timestamp_seconds", help, all.token_expiry);
        registry.register("token_renewals", "Tokens that were requested for the plugin", all.token_renewals);
        let help = "How long the API server took to answer a request with the plugin's credentials";
        registry.register("credentials_probe_seconds", help, all.credentials_probe);
        registry.register("repairs", "Repairs: shims, links, and journals that were stale", all.repairs);
        registry.register("faults", "What was found and only a person can mend: see the log", all.faults);
        let help = "Whether the installation is in place and the runtime has loaded it";
        registry.register("install_verified", help, all.install_verified);
        let help = "Running pods that lack networks which they select";
        registry.register("pods_lacking_networks", help, all.lacking);
        registry.register("pod_evictions", "Evictions of pods that lack networks", all.evictions);
        registry.register("events", "Events that were sent, refused by the API server, or dropped", all.events);
        registry.register("loop_healthy", "Whether a loop of the agent does its work", all.loops);
        registry.register("agent_resident_memory_bytes", "Resident memory of the agent", all.memory);
        Metrics { registry: Rc::new(registry), ..metrics }
    }

    /// The page.
    ///
    /// # Errors
    /// None in practice: a text takes every line.
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A network's name as a label.
    pub(super) fn network(&self, name: &str) -> String {
        self.names.label(name)
    }

    /// Forgets the networks of the former round, before the gauges of a new one are set: what is gone is not shown.
    pub(super) fn clear_networks(&self) {
        self.addresses.clear();
        self.attachments.clear();
    }
}

/// The names of networks that have series of their own.
#[derive(Clone, Default)]
struct Names(Rc<RefCell<BTreeSet<String>>>);

impl Names {
    /// The name itself while there is room, and `other` for further ones.
    fn label(&self, name: &str) -> String {
        let mut known = self.0.borrow_mut();
        if known.contains(name) || known.len() < MOST_NETWORKS {
            known.insert(name.to_owned());
            return printable(name);
        }
        "other".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_type_and_a_help_for_each_metric_and_ends_as_openmetrics_does() {
        let metrics = Metrics::new();
        metrics.calls.get_or_create(&CallLabels { command: "ADD".to_owned(), code: 0 }).inc();
        let text = metrics.text().unwrap();
        assert!(text.contains("rooknet_calls_total{command=\"ADD\",code=\"0\"} 1\n"), "{text}");
        assert!(text.contains("rooknet_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let types = text.lines().filter(|line| line.starts_with("# TYPE rooknet_")).count();
        assert_eq!(types, text.lines().filter(|line| line.starts_with("# HELP rooknet_")).count());
        assert!(types > 10, "{text}");
    }

    #[test]
    fn names_of_networks_have_series_of_their_own_up_to_a_bound() {
        let metrics = Metrics::new();
        for number in 0..MOST_NETWORKS {
            assert_eq!(metrics.network(&format!("a/{number}")), format!("a/{number}"));
        }
        assert_eq!(metrics.network("a/more"), "other");
        assert_eq!(metrics.network("a/7"), "a/7");
    }
}
