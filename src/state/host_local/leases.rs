//! Addresses with their owners, and the release of one whose owner is known to be gone: for whoever collects what no
//! journal knows.

use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use super::store::{LockedStore, Store};
use super::{StateError, files, owner};
use crate::state::fault;

/// An address that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub ip: IpAddr,
    /// The container that holds it.
    pub container_id: String,
    /// Its interface; `None` in an old store, which does not say.
    pub ifname: Option<String>,
    /// When it was taken, by the node's clock.
    pub taken: SystemTime,
}

impl Store {
    /// Every address that has an owner, in order, read without the lock. None where there is no store. An address that
    /// goes meanwhile is left out.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub fn leases(&self) -> Result<Vec<Lease>, StateError> {
        let mut leases = Vec::new();
        for ip in self.taken()? {
            leases.extend(lease(self.directory(), ip)?);
        }
        leases.sort_by_key(|lease| lease.ip);
        Ok(leases)
    }
}

impl LockedStore {
    /// Releases an address, if it is still this very lease; whether it was.
    ///
    /// Fault points: `host-local-release`, with `.begin` and `.removed`.
    ///
    /// # Errors
    /// When its file cannot be read or removed.
    pub fn release_lease(&self, known: &Lease) -> Result<bool, StateError> {
        if lease(self.directory(), known.ip)?.as_ref() != Some(known) {
            return Ok(false);
        }
        fault::step("host-local-release", "begin");
        files::remove(&self.directory().join(known.ip.to_string()))?;
        fault::step("host-local-release", "removed");
        Ok(true)
    }
}

fn lease(directory: &Path, ip: IpAddr) -> Result<Option<Lease>, StateError> {
    let path = directory.join(ip.to_string());
    let Some((container_id, ifname)) = owner(&path)? else { return Ok(None) };
    let taken = match std::fs::symlink_metadata(&path).and_then(|metadata| metadata.modified()) {
        Ok(taken) => taken,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("look at", &path)(error)),
    };
    Ok(Some(Lease { ip, container_id, ifname, taken }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::state::deadline::Deadline;
    use crate::state::testing::block_on;

    #[test]
    fn a_lease_is_released_only_as_long_as_it_is_the_same() {
        let root = std::env::temp_dir().join(format!("rooknet-leases-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let store = Store::new(Some(&root), "public");
        assert_eq!(store.leases().unwrap(), []);
        fs::create_dir_all(store.directory()).unwrap();
        let write = |ip: &str, content: &str| fs::write(store.directory().join(ip), content).unwrap();
        write("10.0.0.9", "abc\r\nnet1");
        write("10.0.0.5", "old");
        write("10.0.0.6", "");
        write("lock", "");
        let leases = store.leases().unwrap();
        let seen: Vec<_> =
            leases.iter().map(|l| (l.ip.to_string(), l.container_id.as_str(), l.ifname.as_deref())).collect();
        assert_eq!(seen, [("10.0.0.5".to_owned(), "old", None), ("10.0.0.9".to_owned(), "abc", Some("net1"))]);
        block_on(async {
            let locked = store.lock(&Deadline::without_signals(Duration::from_secs(10))).await.unwrap();
            assert!(locked.release_lease(&leases[0]).unwrap());
            assert!(!locked.release_lease(&leases[0]).unwrap());
            // Handed out again to the same container: another lease all the same.
            let file = fs::File::options().write(true).open(store.directory().join("10.0.0.9")).unwrap();
            file.set_modified(leases[1].taken + Duration::from_secs(1)).unwrap();
            assert!(!locked.release_lease(&leases[1]).unwrap());
            assert!(locked.release_lease(&store.leases().unwrap()[0]).unwrap());
        });
        assert_eq!(store.leases().unwrap(), []);
        let _ = fs::remove_dir_all(&root);
    }
}
