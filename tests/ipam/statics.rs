//! static: the same answers.

use crate::twin::{Answer, BOTH, Call, Data, Whose, run, run_both};

/// Runs an ADD of static by both. `ipam` is the object without its type, `extra` more keys of the configuration.
fn add(version: &str, ipam: &str, extra: &str, args: &str) -> Answer {
    let (reference, ours) = (Data::new(), Data::new());
    let comma = if ipam.is_empty() { "" } else { "," };
    let config = format!(
        r#"{{"cniVersion": "{version}", "name": "n", "type": "macvlan", {extra} "ipam": {{"type": "static"{comma} {ipam}}}}}"#
    );
    let mut call = Call::new("ADD", "c", &config);
    call.args = args.to_owned();
    run_both(&reference, &ours, &call)
}

const ONE: &str = r#""addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]"#;

#[test]
fn addresses_routes_and_dns_are_answered_as_configured_in_every_version() {
    let all = r#""addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}, {"address": "2001:DB8::5/64",
        "gateway": "2001:db8::1", "version": "6", "other": 1}], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.7/8",
        "gw": "10.1.0.9", "mtu": 1400, "advmss": 1300, "priority": 7, "table": 0, "scope": 253, "x": 1}, {"dst": "::/0",
        "gw": ""}], "dns": {"nameservers": ["192.0.2.1"], "domain": "a", "search": ["b", null], "options": ["c"],
        "x": 5}, "name": "ignored""#;
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        assert!(add(version, all, "", "").succeeded);
        assert!(add(version, ONE, "", "").succeeded);
        add(version, "", "", "");
    }
}

#[test]
fn several_addresses_of_a_family_need_version_0_3_0() {
    let two =
        r#""addresses": [{"address": "10.1.0.5/24"}, {"address": "::ffff:10.1.0.6/120"}, {"ADDRESS": "::1/128"}]"#;
    assert!(add("0.2.0", two, "", "").message().contains("cniVersion"));
    assert_eq!(add("1.1.0", two, "", "").addresses(), ["10.1.0.5", "10.1.0.6", "::1"]);
}

#[test]
fn cni_args_append_addresses_and_give_gateways_to_their_own_alone() {
    for args in [
        "IP=10.2.0.5/24",
        "IP=10.2.0.5/24, 10.3.0.5/16 ,2001:db8::5/64;GATEWAY=10.3.0.1, 10.2.0.1,2001:db8::1",
        "GATEWAY=10.1.0.9",
        "IP=10.1.0.6/24;GATEWAY=10.1.0.9,10.1.0.8",
        "IgnoreUnknown=true;K8S_POD_NAME=a;IP=;GATEWAY=",
        "IP=10.2.0.5/24;IP=10.2.0.6/24",
    ] {
        assert!(add("1.0.0", ONE, "", args).succeeded, "{args}");
    }
}

#[test]
fn args_and_then_the_runtime_replace_addresses_and_lose_the_gateways() {
    let in_args = r#""args": {"cni": {"ips": ["10.2.0.5/24", "2001:db8::5/64"]}},"#;
    let in_runtime = r#""runtimeConfig": {"ips": ["10.3.0.5/24"]},"#;
    let args = "IP=10.4.0.5/24;GATEWAY=10.4.0.1";
    assert_eq!(add("1.1.0", ONE, in_args, args).addresses(), ["10.2.0.5", "2001:db8::5"]);
    assert_eq!(add("1.1.0", ONE, in_runtime, args).addresses(), ["10.3.0.5"]);
    assert_eq!(add("1.1.0", ONE, &format!("{in_args}{in_runtime}"), args).addresses(), ["10.3.0.5"]);
    assert_eq!(add("1.1.0", ONE, r#""runtimeConfig": {"ips": []}, "args": {"cni": null},"#, args).addresses().len(), 2);
    // What is replaced is not looked at.
    assert!(add("1.1.0", r#""addresses": [{"address": "x"}]"#, in_args, "").succeeded);
}

#[test]
fn wrong_values_are_refused_by_both_and_the_key_is_named() {
    for (ipam, extra, args, named) in [
        (r#""addresses": [{"address": "10.1.0.5"}]"#, "", "", "addresses[0]"),
        (r#""addresses": [{"address": "10.1.0.5/33"}]"#, "", "", "addresses[0]"),
        (r#""addresses": [{"gateway": "10.1.0.1"}]"#, "", "", "address"),
        (r#""addresses": [{"address": "10.1.0.5/24", "gateway": "x"}]"#, "", "", "gateway"),
        (r#""addresses": [{"address": 5}]"#, "", "", "address"),
        (r#""addresses": [{"Address": "10.1.0.5/24"}]"#, "", "", "Address"),
        (r#""addresses": {"address": "10.1.0.5/24"}"#, "", "", "addresses"),
        (r#""addresses": ["10.1.0.5/24"]"#, "", "", "addresses[0]"),
        (r#""routes": [{"dst": null}]"#, "", "", "dst"),
        (r#""routes": [{"dst": "10.0.0.0/8", "mtu": "x"}]"#, "", "", "mtu"),
        (r#""routes": [{"dst": "10.0.0.0/8", "table": 1.5}]"#, "", "", "table"),
        (r#""dns": {"nameservers": "192.0.2.1"}"#, "", "", "nameservers"),
        (r#""dns": []"#, "", "", "dns"),
        (r#""name": 5"#, "", "", "name"),
        (ONE, r#""args": {"cni": {"ips": ["10.1.0.5"]}},"#, "", "args.cni.ips[0]"),
        (ONE, r#""args": {"cni": {"ips": "10.1.0.5/24"}},"#, "", "ips"),
        (ONE, r#""args": 5,"#, "", "args"),
        (ONE, r#""runtimeConfig": {"ips": [5]},"#, "", "runtimeConfig.ips[0]"),
        (ONE, r#""runtimeConfig": {"ips": [""]},"#, "", "runtimeConfig.ips[0]"),
        (ONE, "", "IP=10.1.0.5", "CNI_ARGS"),
        (ONE, "", "IP=10.1.0.5/24,", "CNI_ARGS"),
        (ONE, "", "GATEWAY=x", "GATEWAY"),
        (ONE, "", "K8S_POD_NAME=a", "K8S_POD_NAME"),
    ] {
        let message = add("1.1.0", ipam, extra, args).message();
        assert!(message.contains(named), "{ipam} {extra} {args}: {message}");
    }
}

/// A difference on purpose: the reference passes on what no kernel can have.
#[test]
fn what_the_kernel_cannot_have_is_refused_by_ours_alone() {
    for (ipam, named) in [
        (r#""addresses": [{"address": "10.1.0.5/24", "gateway": "2001:db8::1"}]"#, "gateway"),
        (r#""routes": [{"dst": "10.0.0.0/8", "mtu": -1}]"#, "mtu"),
        (r#""routes": [{"dst": "10.0.0.0/8", "scope": 256}]"#, "scope"),
        (r#""routes": [null]"#, "routes[0]"),
        (r#""routes": [{"gw": "10.1.0.1"}]"#, "dst"),
    ] {
        let config =
            format!(r#"{{"cniVersion": "1.1.0", "name": "n", "type": "x", "ipam": {{"type": "static", {ipam}}}}}"#);
        let [reference, ours] = BOTH.map(|whose| run(whose, &Data::new(), &Call::new("ADD", "c", &config)));
        assert!(reference.succeeded, "{ipam}: the reference refuses it too by now: {reference:#?}");
        assert!(ours.message().contains(named), "{ipam}: {}", ours.message());
    }
}

#[test]
fn check_demands_the_gateway_of_an_address_that_the_result_has() {
    let check = |previous: &str| {
        let config = format!(
            r#"{{"cniVersion": "1.1.0", "name": "n", "type": "x", {previous} "ipam": {{"type": "static", "addresses":
            [{{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}}, {{"address": "10.2.0.5/24"}}]}}}}"#
        );
        run_both(&Data::new(), &Data::new(), &Call::new("CHECK", "c", &config)).succeeded
    };
    let previous = |ips: &str| format!(r#""prevResult": {{"cniVersion": "1.1.0", "ips": [{ips}]}},"#);
    assert!(check(&previous(r#"{"address": "10.1.0.5/16", "gateway": "10.1.0.1"}"#)));
    assert!(check(&previous(r#"{"address": "10.2.0.5/24", "gateway": "10.2.0.1"}"#)));
    assert!(check(&previous(r#"{"address": "10.9.0.5/24"}"#)));
    assert!(!check(&previous(r#"{"address": "10.1.0.5/24", "gateway": "10.1.0.2"}"#)));
    assert!(!check(&previous(r#"{"address": "10.1.0.5/24"}"#)));
    assert!(!check(""));
    assert!(run(Whose::Ours, &Data::new(), &Call::new("DEL", "c", r#"{"ipam": {"type": "static"}}"#)).succeeded);
}
