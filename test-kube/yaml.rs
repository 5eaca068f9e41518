//! YAML as JSON values, for comparisons.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// The objects of a text of several documents, by `kind namespace/name`; panics when there are two of one name.
#[track_caller]
pub(crate) fn objects(text: &str) -> BTreeMap<String, Value> {
    let documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    let mut objects = BTreeMap::new();
    for object in documents.iter().map(value).filter(|object| !object.is_null()) {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        let [kind, name] = [&object["kind"], &metadata["name"]].map(|text| text.as_str().expect("a kind and a name"));
        let key = format!("{kind} {namespace}/{name}");
        assert!(objects.insert(key.clone(), object).is_none(), "two of {key}");
    }
    objects
}

/// A node of YAML as a value of JSON.
fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(boolean) => Value::from(*boolean),
        Yaml::Integer(integer) => Value::from(*integer),
        Yaml::Real(_) => Value::from(yaml.as_f64().expect("a number")),
        Yaml::String(text) => Value::from(text.as_str()),
        Yaml::Array(list) => list.iter().map(value).collect(),
        Yaml::Hash(map) => {
            map.iter().map(|(key, entry)| (key.as_str().expect("a text as a key").to_owned(), value(entry))).collect()
        }
        Yaml::Alias(_) | Yaml::BadValue => panic!("no JSON has {yaml:?}"),
    }
}
