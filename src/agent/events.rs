//! Events on their way to the API server: those that the plugin left to the agent, and the agent's own.
//!
//! They are news and no record, so nothing waits for them: the queue is bounded, a full one drops what is oldest, and a
//! node whose pods fail in a loop sends no more than a few each second.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use hyper::Method;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::Shared;
use super::metrics::{KindLabels, Metrics};
use super::rounds::Backoff;
use crate::kubeapi::events::{self, Event};
use crate::kubeapi::pods::Reference;
use crate::multinet::object_names::{is_label, is_subdomain};

const NAME: &str = "events";
/// Events that wait, at most: those of a node's pods that all start at once.
const MOST: usize = 500;
/// Events that may leave at once, after a time without any.
const BURST: u32 = 50;
/// The time in which one more may leave.
const PACE: Duration = Duration::from_millis(200);
/// How often the loop says that it lives.
const IDLE: Duration = Duration::from_secs(30);

/// One event of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The pod's namespace and name.
    pub(super) pod: (String, String),
    /// Its uid; empty when it is unknown.
    pub(super) uid: String,
    /// `Warning`, or else `Normal`.
    pub(super) is_warning: bool,
    /// One word in CamelCase.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) message: String,
}

/// Events that wait.
pub(super) struct Queue {
    items: RefCell<VecDeque<Item>>,
    arrived: Notify,
    metrics: Metrics,
}

impl Queue {
    /// An empty one.
    pub(super) fn new(metrics: &Metrics) -> Self {
        Queue { items: RefCell::default(), arrived: Notify::new(), metrics: metrics.clone() }
    }

    /// Adds an event; the oldest goes when there are too many. One whose pod has no name that a pod can have is dropped:
    /// it would become a part of a path.
    pub(super) fn add(&self, item: Item) {
        if !is_label(&item.pod.0) || !is_subdomain(&item.pod.1) {
            self.count("dropped");
            return;
        }
        let mut items = self.items.borrow_mut();
        if items.len() >= MOST {
            items.pop_front();
            self.count("dropped");
        }
        items.push_back(item);
        self.arrived.notify_one();
    }

    fn first(&self) -> Option<Item> {
        self.items.borrow().front().cloned()
    }

    /// Removes what [`first`](Self::first) gave, unless it has been dropped meanwhile.
    fn finish(&self, item: &Item, kind: &'static str) {
        let mut items = self.items.borrow_mut();
        if items.front() == Some(item) {
            items.pop_front();
        }
        self.count(kind);
    }

    fn count(&self, kind: &'static str) {
        self.metrics.events.get_or_create(&KindLabels { kind }).inc();
    }
}

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut backoff = Backoff::default();
    let mut pace = Pace { tokens: BURST, since: Instant::now() };
    shared.health.begins(NAME, IDLE.saturating_mul(3));
    shared.health.well(NAME);
    loop {
        let Some(item) = shared.events.first() else {
            let _ = timeout(IDLE, shared.events.arrived.notified()).await;
            if shared.events.first().is_none() {
                shared.health.well(NAME);
            }
            continue;
        };
        sleep(pace.wait()).await;
        match send(&shared, &item).await {
            Ok(()) => {
                shared.events.finish(&item, "sent");
                shared.health.well(NAME);
                backoff.reset();
            }
            Err((is_final, reason)) => {
                if is_final {
                    shared.events.finish(&item, "refused");
                }
                let (namespace, name) = &item.pod;
                shared.health.failed(NAME, &format!("an event of pod {namespace}/{name} was not written: {reason}"));
                // A refusal is about this event, or it is a missing right, which the next one will meet as well.
                if !is_final {
                    sleep(backoff.next()).await;
                }
            }
        }
    }
}

/// Sends one; an error says whether another try would meet the same.
async fn send(shared: &Shared, item: &Item) -> Result<(), (bool, String)> {
    let (namespace, name) = &item.pod;
    let event = Event {
        pod: Reference { namespace, name },
        uid: (!item.uid.is_empty()).then_some(item.uid.as_str()),
        node: &shared.options.node_name,
        is_warning: item.is_warning,
        reason: item.reason,
        message: item.message.clone(),
    };
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let body = events::object(&event);
    match shared.connection.request(Method::POST, &path, "application/json", Some(&body)).await {
        Ok(_) => Ok(()),
        Err(failure) => {
            // 401 passes when the kubelet has renewed the agent's own token, 429 with time.
            let is_final =
                failure.status.is_some_and(|status| (400..500).contains(&status) && ![401, 429].contains(&status));
            Err((is_final, failure.to_string()))
        }
    }
}

/// How many may leave.
struct Pace {
    tokens: u32,
    since: Instant,
}

impl Pace {
    /// Takes one; how long to wait before it may leave.
    fn wait(&mut self) -> Duration {
        let elapsed = self.since.elapsed();
        let new = u32::try_from(elapsed.as_millis().checked_div(PACE.as_millis()).unwrap_or(0)).unwrap_or(u32::MAX);
        if new > 0 {
            self.tokens = self.tokens.saturating_add(new).min(BURST);
            self.since = Instant::now();
        }
        match self.tokens.checked_sub(1) {
            Some(tokens) => {
                self.tokens = tokens;
                Duration::ZERO
            }
            None => PACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(message: &str) -> Item {
        Item {
            pod: ("rook-ceph".to_owned(), "osd-0".to_owned()),
            uid: "1".to_owned(),
            is_warning: false,
            reason: "AddedInterface",
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_full_queue_drops_what_is_oldest_and_counts_it() {
        let metrics = Metrics::new();
        let queue = Queue::new(&metrics);
        for number in 0..=MOST {
            queue.add(item(&number.to_string()));
        }
        assert_eq!(queue.first().unwrap().message, "1");
        assert!(metrics.text().unwrap().contains("rooknet_events_total{kind=\"dropped\"} 1\n"));
        // What was dropped while it was on its way takes nothing else with it.
        queue.finish(&item("0"), "sent");
        assert_eq!(queue.first().unwrap().message, "1");
        queue.finish(&item("1"), "sent");
        assert_eq!(queue.first().unwrap().message, "2");
    }

    #[test]
    fn a_name_that_is_none_never_becomes_a_part_of_a_path() {
        let queue = Queue::new(&Metrics::new());
        for (namespace, name) in [("", "a"), ("a", ""), ("a/../b", "c"), ("a", "../c"), ("a", "b?c"), ("a b", "c")] {
            queue.add(Item { pod: (namespace.to_owned(), name.to_owned()), ..item("x") });
            assert_eq!(queue.first(), None, "{namespace} {name}");
        }
    }

    #[test]
    fn after_a_burst_events_leave_one_by_one() {
        let mut pace = Pace { tokens: BURST, since: Instant::now() };
        let waits: Vec<Duration> = (0..BURST).map(|_| pace.wait()).collect();
        assert!(waits.iter().all(Duration::is_zero), "{waits:?}");
        pace.since = Instant::now();
        assert_eq!(pace.wait(), PACE);
        pace.since = Instant::now() - PACE * 2;
        assert_eq!(pace.wait(), Duration::ZERO);
    }
}
