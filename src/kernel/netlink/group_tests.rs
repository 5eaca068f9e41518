use super::*;
use crate::kernel::netlink::{Kind, NewLink};
use crate::kernel::testing::{in_new_netns, ip, ip_inside, macvlan, new_netns, parent, requests};

const GROUP: u32 = 0x7000_0001;

#[test]
fn three_macvlans_go_with_one_request_and_others_stay() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        for (name, group) in [("net1", GROUP), ("net2", GROUP), ("net3", GROUP), ("net4", GROUP + 1), ("net5", 0)] {
            let new = NewLink { group, ..macvlan(name, parent) };
            host.create_link_inside(&new, &pod, &inside).await.unwrap();
        }
        // The same group on the node is another group.
        host.create_link(&NewLink { group: GROUP, ..macvlan("other", parent) }).await.unwrap();
        let before = requests(&[&host, &inside]);
        assert_eq!(inside.delete_group(GROUP).await.unwrap(), GroupDeletion::Deleted);
        assert_eq!(requests(&[&host, &inside]) - before, 1);
        let names: Vec<_> = inside.links().await.unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names, ["lo", "net4", "net5"]);
        assert!(host.link_by_name("other").await.unwrap().is_some());
        assert_eq!(inside.delete_group(GROUP).await.unwrap(), GroupDeletion::Empty);
    });
}

#[test]
fn group_0_is_refused_before_the_kernel_is_asked() {
    in_new_netns(|| async {
        let netlink = Netlink::own().unwrap();
        netlink.create_link(&NewLink::new("br0", Kind::Bridge { vlan_filtering: false })).await.unwrap();
        let before = netlink.requests();
        let error = netlink.delete_group(0).await.unwrap_err();
        assert!(matches!(error, Error::GroupZero), "{error}");
        assert_eq!(netlink.requests(), before);
        assert!(netlink.link_by_name("br0").await.unwrap().is_some());
    });
}

#[test]
fn an_undeletable_link_in_the_group_keeps_all_of_it() {
    in_new_netns(|| async {
        let host = Netlink::own().unwrap();
        let pod = new_netns();
        let inside = Netlink::inside(&pod).unwrap();
        let parent = parent(&host).await;
        for name in ["net1", "net2"] {
            let new = NewLink { group: GROUP, ..macvlan(name, parent) };
            host.create_link_inside(&new, &pod, &inside).await.unwrap();
        }
        ip_inside(&pod, &format!("link set lo group {GROUP}"));
        let error = inside.delete_group(GROUP).await.unwrap_err();
        assert!(matches!(error, Error::UndeletableInGroup { group: GROUP }), "{error}");
        assert_eq!(inside.links_of_groups(&[GROUP]).await.unwrap().len(), 3);
    });
}

/// Takes the privileges from this thread alone: the system call of libc would take them from the whole process.
#[allow(unsafe_code, reason = "neither std nor nix changes the user of one thread")]
fn give_up_privileges() {
    // SAFETY: the call takes numbers and reads and writes no memory of ours; -1 keeps the real and the saved user.
    let answer = unsafe { libc::syscall(libc::SYS_setresuid, -1, 65534, -1) };
    assert_eq!(answer, 0);
}

#[test]
fn a_missing_privilege_is_not_taken_for_an_empty_group() {
    in_new_netns(|| async {
        ip("link add net1 group 77 type bridge");
        let netlink = Netlink::own().unwrap();
        give_up_privileges();
        let error = netlink.delete_group(77).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::EPERM), "{error}");
        assert!(
            error.to_string().ends_with("rooknet must run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN"),
            "{error}"
        );
        assert!(netlink.link_by_name("net1").await.unwrap().is_some());
    });
}
