use super::*;
use crate::state::testing::Directory;

fn key(container_id: &str, ifname: &str) -> Key {
    Key { container_id: container_id.into(), ifname: ifname.into() }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

fn journal(container_id: &str) -> Journal {
    Journal {
        format: FORMAT,
        container_id: container_id.into(),
        ifname: "eth0".into(),
        network_name: "cbr0".into(),
        netns: "/run/netns/a".into(),
        netns_identity: NetnsIdentity { cookie: Some(u64::MAX), inode: 4_026_531_840 },
        boot_id: "00000000-0000-4000-8000-000000000000".into(),
        pod: "rook-ceph/osd-0".into(),
        complete: false,
        attachments: vec![Attachment {
            network: "rook-ceph/public".into(),
            ifname: "net1".into(),
            config: raw(r#"{"zeta":9007199254740993, "alpha":1.0e2,"cniVersion":"1.0.0"}"#),
            args: "IgnoreUnknown=1".into(),
            runtime_config: raw(r#"{"mac": null}"#),
            default_route: vec!["192.0.2.1".parse().unwrap()],
            takes_default_route: true,
            result: None,
            link: None,
        }],
    }
}

fn whole(read: Read) -> Journal {
    match read {
        Read::Whole(journal) => *journal,
        other => panic!("{other:?}"),
    }
}

fn reason(read: Read) -> String {
    match read {
        Read::Corrupt(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// Puts bytes where the journal of `a`, `eth0` would be.
fn with_content(content: &[u8]) -> (Directory, Journals) {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    std::fs::create_dir(directory.path().join("attachments")).unwrap();
    std::fs::write(directory.path().join("attachments/a@eth0.json"), content).unwrap();
    (directory, journals)
}

#[test]
fn a_journal_returns_as_it_was_written_byte_for_byte_where_it_is_not_ours() {
    let directory = Directory::new();
    let journals = Journals::new(&directory.path().join("state"));
    let plan = journal("a");
    journals.write_plan(&plan).unwrap();
    let read = whole(journals.read(&plan.key()).unwrap());
    assert_eq!(read.attachments[0].config.get(), plan.attachments[0].config.get());
    assert_eq!(read.attachments[0].runtime_config.get(), r#"{"mac": null}"#);
    assert_eq!(read.netns_identity, plan.netns_identity);
    assert!(!read.complete);

    let mut done = read;
    done.complete = true;
    done.attachments[0].result = Some(raw(r#"{"ips":[]}"#));
    done.attachments[0].link = Some(LinkIdentity { index: 7, kind: "macvlan".into() });
    journals.write_results(&done).unwrap();
    let read = whole(journals.read(&plan.key()).unwrap());
    assert!(read.complete);
    assert_eq!(read.attachments[0].link, done.attachments[0].link);
    assert_eq!(directory.names("state/attachments"), ["a@eth0.json"]);
}

#[test]
fn a_missing_journal_is_missing_also_before_the_first_write() {
    let directory = Directory::new();
    let journals = Journals::new(&directory.path().join("state"));
    assert!(matches!(journals.read(&key("a", "eth0")).unwrap(), Read::Missing));
    assert!(journals.keys().unwrap().is_empty());
    assert!(journals.failed().unwrap().is_empty());
    journals.remove(&key("a", "eth0")).unwrap();
    assert!(!directory.path().join("state").exists());
}

#[test]
fn a_journal_that_is_cut_at_any_byte_or_garbage_is_corrupt_and_named() {
    let mut content = serde_json::to_vec(&journal("a")).unwrap();
    content.push(b'\n');
    let cuts = (0..content.len() - 1).step_by(7).map(|cut| content[..cut].to_vec());
    let garbage = [
        &b"\0\0\0\0"[..],
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        br#"{"format":"1"}"#,
        br#"{"format":-1}"#,
        br#"{"format":0}"#,
        br#"{"format":1}"#,
    ];
    for content in cuts.chain(garbage.map(<[u8]>::to_vec)) {
        let (directory, journals) = with_content(&content);
        let reason = reason(journals.read(&key("a", "eth0")).unwrap());
        let path = directory.path().join("attachments/a@eth0.json");
        assert!(reason.starts_with(&format!("the journal {} ", path.display())), "{reason}");
    }
}

#[test]
fn a_journal_nested_without_end_is_corrupt_and_does_not_overflow_the_stack() {
    let mut content = br#"{"format":1,"x":"#.to_vec();
    content.extend(std::iter::repeat_n(b'[', 1_000_000));
    let (_directory, journals) = with_content(&content);
    reason(journals.read(&key("a", "eth0")).unwrap());
}

#[test]
fn a_journal_larger_than_any_of_ours_is_corrupt_and_cannot_be_written() {
    let limit = usize::try_from(SIZE_LIMIT).unwrap();
    let (_directory, journals) = with_content(&vec![b' '; limit + 1]);
    assert!(reason(journals.read(&key("a", "eth0")).unwrap()).ends_with("is larger than 16777216 bytes"));
    let mut large = journal("b");
    large.attachments[0].args = "x".repeat(limit);
    assert!(matches!(journals.write_plan(&large), Err(Error::TooLarge { .. })));
    assert!(matches!(journals.read(&large.key()).unwrap(), Read::Missing));
}

#[test]
fn a_journal_of_another_container_under_this_name_is_corrupt() {
    let (_directory, journals) = with_content(&serde_json::to_vec(&journal("b")).unwrap());
    let reason = reason(journals.read(&key("a", "eth0")).unwrap());
    assert!(reason.ends_with(r#"contradicts its name: it is of container "b" and interface "eth0""#), "{reason}");
}

#[test]
fn a_journal_of_a_newer_format_is_an_error_and_not_corrupt() {
    let (directory, journals) = with_content(br#"{"format":2,"something":"else"}"#);
    let error = journals.read(&key("a", "eth0")).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, known: 1, .. }));
    assert!(error.to_string().ends_with("it was written by a newer one, install that again"), "{error}");
    assert_eq!(directory.names("attachments"), ["a@eth0.json"]);
}

#[test]
fn unknown_keys_of_the_same_format_are_passed_over() {
    let text = serde_json::to_string(&journal("a")).unwrap().replacen('{', r#"{"later":{"x":[1]},"#, 1);
    let (_directory, journals) = with_content(text.as_bytes());
    assert_eq!(whole(journals.read(&key("a", "eth0")).unwrap()).pod, "rook-ceph/osd-0");
}

#[test]
fn keys_are_those_of_the_journals_alone() {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    for container_id in ["b", "a"] {
        journals.write_plan(&journal(container_id)).unwrap();
    }
    let foreign = ["README", "x.json", "@eth0.json", "a@.json", ".hidden@eth0.json", "a@eth0.json.bak", "\u{fffd}"];
    for name in foreign {
        std::fs::write(directory.path().join("attachments").join(name), "").unwrap();
    }
    assert_eq!(journals.keys().unwrap(), [key("a", "eth0"), key("b", "eth0")]);
}

#[test]
fn an_interface_name_with_an_at_sign_keeps_its_container_apart() {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    let mut odd = journal("a");
    odd.ifname = "e@h@0".into();
    journals.write_plan(&odd).unwrap();
    assert_eq!(journals.keys().unwrap(), [key("a", "e@h@0")]);
}

#[test]
fn a_key_never_leaves_the_directory() {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    for (container_id, ifname) in
        [("..", "eth0"), ("", "eth0"), ("a/b", "eth0"), ("a@b", "eth0"), ("a", "../x"), ("a", ""), ("a\0", "e")]
    {
        let key = key(container_id, ifname);
        assert!(matches!(journals.read(&key), Err(Error::Name { .. })), "{key:?}");
        assert!(matches!(journals.mark_failed(&key), Err(Error::Name { .. })), "{key:?}");
    }
}

#[test]
fn a_removal_takes_journal_mark_and_the_left_overs_of_a_killed_writer() {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    for container_id in ["a", "b"] {
        journals.write_plan(&journal(container_id)).unwrap();
        journals.mark_failed(&key(container_id, "eth0")).unwrap();
    }
    let left = directory.path().join("attachments/.rooknet-tmp-8388608.0-a@eth0.json");
    std::fs::write(left, "half").unwrap();
    for _ in 0..2 {
        journals.remove(&key("a", "eth0")).unwrap();
        assert_eq!(directory.names("attachments"), ["b@eth0.json"]);
        assert_eq!(directory.names("failed"), ["b@eth0"]);
    }
}

#[test]
fn failed_ones_come_the_longest_untried_first_and_only_with_a_journal() {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    for (age, container_id) in [(10, "a"), (30, "b"), (20, "c"), (40, "gone")] {
        if container_id != "gone" {
            journals.write_plan(&journal(container_id)).unwrap();
        }
        journals.mark_failed(&key(container_id, "eth0")).unwrap();
        let mark =
            std::fs::File::options().write(true).open(directory.path().join(format!("failed/{container_id}@eth0")));
        mark.unwrap().set_modified(SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
    }
    let ids = || journals.failed().unwrap().into_iter().map(|key| key.container_id).collect::<Vec<_>>();
    assert_eq!(ids(), ["b", "c", "a"]);
    assert_eq!(directory.names("failed").len(), 3, "the mark without a journal is gone");
    journals.mark_failed(&key("b", "eth0")).unwrap();
    assert_eq!(ids(), ["c", "a", "b"], "marked again, it is the last");
}

#[test]
fn a_corrupt_journal_is_set_aside_beside_the_former_ones() {
    let (directory, journals) = with_content(b"1");
    journals.mark_failed(&key("a", "eth0")).unwrap();
    let first = journals.set_aside(&key("a", "eth0")).unwrap();
    assert_eq!(std::fs::read(first).unwrap(), b"1");
    std::fs::write(directory.path().join("attachments/a@eth0.json"), "2").unwrap();
    let second = journals.set_aside(&key("a", "eth0")).unwrap();
    assert_eq!(std::fs::read(second).unwrap(), b"2");
    assert_eq!(directory.names("corrupt"), ["a@eth0.1.json", "a@eth0.json"]);
    assert!(directory.names("attachments").is_empty() && directory.names("failed").is_empty());
    assert!(matches!(journals.read(&key("a", "eth0")).unwrap(), Read::Missing));
}

#[test]
fn a_probe_leaves_nothing_and_fails_where_nothing_can_be_written() {
    let directory = Directory::new();
    let journals = Journals::new(directory.path());
    journals.probe().unwrap();
    assert!(directory.names("attachments").is_empty());
    let error = Journals::new(Path::new("/proc/rooknet")).probe().unwrap_err();
    assert!(error.to_string().contains("/proc/rooknet"), "{error}");
}
