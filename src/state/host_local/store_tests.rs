use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use super::*;
use crate::state::testing::{Directory, block_on};

const MINE: Owner<'_> = Owner { container_id: "abc", ifname: "net1" };
const OTHER_INTERFACE: Owner<'_> = Owner { container_id: "abc", ifname: "net2" };
const OTHER: Owner<'_> = Owner { container_id: "abcd", ifname: "net1" };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn store(directory: &Directory) -> Store {
    Store::new(Some(directory.path()), "public")
}

fn locked(directory: &Directory) -> LockedStore {
    block_on(store(directory).lock(&Deadline::without_signals(Duration::from_secs(60)))).unwrap()
}

fn write(directory: &Directory, name: &str, content: &str) {
    fs::create_dir_all(directory.path().join("public")).unwrap();
    fs::write(directory.path().join("public").join(name), content).unwrap();
}

#[test]
fn a_reserved_address_is_a_whole_file_of_its_own() {
    let directory = Directory::new();
    let store = locked(&directory);
    assert!(store.reserve(MINE, ip("2001:db8::5")).unwrap());
    store.note_last(3, ip("2001:db8::5")).unwrap();
    let path = directory.path().join("public/2001:db8::5");
    assert_eq!(fs::read_to_string(&path).unwrap(), "abc\r\nnet1");
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.nlink()), (0o600, 1));
    assert_eq!(directory.names("public"), ["2001:db8::5", "last_reserved_ip.3", "lock"]);
    assert_eq!((store.last(3), store.last(0)), (Some(ip("2001:db8::5")), None));
}

#[test]
fn a_taken_address_stays_its_owners() {
    let directory = Directory::new();
    let store = locked(&directory);
    assert!(store.reserve(MINE, ip("192.0.2.5")).unwrap());
    assert!(!store.reserve(OTHER, ip("192.0.2.5")).unwrap());
    assert_eq!(store.held_by(MINE).unwrap(), [ip("192.0.2.5")]);
    // Not a file at all, but the name is taken, as in the reference.
    fs::create_dir(directory.path().join("public/192.0.2.6")).unwrap();
    assert!(!store.reserve(MINE, ip("192.0.2.6")).unwrap());
}

#[test]
fn an_empty_file_is_taken_over_under_the_lock() {
    let directory = Directory::new();
    write(&directory, "192.0.2.5", "");
    let store = locked(&directory);
    assert!(store.reserve(MINE, ip("192.0.2.5")).unwrap());
    assert_eq!(store.held_by(MINE).unwrap(), [ip("192.0.2.5")]);
    assert_eq!(directory.names("public"), ["192.0.2.5", "lock"]);
}

#[test]
fn what_a_killed_writer_left_is_removed_and_its_address_stays_whole() {
    let directory = Directory::new();
    write(&directory, "192.0.2.5", "other\r\nnet1");
    // Killed after the link and before its temporary name was gone: both are names of one file.
    let of = |name: &str| directory.path().join("public").join(name);
    fs::hard_link(of("192.0.2.5"), of(TEMPORARY)).unwrap();
    let store = locked(&directory);
    assert!(store.reserve(MINE, ip("192.0.2.6")).unwrap());
    assert_eq!(fs::read_to_string(of("192.0.2.5")).unwrap(), "other\r\nnet1");
    assert_eq!(directory.names("public"), ["192.0.2.5", "192.0.2.6", "lock"]);
}

#[test]
fn a_release_after_a_kill_takes_the_temporary_file_along() {
    let directory = Directory::new();
    write(&directory, TEMPORARY, "abc\r\nnet1");
    let store = locked(&directory);
    assert!(store.release(MINE, &[]).unwrap().is_empty());
    assert_eq!(directory.names("public"), ["lock"]);
}

#[test]
fn known_addresses_are_released_without_reading_others() {
    let directory = Directory::new();
    let store = locked(&directory);
    for (owner, address) in [(MINE, "192.0.2.5"), (MINE, "192.0.2.6"), (OTHER, "192.0.2.7")] {
        assert!(store.reserve(owner, ip(address)).unwrap());
    }
    // A scan would fail here: it is a file that cannot be read.
    std::os::unix::fs::symlink("192.0.2.9", directory.path().join("public/192.0.2.9")).unwrap();
    assert!(store.release(MINE, &[]).is_err());
    let known = ["192.0.2.5", "192.0.2.7", "192.0.2.8"].map(ip);
    assert_eq!(store.release(MINE, &known).unwrap(), [ip("192.0.2.5")]);
    assert!(store.release(MINE, &known).unwrap().is_empty());
    assert_eq!(directory.names("public"), ["192.0.2.6", "192.0.2.7", "192.0.2.9", "lock"]);
}

#[test]
fn without_knowledge_all_addresses_of_the_interface_are_released_and_no_others() {
    let directory = Directory::new();
    let store = locked(&directory);
    for (owner, address) in
        [(MINE, "192.0.2.5"), (MINE, "2001:db8::5"), (OTHER, "192.0.2.7"), (OTHER_INTERFACE, "192.0.2.8")]
    {
        assert!(store.reserve(owner, ip(address)).unwrap());
    }
    write(&directory, "192.0.2.9", "abc");
    assert_eq!(store.release(MINE, &[]).unwrap(), ["192.0.2.5", "2001:db8::5"].map(ip));
    assert_eq!(directory.names("public"), ["192.0.2.7", "192.0.2.8", "192.0.2.9", "lock"]);
    assert_eq!(store.release(MINE, &[]).unwrap(), [ip("192.0.2.9")], "an old file, as none names the interface");
    assert_eq!(directory.names("public"), ["192.0.2.7", "192.0.2.8", "lock"]);
}

#[test]
fn a_file_that_cannot_be_removed_keeps_no_other_from_being_released() {
    let directory = Directory::new();
    let store = locked(&directory);
    std::os::unix::fs::symlink("192.0.2.4", directory.path().join("public/192.0.2.4")).unwrap();
    assert!(store.reserve(MINE, ip("192.0.2.5")).unwrap());
    let error = store.release(MINE, &["192.0.2.4", "192.0.2.5"].map(ip)).unwrap_err();
    assert!(error.to_string().contains("public/192.0.2.4"), "{error}");
    assert_eq!(directory.names("public"), ["192.0.2.4", "lock"]);
}

#[test]
fn a_last_address_that_cannot_be_read_is_not_known() {
    let directory = Directory::new();
    let store = locked(&directory);
    for content in ["", "192.0.2", "192.0.2.5\n", &"x".repeat(100)] {
        write(&directory, "last_reserved_ip.0", content);
        assert_eq!(store.last(0), None, "{content:?}");
    }
    fs::create_dir(directory.path().join("public/last_reserved_ip.1")).unwrap();
    assert_eq!(store.last(1), None);
}

#[test]
fn a_held_lock_is_named_when_the_time_is_up() {
    let directory = Directory::new();
    let _holder = locked(&directory);
    let waiting = block_on(async { store(&directory).lock(&Deadline::without_signals(Duration::ZERO)).await });
    assert!(waiting.unwrap_err().to_string().contains("public/lock"));
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_a_release() {
    let directory = Directory::new();
    let deadline = Deadline::without_signals(Duration::from_secs(60));
    assert!(block_on(store(&directory).lock_existing(&deadline)).unwrap().is_none());
    assert_eq!(directory.names(""), Vec::<String>::new());
}

#[test]
fn a_directory_that_cannot_be_used_is_found_before_it_is_needed() {
    let directory = Directory::new();
    assert!(store(&directory).is_usable().is_ok(), "it can be made");
    write(&directory, "file", "");
    assert!(store(&directory).is_usable().is_ok());
    let below_a_file = Store::new(Some(&directory.path().join("public/file")), "public");
    assert!(below_a_file.is_usable().unwrap_err().to_string().contains("public/file"));
    let read_only = Store::new(Some(Path::new("/proc/self")), "public");
    assert!(read_only.is_usable().unwrap_err().to_string().contains("/proc/self"));
}
