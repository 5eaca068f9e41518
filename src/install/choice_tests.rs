use super::*;
use crate::install::survey::Survey;

const CBR0: &str = r#"{"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "ptp"}]}"#;
const OTHER: &str = r#"{"cniVersion": "1.1.0", "name": "other", "type": "bridge"}"#;
const LOOPBACK: &str = r#"{"cniVersion": "1.1.0", "name": "lo", "type": "loopback"}"#;
const OURS: &str = r#"{"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "ptp"}, {"type": "rooknet"}]}"#;
const MULTUS: &str = r#"{"cniVersion": "1.1.0", "name": "multus", "type": "multus",
    "delegates": [{"name": "inline", "plugins": [{"type": "ptp"}]}]}"#;
const SHIM: &str = r#"{"cniVersion": "1.1.0", "name": "multus", "type": "multus-shim",
    "clusterNetwork": "/host/etc/cni/net.d/20-cbr0.conflist"}"#;
/// Multus as the plugin of a list, with rooknet nowhere.
const IN_LIST: &str =
    r#"{"cniVersion": "1.1.0", "name": "l", "plugins": [{"type": "multus", "clusterNetwork": "cbr0"}]}"#;

fn survey(files: &[(&str, &str)]) -> Survey {
    let files: Vec<(String, String)> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let names = files.iter().map(|(name, _)| name.clone()).collect();
    let text = |name: &str| Ok(files.iter().find(|(file, _)| file == name).map(|(_, text)| text.clone()));
    Survey::new(names, text, |_| Ok(Vec::new()))
}

/// What was chosen, in a word.
fn chosen(files: &[(&str, &str)], requested: Option<&str>, pinned: Option<(&str, &str)>) -> String {
    let survey = survey(files);
    let pinned = pinned.map(|(name, file)| installation::Primary { name: name.to_owned(), file: file.to_owned() });
    match choose(&survey, requested, pinned.as_ref(), &[]) {
        Choice::Network { file, primary } => format!("{} of {file}", primary.name),
        Choice::Changed { file, primary } => format!("changed to {} of {file}", primary.name),
        Choice::Malformed { file, .. } => format!("malformed {file}"),
        Choice::Absent => "absent".to_owned(),
    }
}

#[test]
fn the_first_network_is_chosen_by_its_plugins_types_and_never_rooknet_multus_or_the_loopback() {
    let files = [
        ("00-a.conflist", OURS),
        ("01-b.conf", MULTUS.replace("delegates", "d").leak() as &str),
        ("05-lo.conf", LOOPBACK),
    ];
    assert_eq!(chosen(&files, None, None), "absent");
    let more = [&files[..], &[("20-cbr0.conflist", CBR0), ("30-other.conf", OTHER)]].concat();
    assert_eq!(chosen(&more, None, None), "cbr0 of 20-cbr0.conflist");
    assert_eq!(chosen(&[("10-x.txt", CBR0), ("20-y.conflist.new", CBR0)], None, None), "absent");
}

#[test]
fn a_file_that_cannot_be_read_is_not_passed_over() {
    for text in ["", "{", "{\"name\": \"x\"}", "{\"cniVersion\": \"9.0.0\", \"name\": \"x\", \"type\": \"y\"}"] {
        let files = [("10-cbr0.conflist", text), ("87-podman.conflist", CBR0)];
        assert_eq!(chosen(&files, None, None), "malformed 10-cbr0.conflist", "{text}");
        // The pinned one is as good as ever.
        assert_eq!(chosen(&files, None, Some(("cbr0", "87-podman.conflist"))), "cbr0 of 87-podman.conflist");
    }
}

#[test]
fn multus_tells_its_default_network_inline_by_file_and_by_name() {
    assert_eq!(chosen(&[("00-multus.conf", MULTUS)], None, None), "inline of 00-multus.conf");
    let file = MULTUS.replace("inline", "cbr0");
    let files = [("00-multus.conf", file.as_str()), ("10-other.conf", OTHER), ("20-cbr0.conflist", CBR0)];
    assert_eq!(chosen(&files, None, None), "cbr0 of 20-cbr0.conflist", "its file is newer than Multus's copy");
    for multus in [SHIM, IN_LIST] {
        let files = [("00-multus.conflist", multus), ("10-other.conf", OTHER), ("20-cbr0.conflist", CBR0)];
        assert_eq!(chosen(&files, None, None), "cbr0 of 20-cbr0.conflist");
    }
}

#[test]
fn the_pinned_network_is_followed_by_its_name_wherever_its_file_lies() {
    let pinned = Some(("cbr0", "10-cbr0.conflist"));
    assert_eq!(chosen(&[("05-other.conf", OTHER), ("20-new.conflist", CBR0)], None, pinned), "cbr0 of 20-new.conflist");
    assert_eq!(chosen(&[("05-other.conf", OTHER)], None, pinned), "changed to other of 05-other.conf");
    assert_eq!(
        chosen(&[("05-other.conf", OTHER), ("10-cbr0.conflist", "{")], None, pinned),
        "malformed 10-cbr0.conflist"
    );
    assert_eq!(chosen(&[("00-a.conflist", OURS)], None, pinned), "absent");
    let twice = [("05-copy.conflist", CBR0), ("10-cbr0.conflist", CBR0)];
    assert_eq!(chosen(&twice, None, pinned), "cbr0 of 10-cbr0.conflist");
}

#[test]
fn the_administrators_word_is_a_name_or_a_file_and_wins_over_the_pin() {
    let files = [("00-ours.conflist", OURS), ("05-other.conf", OTHER), ("20-cbr0.conflist", CBR0)];
    let pinned = Some(("other", "05-other.conf"));
    for word in ["cbr0", "20-cbr0.conflist", "/etc/cni/net.d/20-cbr0.conflist"] {
        assert_eq!(chosen(&files, Some(word), pinned), "cbr0 of 20-cbr0.conflist");
    }
    assert_eq!(chosen(&files, Some("00-ours.conflist"), pinned), "malformed 00-ours.conflist");
    assert_eq!(chosen(&files, Some("nothing"), pinned), "absent");
}

#[test]
fn our_name_sorts_before_all_others() {
    for (others, expected) in [
        (vec![], Ok("00-rooknet.conflist")),
        (vec!["10-x.conflist", "01-y.conf"], Ok("00-rooknet.conflist")),
        (vec!["00-multus.conf"], Ok("00-00-rooknet.conflist")),
        (vec!["00-00-a.conf"], Ok("0-rooknet.conflist")),
        (vec!["0-a.conf"], Ok("!rooknet.conflist")),
        (vec!["!a.conf"], Err("!a.conf".to_owned())),
    ] {
        let found = name_before(others.iter().copied());
        assert_eq!(found, expected);
        if let Ok(name) = found {
            assert!(others.iter().all(|other| name < *other), "{name} {others:?}");
        }
    }
}
