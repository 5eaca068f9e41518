//! What a call tells the agent of itself ([`calls`]): gathered on its way, written when its answer stands.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::collect::texts;
use super::failures::{cause_of, to_cni};
use super::pod::Pod;
use crate::cni::request::{Command, Environment};
use crate::cni::result::CniResult;
use crate::kubeapi::Usage;
use crate::multinet::status;
use crate::state::calls::{self, Api, Cause, Network, Record};
use crate::state::journal::Journal;

/// The record of one call.
pub(super) struct Recorder {
    record: RefCell<Record>,
    started: Instant,
    /// The kind of error, where the error's code does not tell it.
    cause: Cell<Option<Cause>>,
}

impl Recorder {
    /// For a call of this environment that began at `started`.
    pub(super) fn new(environment: &Environment, started: Instant) -> Self {
        let arg = |key| environment.args.get(key).unwrap_or_default().to_owned();
        let began = SystemTime::now().checked_sub(started.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let time = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let record = Record {
            time: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            container: environment.container_id.clone(),
            interface: environment.ifname.clone(),
            namespace: arg("K8S_POD_NAMESPACE"),
            pod: arg("K8S_POD_NAME"),
            uid: arg("K8S_POD_UID"),
            ..Record::default()
        };
        Recorder { record: RefCell::new(record), started, cause: Cell::new(None) }
    }

    /// The pod's UID as the API server has it; none for a static pod.
    pub(super) fn pod(&self, pod: &Pod) {
        self.record.borrow_mut().uid = pod.uid.clone().unwrap_or_default();
    }

    /// A network was attached.
    pub(super) fn attached(&self, network: &str, ifname: &str, took: Duration, result: &CniResult) {
        self.record.borrow_mut().networks.push(Network {
            network: network.to_owned(),
            interface: ifname.to_owned(),
            ms: Some(milliseconds(took)),
            addresses: texts(result, ifname),
        });
    }

    /// What a DEL is to detach.
    pub(super) fn detaching(&self, journal: &Journal) {
        let networks = journal.attachments.iter().map(|attachment| Network {
            network: attachment.network.clone(),
            interface: attachment.ifname.clone(),
            ..Network::default()
        });
        self.record.borrow_mut().networks = networks.collect();
    }

    /// What was asked of the API server.
    pub(super) fn asked(&self, usage: Usage) {
        self.record.borrow_mut().api = Api { requests: usage.requests, ms: milliseconds(usage.took) };
    }

    /// Leaves the events of an ADD to the agent: one for each of `attachments` if it succeeds.
    pub(super) fn hand_on(&self, attachments: &[status::Attachment<'_>]) {
        let mut record = self.record.borrow_mut();
        let networks = attachments.iter().map(|attachment| Network {
            network: attachment.network.to_owned(),
            interface: attachment.ifname.to_owned(),
            ms: record.networks.iter().find(|network| network.interface == attachment.ifname).and_then(|own| own.ms),
            addresses: attachment.result.map(|result| texts(result, attachment.ifname)).unwrap_or_default(),
        });
        record.networks = networks.collect();
        record.events = true;
    }

    /// Leaves the event of an ADD that failed to the agent.
    pub(super) fn hand_on_failure(&self) {
        self.record.borrow_mut().events = true;
    }

    /// The call will fail for this.
    pub(super) fn cause(&self, cause: Cause) {
        self.cause.set(Some(cause));
    }

    /// Writes the record of a call that has this outcome; what goes wrong here is only logged. A STATUS has none: it comes
    /// every few seconds and changes nothing.
    pub(super) fn write<T>(&self, command: Command, outcome: &Result<T>) {
        if matches!(command, Command::Status | Command::Version) {
            return;
        }
        let mut record = self.record.take();
        command.as_str().clone_into(&mut record.command);
        record.duration = milliseconds(self.started.elapsed());
        if let Err(error) = outcome {
            let known = to_cni(error);
            record.code = known.code.0;
            record.cause = self.cause.get().unwrap_or_else(|| cause_of(error));
            record.error = known.message;
        }
        if let Err(error) = calls::append(super::call::run_dir(), &record) {
            log::warn!("the agent will not hear of this call: {error}");
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    // Microseconds are as much as anybody reads, and keep the line short.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
