use super::*;
use crate::kernel::testing::{in_new_netns, ip, ip_inside, new_netns};

fn key(family: Family, interface: &str, variable: &'static str) -> Key {
    Key::of_interface(family, interface, variable).unwrap()
}

#[test]
fn a_variable_is_that_of_the_namespace_given() {
    in_new_netns(|| async {
        ip("link add net1 type bridge");
        let own = Netns::own().unwrap();
        let pod = new_netns();
        ip_inside(&pod, "link add net1 type bridge");
        let arp = key(Family::Ipv4, "net1", "arp_notify");
        let ra = key(Family::Ipv6, "net1", "accept_ra");
        let forwarding = Key::of_namespace(Key::IPV4_FORWARDING);
        write(&pod, &[(&arp, "1"), (&ra, "0"), (&forwarding, "1")]).unwrap();
        let of = |netns: &Netns| [&arp, &ra, &forwarding].map(|key| read(netns, key).unwrap());
        assert_eq!(of(&pod), ["1", "0", "1"]);
        assert_eq!(of(&own), ["0", "1", "0"]);
        assert!(Netns::own().unwrap().identity().is(&own.identity()));
        let seen = pod.inside(|| std::fs::read_to_string("/proc/sys/net/ipv4/conf/net1/arp_notify")).unwrap().unwrap();
        assert_eq!(seen, "1\n");
    });
}

#[test]
fn ipv6_forwarding_of_a_whole_namespace_is_switched() {
    in_new_netns(|| async {
        let own = Netns::own().unwrap();
        let forwarding = Key::of_namespace(Key::IPV6_FORWARDING);
        for value in ["1", "0"] {
            write(&own, &[(&forwarding, value)]).unwrap();
            assert_eq!(read(&own, &forwarding).unwrap(), value);
        }
    });
}

#[test]
fn an_interface_may_have_dots_in_its_name() {
    in_new_netns(|| async {
        ip("link add net1.100 type bridge");
        let own = Netns::own().unwrap();
        let arp = key(Family::Ipv4, "net1.100", "arp_notify");
        write(&own, &[(&arp, "1")]).unwrap();
        assert_eq!(read(&own, &arp).unwrap(), "1");
    });
}

#[test]
fn a_name_that_leads_elsewhere_is_no_key() {
    for name in ["", ".", "..", "a/b", "../../../kernel", "a\0b", "a-name-longer-than-15", "all", "default"] {
        let error = Key::of_interface(Family::Ipv6, name, "disable_ipv6").unwrap_err();
        assert!(matches!(error, Error::SysctlKey { .. }), "{name:?}");
        assert!(error.to_string().contains("names no kernel variable of one interface: "), "{error}");
    }
}

#[test]
fn an_error_names_the_variable_the_value_and_the_namespace() {
    in_new_netns(|| async {
        let own = Netns::own().unwrap();
        let missing = key(Family::Ipv4, "net1", "arp_notify");
        let error = read(&own, &missing).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT));
        let start = "cannot read the kernel variable net/ipv4/conf/net1/arp_notify in the network namespace \
                     /proc/thread-self/ns/net: ";
        assert!(error.to_string().starts_with(start), "{error}");
        let error = write(&own, &[(&missing, "1")]).unwrap_err();
        let start = "cannot write \"1\" to the kernel variable net/ipv4/conf/net1/arp_notify in the network ";
        assert!(error.to_string().starts_with(start), "{error}");
    });
}

#[test]
fn writing_stops_at_the_first_value_that_is_refused() {
    in_new_netns(|| async {
        ip("link add net1 type bridge");
        let own = Netns::own().unwrap();
        let [first, second, third] =
            ["arp_notify", "arp_ignore", "arp_announce"].map(|variable| key(Family::Ipv4, "net1", variable));
        let error = write(&own, &[(&first, "1"), (&second, "many"), (&third, "1")]).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");
        assert!(error.to_string().starts_with("cannot write \"many\" to the kernel variable "), "{error}");
        assert_eq!([&first, &second, &third].map(|key| read(&own, key).unwrap()), ["1", "0", "0"]);
    });
}
