//! Configurations of host-local that are wrong: refused by both, and ours names the key.

use crate::twin::{BOTH, Call, Data, run, run_both};

/// The configuration with `ipam` (without type and dataDir) and more keys of its own.
fn config(version: &str, ipam: &str, extra: &str) -> String {
    format!(
        r#"{{"cniVersion": "{version}", "name": "n", "type": "macvlan", {extra}
            "ipam": {{"type": "host-local", "dataDir": "@DATA@" {comma} {ipam}}}}}"#,
        comma = if ipam.is_empty() { "" } else { "," }
    )
}

const POOL: &str = r#""subnet": "10.1.0.0/24""#;

/// `ipam`, other keys, CNI_ARGS, and what the message must name.
const WRONG: [(&str, &str, &str, &str); 57] = [
    ("", "", "", "ipam.ranges"),
    (r#""ranges": []"#, "", "", "ipam.ranges"),
    (r#""ranges": [[]]"#, "", "", "ipam.ranges[0]"),
    (r#""ranges": [null]"#, "", "", "ipam.ranges[0]"),
    (r#""ranges": [[null]]"#, "", "", "ipam.ranges[0]"),
    (r#""ranges": [{"subnet": "10.1.0.0/24"}]"#, "", "", "ipam.ranges[0]"),
    (r#""ranges": [[{}]]"#, "", "", "subnet"),
    (r#""ranges": [[{"gateway": "10.1.0.1"}]]"#, "", "", "subnet"),
    (r#""ranges": "10.1.0.0/24""#, "", "", "ranges"),
    (r#""rangeStart": "10.1.0.5""#, "", "", "ipam.subnet"),
    (r#""subnet": "10.1.0.0""#, "", "", "subnet"),
    (r#""subnet": "10.1.0.0/33""#, "", "", "subnet"),
    (r#""subnet": """#, "", "", "subnet"),
    (r#""subnet": null"#, "", "", "subnet"),
    (r#""subnet": 10"#, "", "", "subnet"),
    (r#""subnet": "10.1.0.7/24""#, "", "", "subnet"),
    (r#""subnet": "10.1.0.0/31""#, "", "", "subnet"),
    (r#""subnet": "10.1.0.0/32""#, "", "", "subnet"),
    (r#""subnet": "2001:db8::/127""#, "", "", "subnet"),
    (r#""subnet": "2001:db8::1/64""#, "", "", "subnet"),
    (r#""subnet": "::ffff:10.1.0.0/120""#, "", "", "subnet"),
    (r#""subnet": "10.1.0.0/255.255.255.0""#, "", "", "subnet"),
    (r#""subnet": "10.01.0.0/24""#, "", "", "subnet"),
    (r#""subnet": "10.1.0.0/24", "rangeStart": "10.1.1.1""#, "", "", "rangeStart"),
    (r#""subnet": "10.1.0.0/24", "rangeStart": "x""#, "", "", "rangeStart"),
    (r#""subnet": "10.1.0.0/24", "rangeStart": "2001:db8::1""#, "", "", "rangeStart"),
    (r#""subnet": "10.1.0.0/24", "rangeEnd": "10.0.255.255""#, "", "", "rangeEnd"),
    (r#""subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.5/24""#, "", "", "rangeEnd"),
    (r#""subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8""#, "", "", "rangeStart"),
    (r#""subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.0""#, "", "", "rangeEnd"),
    (r#""subnet": "10.1.0.0/24", "gateway": "none""#, "", "", "gateway"),
    (r#""ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/25"}]]"#, "", "", "ipam.ranges[0]"),
    (
        r#""ranges": [[{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9"}, {"subnet": "10.1.0.0/24", "rangeStart":
        "10.1.0.9"}]]"#,
        "",
        "",
        "ipam.ranges[0]",
    ),
    (r#""ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "2001:db8::/64"}]]"#, "", "", "families"),
    (r#""ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.0.0.0/8"}]]"#, "", "", "ipam.ranges[1]"),
    (r#""subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.1.0.0/24"}]]"#, "", "", "ipam.ranges[0]"),
    (POOL, r#""runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/28"}]]},"#, "", "runtimeConfig.ipRanges[0]"),
    (POOL, r#""runtimeConfig": {"ipRanges": [[{"subnet": "x"}]]},"#, "", "runtimeConfig.ipRanges[0][0]"),
    (POOL, r#""runtimeConfig": {"ipRanges": 5},"#, "", "ipRanges"),
    (POOL, r#""runtimeConfig": 5,"#, "", "runtimeConfig"),
    (POOL, r#""runtimeConfig": {"ips": ["x"]},"#, "", "runtimeConfig.ips[0]"),
    (POOL, r#""runtimeConfig": {"ips": [""]},"#, "", "runtimeConfig.ips[0]"),
    (POOL, r#""runtimeConfig": {"ips": "10.1.0.5"},"#, "", "ips"),
    (POOL, r#""runtimeConfig": {"ips": ["10.2.0.5"]},"#, "", "10.2.0.5"),
    (POOL, r#""runtimeConfig": {"ips": ["10.1.0.1"]},"#, "", "gateway"),
    (POOL, r#""args": {"cni": {"ips": ["10.1.0.255"]}},"#, "", "10.1.0.255"),
    (POOL, r#""args": {"cni": {"ips": [5]}},"#, "", "args.cni.ips[0]"),
    (POOL, r#""args": {"cni": []},"#, "", "cni"),
    (POOL, "", "IP=x", "CNI_ARGS"),
    (POOL, "", "IP=10.2.0.5", "10.2.0.5"),
    (POOL, "", "K8S_POD_NAME=a", "K8S_POD_NAME"),
    (r#""subnet": "10.1.0.0/24", "routes": [{"dst": "x"}]"#, "", "", "dst"),
    (r#""subnet": "10.1.0.0/24", "routes": [{"dst": "10.0.0.0/8", "gw": "x"}]"#, "", "", "gw"),
    (r#""subnet": "10.1.0.0/24", "routes": {}"#, "", "", "routes"),
    (r#""subnet": "10.1.0.0/24", "resolvConf": 5"#, "", "", "resolvConf"),
    (r#""subnet": "10.1.0.0/24", "resolvConf": "/nonexistent""#, "", "", "resolvConf"),
    (r#""subnet": "10.1.0.0/24", "name": []"#, "", "", "name"),
];

#[test]
fn wrong_configurations_are_refused_by_both_and_the_key_is_named() {
    for (ipam, extra, args, named) in WRONG {
        let mut call = Call::new("ADD", "c", &config("1.1.0", ipam, extra));
        call.args = args.to_owned();
        let answer = run_both(&Data::new(), &Data::new(), &call);
        assert!(!answer.succeeded, "{ipam} {extra} {args} was taken: {}", answer.stdout);
        assert!(answer.message().contains(named), "{ipam} {extra} {args}: {}", answer.message());
    }
}

#[test]
fn two_addresses_of_a_family_need_version_0_3_0() {
    let two = r#""ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]]"#;
    for (version, works) in [("0.1.0", false), ("0.2.0", false), ("0.3.0", true)] {
        let answer = run_both(&Data::new(), &Data::new(), &Call::new("ADD", "c", &config(version, two, "")));
        assert_eq!(answer.succeeded, works, "{version}");
    }
}

#[test]
fn two_requests_in_one_range_set_are_refused_and_nothing_stays() {
    let extra = r#""args": {"cni": {"ips": ["10.1.0.5", "10.1.0.6"]}},"#;
    let call = Call::new("ADD", "c", &config("1.1.0", POOL, extra));
    for whose in BOTH {
        let data = Data::new();
        assert!(!run(whose, &data, &call).succeeded);
        // `last_reserved_ip` is left out: which of the two the reference tries is chance.
        assert_eq!(data.addresses(), Vec::<String>::new());
    }
    let same = extra.replace("10.1.0.6", "10.1.0.5/16");
    let answer = run_both(&Data::new(), &Data::new(), &Call::new("ADD", "c", &config("1.1.0", POOL, &same)));
    assert_eq!(answer.addresses(), ["10.1.0.5"], "the same address twice is one request");
}

/// Differences on purpose, each with what the reference makes of it.
#[test]
fn what_could_only_go_wrong_later_is_refused_by_ours_alone() {
    for (ipam, named) in [
        // Hands out 10.1.0.255, then 10.1.1.0 and so on, outside of the subnet.
        (r#""subnet": "10.1.0.0/24", "rangeStart": "10.1.0.255""#, "rangeStart"),
        // Answers a gateway that no route of the address's family can have.
        (r#""subnet": "10.1.0.0/24", "gateway": "2001:db8::1""#, "gateway"),
        // Answers a list with null, which the main plugin cannot use.
        (r#""subnet": "10.1.0.0/24", "routes": [null]"#, "routes[0]"),
        // Answers numbers that the kernel does not have, and which are cut to others.
        (r#""subnet": "10.1.0.0/24", "routes": [{"dst": "10.0.0.0/8", "table": -1}]"#, "table"),
    ] {
        let call = Call::new("ADD", "c", &config("1.1.0", ipam, ""));
        let [reference, ours] = BOTH.map(|whose| run(whose, &Data::new(), &call));
        assert!(reference.succeeded, "{ipam}: the reference refuses it too by now: {reference:#?}");
        assert!(ours.message().contains(named), "{ipam}: {}", ours.message());
    }
}
