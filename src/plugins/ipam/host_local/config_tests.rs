#![allow(clippy::arithmetic_side_effects, reason = "an overflow would fail the test")]

use super::*;

fn parse(text: &str) -> Result<Config, Error> {
    parse_with(text, "")
}

fn parse_with(text: &str, args: &str) -> Result<Config, Error> {
    Config::parse(&Object::parse("config", text).unwrap(), &Args::parse(args).unwrap())
}

fn sets(config: &Config) -> Vec<String> {
    config.range_sets.iter().map(ToString::to_string).collect()
}

#[test]
fn ranges_of_the_runtime_come_first_then_the_old_form_then_the_list() {
    let config = parse(
        r#"{"cniVersion": "1.1.0", "name": "public", "type": "macvlan",
        "runtimeConfig": {"ipRanges": [[{"subnet": "10.3.0.0/30"}]], "mac": "x"},
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/30"}, {"subnet": "10.2.0.0/30"}]],
                 "subnet": "10.0.0.0/30", "routes": [{"dst": "0.0.0.0/0", "mtu": 1400, "table": 0}]}}"#,
    )
    .unwrap();
    assert_eq!(sets(&config), ["10.3.0.1-10.3.0.2", "10.0.0.1-10.0.0.2", "10.1.0.1-10.1.0.2,10.2.0.1-10.2.0.2"]);
    assert_eq!(config.store().directory().to_str().unwrap(), "/var/lib/cni/networks/public");
    let route = config.routes[0];
    assert_eq!((route.mtu, route.table, route.scope), (1400, Some(0), None));
    assert!(config.unknown_keys().is_empty());
}

#[test]
fn keys_are_read_as_go_reads_them() {
    let config = parse(
        r#"{"cniVersion": "0.4.0", "NAME": "n", "IPAM": {"SubNet": "10.0.0.0/24", "dataDir": "/a"},
        "ipam": {"RANGEEND": "10.0.0.9", "dataDir": "/b", "datadir": null}}"#,
    )
    .unwrap();
    assert_eq!(sets(&config), ["10.0.0.1-10.0.0.9"]);
    assert_eq!(config.store().directory().to_str().unwrap(), "/b/n");
}

#[test]
fn requests_of_all_sources_add_up_and_each_counts_once() {
    let text = r#"{"name": "n", "cniVersion": "1.1.0", "ipam": {"subnet": "10.0.0.0/24"},
        "args": {"cni": {"ips": ["10.0.0.6/8", "2001:DB8::0"]}}, "runtimeConfig": {"ips": ["10.0.0.5", "10.0.0.7"]}}"#;
    let config = parse_with(text, "IP=::ffff:10.0.0.5").unwrap();
    let requested: Vec<String> = config.requested.iter().map(|asked| asked.ip.to_string()).collect();
    assert_eq!(requested, ["10.0.0.5", "10.0.0.6", "2001:db8::", "10.0.0.7"]);
}

#[test]
fn keys_that_nobody_knows_are_told_by_their_places() {
    let config = parse(
        r#"{"name": "n", "cniVersion": "1.1.0", "other": 1, "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24",
        "a": 1}]]}, "ipam": {"type": "host-local", "name": "x", "ranges": [[{"subnet": "10.0.0.0/24", "exclude": []}]],
        "routes": [{"dst": "0.0.0.0/0", "src": "x"}], "Days": 3, "datadir": ""}}"#,
    )
    .unwrap();
    let expected = ["runtimeConfig.ipRanges[0][0].a", "ipam.ranges[0][0].exclude", "ipam.routes[0].src", "ipam.Days"];
    assert_eq!(config.unknown_keys(), expected);
}

#[test]
fn messages_say_where_and_what_would_be_right() {
    for (ipam, message) in [
        (
            r#"{"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "10.0.0.128/25"}]]}"#,
            "ipam.ranges[0] (10.0.0.1-10.0.0.254) and ipam.ranges[1] (10.0.0.129-10.0.0.254) overlap",
        ),
        (
            r#"{"ranges": [[{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.0.5\n"}]]}"#,
            "ipam.ranges[0][1]: key \"subnet\" is \"10.0.0.5\\n\": it must be an address with a prefix length, \
             such as 192.0.2.0/24",
        ),
        (
            r#"{"subnet": "10.0.0.0/24", "rangeStart": 5}"#,
            "ipam: key \"rangeStart\" has the wrong value 5: invalid type: integer `5`, expected a string",
        ),
        (
            r#"{"ranges": [{"subnet": "10.0.0.0/24"}]}"#,
            "ipam.ranges[0] is {\"subnet\": \"10.0.0.0/24\"}: it must be a list of ranges, which are objects",
        ),
        (
            "{}",
            "neither key \"ipam.ranges\" nor \"ipam.subnet\" nor \"runtimeConfig.ipRanges\" has a range: host-local \
             needs one to allocate from",
        ),
    ] {
        let error = parse(&format!(r#"{{"cniVersion": "1.1.0", "name": "n", "ipam": {ipam}}}"#)).unwrap_err();
        assert_eq!((error.message.as_str(), error.code), (message, crate::cni::Code::INVALID_CONFIG));
    }
    let error = parse(r#"{"cniVersion": "1.1.0", "name": "n"}"#).unwrap_err();
    assert_eq!(error.message, "key \"ipam\" is missing");
    assert!(parse(r#"{"cniVersion": "1.1.0", "name": "../n", "ipam": {"subnet": "10.0.0.0/24"}}"#).is_err());
}

#[test]
fn more_ranges_than_any_network_needs_are_refused() {
    let list = |count: u32| {
        let range = |index: u32| format!(r#"{{"subnet": "10.{}.{}.0/24"}}"#, index / 256, index % 256);
        (0..count).map(range).collect::<Vec<_>>().join(",")
    };
    let config =
        |count| format!(r#"{{"cniVersion": "1.1.0", "name": "n", "ipam": {{"ranges": [[{}]]}}}}"#, list(count));
    assert!(parse(&config(1024)).is_ok());
    assert!(parse(&config(1025)).unwrap_err().message.contains("1024"));
}

#[test]
fn ranges_may_be_missing_only_where_the_runtime_may_say_them() {
    let text = |declared: bool| {
        format!(
            r#"{{"name": "n", "cniVersion": "1.1.0", "capabilities": {{"ipRanges": {declared}}},
            "ipam": {{"type": "host-local"}}}}"#
        )
    };
    assert!(parse(&text(true)).unwrap().range_sets().is_empty());
    assert!(parse(&text(false)).unwrap_err().message.contains("runtimeConfig.ipRanges"));
}
