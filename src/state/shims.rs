//! The links that the agent makes on the node: one file for each, written before the link is made.
//!
//! A link of the node's namespace outlives the agent, and nothing on it says reliably for which network it was made. So
//! what is removed one day is known from here: after a network has lost its mark, or its definition, while no agent ran.
//!
//! ```text
//! <stateDir>/shims/<link>.json
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::files::{self, Durability};

const SUFFIX: &str = ".json";

/// Bytes of a record, at most: a name and a network's.
const SIZE_LIMIT: u64 = 4096;

/// A link that was made, or was to be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// `namespace/name` of the network.
    pub network: String,
    /// The link's name.
    pub link: String,
    /// The MAC that it has had, as text; empty before it was made.
    #[serde(default)]
    pub mac: String,
}

/// The records of a node: `<stateDir>/shims`.
#[derive(Clone, Debug)]
pub struct Shims {
    directory: PathBuf,
}

impl Shims {
    /// Of a stateDir. Nothing is created before the first write.
    pub fn new(state_dir: &Path) -> Self {
        Shims { directory: state_dir.join("shims") }
    }

    /// All records, in the order of their links. One that cannot be understood is logged and left.
    ///
    /// # Errors
    /// When the directory cannot be listed, or a file not be read.
    pub fn all(&self) -> Result<Vec<Record>, Error> {
        files::collect_temporaries(&self.directory, None)?;
        let mut records = Vec::new();
        for name in files::names(&self.directory)? {
            let Some(link) = name.strip_suffix(SUFFIX) else { continue };
            let content = files::read_bounded(&self.directory.join(&name), SIZE_LIMIT)?;
            let Some(content) = content else { continue };
            match serde_json::from_slice::<Record>(&content) {
                Ok(record) if record.link == link => records.push(record),
                Ok(_) | Err(_) => log::warn!(
                    "{} is no record of a link: look whether there is a link {link:?} that nobody needs, and remove both",
                    files::described(&self.directory.join(&name))
                ),
            }
        }
        records.sort();
        Ok(records)
    }

    /// Writes one durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(&record.link)?;
        let content = serde_json::to_vec(record).map_err(|source| Error::Encode { path: path.clone(), source })?;
        files::replace(&path, &content, Durability::Entry, "shim-record")
    }

    /// Removes the record of a link; Ok when there is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, link: &str) -> Result<(), Error> {
        files::remove_durably(&self.path(link)?, "shim-forget")
    }

    fn path(&self, link: &str) -> Result<PathBuf, Error> {
        if link.is_empty() || link.starts_with('.') || link.contains(['/', '\0']) {
            return Err(Error::Name { kind: "interface name", name: link.to_owned() });
        }
        Ok(self.directory.join(format!("{link}{SUFFIX}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_kept_listed_and_removed_and_what_is_none_is_left() {
        let directory = std::env::temp_dir().join(format!("rooknet-shims-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let shims = Shims::new(&directory);
        assert_eq!(shims.all().unwrap(), []);
        let record = |network: &str, link: &str| Record {
            network: network.to_owned(),
            link: link.to_owned(),
            mac: String::new(),
        };
        let (public, cluster) = (record("rook/public", "shim-2"), record("rook/cluster", "shim-1"));
        for record in [&public, &cluster, &public] {
            shims.put(record).unwrap();
        }
        std::fs::write(directory.join("shims/shim-3.json"), "{").unwrap();
        std::fs::write(directory.join("shims/shim-4.json"), r#"{"network": "a/b", "link": "eth0"}"#).unwrap();
        assert_eq!(shims.all().unwrap(), [cluster.clone(), public.clone()]);
        shims.remove("shim-2").unwrap();
        shims.remove("shim-2").unwrap();
        assert_eq!(shims.all().unwrap(), [cluster]);
        assert!(directory.join("shims/shim-3.json").exists());
        for link in ["", ".x", "a/b"] {
            assert!(shims.put(&record("a/b", link)).is_err(), "{link:?}");
        }
        let _ = std::fs::remove_dir_all(&directory);
    }
}
