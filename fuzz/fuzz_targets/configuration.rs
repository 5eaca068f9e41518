//! rooknet's configuration and a network's: neither may panic the parser, and a network survives the journal's form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rooknet::cni::network::Network;
use rooknet::engine::config::Config;
use rooknet::engine::settings::Settings;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(text) {
        let _ = config.log_settings();
        let _ = Settings::parse(&config);
    }
    let Ok(network) = Network::parse("network", text, Some("public")) else { return };
    let list = network.to_list().unwrap();
    let again = Network::parse("journal", list.get(), None).unwrap();
    assert_eq!((&again.name, again.version), (&network.name, network.version));
    assert_eq!(again.plugins.len(), network.plugins.len());
    for (one, other) in again.plugins.iter().zip(&network.plugins) {
        assert_eq!((&one.type_name, &one.ipam_type, &one.capabilities), (&other.type_name, &other.ipam_type, &other.capabilities));
    }
});
