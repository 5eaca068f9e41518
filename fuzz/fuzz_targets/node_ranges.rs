//! The ranges of a definition, which whoever may create definitions writes: no text may panic the parser, and what it
//! lets through gives each address to one node at most.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rooknet::cni::Object;
use rooknet::multinet::node_ranges::{NodeRanges, Range};

fuzz_target!(|text: &str| {
    let Ok(ranges) = NodeRanges::parse(text) else { return };
    let object = Object::parse("it", text).unwrap();
    let shares: Vec<_> = object.iter().map(|(node, _)| ranges.clone().share_of(node).unwrap()).collect();
    let all: Vec<&Range> = shares.iter().flat_map(|share| share.own().ranges()).collect();
    for (position, range) in all.iter().enumerate() {
        assert!(range.start <= range.end && range.subnet.contains(range.start) && range.subnet.contains(range.end));
        for other in all.iter().skip(position + 1) {
            assert!(range.end < other.start || other.end < range.start, "{range} and {other}");
        }
    }
    for share in &shares {
        share.ip_ranges().unwrap();
        for host in &share.own().hosts {
            assert!(!shares.iter().any(|share| share.own().gives(host.ip())), "{host}");
        }
    }
});
