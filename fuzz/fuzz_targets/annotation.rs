//! The pod's selection annotation, which any author of a pod writes: no text may panic the parser, and what it lets
//! through keeps the promises that the engine relies on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rooknet::cni::names;
use rooknet::multinet::{interface_names, selection};

fuzz_target!(|text: &str| {
    let Ok(elements) = selection::parse(selection::ANNOTATION, text, Some("rook-ceph")) else { return };
    assert!(elements.len() <= selection::MAX_ELEMENTS);
    for element in &elements {
        // These become parts of file paths.
        for part in [&element.namespace, &element.name] {
            assert!(!part.is_empty() && !part.contains('/') && part != "." && part != "..", "{part:?}");
        }
        if let Some(interface) = &element.interface {
            names::interface(interface).unwrap();
        }
    }
    let requested: Vec<_> = elements.iter().map(|element| element.interface.clone()).collect();
    if let Ok(settled) = interface_names::settle("eth0", &requested) {
        let mut unique = settled.clone();
        unique.push("eth0".to_owned());
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), settled.len() + 1, "{settled:?}");
        for name in &settled {
            names::interface(name).unwrap();
        }
    }
});
