#![allow(clippy::arithmetic_side_effects, reason = "an overflow would fail the test")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn range(text: &str) -> Result<Range, Error> {
    Written::read(&Object::parse("range", text).unwrap()).and_then(|written| Range::complete(&written))
}

fn set(texts: &[&str]) -> RangeSet {
    RangeSet::new(texts.iter().map(|text| range(text).unwrap()).collect()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn order(set: &RangeSet, last: Option<&str>) -> Vec<String> {
    set.candidates(last.map(ip)).map(|(ip, _)| ip.to_string()).collect()
}

#[test]
fn a_range_is_completed_by_defaults() {
    for (text, expected, gateway) in [
        (r#"{"subnet": "192.0.2.0/24"}"#, "192.0.2.1-192.0.2.254", "192.0.2.1"),
        (r#"{"subnet": "192.0.2.0/30"}"#, "192.0.2.1-192.0.2.2", "192.0.2.1"),
        (r#"{"subnet": "0.0.0.0/0"}"#, "0.0.0.1-255.255.255.254", "0.0.0.1"),
        (r#"{"subnet": "2001:db8::/126"}"#, "2001:db8::1-2001:db8::3", "2001:db8::1"),
        (r#"{"subnet": "2001:db8:1::/64"}"#, "2001:db8:1::1-2001:db8:1:0:ffff:ffff:ffff:ffff", "2001:db8:1::1"),
        (
            r#"{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.9", "gateway": "198.51.100.1"}"#,
            "192.0.2.9-192.0.2.254",
            "198.51.100.1",
        ),
        (
            r#"{"subnet": "192.0.2.0/24", "rangeStart": "::ffff:192.0.2.0", "rangeEnd": "192.0.2.255", "gateway": ""}"#,
            "192.0.2.0-192.0.2.255",
            "192.0.2.1",
        ),
    ] {
        let range = range(text).unwrap();
        assert_eq!((range.to_string().as_str(), range.gateway()), (expected, ip(gateway)), "{text}");
    }
}

#[test]
fn a_range_that_does_not_fit_is_refused_in_one_sentence() {
    for (text, message) in [
        (
            r#"{"subnet": "192.0.2.0/31"}"#,
            r#"key "subnet" is 192.0.2.0/31, which is too small to allocate from: /30 is the longest prefix"#,
        ),
        (
            r#"{"subnet": "192.0.2.9/24"}"#,
            r#"key "subnet" is 192.0.2.9/24, which has host bits set: the network is 192.0.2.0/24"#,
        ),
        (
            r#"{"subnet": "192.0.2.0/24", "rangeEnd": "192.0.3.1"}"#,
            r#"key "rangeEnd" is 192.0.3.1, which is not in the subnet 192.0.2.0/24"#,
        ),
        (
            r#"{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.9", "rangeEnd": "192.0.2.8"}"#,
            r#"key "rangeStart" is 192.0.2.9, which is after "rangeEnd", 192.0.2.8"#,
        ),
        (
            r#"{"subnet": "192.0.2.0/24", "gateway": "2001:db8::1"}"#,
            r#"key "gateway" is 2001:db8::1, which is not of the family of the subnet 192.0.2.0/24"#,
        ),
        (
            r#"{"subnet": "::ffff:192.0.2.0/120"}"#,
            r#"key "subnet" is "::ffff:192.0.2.0/120", an IPv4-mapped network: write it as an IPv4 network"#,
        ),
    ] {
        assert_eq!(range(text).unwrap_err().message, message);
    }
}

#[test]
fn the_order_goes_round_from_the_one_after_the_last() {
    let set = set(&[
        r#"{"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.5"}"#,
        r#"{"subnet": "10.0.1.0/30"}"#,
        r#"{"subnet": "10.0.2.0/30", "gateway": "10.0.2.2"}"#,
    ]);
    let all = ["10.0.0.5", "10.0.0.6", "10.0.1.2", "10.0.2.1"];
    assert_eq!(order(&set, None), all);
    assert_eq!(order(&set, Some("10.0.9.9")), all);
    assert_eq!(order(&set, Some("10.0.0.6")), ["10.0.1.2", "10.0.2.1", "10.0.0.5", "10.0.0.6"]);
    assert_eq!(order(&set, Some("10.0.2.1")), all, "over the gateway at the end");
    assert_eq!(order(&set, Some("10.0.1.1")), ["10.0.1.2", "10.0.2.1", "10.0.0.5", "10.0.0.6"], "a gateway as last");
    assert_eq!(set.capacity(), 4);
}

#[test]
fn a_range_of_nothing_but_its_gateway_has_no_address() {
    let set = set(&[r#"{"subnet": "10.0.0.0/29", "rangeEnd": "10.0.0.1"}"#]);
    assert_eq!((order(&set, None), order(&set, Some("10.0.0.1")), set.capacity()), (vec![], vec![], 0));
}

#[test]
fn the_last_addresses_there_are_end_their_range() {
    let v4 = set(&[r#"{"subnet": "255.255.255.252/30", "rangeEnd": "255.255.255.255"}"#]);
    assert_eq!(order(&v4, Some("255.255.255.255")), ["255.255.255.254", "255.255.255.255"]);
    let v6 = set(&[r#"{"subnet": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"}"#]);
    assert_eq!(order(&v6, None).len(), 2);
}

#[test]
fn a_range_of_an_ipv6_subnet_starts_at_once() {
    let all = set(&[r#"{"subnet": "::/0"}"#]);
    let set = set(&[r#"{"subnet": "2001:db8::/32"}"#]);
    assert_eq!(set.candidates(None).next().unwrap().0, ip("2001:db8::2"));
    assert_eq!(set.capacity(), (1 << 96) - 2);
    assert_eq!(all.capacity(), u128::MAX - 1);
}

fn ranges() -> impl Strategy<Value = RangeSet> {
    // Subnets of different second bytes never overlap.
    let one = (24_u8..=30, 0_u32..256, 0_u32..256, 0_u32..300);
    prop::collection::vec(one, 1..4).prop_map(|shapes| {
        let ranges = shapes.into_iter().zip(0_u32..).map(|((prefix, start, length, gateway), second)| {
            let base = 0x0a00_0000 + (second << 16);
            let size = 1_u32 << (32 - prefix);
            let start = 1 + start % (size - 2);
            let end = (start + length).min(size - 2);
            let at = |offset: u32| IpAddr::V4(Ipv4Addr::from(base + offset)).to_string();
            let text = format!(
                r#"{{"subnet": "{}/{prefix}", "rangeStart": "{}", "rangeEnd": "{}", "gateway": "{}"}}"#,
                at(0),
                at(start),
                at(end),
                at(gateway % size)
            );
            range(&text).unwrap()
        });
        RangeSet::new(ranges.collect()).unwrap()
    })
}

proptest! {
    #[test]
    fn from_wherever_it_starts_every_address_comes_once_and_no_gateway(set in ranges(), start in any::<prop::sample::Index>()) {
        let all: Vec<IpAddr> = set.candidates(None).map(|(ip, _)| ip).collect();
        prop_assert_eq!(u128::try_from(all.len()).unwrap(), set.capacity());
        let mut expected = BTreeSet::new();
        for range in set.ranges() {
            let (IpAddr::V4(first), IpAddr::V4(last)) = (range.start, range.end) else { unreachable!() };
            expected.extend((u32::from(first)..=u32::from(last)).map(|ip| IpAddr::V4(ip.into())).filter(|ip| *ip != range.gateway));
        }
        prop_assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), expected);
        for range in set.ranges() {
            let edges = [range.subnet.network(), range.subnet.broadcast()];
            prop_assert!(!all.iter().any(|ip| edges.contains(ip)));
        }
        if !all.is_empty() {
            let position = start.index(all.len());
            let mut turned = all.clone();
            turned.rotate_left((position + 1) % all.len());
            let from_there: Vec<IpAddr> = set.candidates(Some(all[position])).map(|(ip, _)| ip).collect();
            prop_assert_eq!(from_there, turned);
        }
    }
}
