//! A JSON object that keeps what it does not understand.
//!
//! serde_json's map would reorder keys, fold duplicates and round integers beyond 2^64. A delegate's configuration must
//! reach the delegate as its author wrote it, so an [`Object`] holds each value as the text it was, in order.
//!
//! Keys are looked up as Go's encoding/json does, because that is how every reference plugin reads the same text:
//! letter case does not matter and the last duplicate wins. Whoever checks a key here (`type`, `dataDir`) and hands the
//! text to a Go program must see what that program will see; two of Go's rules are easily missed and would let a
//! forbidden value pass a check: `null` leaves a field as an earlier duplicate set it ([`Object::get`]), and a
//! duplicate of a nested object adds to it instead of replacing it ([`Object::object`]).

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Error;
use super::text::{shortened, shortened_to};

/// Levels of lists and objects in JSON that reaches plugins, at most. Parsers have bounds of their own (Go's 10,000,
/// serde_json's 128), and a plugin that cannot read its input at the ADD cannot at the DEL: the pod would never go away.
pub const MAX_LEVELS: usize = 100;

/// Whether a text, which must be JSON, nests lists and objects deeper than [`MAX_LEVELS`].
pub fn is_too_deep(json: &str) -> bool {
    let (mut level, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => level = level.saturating_add(1),
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        if level > MAX_LEVELS {
            return true;
        }
    }
    false
}

/// A JSON object as an ordered list of keys and raw values.
#[derive(Clone, Debug, Default)]
pub struct Object {
    entries: Vec<(String, Box<RawValue>)>,
}

impl Object {
    /// An object without keys, to borrow.
    pub const EMPTY: &Object = &Object { entries: Vec::new() };

    /// An object without keys.
    pub fn new() -> Self {
        Object::default()
    }

    /// Parses one JSON object; `what` names it in the error.
    ///
    /// # Errors
    /// Code 6 when the text is not one JSON object, with line and column.
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| {
            Error::decode(format!("{what} is not a JSON object: {}", shortened_to(LONGEST_REASON, &error.to_string())))
        })
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in the order of the text, duplicates included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// The value that a Go program would see under `key`: in any letter case, the last one that is not `null`.
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.entries
            .iter()
            .rev()
            .map(|(name, value)| (name, value.as_ref()))
            .find_map(|(name, value)| (same_key(name, key) && !is_null(value)).then_some(value))
    }

    /// Every value under `key` in any letter case, `null` left out: for a policy that must not depend on which of
    /// them a program picks.
    pub fn get_all(&self, key: &str) -> impl Iterator<Item = &RawValue> {
        self.entries
            .iter()
            .map(|(name, value)| (name, value.as_ref()))
            .filter(move |(name, value)| same_key(name, key) && !is_null(value))
            .map(|(_, value)| value)
    }

    /// Whether the object has `key`, `null` included.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| same_key(name, key))
    }

    /// The keys that are none of `known` in any letter case, in order, duplicates included.
    pub fn unknown_keys(&self, known: &[&str]) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name).filter(|name| !known.iter().any(|key| same_key(name, key)))
    }

    /// The value of `key` as a `T`; absent and `null` are `None`.
    ///
    /// # Errors
    /// Code 7 when the value is of another type, naming key, value and the type that would be right.
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get(key)
            .map(|value| serde_json::from_str(value.get()).map_err(|error| wrong_value(key, value, &error)))
            .transpose()
    }

    /// The text under `key`, the empty text when it is absent.
    ///
    /// # Errors
    /// Code 7 when the value is not a text.
    pub fn text(&self, key: &str) -> Result<String, Error> {
        Ok(self.get_as::<String>(key)?.unwrap_or_default())
    }

    /// The object under `key`; absent and `null` are `None`. Duplicates of the key add up to one object, as in a Go
    /// struct.
    ///
    /// # Errors
    /// Code 7 when a value is not an object.
    pub fn object(&self, key: &str) -> Result<Option<Object>, Error> {
        let mut merged: Option<Object> = None;
        for value in self.get_all(key) {
            let object: Object = serde_json::from_str(value.get()).map_err(|error| wrong_value(key, value, &error))?;
            merged.get_or_insert_default().entries.extend(object.entries);
        }
        Ok(merged)
    }

    /// The elements of the list under `key`, `most` at most; none when it is absent or `null`.
    ///
    /// # Errors
    /// Code 7 when the value is not a list or too long.
    pub fn list(&self, key: &str, most: usize) -> Result<Vec<Box<RawValue>>, Error> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        elements(value, most).map_err(|error| wrong_value(key, value, &error))
    }

    /// A boolean that may also be written as text in any letter case (`"true"`), as libcni takes `disableCheck`
    /// (`libcni/conf.go`); `false` when absent.
    ///
    /// # Errors
    /// Code 7 when the value is neither.
    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        let Some(value) = self.get(key) else { return Ok(false) };
        let word = serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned());
        match word.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Error::config(format!(
                "key \"{key}\" has the wrong value {}: it must be true or false",
                shortened(value.get())
            ))),
        }
    }

    /// Sets `key`, in place when it is there (other spellings and duplicates of it go), at the end when not.
    pub fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.entries.iter().position(|(name, _)| same_key(name, key)) {
            None => self.entries.push((key.to_owned(), value)),
            Some(first) => {
                let mut position = 0_usize;
                self.entries.retain(|(name, _)| {
                    let keep = position <= first || !same_key(name, key);
                    position = position.saturating_add(1);
                    keep
                });
                if let Some(entry) = self.entries.get_mut(first) {
                    *entry = (key.to_owned(), value);
                }
            }
        }
    }

    /// Sets `key` to what `value` serialises to.
    ///
    /// # Errors
    /// Code 6 when the value has no JSON form (a map with keys that are not text).
    pub fn set_value(&mut self, key: &str, value: &impl Serialize) -> Result<(), Error> {
        self.set(key, to_raw(value)?);
        Ok(())
    }

    /// Sets `key` as the first one; where it was before, in any spelling, it goes.
    pub fn set_first(&mut self, key: &str, value: Box<RawValue>) {
        self.remove(key);
        self.entries.insert(0, (key.to_owned(), value));
    }

    /// Puts `new` where the first of the keys `old` is, at the end when there is none. Everything else of the keys
    /// `old` and of those in `new` goes.
    pub fn replace(&mut self, old: &[&str], new: Vec<(&str, Box<RawValue>)>) {
        let is_one_of = |name: &str, keys: &[&str]| keys.iter().any(|key| same_key(name, key));
        let going: Vec<&str> = old.iter().copied().chain(new.iter().map(|(key, _)| *key)).collect();
        let before = self.entries.iter().take_while(|(name, _)| !is_one_of(name, old));
        let place = before.filter(|(name, _)| !is_one_of(name, &going)).count();
        self.entries.retain(|(name, _)| !is_one_of(name, &going));
        let after = self.entries.split_off(place.min(self.entries.len()));
        self.entries.extend(new.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.entries.extend(after);
    }

    /// Removes `key` in every spelling.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(name, _)| !same_key(name, key));
    }

    /// The object as raw JSON.
    ///
    /// # Errors
    /// None in practice: keys are text and values are JSON already.
    pub fn to_raw(&self) -> Result<Box<RawValue>, Error> {
        to_raw(self)
    }
}

/// Two objects are equal when their texts are: keys, order and the bytes of the values.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.iter().zip(other.iter()).all(|((a, x), (b, y))| a == b && x.get() == y.get())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if entries.len() >= MAX_KEYS {
                        return Err(A::Error::custom(format!("more than {MAX_KEYS} keys in one object")));
                    }
                    entries.push((key, value));
                }
                Ok(Object { entries })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Keys in one object, at most: lookups are linear, and no real configuration comes near.
pub const MAX_KEYS: usize = 4096;

/// What `value` serialises to, as raw JSON.
///
/// # Errors
/// Code 6 when the value has no JSON form.
pub fn to_raw(value: &impl Serialize) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(value).map_err(|error| Error::decode(format!("cannot be written as JSON: {error}")))
}

/// Whether Go's encoding/json takes `a` for `b`: equal but for letter case, and for the two letters beyond ASCII that
/// fold into it (U+017F to `s`, U+212A to `k`).
fn same_key(a: &str, b: &str) -> bool {
    // Nearly every key, a hundred times in a call.
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    a.chars().map(fold).eq(b.chars().map(fold))
}

/// Characters of a JSON parser's explanation in an error message, at most: it may quote the value.
const LONGEST_REASON: usize = 160;

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The error of a key whose value is of another type.
fn wrong_value(key: &str, value: &RawValue, error: &serde_json::Error) -> Error {
    let reason = error.to_string();
    // Line and column would count from the value's own beginning.
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
    Error::config(format!(
        "key \"{key}\" has the wrong value {}: {}",
        shortened(value.get()),
        shortened_to(LONGEST_REASON, &in_words_of_json(reason))
    ))
}

/// serde's reason with JSON's names of types in place of Rust's: it is read by people who write JSON.
fn in_words_of_json(reason: &str) -> String {
    let Some((found, expected)) = reason.rsplit_once(", expected ") else { return reason.to_owned() };
    let found = match found {
        "invalid type: map" => "it is an object",
        "invalid type: sequence" => "it is a list",
        other => other,
    };
    let expected = match expected {
        "a sequence" => "a list",
        "a map" => "an object",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, zero or more",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// The elements of a list, `most` at most.
///
/// # Errors
/// The parser's, when the value is not a list or too long.
pub fn elements(value: &RawValue, most: usize) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(Elements { most })
}

struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Box<RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} elements", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            if elements.len() >= self.most {
                return Err(A::Error::custom(format!("more than {} elements in one list", self.most)));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
