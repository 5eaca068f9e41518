//! Which names the specification and the kernel allow.
//!
//! These names become parts of file names, of paths to executables and of kernel requests, so each rule is also a wall:
//! what passes here holds no `/`, no `..` alone and no control character.

use super::Error;
use super::text::quoted;

/// Bytes of a container id, at most. A journal is named `<containerID>@<ifname>.json`: with an interface name of 15
/// bytes this leaves 34 of NAME_MAX's 255 for the suffix of a temporary file.
pub const MAX_CONTAINER_ID_BYTES: usize = 200;

/// Bytes of a network name, at most: the longest name Kubernetes allows, within NAME_MAX for host-local's directory.
pub const MAX_NETWORK_NAME_BYTES: usize = 253;

/// Bytes of an interface name, at most: the kernel's IFNAMSIZ without its terminating zero.
pub const MAX_INTERFACE_NAME_BYTES: usize = 15;

/// Bytes of a plugin type, at most: NAME_MAX, as it is a file's name.
pub const MAX_PLUGIN_TYPE_BYTES: usize = 255;

/// Checks a container id: letters, digits, `_`, `.` and `-`, a letter or digit first, 1 to 200 bytes (specification,
/// section 2, "Parameters").
///
/// # Errors
/// Code 4, naming CNI_CONTAINERID and the value.
pub fn container_id(text: &str) -> Result<(), Error> {
    cni_name(text, MAX_CONTAINER_ID_BYTES)
        .map_err(|rule| Error::environment(format!("CNI_CONTAINERID {} is not a container id: {rule}", quoted(text))))
}

/// Checks a network name: as a container id, 1 to 253 bytes (specification, section 1, key `name`).
///
/// # Errors
/// Code 7, with the value.
pub fn network(text: &str) -> Result<(), Error> {
    cni_name(text, MAX_NETWORK_NAME_BYTES)
        .map_err(|rule| Error::config(format!("{} is not a network name: {rule}", quoted(text))))
}

/// Checks an interface name: 1 to 15 printable ASCII characters without `/`, `:`, `%` and white space, and not `.` or
/// `..` (specification, section 2, CNI_IFNAME; the kernel expands `%d`, so `%` is ours), nor `all` and `default`, below
/// which the kernel keeps the variables of all interfaces (it refuses them as an invalid argument, without a word).
///
/// # Errors
/// Code 7, with the value; a caller that read it from the environment re-codes it.
pub fn interface(text: &str) -> Result<(), Error> {
    let rule = if text.is_empty() || text.len() > MAX_INTERFACE_NAME_BYTES {
        format!("it must have 1 to {MAX_INTERFACE_NAME_BYTES} characters")
    } else if text == "." || text == ".." {
        "\".\" and \"..\" are reserved".to_owned()
    } else if text == "all" || text == "default" {
        "\"all\" and \"default\" are the kernel's own words for every interface".to_owned()
    } else if text.bytes().any(|byte| !byte.is_ascii_graphic() || matches!(byte, b'/' | b':' | b'%')) {
        "it must be of printable ASCII characters without \"/\", \":\", \"%\" and white space".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::config(format!("{} is not an interface name: {rule}", quoted(text))))
}

/// A number for a name, the same in every build (FNV-1a), unlike that of std's hasher.
pub fn stable_hash(name: impl IntoIterator<Item = u8>) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    name.into_iter().fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME))
}

/// The interface group (IFLA_GROUP) of links that belong to whatever bears this name. It is even, so that the next number
/// is nobody else's; clear of the small numbers that administrators use; and positive where a tool reads it as signed.
pub fn interface_group(name: impl IntoIterator<Item = u8>) -> u32 {
    (stable_hash(name) & 0x3fff_fffe) | 0x4000_0000
}

/// The type of rooknet's own entry in a configuration, and the file name of its executable.
pub const OWN_TYPE: &str = "rooknet";

/// Whether a plugin type is a meta-plugin's: one that attaches networks itself, as rooknet does.
pub fn is_meta_plugin(type_name: &str) -> bool {
    matches!(type_name, OWN_TYPE | "multus" | "multus-shim")
}

/// Checks a plugin type, the name of an executable: 1 to 255 printable ASCII characters without `/` and white space,
/// not `.` or `..`, and not a meta-plugin ([`is_meta_plugin`]), which would attach its networks once more.
///
/// # Errors
/// Code 7, with the value.
pub fn plugin_type(text: &str) -> Result<(), Error> {
    let rule = if text.is_empty() || text.len() > MAX_PLUGIN_TYPE_BYTES {
        format!("it must have 1 to {MAX_PLUGIN_TYPE_BYTES} characters")
    } else if text == "." || text == ".." || text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'/') {
        "it must be the name of an executable, without a path".to_owned()
    } else if is_meta_plugin(text) {
        "a meta-plugin cannot be a network's plugin".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::config(format!("{} is not a plugin type: {rule}", quoted(text))))
}

/// The rule of `pkg/utils/utils.go` in containernetworking/cni for container ids and network names, with a bound.
fn cni_name(text: &str, most: usize) -> Result<(), String> {
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !starts_well || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')) {
        return Err(
            "it must be of letters, digits, \"_\", \".\" and \"-\", and begin with a letter or digit".to_owned()
        );
    }
    if text.len() > most {
        return Err(format!("it must not be longer than {most} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::Code;

    #[test]
    fn container_ids_and_network_names_follow_the_specification() {
        for good in ["a", "0", "cnitool-77383ca0a0715733ca6f", "A_b.c-d"] {
            assert_eq!(container_id(good), Ok(()));
            assert_eq!(network(good), Ok(()));
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "é", "../x", "a@b"] {
            assert_eq!(container_id(bad).unwrap_err().code, Code::INVALID_ENVIRONMENT, "{bad:?}");
            assert_eq!(network(bad).unwrap_err().code, Code::INVALID_CONFIG, "{bad:?}");
        }
    }

    #[test]
    fn a_journals_file_name_fits_into_name_max() {
        assert_eq!(container_id(&"a".repeat(200)), Ok(()));
        assert!(container_id(&"a".repeat(201)).is_err());
        assert!(network(&"a".repeat(254)).is_err());
        let journal = format!("{}@{}.json", "a".repeat(MAX_CONTAINER_ID_BYTES), "i".repeat(MAX_INTERFACE_NAME_BYTES));
        assert!(journal.len() + 32 <= 255);
    }

    #[test]
    fn interface_names_follow_the_kernel_and_have_no_percent_sign() {
        for good in ["eth0", "net1", "a", "fifteen-letters", "br0.100", "x@y", "all0"] {
            assert_eq!(interface(good), Ok(()));
        }
        for bad in
            ["", ".", "..", "sixteen--letters", "net%d", "a/b", "a:b", "a b", "a\tb", "é", "a\u{7f}", "all", "default"]
        {
            let error = interface(bad).unwrap_err();
            assert_eq!(error.code, Code::INVALID_CONFIG);
            assert!(!error.message.contains('\t'));
        }
    }

    #[test]
    fn a_plugin_type_is_a_bare_name_and_never_a_meta_plugin() {
        for good in ["macvlan", "host-local", "my.plugin", "Rooknet2"] {
            assert_eq!(plugin_type(good), Ok(()));
        }
        for bad in ["", ".", "..", "/bin/sh", "a/b", "rooknet", "multus", "multus-shim", "a b", "a\0", "é"] {
            assert_eq!(plugin_type(bad).unwrap_err().code, Code::INVALID_CONFIG, "{bad:?}");
        }
    }

    #[test]
    fn an_error_shows_a_hostile_name_harmlessly() {
        assert_eq!(
            interface("a\u{1b}[2J").unwrap_err().message,
            "\"a\\u{1b}[2J\" is not an interface name: it must be of printable ASCII characters without \"/\", \":\", \
             \"%\" and white space"
        );
    }
}
