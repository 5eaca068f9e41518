//! Waiting until a link carries packets: the kernel says so a moment after its other end, or its master, is up.

use std::time::{Duration, Instant};

use crate::cni::Error;
use crate::kernel::netlink::{LinkDetails, Netlink};

/// The first pause between two looks; each doubles.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks at a link until it carries packets, for as long as `patience`; how it was seen last, `None` when it is gone.
///
/// # Errors
/// When the kernel cannot be asked.
pub(super) async fn wait(netlink: &Netlink, index: u32, patience: Duration) -> Result<Option<LinkDetails>, Error> {
    let begin = Instant::now();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let details = netlink.link_details(index).await?;
        if details.as_ref().is_none_or(|details| details.operational) || begin.elapsed() >= patience {
            return Ok(details);
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}
