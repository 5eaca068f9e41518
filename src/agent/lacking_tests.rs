use super::*;

fn pod(selection: &str) -> Pod {
    Pod {
        namespace: "rook-ceph".to_owned(),
        name: "osd-0".to_owned(),
        uid: "u1".to_owned(),
        runtime_uid: "u1".to_owned(),
        selection: selection.to_owned(),
        created: 0,
    }
}

fn sandbox(id: &str) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        namespace: "rook-ceph".to_owned(),
        name: "osd-0".to_owned(),
        uid: "u1".to_owned(),
        annotations: BTreeMap::new(),
        is_ready: true,
        created_at: 0,
    }
}

fn known(attached: &[(&str, Option<&[&str]>)]) -> Known {
    let owned = |networks: &[&str]| networks.iter().map(|&network| network.to_owned()).collect();
    Known {
        sandboxes: vec![sandbox("c1")],
        attached: attached.iter().map(|(id, networks)| ((*id).to_owned(), networks.map(owned))).collect(),
        multus: BTreeSet::new(),
    }
}

fn lacks(pod: &Pod, known: &Known) -> Option<String> {
    judge(pod, known).map(|lacking| lacking.networks)
}

#[test]
fn a_pod_without_a_journal_lacks_all_and_one_with_fewer_networks_lacks_the_others() {
    let selecting = pod("public, public@x, other/cluster");
    assert_eq!(lacks(&selecting, &known(&[])).unwrap(), "rook-ceph/public, rook-ceph/public, other/cluster");
    assert_eq!(lacks(&selecting, &known(&[("c2", Some(&["rook-ceph/public"]))])).unwrap().split(", ").count(), 3);
    let some = known(&[("c1", Some(&["pods", "rook-ceph/public"]))]);
    assert_eq!(lacks(&selecting, &some).unwrap(), "rook-ceph/public, other/cluster");
    let all = known(&[("c1", Some(&["other/cluster", "rook-ceph/public", "rook-ceph/public"]))]);
    assert_eq!(lacks(&selecting, &all), None);
}

#[test]
fn on_any_doubt_a_pod_has_its_networks() {
    let selecting = pod("public");
    let nothing = || known(&[]);
    assert!(lacks(&selecting, &nothing()).is_some());
    for (what, known) in [
        ("no sandbox is known", Known { sandboxes: Vec::new(), ..nothing() }),
        ("its sandbox has ended", Known { sandboxes: vec![Sandbox { is_ready: false, ..sandbox("c1") }], ..nothing() }),
        (
            "the sandbox is a namesake's",
            Known { sandboxes: vec![Sandbox { uid: "u2".to_owned(), ..sandbox("c1") }], ..nothing() },
        ),
        ("two sandboxes", Known { sandboxes: vec![sandbox("c1"), sandbox("c2")], ..nothing() }),
        ("Multus attached it", Known { multus: BTreeSet::from(["c1".to_owned()]), ..nothing() }),
        ("its journal is not complete", known(&[("c1", None)])),
    ] {
        assert_eq!(lacks(&selecting, &known), None, "{what}");
    }
    for selection in ["", " ", "[]"] {
        assert_eq!(lacks(&pod(selection), &nothing()), None, "{selection:?}");
    }
}

#[test]
fn a_pod_that_is_a_file_on_the_node_is_known_by_its_uid_there() {
    let mirrored = Pod { uid: "mirror".to_owned(), ..pod("public") };
    assert!(lacks(&mirrored, &known(&[])).is_some());
}

#[test]
fn a_pod_whose_annotation_cannot_be_read_is_told_of_and_not_evicted() {
    let lacking = judge(&pod("[{\"name\": 7}]"), &known(&[])).unwrap();
    assert!(!lacking.is_curable && lacking.networks.contains("cannot be read"), "{lacking:?}");
    assert!(judge(&pod("public"), &known(&[])).unwrap().is_curable);
}
