//! What the node calls itself.

use super::files;

/// Where the kernel tells the host name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// The longest that Linux has (`__NEW_UTS_LEN`), and a line feed.
const MAX_HOST_NAME: u64 = 65;

/// The host name in lower case: what the kubelet registers its node as, unless it was told another name. Empty when the
/// kernel does not tell.
pub fn name() -> String {
    let text = files::read_bounded(std::path::Path::new(HOST_NAME), MAX_HOST_NAME).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_lowercase()
}
