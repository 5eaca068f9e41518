use proptest::prelude::*;

use super::*;
use crate::cni::Code;

fn object(text: &str) -> Object {
    Object::parse("the text", text).unwrap()
}

fn written(object: &Object) -> String {
    object.to_raw().unwrap().get().to_owned()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn case_04_big_integers_order_and_duplicates_survive_byte_for_byte() {
    let text = r#"{"z":18446744073709551616123,"a":{"k" : [ 1.0e+2,-0.0]},"z":"\u00e9\/","ß":null}"#;
    assert_eq!(written(&object(text)), text);
}

#[test]
fn case_05_keys_match_in_any_letter_case_and_the_last_one_wins() {
    let object = object(r#"{"type":"a","TYPE":"b","Type":"c","x":1}"#);
    assert_eq!(object.text("type").unwrap(), "c");
    assert!(object.has("tYpe"));
}

#[test]
fn letters_that_go_folds_into_ascii_match() {
    // U+017F is a long s, U+212A the Kelvin sign.
    let object = object("{\"re\u{17f}olvConf\":\"/x\",\"\u{212a}ind\":\"y\"}");
    assert_eq!(object.text("resolvConf").unwrap(), "/x");
    assert_eq!(object.text("kind").unwrap(), "y");
}

#[test]
fn a_null_does_not_hide_an_earlier_duplicate() {
    let object = object(r#"{"ipam":{"type":"evil"},"IPAM":null}"#);
    assert_eq!(object.object("ipam").unwrap().unwrap().text("type").unwrap(), "evil");
    assert!(!object.get("ipam").is_some_and(is_null));
}

#[test]
fn duplicates_of_a_nested_object_add_up_as_in_a_go_struct() {
    let object = object(r#"{"ipam":{"type":"evil","dataDir":"/x"},"Ipam":{"type":null,"DataDir":"/y"}}"#);
    let ipam = object.object("ipam").unwrap().unwrap();
    assert_eq!(ipam.text("type").unwrap(), "evil");
    assert_eq!(ipam.text("dataDir").unwrap(), "/y");
    assert_eq!(object.get_all("ipam").count(), 2);
}

#[test]
fn null_alone_counts_as_absent() {
    let object = object(r#"{"a":null,"b": null }"#);
    assert!(object.get("a").is_none() && object.get("b").is_none() && object.has("a"));
    assert_eq!(object.get_as::<u32>("a").unwrap(), None);
    assert_eq!(object.object("a").unwrap(), None);
    assert!(object.list("a", 1).unwrap().is_empty());
}

#[test]
fn text_that_is_not_one_object_is_code_6_with_line_and_column() {
    for text in ["", "null", "[]", "{} {}", "{\"a\":}", "{\"a\":1", "\u{feff}{}", "{\"a\":\"\n\"}", "{\"\\ud800\":1}"] {
        let error = Object::parse("stdin", text).unwrap_err();
        assert_eq!(error.code, Code::DECODE, "{text:?}");
        assert!(error.message.starts_with("stdin is not a JSON object: "), "{}", error.message);
        assert!(error.message.contains("line 1"), "{}", error.message);
        assert!(!error.message.contains('\n'));
    }
    let error = Object::parse("stdin", &format!("\"{}\"", "x".repeat(100_000))).unwrap_err();
    assert!(error.message.len() < 300);
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let object = object(&deep);
    assert!(object.get_as::<serde_json::Value>("a").is_err());
    assert_eq!(written(&object), deep);
}

#[test]
fn too_many_keys_or_elements_are_refused() {
    let keys: Vec<String> = (0..=MAX_KEYS).map(|i| format!("\"{i}\":0")).collect();
    assert!(Object::parse("x", &format!("{{{}}}", keys.join(","))).unwrap_err().message.contains("4096 keys"));
    let object = object(r#"{"l":[1,2,3]}"#);
    assert_eq!(object.list("l", 3).unwrap().len(), 3);
    assert!(object.list("l", 2).unwrap_err().message.contains("more than 2 elements"));
}

#[test]
fn a_value_of_another_type_is_code_7_naming_key_and_value() {
    let object = object("{\"mtu\":\"a\u{202e}b\",\"l\":{\n\"x\":1},\"t\":5}");
    let error = object.get_as::<u32>("mtu").unwrap_err();
    assert_eq!(error.code, Code::INVALID_CONFIG);
    assert_eq!(
        error.message,
        "key \"mtu\" has the wrong value \"a\\u{202e}b\": invalid type: string \"a\\u{202e}b\", expected a whole \
         number, zero or more"
    );
    let error = object.list("l", 9).unwrap_err();
    assert_eq!(
        error.message,
        "key \"l\" has the wrong value {\\n\"x\":1}: it is an object, expected a list of at most 9 elements"
    );
    assert!(object.text("t").is_err() && object.object("t").is_err());
}

#[test]
fn a_flag_may_be_text_in_any_letter_case() {
    let object = object(r#"{"a":true,"b":"True","c":"FALSE","d":false,"e":"yes","f":1,"g":"","h":"tru\u0065"}"#);
    let values: Vec<Option<bool>> =
        ["a", "b", "c", "d", "e", "f", "g", "h", "absent"].map(|key| object.flag(key).ok()).to_vec();
    assert_eq!(values, [Some(true), Some(true), Some(false), Some(false), None, None, None, Some(true), Some(false)]);
}

#[test]
fn set_keeps_the_place_and_removes_other_spellings() {
    let mut object = object(r#"{"a":1,"Name":2,"b":3,"NAME":4,"name":5}"#);
    object.set("name", raw("\"x\""));
    object.set("c", raw("6"));
    assert_eq!(written(&object), r#"{"a":1,"name":"x","b":3,"c":6}"#);
    object.set_first("B", raw("0"));
    object.remove("A");
    assert_eq!(written(&object), r#"{"B":0,"name":"x","c":6}"#);
}

#[test]
fn replace_puts_the_new_keys_where_the_first_old_one_was() {
    let mut object = object(r#"{"x":1,"ip6":2,"y":3,"IP4":4,"ips":5}"#);
    object.replace(&["ip4", "ip6"], vec![("ips", raw("[]")), ("routes", raw("{}"))]);
    assert_eq!(written(&object), r#"{"x":1,"ips":[],"routes":{},"y":3}"#);
    object.replace(&["none"], vec![("z", raw("9"))]);
    object.replace(&["x", "routes"], vec![]);
    assert_eq!(written(&object), r#"{"ips":[],"y":3,"z":9}"#);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>(), json in "[{}\\[\\]\",:a-c0-9nul\\\\ ]{0,60}") {
        for text in [text, json] {
            if let Ok(object) = Object::parse("x", &text) {
                prop_assert_eq!(Object::parse("x", &written(&object)).unwrap(), object);
            }
        }
    }
}

#[test]
fn levels_are_counted_outside_of_texts() {
    let nested = |levels: usize| format!("{}{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
    let deep = "[".repeat(1000);
    for (json, expected) in [
        (nested(MAX_LEVELS), false),
        (nested(MAX_LEVELS + 2), true),
        (format!(r#"["{deep}\"{deep}\\",{}]"#, nested(MAX_LEVELS - 2)), false),
        (format!(r#"["\\",{}]"#, nested(MAX_LEVELS)), true),
        (format!("[{}]", "[],{},".repeat(1000)), false),
        (String::new(), false),
    ] {
        assert_eq!(is_too_deep(&json), expected, "{json}");
    }
}
