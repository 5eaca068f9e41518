//! NetworkAttachmentDefinition: what rooknet reads of the object that describes a network.
//!
//! The object comes from the API server or from a file in `networksDir`; both are the same text. Its configuration is
//! kept as the text it is: [`crate::cni::network`] parses it.

use super::node_ranges;
use super::object_names::{LABEL_RULE, SUBDOMAIN_RULE, is_label, is_subdomain};
use crate::cni::json::{MAX_LEVELS, is_too_deep};
use crate::cni::text::{quoted, shortened};
use crate::cni::{Error, Object};

/// Bytes of a whole object, at most. etcd takes about 1.5 MiB by default; a network needs a few hundred bytes.
pub const MAX_DEFINITION_BYTES: usize = 1_048_576;

/// Bytes of the definitions of all networks of a pod, at most; one that is selected twice counts twice. What is made of a
/// definition takes several times its size, so that whoever may create large ones could exhaust the node's memory.
pub const MAX_BYTES_OF_A_POD: usize = 8_388_608;

/// Annotation that names the device plugin's resource from which the network's devices come.
pub const RESOURCE_NAME_ANNOTATION: &str = "k8s.v1.cni.cncf.io/resourceName";

/// Annotation by which a network asks for a link of each node's own ([`Definition::host_access`]).
pub const HOST_ACCESS_ANNOTATION: &str = "rooknet.io/host-access";

/// The API group of the object, and the version that rooknet reads.
const API_VERSION: &str = "k8s.cni.cncf.io/v1";
/// The kind of the object.
const KIND: &str = "NetworkAttachmentDefinition";

/// What rooknet reads of a NetworkAttachmentDefinition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// `metadata.namespace`, an RFC 1123 label; empty when the object does not say (in a file: its directory says it).
    pub namespace: String,
    /// `metadata.name`, an RFC 1123 subdomain; empty when the object does not say (in a file: its name says it).
    pub name: String,
    /// `spec.config`; empty when absent or blank: then the network is on the node's disk, by name (standard, 3.4.1).
    pub config: String,
    /// Annotation `k8s.v1.cni.cncf.io/resourceName`.
    pub resource_name: Option<String>,
    /// Annotation `rooknet.io/node-ranges` as written, also when it is empty: whoever wrote it wants ranges.
    pub node_ranges: Option<String>,
    /// Annotation `rooknet.io/host-access` as written: `true` for a network whose pods each node shall reach. Read by the
    /// agent alone: an ADD does not fail for it.
    pub host_access: Option<String>,
}

impl Definition {
    /// `namespace/name`.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Parses a whole object; `what` names it in errors. `apiVersion` and `kind` are checked when they are there.
    ///
    /// # Errors
    /// Code 6 when the text is not a JSON object; code 7, naming the key, when it is not a NetworkAttachmentDefinition
    /// of version v1, or a key has the wrong type, or the text is longer than [`MAX_DEFINITION_BYTES`].
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        if text.len() > MAX_DEFINITION_BYTES {
            return Err(Error::config(format!(
                "{what} has {} bytes: at most {MAX_DEFINITION_BYTES} are allowed",
                text.len()
            )));
        }
        let object = Object::parse(what, text)?;
        for (key, right) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            let found = string(what, &object, "", key)?;
            if found.as_ref().is_some_and(|found| found != right) {
                let found = quoted(&found.unwrap_or_default());
                return Err(Error::config(format!(
                    "{what} has a wrong value in key {key}: {found}, it must be {right:?}"
                )));
            }
        }
        let metadata = inner(what, &object, "", "metadata")?;
        let namespace = string(what, &metadata, "metadata.", "namespace")?.unwrap_or_default();
        let name = string(what, &metadata, "metadata.", "name")?.unwrap_or_default();
        if !namespace.is_empty() && !is_label(&namespace) {
            return Err(Error::config(format!(
                "{what} has a wrong value in key metadata.namespace: {} is not a namespace, use {LABEL_RULE}",
                quoted(&namespace)
            )));
        }
        if !name.is_empty() && !is_subdomain(&name) {
            return Err(Error::config(format!(
                "{what} has a wrong value in key metadata.name: {} is not a name, use {SUBDOMAIN_RULE}",
                quoted(&name)
            )));
        }
        let annotations = inner(what, &metadata, "metadata.", "annotations")?;
        let resource_name = string(what, &annotations, "metadata.annotations.", RESOURCE_NAME_ANNOTATION)?;
        let node_ranges = any_string(what, &annotations, "metadata.annotations.", node_ranges::ANNOTATION)?;
        let host_access = any_string(what, &annotations, "metadata.annotations.", HOST_ACCESS_ANNOTATION)?;
        let config = string(what, &inner(what, &object, "", "spec")?, "spec.", "config")?;
        if config.as_deref().is_some_and(is_too_deep) {
            return Err(Error::config(format!(
                "{what} has a wrong value in key spec.config: it has more than {MAX_LEVELS} levels of lists and objects, \
                 which plugins cannot read"
            )));
        }
        Ok(Definition {
            namespace,
            name,
            config: config.filter(|config| !config.trim().is_empty()).unwrap_or_default(),
            resource_name,
            node_ranges,
            host_access,
        })
    }
}

/// The error of a definition, named by `what`, with which a pod's networks are beyond [`MAX_BYTES_OF_A_POD`].
pub fn too_many(what: &str) -> Error {
    Error::config(format!(
        "{what} is one too many: the definitions of a pod's networks may have {MAX_BYTES_OF_A_POD} bytes together"
    ))
}

/// The object under `key`, an empty one when it is absent. `path` is what precedes the key in errors.
fn inner(what: &str, object: &Object, path: &str, key: &str) -> Result<Object, Error> {
    let Some(raw) = object.get(key) else { return Ok(Object::new()) };
    serde_json::from_str(raw.get()).map_err(|_| {
        Error::config(format!("{what} has a wrong value in key {path}{key}: {} is not an object", shortened(raw.get())))
    })
}

/// The text under `key`; absent, `null` and the empty text are `None`.
fn string(what: &str, object: &Object, path: &str, key: &str) -> Result<Option<String>, Error> {
    Ok(any_string(what, object, path, key)?.filter(|text| !text.is_empty()))
}

/// The text under `key`, be it empty; absent and `null` are `None`.
fn any_string(what: &str, object: &Object, path: &str, key: &str) -> Result<Option<String>, Error> {
    let Some(raw) = object.get(key) else { return Ok(None) };
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => {
            // The frequent mistake: the configuration itself where its text belongs.
            let hint =
                if key == "config" { ": write the configuration as a text, '{\"type\": …}' in YAML" } else { "" };
            let value = shortened(raw.get());
            Err(Error::config(format!("{what} has a wrong value in key {path}{key}: {value} is not a text{hint}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Definition, Error> {
        Definition::parse("network a/b, file /x", text)
    }

    #[test]
    fn a_whole_object_is_read() {
        let text = r#"{
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "public", "namespace": "rook-ceph", "labels": {"a": "b"},
                         "annotations": {"k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov", "other": "x",
                                         "rooknet.io/node-ranges": "{}", "rooknet.io/host-access": "true"}},
            "spec": {"config": "{\"type\": \"macvlan\", \"big\": 18446744073709551616}"}
        }"#;
        let expected = Definition {
            namespace: "rook-ceph".into(),
            name: "public".into(),
            config: r#"{"type": "macvlan", "big": 18446744073709551616}"#.into(),
            resource_name: Some("intel.com/sriov".into()),
            node_ranges: Some("{}".into()),
            host_access: Some("true".into()),
        };
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn without_a_configuration_the_network_is_on_the_nodes_disk() {
        for text in [
            r#"{"metadata": {"name": "b"}}"#,
            r#"{"metadata": {"name": "b"}, "spec": null}"#,
            r#"{"metadata": {"name": "b"}, "spec": {}}"#,
            r#"{"metadata": {"name": "b"}, "spec": {"config": null}}"#,
            r#"{"metadata": {"name": "b"}, "spec": {"config": " \n"}}"#,
        ] {
            let definition = parse(text).unwrap();
            assert_eq!((definition.config.as_str(), definition.name.as_str()), ("", "b"), "{text}");
        }
    }

    #[test]
    fn an_empty_annotation_of_ranges_is_there() {
        let of = |annotations: &str| {
            parse(&format!(r#"{{"metadata": {{"annotations": {annotations}}}}}"#)).unwrap().node_ranges
        };
        assert_eq!(of(r#"{"rooknet.io/node-ranges": ""}"#).as_deref(), Some(""));
        assert_eq!((of("{}"), of("null"), of(r#"{"rooknet.io/node-ranges": null}"#)), (None, None, None));
    }

    #[test]
    fn an_object_of_another_kind_is_refused_naming_key_and_value() {
        for (text, key, value) in [
            (r#"{"kind": "Pod"}"#, "key kind", "\"Pod\""),
            (r#"{"apiVersion": "v1"}"#, "key apiVersion", "\"v1\""),
            (r#"{"kind": 3}"#, "key kind", "3"),
            (r#"{"metadata": []}"#, "key metadata", "[]"),
            (r#"{"metadata": {"name": "../x"}}"#, "key metadata.name", "../x"),
            (r#"{"metadata": {"namespace": "A"}}"#, "key metadata.namespace", "\"A\""),
            (r#"{"metadata": {"annotations": 1}}"#, "key metadata.annotations", "1"),
            (r#"{"metadata": {"annotations": {"k8s.v1.cni.cncf.io/resourceName": 1}}}"#, "resourceName", "1"),
            (r#"{"metadata": {"annotations": {"rooknet.io/node-ranges": {}}}}"#, "rooknet.io/node-ranges", "{}"),
            (r#"{"spec": "x"}"#, "key spec", "\"x\""),
            (r#"{"spec": {"config": {"type": "macvlan"}}}"#, "key spec.config", "write the configuration as a text"),
            (&format!(r#"{{"spec": {{"config": "{}"}}}}"#, "[".repeat(101)), "key spec.config", "100 levels"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code.0, 7, "{text}");
            for part in ["network a/b, file /x", key, value] {
                assert!(error.message.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn text_that_is_not_an_object_is_refused_with_code_6() {
        for text in ["", "[]", "null", "{", "\"x\""] {
            assert_eq!(parse(text).unwrap_err().code.0, 6, "{text}");
        }
    }

    #[test]
    fn a_definition_beyond_the_bound_is_refused_naming_it() {
        let error = parse(&" ".repeat(MAX_DEFINITION_BYTES + 1)).unwrap_err();
        assert!(error.message.contains("1048576"), "{error}");
    }
}
