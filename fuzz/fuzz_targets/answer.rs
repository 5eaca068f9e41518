//! A delegate's answer: no text may panic the parser, and a conversion keeps the addresses that both versions hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rooknet::cni::Version;
use rooknet::cni::result::CniResult;

fuzz_target!(|text: &str| {
    let Ok(result) = CniResult::parse("answer", text, Version::V1_0_0) else { return };
    let addresses = |result: &CniResult| -> Vec<_> { result.addresses().into_iter().map(|address| address.address).collect() };
    for version in Version::ALL {
        let Ok(converted) = result.convert(version) else { continue };
        assert_eq!(converted.version(), version);
        let raw = converted.to_raw().unwrap();
        let again = CniResult::parse("converted", raw.get(), version).unwrap();
        if version >= Version::V0_3_0 {
            assert_eq!(addresses(&again), addresses(&result));
        }
        let _ = again.without_default_routes(true, true).unwrap();
    }
    for interface in result.interfaces() {
        let _ = result.addresses_of(&interface.name);
    }
});
