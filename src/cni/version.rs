//! Versions of the CNI specification that rooknet speaks.

use std::fmt;
use std::str::FromStr;

use super::text::quoted;
use super::{Code, Error};

/// A released version of the CNI specification, in order of release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 0.1.0: results with `ip4` and `ip6`. Also what a missing or empty `cniVersion` means.
    V0_1_0,
    /// 0.2.0: the same results as 0.1.0, and the VERSION command.
    V0_2_0,
    /// 0.3.0: plugin lists; results with `interfaces`, `ips` and `routes`.
    V0_3_0,
    /// 0.3.1: a correction of 0.3.0.
    V0_3_1,
    /// 0.4.0: the CHECK command, and `prevResult` on DEL.
    V0_4_0,
    /// 1.0.0: `ips[].version` is gone.
    V1_0_0,
    /// 1.1.0: the GC and STATUS commands; more keys of interfaces and routes.
    V1_1_0,
}

impl Version {
    /// Every version, oldest first: the `supportedVersions` of a VERSION answer.
    pub const ALL: [Version; 7] = [
        Version::V0_1_0,
        Version::V0_2_0,
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];

    /// The newest version: what VERSION answers, and what an error carries when the input's version is unknown.
    pub const NEWEST: Version = Version::V1_1_0;

    /// As written in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V0_1_0 => "0.1.0",
            Version::V0_2_0 => "0.2.0",
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    /// Whether configurations of this version may be CHECKed (specification 0.4.0).
    pub fn has_check(self) -> bool {
        self >= Version::V0_4_0
    }

    /// Whether a runtime gives `prevResult` to DEL (specification 0.4.0).
    pub fn has_prev_result_on_del(self) -> bool {
        self >= Version::V0_4_0
    }

    /// Whether configurations of this version know GC and STATUS (specification 1.1.0).
    pub fn has_gc_and_status(self) -> bool {
        self >= Version::V1_1_0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Reads a `cniVersion`; the empty text is 0.1.0, as in libcni.
    ///
    /// # Errors
    /// Code 1 for anything that is not a released version.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Version::V0_1_0);
        }
        Version::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            Error::new(
                Code::INCOMPATIBLE_VERSION,
                format!(
                    "cniVersion {} is not one that rooknet speaks: use one of {}",
                    quoted(text),
                    Version::ALL.map(Version::as_str).join(", ")
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_release() {
        assert!(Version::ALL.is_sorted());
        assert_eq!(Version::ALL.last(), Some(&Version::NEWEST));
    }

    #[test]
    fn every_version_is_read_back_and_the_empty_one_is_the_first() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        }
        assert_eq!("".parse::<Version>().unwrap(), Version::V0_1_0);
    }

    #[test]
    fn case_09_an_unreleased_version_is_code_1() {
        for bad in ["1.2.0", "1.1", "v1.0.0", "1.0.0 ", "01.0.0", "0.3.2"] {
            let error = bad.parse::<Version>().unwrap_err();
            assert_eq!(error.code, Code::INCOMPATIBLE_VERSION);
            assert!(error.message.contains(bad) && error.message.contains("1.1.0"));
        }
        assert!("1\n".parse::<Version>().unwrap_err().message.contains("\"1\\n\""));
    }

    #[test]
    fn commands_come_with_their_versions() {
        let which = |has: fn(Version) -> bool| Version::ALL.into_iter().find(|version| has(*version));
        assert_eq!(which(Version::has_check), Some(Version::V0_4_0));
        assert_eq!(which(Version::has_prev_result_on_del), Some(Version::V0_4_0));
        assert_eq!(which(Version::has_gc_and_status), Some(Version::V1_1_0));
    }
}
