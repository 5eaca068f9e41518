//! Networks as files: `networksDir` (definitions, for nodes without an API server) and `confDir` (configurations by
//! their name, for definitions without one).
//!
//! Both directories belong to the node's administrator; the names that are looked up in them do not. So a name is
//! checked before it becomes part of a path, and every read is bounded. A symbolic link is followed: whoever may
//! place one there may place the file.
//!
//! `confDir` is searched in the standard's order (3.4.1), and a malformed file fails only the network it names:
//! in Multus one broken file fails every lookup that sorts behind it.

use std::path::{Path, PathBuf};

use super::files::{self, described, read_text};
use crate::cni::network::Network;
use crate::cni::text::{printable, printable_path, quoted};
use crate::cni::{Code, Error, Object, names};
use crate::multinet::definition::{Definition, MAX_DEFINITION_BYTES};
use crate::multinet::object_names::{LABEL_RULE, SUBDOMAIN_RULE, is_label, is_subdomain};
use crate::multinet::source::{Found, NetworkSource, NodeNetworks};

#[cfg(test)]
mod tests;

/// Bytes of a network's file, at most.
pub const MAX_NETWORK_BYTES: u64 = MAX_DEFINITION_BYTES as u64;

/// Bytes of a file name that Linux takes.
const MAX_FILE_NAME: usize = 255;

/// Definitions in `networksDir`: `<namespace>/<name>.json` is a whole NetworkAttachmentDefinition,
/// `<namespace>/<name>.conflist` or `.conf` a bare CNI configuration; looked for in this order.
#[derive(Clone, Debug)]
pub struct FileNetworks {
    directory: PathBuf,
}

impl FileNetworks {
    /// Definitions below `directory`, which need not exist.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        FileNetworks { directory: directory.into() }
    }

    /// Every `namespace/name` of which there is a file, in alphabetical order: what a STATUS looks through.
    ///
    /// # Errors
    /// Code 5 when a directory cannot be listed; one that does not exist has none.
    pub fn references(&self) -> Result<Vec<(String, String)>, Error> {
        let mut found = Vec::new();
        for namespace in files::names(&self.directory)? {
            let directory = self.directory.join(&namespace);
            if !is_label(&namespace) || !directory.is_dir() {
                continue;
            }
            for file in files::names(&directory)? {
                let name = [".json", ".conflist", ".conf"].iter().find_map(|extension| file.strip_suffix(extension));
                if let Some(name) = name.filter(|name| is_subdomain(name)) {
                    found.push((namespace.clone(), name.to_owned()));
                }
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

impl NetworkSource for FileNetworks {
    /// The definition of `namespace/name`.
    ///
    /// # Errors
    /// Code 7 for a name that Kubernetes would not take, a malformed definition, and one whose metadata contradicts
    /// its path; code 6 for text that does not parse; code 5 when a file cannot be read or is too large.
    async fn find(&self, namespace: &str, name: &str) -> Result<Option<Found>, Error> {
        for (text, right, rule) in
            [(namespace, is_label(namespace), LABEL_RULE), (name, is_subdomain(name), SUBDOMAIN_RULE)]
        {
            if !right {
                return Err(Error::config(format!("{} is not a name in networksDir: use {rule}", quoted(text))));
            }
        }
        for extension in ["json", "conflist", "conf"] {
            let file_name = format!("{name}.{extension}");
            if file_name.len() > MAX_FILE_NAME {
                continue; // No such file can exist; the next source may know the network.
            }
            let path = self.directory.join(namespace).join(file_name);
            let Some(text) = read_text(&path, MAX_NETWORK_BYTES)? else { continue };
            let origin = described(&path);
            let definition = if extension == "json" {
                whole(&origin, &text, namespace, name)?
            } else {
                bare(&origin, text, namespace, name)?
            };
            return Ok(Some(Found { definition, origin }));
        }
        Ok(None)
    }

    fn described(&self) -> String {
        format!("in networksDir {}", printable_path(&self.directory))
    }
}

/// A whole object, which must not contradict its path.
pub(super) fn whole(origin: &str, text: &str, namespace: &str, name: &str) -> Result<Definition, Error> {
    let mut definition = Definition::parse(origin, text)?;
    for (key, found, right) in
        [("metadata.namespace", &mut definition.namespace, namespace), ("metadata.name", &mut definition.name, name)]
    {
        if found.is_empty() {
            right.clone_into(found);
        } else if found != right {
            return Err(Error::config(format!(
                "{origin} has a wrong value in key {key}: {}, its path says {}: correct one of them",
                quoted(found),
                quoted(right)
            )));
        }
    }
    Ok(definition)
}

/// A bare configuration.
fn bare(origin: &str, config: String, namespace: &str, name: &str) -> Result<Definition, Error> {
    if config.trim().is_empty() {
        // An empty configuration would mean "look in confDir", which is not what an empty file says.
        return Err(Error::decode(format!("{origin} is empty: write a CNI configuration")));
    }
    Ok(Definition { namespace: namespace.to_owned(), name: name.to_owned(), config, ..Definition::default() })
}

/// Configurations in `confDir`, by the key `name` in them.
#[derive(Clone, Debug)]
pub struct ConfDir {
    directory: PathBuf,
}

impl ConfDir {
    /// Configurations in `directory`, which need not exist.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        ConfDir { directory: directory.into() }
    }
}

impl NodeNetworks for ConfDir {
    /// The configuration whose `name` is `name`: of all `.conflist` files the first in alphabetical order, else of
    /// all `.conf` and `.json` files. A list is completed as [`at_path`] says.
    ///
    /// # Errors
    /// Those of [`Network::parse`] when the file that names the network is malformed: by its key `name` where that
    /// can be read, else by its file name (`public.conf`, `10-public.conf`). Other malformed files are logged.
    fn by_name(&self, name: &str) -> Result<Option<Network>, Error> {
        for extensions in [&["conflist"][..], &["conf", "json"]] {
            for path in configurations(&self.directory, extensions)? {
                match named(&path) {
                    Ok((found, text)) if found == name => return parse(&path, &text).map(Some),
                    Ok(_) => {}
                    Err(error) if stem_names(&path, name) => return Err(error),
                    Err(error) => log::warn!("confDir: a file is passed over: {error}"),
                }
            }
        }
        Ok(None)
    }
}

/// The network that a path in the configuration (`clusterNetwork`, `defaultNetworks`) means: a file is its own
/// network, a directory means its first `.conf`, `.conflist` or `.json` in alphabetical order that is not a
/// configuration of rooknet or Multus itself (both may lie in the directory of the network that they wrap).
///
/// To a `.conflist` belong also the plugins in `<its directory>/<its name>/*.conf`, as in libcni, unless it says
/// `loadOnlyInlinedPlugins`.
///
/// # Errors
/// Code 7 when the path is not absolute or leads to no network, those of [`Network::parse`] when the file is
/// malformed, code 5 when it cannot be read. A malformed first file is an error and not passed over: the pod would
/// get another primary network than on the other nodes.
pub fn at_path(path: &Path) -> Result<Network, Error> {
    let shown = printable_path(path);
    if !path.is_absolute() {
        return Err(Error::config(format!("network {shown} is not an absolute path: it must begin with /")));
    }
    let metadata = std::fs::metadata(path)
        .map_err(|error| Error::config(format!("network {shown} cannot be looked up: {error}")))?;
    if metadata.is_file() {
        return parse(path, &existing(path)?);
    }
    if !metadata.is_dir() {
        return Err(Error::config(format!("network {shown} is neither a file nor a directory")));
    }
    for path in configurations(path, &["conf", "conflist", "json"])? {
        let text = existing(&path)?;
        if !wraps_others(&Object::parse(&described(&path), &text)?) {
            return parse(&path, &text);
        }
    }
    Err(Error::config(format!(
        "network {shown} is a directory without a network: put a .conf or .conflist file of the default network there"
    )))
}

/// The name of the first `.conf` file of a directory, in alphabetical order; `None` when there is none, or no directory.
///
/// # Errors
/// Code 5 when the directory cannot be listed.
pub fn first_plugin_file(directory: &Path) -> Result<Option<String>, Error> {
    let mut names = files::names(directory)?;
    names.retain(|name| name.ends_with(".conf"));
    names.sort();
    Ok(names.into_iter().next().map(|name| printable(&name)))
}

/// Whether a configuration is one of a meta-plugin.
fn wraps_others(object: &Object) -> bool {
    let is_meta = |object: &Object| object.text("type").is_ok_and(|type_name| names::is_meta_plugin(&type_name));
    let plugins = object.get_as::<Vec<Object>>("plugins").ok().flatten().unwrap_or_default();
    is_meta(object) || plugins.iter().any(is_meta)
}

/// The network in a file's text.
fn parse(path: &Path, text: &str) -> Result<Network, Error> {
    let what = described(path);
    if path.extension().is_some_and(|extension| extension == "conflist") {
        Network::parse_with_extra(&what, text, None, |name| extra_plugins(path, name))
    } else {
        Network::parse(&what, text, None)
    }
}

/// The plugins that lie beside a list: `<directory of the list>/<name>/*.conf`, in alphabetical order.
fn extra_plugins(list: &Path, name: &str) -> Result<Vec<(String, String)>, Error> {
    names::network(name)?; // Before it becomes a part of a path.
    let Some(directory) = list.parent() else { return Ok(Vec::new()) };
    let files = configurations(&directory.join(name), &["conf"])?;
    files.iter().map(|path| Ok((described(path), existing(path)?))).collect()
}

/// The key `name` of a file, and its text.
fn named(path: &Path) -> Result<(String, String), Error> {
    let what = described(path);
    let text = existing(path)?;
    let name = Object::parse(&what, &text)?.text("name").map_err(|error| error.within(&what))?;
    if name.is_empty() {
        return Err(Error::config(format!("{what} has no key name: a network in confDir is found by it")));
    }
    Ok((name, text))
}

/// Whether a file's name says `name`, with or without the usual number before it.
fn stem_names(path: &Path, name: &str) -> bool {
    let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { return false };
    let unnumbered = stem.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start_matches(['-', '_']);
    stem == name || unnumbered == name
}

/// Files in a directory with one of the extensions, in alphabetical order; none when there is no such directory.
fn configurations(directory: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Error> {
    let wanted = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension)) && !path.is_dir()
    };
    let mut paths = files::paths(directory)?;
    paths.retain(wanted);
    paths.sort();
    Ok(paths)
}

/// The text of a file that must be there.
fn existing(path: &Path) -> Result<String, Error> {
    read_text(path, MAX_NETWORK_BYTES)?
        .ok_or_else(|| Error::new(Code::IO, format!("{} has just gone away", described(path))))
}
