use super::*;

const GROUP: u32 = 0x4000_0002;

fn link(index: u32, name: &str, kind: &str, group: u32) -> Link {
    Link { index, name: name.to_owned(), kind: kind.to_owned(), group, mac: String::new(), mtu: 1500 }
}

fn identity(index: u32, kind: &str) -> LinkIdentity {
    LinkIdentity { index, kind: kind.to_owned() }
}

fn wanted<'a>(identity: Option<&'a LinkIdentity>, ifname: &'a str, kind: &'static str) -> Wanted<'a> {
    Wanted { identity, ifname, kinds: vec![kind] }
}

/// The indices of the links that are found, for each of `wanted`.
fn found(links: &[Link], wanted: &[Wanted<'_>]) -> Vec<Vec<u32>> {
    find(links, GROUP, wanted).iter().map(|links| links.iter().map(|link| link.index).collect()).collect()
}

#[test]
fn a_recorded_link_is_known_by_index_and_kind_whatever_its_name_and_group() {
    let of = identity(5, "macvlan");
    for (name, group, kind, expected) in [
        ("public", GROUP, "macvlan", vec![5]),
        ("mine", GROUP, "macvlan", vec![5]),
        ("public", 0, "macvlan", vec![5]),
        ("public", GROUP, "bridge", vec![]),
    ] {
        let links = [link(1, "lo", "", 0), link(5, name, kind, group)];
        assert_eq!(found(&links, &[wanted(Some(&of), "public", "macvlan")]), [expected], "{name} {group} {kind}");
    }
}

#[test]
fn another_link_under_the_name_of_a_recorded_one_is_the_pods_in_the_group_too() {
    let of = identity(5, "macvlan");
    let links = [link(9, "public", "macvlan", GROUP), link(10, "own0", "macvlan", GROUP)];
    assert_eq!(found(&links, &[wanted(Some(&of), "public", "macvlan")]), [Vec::<u32>::new()]);
}

#[test]
fn a_link_of_a_killed_add_is_known_by_its_planned_name_and_kind_or_by_its_group() {
    let unrecorded = || [wanted(None, "public", "macvlan")];
    for (name, kind, group, expected) in [
        ("public", "macvlan", GROUP, vec![5]),
        ("public", "macvlan", 0, vec![5]),
        ("rooknet-new", "macvlan", GROUP, vec![5]),
        ("own0", "macvlan", 0, vec![]),
        ("public", "bridge", 0, vec![]),
        ("own0", "bridge", GROUP, vec![]),
    ] {
        assert_eq!(found(&[link(5, name, kind, group)], &unrecorded()), [expected], "{name} {kind} {group}");
    }
}

#[test]
fn each_link_is_found_once() {
    let first = identity(5, "macvlan");
    let links = [
        link(5, "cluster", "macvlan", GROUP),
        link(6, "public", "macvlan", GROUP),
        link(7, "rooknet-new", "macvlan", GROUP),
        link(8, "bridged", "veth", GROUP),
    ];
    // The first was recorded and has the second's planned name by now.
    let wanted = [
        wanted(Some(&first), "public", "macvlan"),
        wanted(None, "cluster", "macvlan"),
        wanted(None, "other", "macvlan"),
        wanted(None, "bridged", "veth"),
    ];
    let mut found = found(&links, &wanted);
    assert_eq!(found.remove(0), [5]);
    assert_eq!(found.pop(), Some(vec![8]));
    // Two of a killed ADD cannot be told from each other: both are ours.
    let mut others: Vec<u32> = found.concat();
    others.sort_unstable();
    assert_eq!(others, [6, 7]);
}

#[test]
fn the_loopback_and_links_of_other_groups_are_never_found() {
    let links = [link(1, "lo", "", GROUP), link(2, "public", "macvlan", GROUP + 1), link(3, "eth0", "veth", 0)];
    let recorded = identity(7, "macvlan");
    assert_eq!(found(&links, &[wanted(Some(&recorded), "public", "macvlan")]), [Vec::<u32>::new()]);
    assert_eq!(found(&links, &[wanted(None, "cluster", "macvlan")]), [Vec::<u32>::new()]);
}
