//! CNI_ARGS: `K=V;K=V`.
//!
//! The rules are those of `pkg/types/args.go` in containernetworking/cni, so that rooknet refuses what its delegates
//! would refuse later, with half of the pod attached.

use std::fmt;

use super::Error;
use super::text::{quoted, shortened};

/// Keys with a meaning: IgnoreUnknown, what runtimes say of the pod, and what host-local and static take.
pub const KNOWN_KEYS: [&str; 8] = [
    IGNORE_UNKNOWN,
    "K8S_POD_NAMESPACE",
    "K8S_POD_NAME",
    "K8S_POD_INFRA_CONTAINER_ID",
    "K8S_POD_UID",
    "IP",
    "MAC",
    "GATEWAY",
];

const IGNORE_UNKNOWN: &str = "IgnoreUnknown";

/// Keys that are meant for the default network's interface alone.
const DEFAULT_NETWORK_KEYS: [&str; 3] = ["IP", "MAC", "GATEWAY"];

/// The pairs of CNI_ARGS, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    pairs: Vec<(String, String)>,
}

impl Args {
    /// Parses CNI_ARGS; the empty text has no pairs. Exactly one `=` a pair; keys are case-sensitive; a key not in
    /// [`KNOWN_KEYS`] is an error unless `IgnoreUnknown` is `1` or `true`, at any position (the last one counts).
    ///
    /// # Errors
    /// Code 4, naming CNI_ARGS and the pair or the unknown keys.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Args::default());
        }
        let mut pairs = Vec::new();
        let mut ignore_unknown = false;
        for pair in text.split(';') {
            let (key, value) = pair.split_once('=').filter(|(_, value)| !value.contains('=')).ok_or_else(|| {
                Error::environment(format!(
                    "CNI_ARGS has the pair {}, which is not of the form KEY=VALUE",
                    quoted(pair)
                ))
            })?;
            if key == IGNORE_UNKNOWN {
                ignore_unknown = match value.to_ascii_lowercase().as_str() {
                    "1" | "true" => true,
                    "0" | "false" => false,
                    _ => {
                        return Err(Error::environment(format!(
                            "CNI_ARGS has {IGNORE_UNKNOWN}={}: it must be 1, true, 0 or false",
                            shortened(value)
                        )));
                    }
                };
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        if !ignore_unknown {
            let unknown: Vec<&str> =
                pairs.iter().map(|(key, _)| key.as_str()).filter(|key| !KNOWN_KEYS.contains(key)).collect();
            if !unknown.is_empty() {
                return Err(Error::environment(format!(
                    "CNI_ARGS has unknown keys ({}): remove them or add {IGNORE_UNKNOWN}=1",
                    shortened(&unknown.join(", "))
                )));
            }
        }
        Ok(Args { pairs })
    }

    /// The last value of `key`; `None` when the key is absent or its last value empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().rev().find(|(name, _)| name == key)?;
        (!value.is_empty()).then_some(value)
    }

    /// The keys that a plugin refuses which knows only `known`; none when they say that unknown ones are to be ignored
    /// (`LoadArgs` in `pkg/types/args.go`).
    pub fn refused_by<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let ignores =
            self.get(IGNORE_UNKNOWN).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true"));
        let keys = self.pairs.iter().map(|(key, _)| key.as_str());
        keys.filter(move |key| !ignores && *key != IGNORE_UNKNOWN && !known.contains(key))
    }

    /// The pairs for a secondary network: without IP, MAC and GATEWAY, which are meant for the default network.
    #[must_use]
    pub fn for_secondary(&self) -> Args {
        let pairs =
            self.pairs.iter().filter(|(key, _)| !DEFAULT_NETWORK_KEYS.contains(&key.as_str())).cloned().collect();
        Args { pairs }
    }
}

/// As in CNI_ARGS: [`Args::parse`] reads it back to an equal value.
impl fmt::Display for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.pairs.iter().enumerate() {
            let separator = if index == 0 { "" } else { ";" };
            write!(f, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cni::Code;

    #[test]
    fn empty_arguments_are_fine() {
        assert_eq!(Args::parse("").unwrap(), Args::default());
        assert_eq!(Args::default().to_string(), "");
    }

    #[test]
    fn what_runtimes_send_is_read() {
        let text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=rook-ceph;K8S_POD_NAME=osd-0;K8S_POD_INFRA_CONTAINER_ID=ab;\
                    K8S_POD_UID=1234;vendor=x";
        let args = Args::parse(text).unwrap();
        assert_eq!(args.get("K8S_POD_NAMESPACE"), Some("rook-ceph"));
        assert_eq!(args.get("vendor"), Some("x"));
        assert_eq!(args.get("k8s_pod_name"), None);
        assert_eq!(args.to_string(), text);
    }

    #[test]
    fn case_07_a_pair_has_exactly_one_equals_sign() {
        for text in ["K8S_POD_NAME", "IP=a=b", "IP=a;", ";", "IP=a;;MAC=b", "IgnoreUnknown=1;x"] {
            let error = Args::parse(text).unwrap_err();
            assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
            assert!(error.message.starts_with("CNI_ARGS has the pair"), "{}", error.message);
        }
    }

    #[test]
    fn case_07_unknown_keys_need_ignore_unknown_at_any_position() {
        for text in ["FOO=1;IgnoreUnknown=1", "IgnoreUnknown=true;FOO=1", "IgnoreUnknown=0;FOO=1;IgnoreUnknown=True"] {
            assert!(Args::parse(text).is_ok(), "{text}");
        }
        for text in ["FOO=1", "FOO=1;IgnoreUnknown=0", "IgnoreUnknown=1;FOO=1;IgnoreUnknown=false", "ignoreunknown=1"] {
            assert_eq!(Args::parse(text).unwrap_err().code, Code::INVALID_ENVIRONMENT, "{text}");
        }
        let error = Args::parse("FOO=1;IP=10.0.0.1;B\nR=2").unwrap_err();
        assert_eq!(error.message, "CNI_ARGS has unknown keys (FOO, B\\nR): remove them or add IgnoreUnknown=1");
    }

    #[test]
    fn ignore_unknown_is_a_boolean() {
        assert!(Args::parse("IgnoreUnknown=yes").unwrap_err().message.contains("IgnoreUnknown=yes"));
        assert!(Args::parse("IgnoreUnknown=").is_err());
    }

    #[test]
    fn the_last_value_counts_and_an_empty_one_is_none() {
        let args = Args::parse("IP=10.0.0.1;IP=10.0.0.2;MAC=").unwrap();
        assert_eq!(args.get("IP"), Some("10.0.0.2"));
        assert_eq!(args.get("MAC"), None);
    }

    #[test]
    fn a_plugin_refuses_the_keys_that_it_does_not_know_unless_told_to_ignore_them() {
        let refused = |text| Args::parse(text).unwrap().refused_by(&["IP"]).map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(refused("IP=10.0.0.1;MAC=x;K8S_POD_NAME=a;IgnoreUnknown=0"), ["MAC", "K8S_POD_NAME"]);
        assert!(refused("MAC=x;IgnoreUnknown=True").is_empty());
    }

    #[test]
    fn secondary_networks_do_not_get_the_default_networks_address() {
        let args = Args::parse("IP=10.0.0.1;K8S_POD_NAME=a;MAC=02:00:00:00:00:01;GATEWAY=10.0.0.254").unwrap();
        assert_eq!(args.for_secondary().to_string(), "K8S_POD_NAME=a");
    }

    proptest! {
        #[test]
        fn arbitrary_arguments_never_panic_and_survive_being_written(text in any::<String>()) {
            if let Ok(args) = Args::parse(&format!("IgnoreUnknown=1;{text}")) {
                prop_assert_eq!(Args::parse(&args.to_string()).unwrap(), args);
            }
        }
    }
}
