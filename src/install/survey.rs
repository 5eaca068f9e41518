//! What lies in the configuration directory, and what each file is: told by the plugins' types, never by a file's name.
//!
//! Multus has been seen to take itself for the primary network because its file had another name than expected (Multus
//! 353, 1108, 1200, 1312); and a primary network to be chosen once, by whatever happened to lie there during the boot
//! (1499, 911).

use serde_json::value::RawValue;

use super::conflist::Primary;
use crate::cni::names::OWN_TYPE;
use crate::cni::{Object, json};

/// Ends of the names of files that runtimes read (libcni's `ConfFiles` as go-cni and ocicni call it).
const EXTENSIONS: [&str; 3] = [".conf", ".conflist", ".json"];

/// Types of Multus's plugins: the thin one and the thick one's.
const MULTUS: [&str; 2] = ["multus", "multus-shim"];

/// Cilium's plugin.
const CILIUM: &str = "cilium-cni";

/// What Cilium appends to the names of others' files.
const CILIUM_BACKUP: &str = ".cilium_bak";

/// Delegates in delegates, at most.
const MAX_NESTING: usize = 8;

/// Elements of a list, at most.
const MOST: usize = 1024;

/// One file that a runtime would read.
#[derive(Clone, Debug)]
pub(super) struct ConfFile {
    /// Its name.
    pub(super) name: String,
    /// What it is.
    pub(super) content: Content,
}

/// What a file is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// It has our entry.
    Ours,
    /// It has Multus's: the network that this takes for its default one.
    Multus(MultusDefault),
    /// A network that pods could have.
    Network(Box<Primary>),
    /// Only the loopback: no network of pods.
    Loopback,
    /// It cannot be used: why.
    Malformed(String),
}

/// Multus's default network.
#[derive(Clone, Debug)]
pub(super) enum MultusDefault {
    /// Inline.
    Inline(Box<Primary>),
    /// A network's name, or a file's.
    Reference(String),
    /// It cannot be told.
    Unknown,
}

/// The files of a directory, in the order in which runtimes take them.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// Those that a runtime would read.
    pub(super) files: Vec<ConfFile>,
    /// Files that Cilium has renamed.
    pub(super) cilium_backups: Vec<String>,
}

/// Whether a runtime reads files of this name.
pub(super) fn is_read(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

impl Survey {
    /// Of the names of all files and a way to their texts. `extra` gives the texts that a runtime would add to the list
    /// of a network (the `.conf` files below a directory of its name), with their file names.
    pub(super) fn new(
        mut names: Vec<String>,
        text: impl Fn(&str) -> Result<Option<String>, String>,
        extra: impl Fn(&str) -> Result<Vec<(String, String)>, String>,
    ) -> Self {
        names.sort();
        let cilium_backups = names.iter().filter(|name| name.ends_with(CILIUM_BACKUP)).cloned().collect();
        let read = names.into_iter().filter(|name| is_read(name)).filter_map(|name| {
            let content = match text(&name) {
                // It went since the directory was listed.
                Ok(None) => return None,
                Ok(Some(text)) => content(&name, &text, &extra),
                Err(reason) => Content::Malformed(reason),
            };
            Some(ConfFile { name, content })
        });
        Survey { files: read.collect(), cilium_backups }
    }

    /// The file of this name.
    pub(super) fn file(&self, name: &str) -> Option<&ConfFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Networks that pods could have, in order.
    pub(super) fn networks(&self) -> impl Iterator<Item = (&str, &Primary)> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Network(primary) => Some((file.name.as_str(), primary.as_ref())),
            _ => None,
        })
    }

    /// The file and network of this name.
    pub(super) fn network(&self, name: &str) -> Option<(&str, &Primary)> {
        self.networks().find(|(_, primary)| primary.name == name)
    }

    /// Multus's files, in order.
    pub(super) fn multus(&self) -> impl Iterator<Item = (&str, &MultusDefault)> {
        self.files.iter().filter_map(|file| match &file.content {
            Content::Multus(default) => Some((file.name.as_str(), default)),
            _ => None,
        })
    }
}

/// Whether a network is Cilium's.
pub(super) fn is_cilium(primary: &Primary) -> bool {
    primary.types.iter().any(|type_name| type_name == CILIUM)
}

/// Multus's default network by the text of its file.
pub(super) fn multus_default(name: &str, text: &str) -> MultusDefault {
    match content(name, text, &|_| Ok(Vec::new())) {
        Content::Multus(default) => default,
        _ => MultusDefault::Unknown,
    }
}

fn content(file: &str, text: &str, extra: &impl Fn(&str) -> Result<Vec<(String, String)>, String>) -> Content {
    let object = match Object::parse("it", text) {
        Ok(object) => object,
        Err(error) => return Content::Malformed(error.message),
    };
    let mut types = Vec::new();
    collect_types(&object, &mut types, MAX_NESTING);
    if types.iter().any(|type_name| type_name == OWN_TYPE) {
        return Content::Ours;
    }
    if types.iter().any(|type_name| MULTUS.contains(&type_name.as_str())) {
        return Content::Multus(default_of(&object));
    }
    match Primary::read(file, text, |name| extra(name)) {
        Err(reason) => Content::Malformed(reason),
        Ok(primary) if primary.types.iter().all(|type_name| type_name == "loopback") => Content::Loopback,
        Ok(primary) => Content::Network(Box::new(primary)),
    }
}

/// Every `type` of plugins, wherever they stand: at the top, in `plugins`, in delegates and theirs.
fn collect_types(object: &Object, types: &mut Vec<String>, depth: usize) {
    types.extend(object.get_all("type").filter_map(|value| serde_json::from_str::<String>(value.get()).ok()));
    let Some(depth) = depth.checked_sub(1) else { return };
    for key in ["plugins", "delegates", "delegate"] {
        for value in object.get_all(key) {
            let elements = json::elements(value, MOST).unwrap_or_else(|_| vec![value.to_owned()]);
            for element in elements.iter().filter_map(|element| as_object(element)) {
                collect_types(&element, types, depth);
            }
        }
    }
}

/// The default network of Multus's configuration: of a plugin alone, or of the one in a list.
fn default_of(object: &Object) -> MultusDefault {
    let plugins = object.list("plugins", MOST).unwrap_or_default();
    let of_list = plugins.iter().filter_map(|plugin| as_object(plugin));
    let is_multus = |plugin: &Object| plugin.text("type").is_ok_and(|name| MULTUS.contains(&name.as_str()));
    let Some(multus) = [object.clone()].into_iter().chain(of_list).find(is_multus) else {
        return MultusDefault::Unknown;
    };
    if let Some(first) = multus.list("delegates", MOST).unwrap_or_default().first().and_then(|first| as_object(first)) {
        return named(first, object).map_or(MultusDefault::Unknown, |primary| MultusDefault::Inline(Box::new(primary)));
    }
    match multus.text("clusterNetwork") {
        Ok(reference) if !reference.is_empty() => MultusDefault::Reference(reference),
        _ => MultusDefault::Unknown,
    }
}

/// A delegate as a network of its own: name and version are Multus's where it has none.
fn named(mut delegate: Object, multus: &Object) -> Option<Primary> {
    for key in ["name", "cniVersion"] {
        if delegate.text(key).ok()?.is_empty()
            && let Some(value) = multus.get(key)
        {
            delegate.set(key, value.to_owned());
        }
    }
    let text = delegate.to_raw().ok()?;
    Primary::read("delegates[0]", text.get(), |_| Ok(Vec::new())).ok()
}

fn as_object(value: &RawValue) -> Option<Object> {
    serde_json::from_str(value.get()).ok()
}
