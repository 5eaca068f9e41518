//! YAML as JSON: kubeconfigs are written in either.
//!
//! Events are taken from the parser one by one instead of by its loader, which recurses as deep as the text nests and
//! copies what an alias names as often as the text asks: both would let a file end the process. Aliases are refused;
//! no tool writes them into a kubeconfig.

use serde_json::{Map, Number, Value};
use yaml_rust2::Yaml;
use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// Lists and mappings within one another, at most.
const DEEPEST: usize = 64;

/// The first document of a text, as JSON.
///
/// # Errors
/// What is wrong, with line and column, and nothing of the text itself: it may hold a token.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser::new_from_str(text);
    let mut open: Vec<Node> = Vec::new();
    loop {
        let (event, at) =
            parser.next_token().map_err(|error| format!("{}: {}", position(error.marker()), error.info()))?;
        let complete = match event {
            Event::Alias(_) => return Err(format!("{}: aliases (*) are not taken: write it out", position(&at))),
            Event::Scalar(text, style, _, tag) => scalar(text, style, tag.as_ref()),
            Event::SequenceStart(..) => {
                open_node(&mut open, Node::List(Vec::new()), &at)?;
                continue;
            }
            Event::MappingStart(..) => {
                open_node(&mut open, Node::Mapping(Map::new(), None), &at)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Node::List(list)) => Value::Array(list),
                Some(Node::Mapping(mapping, _)) => Value::Object(mapping),
                None => return Err(format!("{}: an end without a beginning", position(&at))),
            },
            Event::StreamEnd => return Ok(Value::Null),
            Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            None => return Ok(complete),
            Some(parent) => parent.add(complete).map_err(|error| format!("{}: {error}", position(&at)))?,
        }
    }
}

/// A list or mapping whose end has not come yet.
enum Node {
    List(Vec<Value>),
    /// The second is a key that waits for its value.
    Mapping(Map<String, Value>, Option<String>),
}

impl Node {
    fn add(&mut self, value: Value) -> Result<(), &'static str> {
        match self {
            Node::List(list) => list.push(value),
            Node::Mapping(mapping, key @ None) => {
                let text = match value {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(value) => value.to_string(),
                    Value::Null | Value::Array(_) | Value::Object(_) => return Err("a key must be a text"),
                };
                if mapping.contains_key(&text) {
                    return Err("the key stands there twice");
                }
                *key = Some(text);
            }
            Node::Mapping(mapping, key) => {
                mapping.insert(key.take().unwrap_or_default(), value);
            }
        }
        Ok(())
    }
}

fn open_node(open: &mut Vec<Node>, node: Node, at: &Marker) -> Result<(), String> {
    if open.len() >= DEEPEST {
        return Err(format!("{}: more than {DEEPEST} lists and mappings within one another", position(at)));
    }
    open.push(node);
    Ok(())
}

/// Only a plain scalar may be anything but a text.
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Value {
    if style != TScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix == "str") {
        return Value::String(text);
    }
    match Yaml::from_str(&text) {
        Yaml::Null => Value::Null,
        Yaml::Boolean(value) => Value::Bool(value),
        Yaml::Integer(value) => Value::Number(value.into()),
        // Not a number in JSON: infinity.
        Yaml::Real(value) => value.parse().ok().and_then(Number::from_f64).map_or(Value::String(text), Value::Number),
        _ => Value::String(text),
    }
}

fn position(at: &Marker) -> String {
    // The parser counts columns from zero.
    format!("line {}, column {}", at.line(), at.col().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_tools_write_becomes_the_same_json() {
        let text = "# comment\napiVersion: v1\nclusters:\n- cluster:\n    insecure: true\n    port: 6443\n  name: \"6443\"\n\
                    - {name: b, extensions: [null, ~, 1.5, -2, !!str 7]}\nblock: |\n  a\n  b\nfolded: >-\n  a\n  b\nnone:\n";
        let expected = json!({
            "apiVersion": "v1",
            "clusters": [
                {"cluster": {"insecure": true, "port": 6443}, "name": "6443"},
                {"name": "b", "extensions": [null, null, 1.5, -2, "7"]},
            ],
            "block": "a\nb\n",
            "folded": "a b",
            "none": null,
        });
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn an_empty_text_is_null() {
        for text in ["", "\n", "# nothing\n", "---\n"] {
            assert_eq!(parse(text), Ok(Value::Null), "{text:?}");
        }
    }

    #[test]
    fn faults_are_named_by_their_place_and_not_by_their_text() {
        for (text, expected) in [
            ("a: SECRET\nb: *x\n", "line 2, column"),
            ("a: &x SECRET\nb: *x\n", "aliases (*) are not taken"),
            ("a: 1\na: SECRET\n", "the key stands there twice"),
            ("a: SECRET\n- b\n", "line 2"),
            ("? [a]\n: SECRET\n", "a key must be a text"),
            ("a: \"SECRET", "line"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("SECRET"), "{text:?}: {error}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_end_of_the_process() {
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
            assert!(parse(&text).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_text_of_yaml_signs_is_answered(text in "[-:?&*!|>'\"%@\\[\\]{},#a1~ \n\t]{0,200}") {
            let _ = parse(&text);
        }
    }
}
