//! Waiting until the default network can be used: Multus's `readinessindicatorfile`, which the primary plugin's daemon
//! creates when it is up. Only delegating mode waits; in chained mode the primary plugin has just answered.

use std::time::Duration;

use anyhow::Result;

use super::settings::Settings;
use crate::cni::text::printable_path;
use crate::cni::{Code, Error};
use crate::state::deadline::{Deadline, Reason};

/// How often the file is looked for.
const INTERVAL: Duration = Duration::from_millis(50);

/// Whether the default network says that it is ready (standard v1.3, 6.1).
pub(super) fn is_ready(settings: &Settings) -> bool {
    settings.default_network.is_none() || settings.readiness_indicator_file.as_deref().is_none_or(|file| file.exists())
}

/// Waits until it is.
///
/// # Errors
/// Code 11 when the deadline passes before, naming the file.
pub(super) async fn wait(settings: &Settings, deadline: &Deadline) -> Result<()> {
    while !is_ready(settings) {
        match deadline.passed() {
            None => tokio::time::sleep(INTERVAL.min(deadline.remaining())).await,
            Some(reason) => return Err(not_ready(settings, reason).into()),
        }
    }
    Ok(())
}

fn not_ready(settings: &Settings, reason: Reason) -> Error {
    let file = settings.readiness_indicator_file.clone().unwrap_or_default();
    let ended = match reason {
        Reason::Deadline => "within the deadline",
        Reason::Signal => "before a signal ended the call",
    };
    Error::new(
        Code::TRY_AGAIN_LATER,
        format!(
            "the default network is not ready: readinessindicatorfile {} did not appear {ended}",
            printable_path(&file)
        ),
    )
}
