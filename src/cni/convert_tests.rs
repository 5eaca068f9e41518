use std::fs;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use proptest::prelude::*;

use super::*;
use crate::cni::Code;
use crate::cni::result::{Address, Route};

fn parse(text: &str) -> CniResult {
    CniResult::parse("the result", text, Version::V1_1_0).unwrap()
}

fn written(result: &CniResult) -> String {
    result.to_raw().unwrap().get().to_owned()
}

/// What a vector expects: the result's text, or the error's under the key `error`.
fn converted(result: &CniResult, to: Version) -> String {
    match result.convert(to) {
        Ok(result) => written(&result),
        Err(error) => {
            assert_eq!(error.code, Code::DECODE);
            serde_json::json!({ "error": error.message }).to_string()
        }
    }
}

/// `tests/vectors/cni/*.json`: an input, and byte for byte what it is in every version. Each was compared with what
/// containernetworking/cni makes of it. `UPDATE_VECTORS=1` writes what the code says now; read the difference.
#[test]
fn golden_vectors_hold_in_every_version() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cni");
    let mut forms = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let vector = Object::parse("the vector", &text).unwrap();
        let input = parse(vector.get("input").unwrap().get());
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            let lines = Version::ALL.map(|to| format!("    \"{to}\": {}", converted(&input, to))).join(",\n");
            let head = text.split("\"expected\"").next().unwrap();
            fs::write(file, format!("{head}\"expected\": {{\n{lines}\n  }}\n}}\n")).unwrap();
            continue;
        }
        let expected = vector.object("expected").unwrap().unwrap();
        for to in Version::ALL {
            let expected = expected.get(to.as_str()).unwrap().get();
            assert_eq!(converted(&input, to), expected, "{} to {to}", file.display());
            forms.push((Form::of(input.version()), Form::of(to)));
        }
    }
    let all = [Form::Pair, Form::Versioned, Form::Plain];
    assert!(all.iter().all(|from| all.iter().all(|to| forms.contains(&(*from, *to)))));
}

#[test]
fn what_does_not_change_keeps_its_bytes() {
    let text = "{\n  \"cniVersion\": \"1.0.0\",\n \"interfaces\": [ {\"name\": \"eth0\"} ],\"ips\":[ { \"address\" : \"10.0.0.5/8\"}]\n}";
    assert_eq!(
        converted(&parse(text), Version::V1_1_0),
        r#"{"cniVersion":"1.1.0","interfaces":[ {"name": "eth0"} ],"ips":[ { "address" : "10.0.0.5/8"}]}"#
    );
    assert_eq!(
        converted(&parse(text), Version::V0_4_0),
        r#"{"cniVersion":"0.4.0","interfaces":[ {"name": "eth0"} ],"ips":[{"version":"4","address":"10.0.0.5/8"}],"dns":{}}"#
    );
}

#[test]
fn keys_in_other_letter_cases_are_converted_too() {
    let text = r#"{"CNIVersion":"0.3.1","IPs":[{"Version":"4","Address":"10.0.0.5/8","Interface":0}],"Interfaces":[{"Name":"a","MTU":5}]}"#;
    assert_eq!(
        converted(&parse(text), Version::V1_0_0),
        r#"{"cniVersion":"1.0.0","ips":[{"Address":"10.0.0.5/8","Interface":0}],"interfaces":[{"Name":"a"}]}"#
    );
    assert_eq!(
        converted(&parse(text), Version::V0_2_0),
        r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/8"},"dns":{}}"#
    );
}

#[test]
fn a_key_that_only_the_target_knows_does_not_begin_to_mean_something() {
    let old = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/8","interface":7,"address":"x"},"ips":5,"interfaces":{},"routes":1}"#;
    assert_eq!(converted(&parse(old), Version::V1_0_0), r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/8"}]}"#);
    let new = r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/8","ip":"x","routes":[5]}],"ip6":{"ip":"::1/128"}}"#;
    assert_eq!(converted(&parse(new), Version::V0_2_0), r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/8"},"dns":{}}"#);
    let middle = r#"{"cniVersion":"0.4.0","interfaces":[{"name":"a","mtu":"big","pciID":1}],"dns":{}}"#;
    assert_eq!(converted(&parse(middle), Version::V1_1_0), r#"{"cniVersion":"1.1.0","interfaces":[{"name":"a"}]}"#);
}

#[test]
fn the_family_comes_from_the_address_and_not_from_what_is_said_of_it() {
    let text = r#"{"cniVersion":"0.4.0","ips":[{"version":"6","address":"10.0.0.5/8"},{"address":"fd00::1/64"}]}"#;
    let result = parse(text).convert(Version::V0_2_0).unwrap();
    let addresses: Vec<String> = result.addresses().iter().map(|address| address.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.5/8", "fd00::1/64"]);
}

#[test]
fn without_an_address_the_oldest_versions_say_nothing() {
    let error = parse(r#"{"cniVersion":"1.0.0","routes":[]}"#).convert(Version::V0_1_0).unwrap_err();
    assert_eq!(error.code, Code::DECODE);
    assert!(error.message.contains("no address") && error.message.contains("0.1.0"), "{}", error.message);
}

fn network(ipv4: bool) -> BoxedStrategy<String> {
    if ipv4 {
        (any::<std::net::Ipv4Addr>(), 0u8..=32).prop_map(|(ip, prefix)| format!("{ip}/{prefix}")).boxed()
    } else {
        (any::<std::net::Ipv6Addr>(), 0u8..=128).prop_map(|(ip, prefix)| format!("{ip}/{prefix}")).boxed()
    }
}

fn gateway(ipv4: bool) -> BoxedStrategy<Option<String>> {
    prop::option::of(network(ipv4).prop_map(|network| network.split('/').next().unwrap().to_owned())).boxed()
}

fn member(key: &str, value: Option<String>) -> String {
    value.map(|value| format!(",\"{key}\":\"{value}\"")).unwrap_or_default()
}

/// One address and its family's routes, in the form of `ips` and of `routes`, each with an unknown key.
fn family(ipv4: bool) -> impl Strategy<Value = (String, Vec<String>)> {
    let route = (network(ipv4), gateway(ipv4), any::<u128>())
        .prop_map(|(dst, gw, x)| format!("{{\"dst\":\"{dst}\"{},\"x-route\":{x}}}", member("gw", gw)));
    let address = (network(ipv4), gateway(ipv4), any::<u128>())
        .prop_map(|(ip, gw, x)| format!("{{\"address\":\"{ip}\"{},\"x-ip\":{x}}}", member("gateway", gw)));
    (address, prop::collection::vec(route, 0..4))
}

fn key_of(address: &Address) -> (IpNetwork, Option<std::net::IpAddr>) {
    (address.address, address.gateway)
}

proptest! {
    #[test]
    fn addresses_gateways_and_routes_survive_every_round_trip(
        ipv4 in prop::option::of(family(true)),
        ipv6 in prop::option::of(family(false)),
        through in prop::collection::vec(prop::sample::select(&Version::ALL), 1..5),
        x in any::<u128>(),
    ) {
        prop_assume!(ipv4.is_some() || ipv6.is_some());
        // A mapped address would be of the other family, which has a slot of its own below 0.3.0.
        let mapped = ipv6.iter().any(|(address, routes)| {
            address.contains("::ffff:") || routes.iter().any(|route| route.contains("::ffff:"))
        });
        prop_assume!(!mapped);
        let (ips, routes): (Vec<String>, Vec<Vec<String>>) = ipv4.into_iter().chain(ipv6).unzip();
        let text = format!(
            "{{\"x-top\":{x},\"cniVersion\":\"1.0.0\",\"ips\":[{}],\"routes\":[{}],\"dns\":{{\"x-dns\":{x}}}}}",
            ips.join(","),
            routes.concat().join(",")
        );
        let first = parse(&text);
        let mut result = first.clone();
        for to in through {
            result = result.convert(to).unwrap();
            prop_assert_eq!(result.version(), to);
            let read_back = CniResult::parse("again", &written(&result), Version::V0_1_0).unwrap();
            prop_assert_eq!(&read_back, &result);
            let addresses: Vec<_> = result.addresses().iter().map(key_of).collect();
            prop_assert_eq!(addresses, first.addresses().iter().map(key_of).collect::<Vec<_>>());
            let routes: Vec<Route> = result.routes();
            prop_assert_eq!(routes, first.routes());
        }
        // Every unknown key is as it was, and in place: back in the first version it is the same text again.
        let back = result.convert(Version::V1_0_0).unwrap();
        let compact = |text: &str| text.replace(",\"routes\":[]", "");
        prop_assert_eq!(compact(&written(&back)), compact(&text));
    }

    #[test]
    fn arbitrary_results_never_panic_and_stay_results(
        keys in prop::collection::vec(
            ("ips|interfaces|routes|dns|ip4|ip6|x", "[{}\\[\\]\",:0-9]{0,8}|null|5|\\{\\}|\\[(null|5|\\{\\})\\]|\\[\\{\"address\":\"(10.0.0.1/8|::1/64|x)\"(,\"(interface|gateway|version)\":(0|-1|\"10.0.0.2\"|null))?\\}\\]|\\{\"ip\":\"(10.0.0.1/8|::1/64)\"(,\"routes\":\\[\\{\"dst\":\"::/0\"\\}\\])?\\}"),
            0..5,
        ),
        version in prop::sample::select(&Version::ALL),
        to in prop::sample::select(&Version::ALL),
    ) {
        let keys: Vec<String> = keys.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        if let Ok(result) = CniResult::parse("x", &format!("{{{}}}", keys.join(",")), version) {
            let _ = result.addresses_of("eth0");
            prop_assert!(result.without_default_routes(true, true).is_ok());
            match result.convert(to) {
                Ok(result) => {
                    prop_assert_eq!(CniResult::parse("y", &written(&result), Version::V0_1_0).unwrap(), result);
                }
                Err(_) => prop_assert!(Form::of(to) == Form::Pair && result.addresses().is_empty()),
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let is_object = text.trim_start().starts_with('{');
        prop_assert!(CniResult::parse("x", &text, Version::V1_0_0).is_err() || is_object);
    }
}
