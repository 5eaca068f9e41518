use std::path::Path;

use super::*;
use crate::kernel::testing::in_new_netns;

fn identity(cookie: Option<u64>, inode: u64) -> Identity {
    Identity { cookie, inode }
}

#[test]
fn identities_are_compared_by_cookie_and_inode_and_by_inode_alone_where_a_cookie_lacks() {
    assert!(identity(Some(7), 1).is(&identity(Some(7), 1)));
    assert!(!identity(Some(7), 1).is(&identity(Some(8), 1)), "an inode number is reused");
    assert!(!identity(Some(7), 1).is(&identity(Some(7), 2)), "a cookie of the boot before");
    assert!(identity(None, 1).is(&identity(None, 1)));
    assert!(identity(None, 1).is(&identity(Some(7), 1)));
    assert!(!identity(None, 1).is(&identity(None, 2)));
}

#[test]
fn a_missing_path_is_no_namespace() {
    for path in ["", "/nowhere/at/all", "/proc/self/status/below", "/run/netns/\0"] {
        assert!(Netns::open(Path::new(path)).unwrap().is_none(), "{path:?}");
    }
    assert!(Netns::open(Path::new(&format!("/{}", "x".repeat(5000)))).unwrap().is_none());
}

#[test]
fn a_file_of_another_kind_is_no_namespace() {
    for path in ["/etc/passwd", "/etc", "/dev/null", "/proc/self/status"] {
        assert!(Netns::open(Path::new(path)).unwrap().is_none(), "{path}");
    }
}

#[test]
fn a_fifo_without_a_writer_is_no_namespace_and_does_not_hang() {
    let path = std::env::temp_dir().join(format!("rooknet-fifo-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let opened = Netns::open(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(opened.unwrap().is_none());
}

#[test]
fn a_namespace_of_another_kind_is_no_network_namespace() {
    for path in ["/proc/self/ns/mnt", "/proc/self/ns/uts"] {
        assert!(Netns::open(Path::new(path)).unwrap().is_none(), "{path}");
    }
}

#[test]
fn the_own_namespace_is_own_by_whatever_path() {
    let own = Netns::own().unwrap();
    let by_path = Netns::open(Path::new("/proc/self/ns/net")).unwrap().unwrap();
    assert!(own.is_own().unwrap() && by_path.is_own().unwrap());
    assert!(own.identity().cookie.is_some(), "this kernel is newer than 5.14");
    assert_eq!(own.identity(), by_path.identity());
}

#[test]
fn another_namespace_is_told_apart_and_left_again() {
    let host = Netns::own().unwrap();
    in_new_netns(|| async {
        let pod = Netns::own().unwrap();
        assert!(!pod.identity().is(&host.identity()));
        assert_ne!(pod.identity().cookie, host.identity().cookie);
        assert!(!host.is_own().unwrap());
        let seen = host.inside(|| Netns::own().unwrap().identity()).unwrap();
        assert_eq!(seen, host.identity());
        assert!(pod.is_own().unwrap(), "came back");
    });
}

#[test]
fn a_panic_inside_comes_back_too() {
    let host = Netns::own().unwrap();
    in_new_netns(|| async {
        let pod = Netns::own().unwrap();
        let quiet = std::panic::AssertUnwindSafe(|| host.inside(|| std::panic::resume_unwind(Box::new("inside"))));
        assert!(std::panic::catch_unwind(quiet).is_err());
        assert!(pod.is_own().unwrap());
    });
}

#[test]
fn an_error_names_path_and_operation() {
    let error = Error::Namespace {
        operation: "enter",
        path: "/run/netns/a".into(),
        source: io::Error::from_raw_os_error(libc::EPERM),
    };
    assert_eq!(
        error.to_string(),
        "cannot enter the network namespace /run/netns/a: Operation not permitted (os error 1); \
         rooknet must run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"
    );
    assert_eq!(error.errno(), Some(libc::EPERM));
}
