use super::*;

const RANGES: &str = r#"{
    "node-a": {"ranges": [[{"subnet": "192.168.10.0/24", "rangeStart": "192.168.10.64", "rangeEnd": "192.168.10.127"}]],
               "host": "192.168.10.2/24"},
    "node-b": {"ranges": [[{"subnet": "192.168.10.0/24", "rangeStart": "192.168.10.128", "rangeEnd": "192.168.10.191"}]],
               "host": "192.168.10.3/24"},
    "node-c": [[{"subnet": "192.168.10.0/24", "rangeStart": "192.168.10.192", "rangeEnd": "192.168.10.199"}]]}"#;

fn definition(config: &str) -> Definition {
    Definition {
        namespace: "rook-ceph".to_owned(),
        name: "public".to_owned(),
        config: config.to_owned(),
        node_ranges: Some(RANGES.to_owned()),
        host_access: Some("true".to_owned()),
        ..Definition::default()
    }
}

fn read(definition: &Definition, node: &str) -> anyhow::Result<Wanted> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let netlink = Netlink::own().unwrap();
    runtime.block_on(Wanted::read(definition, &ConfDir::new("/nonexistent"), node, &netlink))
}

const MACVLAN: &str = r#"{"cniVersion": "1.1.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "dataDir": "/nonexistent"}}"#;

fn destinations(wanted: &Wanted, elsewhere: &[&str]) -> Vec<String> {
    let elsewhere: Vec<IpNetwork> = elsewhere.iter().map(|address| address.parse().unwrap()).collect();
    wanted.routes(7, &elsewhere).iter().map(|route| route.destination.to_string()).collect()
}

#[test]
fn routes_lead_to_the_pods_of_all_nodes_and_to_the_subnet_where_the_node_has_no_other_way() {
    let wanted = read(&definition(MACVLAN), "node-a").unwrap();
    assert_eq!(wanted.addresses, ["192.168.10.2/32".parse::<IpNetwork>().unwrap()]);
    let pods = ["192.168.10.64/26", "192.168.10.128/26", "192.168.10.192/29"];
    assert_eq!(destinations(&wanted, &["192.168.10.9/24", "10.0.0.1/8"]), pods);
    let all = destinations(&wanted, &["10.0.0.1/8"]);
    assert_eq!(all[0], "192.168.10.0/24");
    assert_eq!(all[1..], pods);
    let source = Some("192.168.10.2".parse().unwrap());
    assert!(
        wanted.routes(7, &[]).iter().all(|route| route.source == source && route.device == 7 && route.scope == 253)
    );
}

#[test]
fn the_name_fits_the_kernel_and_is_the_networks_own() {
    let (one, other) = (Name::of("rook-ceph/public"), Name::of("rook-ceph/cluster"));
    assert_eq!(one, Name::of("rook-ceph/public"));
    assert!(one.link != other.link && one.group != other.group);
    names::interface(&one.link).unwrap();
    let long = Name::of(&format!("{}/{}", "n".repeat(63), "x".repeat(253)));
    assert_eq!((long.link.len(), long.alias.len()), (13, 255));
}

#[test]
fn what_cannot_be_served_says_what_would_be_right() {
    let without_ranges = Definition { node_ranges: None, ..definition(MACVLAN) };
    let bridge = definition(r#"{"cniVersion": "1.1.0", "type": "bridge", "ipam": {"type": "host-local"}}"#);
    let vlan =
        definition(r#"{"cniVersion": "1.1.0", "type": "vlan", "master": "eth1", "ipam": {"type": "host-local"}}"#);
    let unknown = definition(
        r#"{"cniVersion": "1.1.0", "type": "macvlan", "master": "e", "promisc": true, "ipam": {"type": "host-local"}}"#,
    );
    let own_ranges = definition(
        r#"{"cniVersion": "1.1.0", "type": "macvlan", "master": "e", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}}"#,
    );
    for (definition, node, words) in [
        (&without_ranges, "node-a", "no annotation rooknet.io/node-ranges"),
        (&definition(MACVLAN), "node-c", "no address for this node itself"),
        (&definition(MACVLAN), "node-d", "no entry for this node"),
        (&definition(""), "node-a", "no spec.config"),
        (&bridge, "node-a", "isGateway"),
        (&vlan, "node-a", "neither macvlans nor ipvlans"),
        (&unknown, "node-a", "make one by hand"),
        (&own_ranges, "node-a", "must go"),
    ] {
        let Err(error) = read(definition, node) else { panic!("{words}: it was taken") };
        assert!(format!("{error:#}").contains(words), "{words}: {error:#}");
    }
}

#[test]
fn an_address_that_a_pod_has_got_by_former_ranges_is_refused() {
    let store = std::env::temp_dir().join(format!("rooknet-shim-store-{}", std::process::id()));
    std::fs::create_dir_all(store.join("public")).unwrap();
    let config = MACVLAN.replace("/nonexistent", &store.to_string_lossy());
    assert!(read(&definition(&config), "node-a").is_ok());
    std::fs::write(store.join("public/192.168.10.2"), "abc\r\nnet1").unwrap();
    let error = read(&definition(&config), "node-a").err().unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    assert!(error.to_string().contains("is that of a pod"), "{error}");
}

#[test]
fn ranges_with_the_nodes_own_addresses_or_a_gateway_are_refused() {
    let wanted = read(&definition(MACVLAN), "node-a").unwrap();
    let addresses = |address: &str| vec![("eth0".to_owned(), address.parse().unwrap())];
    let gateways = |address: &str| vec![address.parse().unwrap()];
    let outside = OtherWays {
        addresses: addresses("192.168.10.9/24"),
        gateways: gateways("192.168.10.1"),
        ..OtherWays::default()
    };
    assert!(wanted.check_node(&outside).is_ok());
    let inside = OtherWays { addresses: addresses("192.168.10.130/24"), ..OtherWays::default() };
    let error = wanted.check_node(&inside).unwrap_err();
    assert!(error.message.contains("192.168.10.130 on eth0"), "{error}");
    let behind = OtherWays { gateways: gateways("192.168.10.70"), ..OtherWays::default() };
    let error = wanted.check_node(&behind).unwrap_err();
    assert!(error.message.contains("192.168.10.70 is the gateway"), "{error}");
}

#[test]
fn the_api_server_is_reached_as_before_by_whatever_route_a_network_asks_for() {
    let wanted = read(&definition(MACVLAN), "node-a").unwrap();
    let needing = |address: &str| OtherWays { needed: vec![address.parse().unwrap()], ..OtherWays::default() };
    assert!(wanted.check_node(&needing("10.96.0.1")).is_ok());
    // In a range, and only in the subnet.
    for address in ["192.168.10.70", "192.168.10.1"] {
        let error = wanted.check_node(&needing(address)).unwrap_err();
        assert!(error.message.contains(&format!("the API server's address {address}")), "{error}");
    }
    // Where the node has an address of its own in the subnet, no route to all of it is asked for.
    let elsewhere = vec!["192.168.10.9/24".parse().unwrap()];
    assert!(wanted.check_node(&OtherWays { elsewhere, ..needing("192.168.10.1") }).is_ok());
}

#[test]
fn a_mark_is_yes_or_no_and_nothing_else() {
    let mark = |value: Option<&str>| is_marked(&Definition { host_access: value.map(str::to_owned), ..definition("") });
    assert_eq!(mark(Some("true")), Ok(true));
    for no in [None, Some(""), Some("false")] {
        assert_eq!(mark(no), Ok(false));
    }
    assert!(mark(Some("yes")).unwrap_err().message.contains("\"yes\""));
}
