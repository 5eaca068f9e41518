use proptest::prelude::*;

use super::*;
use crate::cni::Version;

const IFNAME: &str = "net1";

fn result(text: &str) -> CniResult {
    CniResult::parse("the result", text, Version::V1_1_0).unwrap()
}

fn plain<'a>(network: &'a str, ifname: &'a str, result: Option<&'a CniResult>) -> Attachment<'a> {
    Attachment { network, ifname, is_default: false, result, default_route: &[], device_info: None }
}

/// The status of one attachment of `rook/public` on [`IFNAME`] with this result.
fn status_of(text: &str) -> String {
    annotation(&[plain("rook/public", IFNAME, Some(&result(text)))]).unwrap()
}

const MACVLAN: &str = r#"{"cniVersion":"1.1.0","interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","mtu":9000,"sandbox":"/run/netns/a"}],"ips":[{"interface":0,"address":"192.168.20.5/24","gateway":"192.168.20.1"}]}"#;

#[test]
fn one_network_is_told_with_all_that_its_result_says() {
    assert_eq!(
        status_of(MACVLAN),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "192.168.20.5"
    ],
    "mac": "02:00:00:00:00:01",
    "mtu": 9000,
    "default": false,
    "dns": {}
}]"#
    );
}

#[test]
fn two_attachments_of_one_network_are_two_entries_in_order() {
    let first = result(MACVLAN);
    let second = result(&MACVLAN.replace("net1", "net2").replace("20.5/24", "20.6/24"));
    let text = annotation(&[plain("rook/public", "net1", Some(&first)), plain("rook/public", "net2", Some(&second))]);
    assert_eq!(
        text.unwrap(),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "192.168.20.5"
    ],
    "mac": "02:00:00:00:00:01",
    "mtu": 9000,
    "default": false,
    "dns": {}
},{
    "name": "rook/public",
    "interface": "net2",
    "ips": [
        "192.168.20.6"
    ],
    "mac": "02:00:00:00:00:01",
    "mtu": 9000,
    "default": false,
    "dns": {}
}]"#
    );
}

#[test]
fn without_attachments_the_list_is_empty() {
    assert_eq!(annotation(&[]).unwrap(), "[]");
}

#[test]
fn without_ipam_there_is_no_key_ips() {
    assert_eq!(
        status_of(r#"{"cniVersion":"1.0.0","interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","sandbox":"/x"}]}"#),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "mac": "02:00:00:00:00:01",
    "default": false,
    "dns": {}
}]"#
    );
}

#[test]
fn without_a_result_the_entry_is_minimal() {
    assert_eq!(
        annotation(&[plain("rook/public", IFNAME, None)]).unwrap(),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "default": false,
    "dns": {}
}]"#
    );
}

#[test]
fn the_default_network_says_so_and_the_selections_default_route_is_written() {
    let calico = result(
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"interface":0,"address":"10.1.0.5/32"}],"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"}]}"#,
    );
    let macvlan = result(MACVLAN);
    let gateways = ["192.168.20.1".parse().unwrap(), "fd00:0::0:1".parse().unwrap()];
    let attachments = [
        Attachment { is_default: true, ..plain("calico", "eth0", Some(&calico)) },
        Attachment { default_route: &gateways, ..plain("rook/public", IFNAME, Some(&macvlan)) },
    ];
    assert_eq!(
        annotation(&attachments).unwrap(),
        r#"[{
    "name": "calico",
    "interface": "eth0",
    "ips": [
        "10.1.0.5"
    ],
    "default": true,
    "dns": {},
    "gateway": [
        "169.254.1.1"
    ]
},{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "192.168.20.5"
    ],
    "mac": "02:00:00:00:00:01",
    "mtu": 9000,
    "default": false,
    "dns": {},
    "default-route": [
        "192.168.20.1",
        "fd00::1"
    ]
}]"#
    );
}

/// Addresses in canonical form, a default route without a gateway of its own, one listed twice, and one beside it.
#[test]
fn dual_stack_has_both_addresses_and_both_gateways() {
    assert_eq!(
        status_of(
            r#"{"cniVersion":"1.1.0","interfaces":[{"name":"net1","sandbox":"/x"}],"ips":[{"interface":0,"address":"10.0.0.5/24","gateway":"10.0.0.1"},{"interface":0,"address":"FD00:0:0::0005/64","gateway":"fd00::1"}],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0","gw":"FD00:0::2"},{"dst":"::/0","gw":"fd00::2"},{"dst":"10.9.0.0/16","gw":"10.0.0.9"}]}"#
        ),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "10.0.0.5",
        "fd00::5"
    ],
    "default": false,
    "dns": {},
    "gateway": [
        "10.0.0.1",
        "fd00::2"
    ]
}]"#
    );
}

#[test]
fn a_result_without_interfaces_is_told_of_the_interface_that_was_asked_for() {
    assert_eq!(
        status_of(r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/24"},{"address":"fd00::5/64"}]}"#),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "10.0.0.5",
        "fd00::5"
    ],
    "default": false,
    "dns": {}
}]"#
    );
}

/// The three forms that results have had, each version of them: MTUs are known from 1.0.0 on, interfaces from 0.3.0 on.
#[test]
fn the_results_of_every_version_are_read() {
    for version in Version::ALL {
        let text = if version < Version::V0_3_0 {
            r#"{"cniVersion":"VERSION","ip4":{"ip":"10.0.0.5/24","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"}]},"dns":{"domain":"x"}}"#
        } else if version < Version::V1_0_0 {
            r#"{"cniVersion":"VERSION","interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","sandbox":"/x"}],"ips":[{"version":"4","interface":0,"address":"10.0.0.5/24","gateway":"10.0.0.1"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{"domain":"x"}}"#
        } else {
            r#"{"cniVersion":"VERSION","interfaces":[{"name":"net1","mac":"02:00:00:00:00:01","mtu":1400,"sandbox":"/x"}],"ips":[{"interface":0,"address":"10.0.0.5/24","gateway":"10.0.0.1"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{"domain":"x"}}"#
        };
        let mac = if version < Version::V0_3_0 { "" } else { "    \"mac\": \"02:00:00:00:00:01\",\n" };
        let mtu = if version < Version::V1_0_0 { "" } else { "    \"mtu\": 1400,\n" };
        assert_eq!(
            status_of(&text.replace("VERSION", version.as_str())),
            format!(
                r#"[{{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "10.0.0.5"
    ],
{mac}{mtu}    "default": false,
    "dns": {{"domain":"x"}},
    "gateway": [
        "10.0.0.1"
    ]
}}]"#
            )
            .replace(r#"{"domain":"x"}"#, "{\n        \"domain\": \"x\"\n    }"),
            "{version}"
        );
    }
}

#[test]
fn what_clients_could_not_decode_in_dns_is_left_out_and_the_rest_is_as_written() {
    assert_eq!(
        status_of(
            r#"{"dns":{"search":["b.example","a.example"],"nameservers":"10.0.0.1","Domain":7,"options":null,"big":18446744073709551616}}"#
        ),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "default": false,
    "dns": {
        "search": ["b.example","a.example"],
        "options": null,
        "big": 18446744073709551616
    }
}]"#
    );
}

#[test]
fn device_information_is_passed_on_as_it_is() {
    let info = RawValue::from_string(
        r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:18:02.5"},"new":18446744073709551616}"#
            .to_owned(),
    )
    .unwrap();
    assert_eq!(
        annotation(&[Attachment { device_info: Some(&info), ..plain("a/sriov", IFNAME, None) }]).unwrap(),
        r#"[{
    "name": "a/sriov",
    "interface": "net1",
    "default": false,
    "dns": {},
    "device-info": {"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:18:02.5"},"new":18446744073709551616}
}]"#
    );
}

#[test]
fn device_information_that_is_no_object_is_refused_naming_the_network() {
    let info = RawValue::from_string("[]".to_owned()).unwrap();
    let error = annotation(&[Attachment { device_info: Some(&info), ..plain("a/sriov", IFNAME, None) }]).unwrap_err();
    assert_eq!(error.code, Code::DECODE);
    assert!(error.message.contains("a/sriov"), "{error}");
}

/// As the bridge plugin answers: the bridge and the host's end of the pair come first.
#[test]
fn interfaces_of_the_host_are_passed_over_with_their_addresses() {
    assert_eq!(
        status_of(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"02:00:00:00:00:0a","mtu":1500},{"name":"veth1","mac":"02:00:00:00:00:0b"},{"name":"net1","mac":"02:00:00:00:00:0c","mtu":1400,"sandbox":"/x"}],"ips":[{"interface":0,"address":"10.0.0.1/24"},{"interface":2,"address":"10.0.0.5/24"}]}"#
        ),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "10.0.0.5"
    ],
    "mac": "02:00:00:00:00:0c",
    "mtu": 1400,
    "default": false,
    "dns": {}
}]"#
    );
}

#[test]
fn of_several_sandbox_interfaces_the_first_is_told_with_its_own_addresses() {
    assert_eq!(
        status_of(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"bond0","mac":"02:00:00:00:00:0a","sandbox":"/x"},{"name":"net1","mac":"02:00:00:00:00:0b","mtu":1400,"sandbox":"/x"}],"ips":[{"interface":1,"address":"10.0.0.1/24"},{"interface":0,"address":"10.0.0.5/24"}]}"#
        ),
        r#"[{
    "name": "rook/public",
    "interface": "bond0",
    "ips": [
        "10.0.0.5"
    ],
    "mac": "02:00:00:00:00:0a",
    "default": false,
    "dns": {}
}]"#
    );
}

/// 5.3.3.1: with host-side interfaces alone, the addresses that name no interface are the attachment's.
#[test]
fn with_interfaces_of_the_host_alone_the_addresses_without_one_count() {
    assert_eq!(
        status_of(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"02:00:00:00:00:0a"}],"ips":[{"interface":0,"address":"10.0.0.1/24"},{"address":"10.0.0.5/24"}]}"#
        ),
        r#"[{
    "name": "rook/public",
    "interface": "net1",
    "ips": [
        "10.0.0.5"
    ],
    "default": false,
    "dns": {}
}]"#
    );
}

#[test]
fn a_status_beyond_what_kubernetes_takes_is_refused_naming_the_annotation_and_the_bound() {
    // The text around the name is a constant; the last byte that fits, and one more.
    let around = annotation(&[plain("", IFNAME, None)]).unwrap().len();
    let longest = "x".repeat(MAX_BYTES - ANNOTATION.len() - around);
    assert!(annotation(&[plain(&longest, IFNAME, None)]).is_ok());
    let error = annotation(&[plain(&(longest + "x"), IFNAME, None)]).unwrap_err();
    assert_eq!(error.code, Code::IO);
    assert!(error.message.contains(ANNOTATION) && error.message.contains("262144"), "{error}");
}

/// JSON as plugins might write it under `dns`, and worse.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e999".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = prop_oneof![Just("nameservers".to_owned()), Just("domain".to_owned()), Just("SEARCH".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..4).prop_map(|items| {
                let items: Vec<String> = items.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{ {} }}", items.join(" ,\n"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn the_text_is_a_list_with_one_entry_for_each_attachment_whatever_they_say(
        attachments in prop::collection::vec((any::<String>(), any::<String>(), any::<String>(), json(), any::<bool>()), 0..6)
    ) {
        let results: Vec<Option<CniResult>> = attachments
            .iter()
            .map(|(_, name, mac, dns, is_host)| {
                let text = |text: &str| serde_json::to_string(text).unwrap();
                let sandbox = if *is_host { "" } else { "/x" };
                let text = format!(
                    r#"{{"interfaces":[{{"name":{},"mac":{},"sandbox":"{sandbox}"}}],"ips":[{{"address":"10.0.0.5/24"}}],"dns":{dns}}}"#,
                    text(name),
                    text(mac)
                );
                CniResult::parse("the result", &text, Version::V1_1_0).ok()
            })
            .collect();
        let attached: Vec<_> = attachments
            .iter()
            .zip(&results)
            .map(|((network, name, ..), result)| plain(network, name, result.as_ref()))
            .collect();
        let text = annotation(&attached).unwrap();
        let read: Vec<Box<RawValue>> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.len(), attachments.len());
        for ((entry, (network, ..)), result) in read.iter().zip(&attachments).zip(&results) {
            let object = Object::parse("the entry", entry.get()).unwrap();
            prop_assert_eq!(&object.text("name").unwrap(), network);
            let ips: Option<Vec<IpAddr>> = object.get_as("ips").unwrap();
            prop_assert_eq!(ips.map(|ips| ips.len()), result.as_ref().map(|_| 1));
            // Every value that is there has the type that a client decodes.
            let dns = object.object("dns").unwrap().unwrap();
            for key in ["nameservers", "search", "options"] {
                prop_assert!(dns.get_as::<Vec<Option<String>>>(key).is_ok());
            }
            prop_assert!(dns.get_as::<String>("domain").is_ok());
        }
    }
}
