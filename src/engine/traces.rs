//! What an attachment leaves behind, as far as it can be seen without its plugins.
//!
//! A plugin that cannot read its configuration fails at the ADD, at the rollback and at every DEL (`"mtu": "abc"` for
//! macvlan): the journal of each try would stay for good, and a pod is tried again every few minutes. Where such a
//! plugin's work could be seen, and none is there, its DEL has nothing to do.

use std::path::Path;

use anyhow::Result;

use super::netns::PodNetns;
use super::undo::kinds_made_by;
use crate::cni::network::{Network, Plugin};
use crate::state::host_local;

/// Whether nothing is there of an attachment whose ADD never succeeded: no interface in the pod, no address of
/// host-local's. `false` also for a network whose plugins may have left what is not looked at here.
///
/// # Errors
/// When namespace or store cannot be read.
pub(super) async fn are_none(
    network: &Network,
    container_id: &str,
    ifname: &str,
    live: Option<&PodNetns>,
) -> Result<bool> {
    if !can_be_seen(network) {
        return Ok(false);
    }
    if let Some(live) = live
        && live.netlink()?.is_name_taken(ifname).await?
    {
        return Ok(false);
    }
    let reservations = host_local::find(Path::new(host_local::DEFAULT_ROOT), container_id)?;
    let is_its = |reservation: &host_local::Reservation| {
        reservation.network == network.name && reservation.ifname.as_deref().is_none_or(|name| name == ifname)
    };
    Ok(!reservations.iter().any(is_its))
}

/// Whether all that the network's plugins make is an interface in the pod and addresses of host-local's own store. Any
/// further plugin, packet filter rules and other stores are out of sight.
fn can_be_seen(network: &Network) -> bool {
    let [plugin] = network.plugins.as_slice() else { return false };
    let filters = ["ipMasq", "macspoofchk"].iter().any(|key| plugin.object.has(key));
    !kinds_made_by(network).is_empty() && !filters && has_known_store(plugin)
}

fn has_known_store(plugin: &Plugin) -> bool {
    match plugin.ipam_type.as_deref() {
        None | Some("" | "static") => true,
        Some("host-local") => {
            plugin.object.object("ipam").is_ok_and(|ipam| ipam.is_some_and(|ipam| !ipam.has("dataDir")))
        }
        Some(_) => false,
    }
}
