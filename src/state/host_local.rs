//! host-local's store, read by owner: which addresses a container holds when no journal says so.
//!
//! The store is shared with the reference plugin: `<root>/<network>/<address>`, a file of `<containerID>\r\n<ifname>`
//! (old stores: the id alone). What is here serves undoing; [`release`] takes the network's lock and reads the owner
//! again before it removes a file, so that an address that was released and handed out in the meantime stays.
//! Allocation is [`Store`]'s.
//!
//! A scan reads every file of every network. It is made only for a container whose journal is corrupt.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::deadline::Deadline;
use super::error::Error as StateError;
use super::files;
use super::lock::wait_for;
use crate::cni::Error;

mod leases;
mod store;

pub use leases::Lease;
pub use store::{LockedStore, Owner, Store};

/// Where host-local keeps its stores by default (key `dataDir`).
pub const DEFAULT_ROOT: &str = "/var/lib/cni/networks";

/// Bytes of an address's file, at most: an id and an interface name. Longer files are not host-local's.
const MAX_FILE_BYTES: u64 = 4096;

/// One address that a container holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reservation {
    /// The network's name: its directory.
    pub network: String,
    /// The file that reserves the address.
    pub path: PathBuf,
    /// The address: the file's name.
    pub ip: IpAddr,
    /// The interface; `None` in an old store, which does not say.
    pub ifname: Option<String>,
}

/// The addresses that `container_id` holds in any network below `root`, in order of network and path. None when
/// there is no such directory.
///
/// # Errors
/// Code 5, naming the path, when a directory or file cannot be read. Files that are too long to be host-local's are
/// logged and passed over.
pub fn find(root: &Path, container_id: &str) -> Result<Vec<Reservation>, Error> {
    let mut found = Vec::new();
    for network in files::paths(root)? {
        if network.is_dir() {
            let held = held(&network)?.into_iter().filter(|(owner, _)| owner == container_id);
            found.extend(held.map(|(_, reservation)| reservation));
        }
    }
    found.sort();
    Ok(found)
}

/// Every address that is held in one network's store (its directory), with the container that holds it, in order of path.
/// None when there is no such directory.
///
/// # Errors
/// As [`find`].
pub fn held(directory: &Path) -> Result<Vec<(String, Reservation)>, Error> {
    let mut held = Vec::new();
    let Some(network) = directory.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Ok(held) };
    for path in files::paths(directory)? {
        // Only addresses: `lock`, `last_reserved_ip.*` and temporary files are none.
        let Some(ip) = path.file_name().and_then(|ip| ip.to_str()).and_then(|ip| ip.parse().ok()) else { continue };
        if let Some((container_id, ifname)) = owner(&path)? {
            held.push((container_id, Reservation { network: network.clone(), path, ip, ifname }));
        }
    }
    held.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(held)
}

/// Releases an address that `container_id` holds, under its network's lock, for which it waits at most `wait`.
/// Answers whether the address was released: not when it is free already, or another container's by now.
///
/// # Errors
/// Code 5, naming the path, when the lock cannot be had in time, or a file cannot be read or removed.
pub async fn release(reservation: &Reservation, container_id: &str, wait: Duration) -> Result<bool, Error> {
    let path = &reservation.path;
    let Some(directory) = path.parent() else { return Ok(false) };
    let _lock = lock(&directory.join("lock"), &Deadline::without_signals(wait)).await?;
    match owner(path)? {
        Some((owner, ifname)) if owner == container_id && ifname == reservation.ifname => {}
        _ => return Ok(false),
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StateError::io("remove", path)(error).into()),
    }
}

/// The network's lock, held: flock(LOCK_EX), as host-local takes it.
async fn lock(path: &Path, deadline: &Deadline) -> Result<File, StateError> {
    // The flag instead of `create`, which demands write access: host-local opens O_CREAT|O_RDONLY, with this mode.
    let file = OpenOptions::new()
        .read(true)
        // O_NONBLOCK: to open a FIFO of that name would wait for ever, past deadline and signals.
        .custom_flags(libc::O_CREAT | libc::O_NONBLOCK)
        .mode(0o750)
        .open(path)
        .map_err(StateError::io("open the lock", path))?;
    wait_for(&file, path, File::try_lock, "host-local, in another call or by another plugin", deadline).await?;
    Ok(file)
}

/// Who holds an address: container id and interface. `None` when the file is gone, or no owner can be read in it.
fn owner(path: &Path) -> Result<Option<(String, Option<String>)>, StateError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path)(error)),
    }
    let bytes = match files::read_bounded(path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error @ StateError::TooLarge { .. }) => {
            log::warn!("passing over what is no file of host-local: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(None) };
    // host-local compares the trimmed content with "<id>\r\n<ifname>", then with "<id>".
    let text = text.trim();
    Ok(match text.split_once("\r\n") {
        _ if text.is_empty() => None,
        None => Some((text.to_owned(), None)),
        Some((container_id, ifname)) => Some((container_id.to_owned(), Some(ifname.to_owned()))),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A store of its own, removed at the end.
    struct Store(PathBuf);

    impl Store {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rooknet-host-local-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Store(path)
        }

        fn write(&self, network: &str, file: &str, content: &str) -> PathBuf {
            let directory = self.0.join(network);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), content).unwrap();
            directory.join(file)
        }

        fn find(&self) -> Vec<Reservation> {
            find(&self.0, "abc").unwrap()
        }
    }

    impl Drop for Store {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn release_now(reservation: &Reservation, wait: u64) -> Result<bool, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(release(reservation, "abc", Duration::from_millis(wait)))
    }

    #[test]
    fn a_containers_addresses_are_found_in_all_networks() {
        let store = Store::new("find");
        store.write("public", "192.0.2.5", "abc\r\neth0");
        store.write("public", "192.0.2.6", "abcd\r\neth0");
        store.write("public", "192.0.2.7", "other\r\nabc");
        store.write("cluster", "2001:db8::5", "abc\r\nnet1\n");
        store.write("old", "192.0.2.9", "abc");
        store.write("old", "192.0.2.10", "abc\nnet1");
        let found = store.find();
        let seen: Vec<_> = found.iter().map(|r| (r.network.as_str(), r.ip.to_string(), r.ifname.as_deref())).collect();
        let expected = [
            ("cluster", "2001:db8::5", Some("net1")),
            ("old", "192.0.2.9", None),
            ("public", "192.0.2.5", Some("eth0")),
        ];
        assert_eq!(seen, expected.map(|(network, ip, ifname)| (network, ip.to_owned(), ifname)));
    }

    #[test]
    fn files_that_are_no_addresses_are_passed_over() {
        let store = Store::new("skip");
        for file in ["lock", "last_reserved_ip.0", "192.0.2.5.tmp", ".192.0.2.5", "abc"] {
            store.write("public", file, "abc\r\neth0");
        }
        store.write("public", "192.0.2.1", "");
        store.write("public", "192.0.2.2", &"x".repeat(10_000));
        fs::create_dir(store.0.join("public/192.0.2.3")).unwrap();
        fs::write(store.0.join("192.0.2.4"), "abc\r\neth0").unwrap();
        assert!(store.find().is_empty());
        assert!(find(&store.0.join("absent"), "abc").unwrap().is_empty());
    }

    #[test]
    fn a_released_address_is_gone_and_the_lock_file_is_there() {
        let store = Store::new("release");
        let path = store.write("public", "192.0.2.5", "abc\r\neth0");
        let old = store.write("public", "192.0.2.6", "abc");
        for reservation in store.find() {
            assert!(release_now(&reservation, 1000).unwrap());
            assert!(!release_now(&reservation, 1000).unwrap(), "a second time is fine");
        }
        assert!(!path.exists() && !old.exists() && store.0.join("public/lock").exists());
    }

    #[test]
    fn an_address_that_was_handed_out_again_stays() {
        let store = Store::new("reused");
        let path = store.write("public", "192.0.2.5", "abc\r\neth0");
        let reservation = store.find().remove(0);
        for content in ["other\r\neth0", "abc\r\nnet1", ""] {
            fs::write(&path, content).unwrap();
            assert!(!release_now(&reservation, 1000).unwrap());
            assert!(path.exists(), "{content:?}");
        }
    }

    #[test]
    fn a_held_lock_is_waited_for_and_then_named() {
        let store = Store::new("lock");
        let path = store.write("public", "192.0.2.5", "abc\r\neth0");
        let reservation = store.find().remove(0);
        let holder = File::create(store.0.join("public/lock")).unwrap();
        holder.lock().unwrap();
        let error = release_now(&reservation, 30).unwrap_err();
        assert!(error.message.contains("public/lock") && path.exists(), "{error}");
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(holder);
        });
        assert!(release_now(&reservation, 5000).unwrap());
        later.join().unwrap();
    }

    #[test]
    fn a_fifo_in_the_locks_place_holds_nobody_up() {
        let store = Store::new("fifo");
        store.write("public", "192.0.2.5", "abc\r\neth0");
        let reservation = store.find().remove(0);
        nix::unistd::mkfifo(&store.0.join("public/lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(release_now(&reservation, 1000).unwrap());
    }

    #[test]
    fn a_network_directory_that_is_gone_is_an_error_that_names_it() {
        let store = Store::new("gone");
        store.write("public", "192.0.2.5", "abc\r\neth0");
        let reservation = store.find().remove(0);
        fs::remove_dir_all(store.0.join("public")).unwrap();
        assert!(release_now(&reservation, 1000).unwrap_err().message.contains("public/lock"));
    }
}
