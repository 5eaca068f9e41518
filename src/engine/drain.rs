//! A node that is drained takes no pods with networks of their own.

use anyhow::Result;

use super::call::Call;
use super::pod::Pod;
use crate::cni::{Code, Error};
use crate::state::calls::Cause;
use crate::state::draining;

/// An error where the node is drained: then a pod starts only without networks of its own choice. The node's `defaultNetworks` are no
/// choice: what a daemon on every node has must not keep it from running there.
///
/// # Errors
/// Code 11 for a pod that selects networks; what is wrong with its annotations.
pub(super) fn refuse_where_drained(call: &Call, pod: &Pod) -> Result<()> {
    let Some(draining) = draining::read(&call.config.state_dir) else { return Ok(()) };
    if !pod.selects()? {
        return Ok(());
    }
    call.record.cause(Cause::Draining);
    Err(Error::new(
        Code::TRY_AGAIN_LATER,
        format!(
            "pod {} selects networks, and this node is {draining}: it starts when that file is removed, or on another node",
            pod.reference()
        ),
    )
    .into())
}
