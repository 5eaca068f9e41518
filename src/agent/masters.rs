//! Masters that vanished and came back: the macvlans and ipvlans of running pods are made again on them.
//!
//! A network card that is reset, a bond or a VLAN that is configured anew: the kernel deletes what stands on it, and the
//! pods go on without their storage network until somebody starts them anew. Here is who looks; what is made, and how, is
//! [`remake`]'s.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::finding::Finding;
use crate::cni::network::Network;
use crate::delegate;
use crate::engine::remake::{self, Masters, Missing};
use crate::kernel::netlink::Netlink;
use crate::multinet::definition::Definition;
use crate::state::journal::{Journals, Key};

/// What a round works on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Where rooknet keeps its journals (`stateDir`).
    pub state_dir: &'a Path,
    /// Where it keeps its locks.
    pub run_dir: &'a Path,
    /// The definitions that are known, each with namespace and name. Where one says `masterCIDR`, a link of the master's
    /// name is its master only with an address in there.
    pub definitions: &'a [Definition],
}

/// What a round did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Links that were made again.
    pub remade: Vec<Remade>,
    /// Links that are gone as long as their masters are, or for another reason; `about` is the pod.
    pub findings: Vec<Finding>,
    /// Containers at which a call was at work: the next round looks again.
    pub busy: usize,
}

/// A link that was made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remade {
    /// CNI_CONTAINERID.
    pub container_id: String,
    /// `namespace/name` of the pod; empty without one.
    pub pod: String,
    /// `namespace/name` of the network.
    pub network: String,
    /// The interface in the pod.
    pub interface: String,
    /// The link of the node on which it stands.
    pub master: String,
    /// Plugins of the network that were not run again.
    pub not_run: Vec<String>,
}

impl Remade {
    /// What to tell of it, as an event of the pod.
    pub fn text(&self) -> String {
        let lost = if self.not_run.is_empty() {
            String::new()
        } else {
            format!("; what {} had set on it is lost until the pod starts anew", self.not_run.join(" and "))
        };
        format!(
            "interface {} of network {} was made again, with its MAC, addresses and routes: its master {} had vanished \
             and is back{lost}",
            self.interface, self.network, self.master
        )
    }
}

/// One round over all journals of the node. Safe to be killed at any point: the next round finishes.
pub async fn round(inputs: &Inputs<'_>) -> Report {
    let mut report = Report::default();
    let journals = Journals::new(inputs.state_dir);
    let begun = Netlink::own().map_err(anyhow::Error::from).and_then(|node| Ok((node, journals.keys()?)));
    let (node, keys) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            report.findings.push(Finding::fault("masters", format!("{error:#}")));
            return report;
        }
    };
    let masters = ByDefinition { definitions: inputs.definitions, node: &node };
    for key in keys {
        match remake::journal(&journals, inputs.run_dir, &key, &node, &masters).await {
            Ok(remade) => note(&key, remade, &mut report),
            Err(error) => report.findings.push(Finding::fault(&key.container_id, format!("{error:#}"))),
        }
    }
    report
}

fn note(key: &Key, remade: remake::Remade, report: &mut Report) {
    if remade.is_busy {
        report.busy = report.busy.saturating_add(1);
    }
    let about = if remade.pod.is_empty() { key.container_id.clone() } else { remade.pod.clone() };
    for Missing { network, interface, reason } in remade.waiting.into_iter().chain(remade.failed) {
        let text = format!("interface {interface} of network {network} is gone: {reason}");
        report.findings.push(Finding::fault(&about, text));
    }
    for link in remade.links {
        let remade = Remade {
            container_id: key.container_id.clone(),
            pod: remade.pod.clone(),
            network: link.network,
            interface: link.interface,
            master: link.master,
            not_run: link.not_run,
        };
        log::warn!(pod = about.as_str(); "{}", remade.text());
        report.remade.push(remade);
    }
}

/// The journal has a master's name only. Where the definition finds the master by its address, a card that got the name
/// of another one is not it.
struct ByDefinition<'a> {
    definitions: &'a [Definition],
    node: &'a Netlink,
}

impl Masters for ByDefinition<'_> {
    async fn reason_against(&self, network: &str, master: &str) -> Result<Option<String>> {
        let found = self.definitions.iter().find(|definition| definition.reference() == network);
        let Some(definition) = found else { return Ok(None) };
        // One that was changed since, or lies on the disk, says nothing about what this pod has got.
        let Ok(mut found) = Network::parse("spec.config", &definition.config, Some(&definition.name)) else {
            return Ok(None);
        };
        let finds_by_address = |found: &Network| found.plugins.iter().any(|plugin| plugin.object.has("masterCIDR"));
        if !finds_by_address(&found) {
            return Ok(None);
        }
        if let Err(error) = delegate::resolve_masters(&mut found, self.node).await {
            return Ok(Some(format!("{error:#}")));
        }
        let mut named = found.plugins.iter().filter_map(|plugin| plugin.object.text("master").ok());
        let is_same = named.any(|name| name == master);
        Ok((!is_same).then(|| {
            format!(
                "{master}, on which it stood, is not the interface that key \"masterCIDR\" means by now: start the pod anew, \
                 or give {master} its address back"
            )
        }))
    }
}
