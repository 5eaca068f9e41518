//! Directories that were taken away from under the agent.
//!
//! An agent in a pod has the node's directories by mounts. Where one of them is removed and made anew (an uninstall and
//! an install by hand, an administrator), the mount goes on showing the removed one, which is empty for ever: every pod
//! would seem to lack its networks, and nothing that the agent writes would reach the plugin. Only a container that is
//! started again has the new one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);

/// Waits until one of the directories is a removed one: which.
pub(super) async fn removed(directories: &[PathBuf]) -> PathBuf {
    loop {
        if let Some(removed) = directories.iter().find(|directory| is_removed(directory)) {
            return removed.clone();
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Whether the path leads to a directory that has no name any more. One that does not exist is made by who needs it.
fn is_removed(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.nlink() == 0)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::state::testing::{Directory, block_on};

    #[test]
    fn a_directory_that_is_seen_and_has_no_name_is_told_from_one_that_is_there_and_one_that_is_not() {
        let directory = Directory::new();
        let inner = directory.path().join("run");
        assert!(!is_removed(&inner));
        fs::create_dir(&inner).unwrap();
        let held = fs::File::open(&inner).unwrap();
        // As by a mount: seen whatever its name is.
        let seen = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        assert!(!is_removed(&inner) && !is_removed(&seen));
        fs::remove_dir(&inner).unwrap();
        fs::create_dir(&inner).unwrap();
        assert!(!is_removed(&inner) && is_removed(&seen));
        assert_eq!(block_on(removed(&[inner, seen.clone()])), seen);
    }
}
