use super::*;

fn parse(text: &str) -> CniResult {
    CniResult::parse("the result of macvlan", text, Version::V1_0_0).unwrap()
}

fn error(text: &str) -> Error {
    CniResult::parse("the result of macvlan", text, Version::V1_0_0).unwrap_err()
}

fn written(result: &CniResult) -> String {
    result.to_raw().unwrap().get().to_owned()
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(|address| address.address.to_string()).collect()
}

const CHAIN: &str = r#"{"cniVersion":"1.1.0","interfaces":[{"name":"cni0","mac":"02:00:00:00:00:01"},{"name":"eth0","sandbox":"/run/netns/a","mtu":1450},{"name":"eth1","sandbox":"/run/netns/a"}],"ips":[{"interface":1,"address":"10.0.0.5/24","gateway":"10.0.0.1"},{"interface":2,"address":"fd00::5/64"},{"interface":0,"address":"10.0.0.1/24"},{"address":"10.9.9.9/32"}],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0","gw":"fd00::1"},{"dst":"10.96.0.0/12","gw":"10.0.0.254"}]}"#;

#[test]
fn a_result_is_read_and_keeps_its_bytes() {
    let result = parse(CHAIN);
    assert_eq!(result.version(), Version::V1_1_0);
    assert_eq!(written(&result), CHAIN);
    let interfaces = result.interfaces();
    assert_eq!(interfaces.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["cni0", "eth0", "eth1"]);
    assert_eq!((interfaces[0].mac.as_str(), interfaces[0].sandbox.as_str()), ("02:00:00:00:00:01", ""));
    assert_eq!((interfaces[1].mtu, interfaces[1].sandbox.as_str()), (Some(1450), "/run/netns/a"));
    // Host bits are kept.
    assert_eq!(texts(&result.addresses()), ["10.0.0.5/24", "fd00::5/64", "10.0.0.1/24", "10.9.9.9/32"]);
    assert_eq!(result.addresses()[0].gateway, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(result.addresses()[3].interface, None);
    let routes = result.routes();
    assert_eq!((routes[0].destination.to_string(), routes[0].gateway), ("0.0.0.0/0".to_owned(), None));
    assert_eq!(routes[1].gateway, Some("fd00::1".parse().unwrap()));
}

#[test]
fn the_oldest_form_is_read() {
    let result = parse(
        r#"{"cniVersion":"0.1.0","ip6":{"ip":"fd00::5/64","routes":[{"dst":"::/0"}]},"ip4":{"ip":"10.0.0.5/24","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"}]},"dns":{"domain":"x"}}"#,
    );
    assert!(result.interfaces().is_empty());
    assert_eq!(texts(&result.addresses()), ["10.0.0.5/24", "fd00::5/64"]);
    assert_eq!(texts(&result.addresses_of("eth0")), ["10.0.0.5/24", "fd00::5/64"]);
    assert_eq!(result.routes().len(), 2);
    assert_eq!(result.dns().unwrap().get(), r#"{"domain":"x"}"#);
}

#[test]
fn case_01_a_missing_version_is_the_configurations_and_null_fields_are_fine() {
    for text in
        ["{}", r#"{"cniVersion":""}"#, r#"{"cniVersion":null,"ips":null,"interfaces":null,"routes":null,"dns":null}"#]
    {
        let result = CniResult::parse("x", text, Version::V0_4_0).unwrap();
        assert_eq!(result.version(), Version::V0_4_0);
        assert!(written(&result).contains(r#""cniVersion":"0.4.0""#));
    }
    assert_eq!(written(&parse(r#"{"x":1}"#)), r#"{"cniVersion":"1.0.0","x":1}"#);
}

#[test]
fn case_01_an_empty_answer_is_an_error_that_says_so() {
    for text in ["", " \n"] {
        let error = error(text);
        assert_eq!(error.code, Code::DECODE);
        assert!(error.message.contains("the result of macvlan is empty: its plugin printed nothing"));
    }
    assert!(error("null").message.contains("is not a JSON object"));
}

#[test]
fn case_02_a_result_of_another_version_is_accepted() {
    for version in Version::ALL {
        assert_eq!(parse(&format!("{{\"cniVersion\":\"{version}\"}}")).version(), version);
    }
    let error = error(r#"{"cniVersion":"2.0.0"}"#);
    assert_eq!(error.code, Code::DECODE);
    assert!(error.message.starts_with("the result of macvlan: cniVersion \"2.0.0\" is not one"), "{}", error.message);
}

#[test]
fn case_11_an_index_out_of_range_is_an_error_naming_the_element() {
    for (index, text) in [
        ("2", r#"[{"name":"a"},{"name":"b"}]"#),
        ("0", "[]"),
        ("0", "null"),
        ("-1", r#"[{"name":"a"}]"#),
        ("0.0", r#"[{"name":"a"}]"#),
        ("\"0\"", r#"[{"name":"a"}]"#),
        ("99999999999999999999", r#"[{"name":"a"}]"#),
    ] {
        let text = format!("{{\"interfaces\":{text},\"ips\":[{{\"address\":\"10.0.0.1/8\",\"interface\":{index}}}]}}");
        let error = error(&text);
        assert_eq!(error.code, Code::DECODE, "{text}");
        assert!(error.message.starts_with("the result of macvlan: ips[0]: key \"interface\""), "{}", error.message);
    }
}

#[test]
fn malformed_results_are_code_6_naming_element_and_key() {
    for (text, part) in [
        (r#"{"ips":[{"address":"10.0.0.1/8"},{}]}"#, "ips[1]: key \"address\" is missing"),
        (r#"{"ips":[null]}"#, "ips[0] is not a JSON object"),
        (r#"{"ips":{}}"#, "key \"ips\" has the wrong value {}"),
        (r#"{"ips":[{"address":"10.0.0.1"}]}"#, "ips[0]: key \"address\" is \"10.0.0.1\""),
        (r#"{"ips":[{"address":"10.0.0.1/33"}]}"#, "\"10.0.0.1/33\""),
        (r#"{"ips":[{"address":"10.0.0.1/255.0.0.0"}]}"#, "\"10.0.0.1/255.0.0.0\""),
        (r#"{"ips":[{"address":"10.0.0.1/+8"}]}"#, "\"10.0.0.1/+8\""),
        (r#"{"ips":[{"address":"10.0.0.1/"}]}"#, "\"10.0.0.1/\""),
        (r#"{"ips":[{"address":"fe80::1%eth0/64"}]}"#, "\"fe80::1%eth0/64\""),
        (r#"{"ips":[{"address":"a\u001b/8"}]}"#, "\"a\\u{1b}/8\""),
        (r#"{"ips":[{"address":5}]}"#, "ips[0]: key \"address\" has the wrong value 5"),
        (r#"{"ips":[{"address":"10.0.0.1/8","gateway":"fd00::1"}]}"#, "ips[0]: key \"gateway\" is fd00::1"),
        (r#"{"ips":[{"address":"10.0.0.1/8","gateway":"10.0.0.1/8"}]}"#, "is not an IP address"),
        (r#"{"routes":[{"gw":"10.0.0.1"}]}"#, "routes[0]: key \"dst\" is missing"),
        (r#"{"routes":[{"dst":"default"}]}"#, "routes[0]: key \"dst\" is \"default\""),
        (r#"{"routes":[{"dst":"::/0","gw":"x"}]}"#, "routes[0]: key \"gw\" is \"x\""),
        (r#"{"interfaces":[{"name":5}]}"#, "interfaces[0]: key \"name\" has the wrong value 5"),
        (r#"{"interfaces":[{"name":"a","mtu":-1}]}"#, "interfaces[0]: key \"mtu\" has the wrong value -1"),
        (r#"{"dns":[]}"#, "key \"dns\" has the wrong value []"),
        (r#"{"cniVersion":5}"#, "key \"cniVersion\" has the wrong value 5"),
        (r#"{"cniVersion":"0.2.0","ip4":{}}"#, "ip4: key \"ip\" is missing"),
        (r#"{"cniVersion":"0.2.0","ip4":{"ip":"fd00::1/64"}}"#, "ip4: key \"ip\" is fd00::1/64, which is of the other"),
        (r#"{"cniVersion":"0.2.0","ip6":{"ip":"fd00::1/64","routes":[{}]}}"#, "ip6: routes[0]: key \"dst\" is missing"),
    ] {
        let error = error(text);
        assert_eq!(error.code, Code::DECODE, "{text}");
        let message = error.message;
        assert!(message.starts_with("the result of macvlan") && message.contains(part), "{text}: {message}");
    }
}

#[test]
fn at_most_1024_elements_are_taken() {
    let list = |count: usize| format!("{{\"routes\":[{}]}}", vec![r#"{"dst":"::/0"}"#; count].join(","));
    assert_eq!(parse(&list(1024)).routes().len(), 1024);
    assert!(error(&list(1025)).message.contains("more than 1024 elements"));
}

#[test]
fn an_empty_gateway_is_none_and_an_mtu_of_0_too() {
    let result = parse(
        r#"{"interfaces":[{"name":"a","mtu":0}],"ips":[{"address":"10.0.0.1/8","gateway":""}],"routes":[{"dst":"::/0","gw":""}]}"#,
    );
    assert_eq!((result.interfaces()[0].mtu, result.addresses()[0].gateway), (None, None));
    assert_eq!(result.routes()[0].gateway, None);
}

#[test]
fn an_mtu_means_nothing_before_1_0_0() {
    let result = parse(r#"{"cniVersion":"0.4.0","interfaces":[{"name":"a","mtu":"own"}]}"#);
    assert_eq!(result.interfaces()[0].mtu, None);
}

#[test]
fn a_route_may_go_over_a_gateway_of_the_other_family() {
    let result = parse(r#"{"routes":[{"dst":"10.0.0.0/8","gw":"fe80::1"}]}"#);
    assert_eq!(result.routes()[0].gateway, Some("fe80::1".parse().unwrap()));
}

#[test]
fn addresses_belong_to_the_sandbox_interface_of_that_name() {
    let result = parse(CHAIN);
    assert_eq!(texts(&result.addresses_of("eth0")), ["10.0.0.5/24"]);
    assert_eq!(texts(&result.addresses_of("eth1")), ["fd00::5/64"]);
    // The bridge is on the host.
    assert!(result.addresses_of("cni0").is_empty());
    assert!(result.addresses_of("net1").is_empty());
}

#[test]
fn case_11_an_address_without_index_counts_when_nobody_else_can_own_it() {
    for interfaces in
        ["[]", r#"[{"name":"eth0","sandbox":"/n"}]"#, r#"[{"name":"br0"},{"name":"eth0","sandbox":"/n"}]"#]
    {
        let result = parse(&format!("{{\"interfaces\":{interfaces},\"ips\":[{{\"address\":\"10.0.0.5/8\"}}]}}"));
        assert_eq!(texts(&result.addresses_of("eth0")), ["10.0.0.5/8"], "{interfaces}");
    }
    let result = parse(r#"{"interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.0.0.5/8"}]}"#);
    assert!(result.addresses_of("net1").is_empty());
}

#[test]
fn default_routes_go_by_family_and_the_rest_keeps_its_bytes() {
    let destinations =
        |result: &CniResult| result.routes().iter().map(|route| route.destination.to_string()).collect::<Vec<_>>();
    let result = parse(CHAIN);
    assert_eq!(destinations(&result.without_default_routes(true, false).unwrap()), ["::/0", "10.96.0.0/12"]);
    assert_eq!(destinations(&result.without_default_routes(false, true).unwrap()), ["0.0.0.0/0", "10.96.0.0/12"]);
    assert_eq!(destinations(&result.without_default_routes(true, true).unwrap()), ["10.96.0.0/12"]);
    assert_eq!(result.without_default_routes(false, false).unwrap(), result);

    let spaced = r#"{"cniVersion":"1.0.0","routes":[ {"dst" : "10.0.0.0/8"} ],"x":[ 1]}"#;
    assert_eq!(written(&parse(spaced).without_default_routes(true, true).unwrap()), spaced);
    let old = r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/8","routes":[{"dst":"0.0.0.0/0"}],"x":1},"ip6":{ "ip":"::5/64"}}"#;
    assert_eq!(
        written(&parse(old).without_default_routes(true, true).unwrap()),
        r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.5/8","routes":[],"x":1},"ip6":{ "ip":"::5/64"}}"#
    );
}

#[test]
fn case_04_unknown_keys_and_big_integers_stay() {
    let text = r#"{"cniVersion":"1.0.0","x":18446744073709551617,"ips":[{"address":"10.0.0.1/8","y":[1e400]}],"dns":{"z":-0.0}}"#;
    assert_eq!(written(&parse(text)), text);
}
