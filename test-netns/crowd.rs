//! Many containers of a node at once: each gets its own, and all of it is gone afterwards.

use std::collections::BTreeSet;

use crate::kinds::Kind;
use crate::site::{Mode, OSD, Pod, Setup, Site, at_once};

fn many_at_once(setup: Setup, count: usize) {
    let site = Site::start(setup, 1);
    let node = site.node(1);
    let pods: Vec<Pod<'_>> = (0..count).map(|number| site.pod(1, &format!("osd-{number}"), OSD)).collect();
    let pods: Vec<&Pod<'_>> = pods.iter().collect();
    at_once(&pods, "add");

    let ids: BTreeSet<String> = pods.iter().map(|pod| pod.id()).collect();
    let journals: Vec<String> = ids.iter().map(|id| format!("{id}@eth0.json")).collect();
    assert_eq!(node.journals(), journals);
    assert_eq!(node.entries("/run/rooknet/locks"), Vec::<String>::new());
    assert_eq!(node.processes(), []);
    let mut expected = Vec::new();
    for id in &ids {
        expected.extend(["cluster", "eth0", "public"].map(|interface| (id.clone(), interface.to_owned())));
    }
    // A file's name is an address, so that two owners of one address cannot be in the store: the pods' own interfaces
    // must have what it says.
    let leases = node.host_local_addresses();
    let mut owners: Vec<_> = leases.iter().map(|lease| (lease.container.clone(), lease.interface.clone())).collect();
    owners.sort();
    assert_eq!(owners, expected);
    for pod in &pods {
        let id = pod.id();
        assert_eq!(pod.netns.interfaces(), ["cluster", "eth0", "public"]);
        for lease in leases.iter().filter(|lease| lease.container == id) {
            let addresses = pod.netns.addresses(&lease.interface);
            assert!(addresses.iter().any(|address| address.starts_with(&format!("{}/", lease.address))), "{lease:?}");
        }
    }
    let ports = node.host().links().into_iter().filter(|link| link.all["master"] == "cni0").count();
    assert_eq!(ports, count);

    for pair in pods.chunks_exact(2).step_by(4) {
        for interface in ["eth0", "public", "cluster"] {
            pair[0].assert_reaches(pair[1], interface, setup.families);
        }
    }
    at_once(&pods, "del");
    site.assert_clean();
}

#[test]
fn fifty_containers_at_once_chained() {
    many_at_once(Setup::new(Kind::Macvlan, Mode::Chained), 50);
}

#[test]
fn fifty_containers_at_once_delegating() {
    many_at_once(Setup::new(Kind::Macvlan, Mode::Delegating), 50);
}

#[test]
fn twenty_containers_at_once_by_executed_plugins() {
    many_at_once(Setup::new(Kind::Macvlan, Mode::Delegating).executed(), 20);
}

mod vm {
    //! See the front page of `main.rs`.
    use super::{Kind, Mode, Setup, many_at_once};

    #[test]
    #[ignore = "needs ipvlan: make test-vm"]
    fn five_containers_of_ipvlan_at_once() {
        many_at_once(Setup::new(Kind::IpvlanL2, Mode::Delegating), 5);
    }
}
