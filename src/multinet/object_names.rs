//! Which names Kubernetes gives to namespaces and to NetworkAttachmentDefinitions (RFC 1123).
//!
//! The names of a selection become parts of a path in `networksDir` and of a URL at the API server. Only ASCII letters,
//! digits, `-` and `.` between letters or digits pass, so `..`, `/` and look-alike letters never get that far. The
//! standard (3.3) speaks of "units of the DNS-1123 label format"; Kubernetes takes subdomains for these objects, and so
//! does rooknet (Multus refuses dots in its comma form only).

/// Letters of a label, at most (RFC 1123).
pub const MAX_LABEL: usize = 63;
/// Letters of a subdomain, at most (RFC 1123).
pub const MAX_SUBDOMAIN: usize = 253;

/// What a label looks like, for error messages.
pub const LABEL_RULE: &str = "lower-case letters, digits and '-', at most 63, the first and the last a letter or digit";
/// What a subdomain looks like, for error messages.
pub const SUBDOMAIN_RULE: &str =
    "lower-case letters, digits, '-' and '.', at most 253, each part beginning and ending with a letter or digit";

/// Whether `text` is an RFC 1123 label: the name of a namespace.
pub fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_unit(text)
}

/// Whether `text` is an RFC 1123 subdomain: the name of a NetworkAttachmentDefinition.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN && text.split('.').all(is_unit)
}

/// Letters, digits and inner hyphens, at least one.
fn is_unit(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_takes_pass() {
        for name in ["a", "0", "rook-ceph", "a-b-c", "public", &"x".repeat(63)] {
            assert!(is_label(name) && is_subdomain(name), "{name}");
        }
        for name in ["a.b", "vm123.tenantblue", "1.2.3", &["x".repeat(63), "y".repeat(63)].join(".")] {
            assert!(is_subdomain(name) && !is_label(name), "{name}");
        }
    }

    #[test]
    fn names_that_could_leave_a_directory_or_deceive_a_reader_are_refused() {
        let long = "x".repeat(254);
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a.-b",
            "A",
            "a_b",
            "a b",
            "a\0",
            "pub\u{0456}ic",
            long.as_str(),
        ] {
            assert!(!is_subdomain(name), "{name:?}");
            assert!(!is_label(name), "{name:?}");
        }
        assert!(!is_label(&"x".repeat(64)));
    }
}
