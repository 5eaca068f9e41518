//! The host shim: a link of the node's own on networks whose pods it could not reach otherwise (docs/host-access.md).
//!
//! The kernel carries nothing between an interface and the macvlans or ipvlans that stand on it, so a node, with its
//! kernel's clients and CSI, does not reach its own pods. A further such link, in the node's namespace, does.
//!
//! What shaped it: **the node's other ways stay as they are.** The link has its address for itself (/32), so that no
//! route to the subnet comes with it; routes lead to what pods may have, and to the whole subnet only where the node has
//! no other address in it; what the node reaches by a route, a gateway or at the API server's address is taken from no other
//! link; and the link answers for no address but its own. **Nothing is removed in doubt**: only a link
//! that bears all of our marks, and only when the list of networks is known to be whole.
//!
//! A round compares and puts right; it is all that there is, at the beginning, after a reboot, and after a kill.

mod cover;
mod link;
mod wanted;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use super::finding::Finding;
use crate::cni::text::{printable, quoted};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::sysctl::{self, Family, Key};
use crate::multinet::definition::Definition;
use crate::state::networks::ConfDir;
use crate::state::shims::Shims;
use wanted::Wanted;

/// What a round works on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// All definitions that are known, each with namespace and name. One that cannot be parsed belongs to `unreadable`.
    pub definitions: &'a [Definition],
    /// `namespace/name` of definitions that are there and cannot be read: their links stay as they are.
    pub unreadable: &'a [String],
    /// Whether these are all of them: otherwise nothing is removed.
    pub is_complete: bool,
    /// Networks (`namespace/name`) that are marked by the agent's configuration.
    pub marked: &'a [String],
    /// Namespaces whose definitions' own mark counts; `None` for all. Whoever can mark a network makes routes on nodes.
    pub trusted_namespaces: Option<&'a [String]>,
    /// Addresses that this node must go on reaching as it does, whatever a definition says: the API server's.
    pub needed: &'a [IpAddr],
    /// The name of this node in `rooknet.io/node-ranges`.
    pub node_name: &'a str,
    /// Where rooknet keeps what it knows (`stateDir`).
    pub state_dir: &'a Path,
    /// Where definitions without a configuration have theirs (`confDir`).
    pub conf_dir: &'a Path,
}

/// What a round did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The links that are as they should be now.
    pub shims: Vec<Shim>,
    /// Networks (`namespace/name`) whose links were removed.
    pub removed: Vec<String>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// A link, after a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shim {
    /// `namespace/name` of the network.
    pub network: String,
    /// The link's name.
    pub link: String,
    /// What the round did to it; nothing where all was as it should be.
    pub changes: BTreeSet<Change>,
}

/// What was done to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Made for the first time.
    Created,
    /// Made again: it went with its master, by a reboot, or by somebody's hand.
    CreatedAgain,
    /// What was put right on one that was there: `address`, `routes`, `up`, `MTU`, …
    Restored(&'static str),
}

/// What was done to one link so far.
#[derive(Default)]
struct Steps {
    changes: BTreeSet<Change>,
    advice: Vec<String>,
}

impl Steps {
    fn note(&mut self, change: Change) {
        // Of a new link everything is made; that is one change.
        let is_new = self.changes.iter().any(|change| matches!(change, Change::Created | Change::CreatedAgain));
        if !is_new {
            self.changes.insert(change);
        }
    }

    fn advise(&mut self, text: String) {
        self.advice.push(text);
    }
}

/// One round: every marked network has its link, as it should be, and no other one has. Safe to be killed at any point,
/// and to be run again at once.
pub async fn round(inputs: &Inputs<'_>) -> Report {
    let mut report = Report::default();
    let node = match Netlink::own() {
        Ok(node) => node,
        Err(error) => {
            report.findings.push(Finding::fault("host access", error));
            return report;
        }
    };
    let shims = Shims::new(inputs.state_dir);
    let mut kept: BTreeSet<String> = inputs.unreadable.iter().cloned().collect();
    let marked = marked(inputs, &mut kept, &mut report.findings);
    kept.extend(marked.keys().cloned());
    // First, so that an address or a route that a former network's link has is free for another's.
    if inputs.is_complete {
        remove_others(&kept, &node, &shims, &mut report).await;
    }
    for (network, definition) in marked {
        let mut steps = Steps::default();
        match serve(definition, inputs, &node, &shims, &mut steps).await {
            Ok(link) => {
                report.findings.extend(steps.advice.iter().map(|text| Finding::advice(&network, text)));
                report.shims.push(Shim { network, link, changes: steps.changes });
            }
            Err(error) => report.findings.push(Finding::fault(&network, format!("host access: {error:#}"))),
        }
    }
    report
}

/// Removes every link that was made here, whatever is marked: for a node that rooknet leaves.
///
/// # Errors
/// When the records cannot be read, or a link or a record not be removed; what could be is gone.
pub async fn remove_all(state_dir: &Path) -> anyhow::Result<Vec<String>> {
    let node = Netlink::own()?;
    let mut report = Report::default();
    remove_others(&BTreeSet::new(), &node, &Shims::new(state_dir), &mut report).await;
    match report.findings.first() {
        Some(finding) => Err(anyhow::anyhow!("{finding}")),
        None => Ok(report.removed),
    }
}

/// The marked networks. One of which it is in doubt whether it is marked goes to `kept`.
fn marked<'a>(
    inputs: &Inputs<'a>,
    kept: &mut BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, &'a Definition> {
    let mut marked = BTreeMap::new();
    for definition in inputs.definitions {
        let network = definition.reference();
        let is_trusted = inputs.trusted_namespaces.is_none_or(|trusted| trusted.contains(&definition.namespace));
        match wanted::is_marked(definition) {
            _ if inputs.marked.contains(&network) => drop(marked.insert(network, definition)),
            Ok(true) if is_trusted => drop(marked.insert(network, definition)),
            Ok(true) => findings.push(Finding::advice(
                &network,
                "host access: its mark does not count, because its namespace is none of those that the agent trusts in this",
            )),
            Ok(false) => {}
            Err(error) => {
                findings.push(Finding::fault(&network, error));
                kept.insert(network);
            }
        }
    }
    let is_missing =
        |network: &&String| inputs.is_complete && !marked.contains_key(*network) && !kept.contains(*network);
    findings.extend(inputs.marked.iter().filter(is_missing).map(|network| {
        Finding::fault(
            printable(network),
            format!(
                "host access: the agent is told to make a link for the network {}, which does not exist",
                quoted(network)
            ),
        )
    }));
    marked
}

async fn remove_others(kept: &BTreeSet<String>, node: &Netlink, shims: &Shims, report: &mut Report) {
    let records = match shims.all() {
        Ok(records) => records,
        Err(error) => return report.findings.push(Finding::fault("host access", error)),
    };
    for record in records.iter().filter(|record| !kept.contains(&record.network)) {
        match link::remove(record, node, shims).await {
            Ok(true) => report.removed.push(record.network.clone()),
            Ok(false) => {}
            Err(error) => report.findings.push(Finding::fault(&record.network, format!("host access: {error:#}"))),
        }
    }
}

/// Gives the network its link; the link's name.
async fn serve(
    definition: &Definition,
    inputs: &Inputs<'_>,
    node: &Netlink,
    shims: &Shims,
    steps: &mut Steps,
) -> anyhow::Result<String> {
    let wanted = Wanted::read(definition, &ConfDir::new(inputs.conf_dir), inputs.node_name, node).await?;
    let Some(master) = wanted.link.master(node).await? else {
        return Err(crate::cni::Error::config(match wanted.link.master_name() {
            Some(name) => {
                format!("the master {} does not exist on this node; the link is made as soon as it does", quoted(name))
            }
            None => "there is no default route on this node, whose interface would be the master".to_owned(),
        })
        .into());
    };
    ways::check(&wanted, &master, inputs.needed, node).await?;
    link::ensure(&wanted, &master, node, shims, steps).await?;
    if wanted.link.needs_reflective_relay() {
        steps.advise(
            "host access: with \"mode\": \"vepa\" the node reaches its own pods only if the switch sends frames back to the \
             port from which they came (reflective relay): use \"bridge\" where it does not"
                .to_owned(),
        );
    }
    steps.advice.extend(strict_filter(&wanted, &master.name, node).await?);
    Ok(wanted.name.link)
}

/// Whether the kernel drops what pods of other nodes send to the node's own address on the master, whose way back is the
/// link by now (RFC 3704, strict mode).
async fn strict_filter(wanted: &Wanted, master: &str, node: &Netlink) -> anyhow::Result<Option<String>> {
    let Some(link) = node.link_by_name(master).await? else { return Ok(None) };
    let own = node.addresses(link.index).await?;
    let shared = own
        .iter()
        .find(|address| address.is_ipv4() && wanted.subnets.iter().any(|subnet| subnet.contains(address.ip())));
    let Some(shared) = shared else { return Ok(None) };
    let netns = Netns::own()?;
    let of_all = Key::of_namespace("net/ipv4/conf/all/rp_filter");
    let of_master = Key::of_interface(Family::Ipv4, master, "rp_filter")?;
    let value =
        |key: &Key| sysctl::read(&netns, key).ok().and_then(|value| value.parse::<u8>().ok()).unwrap_or_default();
    // The kernel takes the larger of the two.
    if value(&of_all).max(value(&of_master)) != 1 {
        return Ok(None);
    }
    Ok(Some(format!(
        "host access: the node drops what pods of other nodes send to its address {} on {master}, since its way to them is \
         {} now: set net.ipv4.conf.{master}.rp_filter=2, or have pods use the node's address on {}",
        shared.ip(),
        wanted.name.link,
        wanted.name.link
    )))
}
