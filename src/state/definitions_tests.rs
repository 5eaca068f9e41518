use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::state::testing::{Directory, block_on};

/// The user whose files a test can make.
fn own(directory: &Directory) -> u32 {
    fs::metadata(directory.path()).unwrap().uid()
}

fn run_dir() -> Directory {
    let directory = Directory::new();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    directory
}

fn object(namespace: &str, name: &str, config: &str) -> String {
    serde_json::json!({
        "metadata": {"namespace": namespace, "name": name, "annotations": {"rooknet.io/node-ranges": "{}"}},
        "spec": {"config": config},
    })
    .to_string()
}

fn find(directory: &Directory, namespace: &str, name: &str) -> Option<Found> {
    let fresh = fresh_of(directory.path(), own(directory)).expect("the snapshot is fresh");
    block_on(fresh.find(namespace, name)).unwrap()
}

const LONG: Duration = Duration::from_secs(60);

fn beating() -> (Directory, Snapshot) {
    let directory = run_dir();
    let snapshot = Snapshot::new(directory.path());
    snapshot.put("rook-ceph", "public", &object("rook-ceph", "public", "{}")).unwrap();
    snapshot.beat(LONG, true).unwrap();
    (directory, snapshot)
}

#[test]
fn what_is_put_is_found_whole_until_it_is_removed() {
    let (directory, snapshot) = beating();
    let found = find(&directory, "rook-ceph", "public").unwrap();
    assert_eq!((found.definition.config.as_str(), found.definition.node_ranges.as_deref()), ("{}", Some("{}")));
    let path = directory.path().join("definitions/rook-ceph/public.json");
    assert_eq!(found.origin, format!("file {} of the agent's snapshot", path.display()));
    snapshot.put("rook-ceph", "public", &object("rook-ceph", "public", "{\"a\": 1}")).unwrap();
    assert_eq!(find(&directory, "rook-ceph", "public").unwrap().definition.config, "{\"a\": 1}");
    snapshot.remove("rook-ceph", "public").unwrap();
    snapshot.remove("rook-ceph", "public").unwrap();
    assert!(find(&directory, "rook-ceph", "public").is_none());
}

#[test]
fn it_is_fresh_only_while_the_watch_is_live() {
    let (directory, snapshot) = beating();
    let is_fresh = || fresh_of(directory.path(), own(&directory)).is_some();
    assert!(is_fresh());
    snapshot.stop().unwrap();
    assert!(!is_fresh());
    snapshot.stop().unwrap();
    snapshot.beat(Duration::ZERO, true).unwrap();
    assert!(!is_fresh());
    let heartbeat = directory.path().join("definitions").join(HEARTBEAT);
    for broken in [&b""[..], b"{}", b"\xff", &[b' '; 2048]] {
        fs::write(&heartbeat, broken).unwrap();
        assert!(!is_fresh(), "{broken:?}");
    }
}

#[test]
fn a_heartbeat_of_the_future_of_another_boot_or_of_long_ago_is_none() {
    let heartbeat = Heartbeat { boot: "this".to_owned(), at: 10_000, valid: 5_000, complete: true };
    for (boot, now, is_valid) in [
        ("this", 10_000, true),
        ("this", 14_999, true),
        ("this", 15_000, false),
        ("this", 9_999, false),
        ("this", 0, false),
        ("this", u64::MAX, false),
        ("other", 12_000, false),
        ("", 12_000, false),
    ] {
        assert_eq!(heartbeat.is_valid(boot, now), is_valid, "{boot} {now}");
    }
    let endless = Heartbeat { valid: u64::MAX, ..heartbeat };
    assert!(endless.is_valid("this", 600_000) && !endless.is_valid("this", 610_000));
}

#[test]
fn what_others_may_write_is_passed_over() {
    for (below, is_of_one) in [("", false), ("definitions", false), ("definitions/.heartbeat", false)]
        .into_iter()
        .chain([("definitions/rook-ceph", true), ("definitions/rook-ceph/public.json", true)])
    {
        let (directory, _) = beating();
        let path = directory.path().join(below);
        for mode in [0o722, 0o702, 0o720] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let fresh = fresh_of(directory.path(), own(&directory));
            assert_eq!(fresh.is_some(), is_of_one, "{below} {mode:o}");
            if let Some(fresh) = fresh {
                assert!(block_on(fresh.find("rook-ceph", "public")).unwrap().is_none(), "{below} {mode:o}");
            }
        }
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(find(&directory, "rook-ceph", "public").is_some(), "{below}");
        let stranger = own(&directory).wrapping_add(1);
        assert!(fresh_of(directory.path(), stranger).is_none(), "it belongs to somebody else");
    }
}

#[test]
fn what_cannot_be_used_is_left_to_the_api_server() {
    let (directory, snapshot) = beating();
    let other = object("rook-ceph", "other", "{}");
    for broken in ["", "{", "[]", "{\"kind\": \"Pod\"}", other.as_str()] {
        snapshot.put("rook-ceph", "public", broken).unwrap();
        assert!(find(&directory, "rook-ceph", "public").is_none(), "{broken}");
    }
    for (namespace, name) in [("..", "public"), ("rook-ceph", "../x"), ("", ""), ("rook-ceph", ".heartbeat")] {
        assert!(find(&directory, namespace, name).is_none(), "{namespace}/{name}");
        assert!(matches!(snapshot.put(namespace, name, "{}"), Err(Error::Name { .. })), "{namespace}/{name}");
        assert!(matches!(snapshot.remove(namespace, name), Err(Error::Name { .. })), "{namespace}/{name}");
    }
}

#[test]
fn an_object_that_does_not_fit_takes_its_former_state_along() {
    let (directory, snapshot) = beating();
    snapshot.put("rook-ceph", "public", &" ".repeat(MAX_DEFINITION_BYTES + 1)).unwrap();
    assert!(directory.names("definitions/rook-ceph").is_empty());
    for length in [LONGEST_NAME, LONGEST_NAME + 1, 253] {
        let name = "a".repeat(length);
        snapshot.put("rook-ceph", &name, &object("rook-ceph", &name, "{}")).unwrap();
        assert_eq!(find(&directory, "rook-ceph", &name).is_some(), length <= LONGEST_NAME, "{length}");
        snapshot.remove("rook-ceph", &name).unwrap();
    }
}

#[test]
fn the_definitions_of_one_pod_have_a_bound() {
    let (directory, snapshot) = beating();
    let large = object("rook-ceph", "public", &"x".repeat(1_000_000));
    snapshot.put("rook-ceph", "public", &large).unwrap();
    let fresh = fresh_of(directory.path(), own(&directory)).unwrap();
    let found = (0..20).filter(|_| block_on(fresh.find("rook-ceph", "public")).unwrap().is_some()).count();
    assert_eq!(found, MAX_BYTES_OF_A_POD / large.len());
}

#[test]
fn a_list_removes_what_it_does_not_have() {
    let (directory, snapshot) = beating();
    for (namespace, name) in [("a", "x"), ("a", "y"), ("b", "x")] {
        snapshot.put(namespace, name, &object(namespace, name, "{}")).unwrap();
    }
    fs::write(directory.path().join("definitions/a/x.conflist"), "{}").unwrap();
    let known = [("a", "x"), ("c", "z")].map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    assert_eq!(snapshot.retain(&BTreeSet::from(known)).unwrap(), 4);
    assert_eq!(directory.names("definitions/a"), ["x.json"]);
    assert!(directory.names("definitions/b").is_empty() && directory.names("definitions/rook-ceph").is_empty());
    assert!(fresh_of(directory.path(), own(&directory)).is_some(), "the heartbeat is no object");
}

#[test]
fn an_empty_node_has_nothing_to_retain_and_is_not_fresh() {
    let directory = run_dir();
    assert_eq!(Snapshot::new(directory.path()).retain(&BTreeSet::new()).unwrap(), 0);
    assert!(!is_fresh(directory.path()));
    assert!(directory.names("").is_empty());
}
