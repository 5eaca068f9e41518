//! The installation's record, and the files that an installation places: `install.json`, the plugin, the conflist.
//!
//! The record is what an uninstall, the agent and the next install go by, so it is on disk before what it tells of is
//! done: a record of something that was not done yet costs a look, a thing without its record is never taken away again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deadline::{Deadline, Reason};
use super::error::Error;
use super::files::{self, Durability};
use crate::cni;

/// Where the record and the credentials lie, unless said otherwise.
pub const DEFAULT_CONFIG_DIR: &str = "/etc/cni/rooknet";

/// Where runtimes read CNI configurations, unless said otherwise.
pub const DEFAULT_CONF_DIR: &str = "/etc/cni/net.d";

/// Where the plugin's log is, unless said otherwise.
pub const DEFAULT_LOG_FILE: &str = "/var/log/rooknet.log";

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
    /// `kubeconfig` of our entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Keys of our entry that were given on the command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, serde_json::Value>,
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

/// Writes the record, durably. The lock must be held, as for everything that follows here.
///
/// # Errors
/// When it cannot be written: the former one is untouched then.
pub fn write(config_dir: &Path, record: &Record) -> Result<(), Error> {
    let path = path(config_dir);
    let mut content =
        serde_json::to_vec_pretty(record).map_err(|source| Error::Encode { path: path.clone(), source })?;
    content.push(b'\n');
    files::collect_temporaries(config_dir, Some(NAME))?;
    files::replace(&path, &content, Durability::Entry, "install-record")
}

/// Removes the record, durably; Ok when there is none.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(config_dir: &Path) -> Result<(), Error> {
    files::collect_temporaries(config_dir, Some(NAME))?;
    files::remove_durably(&path(config_dir), "install-record-remove")
}

/// Removes what a killed run of an uninstall left beside the file that says that a node is drained, and the directories
/// of the journals and of the records of links as far as they are empty.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_state(state_dir: &Path) -> Result<(), Error> {
    files::collect_temporaries(state_dir, Some("draining"))?;
    for name in ["attachments", "failed", "corrupt", "shims", ""] {
        remove_if_empty(&state_dir.join(name));
    }
    Ok(())
}

/// What an install and an uninstall hold while they work: the agent's rounds and a person's command do not mix.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Between two tries of the lock.
const PAUSE: Duration = Duration::from_millis(50);

impl Lock {
    /// Waits for it until the deadline.
    ///
    /// # Errors
    /// [`Error::Locked`] when the time is up or a signal came; [`Error::Io`] when the file cannot be made.
    pub async fn acquire(run_dir: &Path, deadline: &Deadline) -> Result<Self, Error> {
        let path = run_dir.join("install.lock");
        files::create_directory(run_dir, Durability::None)?;
        let options = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
        let started = tokio::time::Instant::now();
        loop {
            // Opened anew each time: an uninstall removes the file that it holds.
            let file = options().open(&path).map_err(Error::io("open the lock", &path))?;
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
            if let Some(reason) = deadline.passed() {
                let holder = "another rooknetctl, or the agent, that installs or uninstalls".to_owned();
                return Err(Error::Locked { path, holder, waited: started.elapsed(), reason });
            }
            let _: Result<(), Reason> = deadline.within(tokio::time::sleep(PAUSE)).await;
        }
    }
}

/// Bytes of a configuration, at most: what a plugin takes on its stdin.
const CONF_LIMIT: u64 = 4 * 1024 * 1024;

/// The text of a file in the configuration directory; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is too long, or no text.
pub fn read_conf(conf_dir: &Path, name: &str) -> Result<Option<String>, cni::Error> {
    files::read_text(&conf_dir.join(name), CONF_LIMIT)
}

/// The file names in the configuration directory; none when there is no such directory.
///
/// # Errors
/// When it cannot be listed.
pub fn conf_names(conf_dir: &Path) -> Result<Vec<String>, Error> {
    files::names(conf_dir)
}

/// Writes our conflist: at no moment can a runtime read half of it, or a file that is not meant for it.
///
/// # Errors
/// When it cannot be written: the former one is untouched then.
pub fn write_conflist(conf_dir: &Path, name: &str, text: &str) -> Result<(), Error> {
    files::collect_temporaries(conf_dir, Some(name))?;
    files::replace_among_readers(&conf_dir.join(name), text.as_bytes(), Durability::Entry, "conflist")
}

/// Removes a file of ours from the configuration directory, durably.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_conflist(conf_dir: &Path, name: &str) -> Result<(), Error> {
    files::collect_temporaries(conf_dir, Some(name))?;
    files::remove_durably(&conf_dir.join(name), "conflist-remove")
}

/// Renames a file of somebody else in the configuration directory, durably; false when there is none.
///
/// # Errors
/// When the system refuses.
pub fn rename_conf(conf_dir: &Path, from: &str, to: &str) -> Result<bool, Error> {
    files::rename_durably(&conf_dir.join(from), &conf_dir.join(to), "conf-rename")
}

/// Removes the credentials of the plugin; the directory too, when nothing else is in it.
///
/// # Errors
/// When one of them cannot be removed.
pub fn remove_credentials(config_dir: &Path) -> Result<(), Error> {
    for name in ["token", "ca.crt", "server"] {
        files::collect_temporaries(config_dir, Some(name))?;
        files::remove_durably(&config_dir.join(name), "credentials-remove")?;
    }
    Ok(())
}

/// Removes a directory that is empty, and passes over one that is not or does not exist.
pub fn remove_if_empty(directory: &Path) {
    // Whatever stands in the way is not ours to judge.
    let _ = std::fs::remove_dir(directory);
}

/// Removes what is volatile: locks, the snapshot of definitions, the record of calls.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_run_dir(run_dir: &Path) -> Result<(), Error> {
    for path in files::paths(run_dir)? {
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    // In a container it is a mount point, which stays.
    remove_if_empty(run_dir);
    Ok(())
}
