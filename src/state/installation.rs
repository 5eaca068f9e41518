//! The installation's record, and the files that an installation places: `install.json`, the plugin, the conflist.
//!
//! The record is what an uninstall, the agent and the next install go by, so it is on disk before what it tells of is
//! done: a record of something that was not done yet costs a look, a thing without its record is never taken away again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::files::{self, Durability};
use crate::cni;

/// Where the record and the credentials lie, unless said otherwise.
pub const DEFAULT_CONFIG_DIR: &str = "/etc/cni/rooknet";

/// The format that this program writes.
pub const FORMAT: u32 = 1;

/// Bytes of the record, at most.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// The record's name in the configuration directory.
const NAME: &str = "install.json";

/// What is installed on this node, and how it can be taken away again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// What is being done, or was.
    pub state: State,
    /// The version of rooknetctl that wrote this.
    pub version: String,
    /// How our conflist uses the primary network.
    pub mode: Mode,
    /// The primary network; `None` until one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<Primary>,
    /// Where the plugin is.
    pub bin_dir: PathBuf,
    /// Where our conflist is, and the primary's.
    pub conf_dir: PathBuf,
    /// `stateDir` of our entry.
    pub state_dir: PathBuf,
    /// Our conflist's file name.
    pub conflist: String,
    /// Files of others that were renamed, so that runtimes pass them over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// Who keeps this installation: the identity of the agent's deployment; absent when a person installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
}

/// What is being done to an installation, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there, or about to be: `ensure` keeps it so.
    Installed,
    /// It is being taken away: `ensure` stands still.
    Uninstalling,
    /// It was taken away while an agent kept it: that agent stands still, another one may install.
    Uninstalled,
}

/// How our conflist uses the primary network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A copy of the primary's plugins with our entry behind them: the runtime attaches the default network.
    #[default]
    Chained,
    /// Our entry alone, with the primary's configuration in it: rooknet attaches the default network, as Multus does.
    Delegating,
}

impl Mode {
    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Chained => "chained",
            Mode::Delegating => "delegating",
        }
    }
}

/// The primary network: pinned by its name, wherever its file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Primary {
    /// The network's `name`.
    pub name: String,
    /// The file where it was last found: a name in the configuration directory.
    pub file: String,
}

/// A file that was renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replaced {
    /// Its name before.
    pub file: String,
    /// Its name now.
    pub renamed: String,
}

/// Where the record is, for messages.
pub fn path(config_dir: &Path) -> PathBuf {
    config_dir.join(NAME)
}

/// Reads the record; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is no record, or a later rooknetctl wrote it.
pub fn read(config_dir: &Path) -> Result<Option<Record>, cni::Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = path(config_dir);
    let Some(text) = files::read_text(&path, SIZE_LIMIT)? else { return Ok(None) };
    let wrong = |error: serde_json::Error| {
        cni::Error::decode(format!(
            "{} is no record of an installation: {error}; remove it and install again",
            files::described(&path)
        ))
    };
    let Format { format } = serde_json::from_str(&text).map_err(wrong)?;
    if format != FORMAT {
        return Err(cni::Error::decode(format!(
            "{} has format {format}, and this rooknetctl knows format {FORMAT}: use the one that wrote it, or a newer one",
            files::described(&path)
        )));
    }
    serde_json::from_str(&text).map(Some).map_err(wrong)
}

/// Writes the record, durably.
///
/// # Errors
/// When it cannot be written: the former one is untouched then.
pub fn write(config_dir: &Path, record: &Record) -> Result<(), Error> {
    let path = path(config_dir);
    let mut content =
        serde_json::to_vec_pretty(record).map_err(|source| Error::Encode { path: path.clone(), source })?;
    content.push(b'\n');
    files::replace(&path, &content, Durability::Entry, "install-record")
}

/// Removes the record, durably; Ok when there is none.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(config_dir: &Path) -> Result<(), Error> {
    files::remove_durably(&path(config_dir), "install-record-remove")
}
