//! A pod's links that went with their master, made again.
//!
//! The kernel deletes a macvlan or ipvlan with the link on which it stands, in whatever namespace it is, and its DEL and
//! a new pod are all that CNI knows of. The journal has everything that the ADD had and gave, so the link is made again
//! from it, under the container's lock: a DEL that comes meanwhile waits, and one that came before has taken the journal
//! away.
//!
//! **Nothing is made that a DEL would not find.** Before the link is made the journal forgets the former one, which makes
//! the attachment what a killed ADD leaves; DEL looks for such a link by name, kind and group. Afterwards the journal has
//! the new identity. A kill in between leaves a link in the journal's group that no entry names: the next round deletes
//! it and begins anew.
//!
//! What stands behind the interface's plugin in a chain is not run again: an ADD that is repeated is nothing that a
//! plugin must bear. Its name is in the report.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::identity::{interface_groups, live_netns};
use super::netns::PodNetns;
use super::undo::{kinds_made_by, read_back};
use crate::cni::network::Network;
use crate::cni::result::CniResult;
use crate::cni::text::{printable, quoted};
use crate::cni::{Error, Object};
use crate::delegate::{self, Runners};
use crate::kernel::netlink::{DefaultRoute, Link, Netlink};
use crate::plugins::{Again, Site};
use crate::state::deadline::Deadline;
use crate::state::fault;
use crate::state::journal::{Attachment, Journal, Journals, Key, LinkIdentity, Read};
use crate::state::lock::ContainerLock;

/// Kinds of links that go with their master.
const KINDS: [&str; 3] = ["macvlan", "ipvlan", "vlan"];

/// How long the kernel may take for one link. It answers at once.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether a master is the one that a network means by now; a reason when it is not.
pub trait Masters {
    /// `network` is `namespace/name`, `master` the name that the journal has.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn reason_against(&self, network: &str, master: &str) -> impl Future<Output = Result<Option<String>>>;
}

/// What became of a journal's links.
#[derive(Debug, Default)]
pub struct Remade {
    /// `namespace/name` of the pod; empty when nothing was missing.
    pub pod: String,
    /// Links that were made again.
    pub links: Vec<RemadeLink>,
    /// Links that cannot be made yet.
    pub waiting: Vec<Missing>,
    /// Links that cannot be made again at all, or whose making failed.
    pub failed: Vec<Missing>,
    /// A call is at work on the container; nothing was done.
    pub is_busy: bool,
}

/// A link that was made again.
#[derive(Debug)]
pub struct RemadeLink {
    /// What its network is called.
    pub network: String,
    /// Its name.
    pub interface: String,
    /// What it stands on.
    pub master: String,
    /// Plugins of the network that were not run again: what they had done to the link is lost.
    pub not_run: Vec<String>,
}

/// A link that is gone.
#[derive(Debug)]
pub struct Missing {
    /// What its network is called.
    pub network: String,
    /// Its name.
    pub interface: String,
    /// Why it is still gone, in a sentence.
    pub reason: String,
}

/// Makes the links of one journal again that are gone, where their masters are there. `node` is a socket in the node's
/// namespace. Nothing but a look is done, and no lock taken, where none is gone.
///
/// # Errors
/// When journal or namespace cannot be read. What fails of one link is in the answer.
pub async fn journal(
    journals: &Journals,
    run_dir: &Path,
    key: &Key,
    node: &Netlink,
    masters: &impl Masters,
) -> Result<Remade> {
    let mut remade = Remade::default();
    if look(journals, key).await?.is_none() {
        return Ok(remade);
    }
    let Some(lock) = ContainerLock::try_acquire(run_dir, &key.container_id)? else {
        remade.is_busy = true;
        return Ok(remade);
    };
    // Again, because a DEL or a round of somebody else may have been at work.
    let done = async {
        let Some(mut scene) = look(journals, key).await? else { return Ok(()) };
        remade.pod.clone_from(&scene.journal.pod);
        for position in scene.missing.clone() {
            scene.remake(position, journals, node, masters, &mut remade).await?;
        }
        anyhow::Ok(())
    }
    .await;
    super::call::release(lock);
    done.map(|()| remade)
}

/// A journal of which links are gone.
struct Scene {
    journal: Box<Journal>,
    live: PodNetns,
    /// Which of its attachments.
    missing: Vec<usize>,
}

/// `None` where there is nothing to do: no complete journal, no namespace, no link gone.
async fn look(journals: &Journals, key: &Key) -> Result<Option<Scene>> {
    let Read::Whole(journal) = journals.read(key)? else { return Ok(None) };
    if !journal.complete || !journal.attachments.iter().any(may_go) {
        return Ok(None);
    }
    let Some(live) = live_netns(&journal, "")? else { return Ok(None) };
    let netlink = live.netlink()?;
    let mut missing = Vec::new();
    for (position, attachment) in journal.attachments.iter().enumerate().filter(|(_, attachment)| may_go(attachment)) {
        let found = match &attachment.link {
            Some(link) => netlink.link_by_index(link.index).await?.filter(|found| found.kind == link.kind),
            None => None,
        };
        if found.is_none() {
            missing.push(position);
        }
    }
    Ok((!missing.is_empty()).then_some(Scene { journal, live, missing }))
}

/// Whether an attachment has a link that goes with its master. Of a complete journal's network that makes such links one
/// without an identity is one that is being made again.
fn may_go(attachment: &Attachment) -> bool {
    match &attachment.link {
        Some(link) => KINDS.contains(&link.kind.as_str()),
        None => {
            attachment.result.is_some()
                && Network::parse("the journaled configuration", attachment.config.get(), None)
                    .is_ok_and(|network| kinds_made_by(&network).iter().any(|kind| KINDS.contains(kind)))
        }
    }
}

impl Scene {
    /// One link.
    async fn remake(
        &mut self,
        position: usize,
        journals: &Journals,
        node: &Netlink,
        masters: &impl Masters,
        remade: &mut Remade,
    ) -> Result<()> {
        let Some(attachment) = self.journal.attachments.get(position) else { return Ok(()) };
        let (network, interface) = (attachment.network.clone(), attachment.ifname.clone());
        let missing = |reason: String| Missing { network: network.clone(), interface: interface.clone(), reason };
        let recipe = match Recipe::of(attachment) {
            Ok(recipe) => recipe,
            Err(error) => {
                remade.failed.push(missing(format!("{error:#}: start the pod anew")));
                return Ok(());
            }
        };
        let master = recipe.again.master_name();
        if node.link_by_any_name(master).await?.is_none() {
            remade.waiting.push(missing(format!("its master {} is missing on the node", quoted(master))));
            return Ok(());
        }
        if let Some(reason) = masters.reason_against(&network, master).await? {
            remade.waiting.push(missing(reason));
            return Ok(());
        }
        match self.make(position, &recipe, journals, node).await {
            Ok(()) => remade.links.push(RemadeLink {
                master: printable(master),
                not_run: recipe.not_run.clone(),
                network,
                interface,
            }),
            Err(error) => remade.failed.push(missing(format!("it could not be made again: {error:#}"))),
        }
        Ok(())
    }

    async fn make(&mut self, position: usize, recipe: &Recipe, journals: &Journals, node: &Netlink) -> Result<()> {
        let group = interface_groups(&self.journal.key()).native;
        let Some(ifname) = self.journal.attachments.get(position).map(|attachment| attachment.ifname.clone()) else {
            return Ok(());
        };
        self.clear(&ifname, recipe.again.link_kind(), group).await?;
        self.note(position, None, None, journals)?;
        fault::point("remake.forgotten");
        let deadline = Deadline::without_signals(DEADLINE);
        let site = Site {
            container_id: &self.journal.container_id,
            ifname: &ifname,
            sandbox: &self.live.path,
            node,
            netns: self.live.netns(),
            pod: self.live.netlink()?,
            group,
            // The address is the pod's already; nobody has got it since.
            conflict_probe: false,
            deadline: &deadline,
        };
        let created = recipe.again.create(&site).await?;
        fault::point("remake.created");
        let configured = async {
            recipe.again.configure(&site, &created).await?;
            fault::point("remake.configured");
            self.restore_default_routes(position, &created.link).await
        };
        if let Err(error) = configured.await {
            // Half a network is worse than none: the pod would take it for whole.
            if let Err(left) = site.pod.delete_link(created.link.index).await {
                log::warn!(interface = ifname.as_str(); "{left}");
            }
            return Err(error);
        }
        // An ipvlan has its master's MAC, which may be another one by now; a CHECK compares.
        let result = recipe.result.with_mac(&ifname, &created.link.mac)?;
        let identity = LinkIdentity { index: created.link.index, kind: created.link.kind };
        self.note(position, Some(identity), Some(&result), journals)?;
        fault::point("remake.journaled");
        Ok(())
    }

    /// Makes room for the link: what a killed round left is deleted, anything else of that name is the pod's own.
    async fn clear(&self, ifname: &str, kind: &str, group: u32) -> Result<()> {
        let netlink = self.live.netlink()?;
        let links = netlink.links().await?;
        let is_known = |link: &Link| {
            let mut known = self.journal.attachments.iter().filter_map(|attachment| attachment.link.as_ref());
            known.any(|known| known.index == link.index && known.kind == link.kind)
        };
        // Another attachment of the journal may be in the same state; its link has that one's name.
        let is_anothers = |link: &Link| {
            link.name != ifname && self.journal.attachments.iter().any(|attachment| attachment.ifname == link.name)
        };
        for left in links.iter().filter(|link| link.group == group && link.kind == kind) {
            if !is_known(left) && !is_anothers(left) {
                log::warn!(interface = left.name.as_str(); "deleting what a killed round has left");
                netlink.delete_link(left.index).await?;
                fault::point("remake.cleared");
            }
        }
        if netlink.is_name_taken(ifname).await? {
            return Err(Error::config(format!(
                "the pod has an interface of the name {} that is not rooknet's: delete it, or start the pod anew",
                quoted(ifname)
            ))
            .into());
        }
        Ok(())
    }

    /// Puts the routes back that the selection has moved to this attachment.
    async fn restore_default_routes(&self, position: usize, link: &Link) -> Result<()> {
        let netlink = self.live.netlink()?;
        let gateways = self.journal.attachments.get(position).map(|attachment| attachment.default_route.as_slice());
        for gateway in gateways.unwrap_or_default() {
            let route = DefaultRoute::new(gateway.is_ipv6(), Some(*gateway), Some(link.index));
            netlink.add_default_route(&route).await.context("the pod's default route")?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        position: usize,
        link: Option<LinkIdentity>,
        result: Option<&CniResult>,
        journals: &Journals,
    ) -> Result<()> {
        if let Some(attachment) = self.journal.attachments.get_mut(position) {
            attachment.link = link;
            if let Some(result) = result {
                attachment.result = Some(result.to_raw()?);
            }
        }
        Ok(journals.write_results(&self.journal)?)
    }
}

/// How an attachment's link is made again.
struct Recipe {
    again: Again,
    result: CniResult,
    not_run: Vec<String>,
}

impl Recipe {
    /// # Errors
    /// Why it cannot be.
    fn of(attachment: &Attachment) -> Result<Self> {
        let (network, runtime_config) = read_back(&attachment.config, &attachment.runtime_config)?;
        let runners = delegate::choose(&network, &attachment.args, &runtime_config)?;
        let (position, native) = runners.native().ok_or_else(|| not_native(&network, &runners))?;
        let raw = attachment.result.as_ref().ok_or_else(|| Error::decode("its result is missing from the journal"))?;
        let result = CniResult::parse("the journaled result", raw.get(), network.version)?;
        let plugin = network.plugins.get(position).ok_or_else(|| Error::decode("it has no plugins"))?;
        let config: Object = plugin.stdin(&network.name, network.version, None, &runtime_config)?;
        // With a gateway named the route is the selection's; without one it is of the network's own plugins.
        let keeps = attachment.takes_default_route && attachment.default_route.is_empty();
        let again = Again::read(native, &config, &result, &attachment.ifname, keeps)?;
        let others = network.plugins.iter().enumerate().filter(|(other, _)| *other != position);
        let not_run = others.map(|(_, plugin)| plugin.type_name.clone()).collect();
        Ok(Recipe { again, result, not_run })
    }
}

fn not_native(network: &Network, runners: &Runners) -> Error {
    let types = network.plugins.iter().map(|plugin| plugin.type_name.as_str()).collect::<Vec<_>>().join(", ");
    let reason = runners.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Error::config(format!("its link was made by a program, whose work rooknet cannot repeat: {types}{reason}"))
}
