//! What the cluster is told of an ADD: the pod's network-status, and events where they are on.
//!
//! Whoever selects networks also reads which addresses it got (Rook's canary does nothing else), so a status that cannot
//! be written fails the ADD, and everything is undone: in Multus such a pod runs without one. A pod that selects nothing
//! must start without an API server, and a static pod's mirror may not exist yet: there the status is written if it can
//! be, within a few seconds.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::{Either, join_all, select};
use serde_json::value::RawValue;

use super::call::Call;
use super::collect::texts;
use super::failures::sentence;
use super::plan::{self, Plan};
use super::pod::Pod;
use super::settings::Settings;
use crate::cni::result::CniResult;
use crate::kubeapi::events::{self, Event};
use crate::kubeapi::{Client, pods};
use crate::multinet::status::{self, Attachment};
use crate::state::calls;
use crate::state::deadline::Deadline;
use crate::state::device_info::{self, DeviceInfo};

/// How long an ADD waits for a status that it can do without.
const BEST_EFFORT: Duration = Duration::from_secs(3);
/// How long an ADD that failed waits for the event that says so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where to report, and about whom.
#[derive(Clone, Copy)]
pub(super) struct Report<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: Option<&'a Client>,
    pub(super) pod: &'a Pod,
    pub(super) call: &'a Call,
    pub(super) deadline: &'a Deadline,
}

/// The default network of the chained mode: the primary plugin attached it, so no plan has it.
#[derive(Clone, Copy)]
pub(super) struct Primary<'a> {
    /// Its configuration's name.
    pub(super) name: &'a str,
    /// CNI_IFNAME.
    pub(super) ifname: &'a str,
    /// `prevResult`, without the default routes that moved elsewhere.
    pub(super) result: &'a CniResult,
}

/// How much depends on a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Nothing,
    BestEffort,
    Required,
}

impl Report<'_> {
    /// Tells what was attached: `results` are those of the plan's attachments, in their order; `primary` is `None` in
    /// delegating mode.
    ///
    /// # Errors
    /// When a status that the pod relies on could not be written.
    pub(super) async fn attached(
        &self,
        plan: &Plan,
        primary: Option<Primary<'_>>,
        results: &[CniResult],
    ) -> Result<()> {
        let need = self.need(plan);
        let Some(client) = self.client.filter(|_| need != Need::Nothing) else { return Ok(()) };
        let devices: Vec<_> = plan.attachments.iter().map(device_info).collect();
        let attachments = attachments(plan, primary, results, &devices);
        if need == Need::Required {
            return self.write(client, &attachments, self.deadline).await;
        }
        if let Err(error) = self.write(client, &attachments, &self.deadline.at_most(BEST_EFFORT)).await {
            log::warn!("the pod starts without: {}", sentence(&error));
        }
        Ok(())
    }

    /// Tells why an ADD failed, as an event of the pod. What goes wrong here is only logged: the runtime gets the cause.
    pub(super) async fn failed(&self, cause: &anyhow::Error) {
        let Some(client) = self.client.filter(|_| self.settings.events && self.pod.is_named()) else { return };
        if self.call.snapshot().is_some() {
            return self.call.record.hand_on_failure();
        }
        // The ADD's own deadline may be what failed it.
        let deadline = Deadline::without_signals(LAST_WORDS);
        self.create(client, calls::Event::failed(sentence(cause)), &deadline).await;
    }

    fn need(&self, plan: &Plan) -> Need {
        if !self.pod.is_named() {
            return Need::Nothing;
        }
        if plan.is_selected {
            return if self.pod.is_static { Need::BestEffort } else { Need::Required };
        }
        if plan.attachments.is_empty() && !self.settings.status_for_all { Need::Nothing } else { Need::BestEffort }
    }

    /// Writes the status; the events leave with it, and are not waited for longer than for its answer.
    async fn write(&self, client: &Client, attachments: &[Attachment<'_>], deadline: &Deadline) -> Result<()> {
        let text = status::annotation(attachments).context("network-status of the pod")?;
        let (place, uid) = (self.pod.place(), self.pod.uid.as_deref());
        let patch = pin!(pods::patch_network_status(client, place, uid, &text, deadline));
        let events = pin!(self.create_added(client, attachments, deadline));
        let patched = match select(events, patch).await {
            Either::Left(((), patch)) => patch.await,
            Either::Right((patched, _)) => patched,
        };
        patched.map_err(|error| self.pod.explain(error)).context("the pod's network-status was not written")
    }

    async fn create_added(&self, client: &Client, attachments: &[Attachment<'_>], deadline: &Deadline) {
        if !self.settings.events {
            return;
        }
        if self.call.snapshot().is_some() {
            return self.call.record.hand_on(attachments);
        }
        let created = attachments.iter().map(|attachment| {
            let addresses = attachment.result.map(|result| texts(result, attachment.ifname)).unwrap_or_default();
            let event = calls::Event::added(attachment.ifname, &addresses, attachment.network);
            self.create(client, event, deadline)
        });
        join_all(created).await;
    }

    async fn create(&self, client: &Client, event: calls::Event, deadline: &Deadline) {
        let calls::Event { is_warning, reason, message } = event;
        let node = self.settings.node_name();
        let (pod, uid) = (self.pod.place(), self.pod.uid.as_deref());
        let event = Event { pod, uid, node: &node, is_warning, reason, message };
        if let Err(error) = events::create(client, &event, deadline).await {
            log::warn!("an event of the pod was not written: {error}");
        }
    }
}

/// Every attachment, the default network first.
fn attachments<'a>(
    plan: &'a Plan,
    primary: Option<Primary<'a>>,
    results: &'a [CniResult],
    devices: &'a [Option<Box<RawValue>>],
) -> Vec<Attachment<'a>> {
    let primary = primary.map(|Primary { name, ifname, result }| Attachment {
        network: name,
        ifname,
        is_default: true,
        result: Some(result),
        default_route: &[],
        device_info: None,
    });
    let of_plan = plan.attachments.iter().enumerate().map(|(index, attachment)| Attachment {
        network: &attachment.status_name,
        ifname: &attachment.ifname,
        is_default: attachment.is_default,
        result: results.get(index),
        default_route: &attachment.default_route,
        device_info: devices.get(index).and_then(Option::as_deref),
    });
    primary.into_iter().chain(of_plan).collect()
}

/// What is known of the device that an attachment got.
fn device_info(attachment: &plan::Attachment) -> Option<Box<RawValue>> {
    let copy: Option<PathBuf> = attachment.runtime_config.get_as(device_info::CAPABILITY).ok().flatten();
    let device = attachment.device.as_ref().map(|device| (device.resource.as_str(), device.id.as_str()));
    DeviceInfo::default().of_attachment(copy.as_deref(), device)
}
