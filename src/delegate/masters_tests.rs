use serde_json::{Value, json};

use super::*;

fn networks_of(value: Value) -> Result<Option<Vec<IpNetwork>>, Error> {
    networks(&Object::parse("it", &json!({"type": "macvlan", "masterCIDR": value}).to_string()).unwrap())
}

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link { index, name: name.into(), kind: kind.into(), group: 0, mac: String::new(), mtu: 1500 }
}

fn chosen(addresses: &[(u32, &str)], links: &[Link]) -> Result<String, Error> {
    let addresses: Vec<_> = addresses.iter().map(|(index, text)| (*index, text.parse().unwrap())).collect();
    choose(&["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()], &addresses, links.to_vec())
}

#[test]
fn a_network_or_a_list_of_networks_is_taken() {
    let read =
        |value: Value| networks_of(value).unwrap().map(|networks| networks.iter().map(ToString::to_string).collect());
    assert_eq!(read(json!("10.0.0.0/24")), Some(vec!["10.0.0.0/24".to_owned()]));
    assert_eq!(read(json!(["10.0.0.0/24", "fd00::/64"])), Some(vec!["10.0.0.0/24".to_owned(), "fd00::/64".to_owned()]));
    assert_eq!(read(json!(null)), None);
}

#[test]
fn a_wrong_value_is_refused_naming_key_and_value() {
    for (value, word) in [
        (json!(7), "7"),
        (json!(""), "\"\""),
        (json!([]), "[]"),
        (json!({}), "{}"),
        (json!(["10.0.0.0/24", 7]), "7"),
        (json!("10.0.0.1"), "\"10.0.0.1\""),
        (json!("10.0.0.0/33"), "10.0.0.0/33"),
        (json!("10.0.0.1/24"), "the network is 10.0.0.0/24"),
        (json!("stor0"), "stor0"),
        (json!(vec!["10.0.0.0/24"; MAX_CIDRS + 1]), "1 to 64"),
    ] {
        let error = networks_of(value).unwrap_err();
        assert!(error.code.0 == 7 && error.message.contains("\"masterCIDR\""), "{error}");
        assert!(error.message.contains(word), "{word}: {error}");
    }
}

#[test]
fn what_contradicts_the_key_is_refused() {
    for (other, value) in [("master", json!("stor0")), ("linkInContainer", json!(true))] {
        let config = json!({"type": "macvlan", "masterCIDR": "10.0.0.0/24", other: value});
        let error = networks(&Object::parse("it", &config.to_string()).unwrap()).unwrap_err();
        assert!(error.code.0 == 7 && error.message.contains(&format!("{other:?}")), "{error}");
    }
    let config = json!({"type": "macvlan", "masterCIDR": "10.0.0.0/24", "master": "", "linkInContainer": false});
    networks(&Object::parse("it", &config.to_string()).unwrap()).unwrap();
}

#[test]
fn the_one_interface_that_can_be_a_master_is_chosen() {
    let two_addresses = [(7, "10.0.0.2/24"), (7, "fd00::2/64")];
    assert_eq!(chosen(&two_addresses, &[link(7, "stor0", "")]).unwrap(), "stor0");
    for kind in ["macvlan", "ipvlan", "macvtap", "ipvtap"] {
        let links = [link(7, "eno1", "bond"), link(9, "shim", kind)];
        assert_eq!(chosen(&[(7, "10.0.0.2/24"), (9, "10.0.0.3/24")], &links).unwrap(), "eno1");
    }
}

#[test]
fn no_interface_and_several_are_refused_naming_networks_and_interfaces() {
    for (addresses, links, words) in [
        (&[][..], &[][..], &["no interface", "10.0.0.0/24, fd00::/64"][..]),
        (&[(9, "10.0.0.3/24")], &[link(9, "shim", "macvlan")], &["only shim (10.0.0.3/24)"]),
        (
            &[(7, "10.0.0.2/24"), (8, "10.0.0.4/25"), (8, "fd00::4/64")],
            &[link(7, "stor0", ""), link(8, "br0\n", "bridge")],
            &["several", "stor0 (10.0.0.2/24), br0\\n (10.0.0.4/25 fd00::4/64)", "10.0.0.0/24"],
        ),
    ] {
        let error = chosen(addresses, links).unwrap_err();
        assert!(error.code.0 == 7 && error.message.contains("\"masterCIDR\""), "{error}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{words:?}: {error}");
    }
    let many: Vec<Link> = (1..=20).map(|index| link(index, &format!("nic{index}"), "")).collect();
    let message = chosen(&[], &many).unwrap_err().message;
    assert!(message.contains("nic8 (), …") && !message.contains("nic9"), "{message}");
}
