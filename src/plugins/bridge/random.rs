//! Names and MACs that nobody else has, most probably.

use std::hash::{BuildHasher, RandomState};

/// Random bytes. The standard library seeds its hashes from the kernel's generator, once for each thread, and makes
/// each further one differ; nothing that is made of them is a secret.
fn bytes() -> [u8; 8] {
    RandomState::new().hash_one(std::process::id()).to_ne_bytes()
}

/// A name for the node's end of a pair: `veth` and eight digits, as the reference has it (network managers on nodes are
/// told to leave such names alone).
pub(super) fn port_name() -> String {
    let [a, b, c, d, ..] = bytes();
    format!("veth{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// A unicast MAC that no manufacturer has given (IEEE 802, section 8.2).
pub(super) fn mac() -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = bytes();
    [(a & 0xfc) | 0x02, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::names;

    #[test]
    fn a_name_of_a_port_is_an_interface_name_and_never_the_same() {
        let (one, other) = (port_name(), port_name());
        assert_ne!(one, other);
        assert_eq!((names::interface(&one), one.len()), (Ok(()), "veth01234567".len()));
        assert!(one.strip_prefix("veth").unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    }

    #[test]
    fn a_mac_is_of_one_host_and_of_no_manufacturer() {
        for mac in std::iter::repeat_with(mac).take(64) {
            assert_eq!(mac[0] & 0x03, 0x02, "{mac:02x?}");
        }
        assert_ne!(mac(), mac());
    }
}
