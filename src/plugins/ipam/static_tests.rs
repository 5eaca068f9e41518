use super::*;

fn parse(text: &str, args: &str) -> Result<Config, Error> {
    Config::parse(&Object::parse("config", text).unwrap(), &Args::parse(args).unwrap())
}

fn config(ipam: &str, extra: &str, args: &str) -> Result<Config, Error> {
    parse(&format!(r#"{{"cniVersion": "1.1.0", "name": "n", {extra} "ipam": {{"type": "static", {ipam}}}}}"#), args)
}

fn addresses(config: &Config) -> Vec<String> {
    let text = |ip: &IpamAddress| match ip.gateway {
        Some(gateway) => format!("{} via {gateway}", ip.address),
        None => ip.address.to_string(),
    };
    config.answer().addresses.iter().map(text).collect()
}

const ONE: &str = r#""addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]"#;

#[test]
fn the_answer_is_what_the_configuration_says() {
    let ipam = format!(r#"{ONE}, "routes": [{{"dst": "0.0.0.0/0", "scope": 0}}], "dns": {{"search": ["a"], "x": 1}}"#);
    assert_eq!(
        config(&ipam, "", "").unwrap().answer().to_object().unwrap().to_raw().unwrap().get(),
        r#"{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1"}],"routes":[{"dst":"0.0.0.0/0","scope":0}],"dns":{"search":["a"]}}"#
    );
}

#[test]
fn the_gateways_of_cni_args_are_for_its_own_addresses() {
    let parsed = config(ONE, "", "IP=10.1.0.6/24, 10.2.0.6/24;GATEWAY=10.1.0.9,10.1.0.8").unwrap();
    assert_eq!(addresses(&parsed), ["10.1.0.5/24 via 10.1.0.1", "10.1.0.6/24 via 10.1.0.8", "10.2.0.6/24"]);
}

#[test]
fn the_last_source_that_names_addresses_stands_alone_and_without_gateways() {
    let args = r#""args": {"cni": {"ips": ["10.2.0.5/24"]}},"#;
    let runtime = r#""runtimeConfig": {"ips": ["10.1.0.5/24"]},"#;
    assert_eq!(addresses(&config(ONE, args, "IP=10.9.0.5/24").unwrap()), ["10.2.0.5/24"]);
    assert_eq!(addresses(&config(ONE, &format!("{args}{runtime}"), "").unwrap()), ["10.1.0.5/24"]);
}

#[test]
fn keys_that_nobody_knows_are_told_by_their_places() {
    let ipam = r#""addresses": [{"address": "10.1.0.5/24", "x": 1}], "dns": {"y": 1}, "routes": [{"dst": "::/0", "z": 1}],
        "subnet": 5"#;
    let parsed = config(ipam, "", "").unwrap();
    assert_eq!(parsed.unknown_keys(), ["ipam.subnet", "ipam.addresses[0].x", "ipam.routes[0].z", "ipam.dns.y"]);
}

#[test]
fn messages_say_where_and_what_would_be_right() {
    for (ipam, args, message) in [
        (
            r#""addresses": [{"address": "10.1.0.5"}]"#,
            "",
            "ipam: addresses[0]: key \"address\" is \"10.1.0.5\": it must be an address with a prefix length, such as \
             192.0.2.5/24",
        ),
        (
            r#""addresses": [{"address": "10.1.0.5/24", "gateway": "2001:db8::1"}]"#,
            "",
            "ipam: addresses[0]: key \"gateway\" is 2001:db8::1, which is not of the family of 10.1.0.5/24",
        ),
        (
            ONE,
            "IP=10.1.0.5",
            "CNI_ARGS has the IP 10.1.0.5: it must be an address with a prefix length, such as 192.0.2.5/24",
        ),
        (ONE, "K8S_POD_NAME=a", "CNI_ARGS has unknown keys (K8S_POD_NAME): remove them or add IgnoreUnknown=1"),
    ] {
        assert_eq!(config(ipam, "", args).unwrap_err().message, message);
    }
}
