//! Two observations side by side: every value in which they differ, with its path.

pub(crate) mod volatile;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// One value that is not the same on both sides.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// The keys that lead to it, joined by ` / ` (names of sysctls have slashes without blanks).
    pub(crate) path: String,
    /// What the reference plugin made of it; `None`: nothing.
    pub(crate) reference: Option<Value>,
    /// What rooknet made of it; `None`: nothing.
    pub(crate) ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "(nothing)".to_owned(), Value::to_string);
        write!(
            formatter,
            "{}\n        reference: {}\n        rooknet:   {}",
            self.path,
            shown(&self.reference),
            shown(&self.ours)
        )
    }
}

/// All differences between two values, the smallest that can be named: in objects by key, in lists by position.
pub(crate) fn differences(path: &str, reference: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(path, Some(reference), Some(ours), &mut found);
    found
}

fn compare(path: &str, reference: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (reference, ours) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                compare(&format!("{path} / {key}"), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for position in 0..a.len().max(b.len()) {
                compare(&format!("{path} / {position}"), a.get(position), b.get(position), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Difference { path: path.to_owned(), reference: a.cloned(), ours: b.cloned() }),
    }
}

/// Whether `text` is as `pattern` says, in which `*` stands for anything, also for nothing.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{differences, matches};

    fn paths(a: &serde_json::Value, b: &serde_json::Value) -> Vec<String> {
        differences("add", a, b).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn equal_values_have_no_difference() {
        let value = json!({"a": [1, {"b": null}], "c": "d"});
        assert_eq!(paths(&value, &value), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_named_by_its_path() {
        let (a, b) = (json!({"link": {"mtu": 1500, "up": true}}), json!({"link": {"mtu": 1400, "up": true}}));
        assert_eq!(paths(&a, &b), ["add / link / mtu"]);
        assert_eq!(paths(&json!({"x": 1}), &json!({"y": 1})), ["add / x", "add / y"]);
        assert_eq!(paths(&json!([1, 2]), &json!([1])), ["add / 1"]);
        assert_eq!(paths(&json!([{"a": 1}]), &json!([{"a": "1"}])), ["add / 0 / a"]);
        assert_eq!(paths(&json!({"x": null}), &json!({})), ["add / x"], "null is not the same as nothing");
        assert_eq!(paths(&json!({"x": {}}), &json!({"x": []})), ["add / x"]);
    }

    #[test]
    fn a_difference_shows_both_values() {
        let shown = differences("del", &json!({"x": {"mtu": 1}}), &json!({}))[0].to_string();
        assert_eq!(shown, "del / x\n        reference: {\"mtu\":1}\n        rooknet:   (nothing)");
    }

    #[test]
    fn a_pattern_covers_what_it_says_and_no_more() {
        assert!(matches("add / pod / link / * / mtu", "add / pod / link / eth0 / mtu"));
        assert!(!matches("add / pod / link / * / mtu", "add / pod / link / eth0 / mtus"));
        assert!(!matches("add / pod", "add / pod / link"));
        assert!(matches("*", "") && matches("a*b*c", "aXbbYc") && !matches("a*b*c", "aXcb"));
    }
}
