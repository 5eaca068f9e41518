//! Ranges of addresses as networks, which alone can be destinations of routes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::multinet::node_ranges::Range;

/// The fewest networks that together have exactly the addresses of these ranges, in order. Ranges that touch each other
/// are taken together first.
pub(super) fn networks<'a>(ranges: impl Iterator<Item = &'a Range>) -> Vec<IpNetwork> {
    let mut spans: Vec<(bool, u128, u128)> =
        ranges.map(|range| (range.start.is_ipv6(), number(range.start), number(range.end))).collect();
    spans.sort_unstable();
    let mut joined: Vec<(bool, u128, u128)> = Vec::new();
    for (ipv6, start, end) in spans {
        match joined.last_mut() {
            Some((family, _, last)) if *family == ipv6 && start <= last.saturating_add(1) => *last = end.max(*last),
            _ => joined.push((ipv6, start, end)),
        }
    }
    joined.into_iter().flat_map(|(ipv6, start, end)| cover(ipv6, start, end)).collect()
}

/// The networks from `start` to `end`, largest first wherever one fits.
fn cover(ipv6: bool, mut start: u128, end: u128) -> Vec<IpNetwork> {
    let width: u32 = if ipv6 { 128 } else { 32 };
    let mut networks = Vec::new();
    while start <= end {
        // As many bits as the start leaves free, and no more than there are addresses left.
        let left = end.saturating_sub(start).saturating_add(1);
        let bits = start.trailing_zeros().min(left.checked_ilog2().unwrap_or_default()).min(width);
        let prefix = u8::try_from(width.saturating_sub(bits)).unwrap_or_default();
        networks.extend(IpNetwork::new(address(ipv6, start), prefix).ok());
        let Some(next) = 1_u128.checked_shl(bits).and_then(|size| start.checked_add(size)) else { break };
        start = next;
    }
    networks
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(ipv6: bool, number: u128) -> IpAddr {
    if ipv6 { IpAddr::V6(number.into()) } else { IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: &str, end: &str) -> Range {
        let subnet = if start.contains(':') { "::/0" } else { "0.0.0.0/0" };
        Range {
            subnet: subnet.parse().unwrap(),
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            gateway: None,
        }
    }

    fn shown(ranges: &[Range]) -> Vec<String> {
        networks(ranges.iter()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_range_is_the_fewest_networks_that_have_exactly_its_addresses() {
        assert_eq!(
            shown(&[range("192.168.10.100", "192.168.10.149")]),
            [
                "192.168.10.100/30",
                "192.168.10.104/29",
                "192.168.10.112/28",
                "192.168.10.128/28",
                "192.168.10.144/30",
                "192.168.10.148/31"
            ]
        );
        assert_eq!(shown(&[range("10.0.0.7", "10.0.0.7")]), ["10.0.0.7/32"]);
        assert_eq!(shown(&[range("0.0.0.0", "255.255.255.255")]), ["0.0.0.0/0"]);
        assert_eq!(shown(&[range("fd00::100", "fd00::1ff")]), ["fd00::100/120"]);
        assert_eq!(shown(&[range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]).last().unwrap(), "8000::/1");
    }

    #[test]
    fn ranges_of_several_nodes_that_touch_are_one() {
        let nodes = [range("10.0.0.128", "10.0.0.255"), range("fd00::2", "fd00::3"), range("10.0.0.0", "10.0.0.127")];
        assert_eq!(shown(&nodes), ["10.0.0.0/24", "fd00::2/127"]);
    }

    proptest! {
        #[test]
        fn every_address_of_a_range_and_no_other_is_covered_once(start in 0_u32..5000, length in 0_u32..3000) {
            let end = start.saturating_add(length);
            let range = Range {
                subnet: "0.0.0.0/0".parse().unwrap(),
                start: IpAddr::V4(start.into()),
                end: IpAddr::V4(end.into()),
                gateway: None,
            };
            let covered: Vec<IpAddr> = networks([range].iter()).iter().flat_map(IpNetwork::iter).collect();
            let expected: Vec<IpAddr> = (start..=end).map(|address| IpAddr::V4(address.into())).collect();
            prop_assert_eq!(covered, expected);
        }
    }
}
